# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._matrix import Report
from ansible_collections.crosshost.overlay.plugins.plugin_utils import _report_document
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_prometheus import escape, prometheus
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils import report_data

SAMPLE = re.compile(r'([a-z_:]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (-?[0-9.e+-]+)')


def metrics(case: t.Any, findings: t.Any = ()) -> dict[str, dict[str, float]]:
    """The file read back: metric, labels, value. Refuses what the exporter refuses."""
    text = prometheus(_report_document.document(case, findings, report_data.MADE, report_data.VERSION))
    text.encode("utf-8")
    found: dict[str, dict[str, float]] = {}
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in found
            found[name] = {}
        elif not line.startswith("# TYPE "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[2] not in found[match[1]], line
            found[match[1]][match[2]] = float(match[3])
    return {name.removeprefix("crosshost_overlay_"): values for name, values in found.items()}


def test_healthy() -> None:
    found = metrics(report_data.healthy())
    assert found["report_timestamp_seconds"] == {None: report_data.MADE.timestamp()}
    assert found["health"] == {'state="ok"': 1, 'state="degraded"': 0, 'state="broken"': 0, 'state="unknown"': 0}
    assert set(found["pair_up"].values()) == {1}
    assert found["pairs"]['kind="host",state="ok"'] == 6
    assert found["findings"] == {'severity="error"': 0, 'severity="warning"': 0, 'severity="note"': 0}
    assert "finding" not in found
    assert 0.0003 < found["pair_rtt_seconds"]['kind="host",source="h1",target="h2"'] < 0.0007


def test_faulty() -> None:
    found = metrics(*report_data.faulty())
    assert found["pair_up"]['kind="host",source="h1",target="h2"'] == 0
    assert found["pair_loss_ratio"]['kind="host",source="h1",target="h2"'] == 1
    assert 'kind="host",source="h1",target="h2"' not in found["pair_rtt_seconds"]
    assert found["finding"]['id="mtu-too-large",severity="error",host="h3"'] == 1
    assert found["clock_offset_seconds"]['host="h3"'] == 12.4
    assert found["host_pairs_failed"] == {'host="h1"': 2, 'host="h2"': 1, 'host="h3"': 0}
    assert found["host_links"]['host="h1",state="up"'] == 2


def test_many_hosts_have_sums_only() -> None:
    found = metrics(*report_data.large())
    assert "pair_up" not in found
    assert found["pair_series_omitted"]['kind="host"'] == 9900
    assert len(found["host_pairs_failed"]) == len(found["host_read"]) == 100
    assert sum(found["host_read"].values()) == 99
    assert sum(len(values) for values in found.values()) < 10 * 100


def test_hostile_names_are_labels() -> None:
    found = metrics(*report_data.hostile())
    assert len(found["finding"]) == len(report_data.HOSTILE)
    assert escape('a"b\\c\nd\ud800') == 'a\\"b\\\\c\\nd\ufffd'


def test_two_pairs_with_the_same_ends_make_one_series_and_the_failed_one_stands() -> None:
    case = report_data.healthy()
    report = t.cast(Report, case.report)
    local = (report_data.fail(report.local[0], "tcp"), report.local[0])
    found = metrics(replace(case, report=replace(report, local=local)))
    assert found["pair_up"]['kind="same_host",source="h1",target="h1"'] == 0


@pytest.mark.parametrize("case", [Case(()), Case(("h1",))])
def test_nothing_is_known(case: Case) -> None:
    found = metrics(case)
    assert found["health"]['state="unknown"'] == 1
    assert "pair_up" not in found
