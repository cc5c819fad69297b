# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""Compares the clocks of all hosts with each other and says which of them have to be brought right. Pure."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, field

CONTROLLER = "the controller"


@dataclass(frozen=True)
class Host:
    """What timesync returned on one host. Seconds; offset is the host's clock minus the controller's, as it was at first."""

    name: str
    offset: float
    bound: float
    daemon: str = ""
    installed: tuple[str, ...] = ()
    synchronised: bool = False
    reference: str = ""
    error: float | None = None
    sources: tuple[str, ...] = ()
    settable: bool = True
    why_not_settable: str = ""
    configures: bool = False
    pending: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """Seconds."""

    max_skew: float
    fail_skew: float


@dataclass(frozen=True)
class Cure:
    """Why a host is to be brought right, by how many seconds, and whether it needs a daemon first."""

    why: str
    correction: float | None = None
    install: bool = False


@dataclass(frozen=True)
class Report:
    """The judgement."""

    hosts: tuple[Host, ...]
    missing: tuple[str, ...]
    limits: Limits
    skew: float = 0.0
    bound: float = 0.0
    pair: tuple[str, str] = ("", "")
    reference: float = 0.0
    reference_name: str = CONTROLLER
    cures: dict[str, Cure] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        """Beyond max_skew, whatever the error of the measurement."""
        return self.skew - self.bound > self.limits.max_skew

    @property
    def bad(self) -> bool:
        """Beyond fail_skew."""
        return self.skew - self.bound > self.limits.fail_skew

    @property
    def summary(self) -> str:
        """One line."""
        between = f" between={','.join(self.pair)}" if self.pair[0] else ""
        missing = f" not_measured={len(self.missing)}" if self.missing else ""
        verdict = "too far" if self.bad else "apart" if self.over else "ok"
        return (
            f"clock: hosts={len(self.hosts)}{missing} skew={seconds(self.skew)} bound={seconds(self.bound)}{between} "
            f"max_skew={self.limits.max_skew:g} {verdict}"
        )


def seconds(value: float) -> str:
    """Seconds without an exponent, as exact as they can be meant."""
    return f"{value:.6f}" if abs(value) < 10 else f"{value:.3f}"


def hosts_of(results: t.Mapping[str, t.Mapping[str, t.Any]]) -> list[Host]:
    """Make hosts of what timesync returned. A controller whose clock was set between two measurements does not matter."""
    found = []
    epochs = [result["clock"]["epoch"] for result in results.values()]
    for name, result in results.items():
        clock, now = result["clock"], result["time"]
        found.append(
            Host(
                name=name,
                offset=clock["offset"] + (clock["epoch"] - epochs[0]),
                bound=clock["bound"],
                daemon=now["daemon"],
                installed=tuple(item["name"] for item in now["daemons"]),
                synchronised=now["synchronised"],
                reference=now["reference"],
                error=now["error"],
                sources=tuple(now["sources"]),
                settable=now["settable"],
                why_not_settable=now["why_not_settable"],
                configures=result.get("configures", False),
                pending=tuple(result.get("pending", ())),
                problems=tuple(result.get("problems", ())),
            )
        )
    return found


def compare(
    names: t.Sequence[str], hosts: t.Sequence[Host], limits: Limits, source: str = "", final: bool = False
) -> Report:
    """Judge all pairs; final is the look after the cure, which plans no other."""
    missing = tuple(name for name in names if name not in {host.name for host in hosts})
    worst = max(itertools.combinations(hosts, 2), key=lambda pair: abs(pair[0].offset - pair[1].offset), default=None)
    skew = abs(worst[0].offset - worst[1].offset) if worst else 0.0
    bound = worst[0].bound + worst[1].bound if worst else 0.0
    reference, where = right(hosts, source)
    report = Report(
        tuple(hosts),
        missing,
        limits,
        skew,
        bound,
        (worst[0].name, worst[1].name) if worst else ("", ""),
        reference,
        where,
    )
    cures = {} if final else plan(report, source)
    return Report(**{**vars(report), "cures": cures, "notes": tuple(_notes(report, cures, final))})


def right(hosts: t.Sequence[Host], source: str = "") -> tuple[float, str]:
    """The clock to follow, and its name: the source; else those that are synchronised; else the middle one of all."""
    by_name = {host.name: host for host in hosts}
    if source in by_name:
        return by_name[source].offset, source
    good = [(host.offset, host.name) for host in hosts if host.synchronised]
    # One clock that is off does not move the middle one. The controller's decides between two.
    return _middle(good or [(host.offset, host.name) for host in hosts] + [(0.0, CONTROLLER)])


