# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._fw_iptables_rules import (
    Peers,
    canonical,
    packets,
    parse,
    parse_rule,
    walk,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import Flow

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "firewall"
PEER, OTHER = "10.77.0.11", "10.99.0.1"
TCP = Flow("input", "tcp", 4, "tcp", (6783, 6783), (PEER, OTHER), "198.18.31.12", via="eth1")
UDP = Flow("input", "udp", 4, "udp", (6783, 6784), (PEER, OTHER), "198.18.31.12", via="eth1")
GRE = Flow("input", "gre", 4, "gre", None, (PEER, OTHER), "198.18.31.12", via="eth1")
NOWHERE = Flow("input", "tcp", 4, "tcp", (6783, 6783), (PEER, OTHER))
DNS = Flow("input", "dns", 4, "udp", (53, 53), (), "172.17.0.1", "docker0")
BRIDGE = Flow("forward", "bridge", 4, iif="weave", oif="weave")
V6 = Flow("input", "tcp6", 6, "tcp", (6783, 6783), ("fd00:9::1", "fd00:a::1"), "fd00::12")


def stopped(lines: t.Sequence[str], flow: Flow, policy: str = "ACCEPT") -> dict[str, set[str]]:
    """Which rules stop which peers ("" for a flow without)."""
    base = flow.hook.upper()
    text = "\n".join(["*filter", f":{base} {policy} [0:0]", *(line for line in lines), "COMMIT"])
    chains = parse(text)
    assert chains is not None
    peers = Peers(flow.sources)
    found: dict[str, set[str]] = {}
    for packet in packets(flow, chains):
        for stop in walk(chains, base, packet, peers, lambda rule: False):
            found.setdefault(stop.text, set()).update(peers.names(stop.peers) or {""})
    return found


BOTH = {PEER, OTHER}


