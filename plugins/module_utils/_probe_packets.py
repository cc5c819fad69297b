# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The packets of the probe: ICMP echo requests, what comes back, and what error messages say. Pure."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

ECHO_REPLY, UNREACHABLE, ECHO_REQUEST, TIME_EXCEEDED = 0, 3, 8, 11  # ICMP types, RFC 792
HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
TOKEN = struct.Struct("!8sII")  # nonce of the run, index of the target, turn
PORTS = struct.Struct("!HH")  # source and destination, at the start of a UDP header
UNREACHABLE_TEXT = {
    0: "network unreachable",
    1: "host unreachable",
    3: "port unreachable",
    4: "packet too big",
    13: "prohibited by a filter",
}


@dataclass(frozen=True)
class Refusal:
    """An ICMP error message about an echo request or a datagram to target.

    ident and sequence are those of the request; for a datagram ident is its source port.
    """

    kind: int
    code: int
    ident: int
    target: str
    sequence: int = 0
    protocol: int = socket.IPPROTO_ICMP

    @property
    def text(self) -> str:
        """What it says."""
        if self.kind == TIME_EXCEEDED:
            return "time to live exceeded"
        return UNREACHABLE_TEXT.get(self.code, f"unreachable, code {self.code}")


def checksum(data: bytes) -> int:
    """Return the Internet checksum of RFC 1071; a sum in ones' complement is a remainder of division by 65535."""
    if len(data) % 2:
        data += b"\0"
    return 0xFFFF - int.from_bytes(data, "big") % 0xFFFF


def echo_request(ident: int, sequence: int, payload: bytes) -> bytes:
    """Return an ICMP echo request without the IP header, which the kernel adds."""
    bare = HEADER.pack(ECHO_REQUEST, 0, 0, ident, sequence & 0xFFFF)
    return HEADER.pack(ECHO_REQUEST, 0, checksum(bare + payload), ident, sequence & 0xFFFF) + payload


def parse_reply(packet: bytes) -> tuple[int, int, int, bytes] | None:
    """Return identifier, index, turn and payload of an IPv4 packet with an echo reply of ours; None for anything else."""
    start = icmp_start(packet)
    if start is None or packet[start] != ECHO_REPLY or len(packet) < start + HEADER.size + TOKEN.size:
        return None
    ident = HEADER.unpack_from(packet, start)[3]
    payload = packet[start + HEADER.size :]
    index, turn = TOKEN.unpack_from(payload)[1:]
    return ident, index, turn, payload


def parse_refusal(packet: bytes) -> Refusal | None:
    """Return what an IPv4 packet with an ICMP error message says; it quotes the header of the packet it is about."""
    start = icmp_start(packet)
    if start is None or packet[start] not in (UNREACHABLE, TIME_EXCEEDED):
        return None
    quoted = packet[start + HEADER.size :]
    kind, code = packet[start], packet[start + 1]
    inner = icmp_start(quoted)
    if inner is not None and quoted[inner] == ECHO_REQUEST:
        ident, sequence = HEADER.unpack_from(quoted, inner)[3:]
        return Refusal(kind, code, ident, socket.inet_ntoa(quoted[16:20]), sequence)
    inner = payload_start(quoted, socket.IPPROTO_UDP, PORTS.size)
    if inner is not None:
        port = PORTS.unpack_from(quoted, inner)[0]
        return Refusal(kind, code, port, socket.inet_ntoa(quoted[16:20]), protocol=socket.IPPROTO_UDP)
    return None


def icmp_start(packet: bytes) -> int | None:
    """Return where the ICMP header of an IPv4 packet starts; None if it has no whole one."""
    return payload_start(packet, socket.IPPROTO_ICMP, HEADER.size)


def payload_start(packet: bytes, protocol: int, size: int) -> int | None:
    """Return where the header of that protocol starts in an IPv4 packet; None if size bytes of it are not there."""
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != protocol:
        return None
    start = (packet[0] & 0x0F) * 4
    return start if len(packet) >= start + size else None
