# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused before the first change, and what the plan says otherwise."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils._plan import Host, Plan, Wish, make_plan

WISH = Wish("10.50.0.0/16", packages={"docker": "Docker Engine", "openvswitch": "Open vSwitch"})
NET = {
    "name": "overlay",
    "label": "network",
    "pool": "10.50.0.0/16",
    "slice": "10.50.0.0/24",
    "gateway": "10.50.0.1",
    "mtu": 1458,
    "bridge": "ovl0",
    "subnets": ["10.50.0.0/16"],
}


def info(number: int, **changes: t.Any) -> dict[str, t.Any]:
    """What overlay_info finds on a host; changes are paths with '__' between the keys."""
    facts: dict[str, t.Any] = {
        "uid": 0,
        "machine_id": f"id{number}",
        "system": {"id": "debian", "like": [], "name": "Debian GNU/Linux 12 (bookworm)", "systemd": True},
        "interfaces": [
            {"name": "lo", "mtu": 65536, "mac": "00:00:00:00:00:00", "kind": "loopback", "addresses": []},
            {
                "name": "eth1",
                "mtu": 1500,
                "mac": f"02:00:00:00:00:0{number}",
                "kind": "ether",
                "addresses": [f"192.0.2.{number}/24"],
            },
        ],
        "routes": [
            {"dst": "default", "dev": "eth0", "via": "198.51.100.1"},
            {"dst": "192.0.2.0/24", "dev": "eth1", "via": None},
        ],
        "docker": {"installed": True, "running": True, "networks": [], "containers": []},
        "openvswitch": {"installed": True},
        "slices": {},
    }
    for path, value in changes.items():
        at = facts
        *parents, last = path.split("__")
        for key in parents:
            at = at[key]
        at[last] = value
    return facts


def host(number: int, **changes: t.Any) -> Host:
    """Host number of the group, reached."""
    return Host(f"h{number}", f"192.0.2.{number}", info(number, **changes))


def user(name: str, label: str | None = None) -> dict[str, t.Any]:
    """A container on the overlay's network."""
    return {"name": name, "label": label, "networks": ["overlay"], "running": True}


def plan(*hosts: Host, **wishes: t.Any) -> Plan:
    """The plan for these hosts."""
    return make_plan(hosts, Wish(**{**WISH.__dict__, **wishes}))


def test_two_good_hosts() -> None:
    """No problem, no notice, a slice each, the MTU of GRE with a key."""
    result = plan(host(1), host(2))
    assert result == Plan([], [], {"h1": "10.50.0.0/24", "h2": "10.50.1.0/24"}, 1458, {"h1": "eth1", "h2": "eth1"})


CLONE = {"machine_id": "id1"}
OTHER_OS = {"system": {"id": "slackware", "like": [], "name": "Slackware 15", "systemd": True}}
NARROW = [{"name": "eth1", "mtu": 1400, "mac": "02:00:00:00:00:02", "kind": "ether", "addresses": ["192.0.2.2/24"]}]
FOREIGN_NET = {**NET, "name": "apps", "label": None, "bridge": "br-apps", "subnets": ["10.50.64.0/20"]}
IN_USE = {"docker__networks": [NET], "docker__containers": [user("web"), user("crosshost-probe", "probe")]}


@pytest.mark.parametrize(
    ("hosts", "wishes", "reason"),
    [
        pytest.param([host(1)], {}, "at least 2 hosts, and the group has 1 (h1)", id="one-host"),
        pytest.param([], {}, "the group has 0 (none)", id="no-host"),
        pytest.param(
            [host(1), Host("h2", "192.0.2.1", None)],
            {},
            "hosts 'h1' and 'h2' have the same underlay address",
            id="one-address-twice",
        ),
        pytest.param(
            [host(1), Host("alias", "192.0.2.1", info(1))],
            {},
            "'h1' and 'alias' are the same machine",
            id="one-machine-twice",
        ),
        pytest.param(
            [host(1), Host("h2", "nosuch.invalid", info(2))],
            {},
            "'nosuch.invalid' of host 'h2' is neither",
            id="unresolved-name",
        ),
        pytest.param(
            [host(1), Host("h2", "192.0.2.99", info(2))],
            {},
            "192.0.2.99 is on no interface of host 'h2'",
            id="address-elsewhere",
        ),
        pytest.param([host(1), Host("h2", "127.0.0.1", None)], {}, "not one that other hosts can reach", id="loopback"),
        pytest.param([host(1), Host("h2", "fc00::2", None)], {}, "tunnel type gre runs over IPv4", id="gre-over-ipv6"),
        pytest.param(
            [host(1), Host("h2", "fc00::2", None)],
            {"tunnel_type": "vxlan"},
            "mix IPv4 (host 'h1') and IPv6 (host 'h2')",
            id="mixed",
        ),
        pytest.param([host(1), host(2, uid=1000)], {}, "host 'h2': the run is not root", id="no-root"),
        pytest.param([host(1), host(2, system__systemd=False)], {}, "systemd is not the init", id="no-systemd"),
        pytest.param(
            [host(1), host(2, **OTHER_OS, docker__installed=False)],
            {},
            "install Docker Engine there yourself",
            id="unsupported-system",
        ),
        pytest.param(
            [host(1), host(2, routes=[{"dst": "10.0.0.0/8", "dev": "eth0", "via": "198.51.100.9"}])],
            {},
            "host 'h2': overlay_pool 10.50.0.0/16 overlaps its route 10.0.0.0/8 via 198.51.100.9 dev eth0",
            id="route-overlap",
        ),
        pytest.param(
            [host(1), host(2, docker__networks=[FOREIGN_NET])],
            {},
            "overlaps Docker network 'apps'",
            id="network-overlap",
        ),
        pytest.param([host(1), host(2)], {"mtu": 1500}, "overlay_mtu 1500 is too large", id="mtu-too-large"),
        pytest.param(
            [host(1, **IN_USE), host(2, interfaces=NARROW)],
            {},
            "(mtu 1458 to 1358), and containers use it: web;",
            id="mtu-shrinks",
        ),
        pytest.param(
            [host(1, **IN_USE), host(2)],
            {"pool": "10.60.0.0/16"},
            "pool 10.50.0.0/16 to 10.60.0.0/16",
            id="pool-changes",
        ),
        pytest.param(
            [host(1, slices={"damaged": "/x/slices.json"}), host(2)],
            {},
            "/x/slices.json is damaged",
            id="damaged-record",
        ),
        pytest.param([host(1), host(2)], {"pool": "10.50.0.0/33"}, "not a network in CIDR form", id="bad-pool"),
        pytest.param(
            [Host("h1", "192.0.2.1", None, limited=True), host(2)],
            {},
            "new host(s) h2 need a slice",
            id="new-host-with-limit",
        ),
    ],
)
def test_problem(hosts: list[Host], wishes: dict[str, t.Any], reason: str) -> None:
    """One sentence that names the host."""
    assert [problem for problem in plan(*hosts, **wishes).problems if reason in problem]


