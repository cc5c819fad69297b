# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import STATUS_NOT_STARTED, Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import (
    MARK,
    Context,
    FirewallError,
    Flow,
    LayerPlan,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_nft import State, observe, plan
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_nft_rules import Chain, Group, Rule, Table

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "firewall" / "nft"
CONTEXT = Context(bridges=("weave", "docker0", "docker_gwbridge"), underlay="eth1")
PEERS = ("198.18.31.1", "198.18.31.12")
TEXT = ("nft", "-s", "-a", "list", "ruleset")
JSON = ("nft", "-j", "list", "ruleset")
IPTABLES = ("iptables-nft", "-w", "10", "-t", "filter", "-S")


def flows(peers: t.Sequence[str] = PEERS, own: str = "198.18.31.13", family: int = 4) -> list[Flow]:
    """What Weave Net needs, with what Docker's containers ask, as when the fixtures were taken."""
    sources = tuple(peers)
    return [
        Flow("input", "tcp 6783", family, "tcp", (6783, 6783), sources, own, via="eth1"),
        Flow("input", "udp 6783-6784", family, "udp", (6783, 6784), sources, own, via="eth1"),
        Flow("input", "esp", family, "esp", None, sources, own, via="eth1"),
        Flow("input", "gre", family, "gre", None, sources, own, via="eth1"),
        Flow("input", "dns from docker0", 4, "udp", (53, 53), (), "172.17.0.1", iif="docker0"),
        Flow("forward", "bridge weave", 4, iif="weave", oif="weave"),
    ]


class Host:
    """Answers commands from files; what is not given is not installed."""

    def __init__(self, name: str = "", **more: str | Result) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.answers: dict[tuple[str, ...], str | Result] = {}
        if name:
            self.answers[TEXT] = (FIXTURES / f"{name}.txt").read_text()
            self.answers[JSON] = (FIXTURES / f"{name}.json").read_text()
        self.answers.update(
            {{"text": TEXT, "json": JSON, "iptables": IPTABLES}[key]: value for key, value in more.items()}
        )

    def __call__(self, argv: t.Sequence[str], stdin: str | None = None, timeout: float = 30) -> Result:
        key = tuple(argv)
        self.asked.append(key)
        answer = self.answers.get(key, Result(key, STATUS_NOT_STARTED, "", "not installed"))
        return answer if isinstance(answer, Result) else Result(key, 0, answer, "")


def see(name: str, context: Context = CONTEXT, **more: str | Result) -> State:
    (state,) = observe(Host(name, **more), context)
    return state


def judged(state: State) -> list[str]:
    return [f"{table.id} {chain}" for table in state.tables for chain in table.judged]


def script(planned: LayerPlan) -> list[str]:
    (step,) = planned.steps
    assert step.argv == ("nft", "-f", "-")
    assert step.stdin.endswith("\n")
    return step.stdin.splitlines()


def change(state: State, number: int, **changes: t.Any) -> State:
    """The state with one of its tables changed."""
    tables = list(state.tables)
    tables[number] = replace(tables[number], **changes)
    return replace(state, tables=tuple(tables))


def with_rules(state: State, number: int, name: str, order: t.Callable[[tuple[Rule, ...]], t.Iterable[Rule]]) -> State:
    """The state with the rules of one chain changed."""
    chains = dict(state.tables[number].chains)
    chains[name] = replace(chains[name], rules=tuple(order(chains[name].rules)))
    return change(state, number, chains=chains)


