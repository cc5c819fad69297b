# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What `nft list ruleset` says, and what its rules do to a packet.

The JSON listing tells what a rule does, the text listing how nft prints it. Table and set flags are read from the text:
nft 1.0.6 prints arbitrary memory in their place in JSON, and leaves "dynamic" out.
"""

from __future__ import annotations

import bisect
import ipaddress
import json
import re
import typing as t
from dataclasses import dataclass, field, replace

YES, MAYBE, NO = 1, 0, -1  # "and" is min(), "not" is the minus sign

Json = t.Any
Verdict = t.Tuple[str, str]  # kind and, for jump and goto, the chain's name
Value = t.Tuple[str, t.Union[str, int, None]]  # of a packet: kind ("absent", "unknown", ...) and value

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre", 50: "esp", 51: "ah", 58: "ipv6-icmp", 132: "sctp"}
HEADERS = {"icmpv6": "ipv6-icmp"}  # headers that are not called like their protocol
TRANSPORT = {"tcp", "udp", "udplite", "sctp", "dccp", "esp", "ah", "comp", "icmp", "icmpv6", "igmp", "gre"}
ENDS = {"accept": "pass", "drop": "stop", "reject": "stop", "return": "end"}  # of a chain
VERDICTS = {*ENDS, "jump", "goto"}
# Statements that neither decide about a packet nor select packets.
HARMLESS = {
    "continue",
    "counter",
    "ct helper",
    "ct timeout",
    "dup",
    "flow",
    "last",
    "log",
    "mangle",
    "notrack",
    "secmark",
}
DEPTH = 16  # jumps the kernel allows


@dataclass(frozen=True)
class Rule:
    """One rule; text is what nft prints, without packet counts."""

    handle: int
    text: str
    comment: str = ""
    expr: tuple[Json, ...] = ()


@dataclass(frozen=True)
class Chain:
    """A chain; header is the line that makes it a base chain."""

    name: str
    hook: str = ""
    kind: str = ""
    policy: str = ""
    priority: int = 0
    header: str = ""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Group:
    """A named set or map; a fixed one has elements that neither packets nor time change."""

    name: str
    type: str
    fixed: bool = True
    elements: tuple[Json, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table; judged names the base chains that belong to nobody else."""

    family: str
    name: str
    flags: tuple[str, ...] = ()
    owner: str = ""
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Group] = field(default_factory=dict)
    maps: dict[str, Group] = field(default_factory=dict)
    judged: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """How nft commands name it."""
        return f"{self.family} {self.name}"


@dataclass
class Text:
    """What only the text listing has: flags, owners, and the words of rules and base chains."""

    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    groups: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    kinds: dict[tuple[str, str], str] = field(default_factory=dict)
    headers: dict[tuple[str, str], str] = field(default_factory=dict)
    rules: dict[tuple[str, int], str] = field(default_factory=dict)


def read_text(listing: str) -> Text:
    """Read `nft -s -a list ruleset`."""
    text, table, inside, rule = Text(), "", ("", ""), ""
    for line in listing.splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if line.startswith("table "):
            table = " ".join(words[1:3])
            text.tables[table] = ()
            owner = re.search(r" progname (\S+)", line)
            text.owners[table] = owner.group(1) if owner else ""
        elif not line.startswith("\t\t"):
            inside, rule = ("", ""), ""
            if words[0] == "flags":
                text.tables[table] = tuple(re.split(r"[ ,]+", line.strip())[1:])
            elif len(words) > 2 and words[2] == "{":
                inside = (words[0], words[1])
                text.kinds[table, words[1]] = words[0]
        elif inside[0] in ("set", "map") and words[0] == "flags":
            text.groups[table, inside[1]] = tuple(re.split(r"[ ,]+", line.strip())[1:])
        elif inside[0] == "chain":
            if words[0] == "type" and " hook " in line:
                text.headers[table, inside[1]] = line.strip()
                continue
            rule = f"{rule} {line.strip()}".strip()
            found = re.match(r"(.*) # handle (\d+)$", rule)
            if found:
                text.rules[table, int(found.group(2))] = found.group(1)
                rule = ""
            elif words[0] == "comment":  # of the chain
                rule = ""
    return text


