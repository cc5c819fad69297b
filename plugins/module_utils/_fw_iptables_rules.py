# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Rules as iptables-save prints them, and which of them stop a flow.

A rule is judged for the first packet of a connection. Each of its matches is NO, MAYBE or YES; a rule is as sure as its
least sure match, and only rules that match for sure count. A flow is walked once for all of its peers: they are bits of
one number, and a match on the source address is the number of those it holds for.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from functools import lru_cache

from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import Flow

NO, MAYBE, YES = 0, 1, 2
STOPS = ("DROP", "REJECT", "TARPIT")
LEAVES = ("ACCEPT", "QUEUE", "NFQUEUE")  # nothing later in the chain sees it; what a queue says is not known here
DEPTH = 100  # nested jumps; people use less than ten
PORT_MATCHES = ("--dport", "--dports", "--ports")
# Modules whose options are all judged below, or that narrow nothing themselves.
MODULES = (
    "tcp",
    "udp",
    "multiport",
    "conntrack",
    "state",
    "comment",
    "addrtype",
    "pkttype",
    "iprange",
    "icmp",
    "icmp6",
)
PROTOCOLS = {
    "all": 0, "icmp": 1, "igmp": 2, "ipencap": 4, "ipip": 4, "ipv4": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41,
    "gre": 47, "esp": 50, "ipv6-crypt": 50, "ah": 51, "ipv6-auth": 51, "ipv6-icmp": 58, "icmpv6": 58, "ospf": 89,
    "pim": 103, "vrrp": 112, "sctp": 132, "udplite": 136,
}  # fmt: skip
_NAMES = {number: name for name, number in reversed(list(PROTOCOLS.items()))}  # the first name of each number
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


class Match(t.NamedTuple):
    """One condition of a rule; option is "-m" for a module that cannot be judged."""

    option: str
    values: tuple[str, ...]
    negated: bool


@dataclass(frozen=True)
class Rule:
    """One line of iptables-save."""

    text: str
    chain: str
    matches: tuple[Match, ...]
    target: str = ""
    goto: bool = False

    def values(self, *options: str) -> list[str]:
        """What the rule says for these options, negated or not."""
        return [value for match in self.matches if match.option in options for value in match.values]


@dataclass
class Chain:
    """A chain; policy is "-" for one that is not built in."""

    policy: str = "-"
    rules: list[Rule] = field(default_factory=list)


@dataclass(frozen=True)
class Packet:
    """What is known of a flow's first packet, sources aside; None and "" are not known."""

    hook: str
    protocol: int | None
    port: int | None
    destination: int | None
    iif: str
    oif: str
    remote: bool  # comes from another host


@dataclass(frozen=True)
class Stop:
    """A rule that stops peers (bits), and where in the base chain it is reached."""

    index: int
    text: str
    peers: int


class Peers:
    """The sources of a flow as bits of a number; without any the flow is one bit of unknown source."""

    def __init__(self, addresses: t.Sequence[str]) -> None:
        pairs = sorted((int(ipaddress.ip_network(address)[0]), address) for address in addresses)
        self._numbers = [number for number, dummy in pairs]
        self._addresses = [address for dummy, address in pairs]
        self.all = (1 << max(1, len(pairs))) - 1

    def within(self, match: Match) -> int:
        """Those whose source fits for sure."""
        value = match.values[0] if match.values else ""
        if match.option == "--src-range":
            low, high = _range(value)
        else:
            low, mask, full = _network(value)
            high = low | (full ^ mask)
            if mask == 0:
                return 0 if match.negated else self.all
            if (high - low) & (high - low + 1):  # the mask has holes
                bits = sum(1 << bit for bit, number in enumerate(self._numbers) if number & mask == low)
                return self._signed(bits, match)
        return self._signed((1 << bisect_right(self._numbers, high)) - (1 << bisect_left(self._numbers, low)), match)

    def _signed(self, bits: int, match: Match) -> int:
        if not self._numbers:
            return 0
        return self.all & ~bits if match.negated else bits

    def names(self, bits: int) -> set[str]:
        """Their addresses."""
        return {address for bit, address in enumerate(self._addresses) if bits >> bit & 1}


