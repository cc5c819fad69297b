# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Live changes, relaunches and repairs: links and addresses of others stay."""

from __future__ import annotations

import pathlib
import re

import pytest
from overlay_helpers import GROUP, NAMES, UNDERLAY, App, Pinger, inventory_of, play
from testinfra.host import Host
from weave_helpers import Routers

FIRST, SECOND, LAST = NAMES[0], NAMES[1], NAMES[-1]
REST = {name: values for name, values in GROUP["hosts"].items() if name != LAST}


def test_a_host_leaves_and_comes_back(routers: Routers, apps: dict[str, App], tmp_path: pathlib.Path) -> None:
    """Live, in one call: no router is launched again, no link of others is made anew, no ping lost."""
    started = {name: routers.started(name) for name in NAMES}
    link = routers.links(FIRST)[UNDERLAY[SECOND]]["Address"]
    pinger = Pinger(apps[FIRST], apps[SECOND])
    gone = play("site", "--skip-tags=verify", inventory=inventory_of(tmp_path / "smaller.yml", REST)).ok()
    targets = {name: set(routers.report(name)["Router"]["Targets"]) for name in REST}
    back = play("site", "--skip-tags=verify").ok()
    sent, lost = pinger.stop()
    assert len(gone.changed) == len(REST)
    assert all(UNDERLAY[LAST] not in found for found in targets.values()), targets
    assert back.changed == gone.changed
    assert {name: routers.started(name) for name in NAMES} == started
    assert routers.links(FIRST)[UNDERLAY[SECOND]]["Address"] == link
    assert lost == []
    assert sent > 50


@pytest.mark.parametrize(
    ("path", "peer"),
    [pytest.param("forget", UNDERLAY[LAST], id="forgotten"), pytest.param("connect", "203.0.113.9", id="connected")],
)
def test_peers_changed_by_hand(routers: Routers, path: str, peer: str) -> None:
    """Found and put right, live."""
    started = routers.started(FIRST)
    assert routers.api(FIRST, f"/{path}", f"peer={peer}")[0] == 0
    found = routers.launch(FIRST).ok()
    assert len(found["commands"]) == 1
    assert peer in found["commands"][0]
    assert routers.launch(FIRST).ok()["changed"] is False
    assert routers.started(FIRST) == started


def test_another_argument_keeps_addresses(routers: Routers, apps: dict[str, App]) -> None:
    """The router is launched again; containers, their addresses and names stay, and the difference is told."""
    addresses = {name: app.address for name, app in apps.items()}
    check = routers.launch(FIRST, "--check", "--diff", connection_limit=150)
    predicted = check.ok()
    assert re.search(r'^-\s+"connection_limit": 200,\n\+\s+"connection_limit": 150,', check.text, re.MULTILINE), (
        check.text
    )
    started = routers.started(FIRST)
    assert predicted["reasons"] == ["connection_limit: 200 to 150"]
    found = routers.launch(FIRST, connection_limit=150, wait_for="ready").ok()
    assert (found["reasons"], found["commands"]) == (predicted["reasons"], predicted["commands"])
    assert routers.started(FIRST) != started
    assert {name: app.address for name, app in apps.items()} == addresses
    assert apps[FIRST].reaches(apps[LAST])
    assert apps[LAST].reaches(apps[FIRST])
    routers.launch(FIRST, wait_for="ready").ok()
    assert (
        routers.hosts[FIRST].check_output("docker ps -a --format '{{.Names}}' | grep -c ^weave-previous || true") == "0"
    )


