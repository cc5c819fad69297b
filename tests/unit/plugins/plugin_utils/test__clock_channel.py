# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measuring over a channel: real processes answer, with clocks that are pretended to be off."""

from __future__ import annotations

import sys
import time
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _clock_channel
from ansible_collections.crosshost.overlay.plugins.plugin_utils._clock_channel import ChannelError, Sample

PYTHON = sys.executable


def shifted(seconds: float) -> str:
    """A responder whose clock is ahead."""
    return _clock_channel.RESPONDER.replace("time.time_ns()", f"(time.time_ns()+{int(seconds * 1e9)})")


@pytest.mark.parametrize("ahead", [0.0, 1200.0, -0.2], ids=["none", "20 minutes", "-200 ms"])
def test_within_its_bound_in_20_of_20(ahead: float) -> None:
    for dummy in range(20):
        clock = _clock_channel.over_channel([PYTHON, "-c", shifted(ahead)], 10)
        assert abs(clock.offset - ahead) <= clock.bound
        assert clock.bound < 0.05
        assert (clock.round_trips, clock.method) == (10, "channel")


def test_through_a_shell() -> None:
    """The command passes a shell unharmed, as it has to on every kind of connection."""
    clock = _clock_channel.over_channel(["/bin/sh", "-c", _clock_channel.responder(PYTHON)], 3)
    assert abs(clock.offset) <= clock.bound


@pytest.mark.parametrize(
    "program",
    [
        "",
        "print('Last login: yesterday', flush=True); input()",
        "import time; time.sleep(60)",
        "import os\nwhile os.read(0, 1): os.write(1, b'9' * 50)",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
    ],
    ids=["ends", "talks", "silence", "no end", "stubborn"],
)
def test_something_else(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Bounded, and nothing stays behind."""
    monkeypatch.setattr(_clock_channel, "FIRST", 0.5)
    monkeypatch.setattr(_clock_channel, "END", 0.2)
    start = time.monotonic()
    with pytest.raises(ChannelError):
        _clock_channel.over_channel([PYTHON, "-c", program], 3)
    assert time.monotonic() - start < 3


def test_stops_answering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_clock_channel, "NEXT", 0.2)
    monkeypatch.setattr(_clock_channel, "END", 0.2)
    program = "import os, time; os.read(0, 1); os.write(1, b'5\\n'); time.sleep(60)"
    with pytest.raises(ChannelError, match="no answer within"):
        _clock_channel.over_channel([PYTHON, "-c", program], 3)


def test_no_such_command() -> None:
    with pytest.raises(ChannelError, match="No such file"):
        _clock_channel.over_channel(["/nonexistent/ssh"], 3)


def test_the_shortest_counts() -> None:
    samples = [Sample(1_000, 9_000_000, 100, 7), Sample(2_000, 2_000_000, 5_002_000, 8), Sample(3_000, 5_000_000, 0, 9)]
    clock = _clock_channel.best(samples, "channel")
    assert clock.offset == pytest.approx(0.004)
    assert clock.bound == pytest.approx(0.001 + _clock_channel.GRANULARITY)
    assert clock.round_trips == 3


def test_own_clock_set_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """That question does not count."""
    walls = iter([0, 3_600_000_000_000])
    monkeypatch.setattr(_clock_channel.time, "time_ns", lambda: next(walls))
    assert _clock_channel.sample(lambda: 5) is None
    with pytest.raises(ChannelError, match="kept still"):
        _clock_channel.best([], "channel")


def test_separate_calls() -> None:
    """What a login shell says besides does no harm; the bound covers the start of Python."""

    def call(command: str) -> str:
        assert command.startswith("/usr/bin/python3 -c ")
        now = time.time_ns()
        time.sleep(0.02)
        return f"Welcome\nclock={now}\n"

    clock = _clock_channel.by_calls(call, "/usr/bin/python3")
    assert abs(clock.offset) <= clock.bound
    assert clock.bound >= 0.01
    assert (clock.method, clock.round_trips) == ("calls", _clock_channel.CALLS)


@pytest.mark.parametrize("said", ["", "python3: not found", "clock="], ids=["nothing", "an error", "half"])
def test_separate_calls_without_answer(said: str) -> None:
    with pytest.raises(ChannelError, match="instead of its clock"):
        _clock_channel.by_calls(lambda command: said, PYTHON)


def test_quoting() -> None:
    """A Python in a folder with a space."""
    command: t.Final = _clock_channel.responder("/opt/my python/bin/python3")
    assert command.startswith("'/opt/my python/bin/python3' -c '")
    assert command.count("'") == 4
