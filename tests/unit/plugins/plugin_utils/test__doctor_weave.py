# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on Weave Net's router itself: whether it runs, with what, and what it says when it does not."""

from __future__ import annotations

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_weave
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    Change,
    Fault,
    Near,
    both,
    check_complete,
    check_first,
    check_quiet,
    down,
    fires,
    near,
    put,
)

FIRES: list[Fault] = [
    ("weave-router-state", "weave", down(2), "h2"),
    ("weave-router-state", "weave", down(2, state="paused"), "h2"),
    ("weave-foreign-container", "weave", down(2, foreign=True, image="nginx:1"), "h2"),
    (
        "weave-database-damaged",
        "weave",
        down(2, "FATA: 2026/11/23 06:34:36 [boltDB] Failed to open /weavedb/weavedata.db: invalid database"),
        "h2",
    ),
    (
        "weave-bridge-state",
        "weave",
        down(2, "FATA: 2026/11/23 06:34:36 Inconsistent bridge state detected. Please do 'weave reset' and try again"),
        "h2",
    ),
    (
        "weave-two-starters",
        "weave",
        put("h2", "weave/service", {"active": "active", "enabled": "enabled"}),
        "h2",
    ),
    (
        "weave-two-starters",
        "weave",
        both(down(2), put("h2", "weave/service", {"active": "failed", "enabled": "enabled"})),
        "h2",
    ),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


NEAR: list[Near] = [
    ("no unit", "weave", put("h2", "weave/service", {"active": "", "enabled": ""})),
    ("a unit that is off", "weave", put("h2", "weave/service", {"active": "inactive", "enabled": "disabled"})),
    (
        "a unit alone, without Docker's policy",
        "weave",
        put(
            "h2",
            "weave/service",
            {"active": "active", "enabled": "enabled"},
            "h2",
            "weave/container/restart_policy",
            "no",
        ),
    ),
]


@near(NEAR)
def test_no_false_alarm(kind: str, change: Change) -> None:
    check_quiet(kind, change)


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_weave, FIRES)
