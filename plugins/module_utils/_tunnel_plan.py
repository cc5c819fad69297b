# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""From the switch as it is and the tunnels as they should be to the arguments of ovs-vsctl. Pure."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils._ovs import MARK, Port, Switch
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnel_wish import Refused, Wish
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnels import TYPES, Tunnel, identity, option_changes

Step = t.List[str]
PLAIN = re.compile(r"[A-Za-z0-9_.:/-]+")


@dataclass(frozen=True)
class Plan:
    """The transactions, in order, and the names of the ports they touch."""

    transactions: tuple[tuple[str, ...], ...] = ()
    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def make_plan(switch: Switch, wish: Wish) -> Plan:
    """Compare the two; raise Refused when a port is not ours to touch or a tunnel would be a duplicate."""
    reasons: list[str] = []
    removed = _removals(switch, wish, reasons)
    reasons += [
        reason for want in wish.tunnels for reason in [_objection(switch.ports.get(want.name), want, wish)] if reason
    ]
    reasons += _members_of_bonds(switch, wish)
    reasons += _duplicates(switch, wish, set(removed))
    if reasons:
        raise Refused(reasons)

    created = [want for want in wish.tunnels if want.name not in switch.ports]
    changes: dict[str, tuple[Tunnel, Port]] = {}
    revived = set()
    for want in wish.tunnels:
        port = switch.ports.get(want.name)
        if port is None:
            continue
        if _change(port, want, wish):
            changes[want.name] = (want, port)
        elif switch.health(port) != "up" and switch.live_error is None:
            changes[want.name] = (want, port)
            revived.add(want.name)
    incoming = _incoming(switch.bridges.get(wish.bridge, "system"), created, changes)
    parked = revived | {
        name for name, (dummy, port) in changes.items() if incoming.get(_held(switch, port), name) != name
    }
    first = [["--if-exists", "del-port", wish.bridge, name] for name in removed]
    park = [_parking(name) for name in changes if name in parked]
    rest = [step for want, port in changes.values() for step in _change(port, want, wish, want.name in parked)]
    rest += [step for want in created for step in _creation(want, wish)]
    two = bool(park) or any(_held(switch, switch.ports[name]) in incoming for name in removed)
    transactions = [first + park, rest] if two else [first + rest]
    return Plan(
        tuple(_join(steps) for steps in transactions if steps),
        tuple(want.name for want in created),
        tuple(changes),
        tuple(removed),
    )


def make_undo(before: Switch, plan: Plan) -> tuple[tuple[str, ...], ...]:
    """The transactions that bring back type, options, protection and marks of what the plan touched."""
    first = [["--if-exists", "del-port", name] for name in plan.created]
    if plan.removed:  # they come back as new ports, so what they had must be free: see _incoming()
        first += [_parking(name) for name in plan.changed]
    rest: list[Step] = []
    for name in plan.removed:
        port = before.ports[name]
        rest.append(["--may-exist", "add-port", port.bridge, name])
        rest += _as_before(port)
    for name in plan.changed:
        rest += _as_before(before.ports[name])
    transactions = [first, rest] if plan.removed else [first + rest]
    return tuple(_join(steps) for steps in transactions if steps)


def is_tunnel(port: Port) -> bool:
    """True for a port with one interface that carries its name and is of a type this collection makes."""
    return len(port.interfaces) == 1 and port.interface.name == port.name and port.interface.type in TYPES


def _removals(switch: Switch, wish: Wish, reasons: list[str]) -> list[str]:
    listed = {want.name for want in wish.tunnels}
    removed = []
    for port in switch.ports.values():
        if port.bridge != wish.bridge or port.name in listed:
            continue
        ours = port.owner == wish.owner
        if port.name in wish.absent:
            if not is_tunnel(port):
                reasons.append(f"{port.name}: the port is {_kind(port)}, not a tunnel, so it is not removed")
            elif not ours and not wish.adopt:
                reasons.append(
                    f"{port.name}: {_not_ours(port, wish)}, so it is not removed; set adopt to true if it may be"
                )
            else:
                removed.append(port.name)
        elif wish.purge and ours and is_tunnel(port):
            removed.append(port.name)
    return removed


def _objection(port: Port | None, want: Tunnel, wish: Wish) -> str | None:
    """Why the port of that name cannot be made into the wanted tunnel; None if it can."""
    if port is None:
        return None
    if port.bridge != wish.bridge:
        return f"{port.name}: a port of that name is on bridge {port.bridge}; remove it there first (ovs-vsctl del-port {port.bridge} {port.name})"
    if not is_tunnel(port):
        return f"{port.name}: a port of that name exists and is {_kind(port)}, not a tunnel; choose another name"
    if port.owner != wish.owner and not wish.adopt:
        return f"{port.name}: {_not_ours(port, wish)}; set adopt to true to take it over, or choose another name"
    return None


def _kind(port: Port) -> str:
    if len(port.interfaces) > 1:
        return "a bond of " + ", ".join(interface.name for interface in port.interfaces)
    return f"of type '{port.interface.type or 'system'}'"