SVC = "table inet filter chain svc: udp dport 6784 counter reject with icmpx admin-prohibited"
POLICY = "table inet filter chain input: type filter hook input priority filter; policy drop;"
OPEN = [
    "table inet filter set crosshost_peers4: type ipv4_addr",
    "table inet filter set crosshost_peers4: 198.18.31.1",
    "table inet filter set crosshost_peers4: 198.18.31.12",
    'table inet filter chain crosshost_forward: meta nfproto ipv4 iifname "weave" oifname "weave" '
    'accept comment "crosshost.overlay"',
    "table inet filter chain crosshost_input: ip saddr @crosshost_peers4 ip daddr 198.18.31.13 tcp dport 6783 "
    'accept comment "crosshost.overlay"',
    "table inet filter chain crosshost_input: ip saddr @crosshost_peers4 ip daddr 198.18.31.13 udp dport 6783-6784 "
    'accept comment "crosshost.overlay"',
    "table inet filter chain crosshost_input: ip saddr @crosshost_peers4 ip daddr 198.18.31.13 meta l4proto esp "
    'accept comment "crosshost.overlay"',
    "table inet filter chain crosshost_input: ip saddr @crosshost_peers4 ip daddr 198.18.31.13 meta l4proto gre "
    'accept comment "crosshost.overlay"',
    'table inet filter chain crosshost_input: iifname "docker0" ip daddr 172.17.0.1 udp dport 53 '
    'accept comment "crosshost.overlay"',
    'table inet filter chain input: jump crosshost_input comment "crosshost.overlay"',
    'table inet filter chain forward: jump crosshost_forward comment "crosshost.overlay"',
    'table inet guard chain crosshost_forward: meta nfproto ipv4 iifname "weave" oifname "weave" '
    'accept comment "crosshost.overlay"',
    'table inet guard chain early: jump crosshost_forward comment "crosshost.overlay"',
]


def test_every_chain_that_stops_something_is_opened() -> None:
    state = see("strict")
    assert state.acts
    planned = plan(state, flows(), CONTEXT, True)
    assert [(block.hook, block.traffic, block.rule, block.sources) for block in planned.blocks] == [
        ("input", "tcp 6783", POLICY, PEERS),
        ("input", "udp 6783-6784", SVC, PEERS),
        ("input", "udp 6783-6784", POLICY, PEERS),
        ("input", "esp", POLICY, PEERS),
        ("input", "gre", POLICY, PEERS),
        ("input", "dns from docker0", POLICY, ()),
        (
            "forward",
            "bridge weave",
            "table inet filter chain forward: type filter hook forward priority filter; policy drop;",
            (),
        ),
        ("forward", "bridge weave", "table inet guard chain early: reject with icmpx admin-prohibited", ()),
    ]
    assert planned.before == ()
    assert list(planned.after) == OPEN
    lines = script(planned)
    assert "add element inet filter crosshost_peers4 { 198.18.31.1, 198.18.31.12 }" in lines
    # Numbers, because nft takes names from /etc/protocols, which may be missing.
    assert any(" meta l4proto 47 accept " in line for line in lines)
    # Right before the rule that leads to what stops it; at the end where the policy does.
    assert 'insert rule inet filter input handle 15 jump crosshost_input comment "crosshost.overlay"' in lines
    assert 'add rule inet filter forward jump crosshost_forward comment "crosshost.overlay"' in lines
    assert 'insert rule inet guard early handle 4 jump crosshost_forward comment "crosshost.overlay"' in lines


def test_nothing_left_to_do() -> None:
    planned = plan(see("strict-open"), flows(), CONTEXT, True)
    assert planned.steps == ()
    assert list(planned.before) == list(planned.after) == OPEN
    assert planned.blocks == plan(see("strict"), flows(), CONTEXT, True).blocks


@pytest.mark.parametrize(
    ("peers", "expected"),
    [
        pytest.param(["198.18.31.12"], ["delete element inet filter crosshost_peers4 { 198.18.31.1 }"], id="left"),
        pytest.param(
            [*PEERS, "198.18.31.14"], ["add element inet filter crosshost_peers4 { 198.18.31.14 }"], id="came"
        ),
    ],
)
def test_peers_change(peers: list[str], expected: list[str]) -> None:
    planned = plan(see("strict-open"), flows(peers), CONTEXT, True)
    assert script(planned) == expected
    assert planned.before != planned.after


