# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two hosts, and a router on them: the real one or what stands in for it.

CONTRACT_INVENTORY names an inventory with two hosts or more in the group "overlay" (default: the lab's); the first two are
used and must not matter: their firewall, their "weave" and their containers are changed. WEAVE_SCRIPT and WEAVE_IMAGE_ARCHIVE
name a real script and "docker save" archive; without them the stand-in is built. The hosts are reached as
the inventory says, as root. CONTRACT_OWN_CLOCKS=1 says that each host has a clock of its own, which a test may set.

    .venv/bin/ansible-playbook -i localhost, molecule/shared/create.yml -e lab_hosts=2
    .venv/bin/pytest -c tests/contract/pytest.ini tests/contract
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import time
import typing as t

import pytest
import testinfra
import yaml
from testinfra.host import Host

ROOT = pathlib.Path(__file__).resolve().parents[2]
INVENTORY = pathlib.Path(os.environ.get("CONTRACT_INVENTORY", ROOT / "inventories/lab/hosts.yml")).resolve()
SCRIPT, IMAGES = os.environ.get("WEAVE_SCRIPT", ""), os.environ.get("WEAVE_IMAGE_ARCHIVE", "")
REAL = bool(SCRIPT)
TEXTS = pathlib.Path(__file__).parent / "observed"
# Seconds for one command of the script: about 1 here, about 55 for a launch on an emulated machine.
COMMAND_TIMEOUT = 180
# Seconds until a state is reached. Emulated machines are slow.
STATE_TIMEOUT = 60
NAMES = {"h1": "02:00:00:00:00:01", "h2": "02:00:00:00:00:02"}
RECORDED = {"h1": "172.30.0.2", "h2": "172.30.0.3"}


def pytest_report_header() -> str:
    if REAL:
        return f"router under test: Weave Net itself, {SCRIPT} and {IMAGES}"
    return "router under test: the stand-in, molecule/weave/standin (Weave Net itself: WEAVE_SCRIPT=... WEAVE_IMAGE_ARCHIVE=...)"


class Done(t.NamedTuple):
    rc: int
    text: str


class Machine:
    """One host. Its texts are shown as the recordings' hosts would have printed them."""

    def __init__(self, alias: str, host: Host, address: str) -> None:
        self.alias, self.host, self.address = alias, host, address
        self.hostname = host.check_output("hostname")
        self.fleet: dict[str, Machine] = {}

    def sh(self, command: str) -> Done:
        """A shell command; output and errors in one text, as on a terminal."""
        done = self.host.run(f"( {command} ) 2>&1")
        return Done(done.rc, done.stdout.replace("\r\n", "\n"))

    def weave(self, args: str, env: str = "") -> Done:
        return self.sh(f"{env} timeout {COMMAND_TIMEOUT} weave {args}")

    def launch(self, args: str = "", env: str = "", fast: bool = False) -> Done:
        """Stop and launch under this host's name; sleeve, as recorded, unless "fast"."""
        self.weave("stop")
        plain = "" if fast else "WEAVE_NO_FASTDP=1"
        return self.weave(f"launch --name {NAMES[self.alias]} --no-detect-tls {args}", f"{plain} {env}")

    def reset(self) -> None:
        self.sh(f"docker rm -f contract >/dev/null; timeout {COMMAND_TIMEOUT} weave reset --force")

    def report(self) -> dict[str, t.Any]:
        return json.loads(self.weave("report").text)

    def plain(self, text: str) -> str:
        """Addresses and names as recorded; ports, times, ids and widths of columns by placeholders."""
        for machine in self.fleet.values():
            text = text.replace(machine.address, RECORDED[machine.alias])
            text = text.replace(f"({machine.hostname})", f"({machine.alias})")
        text = re.sub(r"(<- 172\.30\.0\.\d+):\d+", r"\1:PORT", text)
        text = re.sub(r"retry: 20\d\d-.*?m=\+[0-9.]+", "retry: TIME", text)
        text = re.sub(r"\b[0-9a-f]{64}\b", "CONTAINER", text)
        return re.sub(r" +", " ", text)

    def recorded(self, name: str) -> str:
        text = (TEXTS / f"{name}.txt").read_text(encoding="utf-8").replace("172.31.0.2", RECORDED["h1"])
        return self.plain(text)

    def connections(self) -> str:
        return self.plain(self.weave("status connections").text)

    def settles(self, pattern: str, timeout: float = STATE_TIMEOUT) -> str:
        """Wait until the list of connections matches."""
        end = time.monotonic() + timeout
        while True:
            text = self.connections()
            if re.search(pattern, text):
                return text
            assert time.monotonic() < end, f"{self.alias}: no connection came to be {pattern!r} in {timeout} s:\n{text}"
            time.sleep(0.3)


def _source() -> tuple[str, str]:
    if REAL:
        return SCRIPT, IMAGES
    out = ROOT / ".cache/weave"
    subprocess.run([ROOT / "molecule/weave/standin/build.sh", out], check=True, timeout=900, capture_output=True)
    return str(out / "weave"), str(out / "images.tar")


@pytest.fixture(scope="session")
def fleet() -> t.Iterator[dict[str, Machine]]:
    """Both hosts with Docker, the script and the images, and nothing launched; afterwards nothing of weave is left running."""
    group = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))["overlay"]["hosts"]
    chosen = sorted(group)[:2]
    machines = {}
    for alias, name in zip(("h1", "h2"), chosen, strict=True):
        host = testinfra.get_host(f"ansible://{name}?ansible_inventory={INVENTORY}")
        address = group[name].get("overlay_underlay_ip") or group[name]["ansible_host"]
        machines[alias] = Machine(alias, host, address)
    script, images = _source()
    for machine, name in zip(machines.values(), chosen, strict=True):
        machine.fleet = machines
        _prepare(machine, name, script, images)
    yield machines
    for machine in machines.values():
        machine.reset()


def _prepare(machine: Machine, name: str, script: str, images: str) -> None:
    missing = machine.sh("command -v docker >/dev/null && command -v curl >/dev/null").rc
    if missing:
        install = (
            "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install docker.io curl apparmor"
        )
        done = machine.sh(f"timeout 600 {install}")
        assert done.rc == 0, done.text
    for source, target in ((script, "/usr/local/bin/weave"), (images, "/var/tmp/contract-images.tar")):
        _copy(name, source, target)
    loaded = machine.sh("chmod 755 /usr/local/bin/weave && timeout 300 docker load -i /var/tmp/contract-images.tar")
    assert loaded.rc == 0, loaded.text
    # A container to put on the network: nothing but a static busybox, from the host or from an image that has one.
    program = "d=$(mktemp -d) && mkdir $d/bin && cp /bin/busybox $d/bin/ && tar -C $d -c . | docker import - contract:1"
    image = machine.sh(
        f"docker image inspect contract:1 >/dev/null || {{ test -x /bin/busybox && {program}; }} || docker tag busybox:static contract:1"
    )
    assert image.rc == 0, f"install busybox-static on {name}, or load an image busybox:static: {image.text}"
    machine.reset()


def _copy(name: str, source: str, target: str) -> None:
    argv = ["ansible", name, f"--inventory={INVENTORY}", "--module-name=ansible.builtin.copy"]
    done = subprocess.run(
        [*argv, f"--args=src={pathlib.Path(source).resolve()} dest={target} mode=0755"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def h1(fleet: dict[str, Machine]) -> Machine:
    return fleet["h1"]


@pytest.fixture(scope="session")
def h2(fleet: dict[str, Machine]) -> Machine:
    return fleet["h2"]