def read(documents: t.Iterable[str], text: Text) -> tuple[Table, ...]:
    """Put the tables of JSON listings together with what the text says. ValueError: not JSON, or another ruleset."""
    tables: dict[str, Table] = {name: _table(name, text) for name in text.tables}
    rules: dict[tuple[str, str], list[Rule]] = {}
    chains: list[tuple[str, Json]] = []
    for document in documents:
        for item in json.loads(document)["nftables"]:
            kind, body = next(iter(item.items()))
            table = f"{body.get('family')} {body.get('table')}"
            if kind == "chain":
                chains.append((table, body))
            elif kind == "rule":
                words = text.rules[table, body["handle"]]
                rule = Rule(body["handle"], words, body.get("comment", ""), tuple(body["expr"]))
                rules.setdefault((table, body["chain"]), []).append(rule)
            elif kind in ("set", "map"):
                flags = text.groups.get((table, body["name"]), ())
                fixed = not {"dynamic", "timeout"} & {*flags, *_list(body.get("flags", []))} and "timeout" not in body
                group = Group(body["name"], " . ".join(_list(body["type"])), fixed, tuple(_list(body.get("elem", []))))
                (tables[table].sets if kind == "set" else tables[table].maps)[group.name] = group
    for table, body in chains:
        name = body["name"]
        tables[table].chains[name] = Chain(
            name,
            body.get("hook", ""),
            body.get("type", ""),
            body.get("policy", ""),
            body.get("prio", 0),
            text.headers.get((table, name), ""),
            tuple(rules.get((table, name), ())),
        )
    return tuple(tables.values())


def _table(name: str, text: Text) -> Table:
    family, dummy, short = name.partition(" ")
    return Table(family, short, text.tables[name], text.owners[name])


def _list(value: Json) -> list[Json]:
    """Newer releases of nft print a list of one without its brackets."""
    return value if isinstance(value, list) else [value]


def verdicts(table: Table, rule: Rule) -> list[Verdict]:
    """Every verdict a rule can come to."""
    found = []
    for statement in rule.expr:
        kind, body = next(iter(statement.items()))
        if kind in VERDICTS:
            found.append(_verdict(statement))
        elif kind == "vmap":
            found += [_verdict(verdict) for dummy, verdict in _pairs(table, body["data"])[1]]
    return found


def looks_up(rule: Rule) -> bool:
    """Whether a rule has a set or a map, named or not."""
    for statement in rule.expr:
        kind, body = next(iter(statement.items()))
        right = body["right"] if kind == "match" else None
        if kind in ("vmap", "set") or (isinstance(right, dict) and "set" in right) or str(right).startswith("@"):
            return True
    return False


def _verdict(statement: Json) -> Verdict:
    kind, body = next(iter(statement.items()))
    return kind, body["target"] if kind in ("jump", "goto") else ""


