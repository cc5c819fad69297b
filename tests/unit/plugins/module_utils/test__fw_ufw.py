# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ufw 0.36.2 of Debian 12 as it was found: with an administrator's rules (busy), and with our openings before them (opened)."""

from __future__ import annotations

import ast
import pathlib
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _fw_ufw
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import STATUS_NOT_STARTED, Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import (
    MARK,
    Context,
    FirewallError,
    Flow,
    LayerPlan,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_ufw import Rule, State

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "firewall" / "ufw"
FILES = {
    ("ufw", "status"): "ufw_status",
    ("cat", "/etc/default/ufw"): "default_ufw",
    ("cat", "/etc/ufw/ufw.conf"): "ufw.conf",
    ("cat", "/etc/ufw/user.rules"): "user.rules",
    ("cat", "/etc/ufw/user6.rules"): "user6.rules",
    ("iptables", "-w", "10", "-S"): "iptables",
    ("ip6tables", "-w", "10", "-S"): "ip6tables",
    ("ls", "/etc/ufw", "/proc/sys/net"): "ls",
    ("head", "-n", "1", "/usr/sbin/ufw"): "first_line",
}
OWN = "198.18.31.14"
PEERS = ("198.18.31.1", "198.18.31.15")
TCP = Flow("input", "tcp 6783", protocol="tcp", ports=(6783, 6783), sources=PEERS, destination=OWN, via="eth1")
UDP = Flow("input", "udp 6783-6784", protocol="udp", ports=(6783, 6784), sources=PEERS, destination=OWN, via="eth1")
ESP = Flow("input", "esp", protocol="esp", sources=PEERS, destination=OWN, via="eth1")
GRE = Flow("input", "gre", protocol="gre", sources=PEERS, destination=OWN, via="eth1")
DNS = Flow("input", "dns docker0", protocol="udp", ports=(53, 53), destination="172.17.0.1", iif="docker0")
BRIDGE = Flow("forward", "bridge weave", iif="weave", oif="weave")
TCP6 = Flow("input", "tcp6", 6, "tcp", (6783, 6783), ("fd00::2",), "fd00::1")
FLOWS = [TCP, UDP, ESP, GRE, DNS, BRIDGE, TCP6]
DEFAULT = "Default: deny (incoming)"
BACKUP = "ufw deny log from 198.18.31.0/24 to any port 6784 proto udp comment 'the backup net'"


class Host:
    """Answers commands from the files of one fixture, or from what a test puts there instead."""

    def __init__(self, case: str, **instead: str | Result) -> None:
        self.case = case
        self.instead = instead

    def __call__(self, argv: t.Sequence[str], stdin: str | None = None, timeout: float = 30) -> Result:
        name = FILES[tuple(argv)]
        answer = self.instead.get(name.replace(".", "_"), "")
        if isinstance(answer, Result):
            return replace(answer, argv=tuple(argv))
        if name == "first_line":  # a file that starts like this would be taken for a program
            return Result(tuple(argv), 0, answer or "#! /usr/bin/python3\n", "")
        return Result(tuple(argv), 0, answer or (FIXTURES / self.case / name).read_text(), "")


def observed(case: str, **instead: str | Result) -> State:
    return _fw_ufw.observe(Host(case, **instead), Context())[0]


def planned(state: State, *flows: Flow, present: bool = True) -> LayerPlan:
    return _fw_ufw.plan(state, flows or FLOWS, Context(), present)


def stops(plan: LayerPlan) -> dict[str, tuple[str, ...]]:
    return {block.rule: block.sources for block in plan.blocks}


def changed(state: State, **fields: t.Any) -> State:
    """The busy host without user rules, unless given."""
    return replace(state, **{"rules": (), "earlier": (), **fields})


@pytest.mark.parametrize("case", ["busy", "opened"])
def test_rules_read_as_ufw_shows_them(case: str) -> None:
    """What is read from the files is what 'ufw show added' prints, word for word."""
    shown = (FIXTURES / case / "show_added").read_text().splitlines()[1:]
    assert list(dict.fromkeys(rule.text for rule in observed(case).rules)) == shown


def test_settings() -> None:
    state = observed("busy")
    assert (state.input, state.forward, state.ipv6, state.python) == ("deny", "deny", True, ("/usr/bin/python3",))
    assert state.interrupted == ()
    assert [rule.text for rule in state.earlier if "10.88" in rule.text or "weave" in rule.text] == [
        "-A ufw-before-forward -i weave -o eth0 -j ACCEPT",
        "-A ufw-before-input -s 10.88.0.0/16 -p esp -j DROP",
    ]


@pytest.mark.parametrize(
    ("status", "active"),
    [
        pytest.param("", True, id="active"),
        pytest.param("Status: inactive\n", False, id="inactive"),
        pytest.param(Result((), STATUS_NOT_STARTED, "", "No such file"), False, id="not-installed"),
        pytest.param(Result((), 1, "", "ERROR: problem running iptables\n"), False, id="broken"),
    ],
)
def test_active(status: str | Result, active: bool) -> None:
    assert _fw_ufw.active(Host("busy", ufw_status=status)) is active


@pytest.mark.parametrize(
    "instead",
    [
        pytest.param({"ufw_status": Result((), STATUS_NOT_STARTED, "", "No such file")}, id="not-installed"),
        pytest.param({"ufw_status": "Status: inactive\n", "ufw_conf": "ENABLED=no\n"}, id="inactive"),
    ],
)
def test_does_not_act(instead: dict[str, str | Result]) -> None:
    assert _fw_ufw.observe(Host("busy", **instead), Context()) == ()


def broken(name: str) -> Result:
    return Result((), 1, "", "WARN: uid is 0 but '/' is owned by 1000\n" + (FIXTURES / name).read_text())


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        pytest.param(
            {"ufw_status": broken("status_broken")}, "ERROR: Couldn't stat '/etc/ufw/user.rules'", id="no-rules"
        ),
        pytest.param(
            {"ufw_status": (FIXTURES / "status_stopped").read_text()},
            "its rules are not loaded ('ufw status' says 'Status: inactive')",
            id="stopped",
        ),
        pytest.param(
            {"user_rules": Result((), 1, "", "cat: no\n")}, "'cat /etc/ufw/user.rules' failed", id="unreadable"
        ),
    ],
)
def test_broken(instead: dict[str, str | Result], words: str) -> None:
    with pytest.raises(FirewallError) as caught:
        _fw_ufw.observe(Host("busy", **instead), Context())
    assert words in str(caught.value)
    assert caught.value.result is not None


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        pytest.param(TCP, {DEFAULT: PEERS}, id="default-policy"),
        pytest.param(UDP, {BACKUP: PEERS, DEFAULT: PEERS}, id="one-port-by-a-rule-one-by-the-policy"),
        pytest.param(DNS, {}, id="allowed-on-all-interfaces"),
        pytest.param(BRIDGE, {"ufw route deny in on weave": ()}, id="forward-by-a-rule"),
        pytest.param(
            replace(BRIDGE, iif="ovl0", oif="ovl0"), {"Default: deny (routed)": ()}, id="forward-by-the-policy"
        ),
        pytest.param(replace(BRIDGE, oif="eth0"), {}, id="forward-allowed-before-user-rules"),
        pytest.param(TCP6, {DEFAULT: ("fd00::2",)}, id="ipv6"),
        pytest.param(replace(TCP, sources=("198.18.31.16",)), {}, id="peer-allowed-everything"),
        pytest.param(
            replace(TCP, sources=("198.18.31.7",)), {DEFAULT: ("198.18.31.7",)}, id="allowed-from-some-ports-only"
        ),
        pytest.param(
            replace(ESP, sources=("10.66.0.9", "10.88.0.9")),
            {
                "-A ufw-before-input -s 10.88.0.0/16 -p esp -j DROP": ("10.88.0.9",),
                "ufw reject log-all from 10.66.0.0/16": ("10.66.0.9",),
            },
            id="peers-by-different-rules",
        ),
        pytest.param(replace(TCP, ports=(2222, 2222)), {"ufw limit 2222/tcp": PEERS}, id="limit"),
        pytest.param(replace(TCP, ports=(443, 443)), {}, id="allowed-on-its-interface"),
        pytest.param(replace(TCP, ports=(443, 443), via="eth0"), {DEFAULT: PEERS}, id="allowed-on-another-interface"),
        pytest.param(replace(TCP, ports=(443, 443), via=""), {DEFAULT: PEERS}, id="interface-unknown"),
    ],
)
def test_what_stops(flow: Flow, expected: dict[str, tuple[str, ...]]) -> None:
    """Judged alike whether our openings are there or not."""
    assert stops(planned(observed("busy"), flow)) == expected
    assert stops(planned(observed("opened"), flow)) == expected