REMOVAL = [
    "delete rule inet filter input handle ",
    "delete rule inet filter forward handle ",
    "flush chain inet filter crosshost_input",
    "flush chain inet filter crosshost_forward",
    "delete chain inet filter crosshost_input",
    "delete chain inet filter crosshost_forward",
    "delete set inet filter crosshost_peers4",
    "delete rule inet guard early handle ",
    "flush chain inet guard crosshost_forward",
    "delete chain inet guard crosshost_forward",
]


def test_removal_takes_what_is_ours() -> None:
    planned = plan(see("strict-open"), flows(), CONTEXT, False)
    assert [line.rstrip("0123456789") if " handle " in line else line for line in script(planned)] == REMOVAL
    assert list(planned.before) == OPEN
    assert planned.after == ()


def test_removal_with_nothing_of_ours() -> None:
    planned = plan(see("strict"), flows(), CONTEXT, False)
    assert (planned.steps, planned.before, planned.after) == ((), (), ())


def test_flows_that_nothing_stops_any_more() -> None:
    """An administrator made the chain permissive: the openings go."""
    state = see("strict-open")
    chains = {
        name: replace(chain, policy="accept" if chain.hook else "") for name, chain in state.tables[0].chains.items()
    }
    planned = plan(change(state, 0, chains=chains), [flow for flow in flows() if flow.protocol == "tcp"], CONTEXT, True)
    assert planned.after == ()
    assert "delete set inet filter crosshost_peers4" in script(planned)


def _jump_last(rules: tuple[Rule, ...]) -> list[Rule]:
    return sorted(rules, key=lambda rule: rule.comment == MARK)


def _jump_first(rules: tuple[Rule, ...]) -> list[Rule]:
    return sorted(rules, key=lambda rule: rule.comment != MARK)


def test_a_jump_behind_a_rule_that_stops_is_moved() -> None:
    state = with_rules(see("strict-open"), 0, "input", _jump_last)
    planned = plan(state, flows(), CONTEXT, True)
    assert planned.before[9] == f"{OPEN[9]} (behind a rule that stops the overlay)"
    handle = state.tables[0].chains["input"].rules[-1].handle
    assert script(planned) == [
        f"delete rule inet filter input handle {handle}",
        'insert rule inet filter input handle 15 jump crosshost_input comment "crosshost.overlay"',
    ]


def test_a_jump_further_up_stays() -> None:
    assert plan(with_rules(see("strict-open"), 0, "input", _jump_first), flows(), CONTEXT, True).steps == ()


def test_a_second_jump_goes() -> None:
    state = see("strict-open")
    more = Rule(77, "jump crosshost_input", expr=({"jump": {"target": "crosshost_input"}},))
    planned = plan(with_rules(state, 0, "input", lambda rules: (*rules, more)), flows(), CONTEXT, True)
    assert script(planned) == ["delete rule inet filter input handle 77"]


def test_a_chain_that_somebody_emptied_is_filled() -> None:
    planned = plan(with_rules(see("strict-open"), 1, "crosshost_forward", lambda dummy: ()), flows(), CONTEXT, True)
    assert script(planned) == [
        "flush chain inet guard crosshost_forward",
        'add rule inet guard crosshost_forward meta nfproto ipv4 iifname "weave" oifname "weave" '
        'accept comment "crosshost.overlay"',
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"sets": {"crosshost_peers4": Group("crosshost_peers4", "ipv6_addr")}},
            ["delete set inet filter crosshost_peers4", "add set inet filter crosshost_peers4 { type ipv4_addr; }"],
            id="set of another type",
        ),
        pytest.param(
            {"sets": {"crosshost_peers4": Group("crosshost_peers4", "ipv4_addr", False)}},
            ["delete set inet filter crosshost_peers4", "add set inet filter crosshost_peers4 { type ipv4_addr; }"],
            id="set that forgets",
        ),
    ],
)
def test_leftovers(changes: dict[str, t.Any], expected: list[str]) -> None:
    lines = script(plan(change(see("strict"), 0, **changes), flows(), CONTEXT, True))
    assert [line for line in lines if line in expected] == expected


