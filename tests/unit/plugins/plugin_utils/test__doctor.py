# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor: nothing to find on healthy hosts, and each rule finds its fault when it is put there."""

from __future__ import annotations

import copy
import functools
import json
import pathlib
import re
import types
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import (
    Case,
    Finding,
    Rule,
    diagnose,
    rule,
)

ROOT = pathlib.Path(__file__).resolve().parents[4]
FIXTURES = ROOT / "tests" / "unit" / "fixtures"
HOSTS = ("h1", "h2", "h3")
ADDRESSES = {"h1": "192.0.2.1", "h2": "192.0.2.2", "h3": "192.0.2.3"}
Change = t.Callable[[dict[str, t.Any]], None]


def host(number: int) -> dict[str, t.Any]:
    """A healthy host with Docker, and nothing else."""
    return {
        "machine_id": f"{number:032x}",
        "identity": {"hostname": f"h{number}", "boot_id": "one for all containers of a machine"},
        "interfaces": [
            card("eth0", f"192.0.2.{number}/24", mac=f"02:00:00:00:01:0{number}"),
            card("docker0", "172.17.0.1/16", kind="bridge", mac="02:42:7d:fb:91:5b"),
        ],
        "routes": [
            {"dst": "default", "dev": "eth0", "via": "192.0.2.254"},
            {"dst": "192.0.2.0/24", "dev": "eth0", "via": None},
            {"dst": "172.17.0.0/16", "dev": "docker0", "via": None},
        ],
        "rates": {"eth0": {"rx_pps": 12000.0, "tx_pps": 9.0, "broadcast_pps": 1.0}},
        "docker": {
            "installed": True,
            "running": True,
            "error": "",
            "iptables": True,
            "firewalld_zone_ok": None,
            "chains": {"expected": ["DOCKER", "DOCKER-USER"], "missing": []},
            "tls": {"enabled": False, "hosts": []},
            "networks": [network("bridge", "172.17.0.0/16", "docker0")],
            "containers": [],
        },
        "openvswitch": {"installed": False, "running": False, "bridges": [], "ports": []},
        "weave": {},
        "firewall": {
            "firewalls": [{"name": "iptables-nft", "acts": True}],
            "blocked": [],
            "bridged_packets_filtered": True,
        },
        "filters": {
            "forward_policy": {"nft": "DROP", "legacy": None},
            "backends": {"nft_rules": 12, "legacy_rules": 0},
        },
        "time": TIME,
        "kernel": {
            "modules": {"openvswitch": "loaded", "gre": "loaded", "vxlan": "available"},
            "sysctls": {
                "net.ipv4.ip_forward": "1",
                "net.bridge.bridge-nf-call-iptables": "1",
                "net.ipv4.conf.all.rp_filter": "0",
                "net.ipv4.conf.eth0.rp_filter": "1",
                "net.ipv4.neigh.default.gc_thresh3": "1024",
                "net.netfilter.nf_conntrack_max": "65536",
                "net.netfilter.nf_conntrack_count": "120",
            },
            "table_fulls": 7,
            "log": [],
        },
        "resources": {"disk": [{"path": "/", "free_bytes": 9 * 10**9, "total_bytes": 10**10, "read_only": False}]},
        "slices": {},
        "listeners": [{"proto": "tcp", "address": "127.0.0.53", "port": 53, "pid": 7, "program": "systemd-resolve"}],
        "errors": {},
    }


TIME = {
    "settable": True,
    "daemon": "chrony",
    "daemons": [
        {"name": "chrony", "active": True, "enabled": True},
        {"name": "ntpsec", "active": False, "enabled": False},
    ],
    "synchronised": True,
    "reference": "192.0.2.123",
    "error": 0.001,
    "sources": ["192.0.2.123"],
    "silent": [],
    "why_not_settable": "",
}


def card(
    name: str, *addresses: str, mtu: int = 1500, kind: str = "ether", mac: str = "02::1", **more: t.Any
) -> dict[str, t.Any]:
    """An interface."""
    fixed = {
        "name": name,
        "mtu": mtu,
        "mac": mac,
        "kind": kind,
        "master": None,
        "up": True,
        "addresses": list(addresses),
    }
    return {**fixed, "carrier": True, "operstate": "UP", **more}


def network(name: str, pool: str, bridge: str, **more: t.Any) -> dict[str, t.Any]:
    """A Docker network."""
    fixed = {
        "name": name,
        "driver": "bridge",
        "pool": pool,
        "slice": pool,
        "mtu": None,
        "label": None,
        "bridge": bridge,
    }
    return {**fixed, "subnets": [pool], **more}


def port(number: int, to: int, **more: t.Any) -> dict[str, t.Any]:
    """A tunnel of ours."""
    options = {"remote_ip": f"192.0.2.{to}", "local_ip": f"192.0.2.{number}", "key": "1", "df_default": "true"}
    fixed = {"name": f"gre-h{to}", "bridge": "br-overlay", "type": "gre", "options": options, "ofport": to, "error": ""}
    return {**fixed, "health": "up", "protected": True, "owner": "ovs_gre", "egress": None, **more}