@pytest.mark.parametrize(
    ("rule", "stopped"),
    [
        pytest.param(Rule(4, "deny", "tcp", "6000:7000,9000"), True, id="range"),
        pytest.param(Rule(4, "deny", "tcp", "6000,9000"), False, id="other-ports"),
        pytest.param(Rule(4, "deny", "udp", "6783"), False, id="other-protocol"),
        pytest.param(Rule(4, "deny", dport="6783"), True, id="both-protocols"),
        pytest.param(Rule(6, "deny"), False, id="other-family"),
        pytest.param(Rule(4, "deny", out=True), False, id="outgoing"),
        pytest.param(Rule(4, "deny", forward=True), False, id="routed"),
        pytest.param(Rule(4, "deny", dst="198.18.0.0/16"), True, id="destination"),
        pytest.param(Rule(4, "deny", dst="198.18.31.13"), False, id="other-destination"),
        pytest.param(Rule(4, "deny", iif="eth+"), True, id="interfaces"),
        pytest.param(Rule(4, "deny", comment=MARK), False, id="ours"),
    ],
)
def test_one_rule(rule: Rule, stopped: bool) -> None:
    """With a policy that lets everything in."""
    state = changed(observed("busy"), input="allow", rules=(rule,))
    assert bool(planned(state, TCP).blocks) is stopped


