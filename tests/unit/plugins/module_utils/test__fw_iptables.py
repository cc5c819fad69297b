# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import ipaddress
import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_iptables import State, observe, plan
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_iptables_rules import Chain, parse, parse_rule
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import Context, FirewallError, Flow

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "firewall"
CONTEXT = Context(bridges=("weave",), underlay="eth1")
SOURCES = ("10.77.0.11", "10.77.0.13")
ME = "198.18.31.12"
JUMP_IN = "-m comment --comment crosshost.overlay -j CROSSHOST-INPUT"
BRIDGE = Flow("forward", "bridge weave", iif="weave", oif="weave")
REJECT = "-j REJECT --reject-with icmp-host-prohibited"


def flows(sources: tuple[str, ...] = SOURCES) -> list[Flow]:
    peers = [("tcp", (6783, 6783)), ("udp", (6783, 6784)), ("esp", None), ("gre", None), ("udp", (4789, 4789))]
    found = [Flow("input", f"{name} {ports}", 4, name, ports, sources, ME, via="eth1") for name, ports in peers]
    found += [Flow("input", f"dns {name}", 4, name, (53, 53), (), "172.17.0.1", "docker0") for name in ("udp", "tcp")]
    return [*found, BRIDGE]


def fixture(name: str) -> str:
    return (FIXTURES / f"iptables_{name}.txt").read_text()


def state(text: str, **changes: t.Any) -> State:
    made = State("iptables-nft", 4, "iptables-nft-restore", parse(text) or {})
    return dataclasses.replace(made, **changes)


def table(*rules: str, policy: str = "ACCEPT", forward: str = "ACCEPT") -> State:
    chains = sorted({rule.split()[1] for rule in rules} - {"INPUT", "FORWARD"})
    declared = [f":INPUT {policy} [0:0]", f":FORWARD {forward} [0:0]", *(f":{chain} - [0:0]" for chain in chains)]
    return state("\n".join(["*filter", *declared, *rules, "COMMIT", ""]))


def applied(before: State, stdin: str) -> State:
    """What iptables-restore --noflush makes of a table."""
    chains = {name: Chain(chain.policy, list(chain.rules)) for name, chain in before.chains.items()}
    lines = stdin.splitlines()
    assert (lines[0], lines[-1], stdin[-1]) == ("*filter", "COMMIT", "\n")
    for line in lines[1:-1]:
        word, name = line.split()[:2]
        if word.startswith(":"):
            chains[word[1:]] = Chain()
        elif word == "-A":
            chains[name].rules.append(parse_rule(line))
        elif word == "-I":
            at, rest = line.split(None, 3)[2:]
            chains[name].rules.insert(int(at) - 1, parse_rule(f"-A {name} {rest}"))
        elif word == "-D":
            chains[name].rules.remove(next(rule for rule in chains[name].rules if rule.text[3:] == line[3:]))
        elif word == "-F":
            chains[name] = Chain()
        elif word == "-X":
            assert not any(rule.target == name for chain in chains.values() for rule in chain.rules)
            del chains[name]
    return dataclasses.replace(before, chains=chains)


def rules_of(one: State, chain: str) -> list[str]:
    return [rule.text for rule in one.chains[chain].rules]


def run_to_end(before: State, wanted: t.Sequence[Flow], context: Context = CONTEXT, present: bool = True) -> State:
    """Plan, apply, and see that the next plan agrees and finds nothing to do."""
    first = plan(before, wanted, context, present)
    after = applied(before, first.steps[0].stdin) if first.steps else before
    again = plan(after, wanted, context, present)
    assert (again.steps, again.before, again.after, again.blocks) == ((), first.after, first.after, first.blocks)
    return after


# --- observe ----------------------------------------------------------------------------------------------------------
class Host:
    """Answers of the tools of a host; what is not named is not installed."""

    def __init__(self, names: str = "", **tools: str | Result) -> None:
        self.names = names
        self.tools = {tool.replace("_", "-"): answer for tool, answer in tools.items()}
        self.ran: list[str] = []

    def run(self, argv: t.Sequence[str], stdin: str | None = None, timeout: float = 30) -> Result:
        assert stdin is None
        self.ran.append(" ".join(argv))
        key = argv[0] if argv[-1] != "-V" else f"{argv[0]}-V"
        answer = self.tools.get(key)
        if isinstance(answer, Result):
            return dataclasses.replace(answer, argv=tuple(argv))
        if answer is None:
            return Result(tuple(argv), 126, "", "No such file or directory")
        return Result(tuple(argv), 0, answer, "")

    def read(self, path: str) -> str | None:
        return self.names if path == "/proc/net/ip_tables_names" else None

    def observe(self) -> tuple[State, ...]:
        return observe(self.run, CONTEXT, self.read)


