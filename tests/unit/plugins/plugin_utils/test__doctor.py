# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor as a whole: nothing to find on healthy hosts, causes before consequences, and what is told of the findings."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, diagnose
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    GONE,
    KINDS,
    OTHER_KEY,
    REJECT,
    Change,
    arguments_with,
    block,
    both,
    down,
    found,
    gre,
    link,
    module_of,
    pair,
    put,
    sent,
)

ROOT = pathlib.Path(__file__).resolve().parents[4]


def test_each_area_has_its_tests() -> None:
    areas = {area.__name__ for area in _doctor.AREAS}

    assert {module_of(each) for each in _doctor.RULES} == areas
    for area in areas:
        text = pathlib.Path(__file__).with_name(f"test_{area.rpartition('.')[2]}.py").read_text(encoding="utf-8")
        assert "check_complete(" in text, area


@pytest.mark.parametrize("kind", ["gre", "netdev", "weave", "plain", "by_hand"])
def test_nothing_on_healthy_hosts(kind: str) -> None:
    assert found(kind) == ()
    assert found(kind, sent()) == ()
    assert found(kind, arguments_with(backend=None)) == ()


def test_the_document_lists_every_rule_and_no_other() -> None:
    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \|", text, flags=re.MULTILINE)

    assert sorted(listed) == sorted(_doctor.ids())


def test_causes_hide_consequences() -> None:
    def ids(kind: str, change: Change) -> list[str]:
        return [item.id for item in found(kind, change)]

    assert ids("weave", down(2)) == ["weave-router-state"]
    assert ids("gre", put("h2", "openvswitch/vswitchd_ok", False, "h2", "openvswitch/ports/0/health", "dead")) == [
        "ovs-vswitchd-down"
    ]
    lost = sent(pair("h1", "h2", "loss", "100% loss"), pair("h2", "h1", "loss", "100% loss"))
    assert ids("gre", both(put("h2", "openvswitch/ports/0/options", OTHER_KEY), lost)) == ["gre-key-mismatch"]
    blocked = put("h1", "firewall/blocked", [block("input", REJECT, ["192.0.2.2", "192.0.2.3"])])
    assert ids("weave", both(link(2, 1, "connecting", ""), blocked)) == ["firewall-blocks"]


def test_unrelated_faults_are_both_told() -> None:
    lost = sent(pair("h1", "h3", "loss", "100% loss"), pair("h3", "h1", "loss", "100% loss"))
    findings = found("gre", both(put("h2", "docker/chains/missing", ["DOCKER"]), lost))

    assert [item.id for item in findings] == ["docker-chains-missing", "packet-loss"]


def hurt(value: t.Any, number: int) -> t.Iterator[tuple[str, t.Any]]:
    """Each fact of a host, replaced by something of another shape."""
    if isinstance(value, dict):
        for key in value:
            for path, shape in hurt(value[key], number):
                yield f"{key}/{path}".rstrip("/"), shape
    elif isinstance(value, list) and value:
        for path, shape in hurt(value[0], number):
            yield f"0/{path}".rstrip("/"), shape
    yield "", (None, "text", [None, 3], {"x": None})[number]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("kind", ["gre", "netdev", "weave"])
def test_no_rule_minds_what_is_missing(kind: str, number: int) -> None:
    whole = KINDS[kind]()
    for path, shape in hurt(whole["infos"]["h2"], number):
        if path:
            for item in found(kind, put("h2", path, shape)):
                assert item.id != "rule-broken", (path, shape, item)


FAULTS: list[tuple[str, t.Any]] = [
    ("openvswitch/vswitchd_ok", False),
    ("openvswitch/ports/0/options", OTHER_KEY),
    ("resources/disk/0/free_bytes", 0),
    ("docker/chains/missing", ["DOCKER"]),
    ("docker/networks/1", GONE),
    ("interfaces/0/mtu", 1400),
    ("interfaces/0/carrier", False),
    ("machine_id", f"{1:032x}"),
]


def test_table_and_summary() -> None:
    case_ = Case(**{**gre(), "left_out": ("h4",)})
    findings = diagnose(case_)
    assert _doctor.table(case_, findings) == "Not looked at: h4.\nNothing is wrong that can be seen on h1, h2 and h3."
    assert _doctor.summary(case_, findings) == "doctor: hosts=3 findings=0 errors=0 warnings=0 notes=0"

    many = [item for path, value in FAULTS for item in found("gre", put("h2", path, value))]
    assert len(many) >= len(FAULTS) > 6
    shown = _doctor.table(case_, many).splitlines()
    assert len(shown) <= 15
    assert "more in the report" in "\n".join(shown)
    assert _doctor.summary(case_, many).startswith("doctor: hosts=3 findings=")


def test_explanation() -> None:
    text = _doctor.explanation(found("gre", put("h2", "openvswitch/ports/0/options", OTHER_KEY)))

    assert text.startswith(
        "Most likely cause: gre-h1 on h2 has key 7, and gre-h2 on h1 at its other end has key 1 (gre-key-mismatch)."
    )
    assert "ansible-playbook crosshost.overlay.site --tags ovs_gre" in text
    assert _doctor.explanation([]) == ""
