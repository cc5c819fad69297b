# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused before any router starts, and what the plan says otherwise."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_names import WeaveHost, derived
from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_plan import Plan, Wish, make_plan

WISH = Wish("10.32.0.0/12", packages={"docker": "Docker Engine"}, secret=["overlay_weave_password"])
SEEDS = "seed=" + ",".join(sorted((derived("h1"), derived("h2"))))

INFO: dict[str, t.Any] = {
    "uid": 0,
    "machine_id": "id",
    "system": {"id": "debian", "like": [], "name": "Debian GNU/Linux 12 (bookworm)", "systemd": True},
    "interfaces": [],
    "routes": [
        {"dst": "default", "dev": "eth0", "via": "198.51.100.1"},
        {"dst": "192.0.2.0/24", "dev": "eth1", "via": None},
    ],
    "docker": {"installed": True, "running": True, "networks": [], "containers": []},
    "slices": {},
}
WEAVE: dict[str, t.Any] = {
    "docker": {"version": "20.10.24", "api_min": "1.12", "api_max": "1.41"},
    "container": None,
    "launch": None,
    "record": {},
    "router": None,
    "ipam": None,
    "listeners": [],
    "database": False,
    "script": None,
    "kernel": {
        "modules": {"openvswitch": True, "vxlan": True},
        "iptables": {"backend": "nft", "legacy_rules": 0},
    },
}


def card(number: int, mtu: int = 1500) -> list[dict[str, t.Any]]:
    """The interface with the underlay address."""
    return [
        {"name": "eth1", "mtu": mtu, "mac": f"02::{number}", "kind": "ether", "addresses": [f"192.0.2.{number}/24"]}
    ]


def host(number: int, pin: str | None = None, settings: dict[str, str] | None = None, **changes: t.Any) -> WeaveHost:
    """Host number of the group, reached; changes are paths with '__' between the keys, those of weave_info begin with w__."""
    tree = {
        "info": {**copy.deepcopy(INFO), "machine_id": f"id{number}", "interfaces": card(number)},
        "w": copy.deepcopy(WEAVE),
    }
    for path, value in changes.items():
        *parents, last = (path if path.startswith("w__") else f"info__{path}").split("__")
        at: t.Any = tree
        for key in parents:
            at = at[key]
        at[last] = value
    return WeaveHost(f"h{number}", f"192.0.2.{number}", tree["info"], pin, False, tree["w"], settings or {})


def absent(number: int, address: str = "", limited: bool = False) -> WeaveHost:
    """Host number of the group, not reached."""
    return WeaveHost(f"h{number}", address or f"192.0.2.{number}", None, limited=limited)


def runs(number: int, **launch: t.Any) -> dict[str, t.Any]:
    """What weave_info says of a host whose router is up."""
    name = derived(f"h{number}")
    return {
        "w__router": {"name": name, "ready": True},
        "w__container": {"state": "running", "image": "rajchaudhuri/weave:2.9.0", "ours": True, "foreign": False},
        "w__launch": {"name": name, "ipalloc_range": "10.32.0.0/12", "ipalloc_init": SEEDS, "mtu": 0, **launch},
        "w__ipam": {"range": launch.get("ipalloc_range", "10.32.0.0/12"), "primed": True},
        "w__database": True,
    }


def plan(*hosts: WeaveHost, **wishes: t.Any) -> Plan:
    """The plan for these hosts."""
    return make_plan(hosts, Wish(**{**WISH.__dict__, **wishes}))


def test_two_good_hosts() -> None:
    """No problem, no notice; a name each, both are seeds, the router's own MTU."""
    assert plan(host(1), host(2)) == Plan(
        problems=[],
        notices=[],
        names={"h1": derived("h1"), "h2": derived("h2")},
        inits={"h1": SEEDS, "h2": SEEDS},
        mtus={"h1": 0, "h2": 0},
        api_versions={"h1": "", "h2": ""},
        interfaces={"h1": "eth1", "h2": "eth1"},
        connection_limit=200,
    )