NFT, LEGACY = "iptables v1.8.9 (nf_tables)\n", "iptables v1.8.9 (legacy)\n"
EMPTY = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
REJECTS = fixture("reject_nft")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        pytest.param(Host(), [], id="no-iptables"),
        pytest.param(Host(iptables_V=NFT, iptables_nft_save=EMPTY, ip6tables_nft_save=EMPTY), [], id="empty"),
        pytest.param(Host(iptables_V=NFT, iptables_nft_save=""), [], id="no-table"),
        pytest.param(
            Host("nat\nfilter\n", iptables_V=NFT, iptables_nft_save=REJECTS, iptables_legacy_save=fixture("reject_legacy")),
            [("iptables-nft", "iptables-nft-restore", True), ("iptables-legacy", "iptables-legacy-restore", False)],
            id="both",
        ),
        pytest.param(
            Host("filter\n", iptables_V=LEGACY, iptables_nft_save=EMPTY, iptables_legacy_save=fixture("reject_legacy")),
            [("iptables-legacy", "iptables-legacy-restore", True)],
            id="legacy-is-default",
        ),
        pytest.param(
            Host(iptables_V=NFT, iptables_save=REJECTS), [("iptables-nft", "iptables-restore", True)], id="plain-names-nft"
        ),
        pytest.param(
            Host("filter\n", iptables_V="iptables v1.6.1\n", iptables_save=fixture("reject_legacy")),
            [("iptables-legacy", "iptables-restore", True)],
            id="plain-names-legacy",
        ),
        pytest.param(
            Host(iptables_V=NFT, ip6tables_V=NFT, ip6tables_nft_save=fixture("reject_ip6")),
            [("ip6tables-nft", "ip6tables-nft-restore", True)],
            id="ip6",
        ),
        pytest.param(
            Host(iptables_nft_save=Result((), 1, "", "iptables-nft-save: Failed to initialize nft: Protocol not supported")),
            [],
            id="kernel-without-nf-tables",
        ),
    ],
)  # fmt: skip
def test_observe(host: Host, expected: list[tuple[str, str, bool]]) -> None:
    assert [(one.name, one.restore, one.default) for one in host.observe()] == expected


def test_observe_never_asks_for_a_legacy_table_that_is_not_loaded() -> None:
    host = Host(
        "nat\n", iptables_V=LEGACY, iptables_nft_save=EMPTY, iptables_legacy_save=REJECTS, iptables_save=REJECTS
    )
    assert host.observe() == ()
    assert host.ran == ["iptables -V", "iptables-nft-save -t filter", "ip6tables -V", "ip6tables-nft-save -t filter"]


def test_legacy_table_without_a_tool_is_noted() -> None:
    (one,) = Host("filter\n", iptables_V=NFT, iptables_nft_save=EMPTY).observe()
    found = plan(one, flows(), CONTEXT, True)
    assert found.steps == found.blocks == ()
    assert "'iptables-legacy-save' is not on this host" in found.notes[0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(
            Result(
                (),
                4,
                "",
                "iptables-nft-save: Could not fetch rule set generation id: Permission denied (you must be root)",
            ),
            ["'iptables-nft-save -t filter' failed with status 4", "Permission denied"],
            id="status",
        ),
        pytest.param(Result((), 124, "", "", True, 30), ["did not end within 30 seconds"], id="timeout"),
    ],
)
def test_broken(answer: str | Result, words: list[str]) -> None:
    (one,) = Host(iptables_V=NFT, iptables_nft_save=answer).observe()
    with pytest.raises(FirewallError) as caught:
        plan(one, flows(), CONTEXT, True)
    assert caught.value.result is not None
    assert [
        word for word in ["The firewall iptables-nft cannot be read", *words] if word not in str(caught.value)
    ] == []
    assert plan(one, [], CONTEXT, True).notes == (str(caught.value),)  # nothing to open in this family


@pytest.mark.parametrize(
    "answer",
    [
        fixture("incompatible"),
        Result((), 1, "", "iptables-save v1.8.2 (nf_tables): table `filter' is incompatible, use 'nft' tool."),
    ],
    ids=["status 0", "status 1"],
)
def test_table_with_rules_of_nft_is_left_to_nft(answer: str | Result) -> None:
    assert Host(iptables_V=NFT, iptables_nft_save=answer).observe() == ()


