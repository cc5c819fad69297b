# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts for the tests of the doctor, healthy ones and changes that make them ill, and what every finding has to be."""

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
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, Rule, diagnose

ROOT = pathlib.Path(__file__).resolve().parents[4]
FIXTURES = ROOT / "tests" / "unit" / "fixtures"
HOSTS = ("h1", "h2", "h3")
ADDRESSES = {"h1": "192.0.2.1", "h2": "192.0.2.2", "h3": "192.0.2.3"}
REJECT = "-A INPUT -j REJECT --reject-with icmp-host-prohibited"
OTHER_KEY = {"remote_ip": "192.0.2.1", "local_ip": "192.0.2.2", "key": "7"}
GONE = object()  # in place of a value: there is none
Change = t.Callable[[dict[str, t.Any]], None]
# The id of the finding that comes first, the kind of hosts, what is changed, the first host that the finding names.
Fault = tuple[str, str, Change | None, str | None]
# What is like a fault and none, the kind of hosts, what is changed.
Near = tuple[str, str, Change]


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
            "service": {"active": "", "enabled": ""},
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
    there = tuple(item for item in pairs if getattr(item, "kind", "") == "container")
    probes = (good, *(item for item in pairs if item not in there))
    return arguments_with(report=types.SimpleNamespace(pairs=probes, local=(), containers=there, failures={}))


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


def limited(arguments: dict[str, t.Any]) -> None:
    """Only two of three hosts are looked at."""
    arguments["hosts"] = ("h1", "h2")
    del arguments["infos"]["h3"], arguments["clocks"]["h3"]


def fires(faults: t.Sequence[Fault]) -> pytest.MarkDecorator:
    """A test for each fault."""
    return pytest.mark.parametrize("fault", faults, ids=[f"{at}-{fault[0]}" for at, fault in enumerate(faults)])


def near(cases: t.Sequence[Near]) -> pytest.MarkDecorator:
    """A test for each state that is like a fault."""
    return pytest.mark.parametrize(
        ("kind", "change"), [entry[1:] for entry in cases], ids=[entry[0] for entry in cases]
    )


def check_first(name: str, kind: str, change: Change | None, first: str | None) -> None:
    """The fault comes first, on the right host, and every finding is whole."""
    findings = found(kind, change)

    assert findings, "no finding"
    assert (findings[0].id, findings[0].hosts[0]) == (name, first), [(item.id, item.hosts) for item in findings]
    assert "rule-broken" not in {item.id for item in findings}
    for item in findings:
        assert item.severity in ("error", "warning", "note"), item
        assert item.summary, item
        assert item.cause, item
        assert item.remedy.endswith("."), item.remedy
        assert all(re.match(r"(h\d|controller): \S", line) for line in item.evidence), item.evidence
        assert item.evidence, item
        assert all(re.match(r"h\d\$ \S|ansible|ping ", line) for line in item.commands), item.commands
        for line in item.commands:
            check_command(line, item.remedy, kind)


# What a command does that cannot be taken back or is felt by others, and what the remedy has to say of it.
COSTS = {
    r"systemctl restart docker": r"stops all containers",
    r"ovs_gre_network_recreate=true": r"lose their connections",
    r"overlay\.teardown": r"[Rr]eset|[Tt]eardown",
    r"weave_allow_(rename|range_change)=true": r"containers (have to be made )?anew",
    r"ovs-vsctl .*del-port": r"[Dd]elete",
    r"docker network rm": r"Remove",
    r"docker restart weave": r"[Rr]estart",
    r"systemctl disable": r"disable",
    r"weave rmpeer": r"never two",
    r"vacuum": r"deletes",
    r"reboot": r"reboot",
    r"FORWARD ACCEPT": r"forwards whatever comes",
    r"datapath_type=|ovs_gre_datapath=system": r"No packet passes",
}


def check_command(line: str, remedy: str, kind: str) -> None:
    """The command names what there is, and the remedy says what it costs."""
    for pattern, words in COSTS.items():
        if re.search(pattern, line):
            assert re.search(words, remedy), (line, remedy)
    assert not re.search(r"\brm\b(?! -f /etc/machine-id| overlay$)|\bmkfs|>", line), line
    called = re.match(r"ansible-playbook crosshost\.overlay\.(\w+)(.*)", line)
    if not called:
        return
    playbook, options = called.groups()
    assert (ROOT / "playbooks" / f"{playbook}.yml").is_file(), line
    assert set(re.findall(r"-e (\w+)=", options)) <= variables(), line
    for tags in re.findall(r"--tags (\S+)", options):
        assert set(tags.split(",")) <= {path.name for path in (ROOT / "roles").iterdir()}, line
    # site.yml is about Open vSwitch unless it is told.
    assert ("-e overlay_backend=weave" in options) == (kind == "weave"), line


@functools.cache
def variables() -> frozenset[str]:
    """The options of all roles and of the collection."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "roles").glob("*/defaults/main.yml"))
    own = re.findall(r"^(\w+):", text, re.MULTILINE)
    return frozenset(own) | frozenset(re.findall(r"\boverlay_\w+", text))


def check_quiet(kind: str, change: Change) -> None:
    """Nothing is found."""
    findings = found(kind, change)

    assert findings == (), [(item.id, item.summary) for item in findings]


def check_complete(area: types.ModuleType, faults: t.Sequence[Fault]) -> None:
    """Each rule of an area has a fault that it finds, and each fault is of that area."""
    rules = {each.id for each in _doctor.RULES if module_of(each) == area.__name__}

    assert {fault[0] for fault in faults} == rules, (sorted(rules), sorted(fault[0] for fault in faults))


def module_of(each: Rule) -> str:
    """Where a rule is written."""
    return str(getattr(each.check, "func", each.check).__module__)