def listener(
    port: int, proto: str = "tcp", program: str = "nc", pid: int = 42, address: str = "0.0.0.0"
) -> dict[str, t.Any]:
    """Somebody at a port."""
    return {"w__listeners": [{"proto": proto, "port": port, "address": address, "pid": pid, "program": program}]}


def engine(version: str, api_min: str, api_max: str = "1.52") -> dict[str, t.Any]:
    """A Docker Engine that accepts these API versions."""
    return {"w__docker": {"version": version, "api_min": api_min, "api_max": api_max}}


BRIDGE = {"name": "docker0", "mtu": 1500, "mac": "02::9", "kind": "bridge", "addresses": ["172.17.0.1/16"]}
ROUTE = {"routes": [{"dst": "10.0.0.0/8", "dev": "eth0", "via": "198.51.100.9"}]}
SECRETS = [
    host(1, settings={"overlay_weave_password": "canary-one"}),
    host(2, settings={"overlay_weave_password": "canary-two"}),
]
FOREIGN = {"w__container": {"state": "running", "image": "nginx:1", "ours": False, "foreign": True}}


@pytest.mark.parametrize(
    ("hosts", "wishes", "reason"),
    [
        pytest.param([host(1)], {}, "at least 2 hosts, and the group has 1 (h1)", id="one-host"),
        pytest.param(
            [host(1), absent(2, "192.0.2.1")], {}, "have the same underlay address 192.0.2.1", id="one-address-twice"
        ),
        pytest.param(
            [host(1), absent(2, "fc00::2")],
            {},
            "Weave Net is IPv4 only, and the underlay address of host 'h2' is fc00::2",
            id="ipv6",
        ),
        pytest.param(
            [host(1), absent(2, "nosuch.invalid")], {}, "'nosuch.invalid' of host 'h2' is neither", id="unresolved"
        ),
        pytest.param(
            [host(1), host(2, interfaces=card(9))],
            {},
            "192.0.2.2 is on no interface of host 'h2'",
            id="address-elsewhere",
        ),
        pytest.param([host(1), host(2, uid=1000)], {}, "host 'h2': the run is not root", id="no-root"),
        pytest.param(
            [host(1), host(2, system__systemd=False)], {}, "host 'h2': systemd is not the init", id="no-systemd"
        ),
        pytest.param(
            [host(1), host(2)],
            {"range": "10.32.0.0/33"},
            "overlay_pool '10.32.0.0/33' is not an IPv4 network in CIDR form",
            id="prefix",
        ),
        pytest.param(
            [host(1), host(2)],
            {"range": "10.32.0.1/12"},
            "has host bits set; the network is 10.32.0.0/12",
            id="host-bits",
        ),
        pytest.param([host(1), host(2)], {"range": "10.32.0.0"}, "it has no prefix length", id="no-prefix"),
        pytest.param(
            [host(1), host(2)],
            {"range": "10.32.0.0/31"},
            "has 2 addresses, fewer than Weave Net's minimum of 4",
            id="too-small",
        ),
        pytest.param(
            [host(1), host(2), host(3)],
            {"range": "10.32.0.0/30"},
            "one for each of 3 hosts",
            id="too-small-for-so-many",
        ),
        pytest.param([host(1), host(2)], {"range": "fc00::/64"}, "but an IPv6 one", id="range-ipv6"),
        pytest.param([host(1), host(2)], {"range": ""}, "overlay_pool '' is not", id="range-empty"),
        pytest.param(
            [host(1), host(2)],
            {"default_subnet": "10.64.0.0/16"},
            "weave_ipalloc_default_subnet 10.64.0.0/16 is not inside overlay_pool",
            id="subnet-outside",
        ),
        pytest.param(
            [host(1), host(2)],
            {"default_subnet": "10.32.0.5/16"},
            "weave_ipalloc_default_subnet '10.32.0.5/16' is not",
            id="subnet-bits",
        ),
        pytest.param(
            [host(1), host(2)],
            {"default_subnet": "10.32.0.0/31"},
            "weave_ipalloc_default_subnet 10.32.0.0/31 has 2",
            id="subnet-too-small",
        ),
        pytest.param(
            [host(1), host(2, **ROUTE)],
            {},
            "host 'h2': overlay_pool 10.32.0.0/12 overlaps its route 10.0.0.0/8 via 198.51.100.9",
            id="route",
        ),
        pytest.param(
            [host(1), host(2, docker__networks=[{"name": "apps", "subnets": ["10.40.0.0/16"]}])],
            {},
            "host 'h2': overlay_pool 10.32.0.0/12 overlaps Docker network 'apps' (10.40.0.0/16)",
            id="docker-network",
        ),
        pytest.param(
            [host(1, settings={"overlay_pool": "10.32.0.0/12"}), host(2, settings={"overlay_pool": "10.48.0.0/12"})],
            {},
            "overlay_pool is not the same on all hosts (10.32.0.0/12 on h1; 10.48.0.0/12 on h2)",
            id="ranges-differ",
        ),
        pytest.param(
            SECRETS,
            {},
            "overlay_weave_password is not the same on all hosts (one value on h1; another on h2)",
            id="passwords-differ",
        ),
        pytest.param(
            [SECRETS[0], host(2, settings={"overlay_weave_password": ""})],
            {},
            "(one value on h1; not set on h2)",
            id="password-on-one-side",
        ),
        pytest.param(
            [host(1, settings={"overlay_weave_password": ""}), SECRETS[1]],
            {},
            "(not set on h1; one value on h2)",
            id="password-on-the-other-side",
        ),
        pytest.param(
            [host(1, **runs(1, ipalloc_range="10.48.0.0/12")), host(2)],
            {},
            "the router of h1 allocates addresses from 10.48.0.0/12, and overlay_pool is 10.32.0.0/12",
            id="living-range",
        ),
        pytest.param(
            [host(1, w__record={"range": "10.48.0.0/12"}, w__database=True), host(2)],
            {},
            "from 10.48.0.0/12",
            id="recorded-range",
        ),
        pytest.param([host(1, "02:00:00:00:00:01"), host(2, "2::1")], {}, "same peer name", id="name-twice"),
        pytest.param(
            [host(1), absent(2, limited=True)], {}, "because --limit leaves them out", id="limit-on-a-new-network"
        ),
        pytest.param([host(1), host(2)], {"init": "nonsense"}, "weave_ipalloc_init 'nonsense'", id="init"),
        pytest.param(
            [host(1), host(2, **engine("26.1.0", "1.24"))],
            {"image_source": "weaveworks", "version": "2.8.1"},
            "host 'h2': Docker Engine 26.1.0 refuses API versions below 1.24, and weaveworks/weave 2.8.1 speaks 1.18 only; take the maintained one",
            id="docker-too-new",
        ),
        pytest.param(
            [host(1), host(2, **engine("25.0.3", "1.24"))],
            {"image_source": "mirror.example/weaveworks", "version": "2.6.0"},
            "refuses API",
            id="docker-25",
        ),
        pytest.param(
            [host(1), host(2, **engine("1.11.2", "1.12", "1.23"))],
            {},
            "understands API versions up to 1.23",
            id="docker-too-old",
        ),
        pytest.param(
            [host(1), host(2, **listener(6783))],
            {},
            "host 'h2': tcp port 6783 (0.0.0.0) is taken by nc (pid 42)",
            id="port",
        ),
        pytest.param([host(1), host(2, **listener(6783, "udp"))], {}, "udp port 6783", id="port-udp"),
        pytest.param([host(1), host(2, **listener(6784, "udp"))], {}, "udp port 6784", id="port-fast-datapath"),
        pytest.param(
            [host(1), host(2, **listener(6784, address="127.0.0.1"))],
            {},
            "tcp port 6784 (127.0.0.1)",
            id="port-control",
        ),
        pytest.param([host(1), host(2, **listener(6782))], {}, "tcp port 6782", id="port-status"),
        pytest.param(
            [host(1), host(2, **listener(53, "udp", "dnsmasq"))],
            {},
            "taken by dnsmasq (pid 42), and Weave Net needs it; stop",
            id="port-dns",
        ),
        pytest.param(
            [host(1), host(2, **listener(53, address="172.17.0.1"), interfaces=[*card(2), BRIDGE])],
            {},
            "tcp port 53 (172.17.0.1)",
            id="port-dns-on-the-bridge",
        ),
        pytest.param(
            [host(1), host(2, **listener(53, "udp", "dnsmasq"))],
            {},
            "stop that program, or set weave_dns to false",
            id="remedy-dns",
        ),
        pytest.param([host(1), host(2, **listener(6784, "udp"))], {}, "or use another weave_port", id="remedy-port"),
        pytest.param([host(1), host(2, **listener(6782))], {}, "or move that", id="remedy-status"),
        pytest.param([host(1), absent(2, "169.254.1.1")], {}, "not one that other hosts can reach", id="link-local"),
        pytest.param(
            [host(1), host(2, interfaces=[{**card(2)[0], "addresses": ["fc00::2/64"]}])],
            {},
            "192.0.2.2 is on no interface",
            id="other-address",
        ),
        pytest.param(
            [
                host(1),
                host(
                    2,
                    routes=[
                        {"dst": "10.40.0.0/16", "dev": "br-apps", "via": None},
                        {"dst": "192.0.2.0/24", "dev": "eth1", "via": None},
                    ],
                    docker__networks=[{"name": "apps", "subnets": ["10.40.0.0/16"]}],
                ),
            ],
            {},
            "overlaps its route 10.40.0.0/16 dev br-apps",
            id="network-with-its-route-is-told-once",
        ),
        pytest.param([host(1), host(2, **listener(7783))], {"port": 7783}, "tcp port 7783", id="other-port"),
        pytest.param(
            [host(1), host(2, **listener(6783), w__container={"state": "exited", "image": "rajchaudhuri/weave:2.9.0"})],
            {},
            "tcp port 6783",
            id="port-router-is-down",
        ),
        pytest.param(
            [host(1), host(2, **FOREIGN)],
            {},
            "host 'h2': the container 'weave' (image nginx:1) is not a Weave Net router",
            id="foreign",
        ),
        pytest.param(
            [host(1), host(2, interfaces=card(2, 1400))],
            {"mtu": 1376},
            "overlay_mtu 1376 is too large: the underlay of host 'h2' carries at most 1316",
            id="mtu",
        ),
        pytest.param(
            [host(1), host(2, interfaces=card(2, 600))],
            {},
            "host 'h2', interface eth1: its MTU leaves 516 bytes",
            id="mtu-underlay",
        ),
    ],
)
def test_problem(hosts: list[WeaveHost], wishes: dict[str, t.Any], reason: str) -> None:
    """One sentence that names the host, and no other one."""
    problems = plan(*hosts, **wishes).problems
    assert [problem for problem in problems if reason in problem], problems
    assert len(problems) == 1


