# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Which zone of firewalld judges a new connection, and whether it lets it in. Pure.

firewalld's order, for input and forward alike: policies of negative priority, then the zone (rich rules of negative priority,
those that deny, those that accept together with services and ports, rich rules of positive priority), then policies of
positive priority, then the zone's target. The first that decides wins. A source zone wins over the zone of the interface.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
import typing as t
from dataclasses import dataclass
from functools import lru_cache

from ansible_collections.crosshost.overlay.plugins.module_utils._fw_firewalld_read import (
    BINDABLE,
    DOCKER_ZONE,
    Section,
    Side,
    State,
    integer,
)

PRIORITY = -32767  # of our rich rules: before what others may deny, and no number anybody else is likely to choose
OURS = re.compile(
    rf'^rule priority="{PRIORITY}" family="ipv[46]"(?: source address="[^"]+")?(?: destination address="[^"]+")?'
    r'(?: port port="[0-9-]+" protocol="(?:tcp|udp)"| protocol value="[a-z0-9-]+") accept$'
)
ELEMENTS = (
    "service",
    "port",
    "protocol",
    "icmp-block",
    "icmp-type",
    "masquerade",
    "forward-port",
    "source-port",
    "tcp-mss-clamp",
)
ACTIONS = ("accept", "reject", "drop")
DENYING = {"DROP", "REJECT", "%%REJECT%%"}

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Match = t.Optional[bool]  # None: cannot be decided


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection."""

    hook: str
    family: int
    protocol: str = ""
    port: int = 0
    source: Network | None = None
    destination: Network | None = None
    iif: str = ""
    oif: str = ""


@dataclass(frozen=True)
class Place:
    """The zone that judges a packet, and why that one."""

    zone: str
    because: str  # for people: "of eth1"
    bound: bool  # False: the default zone, for want of another


@dataclass(frozen=True)
class Verdict:
    """What firewalld does with a packet."""

    passes: bool
    rule: str = ""  # what stops it
    curable: bool = True  # whether a rich rule of ours comes before that


@dataclass(frozen=True)
class Rich:
    """A rich rule, taken apart."""

    text: str
    priority: int
    family: int
    parts: t.Mapping[str, t.Mapping[str, str]]
    action: str  # accept, reject, drop, or "" for rules that decide nothing
    limited: bool  # acts on part of the packets only


def network(text: str) -> Network | None:
    """An address or network, None for what is neither."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def is_ours(rule: str) -> bool:
    """Whether a rich rule is one of the overlay's openings."""
    return OURS.match(rule) is not None


@lru_cache(maxsize=4096)
def parse_rich(text: str) -> Rich:
    """Take a rich rule apart, in the form firewall-cmd prints. One that cannot be understood decides nothing."""
    try:
        words = shlex.split(text)[1:]
    except ValueError:
        words = []
    settings: dict[str, str] = {}
    parts: dict[str, dict[str, str]] = {"": settings}
    current, action, limited = "", "", False
    for word in words:
        key, is_pair, value = word.partition("=")
        if is_pair:
            parts[current][key] = value
        elif word.lower() == "not":
            parts[current]["not"] = ""
        elif word == "limit":
            limited = limited or current in ACTIONS  # a limit of log or audit limits only these
        else:
            current = word
            parts[current] = {}
            action = word if word in ACTIONS else action
    family = {"ipv4": 4, "ipv6": 6}.get(settings.get("family", ""), 0)
    return Rich(text, integer(settings.get("priority", "")), family, parts, action, limited)


def place(state: State, side: Side, packet: Packet, interface: str) -> Place:
    """The zone a packet is judged by."""
    if packet.source is not None:
        zones = [zone for zone in side.zones.values() if zone.words("sources")]
        for zone in sorted(zones, key=lambda one: (one.number("ingress-priority"), one.name)):
            for source in zone.words("sources"):
                if _in_source(state, source, packet.source):
                    return Place(zone.name, f"for source {source}", True)
    zone_name = side.zone_of_interface(interface) if interface else ""
    if interface and not zone_name and interface not in BINDABLE:
        # NetworkManager and Docker bind live only, again after each reload
        zone_name = state.live.zone_of_interface(interface)
    if packet.iif and not zone_name and interface not in BINDABLE and state.docker_attached:
        zone_name = DOCKER_ZONE
    if zone_name in side.zones:
        return Place(zone_name, f"of {interface}", True)
    return Place(state.default_zone, f"of {interface}, which is in no other zone" if interface else "by default", False)


def judge(state: State, side: Side, packet: Packet, where: Place) -> Verdict:
    """Whether firewalld lets a packet pass. side: without what is ours."""
    zone = side.zones.get(where.zone, Section(where.zone))
    policies = [policy for policy in side.policies.values() if _governs(policy, state, side, packet, where)]
    policies.sort(key=lambda policy: policy.number("priority"))
    for policy in policies:
        if policy.number("priority") < 0:
            verdict = _decide(state, policy, packet, "policy")
            if verdict is not None:
                return verdict if verdict.passes else Verdict(False, verdict.rule, False)
    verdict = _forwarded(side, zone, packet) if packet.hook == "forward" else _decide(state, zone, packet, "zone")
    if verdict is not None:
        return verdict
    for policy in policies:
        if policy.number("priority") >= 0:
            verdict = _decide(state, policy, packet, "policy")
            if verdict is not None:
                return verdict
    if zone.target == "ACCEPT":
        return Verdict(True)
    chain = ("IN_" if packet.hook == "input" else "FWD_") + zone.name
    last = state.last_rules.get("filter_" + chain) or state.last_rules.get(chain)
    return Verdict(False, f"zone {zone.name} (target {zone.target}) {where.because}" + (f": {last}" if last else ""))


