# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress
import pathlib
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._fw_nft_rules import (
    Chain,
    Group,
    Judge,
    Packet,
    Rule,
    Stop,
    Table,
    read,
    read_text,
    verdicts,
)

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "firewall" / "nft"
END = Rule(999, "drop", expr=({"drop": None},))


def load(name: str) -> tuple[Table, ...]:
    return read([(FIXTURES / f"{name}.json").read_text()], read_text((FIXTURES / f"{name}.txt").read_text()))


EVERYTHING = load("everything")[0]
RULES = {rule.text: rule for chain in EVERYTHING.chains.values() for rule in chain.rules}


def packet(source: str = "198.18.31.12", protocol: str = "tcp", port: int | None = 6783, **more: t.Any) -> Packet:
    more = {"hook": "input", "family": 4, "iif": "eth1", **more}
    destination = more.pop("destination", "198.18.31.13")
    return Packet(
        protocol=protocol,
        port=port,
        source=int(ipaddress.ip_address(source)) if source else None,
        destination=int(ipaddress.ip_address(destination)) if destination else None,
        **more,
    )


def outcome(rule: Rule, sent: Packet, table: Table = EVERYTHING, bridges: t.Sequence[str] = ("weave",)) -> str:
    """What one rule does; one without a verdict gets a drop at its end, to see whether it matches."""
    if not verdicts(table, rule):
        rule = replace(rule, expr=(*rule.expr, {"drop": None}))
    stop = Judge(table, bridges, lambda dummy: False).stop(Chain("test", rules=(rule, END)), sent)
    return "accept" if stop is None else "drop" if stop.place == 0 else "skip"


