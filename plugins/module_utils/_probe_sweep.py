# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Send echo requests from many containers of this host to many addresses, in one process and one event loop.

A socket stays in the network namespace it was made in. So this process enters each namespace just long enough to open a
socket there; no process is started in a container. What comes out is as long as there are hosts, not pairs.
"""

from __future__ import annotations

import contextlib
import os
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils._netns import enter
from ansible_collections.crosshost.overlay.plugins.module_utils._probe import EchoChannel, exchange
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_echo import EchoRun, Settings, Target, round_trip

TRIES = 2  # the first request between two containers also asks for the address; a lost question costs a second
FIRST_TIMEOUT = 1.5  # seconds before what was not answered is tried again
RATE = 8000  # requests a second from one host: more than that overflows queues on the way, not only slow ones
FAILED_SHOWN = 20  # pairs told for each host; the rest is counted


@dataclass(frozen=True)
class Source:
    """A container of this host; path is its network namespace."""

    name: str
    address: str
    path: str


class Sweep:
    """What all sources sent to all targets, added up by the host of the target."""

    def __init__(self, sources: t.Sequence[Source], targets: t.Sequence[tuple[str, str, str]]) -> None:
        self._targets = [Target(name, address, host) for host, name, address in targets]
        self._sources = list(sources)
        self._times: dict[str, list[float]] = {}
        self._failed: dict[str, list[dict[str, t.Any]]] = {}
        self._pairs: dict[str, int] = {}
        for host, dummy_name, dummy_address in targets:
            self._pairs.setdefault(host, 0)

    def wishes(self) -> list[tuple[Source, list[Target]]]:
        """Return what each source has to reach: all but itself."""
        return [
            (source, [target for target in self._targets if target.address != source.address])
            for source in self._sources
        ]

    def answered(self, target: Target, seconds: float) -> None:
        """Count a pair that is well."""
        self._pairs[target.kind] += 1
        self._times.setdefault(target.kind, []).append(seconds)

    def failed(self, source: Source, target: Target, note: str | None) -> None:
        """Count a pair that is not."""
        self._pairs[target.kind] += 1
        self._failed.setdefault(target.kind, []).append(
            {
                "source": source.name,
                "source_address": source.address,
                "target": target.name,
                "target_address": target.address,
                "note": note,
            }
        )

    def results(self) -> list[dict[str, t.Any]]:
        """Return one entry for each host that has targets."""
        entries = []
        for host, pairs in self._pairs.items():
            failed = self._failed.get(host, [])
            entries.append(
                {
                    "name": host,
                    "kind": "container",
                    "sources": len(self._sources),
                    "targets": sum(target.kind == host for target in self._targets),
                    "pairs": pairs,
                    "answered": pairs - len(failed),
                    "loss": round(100.0 * len(failed) / pairs, 1) if pairs else 0.0,
                    "rtt_ms": round_trip(self._times.get(host, [])),
                    "failed": failed[:FAILED_SHOWN],
                }
            )
        return entries


def deadline(sources: int, targets: int, timeout: float) -> float:
    """Return how long a sweep may take at the most, in seconds."""
    return TRIES * sources * targets / RATE + FIRST_TIMEOUT + timeout + 2.0


def sweep(
    sources: t.Sequence[Source], targets: t.Sequence[tuple[str, str, str]], timeout: float
) -> list[dict[str, t.Any]]:
    """Send from all sources to all targets, given as host, name and address; leaves this process in some namespace."""
    done = Sweep(sources, targets)
    wishes = done.wishes()
    end = time.monotonic() + deadline(len(sources), len(targets), timeout)
    for number in range(TRIES):
        last = number == TRIES - 1
        left = []
        for source, wanted, run, problem in _one_try(wishes, timeout if last else min(FIRST_TIMEOUT, timeout), end):
            again = []
            for index, target in enumerate(wanted):
                times = run.times(index) if run else []
                if times:
                    done.answered(target, times[0])
                elif last or problem:
                    done.failed(source, target, problem or (run.notes.get(index) if run else None))
                else:
                    again.append(target)
            if again:
                left.append((source, again))
        wishes = left
        if not wishes:
            break
    return done.results()


def _one_try(
    wishes: t.Sequence[tuple[Source, list[Target]]], timeout: float, end: float
) -> list[tuple[Source, list[Target], EchoRun | None, str | None]]:
    """Send one request for each pair; returns the run of each source, or why it has none."""
    total = sum(len(wanted) for dummy, wanted in wishes)
    found: list[tuple[Source, list[Target], EchoRun | None, str | None]] = []
    with contextlib.ExitStack() as stack:
        channels = []
        # Round by round over the sources: all of them send all the time, and none much at once.
        spread = max(0.001, total / RATE)
        settings = Settings(count=1, interval=spread, timeout=timeout, udp=False, largest=False, fragmented=False)
        for number, (source, wanted) in enumerate(wishes):
            nonce = os.urandom(8)
            begin = time.monotonic()
            run = PacedRun(
                wanted, settings, begin + spread * number / max(total, 1), nonce, int.from_bytes(nonce[:2], "big")
            )
            try:
                enter(source.path)
                channel = EchoChannel(run)
            except OSError as exc:
                found.append((source, wanted, None, f"its network cannot be entered: {exc.strerror or exc}"))
                continue
            stack.callback(channel.close)
            channels.append(channel)
            found.append((source, wanted, run, None))
        exchange(channels, end)
    return found


class PacedRun(EchoRun):
    """Echo requests spread evenly over the interval."""

    def plan(self, turns: t.Sequence[tuple[int, str]]) -> None:
        """Set the turns and the time between two requests."""
        super().plan(turns)
        self._spacing = self.settings.interval / max(len(self.targets), 1)
