# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Count what is sent to many addresses and what comes back: echo requests of several sizes, and datagrams.

Nothing here does input or output of its own. The requests of every kind share the rounds of the plain ones, so that looking
at more takes no more time.
"""

from __future__ import annotations

import typing as t
from collections import deque
from dataclasses import dataclass, replace

from ansible_collections.crosshost.overlay.plugins.module_utils._probe_packets import (
    TOKEN,
    Refusal,
    echo_request,
    parse_refusal,
    parse_reply,
)

ECHO_PORT = 7  # RFC 862
PAYLOAD = 56  # bytes; with the 8 of the header the 64 that ping(8) sends
HEADERS = 28  # bytes of an IPv4 header without options and an ICMP header
LARGEST = 9216  # bytes; larger than the jumbo frames of any usual switch. The loopback interface has an MTU of 65536
FRAGMENTED_BYTES = 3200  # three fragments with any usual MTU
UDP_BYTES = 600  # more than the 576 every host takes, less than any usual MTU
REPEATS = 2  # one packet lost by chance does not look like a fault of its kind, two do
TCP_AT_ONCE = 32  # blocks under way at a time
AGAIN = 20  # requests, at the least, to a target that answered some and not all: a loss of one in five shows in 99 of 100 cases
SPACING = 0.0005  # seconds between two requests, unless the interval asks for more speed
PLAIN, LARGE, ABOVE, FRAGMENTED = "plain", "large", "above", "fragmented"
NEVER = float("-inf")


@dataclass(frozen=True)
class Target:
    """One address to probe; name is what it is called in the report, kind whether it is on another host."""

    name: str
    address: str
    kind: str = "host"


@dataclass(frozen=True)
class Settings:
    """How to probe; times in seconds. mtu is the size that has to pass and no larger; 0 takes that of the interface."""

    count: int = 5
    interval: float = 0.2
    timeout: float = 2.0
    tcp_timeout: float = 5.0
    port: int = ECHO_PORT
    tcp: bool = True
    udp: bool = True
    largest: bool = True
    fragmented: bool = True
    broadcast: bool = True
    mtu: int = 0
    # Before somebody is asked again: other hosts probe in the same moments, and their first requests and blocks are over then.
    pause: float = 5.0

    @property
    def rounds(self) -> int:
        """How many rounds there are; what is sent twice needs two."""
        return max(self.count, REPEATS) if self.udp or self.largest or self.fragmented else self.count

    def deadline(self, targets: int) -> float:
        """Return how long a run with so many targets may take at the most."""
        again = self.again
        echoes = self.rounds * self.interval + self.timeout + self.pause + again.count * again.interval + again.timeout
        blocks = -(-targets // TCP_AT_ONCE) * self.tcp_timeout if self.tcp else 0.0
        return echoes + blocks + 1.0

    @property
    def again(self) -> Settings:
        """How to ask once more those that lost something."""
        return replace(self, count=max(self.count, AGAIN), tcp=False, broadcast=False)


def round_trip(times: t.Sequence[float]) -> dict[str, float] | None:
    """Return min, median and max in milliseconds of times in seconds; None without any."""
    if not times:
        return None
    low = sorted(times)
    half = len(low) // 2
    median = low[half] if len(low) % 2 else (low[half - 1] + low[half]) / 2
    return {name: round(value * 1000, 3) for name, value in (("min", low[0]), ("median", median), ("max", low[-1]))}


class Run:
    """Requests that leave in turns, one to every target in each, and what was answered in time."""

    def __init__(self, targets: t.Sequence[Target], settings: Settings, start: float, nonce: bytes) -> None:
        self.targets = targets
        self.settings = settings
        self.notes: dict[int, str] = {}
        self.turns: list[tuple[int, str]] = []  # round and kind of each
        self._start = start
        self._nonce = nonce
        self._next = 0
        self._index = {target.address: index for index, target in enumerate(targets)}
        self._open: dict[tuple[int, int], float] = {}
        self._seen: set[tuple[int, int]] = set()
        self._order: deque[tuple[int, int]] = deque()

    def plan(self, turns: t.Sequence[tuple[int, str]]) -> None:
        """Set the turns; those of one round follow each other."""
        self.turns = list(turns)
        rounds = [number for number, dummy in turns]
        first = {number: rounds.index(number) for number in set(rounds)}
        self._places = [index - first[number] for index, number in enumerate(rounds)]
        most = max((rounds.count(number) for number in first), default=1) * max(len(self.targets), 1)
        self._spacing = min(SPACING, self.settings.interval / most)
        self.total = len(self.targets) * len(self.turns)

    def due(self) -> float | None:
        """Return when the next request should leave; None if all have left."""
        if self._next >= self.total:
            return None
        turn, index = divmod(self._next, len(self.targets))
        place = self._places[turn] * len(self.targets) + index
        return self._start + self.turns[turn][0] * self.settings.interval + place * self._spacing

    def current(self) -> tuple[int, int]:
        """Return turn and index of the next request."""
        return divmod(self._next, len(self.targets))

    def sent(self, now: float, problem: str | None = None) -> None:
        """Count the next request as sent, or as lost at once because of a problem."""
        turn, index = self.current()
        self._next += 1
        if problem is None:
            self._open[(index, turn)] = now
            self._order.append((index, turn))
        elif self.turns[turn][1] != ABOVE:
            self.notes[index] = problem

    def answered(self, index: int, turn: int, now: float) -> float | None:
        """Take an answer as the first in time and return its round trip; None if it came too late."""
        if (index, turn) not in self._open:
            return None
        self._seen.add((index, turn))
        return now - self._open.pop((index, turn))

    def expire(self, now: float) -> None:
        """Give up what has waited for longer than the timeout; a later answer counts as lost."""
        while self._order and now - self._open.get(self._order[0], NEVER) >= self.settings.timeout:
            self._open.pop(self._order.popleft(), None)

    def wait(self, now: float) -> float | None:
        """Return the seconds until there is something to do; None if all is sent and answered or given up."""
        self.expire(now)
        due = self.due()
        if due is not None:
            return max(0.0, due - now)
        if not self._open:
            return None
        return max(0.0, self._open[self._order[0]] + self.settings.timeout - now)

    def counts(self, index: int, kind: str) -> dict[str, int]:
        """Return how many requests of a kind were sent to a target, and how many of them answered in time."""
        done = [turn for turn in range(len(self.turns)) if self.turns[turn][1] == kind and self._left(index, turn)]
        return {"sent": len(done), "received": sum((index, turn) in self._seen for turn in done)}

    def _left(self, index: int, turn: int) -> bool:
        return turn * len(self.targets) + index < self._next


class EchoRun(Run):
    """ICMP echo requests: plain ones for loss and round trips; with mtus, one for each target, also the sizes that matter."""

    def __init__(
        self,
        targets: t.Sequence[Target],
        settings: Settings,
        start: float,
        nonce: bytes,
        ident: int,
        mtus: t.Sequence[int] = (),
    ) -> None:
        super().__init__(targets, settings, start, nonce)
        self._ident = ident
        self._mtus = [min(max(mtu, PAYLOAD + HEADERS), LARGEST) for mtu in mtus]
        self._times: list[list[float]] = [[] for dummy in targets]
        self._duplicates = [0] * len(targets)
        self.plan(list(self._kinds()))

    def _kinds(self) -> t.Iterator[tuple[int, str]]:
        """Yield round and kind of every turn."""
        settings = self.settings
        for number in range(settings.rounds if self._mtus else settings.count):
            if number < settings.count:
                yield number, PLAIN
            if self._mtus and number >= settings.rounds - REPEATS:
                if settings.largest:
                    yield number, LARGE
                if settings.fragmented:
                    yield number, FRAGMENTED
        if self._mtus and settings.largest:
            yield settings.rounds - 1, ABOVE

    def next_packet(self) -> tuple[str, bytes, bool]:
        """Return address and bytes of the next request, and whether it may be cut into fragments."""
        turn, index = self.current()
        packet = echo_request(self._ident, turn, self._payload(index, turn))
        return self.targets[index].address, packet, self.turns[turn][1] == FRAGMENTED

    def _payload(self, index: int, turn: int) -> bytes:
        kind = self.turns[turn][1]
        size = PAYLOAD
        if kind == FRAGMENTED:
            size = FRAGMENTED_BYTES - HEADERS
        elif kind in (LARGE, ABOVE):
            size = self._mtus[index] - HEADERS + (kind == ABOVE)
        return TOKEN.pack(self._nonce, index, turn) + bytes(size - TOKEN.size)

    def received(self, packet: bytes, source: str, now: float) -> None:
        """Count a packet: a first answer in time, a duplicate, an error message, or none of ours."""
        reply = parse_reply(packet)
        if reply is None:
            refusal = parse_refusal(packet)
            if refusal and refusal.ident == self._ident and refusal.target in self._index:
                self._refused(refusal, source)
            return
        ident, index, turn, payload = reply
        if ident != self._ident or index >= len(self.targets) or turn >= len(self.turns):
            return  # not from this run
        if payload != self._payload(index, turn):
            return  # damaged on the way
        if (index, turn) in self._seen:
            self._duplicates[index] += 1
        elif source != self.targets[index].address:
            self.notes[index] = f"answered by {source}"
        else:
            took = self.answered(index, turn, now)
            if took is not None and self.turns[turn][1] == PLAIN:
                self._times[index].append(took)

    def _refused(self, refusal: Refusal, source: str) -> None:
        """Note an error message; one about the packet that is too long is as it should be."""
        if refusal.sequence < len(self.turns) and self.turns[refusal.sequence][1] != ABOVE:
            self.notes[self._index[refusal.target]] = f"{source} says: {refusal.text}"

    def results(self) -> list[dict[str, t.Any]]:
        """Return the figures of every target, in their order."""
        return [self._result(index, target) for index, target in enumerate(self.targets)]

    def _result(self, index: int, target: Target) -> dict[str, t.Any]:
        plain = self.counts(index, PLAIN)
        sent, received = plain["sent"], plain["received"]
        return {
            "name": target.name,
            "address": target.address,
            "kind": target.kind,
            **plain,
            "duplicates": self._duplicates[index],
            "loss": round(100.0 * (sent - received) / sent, 1) if sent else 100.0,
            "rtt_ms": round_trip(self._times[index]),
            "mtu": self._largest(index),
            "fragmented": self._of_kind(index, FRAGMENTED, FRAGMENTED_BYTES),
            "note": self.notes.get(index),
            "first": None,
        }

    def _of_kind(self, index: int, kind: str, size: int) -> dict[str, t.Any] | None:
        counts = self.counts(index, kind)
        return {"bytes": size, "ok": counts["received"] > 0, **counts} if counts["sent"] else None

    def _largest(self, index: int) -> dict[str, t.Any] | None:
        """Return what became of the largest packets; above is the one that is a byte too long, and should not pass."""
        found = self._of_kind(index, LARGE, self._mtus[index]) if self._mtus else None
        if found:
            answers = self.counts(index, ABOVE)["received"]
            within = self._mtus[index] < LARGEST  # else it is cut down to what is tried at all, and more may pass
            found["above"] = {"bytes": self._mtus[index] + 1, "refused": not answers} if within else None
        return found

    def unanswered(self) -> list[int]:
        """Return the targets without any answer to a plain request."""
        return [index for index, times in enumerate(self._times) if not times]

    def times(self, index: int) -> list[float]:
        """Return the round trips to one target in seconds."""
        return self._times[index]


def doubtful(result: t.Mapping[str, t.Any]) -> bool:
    """Whether a target answered something and not everything: the rest was lost by chance, or for a reason that lasts."""
    others = [result[check] for check in ("mtu", "fragmented", "udp") if result.get(check)]
    lost = result["received"] < result["sent"] or any(not counts["received"] for counts in others)
    answered = result["received"] or (result.get("tcp") or {}).get("ok") or any(counts["received"] for counts in others)
    return bool(answered) and lost


def with_second(first: dict[str, t.Any], second: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the figures of a target that was asked again: those of the second time, with what was sent and received at first."""
    return {
        **first,
        **{key: second[key] for key in ("sent", "received", "loss", "rtt_ms", "mtu", "fragmented", "udp")},
        "duplicates": first["duplicates"] + second["duplicates"],
        "note": second["note"] or first["note"],
        "first": {key: first[key] for key in ("sent", "received")},
    }