def gre(datapath: str = "system") -> dict[str, t.Any]:
    """Three healthy hosts with our overlay over GRE; with netdev the card is in br-phy."""
    infos = {}
    for number in (1, 2, 3):
        info = host(number)
        ovs = {"installed": True, "running": True, "database_ok": True, "vswitchd_ok": True, "errors": [], "log": []}
        bridge = {
            "stp": False,
            "rstp": False,
            "controller": False,
            "flows_normal": True,
            "datapath": datapath,
            "mark": "ovs_gre",
        }
        peers = [other for other in (1, 2, 3) if other != number]
        egress = "br-phy" if datapath == "netdev" else None
        link = {
            "name": "ovl-link",
            "bridge": "br-overlay",
            "type": "internal",
            "options": {},
            "health": "up",
            "owner": "ovs_gre",
        }
        ports = [port(number, to, egress=egress) for to in peers] + [link]
        ovs.update(bridges=[{**bridge, "name": "br-overlay"}], ports=ports, live_tunnels=[f"gre-h{to}" for to in peers])
        info["openvswitch"] = ovs
        pool = {"label": "overlay", "slice": f"10.50.{number}.0/24", "gateway": f"10.50.{number}.1", "mtu": 1458}
        info["docker"]["networks"].append(network("overlay", "10.50.0.0/16", "ovl0", **pool))
        info["docker"]["containers"] = [
            {
                "name": "app",
                "running": True,
                "networks": ["overlay"],
                "addresses": {"overlay": f"10.50.{number}.2"},
                "error": "",
            }
        ]
        info["slices"] = {"pool": "10.50.0.0/16", "slices": {"h1": "10.50.1.0/24"}}
        info["interfaces"] += [
            card("ovl0", f"10.50.{number}.1/16", mtu=1458, kind="bridge"),
            card(
                "ovl-link",
                mtu=1458,
                kind="tun",
                master="ovl0",
                operstate="UNKNOWN",
                offloads={"tx-checksumming": False},
            ),
        ]
        info["routes"].append({"dst": "10.50.0.0/16", "dev": "ovl0", "via": None})
        if datapath == "netdev":
            info["interfaces"][0]["addresses"] = []
            info["interfaces"][0]["offloads"] = {"tx-checksumming": False, "tso": False}
            info["interfaces"].append(card("br-phy", f"192.0.2.{number}/24", kind="tun", operstate="UNKNOWN"))
            ovs["bridges"].append({**bridge, "name": "br-phy"})
            ovs["ports"].append(
                {"name": "eth0", "bridge": "br-phy", "type": "", "options": {}, "health": "up", "owner": "ovs_gre"}
            )
            info["routes"][1]["dev"] = "br-phy"
            info["kernel"]["modules"]["openvswitch"] = "absent"
        infos[f"h{number}"] = info
    return case("ovs_gre", infos)


def connection(to: int, **more: t.Any) -> dict[str, t.Any]:
    """A link of a router."""
    name = f"02:00:00:00:00:0{to}"
    fixed = {"address": f"192.0.2.{to}:6783", "outbound": True, "state": "established", "mode": "fastdp", "mtu": 1376}
    return {**fixed, "info": f"fastdp {name}(h{to}) mtu=1376", "encrypted": False, "peer": name, **more}


def weave() -> dict[str, t.Any]:
    """Three healthy hosts with Weave Net."""
    infos = {}
    for number in (1, 2, 3):
        info = host(number)
        name = f"02:00:00:00:00:0{number}"
        owners = [
            {"peer": f"02:00:00:00:00:0{to}", "nickname": f"h{to}", "addresses": 1000, "reachable": True}
            for to in (1, 2, 3)
        ]
        info["weave"] = {
            "installed": True,
            "docker": {"version": "20.10.24", "api_min": "1.12", "api_max": "1.41"},
            "container": {
                "state": "running",
                "image": "rajchaudhuri/weave:2.9.0",
                "args": [],
                "restart_policy": "always",
                "ours": True,
                "foreign": False,
            },
            "launch": {
                "port": 6783,
                "name": name,
                "fast_datapath": True,
                "plugin": True,
                "password_set": True,
                "mtu": 0,
            },
            "record": {"name": name, "range": "10.32.0.0/12"},
            "router": {
                "ready": True,
                "version": "2.9.0",
                "name": name,
                "nickname": f"h{number}",
                "port": 6783,
                "connections": [connection(to) for to in (1, 2, 3) if to != number],
            },
            "ipam": {"range": "10.32.0.0/12", "status": "ready", "primed": True, "owners": owners},
            "dns": {"domain": "weave.local.", "address": "172.17.0.1:53", "entries": []},
            "listeners": [
                {"proto": "tcp", "address": "*", "port": 6783, "pid": 99, "program": "weaver"},
                {"proto": "udp", "address": "0.0.0.0", "port": 6784, "pid": None, "program": None},
            ],
            "database": True,
            "kernel": {"modules": {"openvswitch": True, "vxlan": True}},
            "log": ["INFO: 2026/11/23 06:34:36 ->[192.0.2.9:6783] error: dial tcp: connect: no route to host"],
        }
        info["docker"]["networks"].append(
            network("weave", "10.32.0.0/12", "", driver="weavemesh", label="weave", slice="10.32.0.0/12", mtu=None)
        )
        info["interfaces"].append(card("weave", mtu=1376, kind="bridge"))
        infos[f"h{number}"] = info
    return case("weave", infos)


def plain() -> dict[str, t.Any]:
    """Three hosts that nobody joined."""
    return case(None, {f"h{number}": host(number) for number in (1, 2, 3)})