def test_allow_before_deny() -> None:
    allow, deny = Rule(4, "allow", src="198.18.31.0/24"), Rule(4, "deny", "tcp")
    assert not planned(changed(observed("busy"), rules=(allow, deny)), TCP).blocks
    assert stops(planned(changed(observed("busy"), rules=(deny, allow)), TCP)) == {"ufw deny to any proto tcp": PEERS}


def test_openings_are_what_ufw_then_shows() -> None:
    """The plan for a closed host is what an opened one has; there, nothing is left to do."""
    plan, again = planned(observed("busy")), planned(observed("opened"))
    assert (plan.before, plan.after) == ((), again.before)
    assert again.before == again.after
    assert again.steps == ()
    assert plan.blocks == again.blocks
    assert (
        "ufw allow from 198.18.31.15 to 198.18.31.14 port 6783:6784 proto udp comment 'crosshost.overlay'" in plan.after
    )
    assert "ufw allow from fd00::2 to fd00::1 port 6783 proto tcp comment 'crosshost.overlay' (v6)" in plan.after


def wanted(plan: LayerPlan) -> dict[int, list[list[str]]]:
    """The commands per family that the one step hands to ufw's classes."""
    (step,) = plan.steps
    assert step.argv[:3] == ("/usr/bin/python3", "-I", "-")
    tree = ast.parse(step.stdin)
    settings = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body[:4]
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert settings["MARK"] == "63726f7373686f73742e6f7665726c6179"  # as in the tuples of user.rules
    return t.cast("dict[int, list[list[str]]]", settings["WANT"])


def test_step() -> None:
    """One step for all rules of both families."""
    want = wanted(planned(observed("busy"), UDP, TCP6, BRIDGE))
    assert want == {
        4: [
            ["allow", "from", peer, "to", OWN, "port", "6783:6784", "proto", "udp", "comment", "crosshost.overlay"]
            for peer in PEERS
        ]
        + [["route", "allow", "in", "on", "weave", "out", "on", "weave", "comment", "crosshost.overlay"]],
        6: [
            [
                "allow",
                "from",
                "fd00::2",
                "to",
                "fd00::1",
                "port",
                "6783",
                "proto",
                "tcp",
                "comment",
                "crosshost.overlay",
            ]
        ],
    }


def test_peer_left() -> None:
    """Its openings go, and the family that stays as it is, is left alone."""
    less = [replace(flow, sources=PEERS[:1]) if flow.sources == PEERS else flow for flow in FLOWS]
    plan = planned(observed("opened"), *less)
    assert set(plan.before) - set(plan.after) == {line for line in plan.before if PEERS[1] in line}
    assert list(wanted(plan)) == [4]


def test_absent() -> None:
    plan = planned(observed("opened"), present=False)
    assert plan.after == ()
    assert wanted(plan) == {4: [], 6: []}
    assert planned(observed("busy"), present=False).steps == ()


