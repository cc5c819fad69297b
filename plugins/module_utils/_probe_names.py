# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Ask one name server for many names at once, again and again until each has the address it should have or time is up.

Names travel between hosts by gossip and come a moment after the container does, so a first answer is not the last word.
Lookups holds what is asked and answered and does no input or output of its own.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import time
import typing as t
from dataclasses import dataclass

PORT = 53
AGAIN = 0.5  # seconds between two questions after the same name
SPACING = 0.001  # seconds between two questions, so that a thousand of them are no burst
LARGEST = 4096  # bytes of an answer
LABEL_LARGEST = 63  # bytes of a part of a name, RFC 1035
ADDRESS, INTERNET, RECURSION, RESPONSE = 1, 1, 0x0100, 0x8000
HEADER = struct.Struct("!6H")  # identifier, flags, counts of questions, answers, authorities, additional records
QUESTION = struct.Struct("!2H")  # type, class
RECORD = struct.Struct("!2HIH")  # type, class, time to live, length of the data
CODES = {1: "format error", 2: "server failure", 3: "no such name", 4: "not implemented", 5: "refused by the server"}


@dataclass(frozen=True)
class Wanted:
    """A name, and the address it should have."""

    fqdn: str
    address: str


@dataclass(frozen=True)
class Reply:
    """What a server answered: its status (0 is well) and the IPv4 addresses in it."""

    ident: int
    code: int
    addresses: tuple[str, ...]


def query(ident: int, fqdn: str) -> bytes:
    """Return the question after the IPv4 addresses of a name."""
    labels = [label.encode("ascii") for label in fqdn.rstrip(".").split(".")]
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return HEADER.pack(ident, RECURSION, 1, 0, 0, 0) + name + QUESTION.pack(ADDRESS, INTERNET)


def parse_reply(data: bytes) -> Reply | None:
    """Read an answer; None if it is none, or one that cannot be read."""
    try:
        ident, flags, questions, answers = HEADER.unpack_from(data)[:4]
        if not flags & RESPONSE or len(data) > LARGEST:
            return None
        at = HEADER.size
        for dummy in range(questions):
            at = _after_name(data, at) + QUESTION.size
        found = []
        for dummy in range(answers):
            at = _after_name(data, at)
            kind, group, dummy_ttl, size = RECORD.unpack_from(data, at)
            at += RECORD.size
            if (kind, group, size) == (ADDRESS, INTERNET, 4) and at + size <= len(data):
                found.append(socket.inet_ntoa(data[at : at + size]))
            at += size
    except (struct.error, IndexError):
        return None
    return Reply(ident, flags & 0x000F, tuple(sorted(set(found))))


def _after_name(data: bytes, at: int) -> int:
    """Return where a name ends; a pointer (RFC 1035, 4.1.4) ends it."""
    while True:
        length = data[at]
        if length > LABEL_LARGEST:
            return at + 2
        at += 1 + length
        if not length:
            return at


class Lookups:
    """What is asked and what came back. A name is settled when the server gives its address and no other."""

    def __init__(self, wanted: t.Sequence[Wanted], start: float, first_ident: int) -> None:
        self._wanted = wanted
        self._start = start
        self._first = first_ident
        self._due = [start + index * SPACING for index in range(len(wanted))]
        self._asked: list[float | None] = [None] * len(wanted)
        self._tries = [0] * len(wanted)
        self._open = set(range(len(wanted)))
        self._addresses: list[tuple[str, ...]] = [()] * len(wanted)
        self._errors = ["no answer"] * len(wanted)
        self._took: list[float | None] = [None] * len(wanted)

    def wait(self, now: float) -> float | None:
        """Return the seconds until the next question; None if all names are settled."""
        return max(0.0, min(self._due[index] for index in self._open) - now) if self._open else None

    def questions(self, now: float) -> list[tuple[int, bytes]]:
        """Return index and bytes of the questions that are due, and count them as asked."""
        due = [index for index in sorted(self._open) if self._due[index] <= now]
        for index in due:
            self._due[index] = now + AGAIN
            self._asked[index] = now
            self._tries[index] += 1
        return [(index, query((self._first + index) & 0xFFFF, self._wanted[index].fqdn)) for index in due]

    def failed_all(self, error: str) -> None:
        """Note an error of the server as a whole for all names that are not settled."""
        for index in self._open:
            self._errors[index], self._addresses[index] = error, ()

    def received(self, data: bytes, now: float) -> None:
        """Take in an answer; one that is damaged or not to a question of ours changes nothing."""
        reply = parse_reply(data)
        if reply is None:
            return
        index = (reply.ident - self._first) & 0xFFFF
        if index not in self._open or self._asked[index] is None:
            return
        wanted = self._wanted[index]
        self._addresses[index] = reply.addresses
        if reply.addresses == (wanted.address,):
            self._open.discard(index)
            self._took[index] = now - self._start
            self._errors[index] = ""
        elif reply.addresses:
            self._errors[index] = f"{' and '.join(reply.addresses)} instead of {wanted.address}"
        else:
            self._errors[index] = CODES.get(reply.code, f"status {reply.code}") if reply.code else "no address"

    def results(self, server: str) -> list[dict[str, t.Any]]:
        """Return what is known of every name, in their order."""
        return [
            {
                "fqdn": wanted.fqdn,
                "server": server,
                "ok": index not in self._open,
                "addresses": list(self._addresses[index]),
                "error": self._errors[index] or None,
                "ms": None if self._took[index] is None else round((self._took[index] or 0.0) * 1000, 3),
                "tries": self._tries[index],
            }
            for index, wanted in enumerate(self._wanted)
        ]


def look_up(wanted: t.Sequence[Wanted], server: str, timeout: float, port: int = PORT) -> list[dict[str, t.Any]]:
    """Ask the server from here until every name is settled, for so many seconds at the most."""
    start = time.monotonic()
    lookups = Lookups(wanted, start, int.from_bytes(os.urandom(2), "big"))
    with socket.socket(
        socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    ) as sock, selectors.DefaultSelector() as selector:
        try:
            sock.connect((server, port))  # so that the kernel tells of a port nobody listens on
        except OSError as exc:
            lookups.failed_all(exc.strerror or str(exc))
            return lookups.results(server)
        selector.register(sock, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            wait = lookups.wait(now)
            if wait is None or now - start >= timeout:
                return lookups.results(server)
            for dummy_index, packet in lookups.questions(now):
                try:
                    sock.send(packet)
                except OSError as exc:  # about the server: what came back after any question before, told once
                    lookups.failed_all(exc.strerror or str(exc))
            if selector.select(
                min(lookups.wait(time.monotonic()) or 0.0, max(0.0, start + timeout - time.monotonic()))
            ):
                _take_in(sock, lookups)


def _take_in(sock: socket.socket, lookups: Lookups) -> None:
    """Read all answers that have arrived."""
    while True:
        try:
            data = sock.recv(LARGEST)
        except BlockingIOError:
            return
        except OSError as exc:  # an ICMP message: it is about the server, not about one name
            lookups.failed_all(exc.strerror or str(exc))
            return
        lookups.received(data, time.monotonic())