def by_hand(loop: bool = False) -> dict[str, t.Any]:
    """Three hosts with tunnels made by ovs-vsctl: a chain, or a circle."""
    infos = {}
    for number in (1, 2, 3):
        info = host(number)
        info["docker"] = {"installed": False, "running": False, "error": "", "networks": [], "containers": []}
        peers = [other for other in (1, 2, 3) if other != number and (loop or {number, other} != {1, 3})]
        ports = [
            port(
                number,
                to,
                name=f"gre{to}",
                bridge="br0",
                owner=None,
                protected=False,
                options={"remote_ip": f"192.0.2.{to}"},
            )
            for to in peers
        ]
        bridge = {"name": "br0", "datapath": "system", "stp": False, "rstp": False, "mark": None, "flows_normal": True}
        info["openvswitch"] = {
            "installed": True,
            "running": True,
            "database_ok": True,
            "vswitchd_ok": True,
            "bridges": [bridge],
            "ports": ports,
            "live_tunnels": [item["name"] for item in ports],
        }
        infos[f"h{number}"] = info
    return case(None, infos)


def case(backend: str | None, infos: dict[str, t.Any]) -> dict[str, t.Any]:
    """The arguments of a case."""
    clocks = {
        name: {"clock": {"offset": 0.0001, "bound": 0.0002, "epoch": 1000.0}, "time": copy.deepcopy(TIME)}
        for name in infos
    }
    return {
        "hosts": HOSTS,
        "infos": copy.deepcopy(infos),
        "unreachable": {},
        "clocks": clocks,
        "report": None,
        "addresses": dict(ADDRESSES),
        "backend": backend,
        "wish": {"network": "overlay", "topology": "mesh"},
    }


KINDS: dict[str, t.Callable[[], dict[str, t.Any]]] = {
    "gre": gre,
    "netdev": functools.partial(gre, "netdev"),
    "weave": weave,
    "plain": plain,
    "by_hand": by_hand,
    "loop": functools.partial(by_hand, True),
}


def found(kind: str, change: Change | None = None) -> tuple[Finding, ...]:
    """What the doctor says of a kind of hosts after a change."""
    arguments = KINDS[kind]()
    if change:
        change(arguments)
    return diagnose(Case(**arguments))


def put(name: str, path: str, value: t.Any, *more: t.Any) -> Change:
    """A change of one fact of a host; numbers in the path are places in lists. Further triples of the same follow."""

    def change(arguments: dict[str, t.Any]) -> None:
        at: t.Any = arguments["infos"][name]
        *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
        for key in parents:
            at = at[key]
        if value is GONE:
            del at[last]
        else:
            at[last] = value
        if more:
            put(*more)(arguments)

    return change


GONE = object()


def arguments_with(**values: t.Any) -> Change:
    """A change of the case itself."""
    return lambda arguments: arguments.update(values)


def pair(source: str, target: str, fault: str, reason: str, **more: t.Any) -> types.SimpleNamespace:
    """A direction that was tried."""
    ends = {"source": source, "target": target, "source_address": "10.50.1.9", "target_address": "10.50.2.9"}
    return types.SimpleNamespace(**ends, fault=fault, reason=reason, remedy="Look there.", cell="", **more)


def sent(*pairs: types.SimpleNamespace) -> Change:
    """Packets were sent, and these directions failed."""
    good = pair("h1", "h2", "", "")
    return arguments_with(report=types.SimpleNamespace(pairs=(good, *pairs), local=(), containers=(), failures={}))


def link(number: int, to: int, state: str, info: str) -> Change:
    """A router that does not get through to another, which does not get through to it."""

    def change(arguments: dict[str, t.Any]) -> None:
        mine = arguments["infos"][f"h{number}"]["weave"]["router"]["connections"]
        mine[:] = [item for item in mine if item["peer"] != f"02:00:00:00:00:0{to}"]
        mine.append(connection(to, state=state, info=info, mode=None, mtu=None, peer=None))
        other = arguments["infos"][f"h{to}"]["weave"]["router"]["connections"]
        other[:] = [item for item in other if item["peer"] != f"02:00:00:00:00:0{number}"]

    return change


def down(number: int, *log: str, **container: t.Any) -> Change:
    """A router that does not answer, with its last words."""

    def change(arguments: dict[str, t.Any]) -> None:
        facts = arguments["infos"][f"h{number}"]["weave"]
        facts.update(router=None, ipam=None, dns=None, log=list(log))
        facts["container"].update({"state": "exited", **container})
        for other in {1, 2, 3} - {number}:
            words = f"dial tcp :0->192.0.2.{number}:6783: connect: connection refused"
            rest = arguments["infos"][f"h{other}"]["weave"]["router"]["connections"]
            rest[:] = [item for item in rest if item["peer"] != f"02:00:00:00:00:0{number}"]
            rest.append(connection(number, state="failed", info=words, mode=None, peer=None))

    return change


def both(*changes: Change) -> Change:
    """Several changes."""

    def change(arguments: dict[str, t.Any]) -> None:
        for each in changes:
            each(arguments)

    return change


def block(
    hook: str, text: str, sources: t.Sequence[str] = (), opened: bool = False, traffic: str = "gre"
) -> dict[str, t.Any]:
    """A rule that firewall_info found."""
    return {
        "firewall": "iptables-nft",
        "hook": hook,
        "rule": text,
        "traffic": traffic,
        "sources": list(sources),
        "opened": opened,
    }


def recorded(name: str) -> str:
    """The words of a real router about its one link that failed."""
    report = json.loads((FIXTURES / "weave" / name).read_text(encoding="utf-8"))
    return next(item["Info"] for item in report["Router"]["Connections"] if item["State"] != "established")