IPV6 = {"source": "2001:db8::1", "destination": "2001:db8::9", "family": 6}
FORWARD = {
    "hook": "forward",
    "source": "",
    "destination": "",
    "iif": "weave",
    "oif": "weave",
    "protocol": "",
    "port": None,
}
CASES: list[tuple[str, dict[str, t.Any], str]] = [
    ("ct state established,related accept", {}, "skip"),
    ("ct state vmap { invalid : drop, established : accept, related : accept }", {}, "skip"),
    ("ct state invalid counter drop", {}, "skip"),
    ("ct state { new, untracked } counter", {}, "drop"),
    ("ct state != new accept", {}, "skip"),
    ('iif "lo" accept', {}, "skip"),
    ('iif != "lo" ip daddr 127.0.0.0/8 drop', {"iif": ""}, "skip"),
    ('iif != "lo" ip daddr 127.0.0.0/8 drop', {"iif": "", "destination": "127.0.0.1"}, "drop"),
    ('iifname "eth*" counter', {}, "drop"),
    ('iifname "eth*" counter', {"iif": "ens3"}, "skip"),
    ('iifname "eth*" counter', {"iif": ""}, "skip"),
    ('iifname { "eth0", "wea*" } counter', {}, "skip"),
    ('iifname { "eth0", "wea*" } counter', {"iif": "eth0"}, "drop"),
    ('iifname { "eth0", "wea*" } counter', {"iif": "weave"}, "drop"),
    ("iifname vmap @ifs", {}, "drop"),  # jumps to svc, which rejects
    ("iifname vmap @ifs", {"iif": "eth0"}, "skip"),
    ("iifname vmap @ifs", {"iif": "lo"}, "accept"),
    ("meta l4proto { icmp, ipv6-icmp } accept", {}, "skip"),
    ("meta l4proto { icmp, ipv6-icmp } accept", {"protocol": "icmp", "port": None}, "accept"),
    ("meta l4proto { icmp, ipv6-icmp } accept", FORWARD, "skip"),
    ("meta l4proto vmap { tcp : jump svc, udp : accept, gre : drop }", {"protocol": "udp"}, "accept"),
    ("meta l4proto vmap { tcp : jump svc, udp : accept, gre : drop }", {"protocol": "gre", "port": None}, "drop"),
    ("meta l4proto vmap { tcp : jump svc, udp : accept, gre : drop }", {}, "drop"),
    ("meta l4proto vmap { tcp : jump svc, udp : accept, gre : drop }", FORWARD, "skip"),
    ("ip protocol gre drop", {"protocol": "gre", "port": None}, "drop"),
    ("ip protocol gre drop", {}, "skip"),
    ("ip6 nexthdr esp drop", {"protocol": "esp", "port": None}, "skip"),
    ("ip6 nexthdr esp drop", {**IPV6, "protocol": "esp", "port": None}, "drop"),
    ("meta nfproto ipv6 drop", {}, "skip"),
    ("meta nfproto ipv6 drop", IPV6, "drop"),
    ("meta protocol ip counter", {}, "drop"),
    ("meta protocol ip counter", IPV6, "skip"),
    ("meta l4proto { tcp, udp } th dport 6783 drop", {"protocol": "udp"}, "drop"),
    ("meta l4proto { tcp, udp } th dport 6783 drop", {"protocol": "esp", "port": None}, "skip"),
    ("meta l4proto { tcp, udp } th dport { 53, 6783 } drop", {}, "drop"),
    ("meta l4proto { tcp, udp } th dport { 53, 6783 } drop", {"port": 6784}, "skip"),
    ("icmp type echo-request limit rate 5/second accept", {}, "skip"),
    ("tcp dport vmap @ports", {"port": 22}, "accept"),
    ("tcp dport vmap @ports", {"port": 1500}, "drop"),
    ("tcp dport vmap @ports", {"port": 2001}, "skip"),
    ("tcp dport vmap @ports", {"protocol": "udp", "port": 22}, "skip"),
    ("tcp dport vmap { * : drop }", {}, "drop"),
    ("tcp dport vmap { * : drop }", {"protocol": "udp"}, "skip"),
    (
        "tcp dport . ip saddr vmap { 22 . 10.0.0.1 : accept, 23 . 10.0.0.0/8 : drop }",
        {"port": 22, "source": "10.0.0.1"},
        "accept",
    ),
    (
        "tcp dport . ip saddr vmap { 22 . 10.0.0.1 : accept, 23 . 10.0.0.0/8 : drop }",
        {"port": 23, "source": "10.9.9.9"},
        "drop",
    ),
    ("tcp dport . ip saddr vmap { 22 . 10.0.0.1 : accept, 23 . 10.0.0.0/8 : drop }", {"port": 23}, "skip"),
    ("ip saddr . tcp dport @pairs accept", {"source": "10.1.1.1", "port": 22}, "accept"),
    ("ip saddr . tcp dport @pairs accept", {"source": "10.1.1.1"}, "skip"),
    ("ip saddr @admins tcp dport 22 accept", {"source": "192.0.2.9", "port": 22}, "accept"),
    ("ip saddr @admins tcp dport 22 accept", {"source": "198.51.100.7", "port": 22}, "accept"),
    ("ip saddr @admins tcp dport 22 accept", {"source": "192.0.2.10", "port": 22}, "skip"),
    ("ip saddr @admins tcp dport 22 accept", {"source": "", "port": 22}, "skip"),
    ('ip saddr != @admins tcp dport 22 log prefix "no " level info drop', {"port": 22}, "drop"),
    ('ip saddr != @admins tcp dport 22 log prefix "no " level info drop', {"source": "10.1.2.3", "port": 22}, "skip"),
    ('ip saddr != @admins tcp dport 22 log prefix "no " level info drop', {"source": "", "port": 22}, "skip"),
    ("ip saddr != { 10.0.0.1, 10.0.0.2 } counter", {}, "drop"),
    ("ip saddr != { 10.0.0.1, 10.0.0.2 } counter", {"source": "10.0.0.2"}, "skip"),
    (
        "ip saddr 10.0.0.0/8 ip daddr 10.0.0.1-10.0.0.9 accept",
        {"source": "10.1.0.0", "destination": "10.0.0.9"},
        "accept",
    ),
    (
        "ip saddr 10.0.0.0/8 ip daddr 10.0.0.1-10.0.0.9 accept",
        {"source": "10.1.0.0", "destination": "10.0.0.10"},
        "skip",
    ),
    ("tcp dport >= 1024 counter", {}, "drop"),
    ("tcp dport >= 1024 counter", {"port": 1023}, "skip"),
    ("tcp dport != 22-80 counter", {}, "drop"),
    ("tcp dport != 22-80 counter", {"port": 80}, "skip"),
    ("tcp dport != 22-80 counter", {"protocol": "udp"}, "skip"),
    ("tcp flags != syn / fin,syn,rst,ack ct state new drop", {}, "skip"),
    ("fib daddr type local counter", {}, "drop"),
    ("fib daddr type local counter", FORWARD, "skip"),
    ("fib daddr type { broadcast, multicast } drop", {}, "skip"),
    ("fib saddr . iif oif missing drop", {}, "skip"),
    ("add @banned { ip saddr } counter", {}, "drop"),
    ("update @banned { ip saddr limit rate over 10/second } drop", {}, "skip"),
    ("ct count over 20 drop", {}, "skip"),
    ("meta mark set 0x00000001 counter", {}, "drop"),
    ("reject", {}, "drop"),
    ("reject with icmp host-prohibited", {}, "drop"),
    ("reject with icmp host-prohibited", IPV6, "skip"),
    ("meta l4proto tcp reject with tcp reset", {}, "drop"),
    ("meta l4proto tcp reject with tcp reset", {"protocol": "udp"}, "skip"),
    ("tcp dport { 80-90, 6783 } reject with tcp reset", {}, "drop"),
    ("udp dport 53 notrack", {"protocol": "udp", "port": 53}, "drop"),
    ("esp spi 100 accept", {"protocol": "esp", "port": None}, "skip"),
    ("ip6 saddr fe80::/10 accept", {**IPV6, "source": "fe80::1"}, "accept"),
    ("ip6 saddr fe80::/10 accept", {}, "skip"),
    ("ip6 saddr { 2001:db8::1, 2001:db8:1::/48 } goto svc", IPV6, "drop"),
    ("ip6 saddr { 2001:db8::1, 2001:db8:1::/48 } goto svc", {**IPV6, "source": "2001:db8:2::1"}, "skip"),
]


