# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers on different hosts reach each other by address and by name; a second run has nothing to do."""

from __future__ import annotations

import re

import pytest
from overlay_helpers import NAMES, UNDERLAY, App, play, wait_for
from testinfra.host import Host
from weave_helpers import Routers

FIRST, LAST = NAMES[0], NAMES[-1]
PAIRS = len(NAMES) * (len(NAMES) - 1)


def test_verify_is_the_last_word() -> None:
    """The playbook of its own proves every pair."""
    run = play("verify").ok()
    assert f"verify: hosts={len(NAMES)} pairs={PAIRS} ok={PAIRS} failed=0" in run.text


@pytest.mark.parametrize("source", NAMES)
def test_containers_reach_each_other_by_address(apps: dict[str, App], source: str) -> None:
    """Pings and a stream of bytes."""
    for other in NAMES:
        assert apps[source].reaches(apps[other])


@pytest.mark.parametrize("source", NAMES)
def test_containers_reach_each_other_by_name(apps: dict[str, App], source: str) -> None:
    """The short name and the full one."""
    for other in NAMES:
        for name in (f"{other}-app", f"{other}-app.weave.local"):
            wait_for(
                f"{source} knows {name}",
                lambda name=name: apps[source].run(f"ping -c 1 -W 2 {name}")[0] == 0,  # type: ignore[misc]
                20,
            )
            assert apps[other].address in apps[source].run(f"ping -c 1 -W 2 {name}")[1]


def test_mtu_of_containers(hosts: dict[str, Host], apps: dict[str, App]) -> None:
    """A packet of the overlay's MTU gets through in one piece, a larger one does not leave."""
    mtu = int(re.findall(r"mtu (\d+)", apps[FIRST].inside("ip link show type veth")[1])[0])
    assert mtu == 1376
    ping = f"ping -c 2 -W 2 -M do {apps[LAST].address}"
    assert apps[FIRST].inside(f"{ping} -s {mtu - 28}")[0] == 0
    assert apps[FIRST].inside(f"{ping} -s {mtu - 27}")[0] != 0


def test_nothing_to_do(routers: Routers) -> None:
    """Neither for the playbook, in check mode as well, nor for the module, which runs no command then."""
    before = {name: routers.started(name) for name in NAMES}
    assert play("site", "--skip-tags=verify").ok().changed == set()
    assert play("site", "--check", "--skip-tags=verify").ok().changed == set()
    found = routers.launch(FIRST, wait_for="ready").ok()
    assert (found["changed"], found["commands"], found["reasons"]) == (False, [], [])
    assert {name: routers.started(name) for name in NAMES} == before


def test_limit_keeps_the_whole_list_of_peers(routers: Routers) -> None:
    """A run on one host forgets nobody."""
    assert play("site", "--limit", FIRST, "--skip-tags=verify").ok().changed == set()
    targets = set(routers.report(FIRST)["Router"]["Targets"])
    assert targets == {address for name, address in UNDERLAY.items() if name != FIRST}


@pytest.mark.usefixtures("apps")
def test_facts(routers: Routers) -> None:
    """What weave_info returns of a router that works."""
    wait_for("the name is known", lambda: f"{LAST}-app" in str(routers.info(FIRST)["dns"]["entries"]), 20)
    info = routers.info(FIRST)
    assert info["router"]["ready"]
    assert {item["nickname"] for item in info["router"]["peers"]} == set(NAMES)
    assert all(item["state"] == "established" for item in info["router"]["connections"])
    assert info["ipam"]["status"] == "ready"
    assert info["record"]["name"] == info["router"]["name"]
    assert any(item["hostname"].startswith(f"{LAST}-app.") for item in info["dns"]["entries"])
    assert {(item["proto"], item["port"]) for item in info["listeners"]} >= {("tcp", 6783), ("tcp", 6784)}