def renamed(arguments: dict[str, t.Any]) -> None:
    """Clones: two routers of one name."""
    arguments["infos"]["h2"]["weave"]["router"]["name"] = "02:00:00:00:00:01"


def clock(offset: float) -> Change:
    """A clock that is ahead."""
    return lambda arguments: arguments["clocks"]["h2"]["clock"].update(offset=offset)


def timed(**values: t.Any) -> Change:
    """What h2 says of its time daemon."""
    return lambda arguments: arguments["clocks"]["h2"]["time"].update(values)


OTHER_KEY = {"remote_ip": "192.0.2.1", "local_ip": "192.0.2.2", "key": "7"}
COLLISION = 'local "ce:9a:3a:19:95:c3(h2)" and remote "ce:9a:3a:19:95:c3(h1)" peer names collision, retry: never'
REJECT = "-A INPUT -j REJECT --reject-with icmp-host-prohibited"
NO_FAMILY = "could not add network device gre-h1 to ofproto (Address family not supported by protocol)"
TWO_WAYS = [{"dst": "192.0.2.0/24", "dev": "eth0", "via": None}, {"dst": "192.0.2.1/32", "dev": "eth9", "via": None}]

# id of the finding that comes first, the hosts, the change, the first of the hosts it names
FIRES: list[tuple[str, str, Change | None, str | None]] = [
    (
        "host-unreachable",
        "gre",
        both(
            arguments_with(unreachable={"h2": "ssh: connect to host 192.0.2.2 port 22: timed out"}),
            lambda a: a["infos"].pop("h2"),
        ),
        "h2",
    ),
    ("host-not-read", "gre", lambda a: a["infos"].update(h2={"failed": "no Python"}), "h2"),
    ("overlay-absent", "plain", arguments_with(backend="ovs_gre"), "h1"),
    (
        "docker-missing",
        "weave",
        lambda a: a["infos"]["h2"].update(docker={"installed": False, "running": False}, weave={}),
        "h2",
    ),
    (
        "docker-hangs",
        "gre",
        put(
            "h2",
            "docker",
            {
                "installed": True,
                "running": False,
                "error": "'docker version' did not end within 20 seconds and was stopped: no output",
            },
        ),
        "h2",
    ),
    (
        "docker-stopped",
        "gre",
        put("h2", "docker", {"installed": True, "running": False, "error": "Cannot connect to the Docker daemon"}),
        "h2",
    ),
    ("ovs-missing", "gre", put("h2", "openvswitch", {"installed": False, "running": False}), "h2"),
    (
        "ovs-database-down",
        "gre",
        put(
            "h2",
            "openvswitch",
            {"installed": True, "running": False, "database_ok": False, "errors": ["database connection failed"]},
        ),
        "h2",
    ),
    (
        "ovs-vswitchd-down",
        "gre",
        put("h2", "openvswitch/vswitchd_ok", False, "h2", "openvswitch/live_tunnels", []),
        "h2",
    ),
    ("disk-full", "gre", put("h2", "resources/disk/0/free_bytes", 0), "h2"),
    ("read-only-etc", "gre", put("h2", "resources/disk/0/read_only", True), "h2"),
    ("machine-twice", "gre", put("h2", "machine_id", f"{1:032x}", "h2", "interfaces/0/mac", "02:00:00:00:01:01"), "h2"),
    ("machine-id-clone", "gre", put("h2", "machine_id", f"{1:032x}"), "h2"),
    ("address-twice", "gre", lambda a: a["addresses"].update(h2="192.0.2.1"), "h1"),
    ("address-twice", "gre", put("h3", "interfaces/0/addresses", ["192.0.2.3/24", "192.0.2.2/24"]), "h3"),
    ("address-twice", "gre", put("h2", "docker/containers/0/addresses/overlay", "10.50.1.2"), "h1"),
    ("address-twice", "gre", sent(pair("h1", "h2", "address_twice", "the address 10.50.0.2 is held by h1, h2")), "h1"),
    ("gre-key-mismatch", "gre", put("h2", "openvswitch/ports/0/options", OTHER_KEY), "h2"),
    ("gre-remote-mismatch", "gre", put("h2", "openvswitch/ports/0/options/remote_ip", "192.0.2.99"), "h2"),
    ("gre-remote-mismatch", "gre", put("h2", "openvswitch/ports/0/options/local_ip", "192.0.2.99"), "h2"),
    ("gre-one-way", "gre", put("h2", "openvswitch/ports/0", GONE), "h2"),
    ("tunnel-missing", "gre", put("h2", "openvswitch/ports/0", GONE, "h1", "openvswitch/ports/0", GONE), "h1"),
    ("tunnel-duplicate", "gre", put("h2", "openvswitch/ports/0/options/remote_ip", "192.0.2.3"), "h2"),
    (
        "tunnel-dead",
        "gre",
        put("h2", "openvswitch/ports/0/health", "dead", "h2", "openvswitch/ports/0/ofport", -1),
        "h2",
    ),
    ("tunnel-options-refused", "gre", put("h2", "openvswitch/ports/0/options/key", "abc"), "h2"),
    (
        "kernel-without-gre",
        "gre",
        put("h2", "openvswitch/ports/0/health", "dead", "h2", "openvswitch/ports/0/error", NO_FAMILY),
        "h2",
    ),
    ("bridge-loop", "loop", None, "h1"),
    ("storm", "gre", put("h2", "rates/gre-h1", {"rx_pps": 6000.0, "broadcast_pps": 5990.0}), "h2"),
    ("storm", "gre", sent(pair("h2", "h1", "storm", "1 request came back 4823 times")), "h2"),
    ("port-unprotected", "gre", put("h2", "openvswitch/ports/0/protected", False), "h2"),
    ("link-missing", "gre", put("h2", "interfaces/3/master", None), "h2"),
    (
        "port-stale",
        "gre",
        lambda a: a["infos"]["h2"]["openvswitch"]["ports"].append(
            {
                "name": "veth1",
                "type": "",
                "options": {},
                "error": "could not open network device veth1 (No such device)",
            }
        ),
        "h2",
    ),
    (
        "tunnel-egress-missing",
        "netdev",
        put("h2", "interfaces/4/addresses", [], "h2", "interfaces/0/addresses", ["192.0.2.2/24"]),
        "h2",
    ),
    ("offload-on", "netdev", put("h2", "interfaces/0/offloads/tx-checksumming", True), "h2"),
    ("datapath-userspace", "netdev", put("h2", "kernel/modules/openvswitch", "available"), "h2"),
    ("mtu-too-large", "gre", put("h2", "interfaces/0/mtu", 1400), "h2"),
    ("mtu-too-large", "gre", sent(pair("h2", "h1", "mtu", "packets of 1458 bytes are lost, small ones pass")), "h1"),
    ("mtu-differs", "gre", put("h2", "docker/networks/1/mtu", 1400), "h2"),
    (
        "pools-overlap",
        "gre",
        lambda a: a["infos"]["h2"]["routes"].append({"dst": "10.50.3.0/24", "dev": "eth9", "via": None}),
        "h2",
    ),
    ("slices-overlap", "gre", put("h2", "docker/networks/1/slice", "10.50.1.0/24"), "h2"),
    ("docker-network-missing", "gre", put("h2", "docker/networks/1", GONE), "h2"),
    ("underlay-address-missing", "gre", put("h2", "interfaces/0/addresses", ["198.51.100.7/24"]), "h2"),
    ("underlay-down", "gre", put("h2", "interfaces/0/carrier", False), "h2"),
    (
        "firewall-blocks",
        "gre",
        put("h2", "firewall/blocked", [block("input", REJECT, ["192.0.2.1", "192.0.2.3"])]),
        "h2",
    ),
    (
        "firewall-one-way",
        "gre",
        put("h2", "firewall/blocked", [block("input", "-A INPUT -s 192.0.2.1/32 -p gre -j DROP", ["192.0.2.1"])]),
        "h2",
    ),
    ("forward-drop", "gre", put("h2", "firewall/blocked", [block("forward", "-P FORWARD DROP")]), "h2"),
    ("bridge-filtered", "gre", put("h2", "firewall/blocked", [block("forward", "-A FORWARD -j REJECT")]), "h2"),
    ("docker-chains-missing", "gre", put("h2", "docker/chains/missing", ["DOCKER", "DOCKER-USER"]), "h2"),
    ("docker-firewalld-zone", "gre", put("h2", "docker/firewalld_zone_ok", False), "h2"),
    ("legacy-and-nft", "gre", put("h2", "filters/backends/legacy_rules", 3), "h2"),
    ("rp-filter-asymmetric", "gre", put("h2", "routes", TWO_WAYS), "h2"),
    ("ip-forward-off", "gre", put("h2", "kernel/sysctls/net.ipv4.ip_forward", "0"), "h2"),
    ("neighbour-table-full", "gre", put("h2", "kernel/log", ["neighbour: arp_cache: neighbor table overflow!"]), "h2"),
    ("conntrack-full", "gre", put("h2", "kernel/sysctls/net.netfilter.nf_conntrack_count", "65536"), "h2"),
    (
        "port-taken",
        "weave",
        both(
            down(2),
            put(
                "h2",
                "weave/listeners",
                [{"proto": "tcp", "address": "0.0.0.0", "port": 6783, "pid": 5, "program": "nc"}],
            ),
        ),
        "h2",
    ),
    ("weave-router-state", "weave", down(2), "h2"),
    ("weave-router-state", "weave", down(2, state="paused"), "h2"),
    ("weave-foreign-container", "weave", down(2, foreign=True, image="nginx:1"), "h2"),
    (
        "weave-database-damaged",
        "weave",
        down(2, "FATA: 2026/11/23 06:34:36 [boltDB] Failed to open /weavedb/weavedata.db: invalid database"),
        "h2",
    ),
    (
        "weave-bridge-state",
        "weave",
        down(2, "FATA: 2026/11/23 06:34:36 Inconsistent bridge state detected. Please do 'weave reset' and try again"),
        "h2",
    ),
    (
        "weave-api-version",
        "weave",
        down(2, "FATA: client version 1.18 is too old. Minimum supported API version is 1.24"),
        "h2",
    ),
    (
        "weave-two-starters",
        "weave",
        put("h2", "weave/units", {"weave.service": {"enabled": "enabled", "active": "active"}}),
        "h2",
    ),
    (
        "weave-tls-detection",
        "weave",
        put(
            "h2",
            "weave/log",
            ["Warning: unable to detect proxy TLS configuration. To enable TLS, launch the proxy with 'weave launch'"],
        ),
        "h2",
    ),
    (
        "weave-plugin-down",
        "weave",
        put(
            "h2",
            "docker/containers",
            [
                {
                    "name": "app",
                    "running": False,
                    "error": "legacy plugin: dial unix /run/docker/plugins/weavemesh.sock: plugin weavemesh not found",
                }
            ],
        ),
        "h2",
    ),
    (
        "weave-entrypoint-left",
        "weave",
        put(
            "h2",
            "docker/containers",
            [{"name": "app", "running": False, "entrypoint_missing": True, "error": "exec: /w/w: no such file"}],
        ),
        "h2",
    ),
    (
        "weave-clock-skew",
        "weave",
        link(2, 1, "failed", recorded("report_clock_skew.json").replace("172.31.0.2", "192.0.2.1")),
        "h1",
    ),
    ("weave-name-collision", "weave", renamed, "h2"),
    ("weave-name-collision", "weave", link(2, 1, "failed", COLLISION), "h1"),
    ("weave-password-missing", "weave", put("h2", "weave/launch/password_set", False), "h2"),
    ("weave-password-missing", "weave", link(2, 1, "failed", recorded("report_pw_one_side.json")), "h1"),
    (
        "weave-password-differs",
        "weave",
        both(
            link(2, 1, "failed", recorded("report_pw_differs.json")),
            link(2, 3, "failed", recorded("report_pw_differs.json")),
        ),
        "h2",
    ),
    (
        "weave-connection-refused",
        "weave",
        link(2, 1, "failed", "dial tcp :0->192.0.2.1:6783: connect: connection refused, retry: 2026"),
        "h1",
    ),
    ("weave-connection-blocked", "weave", link(2, 1, "failed", recorded("report_fw_reject.json")), "h1"),
    ("weave-connection-blocked", "weave", link(2, 1, "connecting", ""), "h1"),
    (
        "weave-udp-blocked",
        "weave",
        link(2, 1, "pending", "encrypted   sleeve 02:00:00:00:00:01(h1) encrypted=truemtu=65535"),
        "h1",
    ),
    ("weave-connection-limit", "weave", link(2, 1, "failed", "Connection limit reached (200), retry: 2026"), "h1"),
    (
        "weave-connection-limit",
        "weave",
        both(
            put("h2", "weave/launch/connection_limit", 1),
            put("h1", "weave/launch/connection_limit", 200),
            link(2, 1, "failed", "Connection limit reached (1), retry: 2026"),
        ),
        "h2",
    ),
    (
        "weave-version-differs",
        "weave",
        link(2, 1, "failed", "remote version range [1,1] is incompatible with ours"),
        "h1",
    ),
    ("weave-peer-unresolved", "weave", link(2, 1, "failed", "dial tcp: lookup h1: no such host"), "h1"),
    ("weave-range-differs", "weave", put("h2", "weave/ipam/range", "10.64.0.0/12"), "h2"),
    (
        "weave-range-differs",
        "weave",
        link(
            2,
            1,
            "failed",
            "Incompatible IP allocation ranges (received: 10.64.0.0-10.79.255.255, ours: 10.32.0.0-10.47.255.255)",
        ),
        "h1",
    ),
    (
        "weave-seed-differs",
        "weave",
        link(2, 1, "failed", "IP allocation was seeded by different peers (received: [a], ours: [b])"),
        "h1",
    ),
    (
        "weave-sleeve",
        "weave",
        put(
            "h2",
            "weave/router/connections/0",
            connection(1, mode="sleeve", mtu=1438, info="sleeve 02:00:00:00:00:01(h1) mtu=1438"),
        ),
        "h2",
    ),
    ("weave-ipam-quorum", "weave", put("h2", "weave/ipam/status", "awaiting consensus (quorum: 2, known: 1)"), "h2"),
    (
        "weave-peer-unreachable-owner",
        "weave",
        put(
            "h2",
            "weave/ipam/owners",
            [{"peer": "02:00:00:00:00:09", "nickname": "h9", "addresses": 500, "reachable": False}],
        ),
        "h2",
    ),
    (
        "weave-dns",
        "weave",
        sent(pair("h1", "h2", "name", "packets pass, but the name probe-h2.weave.local does not resolve")),
        "h1",
    ),
    ("clock-skew", "gre", clock(1200.0), "h2"),
    (
        "time-daemons-two",
        "gre",
        timed(daemons=[{"name": "chrony", "active": True}, {"name": "ntpsec", "active": True}]),
        "h2",
    ),
    ("ntp-silent", "gre", timed(synchronised=False, silent=["192.0.2.123"]), "h2"),
    ("clock-unsynchronised", "gre", timed(synchronised=False), "h2"),
    ("packet-loss", "gre", sent(pair("h3", "h2", "loss", "100% loss")), "h2"),
    ("packet-loss", "gre", sent(pair("h3", "h2", "partial_loss", "20% loss of 5 requests")), "h2"),
    ("packet-duplicates", "gre", sent(pair("h3", "h2", "duplicates", "5 duplicate answers to 5 requests")), "h2"),
    ("fragments-lost", "gre", sent(pair("h3", "h2", "fragment", "a packet of 3200 bytes in fragments is lost")), "h2"),
    ("tcp-fails", "gre", sent(pair("h3", "h2", "tcp", "TCP failed: timed out")), "h2"),
    ("udp-fails", "gre", sent(pair("h3", "h2", "udp", "UDP failed: no answer")), "h2"),
    ("icmp-blocked", "gre", sent(pair("h3", "h2", "icmp_only", "100% loss, but TCP works")), "h2"),
    ("not-probed", "gre", sent(pair("h3", "h2", "not_run", "not measured")), "h2"),
]