def parse(text: str) -> dict[str, Chain] | None:
    """The chains of the filter table in the output of iptables-save; None when there is no such table."""
    chains: dict[str, Chain] | None = None
    inside = False
    for line in text.splitlines():
        if line.startswith("*"):
            inside = line.strip() == "*filter"
            chains = {} if inside else chains
        elif inside and chains is not None and line.startswith(":"):
            name, policy = line[1:].split()[:2]
            chains[name] = Chain(policy)
        elif inside and chains is not None and line.startswith("-A "):
            rule = parse_rule(line)
            chains.setdefault(rule.chain, Chain()).rules.append(rule)
    return chains


def parse_rule(line: str) -> Rule:
    """One line beginning with -A."""
    # a word, and whether it was in quotes
    words = [(plain or quoted, not plain) for quoted, plain in _WORD.findall(line)]
    matches: list[Match] = []
    negated = False
    at = 2
    while at < len(words):
        word = words[at][0]
        at += 1
        if word == "!":
            negated = True
            continue
        start = at
        while at < len(words) and (words[at][1] or not (words[at][0] == "!" or words[at][0].startswith("-"))):
            at += 1
        values = tuple(value for value, dummy in words[start:at])
        if word in ("-j", "-g"):  # what follows are the options of the target
            return Rule(line.strip(), words[1][0], tuple(matches), values[0] if values else "", word == "-g")
        if word != "-m" or not values or values[0] not in MODULES:
            matches.append(Match(word, values, negated))
        negated = False
    return Rule(line.strip(), words[1][0], tuple(matches))


def canonical(rule: Rule) -> str:
    """A rule like ours in one spelling: releases differ in order, quotes and the names of protocols."""
    found = {match.option: match for match in rule.matches}
    known = ("-s", "-d", "-i", "-o", "-p", "--dport", "--comment")
    if len(found) != len(rule.matches) or any(
        match.negated or len(match.values) != 1 or match.option not in known for match in rule.matches
    ):
        return rule.text
    words = ["-A", rule.chain]
    for option in known:
        if option not in found:
            continue
        value = found[option].values[0]
        if option in ("-s", "-d"):
            value = str(ipaddress.ip_network(value))
        elif option == "-p":
            value = _NAMES.get(number(value) or 0, value)
        elif option == "--dport":
            words += ["-m", _NAMES.get(number(found["-p"].values[0]) or 0, "") if "-p" in found else ""]
        elif option == "--comment":
            words += ["-m", "comment"]
        words += [option, value]
    return " ".join([*words, *(["-g" if rule.goto else "-j", rule.target] if rule.target else [])])


def number(protocol: str) -> int | None:
    """The number of a protocol, None for a name that is not known here."""
    return int(protocol) if protocol.isdigit() else PROTOCOLS.get(protocol.lower())


def packets(flow: Flow, chains: t.Mapping[str, Chain]) -> list[Packet]:
    """A flow's packets that the rules of these chains can tell apart: one for each stretch of its ports."""
    protocol = number(flow.protocol) if flow.protocol else None
    if flow.protocol and protocol is None:
        raise ValueError(f"The protocol '{flow.protocol}' of '{flow.label}' is not known.")
    ports: list[int | None] = [None]
    if flow.ports:
        first, last = flow.ports
        cuts = {first}
        for chain in chains.values():
            for rule in chain.rules:
                for value in rule.values(*PORT_MATCHES):
                    for low, high in _ports(value) or ():
                        cuts.update(cut for cut in (low, high + 1) if first < cut <= last)
        ports = [*sorted(cuts)]
    destination = int(ipaddress.ip_interface(flow.destination).ip) if flow.destination else None
    iif = flow.iif or flow.via
    return [Packet(flow.hook, protocol, port, destination, iif, flow.oif, bool(flow.sources)) for port in ports]