@pytest.mark.parametrize(
    ("words", "flow", "expected"),
    [
        pytest.param("", TCP, BOTH, id="everything"),
        pytest.param("-s 10.77.0.0/16", TCP, {PEER}, id="source"),
        pytest.param("! -s 10.77.0.0/16", TCP, {OTHER}, id="not-source"),
        pytest.param("-s 10.77.0.0/255.255.0.0", TCP, {PEER}, id="source-mask"),
        pytest.param("-s 10.0.0.11/255.0.0.255", TCP, {PEER}, id="source-mask-with-holes"),
        pytest.param("-s 0.0.0.0/0", TCP, BOTH, id="any-source"),
        pytest.param("-m iprange --src-range 10.99.0.1-10.99.0.9", TCP, {OTHER}, id="source-range"),
        pytest.param("-m iprange ! --src-range 10.99.0.1-10.99.0.9", TCP, {PEER}, id="not-source-range"),
        pytest.param("-s 10.0.0.0/8", DNS, set(), id="unknown-source"),
        pytest.param("! -s 10.0.0.0/8", DNS, set(), id="not-unknown-source"),
        pytest.param("-d 198.18.0.0/15", TCP, BOTH, id="destination"),
        pytest.param("! -d 198.18.0.0/15", TCP, set(), id="not-destination"),
        pytest.param("-d 198.18.0.0/15", NOWHERE, set(), id="unknown-destination"),
        pytest.param("! -d 198.18.0.0/15", NOWHERE, set(), id="not-unknown-destination"),
        pytest.param("-i eth1", TCP, BOTH, id="interface"),
        pytest.param("-i eth+", TCP, BOTH, id="interface-pattern"),
        pytest.param("! -i eth+", TCP, set(), id="not-interface-pattern"),
        pytest.param("-i eth0", TCP, set(), id="other-interface"),
        pytest.param("! -i eth0", TCP, BOTH, id="not-other-interface"),
        pytest.param("-i eth1", NOWHERE, set(), id="unknown-interface"),
        pytest.param("! -i eth1", NOWHERE, set(), id="not-unknown-interface"),
        pytest.param("! -i lo", NOWHERE, BOTH, id="peers-never-come-by-lo"),
        pytest.param("-i docker0", DNS, {""}, id="interface-of-opening"),
        pytest.param("-o eth1", TCP, set(), id="input-has-no-out-interface"),
        pytest.param("-i weave -o weave", BRIDGE, {""}, id="bridge"),
        pytest.param("-i weave ! -o weave", BRIDGE, set(), id="out-of-bridge"),
        pytest.param("-p tcp", BRIDGE, set(), id="any-protocol"),
        pytest.param("-p 47", GRE, BOTH, id="protocol-number"),
        pytest.param("-p gre", GRE, BOTH, id="protocol-name"),
        pytest.param("! -p tcp", GRE, BOTH, id="not-protocol"),
        pytest.param("-p fancy", GRE, set(), id="unknown-protocol"),
        pytest.param("! -p fancy", GRE, set(), id="not-unknown-protocol"),
        pytest.param("-p tcp -m tcp --dport 6783", TCP, BOTH, id="port"),
        pytest.param("-p tcp -m tcp --dport 1024:65535", TCP, BOTH, id="ports"),
        pytest.param("-p tcp -m tcp ! --dport 22", TCP, BOTH, id="not-port"),
        pytest.param("-p tcp -m tcp ! --dport 6000:7000", TCP, set(), id="not-ports"),
        pytest.param("-p udp -m udp --dport 6784", UDP, BOTH, id="part-of-ports"),
        pytest.param("-p udp -m udp --dport 6785", UDP, set(), id="ports-beyond"),
        pytest.param("-p tcp -m tcp --dport weave", TCP, set(), id="port-name"),
        pytest.param("-p tcp -m tcp --sport 1024:65535", TCP, set(), id="source-port"),
        pytest.param("-p tcp -m tcp --sport 0:65535", TCP, BOTH, id="any-source-port"),
        pytest.param("-p tcp -m multiport --dports 22,6780:6790", TCP, BOTH, id="multiport"),
        pytest.param("-p tcp -m multiport ! --dports 22,443", TCP, BOTH, id="not-multiport"),
        pytest.param("-p tcp -m multiport --ports 6783", TCP, BOTH, id="either-port"),
        pytest.param("-p tcp -m multiport ! --ports 22", TCP, set(), id="not-either-port"),
        pytest.param("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", TCP, BOTH, id="syn"),
        pytest.param("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN", TCP, set(), id="not-syn"),
        pytest.param("-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE", TCP, set(), id="null-scan"),
        pytest.param("-m conntrack --ctstate NEW", TCP, BOTH, id="new"),
        pytest.param("-m state --state INVALID,RELATED", TCP, set(), id="not-new"),
        pytest.param("-m conntrack ! --ctstate RELATED,ESTABLISHED", TCP, BOTH, id="not-established"),
        pytest.param("-m conntrack ! --ctstate DNAT", TCP, set(), id="dnat-is-not-known"),
        pytest.param("-m addrtype --dst-type LOCAL", TCP, BOTH, id="local"),
        pytest.param("-m addrtype --dst-type BROADCAST,MULTICAST", TCP, set(), id="broadcast"),
        pytest.param("-m addrtype ! --dst-type LOCAL", BRIDGE, {""}, id="forwarded-is-not-local"),
        pytest.param("-m addrtype --src-type LOCAL", TCP, set(), id="source-is-not-local"),
        pytest.param("-m pkttype --pkt-type unicast", TCP, BOTH, id="unicast"),
        pytest.param("-m pkttype --pkt-type broadcast", TCP, set(), id="not-unicast"),
        pytest.param("-f", TCP, set(), id="fragment"),
        pytest.param("! -f", TCP, BOTH, id="not-fragment"),
        pytest.param('-m comment --comment "-s 1.2.3.4 ! -p udp \\"x\\" -j ACCEPT"', TCP, BOTH, id="comment"),
        pytest.param("-m limit --limit 5/min", TCP, set(), id="limit"),
        pytest.param("-m set --match-set s src", TCP, set(), id="set"),
        pytest.param("-m mark ! --mark 0x1", TCP, set(), id="mark"),
        pytest.param("-m socket", TCP, set(), id="module-without-options"),
        pytest.param("-m conntrack --ctstate NEW --ctdir ORIGINAL", TCP, set(), id="option-not-judged"),
        pytest.param("-p icmp -m icmp --icmp-type 8", TCP, set(), id="icmp"),
    ],
)
def test_match(words: str, flow: Flow, expected: set[str]) -> None:
    line = f"-A {flow.hook.upper()} {words} -j DROP"
    assert stopped([line], flow) == ({line: expected} if expected else {})


