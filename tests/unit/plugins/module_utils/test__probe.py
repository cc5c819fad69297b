# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packets, counting and timing of the probe engine; no packet leaves the machine."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _probe
from ansible_collections.crosshost.overlay.plugins.module_utils._probe import (
    HEADER,
    BlockCheck,
    EchoRun,
    Settings,
    Target,
    checksum,
    echo_request,
    parse_refusal,
    parse_reply,
    round_trip,
)

HERE, THERE, THIRD = "10.50.1.2", "10.50.2.3", "10.50.3.4"
TARGETS = [Target("h2", THERE), Target("h3", THIRD)]
IDENT = 0x1234
# An echo request of fping 5.1 with 16 bytes of data and the kernel's answer to it, as a raw socket received them.
RECORDED = bytes.fromhex("4500002c175440004001257b7f0000017f00000108007a2b7dd40000" + "00" * 16)
ANSWER = bytes.fromhex("4500002c175500004001657a7f0000017f0000010000822b7dd40000" + "00" * 16)


def ip_header(source: str, target: str, options: bytes = b"") -> bytes:
    words = (20 + len(options)) // 4
    start = struct.pack("!BBHHHBBH", 0x40 | words, 0, 0, 0, 0, 64, socket.IPPROTO_ICMP, 0)
    return start + socket.inet_aton(source) + socket.inet_aton(target) + options


def reply_to(request: bytes, source: str, options: bytes = b"") -> bytes:
    """Return what a host makes of an echo request."""
    dummy_kind, code, dummy_sum, ident, sequence = HEADER.unpack_from(request)
    return ip_header(source, HERE, options) + HEADER.pack(0, code, 0, ident, sequence) + request[HEADER.size :]


def refusal_of(request: bytes, target: str, kind: int = 3, code: int = 1) -> bytes:
    return ip_header(HERE, HERE) + HEADER.pack(kind, code, 0, 0, 0) + ip_header(HERE, target) + request[:8]


def new_run(count: int = 2, interval: float = 1.0, timeout: float = 0.5) -> EchoRun:
    return EchoRun(TARGETS, Settings(count, interval, timeout), 100.0, b"n" * 8, IDENT)


def send_all(run: EchoRun, now: float = 100.0) -> list[tuple[str, bytes]]:
    packets = []
    while run.due() is not None:
        packets.append(run.next_packet())
        run.sent(now)
    return packets


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(bytes.fromhex("0001f203f4f5f6f7"), 0x220D, id="example of RFC 1071"),
        pytest.param(b"\x01", 0xFEFF, id="odd length"),
        pytest.param(bytes(8), 0xFFFF, id="zeros"),
        pytest.param(b"\xff\xff", 0xFFFF, id="minus zero"),
    ],
)
def test_checksum(data: bytes, expected: int) -> None:
    assert checksum(data) == expected


def test_a_whole_message_sums_up_to_nothing() -> None:
    assert checksum(echo_request(IDENT, 7, b"data of odd length")) in (0, 0xFFFF)


def test_echo_request_is_what_fping_sends() -> None:
    assert echo_request(0x7DD4, 0, bytes(16)) == RECORDED[20:]


def test_recorded_packets_of_another_program() -> None:
    assert parse_reply(ANSWER) == (0x7DD4, 0, 0, bytes(16))
    assert parse_reply(RECORDED) is None
    run = new_run()
    send_all(run)
    run.received(ANSWER, THERE, 100.1)
    assert run.results()[0]["received"] == 0


