# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Weave Net shall be on every host, and why it cannot be. Pure; private to this collection."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _weave_names
from ansible_collections.crosshost.overlay.plugins.plugin_utils._hosts import (
    carrier,
    facts,
    group_problems,
    machine_problems,
    overlap_problems,
    system_problems,
    underlay_problems,
)
from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_host_problems import (
    docker_problems,
    host_notices,
    port_problems,
)
from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_names import WeaveHost

BRIDGE = "weave"  # Linux bridge and Docker network of Weave Net, names that it does not let anyone choose
SMALLEST_RANGE = 4  # addresses; the router's own limit
# Bytes of an underlay packet that the fast datapath needs: IPv4 20, UDP 8, VXLAN 8, Ethernet 14, and ESP 34 when it is encrypted.
OVERHEAD = 84
USUAL_MTU = 1376  # what the fast datapath takes by itself
SMALLEST_MTU = 576  # RFC 791: what every IPv4 host must be able to receive


@dataclass(frozen=True)
class Wish:
    """What the operator asked for, the same on every host. secret: settings whose values are shown nowhere."""

    range: str
    default_subnet: str = ""
    image_source: str = "rajchaudhuri"
    version: str = "2.9.0"
    port: int = 6783
    http_address: str = "127.0.0.1:6784"
    dns: bool = True
    init: str = ""
    mtu: int = 0
    connection_limit: int = 200
    fast_datapath: str = "auto"
    allow_overlap: bool = False
    allow_rename: bool = False
    allow_range_change: bool = False
    minimum_hosts: int = 2
    packages: t.Mapping[str, str] = field(default_factory=dict)  # overlay_info key -> what a host needs it for
    secret: t.Collection[str] = ()


@dataclass(frozen=True)
class Plan:
    """The answer: problems stop the run before the first change, notices are shown and the run goes on."""

    problems: list[str]
    notices: list[str]
    names: dict[str, str]
    inits: dict[str, str]
    mtus: dict[str, int]
    api_versions: dict[str, str]
    interfaces: dict[str, str]
    connection_limit: int


def make_plan(hosts: t.Sequence[WeaveHost], wish: Wish) -> Plan:
    """Check all hosts against each other and work out names, seeds and MTU."""
    notices: list[str] = []
    reached = [host for host in hosts if host.reached]
    absent = [host.name for host in hosts if not host.reached]
    if absent:
        notices.append(f"not reached in this run: {', '.join(absent)}; the other hosts keep or get them as peers")
    problems = group_problems(hosts, wish.minimum_hosts)
    problems += underlay_problems(hosts, 4, "Weave Net is IPv4 only")
    problems += machine_problems(reached, notices)
    problems += setting_problems(hosts, wish.secret)
    problems += range_problems(wish.range, wish.default_subnet, len(hosts))
    problems += living_range_problems(reached, wish)
    names, name_problems = _weave_names.decide_names(hosts, wish.allow_rename)
    inits, init_problems = _weave_names.decide_inits(hosts, names, wish.init)
    problems += name_problems + init_problems
    interfaces = {host.name: name for host in reached if (name := carrier(host))}
    mtus, mtu_problems = decide_mtus(reached, interfaces, wish)
    problems += mtu_problems
    api_versions: dict[str, str] = {}
    for host in reached:
        problems += system_problems(host, wish.packages)
        problems += port_problems(host, wish.port, wish.http_address, wish.dns)
        api_versions[host.name], found = docker_problems(host, wish.image_source, wish.version)
        problems += found
        if not wish.allow_overlap and parse_range(wish.range):
            problems += overlap_problems(host, wish.range, [BRIDGE], [BRIDGE])
        notices += host_notices(host, wish.fast_datapath)
    limit = decide_limit(len(hosts), wish.connection_limit, notices)
    return Plan(problems, notices, names, inits, mtus, api_versions, interfaces, limit)


def setting_problems(hosts: t.Sequence[WeaveHost], secret: t.Collection[str]) -> list[str]:
    """Routers that differ in one of these never connect, so each may have one value only."""
    problems = []
    for setting in dict.fromkeys(name for host in hosts for name in host.settings):
        groups: dict[str, list[str]] = {}
        for host in hosts:
            if setting in host.settings:
                groups.setdefault(host.settings[setting], []).append(host.name)
        if len(groups) > 1:
            values = list(groups)
            shown = [
                f"{_value(value, setting in secret, values[:at])} on {_weave_names.shown(groups[value])}"
                for at, value in enumerate(values)
            ]
            problems.append(
                f"{setting} is not the same on all hosts ({'; '.join(shown)}), and routers that differ in it never connect; "
                "set it once, for the whole group"
            )
    return problems


def _value(value: str, secret: bool, others: t.Collection[str]) -> str:
    """Name a value for a message; a secret one only by being there."""
    if not value:
        return "not set"
    return value if not secret else "another" if any(others) else "one value"


