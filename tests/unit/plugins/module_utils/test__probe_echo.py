# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counting and timing of the probe engine; nothing is sent."""

from __future__ import annotations

import socket
import struct
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._probe_echo import (
    DatagramRun,
    EchoRun,
    Settings,
    Target,
    doubtful,
    round_trip,
    with_second,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_packets import HEADER, parse_reply

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
        packets.append(run.next_packet()[:2])
        run.sent(now)
    return packets


def test_recorded_packets_of_another_program() -> None:
    assert parse_reply(ANSWER) is not None
    run = new_run()
    send_all(run)
    run.received(ANSWER, THERE, 100.1)
    assert run.results()[0]["received"] == 0


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


def sized(settings: Settings, mtu: int = 1400) -> EchoRun:
    return EchoRun([Target("h2", THERE)], settings, 100.0, b"n" * 8, IDENT, [mtu])


@pytest.mark.parametrize(
    ("settings", "rounds"),
    [
        (Settings(count=1), [[84, 1400, 3200], [1400, 3200, 1401]]),
        (Settings(count=3), [[84], [84, 1400, 3200], [84, 1400, 3200, 1401]]),
        (Settings(count=2, fragmented=False), [[84, 1400], [84, 1400, 1401]]),
        (Settings(count=2, largest=False), [[84, 3200], [84, 3200]]),
        (Settings(count=1, largest=False, fragmented=False, udp=False), [[84]]),
    ],
    ids=["one", "three", "no fragments", "no sizes", "plain"],
)
def test_other_sizes_share_the_last_rounds(settings: Settings, rounds: list[list[int]]) -> None:
    run, found = sized(settings), {}
    while True:
        due = run.due()
        if due is None:
            break
        dummy_address, request, loose = run.next_packet()
        assert loose is (len(request) + 20 == 3200)
        found.setdefault(int((due - 100.0) / settings.interval + 0.01), []).append(len(request) + 20)
        run.sent(due)
    assert [found[number] for number in sorted(found)] == rounds


@pytest.mark.parametrize(
    ("lost", "changes"),
    [
        ((), {}),
        ((1401,), {}),
        ((1400,), {"mtu": {"bytes": 1400, "ok": False, "sent": 2, "received": 0}}),
        ((3200,), {"fragmented": {"bytes": 3200, "ok": False, "sent": 2, "received": 0}}),
        ((84,), {"received": 0, "loss": 100.0}),
    ],
    ids=["all answered", "as it should be", "large lost", "fragments lost", "small lost"],
)
def test_sizes_are_counted_apart(lost: tuple[int, ...], changes: dict[str, t.Any]) -> None:
    run = sized(Settings(count=3))
    for address, request in send_all(run):
        if len(request) + 20 not in lost:
            run.received(reply_to(request, address), address, 100.1)
    result = run.results()[0]
    above = result["mtu"].pop("above")
    expected = {
        "sent": 3,
        "received": 3,
        "loss": 0.0,
        "mtu": {"bytes": 1400, "ok": True, "sent": 2, "received": 2},
        "fragmented": {"bytes": 3200, "ok": True, "sent": 2, "received": 2},
        **changes,
    }
    assert {key: result[key] for key in expected} == expected
    assert above == {"bytes": 1401, "refused": 1401 in lost}


def test_only_plain_requests_are_timed() -> None:
    run = sized(Settings(count=2))
    for address, request in send_all(run):
        run.received(reply_to(request, address), address, 100.001 if len(request) + 20 == 84 else 101.0)
    assert run.results()[0]["rtt_ms"] == pytest.approx({"min": 1.0, "median": 1.0, "max": 1.0})


def test_one_answer_of_a_size_is_enough() -> None:
    run = sized(Settings(count=2))
    address, request = send_all(run)[1]
    run.received(reply_to(request, address), address, 100.1)
    found = run.results()[0]["mtu"]
    assert (found["ok"], found["sent"], found["received"]) == (True, 2, 1)


def test_a_packet_that_is_too_long_by_intent_leaves_no_note() -> None:
    run = sized(Settings(count=2))
    while run.due() is not None:
        dummy_address, request, dummy_loose = run.next_packet()
        run.sent(100.0, "Message too long" if len(request) + 20 == 1401 else None)
    run.received(refusal_of(request, THERE, 3, 4), HERE, 100.1)
    result = run.results()[0]
    assert (result["note"], result["mtu"]["above"]) == (None, {"bytes": 1401, "refused": True})


@pytest.mark.parametrize(("mtu", "size"), [(0, 84), (68, 84), (9000, 9000), (65536, 9216)])
def test_size_limits(mtu: int, size: int) -> None:
    run = sized(Settings(count=2), mtu)
    assert len(send_all(run)[1][1]) + 20 == size
    assert (run.results()[0]["mtu"]["above"] is None) is (mtu == 65536)


def datagrams() -> tuple[DatagramRun, list[tuple[str, bytes]]]:
    run = DatagramRun(TARGETS, Settings(timeout=0.5), 100.0, b"n" * 8, b"filling")
    packets = []
    while run.due() is not None:
        packets.append(run.next_packet())
        run.sent(100.0)
    return run, packets


def test_datagrams_come_back() -> None:
    run, packets = datagrams()
    assert [(address, len(data)) for address, data in packets] == [(THERE, 600), (THIRD, 600)] * 2
    for address, data in packets[:3]:
        run.received(data, address, 100.1)
    assert run.result(0) == {"ok": True, "error": None, "bytes": 600, "sent": 2, "received": 2}
    assert run.result(1) == {"ok": True, "error": None, "bytes": 600, "sent": 2, "received": 1}


def test_datagrams_leave_in_the_last_rounds() -> None:
    run = DatagramRun(TARGETS, Settings(count=5, interval=1.0), 100.0, b"n" * 8, b"x")
    dues = []
    while run.due() is not None:
        dues.append(run.due())
        run.sent(100.0)
    assert dues == pytest.approx([103.0, 103.0005, 104.0, 104.0005])


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[:-1] + b"\x01", id="last byte"),
        pytest.param(lambda data: b"m" + data[1:], id="first byte"),
        pytest.param(lambda data: data[:-1], id="cut"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:8] + b"\0\0\0\x09" + data[12:], id="index"),
    ],
)
def test_altered_datagrams_are_told_even_if_others_are_well(spoil: t.Callable[[bytes], bytes]) -> None:
    run, packets = datagrams()
    run.received(packets[0][1], THERE, 100.1)
    run.received(spoil(packets[2][1]), THERE, 100.1)
    assert "differs" in run.result(0)["error"]
    assert "no answer within 0.5 s" in run.result(1)["error"]