def _pairs(table: Table, data: Json) -> tuple[bool, list[Json]]:
    """The elements of a verdict map, and whether they stay as they are."""
    if isinstance(data, str):
        group = table.maps.get(data[1:], Group("", "", False))
        return group.fixed, list(group.elements)
    return True, _list(data["set"])


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection. Empty or None: not known."""

    hook: str
    family: int
    protocol: str = ""
    port: int | None = None
    source: int | None = None
    destination: int | None = None
    iif: str = ""
    oif: str = ""


@dataclass(frozen=True)
class Stop:
    """Where a packet ends: the chain and the words of the rule, and the place in the base chain that led there."""

    chain: str
    text: str
    place: int


class Values:
    """The right side of a match, ready for many packets."""

    def __init__(self) -> None:
        self.words: set[str] = set()
        self.prefixes: list[str] = []
        self.spans: list[tuple[int, int]] = []
        self.any = False
        self.unknown = False

    def add(self, kind: str, item: Json) -> None:
        """Take one element of a set in."""
        if isinstance(item, dict) and "elem" in item:
            if "timeout" in item["elem"]:  # it will be gone
                self.unknown = True
                return
            item = item["elem"]["val"]
        if item == "*":
            self.any = True
        elif kind in ("addr", "port"):
            span = _span(kind, item)
            self.unknown = self.unknown or span is None
            self.spans += [span] if span else []
        elif isinstance(item, (str, int)):
            word = PROTOCOLS.get(item, str(item)) if kind == "proto" and isinstance(item, int) else str(item)
            if kind == "name" and word.endswith("*"):
                self.prefixes.append(word[:-1])
            else:
                self.words.add(word)
        else:
            self.unknown = True

    def finish(self) -> Values:
        """Join spans that overlap, so that one look finds the right one."""
        joined: list[tuple[int, int]] = []
        for low, high in sorted(self.spans):
            if joined and low <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
            else:
                joined.append((low, high))
        self.spans = joined
        return self

    def has(self, value: str | int | None) -> int:
        """Whether the value is among them; None is a value nobody knows."""
        if self.any:
            return YES
        if value is None:
            # Nothing from another host arrives on the loopback interface.
            return NO if self.words == {"lo"} and not self.prefixes and not self.unknown else MAYBE
        if isinstance(value, str):
            found = value in self.words or any(value.startswith(prefix) for prefix in self.prefixes)
        else:
            place = bisect.bisect_right(self.spans, (value, 1 << 128)) - 1
            found = place >= 0 and value <= self.spans[place][1]
        return YES if found else MAYBE if self.unknown else NO


def _span(kind: str, item: Json) -> tuple[int, int] | None:
    """First and last number of an address, prefix, port or range."""
    try:
        if isinstance(item, dict) and "range" in item:
            return _number(kind, item["range"][0]), _number(kind, item["range"][1])
        if isinstance(item, dict) and "prefix" in item:
            net = ipaddress.ip_network(f"{item['prefix']['addr']}/{item['prefix']['len']}", strict=False)
            return int(net.network_address), int(net.broadcast_address)
        number = _number(kind, item)
    except (ValueError, TypeError):
        return None
    return number, number


def _number(kind: str, item: Json) -> int:
    return int(ipaddress.ip_address(item)) if kind == "addr" else int(item)


class Judge:
    """Walks the chains of one table with a packet.

    Interfaces in bridges are those of the overlay: a rule that names one of them is not counted, for or against.
    """

    def __init__(self, table: Table, bridges: t.Container[str], is_ours: t.Callable[[Rule], bool]) -> None:
        self.table = table
        self.bridges = bridges
        self.is_ours = is_ours
        self.saw_source = False  # a rule asked where the packet comes from
        self._values: dict[tuple[str, int], Values] = {}

    def stop(self, chain: Chain, packet: Packet) -> Stop | None:
        """What stops the packet in a base chain, None if it passes or if nobody can tell."""
        end, stop = self._walk(chain, packet, 0)
        if end == "end" and chain.policy == "drop":
            return Stop(chain.name, chain.header, stop.place)
        return stop if end == "stop" else None

    def _walk(self, chain: Chain, packet: Packet, depth: int) -> tuple[str, Stop]:
        """How the chain ends ("pass", "stop" or "end"), by which rule, and the place in this chain that led there."""
        for place, rule in enumerate(chain.rules):
            verdict = None if self.is_ours(rule) else self._rule(rule, packet)
            if verdict is None:
                continue
            kind, target = verdict
            here = Stop(chain.name, rule.text, place)
            if kind in ENDS:
                return ENDS[kind], here
            inner = self.table.chains.get(target)
            if inner is None or depth >= DEPTH:
                continue
            end, stop = self._walk(inner, packet, depth + 1)
            if end != "end" or kind == "goto":
                return end, replace(stop, place=place)
        return "end", Stop(chain.name, "", len(chain.rules))

    def _rule(self, rule: Rule, packet: Packet) -> Verdict | None:
        """The verdict of a rule that certainly matches, else None."""
        for statement in rule.expr:
            kind, body = next(iter(statement.items()))
            if kind in HARMLESS:
                continue
            if kind == "match":
                matches = self._match(body, packet)
            elif kind == "vmap":
                matches, verdict = self._vmap(body, packet)
                if verdict and verdict[0] in VERDICTS:
                    return verdict
            elif kind in VERDICTS:
                return _verdict(statement) if kind != "reject" or _rejects(body, packet) == YES else None
            elif kind == "set" and body.get("op") in ("add", "update", "delete") and not body.get("stmt"):
                continue
            else:
                matches = MAYBE
            if matches != YES:
                return None
        return None

    def _match(self, body: Json, packet: Packet) -> int:
        left, right, op = body["left"], body["right"], body["op"]
        if "concat" in left:
            parts = [self._field(part, packet) for part in left["concat"]]
            if ("absent", None) in parts:
                return NO
            fixed, elements = self._elements(right)
            found = max([self._concat(parts, element) for element in elements] or [NO]) if fixed else MAYBE
            return -found if op == "!=" else found
        kind, value = self._field(left, packet)
        if kind == "absent":
            return NO
        if kind == "unknown":
            return MAYBE
        if op in ("<", ">", "<=", ">="):
            return _compare(op, value, right) if kind == "port" else MAYBE
        if op == "!=":
            return -self._of(kind, right).has(value)
        return self._has(kind, value, right) if op in ("==", "in") else MAYBE

    def _has(self, kind: str, value: str | int | None, right: Json) -> int:
        """Whether the right side has the packet's value."""
        if kind in ("unknown", "absent"):
            return MAYBE if kind == "unknown" else NO
        values = self._of(kind, right)
        if kind == "name" and value in self.bridges and value in values.words:
            return NO  # a rule of Weave Net or Docker, which comes and goes
        return values.has(value)

    def _concat(self, parts: list[Value], element: Json) -> int:
        """Whether one element of a concatenation fits all parts of a packet."""
        if isinstance(element, dict) and "elem" in element:
            element = element["elem"]["val"]
        if element == "*":
            return YES
        if not isinstance(element, dict) or "concat" not in element or len(element["concat"]) != len(parts):
            return MAYBE
        found = YES
        for (kind, value), item in zip(parts, element["concat"]):
            found = min(found, self._has(kind, value, item))
        return found

    def _vmap(self, body: Json, packet: Packet) -> tuple[int, Verdict | None]:
        """What a verdict map says: whether an element matches, and the verdict of one that certainly does."""
        key = body["key"]
        parts = [self._field(part, packet) for part in key["concat"]] if "concat" in key else [self._field(key, packet)]
        if ("absent", None) in parts:
            return NO, None
        fixed, pairs = _pairs(self.table, body["data"])
        best, rest = (NO if fixed else MAYBE), None
        for element, verdict in pairs:
            if element == "*":
                rest = _verdict(verdict)
                continue
            found = self._concat(parts, element) if "concat" in key else self._has(*parts[0], element)
            if found == YES and fixed:
                return YES, _verdict(verdict)
            best = max(best, min(found, MAYBE))
        return (YES, rest) if rest and best == NO else (best, None)

    def _elements(self, right: Json) -> tuple[bool, list[Json]]:
        """The elements a right side stands for, and whether they stay as they are."""
        if isinstance(right, str) and right.startswith("@"):
            group = self.table.sets.get(right[1:], Group("", "", False))
            return group.fixed, list(group.elements)
        if isinstance(right, dict) and ("set" in right or "|" in right):
            return True, _list(right.get("set", right.get("|")))
        return True, _list(right)

    def _of(self, kind: str, right: Json) -> Values:
        # By identity: the listing stays in memory as long as the judge does.
        known = self._values.get((kind, id(right)))
        if known is None:
            known = Values()
            fixed, elements = self._elements(right)
            if fixed:
                for element in elements:
                    known.add(kind, element)
            known.unknown = known.unknown or not fixed
            self._values[kind, id(right)] = known.finish()
        return known

    def _field(self, left: Json, packet: Packet) -> Value:
        """What a left side reads: the kind of value, and the packet's value of it."""
        name, body = next(iter(left.items())) if isinstance(left, dict) else ("", {})
        if name == "meta":
            return _meta(body["key"], packet)
        if name == "ct" and body.get("key") == "state":
            return "word", "new"
        if name == "fib" and body.get("result") == "type" and _list(body.get("flags")) == ["daddr"]:
            return "word", "local" if packet.hook == "input" else "unicast"
        if name != "payload" or "protocol" not in body:
            return "unknown", None
        header, part = body["protocol"], body["field"]
        if header in ("ip", "ip6"):
            if packet.family != (4 if header == "ip" else 6):
                return "absent", None
            if part == "saddr":
                self.saw_source = True
                return "addr", packet.source
            if part == "daddr":
                return "addr", packet.destination
            return ("proto", packet.protocol or None) if part in ("protocol", "nexthdr") else ("unknown", None)
        if header in TRANSPORT and packet.protocol and packet.protocol != HEADERS.get(header, header):
            return "absent", None
        if part == "dport" and header in ("tcp", "udp", "th") and packet.protocol in ("tcp", "udp"):
            return "port", packet.port
        return "unknown", None


def _meta(key: str, packet: Packet) -> Value:
    values: dict[str, Value] = {
        "iifname": ("name", packet.iif or None),
        "iif": ("name", packet.iif or None),
        "oifname": ("name", packet.oif or None),
        "oif": ("name", packet.oif or None),
        "l4proto": ("proto", packet.protocol or None),
        "protocol": ("word", "ip" if packet.family == 4 else "ip6"),
        "nfproto": ("word", f"ipv{packet.family}"),
    }
    return values.get(key, ("unknown", None))


def _compare(op: str, value: t.Any, right: Json) -> int:
    if not isinstance(value, int) or not isinstance(right, int):
        return MAYBE
    results = {"<": value < right, ">": value > right, "<=": value <= right, ">=": value >= right}
    return YES if results[op] else NO


def _rejects(body: Json, packet: Packet) -> int:
    """A reject with a reset or with one family's ICMP is for that kind of packets only."""
    kind = (body or {}).get("type", "")
    if kind == "tcp reset":
        return MAYBE if not packet.protocol else YES if packet.protocol == "tcp" else NO
    if kind in ("icmp", "icmpv6"):
        return YES if packet.family == (4 if kind == "icmp" else 6) else NO
    return YES