def test_no_password_is_in_any_message() -> None:
    """Neither whole nor in part."""
    result = plan(*SECRETS)
    assert "canary" not in repr((result.problems, result.notices))


OWN_NETWORK = {
    "docker__networks": [{"name": "weave", "driver": "weavemesh", "subnets": ["10.32.0.0/12"]}],
    "routes": [{"dst": "10.32.0.0/12", "dev": "weave", "via": None}],
}


@pytest.mark.parametrize(
    ("hosts", "wishes"),
    [
        pytest.param([host(1)], {"minimum_hosts": 1}, id="one-host-allowed"),
        pytest.param([host(1), host(2, **ROUTE)], {"allow_overlap": True}, id="overlap-allowed"),
        pytest.param([host(1, **OWN_NETWORK, **runs(1)), host(2)], {}, id="own-network-and-route"),
        pytest.param(
            [host(1, **runs(1, ipalloc_range="10.48.0.0/12")), host(2)],
            {"allow_range_change": True},
            id="range-change-allowed",
        ),
        pytest.param([host(1), host(2)], {"range": "10.32.0.0/30"}, id="smallest-range"),
        pytest.param([host(1), host(2, interfaces=card(2, 660))], {}, id="smallest-underlay"),
        pytest.param([host(1), host(2, interfaces=card(2, 1400))], {"mtu": 1316}, id="mtu-that-just-fits"),
        pytest.param([host(1), host(2, **engine("1.12.0", "1.12", "1.24"))], {}, id="oldest-docker"),
        pytest.param([host(1), host(2)], {"default_subnet": "10.32.0.0/16"}, id="subnet"),
        pytest.param([host(1, **runs(1), **listener(6783, program="weaver")), host(2)], {}, id="router-has-its-ports"),
        pytest.param([host(1, **listener(6783, program="weaver")), host(2)], {}, id="router-of-a-container-just-gone"),
        pytest.param([host(1, **listener(6784, "udp", "", 0)), host(2)], {}, id="vxlan-port-of-the-kernel"),
        pytest.param(
            [host(1), host(2, **listener(53, "udp", "systemd-resolve", address="127.0.0.53"))], {}, id="dns-elsewhere"
        ),
        pytest.param([host(1, **listener(53, "udp", "dnsmasq")), host(2)], {"dns": False}, id="dns-not-wanted"),
        pytest.param([host(1, **listener(6781)), host(2)], {}, id="port-nobody-needs"),
        pytest.param(
            [host(1), host(2)], {"image_source": "weaveworks", "version": "2.8.1"}, id="old-router-old-docker"
        ),
        pytest.param([host(1), host(2, **engine("28.3.0", "1.24"))], {"version": "2.8.10"}, id="new-router-new-docker"),
        pytest.param(
            [host(1), host(2, **engine("26.0.0", "1.24"))], {"version": "latest"}, id="version-without-number"
        ),
        pytest.param(
            [host(1), host(2, **engine("25.0.3", "1.18"))],
            {"image_source": "weaveworks", "version": "2.8.1"},
            id="docker-25-lowered",
        ),
        pytest.param(
            [host(1), host(2, w__docker={"version": "", "api_min": "", "api_max": ""})],
            {"version": "2.8.1"},
            id="no-docker-yet",
        ),
        pytest.param([host(1, **runs(1)), absent(2, limited=True)], {}, id="limit-on-a-network-that-is-known"),
    ],
)
def test_no_problem(hosts: list[WeaveHost], wishes: dict[str, t.Any]) -> None:
    """What is allowed, or was asked for by name."""
    assert plan(*hosts, **wishes).problems == []