def test_native_base_chains_beside_do_not_matter() -> None:
    assert "incompatible base-chains" in fixture("native_chains")
    assert Host(iptables_V=NFT, iptables_nft_save=fixture("native_chains")).observe() == ()


@pytest.mark.parametrize(
    ("one", "acts"),
    [
        pytest.param(state(EMPTY), False, id="empty"),
        pytest.param(table("-A INPUT -j ACCEPT", "-A unused -j DROP"), False, id="unreachable"),
        pytest.param(
            table("-A INPUT -j a", "-A a -j b", "-A b -m limit --limit 1/s -j DROP", "-A b -j a"), True, id="chain"
        ),
        pytest.param(table(forward="DROP"), True, id="policy"),
        pytest.param(table("-A INPUT -j CROSSHOST-INPUT", "-A CROSSHOST-INPUT -j DROP"), False, id="ours"),
    ],
)
def test_acts(one: State, acts: bool) -> None:
    assert one.acts is acts


# --- plan -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_reject_at_the_end(variant: str) -> None:
    """What is planned is what the real tool printed after the same had been applied on a real host."""
    before, opened = state(fixture(f"reject_{variant}")), state(fixture(f"reject_{variant}_opened"))
    found = plan(before, flows(), CONTEXT, True)
    assert {(block.hook, block.rule) for block in found.blocks} == {
        ("input", f"-A INPUT {REJECT}"),
        ("forward", f"-A FORWARD {REJECT}"),
    }
    assert [block.sources for block in found.blocks] == [SOURCES] * 5 + [()] * 3
    assert found.steps[0].argv == ("iptables-nft-restore", "--noflush", "-w", "10")
    assert found.before == ()
    again = plan(opened, flows(), CONTEXT, True)
    assert (again.before, again.after, again.steps, again.blocks) == (found.after, found.after, (), found.blocks)
    assert plan(opened, (), CONTEXT, False).after == ()
    gone = run_to_end(opened, (), present=False)
    assert gone.chains == before.chains


def test_spelling_of_the_openings() -> None:
    found = plan(state(fixture("reject_nft")), flows(), CONTEXT, True)
    mark = "-m comment --comment crosshost.overlay"
    assert found.after == (
        "-N CROSSHOST-PEERS",
        "-N CROSSHOST-INPUT",
        "-N CROSSHOST-FORWARD",
        f"-A INPUT {mark} -j CROSSHOST-INPUT",
        f"-A FORWARD {mark} -j CROSSHOST-FORWARD",
        f"-A CROSSHOST-PEERS -s 10.77.0.11/32 {mark} -j ACCEPT",
        f"-A CROSSHOST-PEERS -s 10.77.0.13/32 {mark} -j ACCEPT",
        f"-A CROSSHOST-INPUT -d 198.18.31.12/32 -p tcp -m tcp --dport 6783 {mark} -j CROSSHOST-PEERS",
        f"-A CROSSHOST-INPUT -d 198.18.31.12/32 -p udp -m udp --dport 6783:6784 {mark} -j CROSSHOST-PEERS",
        f"-A CROSSHOST-INPUT -d 198.18.31.12/32 -p esp {mark} -j CROSSHOST-PEERS",
        f"-A CROSSHOST-INPUT -d 198.18.31.12/32 -p gre {mark} -j CROSSHOST-PEERS",
        f"-A CROSSHOST-INPUT -d 198.18.31.12/32 -p udp -m udp --dport 4789 {mark} -j CROSSHOST-PEERS",
        f"-A CROSSHOST-INPUT -d 172.17.0.1/32 -i docker0 -p udp -m udp --dport 53 {mark} -j ACCEPT",
        f"-A CROSSHOST-INPUT -d 172.17.0.1/32 -i docker0 -p tcp -m tcp --dport 53 {mark} -j ACCEPT",
        f"-A CROSSHOST-FORWARD -i weave -o weave {mark} -j ACCEPT",
    )


def test_only_what_is_stopped_is_opened() -> None:
    found = plan(table("-A INPUT -s 10.77.0.13/32 -p tcp -m tcp --dport 6783 -j DROP"), flows(), CONTEXT, True)
    assert [(block.traffic, block.sources) for block in found.blocks] == [("tcp (6783, 6783)", ("10.77.0.13",))]
    assert [line.split()[3] for line in found.after if line.startswith("-A CROSSHOST-PEERS")] == [
        "10.77.0.11/32",
        "10.77.0.13/32",
    ]
    assert len([line for line in found.after if line.startswith("-A CROSSHOST-INPUT")]) == 1


JUMP = f"-A INPUT {JUMP_IN}"
LO, DROP_TCP, DROP_ALL = "-A INPUT -i lo -j ACCEPT", "-A INPUT -p tcp -m tcp --dport 6783 -j DROP", "-A INPUT -j DROP"