@pytest.mark.parametrize(
    ("name", "kind", "change", "first"), FIRES, ids=[f"{at}-{entry[0]}" for at, entry in enumerate(FIRES)]
)
def test_names_the_fault_first(name: str, kind: str, change: Change | None, first: str | None) -> None:
    findings = found(kind, change)

    assert findings, "no finding"
    assert (findings[0].id, findings[0].hosts[0]) == (name, first), [(item.id, item.hosts) for item in findings]
    assert "rule-broken" not in {item.id for item in findings}
    for item in findings:
        assert item.severity in ("error", "warning", "note")
        assert item.summary
        assert item.cause
        assert item.remedy.endswith(".")
        assert all(re.match(r"(h\d|controller): \S", line) for line in item.evidence), item.evidence
        assert item.evidence
        assert all(re.match(r"h\d\$ \S|ansible|ping ", line) for line in item.commands), item.commands


@pytest.mark.parametrize("kind", ["gre", "netdev", "weave", "plain", "by_hand"])
def test_nothing_on_healthy_hosts(kind: str) -> None:
    assert found(kind) == ()
    assert found(kind, sent()) == ()
    assert found(kind, arguments_with(backend=None)) == ()


def hub(arguments: dict[str, t.Any]) -> None:
    """A hub and two spokes."""
    for number, at in ((2, 1), (3, 1)):
        del arguments["infos"][f"h{number}"]["openvswitch"]["ports"][at]
    for info in arguments["infos"].values():
        for item in info["openvswitch"]["ports"]:
            item["protected"] = False
    arguments["wish"]["topology"] = "hub"