class DatagramRun(Run):
    """UDP datagrams to the echo port of every target, compared byte by byte when they come back."""

    def __init__(
        self, targets: t.Sequence[Target], settings: Settings, start: float, nonce: bytes, filling: bytes
    ) -> None:
        super().__init__(targets, settings, start, nonce)
        self._filling = (filling * UDP_BYTES)[: UDP_BYTES - TOKEN.size]
        self._damaged: set[int] = set()
        self.plan([(settings.rounds - REPEATS + number, PLAIN) for number in range(REPEATS)])

    def next_packet(self) -> tuple[str, bytes]:
        """Return address and bytes of the next datagram."""
        turn, index = self.current()
        return self.targets[index].address, self._payload(index, turn)

    def _payload(self, index: int, turn: int) -> bytes:
        return TOKEN.pack(self._nonce, index, turn) + self._filling

    def received(self, data: bytes, source: str, now: float) -> None:
        """Count a datagram; one from a target that is none of those sent is a damaged one."""
        index = turn = -1
        if len(data) >= TOKEN.size:
            index, turn = TOKEN.unpack_from(data)[1:]
        if 0 <= index < len(self.targets) and turn < len(self.turns) and data == self._payload(index, turn):
            if source == self.targets[index].address:
                self.answered(index, turn, now)
        elif source in self._index:
            self._damaged.add(self._index[source])

    def refused(self, address: str, text: str) -> None:
        """Note an ICMP error message about a datagram."""
        if address in self._index:
            self.notes[self._index[address]] = text

    def result(self, index: int) -> dict[str, t.Any]:
        """Return the figures of one target."""
        counts = self.counts(index, PLAIN)
        error = None
        if index in self._damaged:
            error = "what came back differs from what was sent"
        elif not counts["received"]:
            error = self.notes.get(index) or f"no answer within {self.settings.timeout:g} s"
        return {"ok": error is None, "error": error, "bytes": UDP_BYTES, **counts}
