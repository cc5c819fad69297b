# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Openings outlive what happens to firewalls; where Docker lost its chains to them, the next run brings those back and says so."""

from __future__ import annotations

import typing as t

import pytest
from firewall_helpers import RELOADS, UNITS, each, everywhere, found, found_on, healed
from overlay_helpers import NAMES, App, play, side_by_side, wait_for
from testinfra.host import Host
from weave_helpers import Routers

PAIRS = len(NAMES) * (len(NAMES) - 1)


def all_openings() -> dict[str, t.Any]:
    """What is open on each host."""
    return {name: firewall["openings"] for name, firewall in found_on().items()}


@pytest.fixture(scope="module")
def before() -> dict[str, t.Any]:
    """What is open in the beginning."""
    return all_openings()


@pytest.fixture
def openings(before: dict[str, t.Any]) -> t.Iterator[None]:
    """Whatever happens meanwhile, afterwards the openings are what they were."""
    yield
    assert all_openings() == before


def repaired() -> None:
    """A run brings back what else was lost, proves every pair, and leaves nothing to do."""
    run = play("site").ok()
    assert f"verify: hosts={len(NAMES)} pairs={PAIRS} ok={PAIRS} failed=0" in run.text
    # What a flush takes from Docker can only come back by way of Ansible; the openings are not part of that.
    changed = {key for key in run.changed if "verify" not in key[0]}
    assert {task for task, dummy in changed} <= {"crosshost.overlay.docker_engine : Bring Docker to its settings"}
    if changed:
        assert play("site", "--skip-tags=verify").ok().changed == set()


@pytest.mark.usefixtures("openings")
def test_reload(hosts: dict[str, Host], apps: dict[str, App], routers: Routers) -> None:
    """Of firewalld, nftables and ufw; the others know none."""
    each(RELOADS, hosts)
    healed(apps, routers)


@pytest.mark.usefixtures("openings")
def test_restart_of_the_firewall(hosts: dict[str, Host], apps: dict[str, App], routers: Routers) -> None:
    """By its service, on all hosts at once. Some of these flush everything, Weave Net's and Docker's rules, too."""
    each({name: f"systemctl restart {unit}" for name, unit in UNITS.items()}, hosts)
    healed(apps, routers)
    repaired()


def test_stop_and_start_of_the_firewall(hosts: dict[str, Host], before: dict[str, t.Any]) -> None:
    """Apart from each other; the last of the two brings the openings back."""
    hosts["h3"].check_output("systemctl stop nftables")
    assert found("h3")["openings"] == {}
    hosts["h3"].check_output("systemctl start nftables")
    wait_for("the openings are back", lambda: found("h3")["openings"] == before["h3"], 30)


@pytest.mark.usefixtures("openings")
def test_restart_of_docker(hosts: dict[str, Host], apps: dict[str, App], routers: Routers) -> None:
    """With the routers, whose links are new connections to the firewalls."""
    everywhere(hosts, "systemctl reset-failed docker; systemctl restart docker")
    healed(apps, routers)


@pytest.mark.usefixtures("openings")
def test_reboot(apps: dict[str, App], routers: Routers, reboot: t.Callable[[str], None]) -> None:
    """Of every host, three at a time: the machine has two processors."""
    side_by_side(reboot, NAMES[:3])
    side_by_side(reboot, NAMES[3:])
    healed(apps, routers)
    repaired()