def rstp(arguments: dict[str, t.Any]) -> None:
    """Bridges that keep loops open."""
    for info in arguments["infos"].values():
        info["openvswitch"]["bridges"][0]["rstp"] = True


def limited(arguments: dict[str, t.Any]) -> None:
    """Only two of three hosts are looked at."""
    arguments["hosts"] = ("h1", "h2")
    del arguments["infos"]["h3"], arguments["clocks"]["h3"]


NEAR: list[tuple[str, str, Change]] = [
    ("a hub's ports are not protected", "gre", hub),
    ("RSTP opens loops", "loop", rstp),
    ("a host outside --limit", "gre", limited),
    ("a host outside --limit of Weave Net", "weave", limited),
    ("a rule with an opening beside it", "gre", put("h2", "firewall/blocked", [block("input", REJECT, opened=True)])),
    (
        "bridged packets pass no firewall",
        "gre",
        put("h2", "firewall", {"blocked": [block("forward", "-P FORWARD DROP")], "bridged_packets_filtered": False}),
    ),
    (
        "sleeve, because a kernel cannot more",
        "weave",
        put(
            "h2", "weave/kernel/modules/vxlan", False, "h2", "weave/router/connections/0", connection(1, mode="sleeve")
        ),
    ),
    (
        "an attempt beside a link that stands",
        "weave",
        lambda a: a["infos"]["h2"]["weave"]["router"]["connections"].append(
            connection(
                1, state="failed", info="Multiple connections to 02:00:00:00:00:01(h1) added to 02:00:00:00:00:02(h2)"
            )
        ),
    ),
    (
        "itself among its peers",
        "weave",
        lambda a: a["infos"]["h2"]["weave"]["router"]["connections"].append(
            connection(2, state="failed", info="cannot connect to ourself, retry: never", peer=None)
        ),
    ),
    (
        "userspace that was asked for",
        "netdev",
        both(put("h2", "kernel/modules/openvswitch", "loaded"), lambda a: a["wish"].update(datapath="netdev")),
    ),
    ("one of several servers is silent", "gre", timed(sources=["a", "b"], silent=["a"])),
    ("a clock that belongs to another machine", "gre", timed(synchronised=False, settable=False, daemon="")),
    (
        "a wide route over there, and it was said to be fine",
        "gre",
        both(
            lambda a: a["infos"]["h2"]["routes"].append({"dst": "10.0.0.0/8", "dev": "eth9", "via": None}),
            lambda a: a["wish"].update(allow_overlap=True),
        ),
    ),
    (
        "a small disk on purpose",
        "gre",
        put(
            "h2",
            "resources/disk/0",
            {"path": "/var/lib/crosshost-overlay", "free_bytes": 900000, "total_bytes": 1000000, "read_only": False},
        ),
    ),
    ("Docker without iptables", "gre", put("h2", "docker/chains/missing", ["DOCKER"], "h2", "docker/iptables", False)),
    (
        "a stopped Docker that nobody needs",
        "plain",
        put("h2", "docker", {"installed": True, "running": False, "error": "Cannot connect"}),
    ),
    (
        "Open vSwitch that nobody uses",
        "weave",
        put("h2", "openvswitch", {"installed": True, "running": False, "database_ok": False}),
    ),
    (
        "two overlays with keys of their own",
        "gre",
        lambda a: [
            a["infos"][f"h{one}"]["openvswitch"]["ports"].append(
                port(
                    one,
                    two,
                    name="other",
                    bridge="br9",
                    owner=None,
                    options={"remote_ip": f"192.0.2.{two}", "key": "9"},
                )
            )
            or a["infos"][f"h{one}"]["openvswitch"]["live_tunnels"].append("other")
            for one, two in ((1, 2), (2, 1))
        ],
    ),
]


