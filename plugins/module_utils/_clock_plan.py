# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""From a clock as it is and what is asked for to the steps in between. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace

from ansible_collections.crosshost.overlay.plugins.module_utils._clock_model import (
    CHRONY,
    HEADER,
    KINDS,
    LEDGER,
    NTPSEC,
    REMOVE,
    TIMESYNCD,
    WRITE,
    Daemon,
    Ledger,
    Plan,
    State,
    Step,
    Tracking,
    Wish,
)

MINIMUM_OF_NTPSEC = 4  # sources that Debian's ntp.conf asks for before it sets the clock


def input_problems(wish: Wish) -> list[str]:
    """What cannot be right whatever the host is like."""
    found = [
        f"'{name}' is neither a host name nor an address"
        for name in (*wish.servers, *wish.pools)
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\.?", name) and not is_address(name)
    ]
    found += [f"serve has '{peer}', which is not an address" for peer in wish.serve if not is_address(peer)]
    if not 1 <= wish.stratum <= 15:
        found.append(f"stratum is {wish.stratum}, and NTP has 1 to 15")
    if wish.announced and wish.package not in {kind.package for kind in KINDS}:
        known = ", ".join(kind.package for kind in KINDS)
        found.append(f"package is '{wish.package}', and has to be one of a time daemon: {known}")
    return found


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def conflict(state: State) -> str:
    """Two daemons that work against each other, and the remedy; empty if there is nothing to say."""
    names = [item.kind for item in state.active]
    if len(names) < 2:
        return ""
    stop = " ".join(kind.unit for kind in names[1:])
    return (
        f"{' and '.join(kind.name for kind in names)} run at the same time and pull the clock in different directions. Keep one of them; "
        f"for {names[0].name}: systemctl disable --now {stop}"
    )


def make(state: State, wish: Wish, zone_known: bool = True) -> Plan:
    """What to do, or why not. Synchronising is no part of it: that depends on what the daemon says then."""
    if wish.announced:
        return _announce(state, wish)
    ours = {path: state.files.get(path) for kind in KINDS for path in (kind.sources, kind.settings) if path}
    if wish.absent:
        return _plan(state, wish, ours, dict.fromkeys(ours), None, [], [])
    problems, notes = [], []
    both = conflict(state)
    if both:
        problems.append(both)
    idle = [item.kind for item in state.daemons if item.enabled and not item.active and item.condition and state.active]
    if idle and not both:
        unit = " ".join(kind.unit for kind in idle)
        notes.append(
            f"{' and '.join(kind.name for kind in idle)} is enabled beside {state.active[0].kind.name} and may start at the next "
            f"boot: systemctl disable {unit}"
        )
    if wish.zone and not zone_known:
        problems.append(
            f"This host does not know the time zone '{wish.zone}'; 'timedatectl list-timezones' shows those it knows"
        )
    daemon = chosen(state, wish)
    want = dict.fromkeys(ours)
    if wish.configures and not both:
        reason = _cannot(state, wish, daemon)
        if daemon is not None and not daemon.active and not state.settable:
            notes.append(f"The clock is not settable: {state.why_not_settable}. No time daemon is set up")
            daemon, want = None, ours
        elif reason:
            problems.append(reason)
        elif daemon is not None:
            want.update(_files(daemon, wish))
    if problems:
        return Plan(problems=tuple(problems), notes=tuple(notes), after=ours, zone=state.zone, ledger=state.ledger)
    return _plan(state, wish, ours, want, daemon if wish.configures else None, problems, notes)


def _announce(state: State, wish: Wish) -> Plan:
    """Remember a package that is about to be installed; one that is here already came from somebody else, or is remembered."""
    here = any(item.kind.package == wish.package for item in state.daemons)
    ledger = state.ledger if here else replace(state.ledger, package=wish.package)
    steps = () if ledger == state.ledger else (_record(ledger),)
    return Plan(steps, after=dict(state.files), zone=state.zone, ledger=ledger)


def chosen(state: State, wish: Wish) -> Daemon | None:
    """The daemon to work with; one that is still to be installed counts when it was announced."""
    by_package = [kind for kind in KINDS if wish.package and kind.package == wish.package]
    return state.daemon or (Daemon(by_package[0], False, False) if by_package else None)


def _cannot(state: State, wish: Wish, daemon: Daemon | None) -> str:
    """Why this daemon cannot be told what is asked; empty if it can."""
    if daemon is None:
        if not state.settable:
            return ""
        return "There is no time daemon to give servers to. Install chrony (package 'chrony'), and run again"
    kind = daemon.kind
    if not kind.sources:
        return (
            f"{kind.name} is not configured by this collection. Write the servers into its own file, and give none here, or replace it "
            "by chrony, systemd-timesyncd or ntpsec"
        )
    if wish.serve and kind != CHRONY:
        return (
            f"This host is to give its time to the others, which takes chrony, and it has {kind.name}. Choose another host as the source, or "
            f"replace it: apt-get install chrony, which removes {kind.package}"
        )
    text = state.files.get(kind.main)
    lines = {" ".join(line.split()) for line in (text or "").splitlines()}
    missing = [line for line in kind.reads if line not in lines] if text is not None else []
    if missing:
        return f"{kind.main} does not read the folders for additions. Add to it: {'; '.join(missing)}"
    return ""


