# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What many containers sent to many, added up by host. The sending: the integration target overlay_probe_engine."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _probe_sweep
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_echo import EchoRun, Settings, Target
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_sweep import (
    FAILED_SHOWN,
    PacedRun,
    Source,
    Sweep,
    deadline,
    sweep,
)

SOURCES = [Source("a", "10.50.1.2", "/ns/a"), Source("b", "10.50.1.3", "/ns/b")]
TARGETS = [("h1", "a", "10.50.1.2"), ("h1", "b", "10.50.1.3"), ("h2", "c", "10.50.2.2")]


class Answers:
    """Stands for the sending: addresses that answer, by the number of the try, and namespaces that cannot be entered."""

    def __init__(self, *tries: set[str], closed: t.Container[str] = ()) -> None:
        self.tries = list(tries)
        self.closed = closed
        self.asked: list[int] = []
        self.timeouts: list[float] = []

    def __call__(self, wishes: t.Any, timeout: float, dummy_end: float) -> list[t.Any]:
        alive = self.tries.pop(0)
        self.asked.append(sum(len(wanted) for dummy, wanted in wishes))
        self.timeouts.append(timeout)
        found: list[t.Any] = []
        for source, wanted in wishes:
            if source.name in self.closed:
                found.append((source, wanted, None, "its network cannot be entered: gone"))
                continue
            run = EchoRun(wanted, Settings(count=1), 0.0, b"n" * 8, 1)
            for index, target in enumerate(wanted):
                if target.address in alive:
                    run.times(index).append(0.001 * (index + 1))
            found.append((source, wanted, run, None))
        return found


ALL = {address for dummy_host, dummy_name, address in TARGETS}


def test_all_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(ALL)
    monkeypatch.setattr(_probe_sweep, "_one_try", answers)
    here, there = sweep(SOURCES, TARGETS, 2.0)
    assert answers.asked == [4]
    assert (here["name"], here["sources"], here["targets"], here["pairs"], here["answered"]) == ("h1", 2, 2, 2, 2)
    assert (there["name"], there["targets"], there["pairs"], there["answered"], there["loss"]) == ("h2", 1, 2, 2, 0.0)
    assert there["rtt_ms"] == {"min": 2.0, "median": 2.0, "max": 2.0}
    assert (there["kind"], there["failed"]) == ("container", [])


def test_what_was_not_answered_is_asked_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(ALL - {"10.50.2.2"}, {"10.50.2.2"})
    monkeypatch.setattr(_probe_sweep, "_one_try", answers)
    assert [entry["answered"] for entry in sweep(SOURCES, TARGETS, 2.0)] == [2, 2]
    assert (answers.asked, answers.timeouts) == ([4, 2], [1.5, 2.0])


def test_what_never_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_probe_sweep, "_one_try", Answers(ALL - {"10.50.2.2"}, set()))
    here, there = sweep(SOURCES, TARGETS, 2.0)
    assert (here["loss"], there["loss"], there["rtt_ms"]) == (0.0, 100.0, None)
    assert there["failed"][0] == {
        "source": "a",
        "source_address": "10.50.1.2",
        "target": "c",
        "target_address": "10.50.2.2",
        "note": None,
    }


def test_a_container_that_has_gone_is_a_failure_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_probe_sweep, "_one_try", Answers(ALL, closed={"b"}))
    here, there = sweep(SOURCES, TARGETS, 2.0)
    assert (here["answered"], there["answered"]) == (1, 1)
    assert "cannot be entered: gone" in there["failed"][0]["note"]


def test_a_namespace_that_is_not_there() -> None:
    (entry,) = sweep([Source("a", "10.50.1.2", "/nonexistent/net")], [("h2", "c", "10.50.2.2")], 0.1)
    assert "No such file" in entry["failed"][0]["note"]


def test_results_do_not_grow_with_pairs() -> None:
    sources = [Source(f"s{number}", f"10.50.1.{number}", "") for number in range(30)]
    done = Sweep(sources, [("h2", f"t{number}", f"10.50.2.{number}") for number in range(30)])
    for source, wanted in done.wishes():
        for target in wanted:
            done.failed(source, target, None)
    (entry,) = done.results()
    assert (entry["pairs"], entry["answered"], len(entry["failed"])) == (900, 0, FAILED_SHOWN)


def test_requests_are_spread_over_the_interval() -> None:
    targets = [Target(str(number), f"10.50.2.{number}") for number in range(4)]
    run, dues = PacedRun(targets, Settings(count=1, interval=1.0), 100.0, b"n" * 8, 1), []
    while run.due() is not None:
        dues.append(run.due())
        run.sent(100.0)
    assert dues == pytest.approx([100.0, 100.25, 100.5, 100.75])


def test_deadline_covers_both_tries() -> None:
    assert deadline(30, 90, 2.0) == pytest.approx(2 * 2700 / 8000 + 5.5)
