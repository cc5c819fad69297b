# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Openings of the overlay in firewalld.

Input: a rich rule per peer, protocol and port, in the zone that judges packets of that peer. Rich rules have no comment; ours are
known by their exact shape with a priority nobody else uses, which also puts them before rules that deny.
Forward: frames that cross a bridge which is in no zone are stopped by the default zone, whatever its 'forward' says; a zone of
our own holds that bridge and lets nothing else pass.
Live and permanent settings are compared and written each on its own: others may have settings that are only in one of them.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.crosshost.overlay.plugins.module_utils._fw_firewalld_bus import BUS
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_firewalld_judge import (
    PRIORITY,
    Packet,
    Verdict,
    is_ours,
    judge,
    network,
    place,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_firewalld_read import (
    BINDABLE,
    DOCKER_ZONE,
    ZONE,
    Section,
    Side,
    State,
    observe,
    running,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import (
    MARK,
    Block,
    Context,
    FirewallError,
    Flow,
    LayerPlan,
    Step,
)

__all__ = ["NAME", "State", "observe", "plan", "running"]

LEFTOVER = "/etc/firewalld/zones/crosshost.xml.old"  # firewalld keeps a zone that is deleted under this name
NAME = "firewalld"
BATCH = 200  # rules per call; a live rule takes up to 40 ms (measured with 1500 of them)
# firewall-cmd writes the whole zone for each permanent rule (300 rules take 11 s, measured); beyond so many written rules one call
# over D-Bus sets all rules of the zone (0.1 s).
MANY = 2500
POINTS = 64  # ports of a range that are judged one by one
MANAGED_ZONES = (
    "docker",
    "libvirt",
    "libvirt-routed",
)  # their owners bind interfaces to them live, again after each reload

Rule = t.Tuple[str, str]  # zone, rich rule


@dataclass(frozen=True)
class _Wish:
    """What one side shall hold of ours."""

    rules: tuple[Rule, ...] = ()
    bridges: tuple[str, ...] = ()


def plan(state: State, flows: t.Sequence[Flow], context: Context, present: bool) -> LayerPlan:
    """What stops the flows, and the steps to our openings; with present False, the steps to be rid of them."""
    blocks: list[Block] = []
    notes: list[str] = []
    live = permanent = _Wish()
    judged = flows if present else ()
    if judged:
        live = _wish(state, _theirs(state.live), judged, context, blocks, notes)
        permanent = _wish(state, _theirs(state.permanent), judged, context, [], [])
    live_now, permanent_now = _now(state.live), _now(state.permanent)
    reload_wanted = (bool(live.bridges) and ZONE not in state.live.zones) or (
        ZONE in state.live.zones and not live.bridges and not permanent.bridges
    )
    unsaved = _unsaved(state) if reload_wanted else []
    if unsaved and live.bridges:
        raise FirewallError(_refusal(live.bridges, unsaved))
    reloads = reload_wanted and not unsaved
    steps = _rule_steps(state, permanent_now.rules, permanent.rules, True)
    if not reloads:  # which brings the permanent ones
        steps += _rule_steps(state, live_now.rules, live.rules, False)
    steps += _zone_steps(state, live, permanent, reloads)
    leftover = ZONE in state.live.zones and not live.bridges and not reloads
    if leftover and not permanent.bridges:
        notes.append(
            f"The zone {ZONE} is empty and gone with the next 'firewall-cmd --reload'; "
            f"that was left to you, for it would also undo: {'; '.join(unsaved[:5])}."
        )
    if reloads and DOCKER_ZONE in state.live.zones:
        notes.append(
            "firewalld is reloaded, which may take Docker's rules away for a moment; Docker puts them back, but version 20.10 keeps "
            "containers of different networks apart again only after 'systemctl restart docker'."
        )
    return LayerPlan(
        NAME,
        tuple(blocks),
        _lines(_now_lines(state.live), _now_lines(state.permanent)),
        _lines(_wish_lines(live, state.live, leftover), _wish_lines(permanent, state.permanent, False)),
        tuple(steps),
        tuple(dict.fromkeys(notes)),
        reloads,
    )


def _theirs(side: Side) -> Side:
    """A side as it would be without us, so that a judgement never depends on what is ours."""
    zones = {
        name: Section(name, {**zone.fields, "rich rules": tuple(rule for rule in zone.rules if not is_ours(rule))})
        for name, zone in side.zones.items()
        if name != ZONE
    }
    return Side(zones, side.policies)


def _wish(
    state: State, side: Side, flows: t.Sequence[Flow], context: Context, blocks: list[Block], notes: list[str]
) -> _Wish:
    """Judge all flows by one side's settings. Adds to blocks and notes."""
    rules: list[Rule] = []
    bridges: list[str] = []
    for flow in flows:
        if flow.hook == "forward":
            bridges.extend(_forward(state, side, flow, blocks, notes))
        elif flow.hook == "input":
            rules.extend(_input(state, side, flow, context, blocks, notes))
    return _Wish(tuple(sorted(set(rules))), tuple(sorted(set(bridges))))


def _input(state: State, side: Side, flow: Flow, context: Context, blocks: list[Block], notes: list[str]) -> list[Rule]:
    """The openings one input flow needs: in every zone that stops one of its peers, for all peers that zone judges."""
    if flow.iif and flow.iif not in state.links:
        return []  # nothing arrives there; when Docker makes the bridge, it binds it to its own zone
    interface = flow.iif or flow.via or context.underlay
    sources = flow.sources or tuple(_networks(state, flow))
    by_zone: dict[str, list[str]] = {}
    stopped: dict[str, list[str]] = {}
    closed: set[str] = set()
    for source in sources or ("",):
        packet = Packet("input", flow.family, flow.protocol, 0, network(source), network(flow.destination), flow.iif)
        where = place(state, side, packet, interface)
        by_zone.setdefault(where.zone, []).append(source)
        verdict = Verdict(True)
        for port in _points(flow):
            verdict = judge(state, side, replace(packet, port=port), where)
            if not verdict.passes:
                break
        if verdict.passes:
            continue
        closed.add(where.zone)
        stopped.setdefault(verdict.rule, []).append(source)
        if not verdict.curable:
            notes.append(_incurable(verdict.rule))
    for rule, which in stopped.items():
        blocks.append(Block(NAME, "input", rule, flow.label, tuple(which) if flow.sources else ()))
    return [(zone, _rich(flow, source)) for zone in closed for source in by_zone[zone]]


def _incurable(rule: str) -> str:
    return (
        f"This rule of firewalld comes before any opening: {rule}. Only a change of that rule helps: "
        "let it leave out the overlay's peers and bridges, then run this again."
    )


def _networks(state: State, flow: Flow) -> list[str]:
    """The networks behind a bridge. A rich rule cannot name an interface, so they stand in for it."""
    found = [network(address) for address in state.links.get(flow.iif, ()) if flow.iif]
    return sorted(str(one) for one in found if one is not None and one.version == flow.family and not one.is_link_local)


def _points(flow: Flow) -> t.Sequence[int]:
    """The ports to judge; all of a short range, the ends of a long one."""
    if flow.ports is None:
        return (0,)
    first, last = flow.ports
    return range(first, last + 1) if last - first < POINTS else (first, last)


def _rich(flow: Flow, source: str) -> str:
    """The rich rule of an opening, as firewall-cmd prints it."""
    words = [f'rule priority="{PRIORITY}" family="ipv{flow.family}"']
    for name, address in (("source", source), ("destination", flow.destination)):
        if address:
            words.append(f'{name} address="{ipaddress.ip_network(address, strict=False)}"')
    if flow.ports:
        first, last = flow.ports
        words.append(f'port port="{first if first == last else f"{first}-{last}"}" protocol="{flow.protocol}"')
    else:
        words.append(f'protocol value="{flow.protocol}"')
    return " ".join([*words, "accept"])


def _forward(state: State, side: Side, flow: Flow, blocks: list[Block], notes: list[str]) -> list[str]:
    """The bridge to hold in our zone, if any, for one forward flow."""
    bindable = flow.iif == flow.oif and flow.iif in BINDABLE
    if flow.iif not in state.links and not bindable:
        return []  # as above
    packet = Packet(
        "forward", flow.family, flow.protocol, flow.ports[0] if flow.ports else 0, iif=flow.iif, oif=flow.oif
    )
    where = place(state, side, packet, flow.iif)
    verdict = judge(state, side, packet, where)
    if verdict.passes:
        return []
    blocks.append(Block(NAME, "forward", verdict.rule, flow.label, flow.sources))
    if not verdict.curable:
        notes.append(_incurable(verdict.rule))
    elif where.bound:
        notes.append(
            f"Somebody put {flow.iif} into firewalld's zone {where.zone}, which stops {flow.label}; it was left there. Let that zone forward "
            f"between its interfaces ('firewall-cmd --zone={where.zone} --add-forward', and the same with --permanent), or take the "
            f"interface out of it ('firewall-cmd --zone={where.zone} --remove-interface={flow.iif}'), then run this again."
        )
    elif not bindable:
        notes.append(
            f"{flow.iif} is in no zone of firewalld, which stops {flow.label}. Docker puts its bridges into the zone {DOCKER_ZONE}, but "
            "only if it was started after firewalld: 'systemctl restart docker', then run this again."
        )
    elif not any(zone.words("forward") for zone in side.zones.values()):
        notes.append("This firewalld is older than 0.9 and has no forwarding inside a zone; upgrade it.")
    else:
        return [flow.iif]
    return []


def _now(side: Side) -> _Wish:
    rules = [(zone.name, rule) for zone in side.zones.values() for rule in zone.rules if is_ours(rule)]
    return _Wish(tuple(sorted(rules)), side.zones[ZONE].words("interfaces") if ZONE in side.zones else ())


def _now_lines(side: Side) -> list[str]:
    lines = [f"zone {zone}: {rule}" for zone, rule in _now(side).rules]
    if ZONE in side.zones:
        lines.append(_zone_line(side.zones[ZONE].words("interfaces"), side.zones[ZONE].forward))
    return lines


def _wish_lines(wish: _Wish, side: Side, leftover: bool) -> list[str]:
    lines = [f"zone {zone}: {rule}" for zone, rule in wish.rules]
    if wish.bridges:
        lines.append(_zone_line(wish.bridges, True))
    elif leftover:
        lines.append(_zone_line((), side.zones[ZONE].forward))
    return lines


def _zone_line(interfaces: t.Iterable[str], forward: bool) -> str:
    return f"zone {ZONE}: interfaces {' '.join(sorted(interfaces)) or 'none'}, forward {'yes' if forward else 'no'}"


def _lines(live: t.Iterable[str], permanent: t.Iterable[str]) -> tuple[str, ...]:
    """Both sides as one text; a line says so if only one of them has it."""
    live_set, permanent_set = set(live), set(permanent)
    lines = list(live_set & permanent_set)
    lines += [f"{line} (live only)" for line in live_set - permanent_set]
    lines += [f"{line} (permanent only)" for line in permanent_set - live_set]
    return tuple(
        sorted(lines, key=lambda line: [int(word) if word.isdigit() else word for word in re.split(r"(\d+)", line)])
    )


def _rule_steps(state: State, now: t.Sequence[Rule], wanted: t.Sequence[Rule], permanent: bool) -> list[Step]:
    """Add what is missing, then remove what is too much, in few calls."""
    steps: list[Step] = []
    for zone in sorted({zone for zone, rule in (*now, *wanted)}):
        have = {rule for name, rule in now if name == zone}
        want = {rule for name, rule in wanted if name == zone}
        add, remove = sorted(want - have), sorted(have - want)
        if permanent and _written(state, zone, add, remove) > MANY and zone in state.objects:
            gone = have - want
            rules = [rule for rule in state.permanent.zones[zone].rules if rule not in gone] + add
            settings = ("update2", "a{sv}", "1", "rules_str", "as", str(len(rules)), *rules)
            steps.append(
                Step(
                    ("busctl", "--timeout=60", "call", BUS, state.objects[zone], f"{BUS}.config.zone", *settings),
                    timeout=90,
                )
            )
            continue
        where = ("firewall-cmd", *(("--permanent",) if permanent else ()), f"--zone={zone}")
        for option, rules in (("--add-rich-rule", add), ("--remove-rich-rule", remove)):
            for start in range(0, len(rules), BATCH):
                steps.append(
                    Step((*where, *(f"{option}={rule}" for rule in rules[start : start + BATCH])), timeout=180)
                )
    return steps


def _written(state: State, zone: str, add: t.Sequence[str], remove: t.Sequence[str]) -> int:
    return (len(add) + len(remove)) * (len(state.permanent.zones[zone].rules) + len(add))


def _zone_steps(state: State, live: _Wish, permanent: _Wish, reloads: bool) -> list[Step]:
    """Make, fill or remove our zone. Removing comes with the live part first: a zone that is bound cannot be seen to be empty."""
    steps: list[Step] = []
    if ZONE in state.live.zones:
        steps += _interface_steps(state.live.zones[ZONE], live.bridges, ())
    flag = ("--permanent",)
    if permanent.bridges:
        zone = state.permanent.zones.get(ZONE)
        if zone is None:
            steps.append(Step(("firewall-cmd", *flag, f"--new-zone={ZONE}")))
            text = f"{MARK}: containers on these bridges may talk to each other, and not to this host"
            steps.append(Step(("firewall-cmd", *flag, f"--zone={ZONE}", f"--set-description={text}")))
            zone = Section(ZONE)
        steps += _interface_steps(zone, permanent.bridges, flag)
    elif ZONE in state.permanent.zones:
        steps.append(Step(("firewall-cmd", *flag, f"--delete-zone={ZONE}")))
    if reloads:
        steps.append(Step(("firewall-cmd", "--reload"), timeout=120))
    return steps


def _interface_steps(zone: Section, wanted: t.Sequence[str], flag: tuple[str, ...]) -> list[Step]:
    base = ("firewall-cmd", *flag, f"--zone={ZONE}")
    steps = []
    if wanted and not zone.forward:
        steps.append(Step((*base, "--add-forward")))
    for option, names in (
        ("--add-interface", sorted(set(wanted) - set(zone.words("interfaces")))),
        ("--remove-interface", sorted(set(zone.words("interfaces")) - set(wanted))),
    ):
        if names:
            steps.append(Step((*base, *(f"{option}={name}" for name in names))))
    return steps


def _unsaved(state: State) -> list[str]:
    """What a reload would undo or put into force, apart from what is ours and what its owner puts back."""
    found = list(state.unsaved)
    for kind, live, permanent in (
        ("zone", state.live.zones, state.permanent.zones),
        ("policy", state.live.policies, state.permanent.policies),
    ):
        for name in sorted({*live, *permanent} - {ZONE}):
            if name not in live or name not in permanent:
                found.append(f"{kind} {name}: only {'live' if name in live else 'permanent'}")
                continue
            found.extend(f"{kind} {name}: {line}" for line in _differences(live[name], permanent[name], state))
    return found


def _differences(live: Section, permanent: Section, state: State) -> list[str]:
    lines = []
    for key in sorted({*live.fields, *permanent.fields}):
        if key == "interfaces" and (state.network_manager or live.name in MANAGED_ZONES):
            continue
        one, other = ({word for word in section.words(key) if not is_ours(word)} for section in (live, permanent))
        for label, words in (("live", one - other), ("permanent", other - one)):
            if words:
                lines.append(f"{key} {', '.join(sorted(words))} (only {label})")
    return lines


def _refusal(bridges: t.Sequence[str], unsaved: t.Sequence[str]) -> str:
    more = f" and {len(unsaved) - 5} more" if len(unsaved) > 5 else ""
    return (
        f"firewalld stops what crosses the bridge {' '.join(bridges)}. The zone {ZONE} that cures it needs a reload of firewalld, which "
        f"would undo differences between its live and its permanent settings: {'; '.join(unsaved[:5])}{more}. Nothing was changed. "
        "Keep the live ones with 'firewall-cmd --runtime-to-permanent', or drop them with 'firewall-cmd --reload', then run this again."
    )