def test_a_base_chain_of_our_name_is_replaced() -> None:
    state = see("strict")
    chains = {
        **state.tables[0].chains,
        "crosshost_input": Chain("crosshost_input", "input", "filter", "accept", 5, "type filter"),
    }
    lines = script(plan(change(state, 0, chains=chains), flows(), CONTEXT, True))
    assert lines.index("delete chain inet filter crosshost_input") < lines.index(
        "add chain inet filter crosshost_input"
    )


def test_leftovers_in_a_table_that_is_not_judged() -> None:
    state = change(see("strict-open"), 1, judged=())
    planned = plan(state, flows(), CONTEXT, True)
    assert [line.split(" handle ")[0] for line in script(planned)] == [
        "delete rule inet guard early",
        "flush chain inet guard crosshost_forward",
        "delete chain inet guard crosshost_forward",
    ]


def test_protocols_nft_has_no_name_for() -> None:
    """Without /etc/protocols nft prints numbers."""
    state = with_rules(
        see("strict-open"),
        0,
        "crosshost_input",
        lambda rules: (replace(rule, text=rule.text.replace("esp", "50").replace("gre", "47")) for rule in rules),
    )
    assert plan(state, flows(), CONTEXT, True).steps == ()


def test_chains_of_docker_and_iptables_are_left_to_their_layer() -> None:
    state = see("docker", iptables="-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n")
    assert judged(state) == ["inet filter input", "inet filter forward", "inet guard early"]


@pytest.mark.parametrize(
    ("iptables", "expected"),
    [
        # "-A INPUT -j ACCEPT" is what it makes of "ip saddr @ok accept".
        pytest.param(
            (FIXTURES / "sets-in-input.iptables.txt").read_text(), ["ip filter INPUT"], id="a set iptables leaves out"
        ),
        pytest.param(None, ["ip filter INPUT", "ip filter FORWARD"], id="no iptables"),
        pytest.param(
            Result(IPTABLES, 1, "", "iptables v1.8.9 (nf_tables): table `filter' is incompatible, use 'nft' tool.\n"),
            ["ip filter INPUT", "ip filter FORWARD"],
            id="incompatible",
        ),
    ],
)
def test_tables_that_look_like_those_of_iptables(iptables: str | Result | None, expected: list[str]) -> None:
    assert judged(see("sets-in-input", **({"iptables": iptables} if iptables else {}))) == expected


def test_base_chain_iptables_does_not_see() -> None:
    """iptables-nft shows an empty INPUT of its own in place of one with another priority."""
    host = Host("sets-in-input", iptables="-P INPUT ACCEPT\n")
    for key in (TEXT, JSON):
        host.answers[key] = str(host.answers[key]).replace('"prio": 0', '"prio": 10')
    assert judged(observe(host, CONTEXT)[0]) == ["ip filter INPUT", "ip filter FORWARD"]
    assert IPTABLES not in host.asked


def test_a_table_shared_with_iptables_gets_no_set() -> None:
    """iptables-save would print the opening without its set, that is, for everybody."""
    planned = plan(see("sets-in-input"), flows(), CONTEXT, True)
    assert not any(" set " in line for line in planned.after)
    assert (
        "table ip filter chain crosshost_input: ip daddr 198.18.31.13 tcp dport 6783 jump crosshost_peers4 "
        'comment "crosshost.overlay"' in planned.after
    )
    assert (
        'table ip filter chain crosshost_peers4: ip saddr 198.18.31.1 accept comment "crosshost.overlay"'
        in planned.after
    )
    lines = script(planned)
    assert lines.index("add chain ip filter crosshost_peers4") < min(
        number for number, line in enumerate(lines) if line.startswith("add rule")
    )