def _middle(clocks: list[tuple[float, str]]) -> tuple[float, str]:
    ranked = sorted(clocks)
    middle = {(len(ranked) - 1) // 2, len(ranked) // 2}
    return min((ranked[at] for at in middle), key=lambda clock: abs(clock[0]))


def plan(report: Report, source: str = "") -> dict[str, Cure]:
    """Hosts to bring right. If each is within half of max_skew of one clock, no two are further apart than max_skew."""
    cures = {}
    for host in report.hosts:
        off = host.offset - report.reference
        far = report.over and abs(off) - host.bound > report.limits.max_skew / 2 and host.name != source
        why = [f"{seconds(off)} s from {report.reference_name}"] if far else []
        why += [f"to do: {'; '.join(host.pending)}"] if host.pending else []
        # Without a daemon there is nothing to plan yet.
        install = not host.installed and host.settable and (far or host.configures)
        why += ["has no time daemon"] if install else []
        if why:
            cures[host.name] = Cure(", ".join(why), -off if far else None, install)
    return cures


def _notes(report: Report, cures: t.Mapping[str, Cure], final: bool) -> list[str]:
    """What else people should know."""
    found = []
    if report.bad or report.over:
        first, second = report.pair
        found.append(
            f"The clocks of {first} and {second} are {seconds(report.skew)} s apart (+/- {seconds(report.bound)}), more than "
            f"max_skew={report.limits.max_skew:g} s."
        )
    elif report.skew + report.bound > report.limits.max_skew:
        found.append(
            f"Whether the clocks are within {report.limits.max_skew:g} s of each other cannot be told: the measurement of "
            f"{' and '.join(report.pair)} is good to {seconds(report.bound)} s only."
        )
    trusted = [host for host in report.hosts if host.synchronised]
    for first_host, second_host in itertools.combinations(trusted, 2):
        if abs(first_host.offset - second_host.offset) > report.limits.max_skew + first_host.bound + second_host.bound:
            found.append(
                f"{first_host.name} (by {first_host.reference}) and {second_host.name} (by {second_host.reference}) are both synchronised "
                "and disagree: one of these servers is wrong, or one of the clocks was set by hand a moment ago."
            )
            break
    for host in report.hosts:
        if not host.daemon and not host.settable:
            continue
        if not host.installed:
            found.append(f"{host.name} has no time daemon; its clock drifts by seconds a month or more.")
        elif not host.daemon:
            found.append(
                f"{host.name} has {' and '.join(host.installed)}, which does not run; its clock drifts by seconds a month or more."
            )
        elif not host.synchronised and (final or host.name not in cures) and host.sources:
            found.append(f"{host.name}: {host.daemon} is not synchronised to {', '.join(host.sources)}.")
    return found


def problems(report: Report) -> list[str]:
    """What stops the run: problems of hosts, and a skew that nothing is going to cure."""
    found = [f"{host.name}: {problem}." for host in report.hosts for problem in host.problems]
    if report.bad and not report.cures:
        first, second = (host for host in report.hosts if host.name in report.pair)
        words = (
            f"The clocks of {first.name} and {second.name} are {seconds(report.skew)} s apart (+/- {seconds(report.bound)}), more than "
            f"fail_skew={report.limits.fail_skew:g} s. Weave Net's routers refuse each other at 900 s; TLS, leases and logs suffer before."
        )
        stuck = [
            host
            for host in (first, second)
            if not host.settable and abs(host.offset - report.reference) > report.limits.max_skew / 2
        ]
        for host in stuck:
            words += f" The clock of {host.name} is not settable from here ({host.why_not_settable}): bring it right on the machine that owns it."
        if not stuck:
            words += (
                " Give them servers (clock_servers), have one of them give its time to the others (clock_source), or set the clock once "
                "(clock_step)."
            )
        found.append(words)
    return found


def table(report: Report) -> str:
    """All hosts, for people."""
    rows = [("host", "offset [s]", "+/-", "time daemon", "settable")]
    for host in report.hosts:
        state = host.daemon or ("not running: " + ", ".join(host.installed) if host.installed else "none")
        if host.daemon:
            within = f" within {seconds(host.error)} s" if host.error is not None and host.synchronised else ""
            state += f", synchronised to {host.reference}{within}" if host.synchronised else ", not synchronised"
        rows.append((host.name, f"{host.offset:+.6f}", f"{host.bound:.6f}", state, "yes" if host.settable else "no"))
    rows += [(name, "not measured", "", "", "") for name in report.missing]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]
    return "\n".join([*lines, *(f"{name}: {cure.why}" for name, cure in report.cures.items())])
