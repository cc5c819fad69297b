# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""Measures how far another machine's clock is from this one's, by questions and answers over one open channel."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
import typing as t
from dataclasses import dataclass

# Answers each byte with its clock in nanoseconds since 1970. One line, no quotes but double ones: it passes every shell.
RESPONDER = 'import os,time;[os.write(1,b"%d\\n"%time.time_ns()) for x in iter(lambda:os.read(0,1),b"")]'
ONE_ANSWER = 'import time;print("clock=%d"%time.time_ns())'
ANSWER_LIMIT = 64  # bytes; nanoseconds since 1970 have 19 digits
FIRST = 20.0  # seconds for connecting and starting Python, on an emulated CPU, too
NEXT = 5.0  # seconds for each further answer
END = 2.0  # seconds for the channel to close by itself
CALLS = 5  # questions in calls of their own
GRANULARITY = 1e-6  # seconds; reading a clock and rounding its value stay below
STEPPED = 1e-3  # seconds by which this machine's two clocks may differ over one question


class ChannelError(Exception):
    """No answers this way."""


@dataclass(frozen=True)
class Clock:
    """Seconds. offset is the other clock minus this one; epoch is this one minus this machine's monotonic clock."""

    offset: float
    bound: float
    round_trips: int
    method: str
    epoch: float


@dataclass(frozen=True)
class Sample:
    """One question: this machine's clocks before it, how long the answer took, and the answer."""

    wall: int
    elapsed: int
    answer: int
    epoch: int


def best(samples: t.Iterable[Sample], method: str) -> Clock:
    """The shortest round trip: the other clock was read at some time in it, so half of it bounds the error."""
    chosen = min(samples, key=lambda item: item.elapsed, default=None)
    if chosen is None:
        raise ChannelError("there was no answer while this machine's clock kept still")
    count = sum(1 for dummy in samples)
    return Clock(
        offset=(chosen.answer - chosen.wall - chosen.elapsed / 2) / 1e9,
        bound=chosen.elapsed / 2e9 + GRANULARITY,
        round_trips=count,
        method=method,
        epoch=chosen.epoch / 1e9,
    )


def sample(question: t.Callable[[], int]) -> Sample | None:
    """Ask once; None if this machine's clock was set meanwhile."""
    wall, start = time.time_ns(), time.monotonic_ns()
    answer = question()
    end, wall_end = time.monotonic_ns(), time.time_ns()
    if abs((wall_end - wall) - (end - start)) > STEPPED * 1e9:
        return None
    return Sample(wall, end - start, answer, wall - start)


def over_channel(argv: t.Sequence[bytes | str], round_trips: int) -> Clock:
    """Start a command that runs RESPONDER over there, ask it, end it. ChannelError in every other case."""
    try:
        # A session of its own: no terminal to ask a password on, and children end with it.
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as exc:
        raise ChannelError(str(exc)) from exc
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(t.cast("t.BinaryIO", process.stdout), selectors.EVENT_READ)
            _ask(process, selector, FIRST)  # connects and starts Python: no measurement
            found = [sample(lambda: _ask(process, selector, NEXT)) for dummy in range(round_trips)]
        return best([item for item in found if item], "channel")
    finally:
        _end(process)


def _ask(process: subprocess.Popen[bytes], selector: selectors.BaseSelector, limit: float) -> int:
    """One question and its answer."""
    stdin, stdout = t.cast("t.BinaryIO", process.stdin), t.cast("t.BinaryIO", process.stdout)
    end = time.monotonic() + limit
    try:
        os.write(stdin.fileno(), b"?")
        text = b""
        while not text.endswith(b"\n"):
            if not selector.select(max(0.0, end - time.monotonic())):
                raise ChannelError(f"no answer within {limit:g} s")
            piece = os.read(stdout.fileno(), ANSWER_LIMIT)
            if not piece or len(text) > ANSWER_LIMIT:
                raise ChannelError("the channel was closed, or something else answers")
            text += piece
        return int(text)
    except (OSError, ValueError) as exc:
        raise ChannelError(str(exc)) from exc


def _end(process: subprocess.Popen[bytes]) -> None:
    """End of input ends the responder; whatever stays is killed with all its children."""
    with contextlib.suppress(OSError):
        t.cast("t.BinaryIO", process.stdin).close()
    try:
        process.wait(END)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END)
    t.cast("t.BinaryIO", process.stdout).close()


def responder(python: str) -> str:
    """The command to run over there."""
    return f"{shlex.quote(python)} -c {shlex.quote(RESPONDER)}"


def by_calls(call: t.Callable[[str], str], python: str) -> Clock:
    """Ask in commands of their own. The start of Python counts as a part of the round trip, so the bound is wider."""
    command = f"{shlex.quote(python)} -c {shlex.quote(ONE_ANSWER)}"

    def ask() -> int:
        said = call(command)
        digits = said.rpartition("clock=")[2].strip()
        if not digits.isdigit():
            raise ChannelError(f"instead of its clock the host said: {said.strip()[-200:]}")
        return int(digits)

    return best([item for item in (sample(ask) for dummy in range(CALLS)) if item], "calls")