def test_match_ip6() -> None:
    lines = ["-A INPUT -p ipv6-icmp -j ACCEPT", "-A INPUT -s fd00:9::/32 -j ACCEPT", "-A INPUT -d fd00::12/128 -j DROP"]
    assert stopped(lines, V6) == {lines[2]: {"fd00:a::1"}}


DROP_PEER = "-A c -s 10.77.0.11/32 -j DROP"


@pytest.mark.parametrize(
    ("lines", "policy", "expected"),
    [
        pytest.param([], "DROP", {"-P INPUT DROP": BOTH}, id="policy"),
        pytest.param(["-A INPUT -j ACCEPT"], "DROP", {}, id="accepted"),
        pytest.param(["-A INPUT -s 10.77.0.11/32 -j ACCEPT"], "DROP", {"-P INPUT DROP": {OTHER}}, id="one-accepted"),
        pytest.param(["-A INPUT -m limit --limit 1/s -j ACCEPT"], "DROP", {"-P INPUT DROP": BOTH}, id="perhaps-accepted"),
        pytest.param(["-A INPUT -m limit --limit 1/s -j LOG", "-A INPUT -j MARK --set-xmark 0x1/0x1"], "DROP", {"-P INPUT DROP": BOTH}, id="goes-on"),
        pytest.param(["-A INPUT -p tcp"], "DROP", {"-P INPUT DROP": BOTH}, id="no-target"),
        pytest.param(["-A INPUT -j NFQUEUE --queue-num 1"], "DROP", {}, id="queue"),
        pytest.param([":c - [0:0]", "-A INPUT -j c", DROP_PEER], "DROP", {DROP_PEER: {PEER}, "-P INPUT DROP": {OTHER}}, id="chain"),
        pytest.param([":c - [0:0]", "-A INPUT -m limit --limit 1/s -j c", DROP_PEER], "ACCEPT", {}, id="perhaps-jump"),
        pytest.param([":c - [0:0]", "-A INPUT -s 10.99.0.0/16 -j c", DROP_PEER], "ACCEPT", {}, id="jump-of-others"),
        pytest.param(
            [":c - [0:0]", "-A INPUT -j c", "-A INPUT -j ACCEPT", "-A c -s 10.77.0.11/32 -j RETURN", "-A c -j REJECT"],
            "DROP",
            {"-A c -j REJECT": {OTHER}},
            id="return",
        ),
        pytest.param(["-A INPUT -s 10.77.0.11/32 -j RETURN", "-A INPUT -j ACCEPT"], "DROP", {"-P INPUT DROP": {PEER}}, id="base-return"),
        pytest.param([":c - [0:0]", "-A INPUT -g c", "-A INPUT -j ACCEPT"], "DROP", {"-P INPUT DROP": BOTH}, id="goto-ends-at-policy"),
        pytest.param(
            [":c - [0:0]", ":d - [0:0]", "-A INPUT -j c", "-A INPUT -j REJECT", "-A c -g d", "-A c -j ACCEPT"],
            "ACCEPT",
            {"-A INPUT -j REJECT": BOTH},
            id="goto-returns-to-caller",
        ),
        pytest.param([":c - [0:0]", ":d - [0:0]", "-A INPUT -j c", "-A c -j d", "-A d -j c", "-A d -j DROP"], "ACCEPT", {"-A d -j DROP": BOTH}, id="loop"),
    ],
)  # fmt: skip
def test_walk(lines: list[str], policy: str, expected: dict[str, set[str]]) -> None:
    assert stopped(lines, TCP, policy) == expected