def test_restart_policy_changes_live(routers: Routers) -> None:
    """Without a relaunch."""
    started = routers.started(FIRST)
    found = routers.launch(FIRST, restart_policy="no").ok()
    assert found["reasons"] == []
    assert routers.hosts[FIRST].check_output("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' weave") == "no"
    routers.launch(FIRST).ok()
    assert routers.started(FIRST) == started


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("docker pause weave", id="paused"),
        pytest.param("docker stop weave", id="stopped"),
        pytest.param("docker update --restart no weave && docker kill weave", id="killed"),
        pytest.param("docker rm -f weave", id="removed"),
        pytest.param("docker stop weave && docker rename weave weave-previous", id="interrupted relaunch"),
        pytest.param(
            "i=$(docker inspect -f '{{.Config.Image}}' weave); docker rm -f weave; docker create --name weave $i --port 6783",
            id="created",
        ),
        pytest.param(
            "i=$(docker inspect -f '{{.Config.Image}}' weave); docker rm -f weave; docker run -d --restart always --name weave $i --nosuch",
            id="restarting",
        ),
    ],
)
def test_broken_router_is_healed(hosts: dict[str, Host], routers: Routers, apps: dict[str, App], command: str) -> None:
    """Whatever became of its container; addresses stay."""
    address = apps[LAST].address
    hosts[LAST].check_output(command)
    found = routers.launch(LAST, wait_for="ready").ok()
    assert found["changed"]
    assert routers.launch(LAST).ok()["changed"] is False
    assert apps[LAST].address == address
    assert apps[FIRST].reaches(apps[LAST])
    left = hosts[LAST].check_output("docker ps -a --format '{{.Names}}'").split()
    assert not {"weave-previous", "crosshost-weave-exec"} & set(left)


def test_router_of_somebody_else_is_refused(hosts: dict[str, Host], routers: Routers) -> None:
    """A container that has only the name is left alone."""
    hosts[LAST].check_output(
        "docker stop weave && docker rename weave kept && docker run -d --name weave app:1 /bin/busybox sleep 600"
    )
    text = routers.launch(LAST).refused()
    assert "is not a Weave Net router" in text
    assert hosts[LAST].check_output("docker inspect -f '{{.State.Status}}' weave") == "running"
    hosts[LAST].check_output("docker rm -f weave && docker rename kept weave && docker start weave")
    routers.settle()
    assert routers.launch(LAST).ok()["changed"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"name": "02:aa:aa:aa:aa:aa"}, "allow_rename", id="name"),
        pytest.param({"ipalloc_range": "10.128.0.0/16"}, "allow_range_change", id="range"),
        pytest.param({"fast_datapath": "disabled"}, "fast_datapath would change", id="datapath"),
    ],
)
def test_what_would_lose_addresses_is_refused(
    routers: Routers, apps: dict[str, App], options: dict[str, str], words: str
) -> None:
    """And the containers that it would hit are named."""
    started = routers.started(FIRST)
    text = routers.launch(FIRST, **options).refused()
    assert words in text
    assert f"app ({apps[FIRST].address}" in text
    assert routers.started(FIRST) == started


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"peers": ["fc00::2"]}, "IPv4 only", id="IPv6 peer"),
        pytest.param({"peers": ["nosuch.invalid"]}, "nosuch.invalid", id="name as peer"),
        pytest.param({"ipalloc_range": "10.0.0.1/33"}, "ipalloc_range", id="prefix"),
        pytest.param({"ipalloc_range": "10.0.0.1/16"}, "host bits", id="host bits"),
        pytest.param({"ipalloc_range": "10.0.0.0/31"}, "smaller than 4", id="too small"),
        pytest.param({"ipalloc_default_subnet": "192.0.2.0/24"}, "not inside", id="subnet outside"),
        pytest.param({"name": "$(reboot)"}, "not a peer name", id="shell in name"),
        pytest.param({"extra_args": ["--bufsz=$(reboot)"]}, "extra_args", id="shell in arguments"),
        pytest.param({"http_address": "0.0.0.0:6784"}, "must not be reachable", id="open API"),
    ],
)
def test_bad_input_changes_nothing(routers: Routers, options: dict[str, object], words: str) -> None:
    """It is refused in words of the option."""
    started = routers.started(FIRST)
    assert words in routers.launch(FIRST, **options).refused()
    assert routers.started(FIRST) == started
