# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ICMP packets: what is sent, and what is made of those that come."""

from __future__ import annotations

import socket
import struct

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._probe_packets import (
    HEADER,
    PORTS,
    TOKEN,
    checksum,
    echo_request,
    parse_refusal,
    parse_reply,
)

HERE, THERE, THIRD = "10.50.1.2", "10.50.2.3", "10.50.3.4"
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


def test_recorded_packets() -> None:
    assert parse_reply(ANSWER) == (0x7DD4, 0, 0, bytes(16))
    assert parse_reply(RECORDED) is None


@pytest.mark.parametrize("options", [b"", b"\x01" * 8], ids=["plain", "ip options"])
def test_parse_reply(options: bytes) -> None:
    request = echo_request(IDENT, 3, TOKEN.pack(b"n" * 8, 1, 3) + b"more")
    assert parse_reply(reply_to(request, THERE, options)) == (IDENT, 1, 3, request[8:])


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


def quoting(inner: bytes, protocol: int = socket.IPPROTO_ICMP, code: int = 1) -> bytes:
    """Return an error message about a packet to THIRD."""
    quoted = bytearray(ip_header(HERE, THIRD))
    quoted[9] = protocol
    return ip_header(HERE, HERE) + HEADER.pack(3, code, 0, 0, 0) + bytes(quoted) + inner


def test_an_error_message_about_a_request() -> None:
    found = parse_refusal(quoting(echo_request(IDENT, 9, b"")))
    assert found is not None
    assert (found.target, found.ident, found.sequence, found.text) == (THIRD, IDENT, 9, "host unreachable")


def test_an_error_message_about_a_datagram() -> None:
    found = parse_refusal(quoting(PORTS.pack(40000, 7), socket.IPPROTO_UDP, 3))
    assert found is not None
    assert (found.target, found.ident, found.protocol, found.text) == (THIRD, 40000, 17, "port unreachable")


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(quoting(PORTS.pack(1, 2), socket.IPPROTO_TCP), id="about tcp"),
        pytest.param(quoting(b"\0\0", socket.IPPROTO_UDP), id="cut in the udp header"),
        pytest.param(quoting(HEADER.pack(0, 0, 0, IDENT, 0)), id="about a reply"),
    ],
)
def test_error_messages_about_other_things(packet: bytes) -> None:
    assert parse_refusal(packet) is None