def _in_source(state: State, source: str, wanted: Network) -> bool:
    """Whether a zone's source holds all of a network. Hardware addresses cannot be known beforehand."""
    if source.startswith("ipset:"):
        return any(_within(wanted, network(entry)) for entry in state.ipsets.get(source[len("ipset:") :], ()))
    return bool(_within(wanted, network(source)))


def _within(inner: Network | None, outer: Network | None) -> Match:
    """True: inside; False: apart; None: in part, or unknown."""
    if inner is None or outer is None:
        return None
    if inner.version != outer.version:
        return False
    if inner.network_address in outer and inner.prefixlen >= outer.prefixlen:
        return True
    return None if inner.overlaps(outer) else False


def _governs(policy: Section, state: State, side: Side, packet: Packet, where: Place) -> bool:
    """Whether a policy sees a packet. The default zone counts for it only where an interface or source is bound to it."""
    ingress = policy.words("ingress-zones")
    if "ANY" not in ingress and not (where.bound and where.zone in ingress):
        return False
    egress = policy.words("egress-zones")
    if packet.hook == "input":
        return "HOST" in egress
    out = place(state, side, Packet("forward", packet.family), packet.oif)
    return "ANY" in egress or (out.bound and out.zone in egress)


def _forwarded(side: Side, zone: Section, packet: Packet) -> Verdict | None:
    """Forwarding inside a zone: to interfaces bound to it; those that are only by default in the default zone do not count."""
    inside = zone.forward and side.zone_of_interface(packet.oif) == zone.name
    return Verdict(True) if inside else None


def _decide(state: State, section: Section, packet: Packet, kind: str) -> Verdict | None:
    """What a zone or policy decides by itself, None if nothing in it does; a zone's target comes later."""
    rich = [parse_rich(rule) for rule in section.rules]
    rich = [rule for rule in rich if rule.action and not rule.limited and _applies(state, rule, packet)]
    before = sorted((rule for rule in rich if rule.priority < 0), key=_order)
    middle = sorted((rule for rule in rich if rule.priority == 0), key=_order)
    after = sorted((rule for rule in rich if rule.priority > 0), key=_order)
    for rule in before + [rule for rule in middle if rule.action != "accept"]:
        return _verdict(rule, section, kind)
    if middle or _opened(state, section, packet):
        return Verdict(True)
    for rule in after:
        return _verdict(rule, section, kind)
    if kind == "policy" and section.target in ("ACCEPT", *DENYING):
        return Verdict(section.target == "ACCEPT", f"policy {section.name} (target {section.target})")
    return None


def _order(rule: Rich) -> tuple[int, bool]:
    return (rule.priority, rule.action == "accept")  # the order of two of one priority cannot be seen: take the worse


def _verdict(rule: Rich, section: Section, kind: str) -> Verdict:
    if rule.action == "accept":
        return Verdict(True)
    return Verdict(False, f"{kind} {section.name}: {rule.text}", rule.priority > PRIORITY)


def _opened(state: State, section: Section, packet: Packet) -> bool:
    """Whether a port, protocol or service of a zone or policy lets a packet in."""
    if any(_port(word, packet) for word in section.words("ports")):
        return True
    if packet.protocol and packet.protocol in section.words("protocols"):
        return True
    return any(_service(state, name, packet) for name in section.words("services"))


def _port(word: str, packet: Packet) -> bool:
    """Whether '6783/tcp' or '6783-6784/udp' names the packet's port."""
    ports, slash, protocol = word.partition("/")
    first, dash, last = ports.partition("-")
    if not (slash and first.isdigit() and packet.port and protocol == packet.protocol):
        return False
    return int(first) <= packet.port <= (int(last) if dash and last.isdigit() else int(first))


def _service(state: State, name: str, packet: Packet, seen: tuple[str, ...] = ()) -> Match:
    """Whether a service, or one it includes, names the packet."""
    service = state.services.get(name)
    if service is None or name in seen:
        return None if service is None else False
    named = any(_port(word, packet) for word in service.words("ports")) or bool(
        packet.protocol and packet.protocol in service.words("protocols")
    )
    if named:
        for word in service.words("destination"):
            if word.startswith(f"ipv{packet.family}:"):
                return _within(packet.destination, network(word.split(":", 1)[1]))
        return True
    if service.words("source-ports"):
        return None
    return any(_service(state, other, packet, (*seen, name)) for other in service.words("includes"))


def _applies(state: State, rule: Rich, packet: Packet) -> bool:
    """Whether a rich rule certainly matches a packet."""
    if rule.family not in (0, packet.family):
        return False
    return all(
        match is True
        for match in (
            _address(state, rule.parts.get("source"), packet.source),
            _address(state, rule.parts.get("destination"), packet.destination),
            _element(state, rule, packet),
        )
    )


def _address(state: State, part: t.Mapping[str, str] | None, wanted: Network | None) -> Match:
    if part is None:
        return True
    match: Match = None
    if "address" in part:
        match = _within(wanted, network(part["address"]))
    elif part.get("ipset") in state.ipsets:
        results = [_within(wanted, network(entry)) for entry in state.ipsets[part["ipset"]]]
        match = True if True in results else None if None in results else False
    return None if match is None else match != ("not" in part)


def _element(state: State, rule: Rich, packet: Packet) -> Match:
    for name in ELEMENTS:
        part = rule.parts.get(name)
        if part is None:
            continue
        if name == "service":
            return _service(state, part.get("name", ""), packet)
        if name == "port":
            return _port(f"{part.get('port', '')}/{part.get('protocol', '')}", packet)
        if name == "protocol":
            return part.get("value") == packet.protocol if packet.protocol else None
        return None if name == "source-port" else False
    return True