def _not_ours(port: Port, wish: Wish) -> str:
    if port.owner is None:
        return f"the {port.interface.type} port does not carry the mark external_ids:{MARK}={wish.owner}, so something else made it"
    return f"the port belongs to the owner '{port.owner}', not to '{wish.owner}'"


def _members_of_bonds(switch: Switch, wish: Wish) -> list[str]:
    homes = {
        interface.name: port
        for port in switch.ports.values()
        for interface in port.interfaces
        if interface.name != port.name
    }
    hits = [(want.name, homes[want.name]) for want in wish.tunnels if want.name in homes]
    return [
        f"{name}: an interface of that name is a member of port {port.name} on bridge {port.bridge}; choose another name"
        for name, port in hits
    ]


def _duplicates(switch: Switch, wish: Wish, removed: set[str]) -> list[str]:
    """Two tunnels with one identity: Open vSwitch takes both, the later one is dead."""
    datapath = switch.bridges.get(wish.bridge, "system")
    listed = {want.name for want in wish.tunnels}
    holders: dict[tuple[t.Any, ...], str] = {}
    for port in switch.ports.values():
        if port.name not in listed and port.name not in removed:
            for interface in port.interfaces:
                if interface.type in TYPES:
                    held = identity(interface.type, interface.options, switch.bridges.get(port.bridge, "system"))
                    holders[held] = f"port {port.name} on bridge {port.bridge}"
    reasons = []
    for want in wish.tunnels:
        key = identity(want.type, want.options, datapath)
        if key in holders:
            reasons.append(
                f"{want.name}: {holders[key]} already is the {want.type} tunnel from {key[3] or 'any address'} to {key[4]} with incoming key {key[5]}, "
                "and Open vSwitch would leave the second one dead; use another key or remove one of the two"
            )
        holders.setdefault(key, f"the listed tunnel {want.name}")
    return reasons


def _held(switch: Switch, port: Port) -> tuple[t.Any, ...]:
    return identity(port.interface.type, port.interface.options, switch.bridges.get(port.bridge, "system"))


def _incoming(
    datapath: str, created: t.Sequence[Tunnel], changes: t.Mapping[str, tuple[Tunnel, Port]]
) -> dict[tuple[t.Any, ...], str]:
    """The identities that ports take which ovs-vswitchd adds: new ones, and ones with another type.

    It adds ports before it is done with the ones that go or change, so within one transaction such a port finds
    its identity still held ("File exists") and stays dead. The holder has to give it up in a transaction before.
    Ports that only get other options may exchange identities freely.
    """
    added = [*created, *(want for want, port in changes.values() if want.type != port.interface.type)]
    return {identity(want.type, want.options, datapath): want.name for want in added}


def _parking(name: str) -> Step:
    """Without a remote address a tunnel is no more, but its row and all we do not manage stay."""
    return ["remove", "Interface", name, "options", "remote_ip"]


def _creation(want: Tunnel, wish: Wish) -> list[Step]:
    # protected goes into the same transaction: a full mesh without it is a loop from the first packet on.
    port = [
        "add-port",
        wish.bridge,
        want.name,
        f"protected={_bool(wish.protected)}",
        f"external_ids:{MARK}={wish.owner}",
    ]
    return [port, ["set", "Interface", want.name, f"type={want.type}", *_pairs(want.options)]]


def _change(port: Port, want: Tunnel, wish: Wish, parked: bool = False) -> list[Step]:
    """What turns the port into the wanted tunnel, and nothing else; a type may change in place."""
    to_set, to_remove = option_changes(want, port.interface.options)
    if parked:
        to_set = {"remote_ip": want.options["remote_ip"], **to_set}
    interface = ([f"type={want.type}"] if port.interface.type != want.type else []) + _pairs(to_set)
    row = [f"protected={_bool(wish.protected)}"] if port.protected != wish.protected else []
    row += [f"external_ids:{MARK}={wish.owner}"] if port.owner != wish.owner else []
    steps = []
    if row:
        steps.append(["set", "Port", want.name, *row])
    if interface:
        steps.append(["set", "Interface", want.name, *interface])
    if to_remove:
        steps.append(["remove", "Interface", want.name, "options", *to_remove])
    return steps


def _as_before(port: Port) -> list[Step]:
    return [
        ["clear", "Interface", port.name, "options"],
        ["set", "Interface", port.name, f"type={port.interface.type}", *_pairs(port.interface.options)],
        ["clear", "Port", port.name, "external_ids"],
        ["set", "Port", port.name, f"protected={_bool(port.protected)}", *_pairs(port.external_ids, "external_ids")],
    ]


def _pairs(values: t.Mapping[str, str], column: str = "options") -> list[str]:
    return [f"{column}:{_word(key)}={_word(value)}" for key, value in values.items()]


def _word(text: str) -> str:
    """ovs-vsctl reads bare words and JSON strings."""
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _join(steps: t.Iterable[Step]) -> tuple[str, ...]:
    """The steps as the arguments of one ovs-vsctl call, which is one transaction."""
    words: list[str] = []
    for step in steps:
        words += ["--", *step]
    return tuple(words)