def test_stopped_docker_leaves_its_bridge_and_that_is_no_overlap() -> None:
    """Without the record the same route is somebody else's."""
    route = [{"dst": "10.50.0.0/16", "dev": "ovl0", "via": None}]
    record = {"pool": "10.50.0.0/16", "slices": {"h1": "10.50.0.0/24"}}
    assert plan(host(1, docker__running=False, routes=route, slices=record), host(2)).problems == []
    assert "dev ovl0" in plan(host(1, docker__running=False, routes=route), host(2)).problems[0]


def test_every_problem_is_listed_at_once() -> None:
    """An operator cures all of them before the next run."""
    assert len(plan(host(1, uid=5), host(2, system__systemd=False, uid=5)).problems) == 3


@pytest.mark.parametrize(
    ("hosts", "wishes"),
    [
        pytest.param([host(1)], {"minimum_hosts": 1}, id="one-host-allowed"),
        pytest.param(
            [host(1), host(2, routes=[{"dst": "10.0.0.0/8", "dev": "eth0", "via": None}])],
            {"allow_overlap": True},
            id="overlap-allowed",
        ),
        pytest.param([host(1, **IN_USE), host(2)], {"pool": "10.60.0.0/16", "recreate": True}, id="recreate-asked-for"),
        pytest.param([host(1), host(2, **OTHER_OS)], {}, id="other-system-with-everything-installed"),
        pytest.param(
            [host(1, docker__networks=[NET], routes=[{"dst": "10.50.0.0/16", "dev": "ovl0", "via": None}]), host(2)],
            {},
            id="own-route",
        ),
        pytest.param([host(1, docker__networks=[{**NET, "mtu": 1400}]), host(2)], {}, id="smaller-network-stays"),
    ],
)
def test_no_problem(hosts: list[Host], wishes: dict[str, t.Any]) -> None:
    """What is allowed, or was asked for by name."""
    assert plan(*hosts, **wishes).problems == []


def test_clone_gets_a_notice() -> None:
    """Another machine with the same machine-id joins, and the operator is told."""
    result = plan(host(1), host(2, **CLONE))
    assert result.problems == []
    assert "clones with the same machine-id id1" in result.notices[0]


def test_absent_hosts_keep_their_slices() -> None:
    """What one reached host recorded counts for hosts that the run does not reach."""
    record = {"pool": "10.50.0.0/16", "slices": {"h1": "10.50.0.0/24", "h2": "10.50.1.0/24", "h3": "10.50.2.0/24"}}
    result = plan(
        host(1, slices=record), Host("h2", "192.0.2.2", None, limited=True), Host("h3", "192.0.2.3", None), host(4)
    )
    assert result.problems == []
    assert result.slices == {**record["slices"], "h4": "10.50.3.0/24"}
    assert "not reached in this run: h2, h3" in result.notices[0]


def test_what_a_host_holds_beats_what_was_recorded() -> None:
    """The network of the host itself is the truth."""
    record = {"pool": "10.50.0.0/16", "slices": {"h1": "10.50.9.0/24", "h2": "10.50.1.0/24"}}
    assert plan(host(1, docker__networks=[NET]), host(2, slices=record)).slices == {
        "h1": "10.50.0.0/24",
        "h2": "10.50.1.0/24",
    }


def test_mtu_follows_the_narrowest_underlay_of_a_new_overlay() -> None:
    """All hosts use one MTU."""
    assert plan(host(1), host(2, interfaces=NARROW)).mtu == 1358


def test_mtu_of_a_living_overlay_is_not_raised() -> None:
    """A wider underlay is no reason to make a network anew that containers use."""
    used = copy.deepcopy(IN_USE)
    used["docker__networks"] = [{**NET, "mtu": 1358}]
    assert plan(host(1, **used), host(2)).mtu == 1358