@pytest.mark.parametrize(("kind", "change"), [entry[1:] for entry in NEAR], ids=[entry[0] for entry in NEAR])
def test_no_false_alarm(kind: str, change: Change) -> None:
    findings = found(kind, change)

    assert findings == (), [(item.id, item.summary) for item in findings]


def test_every_rule_has_a_case() -> None:
    assert {entry[0] for entry in FIRES} == set(_doctor.ids())


def test_the_document_lists_every_rule_and_no_other() -> None:
    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \|", text, flags=re.MULTILINE)

    assert sorted(listed) == sorted(_doctor.ids())


def test_causes_hide_consequences() -> None:
    def ids(kind: str, change: Change) -> list[str]:
        return [item.id for item in found(kind, change)]

    assert ids("weave", down(2)) == ["weave-router-state"]
    assert ids("gre", put("h2", "openvswitch/vswitchd_ok", False, "h2", "openvswitch/ports/0/health", "dead")) == [
        "ovs-vswitchd-down"
    ]
    lost = sent(pair("h1", "h2", "loss", "100% loss"), pair("h2", "h1", "loss", "100% loss"))
    assert ids("gre", both(put("h2", "openvswitch/ports/0/options", OTHER_KEY), lost)) == ["gre-key-mismatch"]
    blocked = put("h1", "firewall/blocked", [block("input", REJECT, ["192.0.2.2", "192.0.2.3"])])
    assert ids("weave", both(link(2, 1, "connecting", ""), blocked)) == ["firewall-blocks"]