@pytest.mark.parametrize(("text", "sent", "expected"), CASES, ids=[f"{case[0]} {case[2]}" for case in CASES])
def test_rule(text: str, sent: dict[str, t.Any], expected: str) -> None:
    assert outcome(RULES[text], packet(**sent)) == expected


def rule(*expr: t.Any) -> Rule:
    return Rule(1, "rule", expr=expr)


def match(left: t.Any, right: t.Any, op: str = "==") -> t.Any:
    return {"match": {"op": op, "left": left, "right": right}}


SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}
DPORT = {"payload": {"protocol": "tcp", "field": "dport"}}
IIFNAME = {"meta": {"key": "iifname"}}
DROP = {"drop": None}


@pytest.mark.parametrize(
    ("expr", "sent", "expected"),
    [
        pytest.param(
            (match({"meta": {"key": "l4proto"}}, 47), DROP), {"protocol": "gre", "port": None}, "drop", id="number"
        ),
        pytest.param((match({"ct": {"key": "state"}}, "new", "in"), DROP), {}, "drop", id="a flag without brackets"),
        pytest.param(
            (match({"fib": {"result": "type", "flags": "daddr"}}, "local"), DROP),
            {},
            "drop",
            id="a fib flag without brackets",
        ),
        pytest.param((match(SADDR, {"set": "198.18.31.12"}), DROP), {}, "drop", id="a set of one without brackets"),
        pytest.param((match(SADDR, "@gone"), DROP), {}, "skip", id="a set that is not there"),
        pytest.param((match(SADDR, "@banned"), DROP), {}, "skip", id="a set that packets change"),
        pytest.param((match(SADDR, "@banned", "!="), DROP), {}, "skip", id="not in a set that packets change"),
        pytest.param(
            (match(SADDR, {"set": [{"elem": {"val": "198.18.31.12", "timeout": 60}}]}), DROP),
            {},
            "skip",
            id="element with a timeout",
        ),
        pytest.param(
            (match({"concat": [SADDR, DPORT]}, "@pairs", "!="), DROP), {}, "drop", id="not among addresses with ports"
        ),
        pytest.param(
            (match({"concat": [SADDR, DPORT]}, "@pairs", "!="), DROP),
            {"protocol": "udp"},
            "skip",
            id="not among addresses with ports of another protocol",
        ),
        pytest.param(({"queue": {"num": 1}},), {}, "skip", id="queue"),
        pytest.param(({"xt": {"type": "match", "name": "recent"}}, DROP), {}, "skip", id="match of iptables"),
        pytest.param(({"xt": {"type": "target", "name": "REJECT"}},), {}, "skip", id="target of iptables"),
        pytest.param(({"limit": {"rate": 5, "per": "second"}}, {"accept": None}), {}, "skip", id="limit"),
        pytest.param(({"continue": None}, DROP), {}, "drop", id="continue"),
        pytest.param((match(IIFNAME, "weave"), DROP), {"iif": "weave"}, "skip", id="names a bridge"),
        pytest.param((match(IIFNAME, {"set": ["eth1", "weave"]}), DROP), {}, "drop", id="names a bridge and more"),
        pytest.param((match(IIFNAME, "weave", "!="), DROP), {}, "drop", id="all but a bridge"),
        pytest.param(
            ({"vmap": {"key": IIFNAME, "data": {"set": [["weave", DROP], ["eth1", {"accept": None}]]}}},),
            {"iif": "weave"},
            "skip",
            id="a bridge in a map",
        ),
        pytest.param(({"vmap": {"key": IIFNAME, "data": "@gone"}},), {}, "skip", id="a map that is not there"),
        pytest.param(({"goto": {"target": "gone"}},), {}, "skip", id="a chain that is not there"),
    ],
)
def test_unusual_rule(expr: tuple[t.Any, ...], sent: dict[str, t.Any], expected: str) -> None:
    assert outcome(rule(*expr), packet(**sent)) == expected