@pytest.mark.parametrize(
    ("place", "steps"),
    [
        pytest.param(0, True, id="before-ours"),
        pytest.param(5, True, id="among-ours"),
        pytest.param(9, False, id="after-ours"),
    ],
)
def test_deny_of_somebody_else(place: int, steps: bool) -> None:
    """Ours go to the front again only if something before one of them stops what it is to let in."""
    state = observed("opened")
    harmless, deny = Rule(4, "deny", "tcp", "25"), Rule(4, "deny", src="198.18.31.15")
    assert planned(replace(state, rules=(harmless, *state.rules))).steps == ()
    plan = planned(replace(state, rules=(*state.rules[:place], deny, *state.rules[place:])))
    assert "ufw deny from 198.18.31.15" in stops(plan)
    assert plan.before == plan.after
    assert bool(plan.steps) is steps


def test_not_in_force() -> None:
    """Rules that are in the file, but not in the kernel, are loaded again."""
    lines = (FIXTURES / "opened" / "iptables").read_text().splitlines(keepends=True)
    plan = planned(observed("opened", iptables="".join(line for line in lines if "-p esp" not in line)))
    assert plan.before == plan.after
    assert list(wanted(plan)) == [4]


@pytest.mark.parametrize("present", [True, False])
def test_interrupted(present: bool) -> None:
    """A file left by an edit that was stopped half-way, whatever is wanted now."""
    names = (FIXTURES / "busy" / "ls").read_text() + "user.rules.crosshost-overlay\n"
    plan = planned(observed("busy", ls=names), BRIDGE, present=present)
    assert list(wanted(plan)) == [4]


def test_rule_before_user_rules() -> None:
    """No opening of ufw helps there, so it is named."""
    plan = planned(observed("busy"), replace(ESP, sources=("10.88.0.9",)))
    assert len(plan.notes) == 1
    assert "'-A ufw-before-input -s 10.88.0.0/16 -p esp -j DROP' comes before all user rules" in plan.notes[0]
    assert "/etc/ufw/before.rules" in plan.notes[0]


def test_ipv6_off() -> None:
    """With IPV6=no ufw drops all of it and refuses rules for it."""
    settings = (FIXTURES / "busy" / "default_ufw").read_text().replace("IPV6=yes", "IPV6=no")
    plan = planned(observed("busy", default_ufw=settings), TCP6)
    assert stops(plan) == {"IPV6=no": ("fd00::2",)}
    assert (plan.after, plan.steps) == ((), ())
    assert "set IPV6=yes in /etc/default/ufw" in plan.notes[0]


@pytest.mark.parametrize(
    ("setting", "policy"),
    [("ACCEPT", "allow"), ("REJECT", "reject"), ("DROP", "deny")],
)
def test_policies(setting: str, policy: str) -> None:
    settings = (
        (FIXTURES / "busy" / "default_ufw").read_text().replace('INPUT_POLICY="DROP"', f'INPUT_POLICY="{setting}"')
    )
    state = observed("busy", default_ufw=settings)
    assert state.input == policy
    expected = {} if policy == "allow" else {f"Default: {policy} (incoming)": PEERS}
    assert stops(planned(state, TCP)) == expected


def test_many_peers() -> None:
    """500 peers are one step."""
    peers = tuple(f"10.20.{index // 250}.{index % 250 + 1}" for index in range(500))
    plan = planned(observed("busy"), *(replace(flow, sources=peers) for flow in (TCP, UDP, ESP)))
    assert len(plan.after) == 1500
    assert len(plan.steps) == 1


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        pytest.param(
            "-A ufw-user-input -s 10.1.0.1/32 -d 10.1.0.2/32 -p 47 -j ACCEPT",
            Rule(4, "allow", "gre", src="10.1.0.1", dst="10.1.0.2"),
            id="protocol-by-number",
        ),
        pytest.param(
            "-A ufw-user-input -p udp -m multiport --dports 6783:6784 -j DROP",
            Rule(4, "deny", "udp", "6783:6784"),
            id="ports",
        ),
        pytest.param("-A ufw-before-input ! -s 10.1.0.1/32 -j DROP", None, id="not"),
        pytest.param("-A ufw-before-input ! -s 10.1.0.1/32 ! -d 10.1.0.2/32 -j DROP", None, id="not-not"),
        pytest.param("-A ufw-before-input -m conntrack --ctstate INVALID -j DROP", None, id="state"),
        pytest.param("-A ufw-before-input -j ufw-not-local", None, id="jump"),
        pytest.param("-A ufw-user-input -p tcp --dport 22 -m limit --limit 3/min -j ACCEPT", None, id="rate"),
    ],
)
def test_rules_of_the_kernel(line: str, rule: Rule | None) -> None:
    found = _fw_ufw._kernel_rule(line, 4, False)
    assert (found and replace(found, line="")) == rule
