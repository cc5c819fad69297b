# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Made-up overlays for the tests of the report: healthy, with faults, large, and with hostile names. The same on every run."""

from __future__ import annotations

import random
import typing as t
from dataclasses import replace
from datetime import UTC, datetime

from ansible_collections.crosshost.overlay.plugins.module_utils._matrix import Pair, Report
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding

MADE = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
VERSION = "0.1.0"
SECRET = "correct-horse-battery-staple"
HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "'; document.title='owned'; '",
    "</style></script></pre></details><h1>owned</h1>",
    "\u202etxt.exe\u202c \u2066right\u2069 \u200bzero",
    "שלום عالم",
    "bell\x07 escape\x1b[31m nul\x00 half\ud800",
    "{{ 7 * 7 }} &lt; &amp; javascript:alert(1)",
    "two\nlines\r\n\ttab",
)


def address(index: int) -> str:
    return f"192.0.2.{index + 11}" if index < 200 else f"198.51.100.{index - 199}"


def container(index: int) -> str:
    return f"10.50.{index}.2"


def pair(hosts: t.Sequence[str], source: int, target: int, rtt: float, **more: t.Any) -> Pair:
    """A direction that works."""
    measured = {
        "name": hosts[target],
        "sent": 20,
        "received": 20,
        "duplicates": 0,
        "loss": 0.0,
        "rtt_ms": {"min": round(rtt * 0.8, 3), "median": rtt, "max": round(rtt * 1.7, 3)},
        "tcp": {"ok": True, "error": None, "ms": 3.1, "bytes": 262144},
        "udp": {"ok": True, "error": None, "bytes": 600, "sent": 3, "received": 3},
        "mtu": {"bytes": 1458, "ok": True, "sent": 2, "received": 2, "above": {"bytes": 1459, "refused": True}},
        "fragmented": {"bytes": 3200, "ok": True, "sent": 2, "received": 2},
        "lookup": None,
    }
    ends = (hosts[source], hosts[target], container(source), container(target))
    return replace(Pair(*ends, f"0% {rtt:.1f}ms", rtt_ms=rtt, measured=measured), **more)


def fail(well: Pair, fault: str) -> Pair:
    """The same direction with a fault."""
    lost = {**well.measured, "received": 0, "loss": 100.0, "rtt_ms": None}
    faults: dict[str, tuple[str, str, str, t.Mapping[str, t.Any]]] = {
        "loss": ("100% LOSS", "100% loss", "Compare the tunnel to the other (remote address, key) on both.", lost),
        "mtu": (
            "MTU",
            "packets of 1458 bytes are lost, small ones pass",
            "The MTU is larger than the path carries: compare that of overlay, tunnel and underlay.",
            {**well.measured, "loss": 10.0, "mtu": {"ok": False, "bytes": 1458, "sent": 2, "received": 0}},
        ),
        "partial_loss": ("15% LOSS", "15% loss of 20 requests", "Look for load.", {**well.measured, "loss": 15.0}),
        "tcp": (
            "TCP FAILED",
            "TCP failed: timed out",
            "Compare checksum offload (ethtool -k).",
            {**well.measured, "tcp": {"ok": False, "error": "timed out", "ms": None, "bytes": 262144}},
        ),
        "not_run": ("NOT RUN", "not measured, the other took no part", "Solve what kept it out and run again.", {}),
    }
    cell, reason, remedy, measured = faults[fault]
    rtt = None if fault in ("loss", "not_run") else well.rtt_ms
    return replace(well, cell=cell, reason=reason, remedy=remedy, fault=fault, measured=measured, rtt_ms=rtt)