def walk(
    chains: t.Mapping[str, Chain], base: str, packet: Packet, peers: Peers, skip: t.Callable[[Rule], bool]
) -> list[Stop]:
    """What stops a packet on its way through a base chain, its policy included."""
    stops: list[Stop] = []
    left = peers.all
    for index, rule in enumerate(chains[base].rules):
        stopped: list[tuple[str, int]] = []
        left, done = _apply(chains, rule, left, packet, peers, skip, stopped, (base,))
        stops += [Stop(index, text, bits) for text, bits in stopped]
        # It returned, or was sent for good to a chain that ended: the policy decides, but no later rule is reached.
        stops += _policy(chains, base, index, done)
    return stops + _policy(chains, base, len(chains[base].rules), left)


def _policy(chains: t.Mapping[str, Chain], base: str, index: int, peers: int) -> list[Stop]:
    if not peers or chains[base].policy not in STOPS:
        return []
    return [Stop(index, f"-P {base} {chains[base].policy}", peers)]


def _apply(
    chains: t.Mapping[str, Chain],
    rule: Rule,
    peers_in: int,
    packet: Packet,
    peers: Peers,
    skip: t.Callable[[Rule], bool],
    stopped: list[tuple[str, int]],
    path: tuple[str, ...],
) -> tuple[int, int]:
    """One rule for some peers: those who go on to the next rule, and those who leave the chain as if at its end."""
    if not peers_in or not rule.target or skip(rule):
        return peers_in, 0
    hit = peers_in
    for match in rule.matches:
        if match.option in ("-s", "--src-range"):
            hit &= peers.within(match)
        elif _judge(match, packet) != YES:
            return peers_in, 0
        if not hit:
            return peers_in, 0
    rest = peers_in & ~hit
    if rule.target in STOPS:
        stopped.append((rule.text, hit))
        return rest, 0
    if rule.target in LEAVES:
        return rest, 0
    if rule.target == "RETURN":
        return rest, hit
    if rule.target not in chains or rule.target in path or len(path) > DEPTH:
        return peers_in, 0  # LOG, MARK and the like; or a loop
    left, back = hit, 0
    for inner in chains[rule.target].rules:
        left, done = _apply(chains, inner, left, packet, peers, skip, stopped, (*path, rule.target))
        back |= done
    back |= left
    return (rest, back) if rule.goto else (rest | back, 0)


def _judge(match: Match, packet: Packet) -> int:
    """Whether a packet fits one match, source addresses aside."""
    decide = _DECIDE.get(match.option)
    if decide is None or (not match.values and match.option != "-f"):
        return MAYBE
    verdict = decide(match.values, packet)
    return YES + NO - verdict if match.negated else verdict


def _sure(condition: bool) -> int:
    return YES if condition else NO


def _destination(values: tuple[str, ...], packet: Packet) -> int:
    low, mask, dummy = _network(values[0])
    if packet.destination is None:
        return MAYBE if mask else YES
    return _sure(packet.destination & mask == low)


def _destination_range(values: tuple[str, ...], packet: Packet) -> int:
    low, high = _range(values[0])
    return MAYBE if packet.destination is None else _sure(low <= packet.destination <= high)


def _interface(name: str, pattern: str) -> int:
    if pattern.endswith("+"):
        return _sure(name.startswith(pattern[:-1]))
    return _sure(name == pattern)


def _iif(values: tuple[str, ...], packet: Packet) -> int:
    if packet.iif or values[0] == "+":
        return _interface(packet.iif, values[0])
    return NO if values[0] == "lo" and packet.remote else MAYBE  # other hosts' packets never arrive on lo


def _oif(values: tuple[str, ...], packet: Packet) -> int:
    if packet.oif or packet.hook == "input" or values[0] == "+":  # what comes in has no interface to leave by
        return _interface(packet.oif, values[0])
    return MAYBE


