# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How rules are registered and run."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import (
    RULES,
    Case,
    Finding,
    Rule,
    diagnose,
    rule,
)


def test_a_broken_rule_is_a_note() -> None:
    def check(dummy_case: Case) -> t.Iterator[Finding]:
        raise KeyError("gone")

    findings = diagnose(Case(), [Rule("some-id", check)])

    assert [(item.id, item.severity) for item in findings] == [("rule-broken", "note")]


def test_rules_are_registered_by_id() -> None:
    before = len(RULES)
    try:
        assert rule("for-this-test")(lambda dummy_case: ()) is not None
        assert RULES[-1].id == "for-this-test"
    finally:
        del RULES[before:]