@pytest.mark.parametrize("options", [b"", b"\x01" * 8], ids=["plain", "ip options"])
def test_parse_reply(options: bytes) -> None:
    address, request = new_run().next_packet()
    ident, index, turn, payload = parse_reply(reply_to(request, address, options)) or pytest.fail("no reply")
    assert (address, ident, index, turn, payload) == (THERE, IDENT, 0, 0, request[8:])


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x45" + bytes(18), id="cut in the ip header"),
        pytest.param(ip_header(THERE, HERE) + b"\0\0", id="cut in the icmp header"),
        pytest.param(ip_header(THERE, HERE) + HEADER.pack(0, 0, 0, IDENT, 0) + b"short", id="another size"),
        pytest.param(b"\x60" + bytes(80), id="ipv6"),
        pytest.param(b"\x4f" + bytes(8) + b"\x01" + bytes(12), id="header longer than the packet"),
        pytest.param(ip_header(HERE, THERE) + echo_request(IDENT, 0, bytes(56)), id="a request"),
    ],
)
def test_packets_that_are_no_reply(packet: bytes) -> None:
    assert parse_reply(packet) is None
    assert parse_refusal(packet) is None


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [(3, 1, "host unreachable"), (3, 13, "prohibited by a filter"), (3, 77, "code 77"), (11, 0, "time to live")],
)
def test_error_messages_become_notes(kind: int, code: int, expected: str) -> None:
    run = new_run(count=1)
    packets = send_all(run)
    run.received(refusal_of(packets[1][1], THIRD, kind, code), HERE, 100.1)
    first, second = run.results()
    assert first["note"] is None
    assert expected in second["note"]
    assert HERE in second["note"]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param([], None, id="none"),
        pytest.param([0.002], {"min": 2.0, "median": 2.0, "max": 2.0}, id="one"),
        pytest.param([0.009, 0.001, 0.002], {"min": 1.0, "median": 2.0, "max": 9.0}, id="odd"),
        pytest.param([0.004, 0.001, 0.002, 0.009], {"min": 1.0, "median": 3.0, "max": 9.0}, id="even"),
    ],
)
def test_round_trip(times: list[float], expected: dict[str, float] | None) -> None:
    assert round_trip(times) == expected


def test_every_round_sends_to_every_target_and_keeps_its_time() -> None:
    run = new_run(count=2, interval=1.0)
    dues, addresses = [], []
    while True:
        due = run.due()
        if due is None:
            break
        dues.append(due)
        addresses.append(run.next_packet()[0])
        run.sent(due)
    assert addresses == [THERE, THIRD, THERE, THIRD]
    assert dues == pytest.approx([100.0, 100.0005, 101.0, 101.0005])


def test_good_run() -> None:
    run = new_run(count=2)
    for delay, (address, request) in zip((0.001, 0.002, 0.003, 0.004), send_all(run)):
        run.received(reply_to(request, address), address, 100.0 + delay)
    assert run.wait(100.2) is None
    first, second = run.results()
    assert (first["sent"], first["received"], first["duplicates"], first["loss"]) == (2, 2, 0, 0.0)
    assert first["rtt_ms"] == pytest.approx({"min": 1.0, "median": 2.0, "max": 3.0})
    assert second["rtt_ms"] == pytest.approx({"min": 2.0, "median": 3.0, "max": 4.0})


def test_silence_is_given_up_after_the_timeout() -> None:
    run = new_run(count=2, timeout=0.5)
    packets = send_all(run)
    assert run.wait(100.2) == pytest.approx(0.3)
    assert run.wait(100.6) is None
    run.received(reply_to(packets[0][1], THERE), THERE, 100.7)
    first = run.results()[0]
    assert (first["loss"], first["received"], first["duplicates"], first["rtt_ms"]) == (100.0, 0, 0, None)


def test_partial_loss() -> None:
    run = EchoRun(TARGETS, Settings(count=3), 100.0, b"n" * 8, IDENT)
    packets = send_all(run)
    run.received(reply_to(packets[0][1], THERE), THERE, 100.1)
    assert run.results()[0]["loss"] == 66.7


def test_second_answers_are_duplicates() -> None:
    run = new_run()
    address, request = send_all(run)[0]
    for dummy in range(3):
        run.received(reply_to(request, address), address, 100.1)
    run.received(reply_to(request, address), THIRD, 100.1)
    assert (run.results()[0]["received"], run.results()[0]["duplicates"]) == (1, 3)


def test_an_answer_from_elsewhere_does_not_count() -> None:
    run = new_run()
    request = send_all(run)[0][1]
    run.received(reply_to(request, THIRD), THIRD, 100.1)
    result = run.results()[0]
    assert (result["received"], result["duplicates"], result["note"]) == (0, 0, f"answered by {THIRD}")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda packet: packet[:-1] + b"\x01", id="damaged"),
        pytest.param(lambda packet: packet[:28] + b"m" * 8 + packet[36:], id="another run"),
        pytest.param(lambda packet: packet[:24] + b"\x12\x35" + packet[26:], id="another identifier"),
        pytest.param(lambda packet: packet[:36] + b"\0\0\0\x09" + packet[40:], id="no such target"),
    ],
)
def test_foreign_answers_do_not_count(spoil: t.Callable[[bytes], bytes]) -> None:
    run = new_run()
    address, request = send_all(run)[0]
    run.received(spoil(reply_to(request, address)), address, 100.1)
    assert all(result["received"] == result["duplicates"] == 0 for result in run.results())


