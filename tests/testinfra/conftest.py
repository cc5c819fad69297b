# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures for the tests of a living overlay; see overlay_helpers.py for what they run on."""

from __future__ import annotations

import os
import subprocess
import typing as t

import pytest
import testinfra
from overlay_helpers import INVENTORY, LAB, NAMES, NETWORK, App, side_by_side, wait_for
from testinfra.host import Host
from weave_helpers import Routers


@pytest.fixture(scope="session")
def hosts() -> dict[str, Host]:
    """The hosts by inventory name."""
    return {name: testinfra.get_host(f"ansible://{name}?ansible_inventory={INVENTORY}") for name in NAMES}


@pytest.fixture(scope="session")
def apps(hosts: dict[str, Host]) -> t.Iterator[dict[str, App]]:
    """An application on every host, on Weave Net with a name, for as long as the tests run."""
    started: dict[str, App] = {}

    def start(name: str) -> None:
        options = ""
        if NETWORK == "weave":
            # The way the router's own documentation has it; its output ends as a terminal's.
            names = hosts[name].check_output("weave dns-args | tr -d '\\r'")
            options = f"--hostname {name}-app.weave.local {names}"
        started[name] = App(hosts[name], name, options)
        started[name].stop()
        started[name].start()

    side_by_side(start, hosts)
    # In the order of the hosts, whichever was ready first.
    yield {name: started[name] for name in hosts}
    side_by_side(lambda name: started[name].stop(), started)


@pytest.fixture(scope="session")
def routers(hosts: dict[str, Host]) -> Routers:
    """The routers of Weave Net as they were declared when the tests began."""
    return Routers(hosts)


@pytest.fixture(scope="session")
def reboot(hosts: dict[str, Host]) -> t.Callable[[str], None]:
    """A function that reboots a host and returns when it answers again."""

    def do(name: str) -> None:
        boots = hosts[name].check_output("stat -c %Y /run/systemd/system")
        if LAB:
            subprocess.run(["docker", "restart", f"{LAB}-{name}"], stdout=subprocess.DEVNULL, timeout=120, check=True)
        else:
            hosts[name].run("systemctl reboot")

        def back() -> bool:
            try:
                done = hosts[name].run("stat -c %Y /run/systemd/system")
            except RuntimeError:  # testinfra's way to say that ssh does not answer
                return False
            return done.rc == 0 and done.stdout.strip() != boots

        wait_for(f"{name} answers after its reboot", back, 180)

    return do


def pytest_report_header() -> str:
    """Say what the tests run against."""
    real = os.environ.get("WEAVE_SCRIPT")
    if NETWORK != "weave":
        return f"overlay: the Docker network {NETWORK}"
    return f"weave: {f'Weave Net itself, from {real}' if real else 'the stand-in, molecule/weave/standin'}"
