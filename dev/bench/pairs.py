# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to ping between all containers of all hosts, against fping in the same containers."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
import typing as t

from hosts import BUSYBOX, compare, group, on, play, report
from traffic import IMAGE, image

HOSTS = ("h1", "h2", "h3")
PER_HOST = 30
LABEL = "bench=pairs"
ADDRESS = "{{.NetworkSettings.Networks.overlay.IPAddress}}"
SCRIPT = "/root/bench-fping"
# The kernel's table of neighbours: one for all namespaces, and so for all hosts of the lab.
NEIGHBOURS = [pathlib.Path(f"/proc/sys/net/ipv4/neigh/default/gc_thresh{number}") for number in (1, 2, 3)]
ENTRIES = 2 * (PER_HOST * len(HOSTS)) ** 2
PROBE = """
- hosts: %s
  gather_facts: false
  tasks:
    - crosshost.overlay.overlay_probe: %s
      register: done
      failed_when: done.failed | default(false) or done.containers | default([]) | rejectattr('loss', '==', 0) | length > 0
"""
# -u prints the targets that did not answer; nothing else is printed.
FPING = """
- hosts: %s
  gather_facts: false
  tasks:
    - ansible.builtin.command: sh %s %d
      register: done
      failed_when: done.rc != 0 or done.stdout != ''
"""
FPING_SCRIPT = f"""
for pid in $(docker inspect -f '{{{{.State.Pid}}}}' $(docker ps -q --filter label={LABEL})); do
    nsenter -t "$pid" -n fping -u -q -i "$1" -f {SCRIPT}-targets &
done
wait
"""


@contextlib.contextmanager
def roomy_neighbours() -> t.Iterator[None]:
    """Room for every pair in the kernel's table of neighbours; with the usual 1024 entries most packets would vanish."""
    before = [path.read_text() for path in NEIGHBOURS]
    try:
        for path in reversed(NEIGHBOURS):  # the largest first: each has to be above the one before
            path.write_text(str(ENTRIES))
        yield
    except PermissionError:
        sys.exit(f"{NEIGHBOURS[0].parent}/gc_thresh* has to be raised for this, and that takes root on this machine")
    finally:
        with contextlib.suppress(PermissionError):
            for path, value in zip(NEIGHBOURS, before, strict=True):
                path.write_text(value)


def start() -> dict[str, list[dict[str, str]]]:
    """Start the containers; returns name and address of each, by host."""
    found = {}
    for host in HOSTS:
        run = f"docker run -d --name bench-pairs-{{}} --label {LABEL} --network overlay {IMAGE} {BUSYBOX} sleep 3600"
        on(host, f"seq {PER_HOST} | xargs -P 4 -I {{}} {run}")
        names = on(
            host, f"docker ps -q --filter label={LABEL} | xargs docker inspect -f '{{{{.Name}}}} {ADDRESS}'"
        ).split()
        found[host] = [
            {"name": name.lstrip("/"), "address": address}
            for name, address in zip(names[::2], names[1::2], strict=True)
        ]
    return found


def probe(state: str, **options: t.Any) -> float:
    """Run overlay_probe on all hosts."""
    options = {"state": state, "network": "overlay", "same_host": False, **options}
    return play(PROBE % (":".join(HOSTS), json.dumps(options)))


def pairs() -> None:
    """Pings between 30 containers on each of three hosts, 8,010 ordered pairs, against fping with the same targets."""
    missing = set(HOSTS) - set(group()["hosts"])
    if missing:
        sys.exit(f"this needs the hosts {', '.join(HOSTS)}; there is no {', '.join(sorted(missing))}")
    with roomy_neighbours(), image():
        ends = start()
        targets = "".join(f"{item['address']}\n" for items in ends.values() for item in items)
        for host in HOSTS:
            on(host, "command -v fping || { apt-get -qq update && apt-get -qq -y install fping; }")
            on(host, f"cat > {SCRIPT}-targets", targets)
            on(host, f"cat > {SCRIPT}", FPING_SCRIPT)
        probe("present", lifetime=3600)
        chosen = {"containers": {"label": LABEL, "network": "overlay"}, "endpoints": ends}
        try:
            value, usual, fast = compare(
                lambda: probe("probed", **chosen),
                lambda: play(FPING % (":".join(HOSTS), SCRIPT, 10)),
                lambda: play(FPING % (":".join(HOSTS), SCRIPT, 1)),
            )
        finally:
            probe("absent")
            for host in HOSTS:
                on(host, f"rm -f {SCRIPT} {SCRIPT}-targets")
    report("pairs_8010", value, "s", "fping", value / usual, "<=1.5")
    report("pairs_8010", value, "s", "fping_without_pauses", value / fast, "none")
