# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A block of data over TCP and back; no packet leaves the machine."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._probe_echo import Settings, Target
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_tcp import TCP_BYTES, BlockCheck, exchange_blocks


class Peer:
    """A TCP server on the loopback address that treats one connection in a given way."""

    def __init__(self, treat: t.Callable[[socket.socket], None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, args=(treat,), daemon=True)
        self._thread.start()

    def _serve(self, treat: t.Callable[[socket.socket], None]) -> None:
        conn = self.listener.accept()[0]
        with conn, contextlib.suppress(OSError):  # the other end may be gone already
            conn.settimeout(2)
            treat(conn)


def echo(conn: socket.socket) -> None:
    while data := conn.recv(4096):
        conn.sendall(data)


def echo_changed(conn: socket.socket) -> None:
    while data := conn.recv(4096):
        conn.sendall(bytes(byte ^ 1 for byte in data))


def close_early(conn: socket.socket) -> None:
    conn.sendall(conn.recv(10))


def swallow(conn: socket.socket) -> None:
    time.sleep(0.4)


def exchange(port: int, timeout: float = 0.3) -> dict[str, t.Any]:
    """Send a block to a port of this machine."""
    settings = Settings(port=port, tcp_timeout=timeout)
    return exchange_blocks([Target("x", "127.0.0.1")], settings, [], time.monotonic() + 5)[0]


@pytest.mark.parametrize(
    ("treat", "error"),
    [
        pytest.param(echo, None, id="well"),
        pytest.param(echo_changed, "differs", id="altered"),
        pytest.param(close_early, "closed by the other end|reset by peer", id="closed"),
        pytest.param(swallow, "stalled: 0 of 262144 bytes", id="stalled"),
    ],
)
def test_tcp(treat: t.Callable[[socket.socket], None], error: str | None) -> None:
    peer = Peer(treat)
    result = exchange(peer.port)
    peer.listener.close()
    if error is None:
        assert (result["ok"], result["error"]) == (True, None)
        assert 0 < result["ms"] < 300
        assert result["bytes"] == TCP_BYTES
    else:
        assert not result["ok"]
        assert result["ms"] is None
        assert any(part.lower() in result["error"].lower() for part in error.split("|"))


def test_tcp_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "refused" in exchange(port)["error"].lower()


def test_tcp_out_of_time() -> None:
    result = exchange_blocks([Target("x", "127.0.0.1")], Settings(), [], 0.0)[0]
    assert (result["error"], result["bytes"]) == ("not tried: out of time", TCP_BYTES)


class Other:
    """Another socket, as that of the pings."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.taken = b""

    def take_in(self) -> None:
        self.taken += self.sock.recv(100)


def test_tcp_leaves_no_other_socket_unread() -> None:
    other, peer = Other(), Peer(swallow)
    with other.sock:
        other.sock.sendto(b"late", other.sock.getsockname())
        settings = Settings(port=peer.port, tcp_timeout=0.2)
        exchange_blocks([Target("x", "127.0.0.1")], settings, [other], time.monotonic() + 5)
    peer.listener.close()
    assert other.taken == b"late"


def test_tcp_without_a_connection_says_so() -> None:
    check = BlockCheck("127.0.0.1", 9, b"x", 100.0)
    check.give_up(105.0)
    check.sock.close()
    assert check.result() == {"ok": False, "error": "no connection within 5.0 s", "ms": None, "bytes": 1}