def test_every_problem_is_listed_at_once() -> None:
    """An operator cures all of them before the next run."""
    assert len(plan(host(1, uid=5), host(2, system__systemd=False, uid=5), range="10.0.0.1/8").problems) == 4


@pytest.mark.parametrize(
    ("api_min", "expected"),
    [
        pytest.param("1.12", "", id="20.10"),
        pytest.param("1.24", "", id="28"),
        pytest.param("1.44", "1.44", id="29.0"),
        pytest.param("1.40", "1.40", id="29.3"),
    ],
)
def test_api_version(api_min: str, expected: str) -> None:
    """Docker 29 accepts newer versions only than the router speaks by itself."""
    assert plan(host(1, **engine("29.0.0", api_min)), host(2)).api_versions == {"h1": expected, "h2": ""}


SLEEVE = {"w__kernel__modules": {"openvswitch": False, "vxlan": True}}


@pytest.mark.parametrize(
    ("hosts", "wishes", "expected"),
    [
        pytest.param([host(1), host(2, interfaces=card(2, 1460))], {}, {"h1": 0, "h2": 0}, id="just-enough"),
        pytest.param([host(1), host(2, interfaces=card(2, 1459))], {}, {"h1": 1372, "h2": 1372}, id="a-byte-less"),
        pytest.param([host(1), host(2, interfaces=card(2, 1400))], {}, {"h1": 1316, "h2": 1316}, id="narrow"),
        pytest.param([host(1), host(2, interfaces=card(2, 9000))], {"mtu": 1400}, {"h1": 1400, "h2": 1400}, id="given"),
        pytest.param([host(1), host(2, **SLEEVE)], {}, {"h1": 0, "h2": 1376}, id="no-fast-datapath-on-one"),
        pytest.param(
            [host(1), host(2)], {"fast_datapath": "disabled"}, {"h1": 1376, "h2": 1376}, id="no-fast-datapath-wanted"
        ),
        pytest.param([host(1, **runs(1, mtu=1316)), host(2)], {}, {"h1": 1316, "h2": 1316}, id="never-raised"),
        pytest.param(
            [host(1, **runs(1, mtu=1316)), host(2)], {"mtu": 1376}, {"h1": 1376, "h2": 1376}, id="raised-on-request"
        ),
        pytest.param(
            [host(1, **runs(1, mtu=1400)), host(2, interfaces=card(2, 1400))],
            {},
            {"h1": 1316, "h2": 1316},
            id="lowered",
        ),
        pytest.param(
            [host(1, **runs(1, mtu=1316), interfaces=card(1, 1400)), host(2)],
            {},
            {"h1": 1316, "h2": 1316},
            id="stays-at-the-limit",
        ),
        pytest.param(
            [host(1, **runs(1, mtu=1356)), host(2, **runs(2, mtu=1340), interfaces=card(2, 1424))],
            {},
            {"h1": 1340, "h2": 1340},
            id="lowest-of-the-living",
        ),
        pytest.param([host(1, w__kernel=None), host(2)], {}, {"h1": 0, "h2": 0}, id="kernel-not-known"),
        pytest.param([absent(1), absent(2)], {}, {}, id="nobody-reached"),
    ],
)
def test_mtu(hosts: list[WeaveHost], wishes: dict[str, t.Any], expected: dict[str, int]) -> None:
    """All hosts use one; 0 leaves it to the router where that comes to the same."""
    result = plan(*hosts, **wishes)
    assert (result.problems, result.mtus) == ([], expected)