def _protocol(values: tuple[str, ...], packet: Packet) -> int:
    wanted = number(values[0])
    if wanted == 0:
        return YES
    return MAYBE if wanted is None or packet.protocol is None else _sure(wanted == packet.protocol)


def _dport(values: tuple[str, ...], packet: Packet) -> int:
    ranges = _ports(values[0])
    if ranges is None or packet.port is None:
        return MAYBE
    port = packet.port
    return _sure(any(low <= port <= high for low, high in ranges))


def _sport(values: tuple[str, ...], dummy_packet: Packet) -> int:
    return YES if any(low <= 1 and high == 65535 for low, high in _ports(values[0]) or ()) else MAYBE


def _either_port(values: tuple[str, ...], packet: Packet) -> int:
    return max(_dport(values, packet), _sport(values, packet))


def _flags(values: tuple[str, ...], packet: Packet) -> int:
    """A connection begins with SYN alone; a match cannot ask for the flags of ECN."""
    if packet.protocol != 6 or len(values) != 2:
        return MAYBE
    mask, wanted = ({flag for flag in value.split(",") if flag != "NONE"} for value in values)
    if "ALL" in mask:
        mask = {"FIN", "SYN", "RST", "PSH", "ACK", "URG"}
    if "ALL" in wanted:
        wanted = {"FIN", "SYN", "RST", "PSH", "ACK", "URG"}
    return _sure(mask & {"SYN"} == wanted)


def _state(values: tuple[str, ...], dummy_packet: Packet) -> int:
    states = values[0].split(",")
    if "NEW" in states:
        return YES
    return NO if set(states) <= {"ESTABLISHED", "RELATED", "INVALID"} else MAYBE


def _destination_type(values: tuple[str, ...], packet: Packet) -> int:
    types = values[0].split(",")
    if packet.hook == "input":
        return _sure("LOCAL" in types)
    return NO if set(types) == {"LOCAL"} else MAYBE


def _source_type(values: tuple[str, ...], packet: Packet) -> int:
    return NO if packet.remote and set(values[0].split(",")) <= {"LOCAL", "BROADCAST", "MULTICAST"} else MAYBE


_DECIDE: dict[str, t.Callable[[tuple[str, ...], Packet], int]] = {
    "-d": _destination,
    "--dst-range": _destination_range,
    "-i": _iif,
    "-o": _oif,
    "-p": _protocol,
    "--dport": _dport,
    "--dports": _dport,
    "--sport": _sport,
    "--sports": _sport,
    "--ports": _either_port,
    "--tcp-flags": _flags,
    "--ctstate": _state,
    "--state": _state,
    "--dst-type": _destination_type,
    "--src-type": _source_type,
    "--pkt-type": lambda values, packet: _sure(values[0] == "unicast"),
    "--comment": lambda values, packet: YES,
    "-f": lambda values, packet: NO,  # connection tracking puts fragments together before
}


@lru_cache(maxsize=None)
def _network(text: str) -> tuple[int, int, int]:
    """Address, mask and the mask of a single address, as numbers; the mask may have holes."""
    address, slash, mask = text.partition("/")
    value = ipaddress.ip_address(address)
    full = (1 << value.max_prefixlen) - 1
    bits = full
    if slash:
        bits = full ^ (full >> int(mask)) if mask.isdigit() else int(ipaddress.ip_address(mask))
    return int(value) & bits, bits, full


def _range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    return int(ipaddress.ip_address(low)), int(ipaddress.ip_address(high if dash else low))


@lru_cache(maxsize=None)
def _ports(text: str) -> tuple[tuple[int, int], ...] | None:
    """Ranges of ports, None where one is written as a name."""
    ranges = []
    for part in text.split(","):
        low, colon, high = part.partition(":")
        if not (low or "0").isdigit() or not (high or "0").isdigit():
            return None
        ranges.append((int(low or 0), int(high or 65535) if colon else int(low or 0)))
    return tuple(ranges)