def info(hosts: t.Sequence[str], index: int, dead: t.Container[int] = ()) -> dict[str, t.Any]:
    """What overlay_info returns of one host, with secrets where a careless reader would leave some."""
    ports = [
        {
            "name": f"gre-{name}"[:15],
            "bridge": "br-overlay",
            "type": "gre",
            "options": {"remote_ip": address(other), "key": "7701", "psk": SECRET},
            "ofport": other + 1,
            "error": "could not set configuration (File exists)" if other in dead else None,
            "health": "dead" if other in dead else "up",
            "statistics": {"rx_packets": 10},
        }
        for other, name in enumerate(hosts)
        if other != index
    ]
    return {
        "uid": 0,
        "machine_id": f"{index:032x}",
        "identity": {"hostname": f"{hosts[index]}.example", "virtualization": "kvm", "product_uuid": SECRET},
        "system": {"id": "debian", "name": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.1.0-28-amd64"},
        "interfaces": [
            {"name": "eth1", "mtu": 1500, "addresses": [f"{address(index)}/24"]},
            {"name": "ovl0", "mtu": 1458, "addresses": [f"10.50.{index}.1/16"]},
        ],
        "docker": {"installed": True, "running": True, "version": "20.10.24", "error": "", "environment": SECRET},
        "openvswitch": {"installed": True, "running": True, "version": "3.1.0", "error": "", "ports": ports},
        "weave": {},
        "filters": {"firewalld": "running", "ufw": "inactive"},
        "errors": {},
    }


def weave_info(hosts: t.Sequence[str], index: int) -> dict[str, t.Any]:
    """The same with Weave Net."""
    connections = [
        {
            "address": f"{address(other)}:6783",
            "outbound": True,
            "state": "established",
            "info": "fastdp",
            "mode": "sleeve" if other == 1 else "fastdp",
            "mtu": 1376,
            "encrypted": True,
            "peer": f"02:00:00:00:00:0{other}",
        }
        for other in range(len(hosts))
        if other != index
    ]
    own = {"address": f"{address(index)}:6783", "state": "failed", "info": "cannot connect to ourself, retry: never"}
    weave = {
        "installed": True,
        "container": {"state": "running", "args": [f"--password={SECRET}"]},
        "launch": {"password": SECRET},
        "router": {
            "ready": True,
            "version": "2.8.1",
            "name": f"02:00:00:00:00:0{index}",
            "connections": [*connections, own],
        },
        "error": "",
    }
    return {**info(hosts, index), "openvswitch": {"installed": False}, "weave": weave}


def clock(offset: float) -> dict[str, t.Any]:
    return {"clock": {"offset": offset, "bound": 0.00021}, "time": {"daemon": "chrony", "synchronised": True}}


def healthy(count: int = 3, seed: int = 1) -> Case:
    """An overlay that is well."""
    chance = random.Random(seed)
    hosts = tuple(f"h{index + 1}" for index in range(count))
    pairs = tuple(
        pair(hosts, source, target, round(chance.uniform(0.31, 0.62), 3))
        for source in range(count)
        for target in range(count)
        if source != target
    )
    local = tuple(
        replace(
            pair(hosts, index, index, round(chance.uniform(0.05, 0.09), 3)),
            target_address=f"10.50.{index}.3",
            kind="same_host",
        )
        for index in range(count)
    )
    return Case(
        hosts,
        {name: info(hosts, index) for index, name in enumerate(hosts)},
        clocks={name: clock(chance.uniform(-0.0008, 0.0008)) for name in hosts},
        report=Report(hosts, pairs, {}, local),
        addresses={name: address(index) for index, name in enumerate(hosts)},
        backend="ovs_gre",
    )


def faulty() -> tuple[Case, list[Finding]]:
    """Three hosts: two keys differ, one path is too narrow, a container does not answer, a clock is off."""
    case = healthy()
    report = t.cast(Report, case.report)
    faults = {("h1", "h2"): "loss", ("h2", "h1"): "loss", ("h1", "h3"): "mtu"}
    pairs = tuple(
        fail(item, faults[item.source, item.target]) if (item.source, item.target) in faults else item
        for item in report.pairs
    )
    counted = {
        "name": "h2",
        "sources": 2,
        "targets": 3,
        "pairs": 6,
        "answered": 6,
        "rtt_ms": {"median": 0.61},
        "failed": [],
    }
    some = Pair("h1", "h2", "2 containers", "3 containers", "6 0.6ms", "", "", 0.61, "container", counted)
    lost = "2 of 6 pairs of containers do not answer: web (10.50.0.4) -> db (10.50.1.4)"
    containers = (
        replace(
            some,
            cell="2 LOST",
            reason=lost,
            remedy="Look at these containers.",
            fault="partial_loss",
            measured={**counted, "answered": 4},
        ),
        replace(some, target="h3", target_address="3 containers"),
    )
    findings = [
        Finding(
            "gre-key-mismatch",
            "error",
            ("h2",),
            "The tunnels between h1 and h2 have different keys: 7701 on h1, 7702 on h2.",
            (
                "h1: gre-h2 {key=7701, remote_ip=192.0.2.12}",
                "h2: gre-h1 {key=7702, remote_ip=192.0.2.11}",
            ),
            "A tunnel takes in only packets with its own key. Both ends look healthy, because neither hears of the other's.",
            "Give the tunnel on h2 the key that h1 has, or run site.yml, which sets both.",
            (
                "h2$ ovs-vsctl set Interface gre-h1 options:key=7701",
                "ansible-playbook -i inventory crosshost.overlay.site --limit h1,h2",
            ),
        ),
        Finding(
            "mtu-too-large",
            "error",
            ("h1", "h3"),
            "Packets of 1458 bytes do not get from h1 to h3, small ones do.",
            ("h3: eth1 mtu 1450", "h1: ovl0 mtu 1458"),
            "The underlay of h3 carries 1450 bytes, and the overlay was made for 1500.",
            "Recreate the overlay network with the MTU of the narrowest underlay.",
            ("ansible-playbook -i inventory crosshost.overlay.site -e ovs_gre_network_recreate=true",),
        ),
        Finding(
            "clock-skew",
            "warning",
            ("h3",),
            "The clock of h3 is 12.4 s ahead of that of h1.",
            ("h3: System time : 12.400000000 seconds fast of NTP time",),
            "Its time daemon reaches none of its servers.",
            "Let NTP through to its servers, then run site.yml.",
        ),
        Finding(
            "datapath-userspace",
            "note",
            ("h2",),
            "h2 uses the userspace datapath.",
            ("h2: br-overlay netdev",),
            "Its kernel has no module openvswitch.",
            "",
        ),
    ]
    infos = {**case.infos, "h3": {**case.infos["h3"], "errors": {"firewall": "'nft' took longer than 20 s"}}}
    clocks = {**case.clocks, "h3": {**clock(12.4), "time": {"daemon": "chrony", "synchronised": False}}}
    return replace(
        case, infos=infos, clocks=clocks, report=replace(report, pairs=pairs, containers=containers)
    ), findings


def large(count: int = 100, seed: int = 7) -> tuple[Case, list[Finding]]:
    """Many hosts in three places: one is down, one has a filter one way, some paths lose packets or large ones."""
    chance = random.Random(seed)
    hosts = tuple(f"node-{index + 1:03d}" for index in range(count))
    down, shut = count * 2 // 5, count * 7 // 10
    place = [index * 3 // count for index in range(count)]
    pairs = []
    for source in range(count):
        for target in range(count):
            if source == target:
                continue
            far = abs(place[source] - place[target])
            item = pair(hosts, source, target, round((0.3, 11, 34)[far] * chance.uniform(0.85, 1.3), 3))
            if down in (source, target):
                item = fail(item, "not_run")
            elif target == shut and far:
                item = fail(item, "loss")
            elif far == 2 and chance.random() < 0.03:
                item = fail(item, chance.choice(["mtu", "partial_loss", "tcp"]))
            pairs.append(item)
    infos = {name: info(hosts, index, {shut} if place[index] == 0 else ()) for index, name in enumerate(hosts)}
    del infos[hosts[down]]
    findings = [
        Finding(
            "host-unreachable",
            "error",
            (hosts[down],),
            f"{hosts[down]} cannot be reached.",
            (f"{hosts[down]}: ssh: connect to host {address(down)} port 22: No route to host",),
            "It is off, or its network is.",
            "Start it, then run doctor.yml again.",
            rank=1,
        ),
        Finding(
            "firewall-one-way",
            "error",
            (hosts[shut],),
            f"{hosts[shut]} lets nothing in from other places.",
            (f"{hosts[shut]}: -A INPUT -p gre -j DROP",),
            "A rule of iptables stops GRE.",
            "Run site.yml, which opens it for the peers.",
            (f"{hosts[shut]}$ iptables -L INPUT -n -v --line-numbers",),
        ),
    ]
    case = Case(
        hosts,
        infos,
        {hosts[down]: "Failed to connect to the host via ssh: No route to host"},
        {name: clock(chance.uniform(-0.004, 0.004)) for name in infos},
        report=Report(hosts, tuple(pairs), {hosts[down]: "unreachable"}),
        addresses={name: address(index) for index, name in enumerate(hosts)},
        backend="ovs_gre",
    )
    return case, findings


def with_weave() -> Case:
    """Three hosts with Weave Net."""
    case = healthy()
    return replace(
        case, backend="weave", infos={name: weave_info(case.hosts, index) for index, name in enumerate(case.hosts)}
    )


def hostile() -> tuple[Case, list[Finding]]:
    """Names and tool output that try to be something else than text, everywhere."""
    base, findings = faulty()
    hosts = HOSTILE[:3]
    case = healthy()
    report = t.cast(Report, case.report)
    names = dict(zip(case.hosts, hosts, strict=True))

    def renamed(item: Pair, index: int) -> Pair:
        ends = replace(item, source=names[item.source], target=names[item.target])
        evil = HOSTILE[index % len(HOSTILE)]
        return (
            replace(ends, cell=evil, reason=evil, remedy=evil, fault=evil, source_address=evil) if index % 2 else ends
        )

    pairs = tuple(renamed(item, index) for index, item in enumerate(report.pairs))
    containers = tuple(
        replace(report.local[0], source=evil, target=evil, cell=evil, reason=evil, kind="container") for evil in HOSTILE
    )
    infos = {}
    for index, (name, evil) in enumerate(names.items()):
        one = t.cast(dict[str, t.Any], base.infos[name])
        bad = HOSTILE[(index + 3) % len(HOSTILE)]
        docker = {**one["docker"], "version": bad, "error": bad}
        ports = [
            {**port, "name": bad, "error": bad, "type": bad, "bridge": bad} for port in one["openvswitch"]["ports"]
        ]
        infos[evil] = {
            **one,
            "docker": docker,
            "openvswitch": {**one["openvswitch"], "ports": ports},
            "system": {"name": bad, "kernel": bad},
            "identity": {"hostname": bad},
            "errors": {bad: bad},
            "firewall": {"firewalls": [{"name": bad, "acts": True}]},
        }
    evil_findings = [
        replace(
            findings[0],
            id=evil,
            summary=evil,
            cause=evil,
            remedy=evil,
            evidence=(evil, evil),
            commands=(f"h2$ {evil}", evil),
            hosts=(evil,),
        )
        for evil in HOSTILE
    ]
    hostile_case = Case(
        hosts,
        infos,
        report=Report(hosts, pairs, {hosts[1]: HOSTILE[0]}, (), containers),
        addresses={names[name]: case.addresses[name] for name in case.hosts},
        backend=HOSTILE[0],
    )
    return hostile_case, evil_findings