@pytest.mark.parametrize(
    ("lines", "index"),
    [
        pytest.param(["-A INPUT -i lo -j ACCEPT", "-A INPUT -j DROP"], 1, id="rule"),
        pytest.param(["-A INPUT -i lo -j ACCEPT"], 1, id="policy"),
        pytest.param(["-A INPUT -p tcp -j RETURN", "-A INPUT -i lo -j ACCEPT"], 0, id="return-skips-what-follows"),
        pytest.param([":c - [0:0]", "-A INPUT -i lo -j ACCEPT", "-A INPUT -g c", "-A INPUT -j ACCEPT"], 1, id="goto"),
        pytest.param(
            [":c - [0:0]", "-A INPUT -i lo -j ACCEPT", "-A INPUT -j c", "-A c -p udp", "-A c -j DROP"], 1, id="in-chain"
        ),
    ],
)
def test_index(lines: list[str], index: int) -> None:
    chains = parse("\n".join(["*filter", ":INPUT DROP [0:0]", *lines, "COMMIT"])) or {}
    (packet,) = packets(TCP, chains)
    assert [stop.index for stop in walk(chains, "INPUT", packet, Peers(TCP.sources), lambda rule: False)] == [index]


@pytest.mark.parametrize(
    "line",
    [
        '-A CROSSHOST-INPUT -d 198.18.31.12/32 -p gre -m comment --comment "crosshost.overlay" -j CROSSHOST-PEERS',
        "-A CROSSHOST-INPUT -d 198.18.31.12 -p 47 -m comment --comment crosshost.overlay -j CROSSHOST-PEERS",
        "-A CROSSHOST-INPUT -p gre -m comment --comment crosshost.overlay -d 198.18.31.12/255.255.255.255 -j CROSSHOST-PEERS",
    ],
    ids=["as-printed", "short", "other-order"],
)
def test_canonical(line: str) -> None:
    expected = "-A CROSSHOST-INPUT -d 198.18.31.12/32 -p gre -m comment --comment crosshost.overlay -j CROSSHOST-PEERS"
    assert canonical(parse_rule(line)) == expected


@pytest.mark.parametrize("words", ["! -s 1.2.3.4/32", "-m limit --limit 1/s", "-p tcp -m tcp --sport 5"])
def test_canonical_leaves_rules_that_are_not_like_ours(words: str) -> None:
    line = f"-A CROSSHOST-INPUT {words} -j ACCEPT"
    assert canonical(parse_rule(line)) == line


def test_parse_reads_only_filter() -> None:
    text = "*nat\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:mine - [0:0]\nCOMMIT\n*raw\n:INPUT DROP [0:0]\nCOMMIT\n"
    chains = parse(text) or {}
    assert {name: (chain.policy, len(chain.rules)) for name, chain in chains.items()} == {
        "INPUT": ("ACCEPT", 0),
        "mine": ("-", 0),
    }
    assert parse("# Table `filter' is incompatible, use 'nft' tool.\n") is None


@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_real_rules(variant: str) -> None:
    chains = parse((FIXTURES / f"iptables_many_{variant}.txt").read_text()) or {}
    found = []
    esp = Flow("input", "esp", 4, "esp", None, TCP.sources, TCP.destination, via="eth1")
    for flow in (TCP, UDP, GRE, esp):
        peers = Peers(flow.sources)
        for packet in packets(flow, chains):
            for stop in walk(chains, "INPUT", packet, peers, lambda rule: False):
                found.append((flow.label, packet.port, stop.index, stop.text, sorted(peers.names(stop.peers))))
    assert found == [
        ("tcp", 6783, 6, "-A f2b-multi -s 10.77.0.11/32 -j REJECT --reject-with icmp-port-unreachable", [PEER]),
        ("udp", 6783, 10, "-P INPUT DROP", [PEER]),
        ("udp", 6784, 10, "-A guard -p udp -m udp --dport 6784 -j DROP", [PEER]),
        ("gre", None, 10, "-P INPUT DROP", [PEER]),
        ("esp", None, 10, "-P INPUT DROP", [PEER]),
    ]


def test_packets_of_a_protocol_nobody_knows() -> None:
    with pytest.raises(ValueError, match="'fancy'"):
        packets(Flow("input", "x", 4, "fancy"), {})
