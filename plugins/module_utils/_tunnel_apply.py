# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Carry a tunnel plan out, look whether the tunnels live, and put things back when they do not."""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils._ovs import RC_ALARM, Ovs, OvsError, Port, Switch
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnel_plan import Plan, make_undo
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnel_wish import Wish

SETTLE = 5.0  # seconds; ovs-vsctl returns when ovs-vswitchd has acted, so this is for a switch that is just starting
POLL = 0.2
RC_NOT_CONFIGURED = 65  # since Open vSwitch 3.6: committed, but a new port did not come up; 0 before
ARG_RESERVE = 65536  # bytes of ARG_MAX left to what the kernel adds
CAUSES = (
    (
        "Address family not supported",
        "the kernel has no support for this tunnel type: load openvswitch and ip_gre, or use a bridge with datapath_type=netdev",
    ),
    (
        "File exists",
        "a tunnel with the same type, addresses and key exists already, or appeared at this moment: see 'ovs-appctl ofproto/list-tunnels'",
    ),
    ("Operation not supported", "the kernel's tunnel driver does not take these options"),
)
START = "start it (systemctl restart openvswitch-switch, or openvswitch)"


class ApplyError(Exception):
    """The change failed; args[0] is the sentence, facts go to fail_json()."""

    def __init__(self, message: str, **facts: t.Any) -> None:
        super().__init__(message)
        self.facts = facts


def require_running(switch: Switch, wish: Wish) -> None:
    """Refuse to write what nobody would carry out: the row would wait in the database and strike later."""
    if switch.live_error:
        result = switch.live_error
        raise ApplyError(
            f"ovs-vswitchd does not answer, so nothing was changed: {result.message}; {START}.", **result.failure()
        )
    local = switch.ports.get(wish.bridge)
    if local and switch.health(local) == "pending":
        kind = switch.bridges[wish.bridge]
        remedy = (
            "load the kernel module openvswitch, or make the bridge with datapath_type=netdev"
            if kind == "system"
            else "see the log of ovs-vswitchd"
        )
        raise ApplyError(
            f"Bridge {wish.bridge} is in the database, but ovs-vswitchd could not set it up with datapath type '{kind}', so nothing was changed; {remedy}."
        )


def settle(ovs: Ovs, names: t.Collection[str], states: t.Container[str], switch: Switch | None = None) -> Switch:
    """Observe until none of the ports is in one of the states, for a bounded time."""
    end = time.monotonic() + min(SETTLE, ovs.timeout)
    switch = switch or ovs.observe()
    while time.monotonic() < end and any(
        switch.health(switch.ports[name]) in states for name in names if name in switch.ports
    ):
        if any(switch.ports[name].interface.ofport == -1 for name in names if name in switch.ports):
            break  # ovs-vswitchd has tried and given up
        time.sleep(POLL)
        switch = ovs.observe()
    return switch


def apply(ovs: Ovs, before: Switch, plan: Plan, wish: Wish) -> Switch:
    """Run the transactions and return the switch with all wanted tunnels up; raise ApplyError after putting things back."""
    for words in plan.transactions:
        _require_room(words)
    for number, words in enumerate(plan.transactions):
        ovs.vsctl.record(*words)
        result = ovs.vsctl.run_raw(*words)
        if result.timed_out or result.rc in RC_ALARM:
            written = bool(number) or _written(ovs, before, plan)
            state = (
                "The change is in the database and takes effect when ovs-vswitchd works"
                if written
                else "Nothing was changed"
            )
            raise ApplyError(
                f"The change did not take effect within {ovs.timeout} seconds. {state}. See that ovs-vswitchd works, then run "
                "this task again; raise the option timeout if the host is only slow.",
                changed=written,
                **result.failure(),
            )
        if result.rc not in (0, RC_NOT_CONFIGURED):
            note = _put_back(ovs, before, plan) if number else "nothing was changed"
            raise ApplyError(f"{result.message}; {note}.", **result.failure())
    names = [want.name for want in wish.tunnels]
    after = settle(ovs, names, ("pending", "dead"))
    dead = {
        name: _reason(after, name)
        for name in names
        if name not in after.ports or after.health(after.ports[name]) != "up"
    }
    if dead:
        note = _put_back(ovs, before, plan)
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(dead.items()))
        raise ApplyError(
            f"{len(dead)} of {len(names)} tunnels on bridge {wish.bridge} did not come up ({reasons}); {note}.",
            dead=dead,
        )
    return after


def _written(ovs: Ovs, before: Switch, plan: Plan) -> bool:
    """Whether the rows have changed, although ovs-vsctl gave up; it commits first and waits then."""
    try:
        ports = ovs.read_rows()[1]
    except OvsError:
        return False
    return any(_row(ports, name) != _row(before.ports, name) for name in (*plan.created, *plan.changed, *plan.removed))


def _row(ports: t.Mapping[str, Port], name: str) -> tuple[t.Any, ...] | None:
    port = ports.get(name)
    if port is None:
        return None
    return (port.protected, port.external_ids, port.interface.type, port.interface.options)


def _put_back(ovs: Ovs, before: Switch, plan: Plan) -> str:
    """Undo the plan; returns how that went, as a part of a sentence."""
    for words in make_undo(before, plan):
        ovs.vsctl.record(*words)
        result = ovs.vsctl.run_raw(*words)
        if result.rc not in (0, RC_NOT_CONFIGURED):
            return f"putting back what was there before failed too: {result.message}"
    # All ports are looked at, since a new tunnel can bring down one of somebody else, on another bridge too.
    worked = [name for name, port in before.ports.items() if before.health(port) == "up"]
    try:
        after = settle(ovs, worked, ("pending", "dead"))
    except OvsError as exc:
        return f"what was there before was written back, but cannot be checked: {exc}"
    lost = [name for name in worked if name not in after.ports or after.health(after.ports[name]) != "up"]
    note = "what was there before is restored"
    return f"{note}, but these ports, which worked, do not come up: {', '.join(lost)}" if lost else note


def _reason(switch: Switch, name: str) -> str:
    port = switch.ports.get(name)
    if port is None:
        return "the port has vanished again; something else removes it"
    if switch.health(port) == "pending":
        return "ovs-vswitchd has not dealt with it"
    error = port.interface.error
    if not error and port.interface.ofport == -1:
        error = "ovs-vswitchd gave it no port number and no error; its log says why"
    if not error:
        error = "ovs-appctl ofproto/list-tunnels does not have it: another tunnel has the same type, addresses and key"
    return "; ".join([error, *(cause for text, cause in CAUSES if text in error)])


def _require_room(words: t.Sequence[str]) -> None:
    """One transaction is one command line, which the kernel limits; splitting it would give up that all happens or nothing."""
    used = sum(len(word.encode()) + 9 for word in words)  # the closing zero and a pointer
    used += sum(len(key) + len(value) + 10 for key, value in os.environ.items())
    room = os.sysconf("SC_ARG_MAX") - ARG_RESERVE
    if used > room:
        raise ApplyError(
            f"The change needs a command line of {used} bytes, and this host allows {room}, so nothing was changed; "
            "give the tunnels in several calls, without purge."
        )
