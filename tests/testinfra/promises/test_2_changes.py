# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drift is foretold and repaired; what cannot be replaced is not stopped; what destroys takes an option that names it."""

from __future__ import annotations

import ipaddress
import json
import pathlib
import re

import pytest
from overlay_helpers import GROUP, NAMES, UNDERLAY, inventory_of
from promises_bystanders import Bystanders
from promises_helpers import (
    BRIEF,
    FIRST,
    LAST,
    ROLE,
    SECOND,
    USED,
    as_foretold,
    extra,
    main_pid,
    quiet,
    release,
    run,
    started,
    words,
)
from testinfra.host import Host
from weave_helpers import Links

ROUTER, SCRIPT = (f"{ROLE}weave : {task}" for task in ("Run | Start the router", "Install | Install the script"))


def test_drift_of_routers_is_foretold(hosts: dict[str, Host]) -> None:
    """A peer forgotten, a router gone, its script gone: one on each host. That of Open vSwitch is in ovs_gre/test_2_drift.py."""
    Links(hosts).settle()
    assert Links(hosts).api(FIRST, "/forget", f"peer={UNDERLAY[LAST]}")[0] == 0
    hosts[SECOND].check_output("docker rm -f weave")
    hosts[LAST].check_output("rm /usr/local/bin/weave")
    predicted = run("site", "weave", "--check", "--diff", *BRIEF).ok()
    assert predicted.changed == {(ROUTER, FIRST), (ROUTER, SECOND), (SCRIPT, LAST)}
    as_foretold(predicted, run("site", "weave", *BRIEF).ok())
    Links(hosts).settle()
    quiet("weave")


def test_router_whose_images_cannot_be_loaded_goes_on(hosts: dict[str, Host], tmp_path: pathlib.Path) -> None:
    """The archive of another release was cut off while it was copied: no router was stopped, and the script stays that of the router that runs."""
    before = {name: started(host, "weave") for name, host in hosts.items()}
    script = hosts[FIRST].check_output("sha256sum /usr/local/bin/weave")
    done = run("site", "weave", *release(tmp_path, "2.99.0", damaged=True), *BRIEF)
    assert done.status != 0
    assert "could not be loaded" in words(done), done.text
    assert {name: started(host, "weave") for name, host in hosts.items()} == before
    assert hosts[FIRST].check_output("sha256sum /usr/local/bin/weave") == script
    assert Links(hosts).whole()
    quiet("weave")


@pytest.mark.parametrize(
    ("settings", "options", "says"),
    [
        pytest.param({"no-such-setting": 1}, {}, "no-such-setting", id="setting that Docker does not know"),
        pytest.param({"icc": False}, {"docker_engine_restart": False}, "restart is false", id="restart not allowed"),
    ],
)
def test_docker_goes_on(
    hosts: dict[str, Host], settings: dict[str, object], options: dict[str, object], says: str
) -> None:
    """With settings that would keep it from starting, or that only a restart would load."""
    before = main_pid(hosts[USED], "docker"), hosts[USED].check_output("cat /etc/docker/daemon.json")
    merged = {**GROUP["vars"]["docker_engine_settings"], **settings}
    done = run(
        "site", "ovs_gre", *extra(docker_engine_settings=merged, **options), "--tags=docker_engine", "--limit", USED
    )
    assert done.status != 0
    assert says in words(done), done.text
    assert "Nothing was changed" in words(done), done.text
    assert done.changed == set()
    assert (main_pid(hosts[USED], "docker"), hosts[USED].check_output("cat /etc/docker/daemon.json")) == before


def test_another_range_is_refused(hosts: dict[str, Host]) -> None:
    """Of routers that have given out addresses; by the plan, before the first change."""
    before = {name: started(host, "weave") for name, host in hosts.items()}
    done = run("site", "weave", "-e", "weave_range=10.64.0.0/12", *BRIEF)
    assert done.status != 0
    assert "weave_allow_range_change" in words(done), done.text
    assert done.changed == set()
    assert {name: started(host, "weave") for name, host in hosts.items()} == before


def test_another_name_is_refused(hosts: dict[str, Host], tmp_path: pathlib.Path) -> None:
    """Of a router that has given out addresses; by the plan, before the first change."""
    pinned = {**GROUP["hosts"], LAST: {**GROUP["hosts"][LAST], "overlay_weave_name": "02:aa:aa:aa:aa:aa"}}
    before = started(hosts[LAST], "weave")
    done = run("site", "weave", *BRIEF, inventory=inventory_of(tmp_path / "pinned.yml", pinned))
    assert done.status != 0
    assert "weave_allow_rename" in words(done), done.text
    assert done.changed == set()
    assert started(hosts[LAST], "weave") == before


def test_unreachable_host_stays_a_peer_of_routers(hosts: dict[str, Host], tmp_path: pathlib.Path) -> None:
    """It is named, the others keep it among their peers, and nothing changes. That of Open vSwitch is in ovs_gre/test_4_members.py."""
    address = GROUP["hosts"][LAST]["ansible_host"]
    nobody = str(ipaddress.ip_network(f"{address}/24", strict=False)[250])
    broken = {**GROUP["hosts"], LAST: {**GROUP["hosts"][LAST], "ansible_host": nobody}}
    done = run(
        "site", "weave", *BRIEF, "-e", "ansible_ssh_timeout=5", inventory=inventory_of(tmp_path / "broken.yml", broken)
    )
    assert done.status == 4, done.text  # Ansible's status for unreachable hosts
    assert re.search(rf"{LAST} .*unreachable=1", done.text)
    assert done.changed == set()
    status, text = Links(hosts).api(FIRST, "/report")
    assert status == 0, text
    assert set(json.loads(text)["Router"]["Targets"]) == {UNDERLAY[name] for name in NAMES if name != FIRST}


def test_bystanders_noticed_nothing(bystanders: Bystanders) -> None:
    """Of all that was tried."""
    bystanders.check()