@pytest.mark.parametrize(
    ("hosts", "wishes", "notice"),
    [
        pytest.param(
            [host(1), absent(2)],
            {},
            "not reached in this run: h2; the other hosts keep or get them as peers",
            id="absent",
        ),
        pytest.param([host(1), host(2, machine_id="id1")], {}, "clones with the same machine-id id1", id="clones"),
        pytest.param(
            [host(1), host(2, **SLEEVE)],
            {},
            "host 'h2': its kernel has no openvswitch, so Weave Net's links to it are sleeve",
            id="sleeve",
        ),
        pytest.param(
            [host(1), host(2, w__kernel__iptables={"backend": "nft", "legacy_rules": 3})],
            {},
            "host 'h2': iptables works on nftables, and iptables-legacy holds 3 rules",
            id="both",
        ),
        pytest.param(
            [host(1), host(2, w__kernel__iptables={"backend": "legacy", "legacy_rules": 3})],
            {},
            "host 'h2': iptables is iptables-legacy",
            id="legacy",
        ),
        pytest.param(
            [host(1), host(2, slices={"pool": "10.50.0.0/16", "slices": {"h2": "10.50.0.0/24"}})],
            {},
            "host 'h2' has the overlay of Open vSwitch and GRE too",
            id="other-backend",
        ),
        pytest.param(
            [host(1), host(2), host(3)],
            {"connection_limit": 1},
            "more than weave_connection_limit 1; it is raised to 100",
            id="connections",
        ),
    ],
)
def test_notice(hosts: list[WeaveHost], wishes: dict[str, t.Any], notice: str) -> None:
    """The run goes on, and the operator is told."""
    result = plan(*hosts, **wishes)
    assert result.problems == []
    assert len(result.notices) == 1
    assert notice in result.notices[0]


def test_sleeve_that_was_asked_for_is_no_news() -> None:
    """Only where the fast datapath was expected."""
    assert plan(host(1), host(2, **SLEEVE), fast_datapath="disabled").notices == []


@pytest.mark.parametrize(
    ("count", "wish", "expected"), [(3, 2, 2), (3, 1, 100), (3, 0, 0), (101, 99, 200), (201, 200, 200)]
)
def test_connection_limit(count: int, wish: int, expected: int) -> None:
    """Enough for all others, in steps of a hundred; 0 is any number."""
    assert (
        plan(
            *[absent(number, f"192.0.{number // 200}.{number % 200 + 1}") for number in range(count)],
            connection_limit=wish,
        ).connection_limit
        == expected
    )