def test_unrelated_faults_are_both_told() -> None:
    lost = sent(pair("h1", "h3", "loss", "100% loss"), pair("h3", "h1", "loss", "100% loss"))
    findings = found("gre", both(put("h2", "docker/chains/missing", ["DOCKER"]), lost))

    assert [item.id for item in findings] == ["docker-chains-missing", "packet-loss"]


def test_a_loop_by_hand_is_named_with_its_cure() -> None:
    first = found("loop")[0]

    assert set(first.hosts) == set(HOSTS)
    assert "h1$ ovs-vsctl set Port gre2 protected=true" in first.commands
    assert len(first.commands) == 6


def test_a_ring_of_four_gets_rstp() -> None:
    arguments = by_hand()
    infos = {}
    for number in (1, 2, 3, 4):
        info = copy.deepcopy(arguments["infos"]["h1"])
        around = [(number % 4) + 1, ((number + 2) % 4) + 1]
        info["openvswitch"]["ports"] = [
            port(
                number,
                to,
                name=f"gre{to}",
                bridge="br0",
                owner=None,
                protected=False,
                options={"remote_ip": f"192.0.2.{to}"},
            )
            for to in around
        ]
        info["machine_id"], info["interfaces"] = (
            str(number),
            [card("eth0", f"192.0.2.{number}/24", mac=f"02::{number}")],
        )
        infos[f"h{number}"] = info
    arguments.update(infos=infos, hosts=tuple(infos), addresses={}, clocks={})
    findings = diagnose(Case(**arguments))

    assert [item.id for item in findings] == ["bridge-loop"]
    assert "h4$ ovs-vsctl set Bridge br0 rstp_enable=true" in findings[0].commands


def test_a_broken_rule_is_a_note() -> None:
    def check(dummy_case: Case) -> t.Iterator[Finding]:
        raise KeyError("gone")

    findings = diagnose(Case(), [Rule("some-id", check)])

    assert [(item.id, item.severity) for item in findings] == [("rule-broken", "note")]


def test_rules_are_registered_by_id() -> None:
    before = len(_doctor.RULES)
    try:
        assert rule("for-this-test")(lambda dummy_case: ()) is not None
        assert _doctor.RULES[-1].id == "for-this-test"
    finally:
        del _doctor.RULES[before:]


def hurt(value: t.Any, number: int) -> t.Iterator[tuple[str, t.Any]]:
    """Each fact of a host, replaced by something of another shape."""
    if isinstance(value, dict):
        for key in value:
            for path, shape in hurt(value[key], number):
                yield f"{key}/{path}".rstrip("/"), shape
    elif isinstance(value, list) and value:
        for path, shape in hurt(value[0], number):
            yield f"0/{path}".rstrip("/"), shape
    yield "", (None, "text", [None, 3], {"x": None})[number]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("kind", ["gre", "netdev", "weave"])
def test_no_rule_minds_what_is_missing(kind: str, number: int) -> None:
    whole = KINDS[kind]()
    for path, shape in hurt(whole["infos"]["h2"], number):
        if path:
            for item in found(kind, put("h2", path, shape)):
                assert item.id != "rule-broken", (path, shape, item)


def test_table_and_summary() -> None:
    case_ = Case(**{**gre(), "left_out": ("h4",)})
    findings = diagnose(case_)
    assert _doctor.table(case_, findings) == "Not looked at: h4.\nNothing is wrong that can be seen on h1, h2 and h3."
    assert _doctor.summary(case_, findings) == "doctor: hosts=3 findings=0 errors=0 warnings=0 notes=0"

    many = [item for entry in FIRES[:9] for item in found(entry[1], entry[2])]
    shown = _doctor.table(case_, many).splitlines()
    assert len(shown) <= 15
    assert "more in the report" in "\n".join(shown)
    assert _doctor.summary(case_, many).startswith("doctor: hosts=3 findings=")


def test_explanation() -> None:
    text = _doctor.explanation(found("gre", put("h2", "openvswitch/ports/0/options", OTHER_KEY)))

    assert text.startswith(
        "Most likely cause: gre-h1 on h2 has key 7, and gre-h2 on h1 at its other end has key 1 (gre-key-mismatch)."
    )
    assert "ansible-playbook crosshost.overlay.site --tags ovs_gre" in text
    assert _doctor.explanation([]) == ""
