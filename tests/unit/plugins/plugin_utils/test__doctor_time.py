# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on clocks."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_time
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    Change,
    Fault,
    Near,
    both,
    check_complete,
    check_first,
    check_quiet,
    fires,
    found,
    near,
)


def clock(offset: float) -> Change:
    """A clock that is ahead."""
    return lambda arguments: arguments["clocks"]["h2"]["clock"].update(offset=offset)


def timed(**values: t.Any) -> Change:
    """What h2 says of its time daemon."""
    return lambda arguments: arguments["clocks"]["h2"]["time"].update(values)


FIRES: list[Fault] = [
    ("clock-skew", "gre", clock(1200.0), "h2"),
    (
        "time-daemons-two",
        "gre",
        timed(daemons=[{"name": "chrony", "active": True}, {"name": "ntpsec", "active": True}]),
        "h2",
    ),
    ("ntp-silent", "gre", timed(synchronised=False, silent=["192.0.2.123"]), "h2"),
    ("clock-unsynchronised", "gre", timed(synchronised=False), "h2"),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


NEAR: list[Near] = [
    ("one of several servers is silent", "gre", timed(sources=["a", "b"], silent=["a"])),
    ("a clock that belongs to another machine", "gre", timed(synchronised=False, settable=False, daemon="")),
]


@near(NEAR)
def test_no_false_alarm(kind: str, change: Change) -> None:
    check_quiet(kind, change)


def test_a_clock_is_set_by_the_daemon_that_is_there() -> None:
    commands = [
        found("gre", both(clock(1200.0), timed(daemon=daemon)))[0].commands[2:]
        for daemon in ("chrony", "systemd-timesyncd", "")
    ]

    assert commands == [("h2$ chronyc makestep",), ("h2$ systemctl restart systemd-timesyncd",), ()]


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_time, FIRES)