def _files(daemon: Daemon, wish: Wish) -> dict[str, str | None]:
    """The files of ours for this daemon."""
    kind, servers, pools = daemon.kind, wish.servers, wish.pools
    lines = [f"server {name} iburst" for name in servers] + [f"pool {name} iburst" for name in pools]
    if kind == TIMESYNCD:
        return {kind.sources: f"{HEADER}[Time]\nNTP={' '.join((*servers, *pools))}\n"}
    if kind == NTPSEC and not pools and len(servers) < MINIMUM_OF_NTPSEC:
        lines.append(
            "tos minclock 1 minsane 1"
        )  # a later line wins; with Debian's minimum it would never set the clock
    answer: dict[str, str | None] = {kind.sources: HEADER + "".join(f"{line}\n" for line in lines) if lines else None}
    if kind == CHRONY:
        # The list of who may ask is all there is to it: chronyd opens its port when there is somebody to serve.
        serve = [f"local stratum {wish.stratum}", *(f"allow {peer}" for peer in sorted(set(wish.serve)))]
        answer[kind.settings] = HEADER + "".join(f"{line}\n" for line in serve) if wish.serve else None
    return answer


def _plan(
    state: State,
    wish: Wish,
    ours: dict[str, str | None],
    want: dict[str, str | None],
    daemon: Daemon | None,
    problems: list[str],
    notes: list[str],
) -> Plan:
    """The steps: the ledger first, then the zone, files, daemons, and what is left to remember."""
    changed = [path for path in ours if ours[path] != want[path]]
    touched = {
        item.kind.unit: item for item in state.daemons if {item.kind.sources, item.kind.settings} & set(changed) - {""}
    }
    ledger, final, steps, zone = state.ledger, state.ledger, [], state.zone
    if not wish.absent and wish.zone and wish.zone != state.zone:
        zone = wish.zone
        ledger = final = replace(ledger, zone=ledger.zone or state.zone, zone_set=wish.zone)
        steps.append(Step(("timedatectl", "set-timezone", wish.zone)))
    elif wish.absent and ledger.zone_set:
        final = replace(final, zone="", zone_set="")
        if state.zone == ledger.zone_set and ledger.zone:
            zone = ledger.zone
            steps.append(Step(("timedatectl", "set-timezone", ledger.zone)))
        elif state.zone != ledger.zone_set:
            notes.append(f"The time zone is {state.zone} now, which somebody else has set; it stays")
    for path in changed:
        text = want[path]
        steps.append(Step((REMOVE, path)) if text is None else Step((WRITE, path), text))
    started = [daemon] if daemon is not None and not daemon.active else []
    again, kept = _again(state, wish, want, changed)
    if touched:
        ledger = replace(
            ledger, pending={**kept, **{unit: item.invocation for unit, item in touched.items() if item.active}}
        )
    steps += again
    for item in started:
        by_us = () if item.enabled or item.kind.package == ledger.package else (item.kind.unit,)
        ledger = replace(ledger, enabled=tuple(dict.fromkeys((*ledger.enabled, *by_us))))
        final = replace(final, enabled=ledger.enabled)
        steps.append(Step(("systemctl", "enable", "--now", item.kind.unit)))
    if wish.absent:
        names = {item.kind.unit for item in state.daemons}
        steps += [Step(("systemctl", "disable", "--now", unit)) for unit in ledger.enabled if unit in names]
        package = final.package if any(item.kind.package == final.package for item in state.daemons) else ""
        final = replace(final, enabled=(), package=package)
    final = replace(final, pending={})
    first = [] if ledger == state.ledger or not steps else [_record(ledger)]
    last = [] if final == (ledger if first else state.ledger) else [_record(final)]
    return Plan((*first, *steps, *last), tuple(problems), tuple(notes), want, zone, final)


def _record(ledger: Ledger) -> Step:
    text = ledger.dump()
    return Step((WRITE, LEDGER), text) if text else Step((REMOVE, LEDGER))


def _again(
    state: State, wish: Wish, want: dict[str, str | None], changed: list[str]
) -> tuple[list[Step], dict[str, str]]:
    """Commands that make running daemons read what is, or will be, in their files; and what was pending before."""
    steps: list[Step] = []
    kept: dict[str, str] = {}
    for item in state.active:
        kind = item.kind
        # Written by a run that was cut short, and not started since: systemd numbers every start.
        pending = state.ledger.pending.get(kind.unit) == item.invocation != ""
        if pending:
            kept[kind.unit] = item.invocation
        read_at_start = kind.settings in changed or (kind.sources in changed and kind != CHRONY)
        if read_at_start or pending or _unread(state, wish, item, want, changed):
            steps.append(Step(("systemctl", "restart", kind.unit)))
        elif kind.sources in changed:
            steps.append(Step(("chronyc", "reload", "sources")))
    return steps, kept


def _unread(state: State, wish: Wish, daemon: Daemon, want: dict[str, str | None], changed: list[str]) -> bool:
    """Whether the daemon runs without what its files have said all along. chronyd reloads only files that changed."""
    now = state.tracking
    if daemon.kind == CHRONY:
        refuses = bool(want[CHRONY.settings]) and any(not state.permitted.get(peer, True) for peer in wish.serve)
        return refuses or (bool(want[CHRONY.sources]) and CHRONY.sources not in changed and _not_loaded(now, wish))
    if daemon.kind == TIMESYNCD and want[TIMESYNCD.sources] and now:
        return not {*wish.servers, *wish.pools} <= set(now.sources)
    return False


def _not_loaded(now: Tracking | None, wish: Wish) -> bool:
    """Whether chronyd lacks a server. A name it could not look up is not in its list, so names prove nothing then."""
    if now is None:
        return False
    names = [name for name in (*wish.servers, *wish.pools) if is_address(name) or not now.unresolved]
    return not set(names) <= set(now.sources)