def test_datagrams_from_elsewhere_do_not_count() -> None:
    run, packets = datagrams()
    run.received(packets[0][1], "10.9.9.9", 100.1)
    run.received(b"noise", "10.9.9.9", 100.1)
    run.refused(THERE, "port unreachable")
    run.refused("10.9.9.9", "of another")
    assert (run.result(0)["received"], run.result(0)["error"]) == (0, "port unreachable")


def test_no_targets() -> None:
    run = EchoRun([], Settings(), 100.0, b"n" * 8, IDENT)
    assert (run.due(), run.wait(100.0), run.results()) == (None, None, [])


@pytest.mark.parametrize(
    ("targets", "tcp", "expected"),
    [(0, True, 15.0), (2, True, 20.0), (33, True, 25.0), (33, False, 15.0)],
)
def test_deadline(targets: int, tcp: bool, expected: float) -> None:
    assert Settings(tcp=tcp).deadline(targets) == pytest.approx(expected)


@pytest.mark.parametrize(("count", "again"), [(1, 20), (5, 20), (20, 20), (100, 100)])
def test_asked_again_at_least_as_often(count: int, again: int) -> None:
    assert Settings(count, 0.1, 0.5).again == Settings(again, 0.1, 0.5, tcp=False, broadcast=False)


THROUGH, LOST = {"sent": 2, "received": 1}, {"sent": 2, "received": 0}
WHOLE = {"sent": 5, "received": 5, "mtu": THROUGH, "fragmented": THROUGH, "udp": THROUGH}
NOTHING = {"sent": 5, "received": 0, "mtu": LOST, "fragmented": LOST, "udp": LOST, "tcp": {"ok": False}}


@pytest.mark.parametrize(
    ("result", "again"),
    [
        pytest.param(WHOLE, False, id="all"),
        pytest.param({**WHOLE, "mtu": None, "fragmented": None, "udp": None}, False, id="all that was asked for"),
        pytest.param({**WHOLE, "received": 4}, True, id="all but one"),
        pytest.param({**WHOLE, "mtu": LOST}, True, id="not the largest"),
        pytest.param({**WHOLE, "fragmented": LOST}, True, id="no fragments"),
        pytest.param({**WHOLE, "udp": LOST}, True, id="no datagrams"),
        pytest.param({**NOTHING, "tcp": {"ok": True}}, True, id="nothing but TCP"),
        pytest.param({**NOTHING, "udp": THROUGH}, True, id="nothing but datagrams"),
        pytest.param(NOTHING, False, id="nothing"),
    ],
)
def test_who_is_asked_again(result: dict[str, t.Any], again: bool) -> None:
    assert doubtful(result) is again


def test_the_second_time_counts_and_the_first_is_told() -> None:
    first, second = ({**answered_run(count).results()[0], "udp": LOST} for count in (3, 20))
    first.update(sent=5, loss=40.0, duplicates=1, tcp={"ok": True})
    second.update(duplicates=2, mtu=THROUGH, fragmented=THROUGH, udp=THROUGH)
    found = with_second(first, second)
    assert (found["sent"], found["received"], found["loss"]) == (20, 20, 0.0)
    assert found["rtt_ms"] == second["rtt_ms"]
    assert (found["mtu"], found["fragmented"], found["udp"]) == (THROUGH, THROUGH, THROUGH)
    assert found["duplicates"] == 3
    assert found["tcp"] == {"ok": True}
    assert found["first"] == {"sent": 5, "received": 3}


def answered_run(count: int) -> EchoRun:
    """A run whose requests were all answered."""
    run = new_run(count=count)
    for target, packet in send_all(run):
        run.received(reply_to(packet, target), target, 100.1)
    return run
