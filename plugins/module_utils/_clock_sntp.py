# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Asks NTP servers for the time, all at once, without setting anything (SNTP, RFC 4330)."""

from __future__ import annotations

import select
import socket
import struct
import time
import typing as t
from dataclasses import dataclass

PORT = 123
PACKET = struct.Struct("!BBbb11I")
REQUEST = 0x23  # leap 0, version 4, mode 3: client
EPOCH = 2208988800  # seconds from 1900, where NTP counts from, to 1970
ERA = 2**32  # NTP's seconds begin anew in 2036
UNSYNCHRONISED = 3
PER_NAME = 4  # addresses of one name that are asked
TRIES = 2


@dataclass(frozen=True)
class Answer:
    """What one server said. offset is the server's clock minus ours, in seconds."""

    server: str
    offset: float | None = None
    bound: float = 0.0
    stratum: int = 0
    problem: str = ""  # why it is of no use


def ask(servers: t.Sequence[str], timeout: float, port: int = PORT) -> list[Answer]:
    """The best answer of each server or pool, in this order; timeout in seconds for all of them together."""
    best: dict[str, Answer] = {}
    targets: list[tuple[str, t.Any]] = []
    for name in servers:
        try:
            infos = socket.getaddrinfo(name, port, type=socket.SOCK_DGRAM)
        except OSError as exc:
            best[name] = Answer(name, problem=f"its name could not be looked up ({exc.strerror or exc})")
            continue
        targets += [(name, info) for info in infos[:PER_NAME]]
    for dummy in range(TRIES):
        waiting = [(name, info) for name, info in targets if best.get(name, Answer(name, problem="-")).problem]
        if waiting:
            _round(waiting, timeout / TRIES, best)
    return [best.get(name, Answer(name, problem="it does not answer on UDP port 123")) for name in servers]


def _round(targets: list[tuple[str, t.Any]], timeout: float, best: dict[str, Answer]) -> None:
    """One question to each address."""
    sockets: dict[socket.socket, tuple[str, float, bytes]] = {}
    end = time.monotonic() + timeout
    try:
        for name, (family, kind, proto, dummy_name, address) in targets:
            try:
                sock = socket.socket(family, kind, proto)
            except OSError:
                continue  # no IPv6 on this host
            try:
                sock.setblocking(False)
                sock.connect(address)
                stamp = _stamp(time.time())
                sent = time.monotonic()
                sock.send(PACKET.pack(REQUEST, 0, 0, 0, *[0] * 9, *stamp))
                sockets[sock] = (name, sent, struct.pack("!II", *stamp))
            except OSError:
                sock.close()  # no route to it
        names = {name for name, dummy_info in targets}
        while (
            sockets
            and time.monotonic() < end
            and any(best.get(name, Answer(name, problem="-")).problem for name in names)
        ):
            for sock in select.select(list(sockets), [], [], max(0.0, end - time.monotonic()))[0]:
                name, sent, cookie = sockets.pop(sock)
                _take(sock, name, sent, cookie, best)
    finally:
        for sock in sockets:
            sock.close()


def _take(sock: socket.socket, name: str, sent: float, cookie: bytes, best: dict[str, Answer]) -> None:
    try:
        data = sock.recv(512)
    except OSError as exc:  # port unreachable
        best.setdefault(name, Answer(name, problem=f"it does not answer on UDP port 123 ({exc.strerror or exc})"))
        return
    finally:
        sock.close()
    answer = judge(name, data, cookie, time.time(), time.monotonic() - sent)
    known = best.get(name)
    if known is None or known.problem or (not answer.problem and answer.bound < known.bound):
        best[name] = answer


def judge(name: str, data: bytes, cookie: bytes, now: float, elapsed: float) -> Answer:
    """Make an answer of a packet that came at this time, so many seconds after the question."""
    if len(data) < PACKET.size or data[24:32] != cookie or data[0] & 7 not in (4, 5):
        return Answer(name, problem="what answers on UDP port 123 is no NTP server")
    leap, stratum = data[0] >> 6, data[1]
    if leap == UNSYNCHRONISED or not 1 <= stratum <= 15:
        return Answer(name, stratum=stratum, problem=f"it answers, but is not synchronised itself (stratum {stratum})")
    received, transmitted = (_seconds(data[at : at + 8]) for at in (32, 40))
    delay = max(0.0, elapsed - (transmitted - received))
    # Its clock when the answer left, half a round trip ago.
    return Answer(name, transmitted + delay / 2 - now, delay / 2, stratum)


def _stamp(now: float) -> tuple[int, int]:
    whole = int(now)
    return (whole + EPOCH) % ERA, int((now - whole) * ERA)


def _seconds(data: bytes) -> float:
    whole, part = struct.unpack("!II", data)
    if whole < EPOCH:  # after 2036
        whole += ERA
    return whole - EPOCH + part / ERA
