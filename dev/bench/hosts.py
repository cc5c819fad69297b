# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's hosts, playbook runs on them, and the way two things are compared."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
INVENTORY = ROOT / os.environ.get("BENCH_INVENTORY", "inventories/lab/hosts.yml")
BACKEND = os.environ.get("BENCH_BACKEND", "ovs_gre")
WEAVE_VARS = ROOT / ".cache" / "weave" / "vars.yml"
ROUNDS = 5
TIMEOUT = 900  # seconds for one playbook run, the longest thing here
COMMAND_TIMEOUT = 300  # seconds for one command on a host, which may be an emulated machine
OVS = "ovs-vsctl --timeout=60"
BUSYBOX = "/bin/busybox"
PING = "- {hosts: %s, gather_facts: false, tasks: [{ansible.builtin.ping: }]}"


def group() -> dict[str, t.Any]:
    """Return the hosts and variables of the inventory."""
    return t.cast("dict[str, t.Any]", yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))["overlay"])


def underlay(host: str) -> str:
    """Return the address at which the host's tunnels end."""
    return str(group()["hosts"][host]["overlay_underlay_ip"])


def on(host: str, command: str, text: str = "") -> str:
    """Run a shell command on a lab host, with text as its input."""
    values = {**group()["vars"], **group()["hosts"][host]}
    argv = ["ssh", "-i", values["ansible_ssh_private_key_file"], "-p", str(values.get("ansible_port", 22))]
    argv += shlex.split(values["ansible_ssh_common_args"]) + shlex.split(values.get("ansible_ssh_args", ""))
    argv += ["-o", "BatchMode=yes", f"{values['ansible_user']}@{values['ansible_host']}", command]
    done = subprocess.run(argv, input=text.encode(), capture_output=True, timeout=COMMAND_TIMEOUT, check=False)
    if done.returncode:
        sys.exit(f"'{command}' on {host} failed with status {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode()


def play(text: str, *options: str, inventory: pathlib.Path = INVENTORY, unchanged: bool = False) -> float:
    """Run a playbook, given as text or as the name of one of ours, and return its seconds. With unchanged, no task may change anything."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "play.yml")
        path.write_text(text, encoding="utf-8")
        name = text if text.startswith("crosshost.") else str(path)
        start = time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", "-i", str(inventory), *options, name],
            cwd=ROOT,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        seconds = time.monotonic() - start
    output = done.stdout.decode()
    if done.returncode:
        sys.exit(f"the play failed with status {done.returncode}: {output[-3000:]}")
    if unchanged and re.search(r"\bchanged=[1-9]", output):
        sys.exit(f"the play changed something: {output[-3000:]}")
    return seconds


def inventory_of(names: t.Sequence[str], path: pathlib.Path) -> pathlib.Path:
    """Write an inventory with these hosts of the lab only."""
    whole = group()
    part = {"overlay": {**whole, "hosts": {name: whole["hosts"][name] for name in names}}}
    path.write_text(yaml.safe_dump(part), encoding="utf-8")
    return path


def backend_options(backend: str) -> tuple[str, ...]:
    """The options that choose a backend."""
    weave = ("-e", f"@{WEAVE_VARS}") if backend == "weave" else ()
    return ("-e", f"overlay_backend={backend}", *weave)


def compare(*what: t.Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """Return the median of each, measured in turns after one round that does not count."""
    for one in what:
        one()
    return [
        statistics.median(found) for found in zip(*([one() for one in what] for dummy in range(rounds)), strict=True)
    ]


def report(name: str, value: float, unit: str, against: str, ratio: float, aim: str) -> None:
    """Print one figure."""
    print(f"bench {name} value={value:.3g} unit={unit} against={against} ratio={ratio:.2f} aim={aim}", flush=True)
