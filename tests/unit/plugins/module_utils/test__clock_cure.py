# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bringing a clock right: which commands a daemon gets, what is waited for, and what is refused."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _clock_cure, _clock_observe
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_cure import Cure
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_model import (
    CHRONY,
    NTPSEC,
    OPENNTPD,
    TIMESYNCD,
    ClockError,
    Daemon,
    Kind,
    Ledger,
    State,
    Tracking,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_sntp import Answer

OLD = Tracking(True, 0.0, updated="1", sources=("ntp1",))


class Host:
    """A daemon whose answers are scripted; the last one is repeated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Tracking | None, rc: int = 0) -> None:
        self.answers, self.rc = list(answers), rc
        self.ran: list[str] = []
        self.clock = 0.0
        monkeypatch.setattr(_clock_observe, "tracking", lambda run, daemon: self.next())
        monkeypatch.setattr(_clock_cure.time, "sleep", self.sleep)
        monkeypatch.setattr(_clock_cure.time, "monotonic", lambda: self.clock)

    def next(self) -> Tracking | None:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def run(self, *argv: str) -> Result:
        self.ran.append(" ".join(argv))
        return Result(argv, self.rc, "", "500 Failure" if self.rc else "", False, 1)

    def cure(self, **changes: t.Any) -> Cure:
        router = changes.pop("router", False)
        known = changes.pop("known", OLD)
        state = State((), True, "", "Etc/UTC", {}, Ledger(), tracking=known, router=router)
        values = {"threshold": 0.5, "allow_backwards": True, "check_mode": False, "sync_timeout": 10, **changes}
        return Cure(self.run, state, **values)


def daemon(kind: Kind) -> Daemon:
    return Daemon(kind, True, True)


def seen(offset: float, updated: str = "2", synchronised: bool = True) -> Tracking:
    return Tracking(synchronised, offset, updated=updated, sources=("ntp1",), silent=() if synchronised else ("ntp1",))


def test_chrony_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only after measurements of its own that are newer than what it knew."""
    host = Host(monkeypatch, OLD, OLD, seen(1200.0), seen(0.00001, "3"))
    cure = host.cure()
    cure.synchronise(daemon(CHRONY), False, 1200.0, True)
    assert host.ran == cure.commands == ["chronyc burst 4/4", "chronyc makestep"]
    assert cure.changed


def test_chrony_slews_what_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """And that is no change of ours."""
    host = Host(monkeypatch, seen(0.3))
    cure = host.cure()
    cure.synchronise(daemon(CHRONY), False, None, True)
    assert host.ran == ["chronyc burst 4/4"]
    assert not cure.changed
    assert "slewing the clock by -0.300 s, which takes about 4 s" in cure.notes[0]


def test_chrony_is_not_synchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded; the servers are named; no step."""
    host = Host(monkeypatch, seen(0.0, synchronised=False))
    with pytest.raises(ClockError, match=r"not synchronised within 10 s\. These do not answer: ntp1"):
        host.cure().synchronise(daemon(CHRONY), False, 1200.0, True)
    assert host.ran == ["chronyc burst 4/4"]
    assert host.clock == pytest.approx(10)


def test_chrony_without_servers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, None)
    with pytest.raises(ClockError, match="no server to ask"):
        host.cure(known=Tracking(False)).synchronise(daemon(CHRONY), False, 1200.0, False)
    with pytest.raises(ClockError, match="cannot look up"):
        host.cure(known=Tracking(False, unresolved=True)).synchronise(daemon(CHRONY), False, 1200.0, False)
    assert host.ran == []


def test_chrony_that_must_not_set_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Started with -x."""
    host = Host(monkeypatch, seen(3.0))
    cure = host.cure()
    monkeypatch.setattr(host, "rc", 1)
    with pytest.raises(ClockError, match=r"500 Failure"):
        cure.synchronise(daemon(CHRONY), False, None, True)


@pytest.mark.parametrize("kind", [TIMESYNCD, NTPSEC], ids=["timesyncd", "ntpsec"])
@pytest.mark.parametrize("fresh", [True, False], ids=["just started", "running"])
def test_restarted(monkeypatch: pytest.MonkeyPatch, kind: Kind, fresh: bool) -> None:
    """These set the clock when they start."""
    host = Host(monkeypatch, None, seen(0.0, synchronised=False), seen(0.0))
    cure = host.cure()
    cure.synchronise(daemon(kind), fresh, 1200.0, True)
    assert host.ran == ([] if fresh else [f"systemctl restart {kind.unit}"])
    assert cure.changed is not fresh


def test_daemon_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClockError, match="openntpd runs"):
        Host(monkeypatch, None).cure().synchronise(daemon(OPENNTPD), False, None, False)


def test_check_mode_asks_no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, None)
    cure = host.cure(check_mode=True)
    cure.synchronise(daemon(CHRONY), False, 1200.0, True)
    cure.set_by(-1.0)
    assert host.ran == []
    assert cure.commands == ["chronyc burst 4/4", "chronyc makestep", "clock_settime CLOCK_REALTIME -1.000000 s"]


@pytest.mark.parametrize(
    ("offset", "router", "allowed", "outcome"),
    [
        (1200.0, True, True, "said"),
        (1200.0, True, False, "refused"),
        (1200.0, False, False, "silent"),
        (-1200.0, True, False, "silent"),
        (0.4, True, False, "silent"),
        (None, True, False, "silent"),
    ],
    ids=["allowed", "not allowed", "no router", "forwards", "slewed", "not known yet"],
)
def test_backwards_under_a_router(
    monkeypatch: pytest.MonkeyPatch, offset: float | None, router: bool, allowed: bool, outcome: str
) -> None:
    cure = Host(monkeypatch, None).cure(router=router, allow_backwards=allowed)
    if outcome == "refused":
        with pytest.raises(ClockError, match="set back by 1200"):
            cure.guard(offset)
    else:
        cure.guard(offset)
    assert bool(cure.notes) == (outcome == "said")


def test_backwards_found_out_by_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was known before it measured."""
    host = Host(monkeypatch, seen(1200.0))
    with pytest.raises(ClockError, match="allow_backwards"):
        host.cure(router=True, allow_backwards=False).synchronise(daemon(CHRONY), False, None, True)
    assert host.ran == ["chronyc burst 4/4"]


def test_set_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the host's own clock, so that the way there does not count."""
    done: list[float] = []
    monkeypatch.setattr(_clock_cure.time, "clock_gettime", lambda clock: 1000.0)
    monkeypatch.setattr(_clock_cure.time, "clock_settime", lambda clock, value: done.append(value))
    cure = Host(monkeypatch, None).cure()
    cure.set_by(-12.5)
    assert (done, cure.changed) == ([987.5], True)


def test_not_settable_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(clock: int, value: float) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(_clock_cure.time, "clock_settime", refuse)
    with pytest.raises(ClockError, match="Operation not permitted"):
        Host(monkeypatch, None).cure().set_by(1.0)


def test_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best bound counts; those of no use are named; none at all is an error."""
    answers = [Answer("a", 5.0, 0.1), Answer("b", 5.02, 0.01), Answer("c", problem="it is silent")]
    monkeypatch.setattr(_clock_cure._clock_sntp, "ask", lambda names, timeout: answers)
    cure = Host(monkeypatch, None).cure()
    assert cure.servers(["a", "b", "c"]) == -5.02
    assert "c: it is silent" in cure.notes[0]
    del answers[:2]
    with pytest.raises(ClockError, match=r"c: it is silent.*left alone"):
        cure.servers(["c"])