@pytest.mark.parametrize(
    ("rules", "policy", "expected"),
    [
        pytest.param([LO, DROP_ALL], "ACCEPT", [LO, JUMP, DROP_ALL], id="before-the-rule"),
        pytest.param([LO], "DROP", [LO, JUMP], id="at-the-end-for-the-policy"),
        pytest.param([DROP_TCP, LO, DROP_ALL], "ACCEPT", [JUMP, DROP_TCP, LO, DROP_ALL], id="before-the-first"),
        pytest.param([JUMP, LO, DROP_ALL], "ACCEPT", [JUMP, LO, DROP_ALL], id="earlier-stays"),
        pytest.param([DROP_TCP, LO, JUMP, DROP_ALL], "ACCEPT", [JUMP, DROP_TCP, LO, DROP_ALL], id="moved"),
        pytest.param([LO, DROP_ALL, JUMP], "DROP", [LO, JUMP, DROP_ALL], id="appended-by-someone"),
        pytest.param([JUMP, LO, JUMP, DROP_ALL], "ACCEPT", [LO, JUMP, DROP_ALL], id="twice"),
        pytest.param(["-A INPUT -j CROSSHOST-INPUT", LO, DROP_ALL], "ACCEPT", [LO, JUMP, DROP_ALL], id="without-mark"),
        pytest.param(["-A INPUT -p tcp -j RETURN", LO], "DROP", [JUMP, "-A INPUT -p tcp -j RETURN", LO], id="before-return"),
        pytest.param([LO, "-A INPUT -p tcp -j a", "-A a -j DROP"], "ACCEPT", [LO, JUMP, "-A INPUT -p tcp -j a"], id="before-the-jump"),
        pytest.param([LO, JUMP], "ACCEPT", [LO], id="not-needed-any-more"),
    ],
)  # fmt: skip
def test_place(rules: list[str], policy: str, expected: list[str]) -> None:
    after = run_to_end(table(*rules, policy=policy), flows())
    assert rules_of(after, "INPUT") == expected


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(["-A CROSSHOST-PEERS -s 6.6.6.6/32 -j ACCEPT"], id="stray-rule"),
        pytest.param(["-A CROSSHOST-INPUT -j CROSSHOST-PEERS", "-A CROSSHOST-PEERS -j ACCEPT"], id="wrong-rules"),
        pytest.param(["-A other -p udp -j CROSSHOST-FORWARD", "-A CROSSHOST-FORWARD -j ACCEPT"], id="jump-elsewhere"),
        pytest.param(["-A FORWARD -j CROSSHOST-INPUT", "-A CROSSHOST-INPUT -j ACCEPT"], id="jump-in-the-wrong-chain"),
        pytest.param([JUMP, JUMP, "-A CROSSHOST-INPUT -j RETURN"], id="duplicates"),
    ],
)
@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
def test_leftovers(rules: list[str], present: bool) -> None:
    clean = table(*(rule for rule in rules if "CROSSHOST" not in rule), LO, DROP_ALL)
    broken = table(*rules, LO, DROP_ALL)
    after = run_to_end(broken, flows() if present else (), present=present)
    want = run_to_end(clean, flows() if present else (), present=present)
    for chain in want.chains:
        assert rules_of(after, chain) == rules_of(want, chain)
    assert {name for name in after.chains if name.startswith("CROSSHOST")} == {
        name for name in want.chains if "CROSSHOST" in name
    }


def test_empty_chain_of_ours_is_taken_away() -> None:
    one = state("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:CROSSHOST-INPUT - [0:0]\nCOMMIT\n")
    found = plan(one, flows(), CONTEXT, True)
    assert found.before == ("-N CROSSHOST-INPUT",)
    assert found.steps[0].stdin == "*filter\n-F CROSSHOST-INPUT\n-X CROSSHOST-INPUT\nCOMMIT\n"


def test_peer_that_left() -> None:
    opened = run_to_end(table(DROP_ALL), flows())
    found = plan(opened, flows(SOURCES[:1]), CONTEXT, True)
    mark = "-m comment --comment crosshost.overlay"
    assert (
        found.steps[0].stdin
        == f"*filter\n:CROSSHOST-PEERS - [0:0]\n-A CROSSHOST-PEERS -s 10.77.0.11/32 {mark} -j ACCEPT\nCOMMIT\n"
    )


def test_peers_have_to_be_the_same() -> None:
    other = Flow("input", "x", 4, "gre", None, ("10.1.1.1",), ME)
    with pytest.raises(ValueError, match="same peers"):
        plan(table(DROP_ALL), [*flows(), other], CONTEXT, True)