@pytest.mark.parametrize(
    ("firewalld", "expected"),
    [
        pytest.param("nftables", ["ip6 firewall input", "ip firewall input"], id="runs"),
        pytest.param(
            "iptables", ["ip6 firewall input", "ip firewall input", "inet firewalld filter_INPUT"], id="leftovers"
        ),
    ],
)
def test_tables_of_firewalld(firewalld: str, expected: list[str]) -> None:
    context = replace(CONTEXT, firewalld=firewalld)
    assert judged(see("families", context)) == expected


def test_address_families_are_judged_on_their_own() -> None:
    state = see("families", replace(CONTEXT, firewalld="nftables"))
    peers6 = ("fd00:31::12", "fd00:32::12")
    wanted = [*flows(), *flows(peers6, "fd00:31::13", 6)[:3]]
    planned = plan(state, wanted, CONTEXT, True)
    found = {(block.traffic, block.rule.split(" chain ")[0], block.sources) for block in planned.blocks}
    rejecting, dropping = "table ip6 firewall", "table ip firewall"
    assert found == {
        ("tcp 6783", rejecting, ("fd00:32::12",)),  # the other one is let in
        ("udp 6783-6784", rejecting, peers6),
        ("esp", rejecting, peers6),
        *((label, dropping, ("198.18.31.12",)) for label in ("tcp 6783", "udp 6783-6784", "esp", "gre")),
        # For Docker's own containers nothing is known of the sender: that drop is not counted.
    }
    # Uniform: opened for all peers once one of them is stopped.
    assert "table ip6 firewall set crosshost_peers6: fd00:31::12" in planned.after
    assert (
        "table ip6 firewall chain crosshost_input: ip6 saddr @crosshost_peers6 ip6 daddr fd00:31::13 tcp dport 6783 "
        'accept comment "crosshost.overlay"' in planned.after
    )
    assert "table ip firewall set crosshost_peers4: 198.18.31.1" in planned.after
    assert 'insert rule ip firewall input handle 2 jump crosshost_input comment "crosshost.overlay"' in script(planned)


def test_flows_from_different_peers_get_a_set_each() -> None:
    wanted = [flows()[0], replace(flows()[1], sources=("198.18.31.12",))]
    planned = plan(see("strict"), wanted, CONTEXT, True)
    assert [line for line in planned.after if " set " in line] == [
        "table inet filter set crosshost_peers4: type ipv4_addr",
        "table inet filter set crosshost_peers4: 198.18.31.1",
        "table inet filter set crosshost_peers4: 198.18.31.12",
        "table inet filter set crosshost_peers4_2: type ipv4_addr",
        "table inet filter set crosshost_peers4_2: 198.18.31.12",
    ]


def test_an_owned_table_is_named() -> None:
    with pytest.raises(FirewallError, match=r"'inet own' stops .* belongs to the process 'nft'.*policy drop") as caught:
        plan(see("owner"), flows(), CONTEXT, True)
    assert "settings of that program" in str(caught.value)


def test_an_owned_table_does_not_hinder_removal() -> None:
    planned = plan(see("owner"), flows(), CONTEXT, False)
    assert planned.steps == ()
    assert planned.blocks


def test_a_bridge_table_is_only_noted() -> None:
    state = see("bridge")
    assert not state.acts
    planned = plan(state, flows(), CONTEXT, True)
    assert (planned.blocks, planned.steps) == ((), ())
    assert "table bridge f" in planned.notes[0]


