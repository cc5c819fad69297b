# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking NTP servers: real packets to a server that is pretended on this machine."""

from __future__ import annotations

import socket
import struct
import threading
import time
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _clock_sntp
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_sntp import EPOCH, PACKET

AHEAD = 1200.0


def reply(question: bytes, now: float, first: int = 0x24, stratum: int = 2) -> bytes:
    """What a server says whose clock shows now."""
    stamp = (int(now) + EPOCH, int(now % 1 * 2**32))
    return PACKET.pack(first, stratum, 6, -20, 0, 0, 0, *stamp, *struct.unpack("!II", question[40:48]), *stamp, *stamp)


@pytest.fixture
def server() -> t.Iterator[t.Callable[[t.Callable[[bytes], bytes]], int]]:
    """Return a function that starts a server with this answer and returns its port."""
    sockets = []

    def start(answer: t.Callable[[bytes], bytes]) -> int:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        sockets.append(sock)

        def serve() -> None:
            try:
                while True:
                    data, peer = sock.recvfrom(100)
                    said = answer(data)
                    if said:
                        sock.sendto(said, peer)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        return t.cast("int", sock.getsockname()[1])

    yield start
    for sock in sockets:
        sock.close()


def test_offset(server: t.Any) -> None:
    """Within its own bound."""
    port = server(lambda data: reply(data, time.time() + AHEAD))
    (answer,) = _clock_sntp.ask(["127.0.0.1"], 2, port)
    assert answer.problem == ""
    # The stamp has the time at which the answer was made; the server's own delay is a part of the round trip.
    assert answer.offset == pytest.approx(AHEAD, abs=answer.bound + 0.000001)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda data: reply(data, 0.5, first=0xE4, stratum=0), "not synchronised itself"),
        (lambda data: reply(data, 0.5, stratum=16), "stratum 16"),
        (lambda data: reply(bytes(48), 0.5), "no NTP server"),
        (lambda data: b"hello", "no NTP server"),
        (lambda data: b"", "does not answer"),
    ],
    ids=["alarm", "stratum 16", "answer to another question", "something else", "silence"],
)
def test_of_no_use(server: t.Any, answer: t.Callable[[bytes], bytes], says: str) -> None:
    start = time.monotonic()
    (found,) = _clock_sntp.ask(["127.0.0.1"], 0.4, server(answer))
    assert found.offset is None
    assert says in found.problem
    assert time.monotonic() - start < 2


def test_closed_port_and_unknown_name(server: t.Any) -> None:
    """Each is named with its own reason, in the order asked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    found = _clock_sntp.ask(["127.0.0.1", "no.such.name.invalid"], 0.4, port)
    assert [item.server for item in found] == ["127.0.0.1", "no.such.name.invalid"]
    assert "does not answer" in found[0].problem
    assert "looked up" in found[1].problem


def test_one_lost_packet(server: t.Any) -> None:
    """It is asked again."""
    asked: list[bytes] = []

    def second_time(data: bytes) -> bytes:
        asked.append(data)
        return reply(data, time.time()) if len(asked) > 1 else b""

    (answer,) = _clock_sntp.ask(["127.0.0.1"], 1, server(second_time))
    assert answer.problem == ""
    assert len(asked) == 2


def test_after_2036() -> None:
    """NTP's seconds have begun anew by then."""
    assert _clock_sntp._seconds(struct.pack("!II", *_clock_sntp._stamp(2200000000.5))) == pytest.approx(2200000000.5)
