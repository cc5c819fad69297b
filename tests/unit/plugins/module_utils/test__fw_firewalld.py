# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fixtures are what firewalld 1.3.3 of Debian 12 said, beside Docker 20.10, with a bridge 'weave' that is in no zone.

firewalld_default: as installed. firewalld_opened: with our openings. firewalld_mixed: with zones bound to sources, rules that deny,
services that include others, an address set, a policy, and settings that are only live. All these are of before firewalld was asked
on D-Bus whether it runs, for its default zone and its services: they stand for hosts whose busctl or firewalld is too old for that.
firewalld_bus: both ways, with the services 'mesh' and 'sleeve' made by hand.
"""

from __future__ import annotations

import json
import shlex
import time
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _fw_firewalld as firewalld
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_firewalld_judge import is_ours, parse_rich
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_firewalld_read import (
    Section,
    Side,
    State,
    parse_sections,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import (
    Context,
    FirewallError,
    Flow,
    LayerPlan,
    Step,
)

FIXTURES = Path(__file__).parents[2] / "fixtures" / "firewall"
OWN = "198.18.31.11"
PEERS = ("198.18.31.12", "198.18.31.13")
CONTEXT = Context(bridges=("weave",), underlay="eth1", firewalld="nftables")
WEAVE = Flow("forward", "bridge weave", iif="weave", oif="weave")
DNS = Flow("input", "dns from docker0", protocol="udp", ports=(53, 53), destination="172.17.0.1", iif="docker0")
TCP_PORT = 'port port="6783" protocol="tcp"'
UDP_PORTS = 'port port="6783-6784" protocol="udp"'
ESP = 'protocol value="esp"'
STATE_COMMAND = "firewall-cmd --state"


def inputs(sources: t.Sequence[str] = PEERS) -> list[Flow]:
    return [
        Flow("input", "tcp 6783", 4, "tcp", (6783, 6783), tuple(sources), OWN, via="eth1"),
        Flow("input", "udp 6783-6784", 4, "udp", (6783, 6784), tuple(sources), OWN, via="eth1"),
        Flow("input", "esp", 4, "esp", None, tuple(sources), OWN, via="eth1"),
    ]


FLOWS = [*inputs(), DNS, WEAVE]


def opening(source: str, what: str = TCP_PORT) -> str:
    return f'rule priority="-32767" family="ipv4" source address="{source}/32" destination address="{OWN}/32" {what} accept'


UNKNOWN_CALL = {"rc": 1, "out": "", "err": "Call failed: Unknown method\n"}


class Recorded:
    """run() that answers from a fixture; changed replaces answers. What it was asked is in asked."""

    def __init__(self, name: str, **changed: t.Any) -> None:
        self.asked: list[str] = []
        self.answers = {**json.loads((FIXTURES / f"firewalld_{name}.json").read_text()), **changed}

    def __call__(self, argv: t.Sequence[str], stdin: str | None = None, timeout: float = 30) -> Result:
        self.asked.append(shlex.join(argv))
        answer = self.answers.get(self.asked[-1], UNKNOWN_CALL if argv[0] == "busctl" else None)
        assert answer is not None, self.asked[-1]
        return Result(tuple(argv), answer["rc"], answer["out"], answer["err"], answer.get("timed_out", False), timeout)


def observe(name: str, **changed: t.Any) -> State:
    (state,) = firewalld.observe(Recorded(name, **changed), CONTEXT)
    return state


def with_zone(state: State, name: str, **fields: tuple[str, ...]) -> State:
    """The state with settings of one zone changed, live and permanent."""
    changed = {}
    for side_name in ("live", "permanent"):
        side = getattr(state, side_name)
        old = side.zones.get(name, Section(name))
        zone = Section(name, {**old.fields, **{key.replace("_", " "): value for key, value in fields.items()}})
        changed[side_name] = Side({**side.zones, name: zone}, side.policies)
    return replace(state, **changed)


def with_rule(state: State, rule: str, zone: str = "public") -> State:
    return with_zone(state, zone, rich_rules=(*state.live.zones[zone].rules, rule))


def by_flow(plan: LayerPlan) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {
        block.traffic: (block.rule, block.sources)
        for block in plan.blocks
        if block.hook == "input" and block.firewall == "firewalld"
    }


def apply(state: State, steps: t.Sequence[Step]) -> State:
    """What firewalld does with our steps, as far as the layer looks at it."""
    for step in steps:
        words = list(step.argv)
        live = "--permanent" not in words and words[0] != "busctl"
        side = state.live if live else state.permanent
        zones = {name: Section(name, dict(zone.fields)) for name, zone in side.zones.items()}
        options = [word.partition("=")[::2] for word in words if word.startswith("--")]
        zone = dict(options).get("--zone", "")
        if words[0] == "busctl":
            name = next(name for name, path in state.objects.items() if path == words[4])
            zones[name].fields["rich rules"] = tuple(words[words.index("as") + 2 :])
        for option, value in options:
            if option == "--reload":
                return apply(
                    replace(state, live=Side(state.permanent.zones, state.live.policies)),
                    steps[steps.index(step) + 1 :],
                )
            if option == "--new-zone":
                zones[value] = Section(value, {"forward": ("no",)})
            elif option == "--delete-zone":
                del zones[value]
            elif option == "--add-forward":
                zones[zone].fields["forward"] = ("yes",)
            for key, name in () if option == "--zone" else (("rich rules", "rich-rule"), ("interfaces", "interface")):
                old = zones[zone].words(key) if zone else ()
                if option == f"--add-{name}":
                    assert value not in old
                    zones[zone].fields[key] = (*old, value)
                elif option == f"--remove-{name}":
                    assert value in old
                    zones[zone].fields[key] = tuple(one for one in old if one != value)
        state = replace(state, **{"live" if live else "permanent": Side(zones, side.policies)})
    return state


# --- does it act


def test_acts_as_installed() -> None:
    state = observe("default")
    assert (state.acts, state.backend, state.default_zone) == (True, "nftables", "public")
    assert state.links["weave"] == ("10.32.0.1/12",)
    assert state.live.zone_of_interface("docker0") == "docker"
    assert state.permanent.zone_of_interface("docker0") == ""
    assert state.services["ssh"].words("ports") == ("22/tcp",)
    assert not state.unsaved


def test_d_bus_tells_what_firewall_cmd_tells() -> None:
    both = {**Recorded("default").answers, **Recorded("bus").answers}
    quick = Recorded("default", **both)
    assert firewalld.observe(quick, CONTEXT) == firewalld.observe(Recorded("default"), CONTEXT)
    assert firewalld.running(quick) == "nftables"
    asked = [command for command in quick.asked if command.startswith("firewall-cmd")]
    assert all("--list-all" in command for command in asked), asked


def test_d_bus_has_not_the_last_word_on_whether_it_runs() -> None:
    (command,) = (key for key in Recorded("bus").answers if key.endswith(" state"))
    for answer in (
        {"rc": 0, "out": 'v s "FAILED"\n', "err": ""},
        {"rc": 1, "out": "", "err": "Call failed: Connection timed out\n"},
    ):
        recorded = Recorded("default", **{command: answer})
        assert firewalld.running(recorded) == "nftables"
        assert STATE_COMMAND in recorded.asked


def test_nothing_when_stopped() -> None:
    assert firewalld.observe(Recorded("stopped"), CONTEXT) == ()
    assert firewalld.running(Recorded("stopped")) == ""


def test_nothing_when_not_installed() -> None:
    missing = {
        STATE_COMMAND: {"rc": 126, "out": "", "err": "[Errno 2] No such file or directory: 'firewall-cmd'"},
        "systemctl show firewalld --property=LoadState,ActiveState,UnitFileState,SubState": {
            "rc": 0,
            "out": "LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n",
            "err": "",
        },
    }
    assert firewalld.observe(Recorded("stopped", **missing), CONTEXT) == ()
    assert firewalld.running(Recorded("stopped", **missing)) == ""


@pytest.mark.parametrize(
    ("fixture", "words"),
    [
        ("failed", ["state FAILED", "unclosed token: line 1, column 6", "journalctl -u firewalld"]),
        ("killed", ["has failed", "not running", "systemctl disable firewalld"]),
        ("nobus", ["DBUS_ERROR: Failed to connect to socket", "systemctl status dbus"]),
    ],
)
def test_broken_is_an_error(fixture: str, words: list[str]) -> None:
    with pytest.raises(FirewallError) as caught:
        firewalld.observe(Recorded(fixture), CONTEXT)
    for word in [*words, "Nothing was changed"]:
        assert word in str(caught.value)
    assert caught.value.result is not None


def test_hanging_is_an_error() -> None:
    hangs = {STATE_COMMAND: {"rc": 124, "out": "", "err": "", "timed_out": True}}
    with pytest.raises(FirewallError, match="did not end within 30 seconds"):
        firewalld.observe(Recorded("default", **hangs), CONTEXT)


def test_bus_down_does_not_matter_where_firewalld_is_disabled() -> None:
    recorded = Recorded("nobus")
    for answer in recorded.answers.values():
        answer["out"] = answer["out"].replace("UnitFileState=enabled", "UnitFileState=disabled")
    assert firewalld.observe(recorded, CONTEXT) == ()


@pytest.mark.parametrize(
    ("fixture", "backend"), [("default", "nftables"), ("iptables", "iptables"), ("failed", "nftables")]
)
def test_backend(fixture: str, backend: str) -> None:
    assert firewalld.running(Recorded(fixture)) == backend


# --- what it stops


def test_blocks_as_installed() -> None:
    plan = firewalld.plan(observe("default"), FLOWS, CONTEXT, True)
    rule = "zone public (target default) of eth1, which is in no other zone: reject with icmpx admin-prohibited"
    assert by_flow(plan) == dict.fromkeys(("tcp 6783", "udp 6783-6784", "esp"), (rule, PEERS))
    (forward,) = (block for block in plan.blocks if block.hook == "forward")
    assert forward.rule == rule.replace("eth1", "weave")


def test_blocks_of_the_iptables_backend() -> None:
    plan = firewalld.plan(observe("iptables"), FLOWS, CONTEXT, True)
    assert by_flow(plan)["esp"][0].endswith("-A IN_public -j REJECT --reject-with icmp-port-unreachable")
    assert plan.blocks[-1].rule.endswith("-A FWD_public -j REJECT --reject-with icmp-port-unreachable")


MIXED = {
    "198.18.31.12": ("tcp 6783: zone work (target default) for source 198.18.31.12/32",),
    "198.18.31.17": ("tcp 6783: zone work (target default) for source 198.18.31.16/30",),
    "198.18.31.13": (),
    "198.18.31.14": ("tcp 6783: zone public: rule family=", "udp 6783-6784: zone public (", "esp: zone public ("),
    "198.18.31.15": ("tcp 6783: zone public: ", "udp 6783-6784: zone public: ", "esp: zone public: "),
    "198.18.31.18": ("tcp 6783: zone work (target default) for source 198.18.31.16/30",),
    "198.18.31.20": ("tcp 6783: policy guard: ", "udp 6783-6784: policy guard: ", "esp: policy guard: "),
    "198.18.31.21": (
        "udp 6783-6784: zone public (target default) of eth1: ",
        "esp: zone public (target default) of eth1: ",
    ),
    "198.18.41.9": (
        "tcp 6783: zone public (target default) of eth1: ",
        "udp 6783-6784: zone public (target default) of eth1: ",
        "esp: zone public (target default) of eth1: ",
    ),
}


@pytest.mark.parametrize(("peer", "expected"), MIXED.items(), ids=MIXED)
def test_blocks_of_one_peer(peer: str, expected: tuple[str, ...]) -> None:
    plan = firewalld.plan(observe("mixed"), inputs([peer]), CONTEXT, True)
    found = [f"{block.traffic}: {block.rule}" for block in plan.blocks]
    assert len(found) == len(expected), found
    for text, start in zip(found, expected):
        assert text.startswith(start)
    assert all(block.sources == (peer,) for block in plan.blocks)


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        ('rule family="ipv4" source address="198.18.31.0/24" accept', True),
        ('rule family="ipv4" source address="198.18.31.12/32" accept', False),
        ('rule family="ipv6" source address="::/0" accept', False),
        ('rule port port="6783" protocol="tcp" accept', True),
        ('rule port port="6000-7000" protocol="tcp" accept', True),
        ('rule port port="6783" protocol="udp" accept', False),
        ('rule protocol value="tcp" accept', True),
        ('rule family="ipv4" destination address="198.18.31.11" accept', True),
        ('rule family="ipv4" destination address="198.18.30.11" accept', False),
        ('rule family="ipv4" source NOT address="10.0.0.0/8" accept', True),
        ('rule family="ipv4" source NOT address="198.18.31.13" accept', False),
        ('rule source mac="00:11:22:33:44:55" accept', False),
        ('rule source ipset="unknown" accept', False),
        ('rule port port="6783" protocol="tcp" accept limit value="9/s"', False),
        ('rule port port="6783" protocol="tcp" log prefix="a b" limit value="1/s" accept', True),
        ('rule port port="6783" protocol="tcp" mark set="1"', False),
        ('rule source-port port="6783" protocol="tcp" accept', False),
        ('rule icmp-type name="echo-request" accept', False),
        ('rule log prefix="it\'s" accept it"s', False),
        ('rule priority="10" port port="6783" protocol="tcp" accept', True),
    ],
)
def test_rules_that_accept(rule: str, passes: bool) -> None:
    plan = firewalld.plan(with_rule(observe("default"), rule), inputs()[:1], CONTEXT, True)
    assert not plan.blocks if passes else plan.blocks
    assert bool(plan.after) is not passes


@pytest.mark.parametrize(
    ("rule", "stops"),
    [
        ('rule family="ipv4" source address="198.18.31.12" drop', True),
        ('rule family="ipv4" source address="198.18.31.12" port port="6784" protocol="udp" reject', True),
        ('rule family="ipv4" source address="198.18.31.12" port port="6785" protocol="udp" reject', False),
        ('rule family="ipv4" source address="198.18.31.12" drop limit value="1/m"', False),
        ('rule priority="5" family="ipv4" source address="198.18.31.12" drop', False),
        ('rule priority="-5" family="ipv4" source address="198.18.31.12" drop', True),
    ],
)
def test_rules_that_deny_in_a_zone_that_accepts_the_rest(rule: str, stops: bool) -> None:
    state = with_zone(observe("default"), "public", ports=("6783-6784/udp",))
    plan = firewalld.plan(with_rule(state, rule), inputs()[1:2], CONTEXT, True)
    assert [(block.rule, block.sources) for block in plan.blocks] == (
        [(f"zone public: {rule}", PEERS[:1])] if stops else []
    )
    assert len(plan.after) == (2 if stops else 0)  # for all peers of that zone, or none


def test_a_rule_before_ours_is_reported_as_beyond_reach() -> None:
    rule = 'rule priority="-32768" family="ipv4" source address="198.18.31.12" drop'
    plan = firewalld.plan(with_rule(observe("default"), rule), inputs(), CONTEXT, True)
    assert len(plan.notes) == 1
    assert rule in plan.notes[0]


@pytest.mark.parametrize(("target", "open_"), [("ACCEPT", True), ("DROP", False), ("%%REJECT%%", False)])
def test_target_of_the_zone(target: str, open_: bool) -> None:
    plan = firewalld.plan(with_zone(observe("default"), "public", target=(target,)), FLOWS, CONTEXT, True)
    assert bool(plan.blocks) is not open_
    if not open_:
        assert f"zone public (target {target})" in plan.blocks[0].rule


# --- openings


def test_openings_are_what_firewalld_then_shows() -> None:
    plan = firewalld.plan(observe("default"), FLOWS, CONTEXT, True)
    opened = firewalld.plan(observe("opened"), FLOWS, CONTEXT, True)
    assert plan.before == ()
    assert plan.after == opened.before == opened.after
    assert f"zone public: {opening(PEERS[0])}" in plan.after
    assert "zone crosshost: interfaces weave, forward yes" in plan.after
    assert plan.reloads
    assert all("--permanent" in step.argv for step in plan.steps[:-1])  # the reload brings the live ones
    assert not opened.steps
    assert not opened.reloads
    assert opened.blocks == plan.blocks


def test_permanent_and_live_are_written_each_on_its_own() -> None:
    plan = firewalld.plan(observe("default"), inputs(), Context(underlay="eth1"), True)
    assert [step.argv[:3] for step in plan.steps] == [
        ("firewall-cmd", "--permanent", "--zone=public"),
        ("firewall-cmd", "--zone=public", f"--add-rich-rule={opening(PEERS[0])}"),
    ]
    assert not plan.reloads


def test_peers_are_opened_in_the_zone_that_judges_them() -> None:
    plan = firewalld.plan(observe("mixed"), inputs(["198.18.31.12", "198.18.31.13", "198.18.31.21"]), CONTEXT, True)
    assert plan.after == (
        "zone public: " + opening("198.18.31.21", UDP_PORTS),
        "zone public: " + opening("198.18.31.21", ESP),
        "zone work: " + opening("198.18.31.12"),
    )


def test_a_peer_that_left_loses_its_openings() -> None:
    plan = firewalld.plan(observe("opened"), [*inputs(PEERS[:1]), DNS, WEAVE], CONTEXT, True)
    assert {line for line in plan.before if line not in plan.after} == {
        f"zone public: {opening(PEERS[1], what)}" for what in (TCP_PORT, UDP_PORTS, ESP)
    }
    assert not set(plan.after) - set(plan.before)
    assert all("--remove-rich-rule" in step.argv[-1] for step in plan.steps)


def test_settings_that_are_only_live_are_kept() -> None:
    """Live the zone lets the port in, and does not any more after a reload: only the permanent side needs the opening."""
    state = observe("default")
    zones = {
        **state.live.zones,
        "public": Section("public", {**state.live.zones["public"].fields, "ports": ("6783/tcp",)}),
    }
    plan = firewalld.plan(replace(state, live=replace(state.live, zones=zones)), inputs()[:1], CONTEXT, True)
    assert plan.blocks == ()
    assert plan.after == tuple(f"zone public: {opening(peer)} (permanent only)" for peer in PEERS)
    assert len(plan.steps) == 1


def test_dns_is_opened_for_the_networks_behind_the_bridge() -> None:
    state = observe("default")
    zones = {**state.live.zones, "docker": Section("docker", {**state.live.zones["docker"].fields, "interfaces": ()})}
    plan = firewalld.plan(replace(state, live=Side(zones), docker_attached=False), [DNS], CONTEXT, True)
    rule = (
        'rule priority="-32767" family="ipv4" source address="172.17.0.0/16" destination address="172.17.0.1/32" '
        'port port="53" protocol="udp" accept'
    )
    assert plan.after == (f"zone public: {rule}",)
    assert is_ours(rule)
    assert plan.blocks[0].sources == ()


def test_no_opening_for_a_bridge_that_is_not_there() -> None:
    flow = replace(DNS, iif="docker_gwbridge")
    assert firewalld.plan(observe("default"), [flow], CONTEXT, True) == firewalld.plan(
        observe("default"), [], CONTEXT, True
    )


def test_ipv6() -> None:
    flow = Flow("input", "gre", 6, "gre", None, ("2001:db8::2",), "2001:db8::1", via="eth1")
    plan = firewalld.plan(observe("default"), [flow], CONTEXT, True)
    (line,) = plan.after
    assert (
        'family="ipv6" source address="2001:db8::2/128" destination address="2001:db8::1/128" protocol value="gre"'
        in line
    )
    assert is_ours(line.split(": ", 1)[1])


@pytest.mark.parametrize(
    "rule",
    [
        opening(PEERS[0]).replace(' priority="-32767"', ""),
        opening(PEERS[0]).replace("-32767", "-32766"),
        opening(PEERS[0]).replace("accept", "drop"),
        opening(PEERS[0]).replace("accept", 'log prefix="x" accept'),
        opening(PEERS[0]).replace(" accept", ' accept limit value="1/m"'),
    ],
)
def test_rules_of_others_are_not_touched(rule: str) -> None:
    plan = firewalld.plan(with_rule(observe("default"), rule), [], CONTEXT, False)
    assert (plan.before, plan.after, plan.steps) == ((), (), ())


# --- the bridge


@pytest.mark.parametrize("forward", [True, False], ids=["forwards", "does not"])
def test_a_bridge_in_somebodys_zone_stays_there(forward: bool) -> None:
    state = with_zone(observe("default"), "drop", interfaces=("weave",), forward=("yes" if forward else "no",))
    plan = firewalld.plan(state, [WEAVE], CONTEXT, True)
    assert (plan.after, plan.steps) == ((), ())
    assert bool(plan.blocks) is not forward
    assert not forward or not plan.notes
    assert forward or "firewall-cmd --zone=drop --add-forward" in plan.notes[0]


def test_a_bridge_of_docker_is_never_bound() -> None:
    """dockerd does not start a network whose bridge is in a zone it did not choose: ZONE_CONFLICT."""
    flow = Flow("forward", "bridge ovl0", iif="ovl0", oif="ovl0")
    state = observe("default")
    assert firewalld.plan(state, [flow], CONTEXT, True).blocks == ()
    unbound = with_zone(state, "docker", interfaces=("docker0",))
    assert firewalld.plan(unbound, [flow], CONTEXT, True).blocks == ()  # Docker binds it within seconds
    unbound = replace(unbound, docker_attached=False)
    plan = firewalld.plan(unbound, [flow], CONTEXT, True)
    assert (plan.after, plan.steps) == ((), ())
    assert plan.blocks
    assert "systemctl restart docker" in plan.notes[0]


def test_no_zone_that_forwards_before_0_9() -> None:
    state = observe("default")
    sides = {}
    for name in ("live", "permanent"):
        zones = getattr(state, name).zones
        sides[name] = Side(
            {
                one: Section(one, {key: value for key, value in zone.fields.items() if key != "forward"})
                for one, zone in zones.items()
            }
        )
    plan = firewalld.plan(replace(state, **sides), [WEAVE], CONTEXT, True)
    assert not plan.steps
    assert "older than 0.9" in plan.notes[0]


def test_no_reload_that_would_undo_settings_of_others() -> None:
    with pytest.raises(FirewallError) as caught:
        firewalld.plan(observe("mixed"), FLOWS, CONTEXT, True)
    for words in (
        "direct: ipv4 filter INPUT 0 -p tcp --dport 98 -j ACCEPT",
        "zone home: ports 8080/tcp (only live)",
        "firewall-cmd --runtime-to-permanent",
        "Nothing was changed",
    ):
        assert words in str(caught.value)


def test_openings_without_the_bridge_need_no_reload() -> None:
    plan = firewalld.plan(observe("mixed"), inputs(), CONTEXT, True)
    assert plan.steps
    assert not plan.reloads


@pytest.mark.parametrize(
    ("manager", "refused"), [(False, True), (True, False)], ids=["bound by hand", "NetworkManager"]
)
def test_interfaces_bound_live_only(manager: bool, refused: bool) -> None:
    state = observe("default")
    zones = {**state.live.zones, "home": Section("home", {**state.live.zones["home"].fields, "interfaces": ("eth0",)})}
    state = replace(state, live=replace(state.live, zones=zones), network_manager=manager)
    if refused:
        with pytest.raises(FirewallError, match=r"zone home: interfaces eth0 \(only live\)"):
            firewalld.plan(state, FLOWS, CONTEXT, True)
    else:
        assert firewalld.plan(state, FLOWS, CONTEXT, True).reloads


# --- interruptions and removal


@pytest.mark.parametrize("stop", range(7))
def test_interrupted_anywhere_it_completes(stop: int) -> None:
    start = observe("default")
    plan = firewalld.plan(start, FLOWS, CONTEXT, True)
    state = apply(start, plan.steps[:stop])
    again = firewalld.plan(state, FLOWS, CONTEXT, True)
    assert again.blocks == plan.blocks
    assert again.after == plan.after
    state = apply(state, again.steps)
    last = firewalld.plan(state, FLOWS, CONTEXT, True)
    assert (last.before, last.steps) == (plan.after, ())


@pytest.mark.parametrize("stop", range(5))
def test_removal_interrupted_anywhere_it_completes(stop: int) -> None:
    start = observe("opened")
    plan = firewalld.plan(start, [], CONTEXT, False)
    assert plan.after == plan.blocks == ()
    state = apply(start, plan.steps[:stop])
    state = apply(state, firewalld.plan(state, [], CONTEXT, False).steps)
    last = firewalld.plan(state, [], CONTEXT, False)
    assert (last.before, last.steps) == ((), ())
    clean = observe("default")
    assert {name: set(zone.rules) for name, zone in state.permanent.zones.items()} == {
        name: set(zone.rules) for name, zone in clean.permanent.zones.items()
    }


def test_removal_leaves_an_empty_zone_rather_than_undo_settings_of_others() -> None:
    state = replace(observe("opened"), unsaved=("direct: something",))
    plan = firewalld.plan(state, [], CONTEXT, False)
    assert not plan.reloads
    assert plan.after == ("zone crosshost: interfaces none, forward yes (live only)",)
    assert "direct: something" in plan.notes[0]
    state = apply(state, plan.steps)
    last = firewalld.plan(state, [], CONTEXT, False)
    assert last.before == last.after == plan.after
    assert last.steps == ()


# --- size


def test_many_peers() -> None:
    peers = [f"10.9.{number // 250}.{number % 250 + 1}" for number in range(500)]
    state = observe("default")
    began = time.monotonic()
    plan = firewalld.plan(state, inputs(peers), CONTEXT, True)
    assert time.monotonic() - began < 3  # 0.1 s on an idle machine
    assert len(plan.after) == 1500
    assert len(plan.steps) == 9  # one call for all permanent rules, batches of 200 live
    assert plan.steps[0].argv[0] == "busctl"
    assert plan.steps[0].argv[6:12] == ("update2", "a{sv}", "1", "rules_str", "as", "1500")
    state = apply(state, plan.steps)
    assert firewalld.plan(state, inputs(peers), CONTEXT, True).steps == ()
    fewer = firewalld.plan(state, inputs(peers[1:]), CONTEXT, True)
    assert [step.argv[0] for step in fewer.steps] == ["busctl", "firewall-cmd"]
    assert fewer.steps[0].argv[11] == "1497"


# --- reading


def test_long_lists_come_line_by_line() -> None:
    text = (
        "public (default, active)\n  target: default\n  ingress-priority: -3\n  services: dhcpv6-client ssh\n  forward-ports: \n"
        '\tport=80:proto=tcp:toport=81:toaddr=\n  rich rules: \n\trule service name="ssh" mark set=1\n\nwork\n  sources: \n'
    )
    zones = parse_sections(text)
    assert sorted(zones) == ["public", "work"]
    assert zones["public"].rules == ('rule service name="ssh" mark set=1',)
    assert zones["public"].words("forward-ports") == ("port=80:proto=tcp:toport=81:toaddr=",)
    assert zones["public"].number("ingress-priority") == -3
    assert zones["work"].words("sources") == ()


def test_rich_rule_taken_apart() -> None:
    rule = parse_rich(
        'rule priority="-7" family="ipv4" source NOT ipset="s1" service name="ssh" log prefix="a b" level="info" limit value="3/m" drop'
    )
    assert (rule.priority, rule.family, rule.action, rule.limited) == (-7, 4, "drop", False)
    assert rule.parts["source"] == {"not": "", "ipset": "s1"}
    assert rule.parts["log"]["prefix"] == "a b"


@pytest.mark.parametrize(("name", "zone"), [("veth0", "internal"), ("vet", ""), ("eth1", "public")])
def test_interfaces_by_prefix(name: str, zone: str) -> None:
    side = Side(
        {
            "internal": Section("internal", {"interfaces": ("veth+",)}),
            "public": Section("public", {"interfaces": ("eth1",)}),
        }
    )
    assert side.zone_of_interface(name) == zone
