# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on what all routers of Weave Net have to have in common, and on their addresses."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_weave_settings
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    Fault,
    both,
    check_complete,
    check_first,
    fires,
    link,
    put,
    recorded,
)


def renamed(arguments: dict[str, t.Any]) -> None:
    """Clones: two routers of one name."""
    arguments["infos"]["h2"]["weave"]["router"]["name"] = "02:00:00:00:00:01"


COLLISION = 'local "ce:9a:3a:19:95:c3(h2)" and remote "ce:9a:3a:19:95:c3(h1)" peer names collision, retry: never'


FIRES: list[Fault] = [
    ("weave-name-collision", "weave", renamed, "h2"),
    ("weave-name-collision", "weave", link(2, 1, "failed", COLLISION), "h1"),
    ("weave-password-missing", "weave", put("h2", "weave/launch/password_set", False), "h2"),
    ("weave-password-missing", "weave", link(2, 1, "failed", recorded("report_pw_one_side.json")), "h1"),
    (
        "weave-password-differs",
        "weave",
        both(
            link(2, 1, "failed", recorded("report_pw_differs.json")),
            link(2, 3, "failed", recorded("report_pw_differs.json")),
        ),
        "h2",
    ),
    ("weave-range-differs", "weave", put("h2", "weave/ipam/range", "10.64.0.0/12"), "h2"),
    (
        "weave-range-differs",
        "weave",
        link(
            2,
            1,
            "failed",
            "Incompatible IP allocation ranges (received: 10.64.0.0-10.79.255.255, ours: 10.32.0.0-10.47.255.255)",
        ),
        "h1",
    ),
    (
        "weave-seed-differs",
        "weave",
        link(2, 1, "failed", "IP allocation was seeded by different peers (received: [a], ours: [b])"),
        "h1",
    ),
    ("weave-ipam-quorum", "weave", put("h2", "weave/ipam/status", "awaiting consensus (quorum: 2, known: 1)"), "h2"),
    (
        "weave-peer-unreachable-owner",
        "weave",
        put(
            "h2",
            "weave/ipam/owners",
            [{"peer": "02:00:00:00:00:09", "nickname": "h9", "addresses": 500, "reachable": False}],
        ),
        "h2",
    ),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_weave_settings, FIRES)
