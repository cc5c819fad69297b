# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Tell whether a network multiplies broadcasts, as one with a loop does.

Each probe announces its own address by a few ARP requests (RFC 5227), which change nothing anywhere, and counts how many
copies of each it sees. They carry a mark behind the ARP part, in the bytes that fill an Ethernet frame up to its least length;
so the probes of other hosts know them, and each other's answers or a proxy for ARP are not taken for copies.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import typing as t

ANNOUNCEMENTS = 3
ETHERTYPE_ARP = 0x0806
BROADCAST = b"\xff" * 6
ARP = struct.Struct("!HHBBH6s4s6s4s")
MARK = struct.Struct("!9s4s4sB")  # magic, nonce, address of the sender, number
MAGIC = b"crosshost"
MARK_AT = 14 + ARP.size
FRAMES_MOST = 20000  # read in one run; a storm has more, and one that large is no longer in doubt
AT_ONCE = 64  # frames read before other sockets get their turn
# Twice may be chance: Docker without its proxy program has bridge ports that send a broadcast back to where it came from.
COPIES_FEW, COPIES_MANY = 1, 5
# Frames of others repeat for good reasons: a kernel asks about once a second for an address that nobody has.
OTHERS_COPIES, OTHERS_RATE = 20, 10.0  # copies of one frame, and how many of them a second
SIOCGIFADDR = 0x8915  # linux/sockios.h


def announcement(mac: bytes, address: str, nonce: bytes, number: int) -> bytes:
    """Return an Ethernet frame that asks everybody for the sender's own address."""
    own = socket.inet_aton(address)
    head = BROADCAST + mac + struct.pack("!H", ETHERTYPE_ARP)
    return head + ARP.pack(1, 0x0800, 6, 4, 1, mac, own, bytes(6), own) + MARK.pack(MAGIC, nonce, own, number)


def sender(frame: bytes) -> str | None:
    """Return whose announcement a frame is; None if it is none."""
    if len(frame) < MARK_AT + MARK.size or frame[MARK_AT : MARK_AT + len(MAGIC)] != MAGIC:
        return None
    return socket.inet_ntoa(MARK.unpack_from(frame, MARK_AT)[2])


class Watch:
    """Counts the copies of every ARP frame that arrives."""

    def __init__(self, address: str, start: float, interval: float) -> None:
        self.address = address
        self.sent = 0
        self.read = 0
        self._start = start
        self._interval = interval
        self._copies: dict[bytes, int] = {}

    def due(self) -> float | None:
        """Return when the next announcement should leave; None if all have left."""
        return self._start + self.sent * self._interval if self.sent < ANNOUNCEMENTS else None

    def received(self, frame: bytes) -> None:
        """Count a frame that came in."""
        self.read += 1
        self._copies[frame] = self._copies.get(frame, 0) + 1

    def result(self, names: t.Mapping[str, str], now: float) -> dict[str, t.Any]:
        """Return what was seen; names maps addresses to the targets that have them."""
        marked: dict[str, list[int]] = {}
        others = 0
        for frame, copies in self._copies.items():
            whose = sender(frame)
            if whose is None:
                others = max(others, copies)
            else:
                marked.setdefault(whose, []).append(copies)
        own = marked.pop(self.address, [])
        spent = max(now - self._start, 0.001)
        every = own + [copies for found in marked.values() for copies in found]
        amplified = (
            sum(copies > COPIES_FEW for copies in every) > 1
            or max(every, default=0) > COPIES_MANY
            or (others >= OTHERS_COPIES and others / spent >= OTHERS_RATE)
        )
        return {
            "sent": self.sent,
            "received": {names.get(whose, whose): max(found) for whose, found in sorted(marked.items())},
            "returned": max(own, default=0),
            "copies": max([others, *every]),
            "per_second": round(self.read / spent, 1),
            "amplified": amplified,
        }


def interface_of(address: str) -> str | None:
    """Return the name of the interface that has an IPv4 address first; None if none has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for dummy, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(sock.fileno(), SIOCGIFADDR, struct.pack("256s", name.encode()))
            except OSError:  # it has none
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None


class WatchChannel:
    """A socket on the interface that has the watch's address; nothing here blocks."""

    def __init__(self, watch: Watch, nonce: bytes) -> None:
        self.watch = watch
        name = interface_of(watch.address)
        if name is None:
            raise OSError(f"no interface has the address {watch.address}")
        protocol = socket.htons(ETHERTYPE_ARP)
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
        try:
            self.sock.bind((name, ETHERTYPE_ARP))
            self._mac: bytes = self.sock.getsockname()[4]
        except OSError:
            self.sock.close()
            raise
        self._nonce = nonce[:4]

    def send_due(self, now: float) -> None:
        """Send an announcement if one is due; one that cannot leave is none."""
        due = self.watch.due()
        if due is None or due > now:
            return
        with contextlib.suppress(OSError):
            self.sock.send(announcement(self._mac, self.watch.address, self._nonce, self.watch.sent))
        self.watch.sent += 1

    def take_in(self) -> None:
        """Read some of the frames that have arrived, but not those that leave."""
        for dummy in range(AT_ONCE):
            try:
                frame, origin = self.sock.recvfrom(256)
            except OSError:  # nothing more, or an interface that has gone
                return
            if origin[2] != socket.PACKET_OUTGOING and self.watch.read < FRAMES_MOST:
                self.watch.received(frame)

    def wait(self, now: float) -> float | None:
        """Return the seconds until the next announcement."""
        due = self.watch.due()
        return None if due is None else max(0.0, due - now)

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()