def test_a_request_that_could_not_leave_is_lost_at_once() -> None:
    run = new_run(count=1)
    run.sent(100.0, "Network is unreachable")
    run.sent(100.0)
    assert run.results()[0]["note"] == "Network is unreachable"
    assert run.results()[0]["loss"] == 100.0
    assert run.wait(100.6) is None


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, [84]), (2, [84, 1400]), (3, [84, 84, 1400]), (5, [84, 84, 84, 1400, 1400])],
)
def test_the_last_requests_fill_the_interface(count: int, sizes: list[int]) -> None:
    run = EchoRun([Target("h2", THERE)], Settings(count=count), 100.0, b"n" * 8, IDENT, [1400])
    packets = send_all(run)
    assert [len(request) + 20 for dummy, request in packets] == sizes
    for address, request in packets[:3]:
        run.received(reply_to(request, address), address, 100.1)
    large = sizes.count(1400)
    received = sum(size == 1400 for size in sizes[:3])
    expected = {"bytes": 1400, "sent": large, "received": received} if large else None
    assert run.results()[0]["full_size"] == expected


@pytest.mark.parametrize(("mtu", "size"), [(0, 84), (68, 84), (9000, 9000), (65536, 9216)])
def test_size_limits(mtu: int, size: int) -> None:
    run = EchoRun([Target("h2", THERE)], Settings(count=2), 100.0, b"n" * 8, IDENT, [mtu])
    assert len(send_all(run)[1][1]) + 20 == size


def test_mtus_to() -> None:
    there, nowhere, again = _probe.mtus_to(["127.0.0.1", "not an address", "127.0.0.2"])
    assert there == again >= 65535
    assert nowhere == 0


def test_no_targets() -> None:
    run = EchoRun([], Settings(), 100.0, b"n" * 8, IDENT)
    assert (run.due(), run.wait(100.0), run.results()) == (None, None, [])


@pytest.mark.parametrize(
    ("targets", "tcp", "expected"),
    [(0, True, 4.0), (2, True, 9.0), (33, True, 14.0), (33, False, 4.0)],
)
def test_deadline(targets: int, tcp: bool, expected: float) -> None:
    assert Settings(tcp=tcp).deadline(targets) == pytest.approx(expected)


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
    """Run the TCP phase alone; an unconnected UDP socket stands in for the raw one."""
    run = EchoRun([Target("x", "127.0.0.1")], Settings(port=port, tcp_timeout=timeout), 0.0, b"n" * 8, IDENT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.setblocking(False)
        return _probe._exchange_blocks(silent, run, time.monotonic() + 5)[0]


@pytest.mark.parametrize(
    ("treat", "error"),
    [
        pytest.param(echo, None, id="well"),
        pytest.param(echo_changed, "differs", id="altered"),
        pytest.param(close_early, "closed by the other end|reset by peer", id="closed"),
        pytest.param(swallow, "stalled: 0 of 65536 bytes", id="stalled"),
    ],
)
def test_tcp(treat: t.Callable[[socket.socket], None], error: str | None) -> None:
    peer = Peer(treat)
    result = exchange(peer.port)
    peer.listener.close()
    if error is None:
        assert (result["ok"], result["error"]) == (True, None)
        assert 0 < result["ms"] < 300
    else:
        assert not result["ok"]
        assert result["ms"] is None
        assert any(part.lower() in result["error"].lower() for part in error.split("|"))


def test_tcp_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "refused" in exchange(port)["error"].lower()


def test_tcp_out_of_time() -> None:
    run = EchoRun([Target("x", "127.0.0.1")], Settings(), 0.0, b"n" * 8, IDENT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.setblocking(False)
        assert _probe._exchange_blocks(silent, run, 0.0)[0]["error"] == "not tried: out of time"


def test_tcp_without_a_connection_says_so() -> None:
    check = BlockCheck("127.0.0.1", 9, b"x", 100.0)
    check.give_up(105.0)
    check.sock.close()
    assert check.result() == {"ok": False, "error": "no connection within 5.0 s", "ms": None}