def chains(**bodies: list[t.Any]) -> Table:
    return Table(
        "inet",
        "t",
        chains={
            name: Chain(name, rules=tuple(Rule(place, str(expr), expr=(expr,)) for place, expr in enumerate(body)))
            for name, body in bodies.items()
        },
    )


JUMP = {"jump": {"target": "sub"}}
GOTO = {"goto": {"target": "sub"}}
RETURN = {"return": None}


@pytest.mark.parametrize(
    ("base", "sub", "expected"),
    [
        pytest.param([], [], ("base", "policy", 0), id="policy"),
        pytest.param([JUMP], [], ("base", "policy", 1), id="comes back"),
        pytest.param([JUMP], [RETURN, DROP], ("base", "policy", 1), id="returns"),
        pytest.param([JUMP, {"accept": None}], [DROP], ("sub", "{'drop': None}", 0), id="stopped in a jump"),
        pytest.param([JUMP, DROP], [{"accept": None}], None, id="accepted in a jump"),
        pytest.param([GOTO, {"accept": None}], [], ("base", "policy", 0), id="goto does not come back"),
        pytest.param([RETURN, {"accept": None}], [], ("base", "policy", 0), id="return to the policy"),
        pytest.param([JUMP, {"accept": None}], [JUMP], None, id="a loop ends"),
    ],
)
def test_walk(base: list[t.Any], sub: list[t.Any], expected: tuple[str, str, int] | None) -> None:
    table = chains(base=base, sub=sub)
    start = replace(table.chains["base"], policy="drop", header="policy")
    stop = Judge(table, (), lambda dummy: False).stop(start, packet())
    assert stop == (Stop(*expected) if expected else None)


def test_read() -> None:
    """What the two listings give together."""
    assert EVERYTHING.id == "inet filter"
    assert EVERYTHING.chains["input"].header == "type filter hook input priority filter; policy drop;"
    assert (EVERYTHING.chains["input"].hook, EVERYTHING.chains["input"].policy) == ("input", "drop")
    assert [rule.handle for rule in EVERYTHING.chains["svc"].rules] == [9, 10, 11]
    assert EVERYTHING.sets["banned"] == Group("banned", "ipv4_addr", False)
    assert EVERYTHING.sets["pairs"].type == "ipv4_addr . inet_service"
    assert set(EVERYTHING.maps) == {"ports", "ifs"}


def test_owner_is_read_from_the_text() -> None:
    table = load("owner")[0]
    assert (table.id, table.flags, table.owner) == ("inet own", ("owner",), "nft")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("\t\tudp dport 53 accept # handle 7\n", "udp dport 53 accept", id="plain"),
        pytest.param(
            '\t\tlog prefix "a # handle 9" # handle 7\n', 'log prefix "a # handle 9"', id="prefix like a handle"
        ),
        pytest.param(
            "\t\tip saddr { 10.0.0.1,\n\t\t\t     10.0.0.2 } drop # handle 7\n",
            "ip saddr { 10.0.0.1, 10.0.0.2 } drop",
            id="two lines",
        ),
        pytest.param('\t\tcomment "of the chain"\n\t\tdrop # handle 7\n', "drop", id="comment of the chain"),
    ],
)
def test_words_of_a_rule(line: str, expected: str) -> None:
    listing = f"# Warning: a line of its own\ntable inet t {{ # handle 1\n\tchain c {{ # handle 2\n{line}\t}}\n}}\n"
    assert read_text(listing).rules == {("inet t", 7): expected}


def test_listings_that_differ() -> None:
    """A rule that came between the two listings."""
    with pytest.raises(KeyError):
        read([(FIXTURES / "strict-open.json").read_text()], read_text((FIXTURES / "strict.txt").read_text()))