def parse_range(text: str) -> ipaddress.IPv4Network | None:
    """Return a network in CIDR form, None when it is not one."""
    try:
        return ipaddress.IPv4Network(text) if "/" in text else None
    except ValueError:
        return None


def range_problems(text: str, subnet: str, hosts: int) -> list[str]:
    """The range and the subnet that containers get their addresses from; one sentence per field."""
    problems = []
    nets: dict[str, ipaddress.IPv4Network] = {}
    for setting, value in (("overlay_pool", text), ("weave_ipalloc_default_subnet", subnet)):
        if setting != "overlay_pool" and not value:
            continue
        net = parse_range(value)
        if net is None:
            problems.append(f"{setting} '{value}' is not an IPv4 network in CIDR form{_why_not(value)}")
            continue
        nets[setting] = net
        if net.num_addresses < max(SMALLEST_RANGE, hosts + 2 if setting == "overlay_pool" else 0):
            problems.append(
                f"{setting} {net} has {net.num_addresses} addresses, fewer than Weave Net's minimum of {SMALLEST_RANGE} and one for each of "
                f"{hosts} hosts; take a larger network"
            )
    if len(nets) == 2 and not nets["weave_ipalloc_default_subnet"].subnet_of(nets["overlay_pool"]):
        problems.append(
            f"weave_ipalloc_default_subnet {nets['weave_ipalloc_default_subnet']} is not inside overlay_pool {nets['overlay_pool']}; "
            "choose a part of that range, or leave it out"
        )
    return problems


def _why_not(value: str) -> str:
    if "/" not in value:
        return "; it has no prefix length, write it like 10.32.0.0/12"
    try:
        net = ipaddress.ip_network(value, strict=False)
    except ValueError as exc:
        return f" ({exc})"
    return " but an IPv6 one" if net.version == 6 else f": it has host bits set; the network is {net}"


def living_range_problems(reached: t.Sequence[WeaveHost], wish: Wish) -> list[str]:
    """Another range wipes what a router knows of addresses, and routers of different ranges do not connect."""
    if wish.allow_range_change:
        return []
    other: dict[str, list[str]] = {}
    for host in reached:
        span = str(host.part("ipam").get("range") or host.setting("ipalloc_range", "range"))
        if host.living and span and span != wish.range:
            other.setdefault(span, []).append(host.name)
    return [
        f"the router of {_weave_names.shown(names)} allocates addresses from {span}, and overlay_pool is {wish.range}; containers would keep addresses "
        f"that nobody reserves any more. Set overlay_pool to {span}, or weave_allow_range_change to true and make the containers anew"
        for span, names in other.items()
    ]


def decide_mtus(
    reached: t.Sequence[WeaveHost], interfaces: t.Mapping[str, str], wish: Wish
) -> tuple[dict[str, int], list[str]]:
    """Return each host's MTU, 0 for the router's own: what fits the narrowest underlay, never raised while routers run with less."""
    limits: dict[str, int] = {}
    for host in reached:
        for interface in facts(host)["interfaces"]:
            if interface["name"] == interfaces.get(host.name):
                limits[host.name] = (int(interface["mtu"]) - OVERHEAD) // 4 * 4
    if not limits:
        return {host.name: wish.mtu for host in reached}, []
    narrowest = min(limits, key=lambda name: limits[name])
    limit = limits[narrowest]
    if limit < SMALLEST_MTU:
        return {}, [
            f"host '{narrowest}', interface {interfaces[narrowest]}: its MTU leaves {limit} bytes for the overlay, "
            f"less than the {SMALLEST_MTU} every IPv4 host must accept; raise it"
        ]
    if wish.mtu > limit:
        return {}, [
            f"overlay_mtu {wish.mtu} is too large: the underlay of host '{narrowest}' carries at most {limit} bytes; use {limit} or less"
        ]
    lowered = [value for host in reached if 0 < (value := int(host.part("launch").get("mtu") or 0)) <= limit]
    mtu = wish.mtu or min([*lowered, limit, USUAL_MTU])
    usual = {host.name: not wish.mtu and mtu == USUAL_MTU and _fast(host, wish) for host in reached}
    return {host.name: 0 if usual[host.name] else mtu for host in reached}, []


def _fast(host: WeaveHost, wish: Wish) -> bool:
    """Whether the router finds the fast datapath, which has the usual MTU; else its bridge would take 65535 bytes."""
    there = host.part("kernel").get("modules") or {}
    return wish.fast_datapath != "disabled" and all(there.values())


def decide_limit(hosts: int, wish: int, notices: list[str]) -> int:
    """Return how many connections a router accepts; 0 is any number. In steps, so that few joining hosts change it."""
    if not wish or hosts - 1 <= wish:
        return wish
    limit = -(-hosts // 100) * 100
    notices.append(
        f"{hosts} hosts make {hosts - 1} connections each, more than weave_connection_limit {wish}; it is raised to {limit}"
    )
    return limit
