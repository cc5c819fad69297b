# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on clocks. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _clock_compare
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import Facts, dig, texts
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, rule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import listed, on, quoted, site


def _time(case: Case, host: str) -> Facts:
    """What the host says of its clock: measured, else read."""
    return dig(case.clocks, host, "time") or case.part(host, "time")


def compared(case: Case) -> _clock_compare.Report | None:
    """Compare the clocks that were measured; None for fewer than two."""
    usable = {
        host: result
        for host, result in case.clocks.items()
        if host in case.hosts
        and isinstance(dig(result, "clock", "offset"), (int, float))
        and isinstance(dig(result, "time"), t.Mapping)
    }
    if len(usable) < 2:
        return None
    filled = {
        host: {**result, "clock": {"bound": 0.0, "epoch": 0.0, **result["clock"]}, "time": {**BLANK, **result["time"]}}
        for host, result in usable.items()
    }
    limits = _clock_compare.Limits(case.limits.max_skew, case.limits.fail_skew)
    return _clock_compare.compare(list(usable), _clock_compare.hosts_of(filled), limits)


BLANK: Facts = {
    "daemon": "",
    "daemons": [],
    "synchronised": False,
    "reference": "",
    "error": None,
    "sources": [],
    "settable": True,
    "why_not_settable": "",
}


@rule("clock-skew")
def clock_skew(case: Case) -> t.Iterator[Finding]:
    """Clocks too far apart."""
    report = compared(case)
    if report is None or not report.over:
        return
    off = {host.name: host.offset - report.reference for host in report.hosts}
    worst = sorted((name for name in report.pair if name), key=lambda name: -abs(off[name]))
    wrong = [name for name in report.cures if abs(off[name]) > case.limits.max_skew / 2] or worst[:1]
    wrong.sort(key=lambda name: -abs(off[name]))
    yield Finding(
        "clock-skew",
        "error" if report.bad else "warning",
        tuple(wrong),
        f"the clock of {listed([f'{name} ({off[name]:+.1f} s)' for name in wrong])} is off",
        tuple(
            f"{host.name}: {host.offset:+.6f} s against the controller, +/- {host.bound:.6f} s" for host in report.hosts
        ),
        f"{' and '.join(report.pair)} are {report.skew:.1f} s apart. Weave Net's routers refuse each other at 900 s; TLS, leases and logs suffer before.",
        "Bring the clocks together. A clock that is set at once jumps for all programs of its host.",
        (site("clock"), *(line for name in wrong[:1] for line in on(name, "timedatectl", *_steps(case, name)))),
        rank=24,
    )


def _steps(case: Case, host: str) -> list[str]:
    """How its time daemon sets the clock at once; none for a host without one."""
    daemon = str(_time(case, host).get("daemon") or "")
    return [] if not daemon else ["chronyc makestep"] if daemon == "chrony" else [f"systemctl restart {daemon}"]


@rule("time-daemons-two")
def daemons_two(case: Case) -> t.Iterator[Finding]:
    """Two programs that pull at one clock."""
    for host in case.hosts:
        daemons = [item for item in dig(_time(case, host), "daemons") or [] if isinstance(item, t.Mapping)]
        active = [str(item.get("name")) for item in daemons if item.get("active")]
        if len(active) < 2:
            continue
        yield Finding(
            "time-daemons-two",
            "warning",
            (host,),
            f"{listed(active)} both run on {host}",
            quoted(host, [f"{name}: active (running)" for name in active]),
            "Each of them corrects what the other has just corrected, so the clock jumps.",
            f"Keep one, and disable {listed(active[1:])}.",
            on(host, *(f"systemctl disable --now {name}" for name in active[1:])),
            rank=41,
        )


@rule("ntp-silent", unless=["time-daemons-two"])
def ntp_silent(case: Case) -> t.Iterator[Finding]:
    """A time daemon that nobody answers."""
    for host in case.hosts:
        facts = _time(case, host)
        silent, sources = texts(facts, "silent"), texts(facts, "sources")
        if not facts.get("daemon") or not silent or facts.get("synchronised") or set(sources) - set(silent):
            continue
        yield Finding(
            "ntp-silent",
            "warning",
            (host,),
            f"no time server answers {host}: {listed(silent)}",
            quoted(host, [f"{facts.get('daemon')}: no answer from {name}" for name in silent]),
            "UDP port 123 is filtered on the way, the name of the server does not resolve, or the server is gone. The clock drifts.",
            "Name servers that answer, or have one host give its time to the others.",
            (site("clock", clock_source=host), *on(host, "chronyc sources -v || timedatectl timesync-status")),
            rank=42,
        )


@rule("clock-unsynchronised", unless=["ntp-silent", "time-daemons-two", "clock-skew"])
def unsynchronised(case: Case) -> t.Iterator[Finding]:
    """A daemon that has sources and does not follow them."""
    for host in case.hosts:
        facts = _time(case, host)
        if not facts.get("daemon") or facts.get("synchronised") is not False or facts.get("settable") is False:
            continue
        if not facts.get("sources"):
            continue
        yield Finding(
            "clock-unsynchronised",
            "note",
            (host,),
            f"{facts.get('daemon')} on {host} is not synchronised",
            quoted(host, [f"{facts.get('daemon')}: sources {listed(texts(facts, 'sources'))}, not synchronised"]),
            "It was started a moment ago, or its sources disagree; until then the clock runs by itself.",
            "Look again in a few minutes.",
            on(host, "timedatectl", "chronyc tracking || timedatectl timesync-status"),
            rank=60,
        )