def test_docker() -> None:
    """Its own policy is no block; a rule in its chain for users is, and the jump goes before the one to that chain."""
    text = fixture("docker")
    found = plan(state(text), [BRIDGE], CONTEXT, True)
    assert [block.rule for block in found.blocks] == ["-A DOCKER-USER -j DROP"]
    assert "-I FORWARD 1 " in found.steps[0].stdin
    assert plan(state(text.replace("-A DOCKER-USER -j DROP\n", "")), [BRIDGE], CONTEXT, True).blocks == ()
    alone = plan(table(forward="DROP"), [BRIDGE], CONTEXT, True)
    assert [block.rule for block in alone.blocks] == ["-P FORWARD DROP"]


def test_ufw() -> None:
    active = dataclasses.replace(CONTEXT, ufw=True)
    found = plan(state(fixture("ufw")), flows(), active, True)
    assert {block.rule for block in found.blocks} == {DROP_TCP, f"-A INPUT {REJECT}"}
    assert run_to_end(state(fixture("ufw")), flows(), active).chains["INPUT"].rules[0].target == "CROSSHOST-INPUT"
    without = plan(state(fixture("ufw")), flows(), CONTEXT, True)
    assert "-P FORWARD DROP" in {block.rule for block in without.blocks}
    elsewhere = plan(table(policy="DROP"), flows(), active, True)  # a table ufw does not use
    assert {block.rule for block in elsewhere.blocks} == {"-P INPUT DROP"}


@pytest.mark.parametrize(
    ("context", "default", "blocked"),
    [
        pytest.param(dataclasses.replace(CONTEXT, firewalld="iptables"), True, False, id="its-variant"),
        pytest.param(dataclasses.replace(CONTEXT, firewalld="iptables"), False, True, id="other-variant"),
        pytest.param(dataclasses.replace(CONTEXT, firewalld="nftables"), True, True, id="its-other-backend"),
    ],
)
def test_firewalld(context: Context, default: bool, blocked: bool) -> None:
    found = plan(state(fixture("reject_nft"), default=default), flows(), context, True)
    assert bool(found.blocks) is bool(found.steps) is blocked


@pytest.mark.parametrize(
    ("rule", "context", "blocked"),
    [
        pytest.param("-A FORWARD -i weave -j DROP", CONTEXT, False, id="in"),
        pytest.param("-A FORWARD ! -i eth0 -o weave -j DROP", CONTEXT, False, id="out"),
        pytest.param("-A FORWARD ! -i eth0 -o weave -j DROP", Context(), True, id="not-a-bridge-of-the-overlay"),
        pytest.param('-A FORWARD -m comment --comment "crosshost.overlay" -j DROP', CONTEXT, False, id="mark"),
        pytest.param('-A FORWARD -m comment --comment "crosshost" -j DROP', CONTEXT, True, id="other-comment"),
    ],
)
def test_passed_over(rule: str, context: Context, blocked: bool) -> None:
    assert [block.rule for block in plan(table(rule), [BRIDGE], context, True).blocks] == ([rule] if blocked else [])


def test_ip6_is_apart() -> None:
    sources = ("fd00:9::1", "fd00:a::1")
    six = Flow("input", "tcp", 6, "tcp", (6783, 6783), sources, "fd00::12")
    one = State("ip6tables-nft", 6, "ip6tables-nft-restore", parse(fixture("reject_ip6")) or {})
    found = plan(one, [*flows(), six], CONTEXT, True)
    assert [(block.rule, block.sources) for block in found.blocks] == [
        ("-A INPUT -j REJECT --reject-with icmp6-adm-prohibited", ("fd00:a::1",))
    ]
    assert found.steps[0].argv[0] == "ip6tables-nft-restore"
    assert "-s fd00:a::1/128" in found.steps[0].stdin
    assert "-d fd00::12/128 " in found.steps[0].stdin
    run_to_end(one, [*flows(), six])


def test_many_peers() -> None:
    """500 peers and 200 rules come down to one line for each peer."""
    first = ipaddress.ip_address("10.99.0.1")
    peers = tuple(str(first + number) for number in range(500))
    lines = [f"-A INPUT -s 10.99.{number}.0/24 -p tcp -m tcp --dport {number} -j DROP" for number in range(200)]
    one = table(*lines, DROP_ALL)
    found = plan(one, flows(peers), CONTEXT, True)
    assert len([line for line in found.after if line.startswith("-A CROSSHOST-PEERS")]) == 500
