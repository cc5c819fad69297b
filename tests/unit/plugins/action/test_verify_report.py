# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action verify_report, with a task and a terminal that are pretended."""

from __future__ import annotations

import pathlib
import types
import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader

from ansible_collections.crosshost.overlay.plugins.action import verify_report
from ansible_collections.crosshost.overlay.plugins.module_utils._matrix import Report as Restored

GOOD = {
    "sent": 5,
    "received": 5,
    "duplicates": 0,
    "loss": 0.0,
    "rtt_ms": {"min": 1.0, "median": 1.2, "max": 2.0},
    "note": None,
}
RESULTS = {
    "h1": {"probe": {"address": "10.50.1.2"}, "results": [{"name": "h2", "address": "10.50.2.3", **GOOD}]},
    "h2": {"probe": {"address": "10.50.2.3"}, "results": [{"name": "h1", "address": "10.50.1.2", **GOOD}]},
}
CONNECTION = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir="none is made"))
SUMMARY = "verify: hosts=2 pairs=2 ok=2 failed=0"

Report = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the terminal."""
    lines: list[str] = []
    monkeypatch.setattr(verify_report.display, "display", lines.append)
    return lines


@pytest.fixture
def report(shown: list[str]) -> Report:
    """Return a function that runs the action with options."""

    def run(check_mode: bool = False, **options: t.Any) -> dict[str, t.Any]:
        task = types.SimpleNamespace(
            action="crosshost.overlay.verify_report", args=options, check_mode=check_mode, async_val=0
        )
        return verify_report.ActionModule(task, CONNECTION, None, DataLoader(), None, None).run(None, {})

    return run


def test_well(report: Report, shown: list[str]) -> None:
    result = report(hosts=["h1", "h2"], results=RESULTS)
    assert (result["changed"], result.get("failed", False), result["summary"]) == (False, False, SUMMARY)
    assert result["report"] == {"hosts": 2, "pairs": 2, "ok": 2, "failed": 0}
    assert result["pairs"][0] == {
        "source": "h1",
        "target": "h2",
        "source_address": "10.50.1.2",
        "target_address": "10.50.2.3",
        "rtt_ms": 1.2,
    }
    assert "\n".join(shown).splitlines()[-1] == SUMMARY
    assert result["well"] is True
    assert result["verify"]["pairs"][0]["measured"]["rtt_ms"]["median"] == 1.2


def test_bad(report: Report, shown: list[str]) -> None:
    result = report(hosts=["h1", "h2", "h3"], results=RESULTS, failures={"h3": "no Docker"})
    assert result["failed"] is True
    assert "h3 took no part: no Docker" in result["msg"]
    assert "h1 (10.50.1.2) -> h3 (no address)" in result["msg"]
    assert "pairs" not in result
    assert shown[-1].splitlines()[-1] == "verify: hosts=3 pairs=6 ok=2 failed=4"
    assert result["well"] is False
    assert result["verify"]["failures"] == {"h3": "no Docker"}
    assert [pair["fault"] for pair in result["verify"]["pairs"]] == ["", "not_run"] * 2 + ["not_run"] * 2
    assert Restored.from_dict(result["verify"]).summary == result["summary"]


def test_one_host_that_could_not_be_probed_is_not_well(report: Report) -> None:
    result = report(hosts=["h1"], results={}, failures={"h1": "no Docker"})
    assert (result["report"]["failed"], result["well"], result["failed"]) == (0, False, True)


@pytest.mark.parametrize("good", [True, False], ids=["well", "bad"])
def test_summary_file(report: Report, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, good: bool) -> None:
    monkeypatch.chdir(tmp_path)
    hosts = ["h1", "h2"] if good else ["h1", "h2", "h3"]
    for dummy in range(2):
        result = report(hosts=hosts, results=RESULTS, summary_path="new/folder/verify.txt")
    path = tmp_path / "new" / "folder" / "verify.txt"
    assert result["summary_path"] == str(path)
    assert path.read_text().splitlines()[-1] == result["summary"]
    assert ("h3 took no part" in path.read_text()) is not good
    assert [item.name for item in path.parent.iterdir()] == ["verify.txt"]


def test_file_that_cannot_be_written(report: Report, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleError, match="Cannot write the report to"):
        report(hosts=["h1", "h2"], results=RESULTS, summary_path=str(tmp_path / "file" / "verify.txt"))


def test_check_mode(report: Report, shown: list[str], tmp_path: pathlib.Path) -> None:
    result = report(check_mode=True, hosts=["h1"], results={}, summary_path=str(tmp_path / "x"))
    assert (result["skipped"], result["changed"], shown) == (True, False, [])
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "results",
    [{"h1": "text"}, {"h1": {"results": "text"}}, {"h1": {"results": [{"name": "h2"}]}}],
    ids=["text", "no list", "no figures"],
)
def test_results_of_something_else(report: Report, results: dict[str, t.Any]) -> None:
    with pytest.raises(AnsibleError, match="results of 'h1' are not what"):
        report(hosts=["h1", "h2"], results=results)


def test_a_host_named_twice_counts_once(report: Report) -> None:
    assert report(hosts=["h1", "h2", "h1"], results=RESULTS)["summary"] == SUMMARY