def test_a_rule_that_names_a_bridge_is_noted() -> None:
    """Somebody means the overlay; rules like it come and go with Weave Net and Docker."""
    rule = Rule(5, 'iifname "weave" drop', expr=(
        {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "weave"}},
        {"drop": None},
    ))  # fmt: skip
    chain = Chain(
        "c", "forward", "filter", "accept", 0, "type filter hook forward priority filter; policy accept;", (rule,)
    )
    state = State((Table("inet", "mine", chains={"c": chain}, judged=("c",)),), True)
    planned = plan(state, flows(), CONTEXT, True)
    assert (planned.blocks, planned.steps) == ((), ())
    assert planned.notes == (
        "nftables: 'table inet mine chain c: iifname \"weave\" drop' names a bridge of the overlay and was left alone; "
        "it stops bridge weave.",
    )


def test_json_broken_by_the_flags_of_a_table() -> None:
    """nft 1.0.6 stops where a table has flags: the rest is read in pieces."""
    host = Host(text=(FIXTURES / "flags-broken.txt").read_text(), json=(FIXTURES / "flags-broken-json.txt").read_text())
    for kind, family, *names in (
        ("table", "inet", "filter"),
        ("set", "inet", "a", "s"),
        ("chain", "inet", "a", "input"),
    ):
        path = FIXTURES / f"flags-broken-{'-'.join([kind, family, *names])}.json"
        host.answers[("nft", "-j", "list", kind, family, *names)] = path.read_text()
    (state,) = observe(host, CONTEXT)
    assert judged(state) == ["inet filter input"]  # the others are dormant
    assert [block.traffic for block in plan(state, flows(), CONTEXT, True).blocks][:1] == ["tcp 6783"]


def test_a_ruleset_that_changes_while_it_is_read() -> None:
    host = Host("strict-open")
    stale = (FIXTURES / "strict.txt").read_text()
    fresh = host.answers[TEXT]
    texts = [stale, fresh]

    def run(argv: t.Sequence[str], **more: t.Any) -> Result:
        if tuple(argv) == TEXT:
            host.answers[TEXT] = texts.pop(0)
        return host(argv, **more)

    assert plan(observe(run, CONTEXT)[0], flows(), CONTEXT, True).steps == ()


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(Host(), id="not installed"),
        pytest.param(Host(text="", json='{"nftables": [{"metainfo": {"json_schema_version": 1}}]}'), id="no rules"),
        pytest.param(
            Host(text=Result(TEXT, 1, "", "Unable to initialize Netlink socket: Protocol not supported\n")),
            id="kernel without it",
        ),
    ],
)
def test_does_not_act(host: Host) -> None:
    assert observe(host, CONTEXT) == ()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param(
            {"json": Result(JSON, 1, "", "JSON support not compiled-in\n")},
            "Install the .*package 'nftables'",
            id="no JSON",
        ),
        pytest.param(
            {"json": Result(JSON, 1, "", "nft: invalid option -- 'j'\n")},
            "Install the .*package 'nftables'",
            id="too old",
        ),
        pytest.param(
            {"text": Result(TEXT, 1, "", "Error: cache initialization failed: Operation not permitted\n")},
            "cannot be read: .*Operation not permitted.*as root",
            id="not root",
        ),
        pytest.param({"json": "no json"}, "cannot be read as JSON", id="not JSON"),
    ],
)
def test_nft_that_fails(answers: dict[str, t.Any], expected: str) -> None:
    with pytest.raises(FirewallError, match=expected):
        observe(Host("strict", **answers), CONTEXT)


def test_many_peers_take_no_more_steps() -> None:
    """A rule that asks for the sender makes each peer count; the steps stay as many as for one."""
    peers = [f"10.9.{number // 250}.{number % 250 + 1}" for number in range(500)]
    state = see("strict")
    planned = plan(state, flows(peers), CONTEXT, True)
    assert len(script(planned)) == 15
    assert len(planned.blocks[0].sources) == 500


def test_a_flow_with_many_ports() -> None:
    wanted = [replace(flows()[0], ports=(1000, 60000))]
    assert plan(see("strict"), wanted, CONTEXT, True).blocks
