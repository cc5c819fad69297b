# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Has a running time daemon measure anew and step, or sets the clock by hand. Every wait is bounded."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.crosshost.overlay.plugins.module_utils import _clock_observe, _clock_sntp
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_model import (
    CHRONY,
    NTPSEC,
    TIMESYNCD,
    ClockError,
    Daemon,
    State,
    Tracking,
)

POLL = 0.5  # seconds between two looks
SLEW = 1 / 12  # seconds that chronyd corrects in one second at most (maxslewrate 83333 ppm)
ASK = 4.0  # seconds for NTP servers to answer; a distant one takes less than half a second
# systemd-timesyncd sets the clock at once beyond this (NTP_MAX_ADJUST), ntpd beyond 0.128 s.
RESTARTED = (TIMESYNCD, NTPSEC)


@dataclass
class Cure:
    """One attempt. Offsets are the host's clock minus the right time, in seconds."""

    run: _clock_observe.Run
    state: State
    threshold: float  # from here on the clock is set at once instead of being slewed
    allow_backwards: bool
    check_mode: bool
    sync_timeout: float
    commands: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    changed: bool = False

    def servers(self, names: t.Sequence[str]) -> float | None:
        """How far the host is from those that answer; ClockError if none does."""
        answers = _clock_sntp.ask(names, ASK)
        good = [item for item in answers if item.offset is not None]
        bad = [f"{item.server}: {item.problem}" for item in answers if item.offset is None]
        if not good:
            raise ClockError(
                f"No NTP server is of use. {'; '.join(bad)}. The clock and its settings were left alone. Look at the way there "
                "(firewalls: UDP port 123), name other servers, or have one host give its time to the others (clock_source)."
            )
        self.notes += [f"NTP server {text}; the others do" for text in bad]
        best = min(good, key=lambda item: item.bound)
        return -t.cast("float", best.offset)

    def guard(self, offset: float | None) -> None:
        """Refuse to set the clock back under a router unless that is allowed, and say so if it is."""
        if offset is None or offset <= self.threshold or not self.state.router:
            return
        what = f"set back by {offset:.3f} s while a router of Weave Net runs"
        if not self.allow_backwards:
            raise ClockError(
                f"The clock would have to be {what}, and allow_backwards is false. Allow it (clock_allow_backwards), or stop the router "
                "first. Nothing was set."
            )
        self.notes.append(
            f"The clock is {what}: names and log lines of these {offset:.0f} seconds come in the wrong order"
        )

    def synchronise(self, daemon: Daemon, fresh: bool, expected: float | None, given: bool) -> Tracking | None:
        """Have the daemon measure and correct.

        expected is the offset as far as it is known, fresh whether it was just started, given whether servers were, which it may
        still have to look up.
        """
        self.guard(expected)
        known = self.state.tracking
        if not (given or fresh) and known is not None and not known.sources and daemon.kind == CHRONY:
            raise ClockError(_why_not(daemon, known, 0))  # waiting would not help
        if daemon.kind == CHRONY:
            return self._chrony(fresh, expected)
        if daemon.kind in RESTARTED:
            if not fresh:
                self._do("systemctl", "restart", daemon.kind.unit)
                self.changed = True
            return None if self.check_mode else self._until(daemon, lambda now: now.synchronised)
        raise ClockError(
            f"{daemon.kind.name} runs, which this collection cannot ask to set the clock. Restart it with its own means, allow step, or "
            "replace it by chrony."
        )

    def _chrony(self, fresh: bool, expected: float | None) -> Tracking | None:
        before = self.state.tracking.updated if self.state.tracking and not fresh else ""
        daemon = Daemon(CHRONY, True, True)
        # Four measurements now: what it knows may be from before somebody set the clock.
        self._do("chronyc", "burst", "4/4", may_fail=fresh)
        if self.check_mode:
            if expected is not None and abs(expected) > self.threshold:
                self.commands.append("chronyc makestep")
                self.changed = True
            return None
        now = self._until(daemon, lambda seen: seen.synchronised and seen.updated != before)
        offset = t.cast("float", now.offset)
        if abs(offset) <= self.threshold:
            if abs(offset) > 0.001:
                self.notes.append(
                    f"chrony is slewing the clock by {-offset:+.3f} s, which takes about {abs(offset) / SLEW:.0f} s"
                )
            return now
        if expected is None:
            self.guard(offset)
        self._do("chronyc", "makestep")
        self.changed = True
        return self._until(
            daemon, lambda seen: seen.synchronised and abs(t.cast("float", seen.offset)) <= self.threshold
        )

    def _until(self, daemon: Daemon, good: t.Callable[[Tracking], bool]) -> Tracking:
        """Look until it is well; ClockError with what the daemon lacks when time is up."""
        end = time.monotonic() + self.sync_timeout
        while True:
            seen = _clock_observe.tracking(self.run, daemon)
            if seen is not None and good(seen):
                return seen
            if time.monotonic() >= end:
                raise ClockError(_why_not(daemon, seen, self.sync_timeout))
            time.sleep(POLL)

    def set_by(self, correction: float) -> None:
        """Set the clock once."""
        self.guard(-correction)
        self.commands.append(f"clock_settime CLOCK_REALTIME {correction:+.6f} s")
        self.changed = True
        if not self.check_mode:
            try:
                time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME) + correction)
            except OSError as exc:
                raise ClockError(f"The clock could not be set: {exc}. Set it on the machine that owns it.") from exc

    def _do(self, *argv: str, may_fail: bool = False) -> None:
        self.commands.append(" ".join(argv))
        if self.check_mode:
            return
        result = self.run(*argv)
        if result.rc != 0 and not may_fail:
            hint = " chronyd may have been started with -x, which leaves the clock alone." if "makestep" in argv else ""
            raise ClockError(f"{result.message}.{hint}")


def _why_not(daemon: Daemon, seen: Tracking | None, timeout: float) -> str:
    """The reason as far as the daemon knows it."""
    name = daemon.kind.name
    if seen is None:
        return f"{name} runs, but does not answer its own tool. See 'journalctl -u {daemon.kind.unit}'."
    if not seen.sources and seen.unresolved:
        return f"{name} cannot look up the names of its servers. The clock was left alone. Look at name resolution, or give it addresses (clock_servers)."
    if not seen.sources:
        return f"{name} has no server to ask. Give it some (clock_servers), or have one host give its time to the others (clock_source)."
    silent = (
        f" These do not answer: {', '.join(seen.silent)}." if seen.silent else f" It asks {', '.join(seen.sources)}."
    )
    return (
        f"{name} was not synchronised within {timeout:g} s.{silent} The clock was left alone. Look at the way there (firewalls: UDP port "
        "123), or name other servers (clock_servers)."
    )
