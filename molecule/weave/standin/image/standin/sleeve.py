# Stands in for Weave Net 2.9.0 in tests: frames in UDP datagrams, by way of this process.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries frames on udp/6783 where VXLAN is off or blocked. Slow, like the real one's user-space path.

Datagram: magic, name of the sender (6 bytes), kind; heartbeats also say which connection, frames in which piece of how many.
"""

from __future__ import annotations

import itertools
import socket
import struct
import time
import typing as t

from standin import log, tools

if t.TYPE_CHECKING:
    from standin.link import Link
    from standin.overlay import Overlay

MAGIC = b"WSLV"
HEARTBEAT, FRAME = 1, 2
PIECE = 60000  # a datagram holds 65507 bytes, a frame up to 65549
FORGET_ADDRESS = 600.0
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0


class Sleeve:
    def __init__(self, overlay: Overlay, device: str, host: str, port: int) -> None:
        self.overlay, self.device = overlay, device
        self.name = bytes.fromhex(overlay.mesh.ourself.name.replace(":", ""))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        try:
            self.udp.bind((host, port))
        except OSError:
            log.fatal(f"listen udp4 {host}:{port}: bind: address already in use")
        self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.raw.bind((device, 3))
        self.remotes: dict[str, tuple[str, int]] = {}
        self.behind: dict[bytes, tuple[str, float]] = {}
        self.numbers = itertools.count()
        self.pieces: dict[tuple[str, int], dict[int, bytes]] = {}

    def start(self) -> None:
        tools.spawn(self._outgoing)
        tools.spawn(self._incoming)

    def forget(self, peer: str) -> None:
        self.remotes.pop(peer, None)

    def heartbeat(self, link: Link, payload: bytes) -> None:
        if link.outbound:
            self.remotes.setdefault(link.remote.name, (link.ip, link.port))
        self._send(link.remote.name, HEARTBEAT, payload)

    def _send(self, peer: str, what: int, payload: bytes) -> None:
        remote = self.remotes.get(peer)
        if remote:
            try:
                self.udp.sendto(MAGIC + self.name + bytes([what]) + payload, remote)
            except OSError as error:
                log.debug(f"sleeve to {peer}: {error}")

    # From the bridge to the peers

    def _outgoing(self) -> None:
        while True:
            try:
                frame, address = self.raw.recvfrom(70000)
            except OSError as error:
                log.warning(f"sleeve: {self.device}: {error}")
                time.sleep(1)
                continue
            if address[2] == socket.PACKET_OUTGOING or len(frame) < 14:
                continue
            now = time.monotonic()
            # A frame that came from a peer and is back: not ours to send.
            if self._peer_behind(frame[6:12], now):
                continue
            known = self._peer_behind(frame[:6], now)
            for peer in self._carried():
                if known in ("", peer):
                    self._send_frame(peer, frame)

    def _peer_behind(self, mac: bytes, now: float) -> str:
        peer, seen = self.behind.get(mac, ("", 0.0))
        return peer if now - seen < FORGET_ADDRESS else ""

    def _carried(self) -> list[str]:
        """The peers whose frames go this way."""
        with self.overlay.mesh.lock:
            return [
                name
                for name, link in self.overlay.mesh.links.items()
                if link.established and link.switch and link.switch.best.name == "sleeve"
            ]

    def _send_frame(self, peer: str, frame: bytes) -> None:
        number = next(self.numbers) & 0xFFFFFFFF
        parts = [frame[start : start + PIECE] for start in range(0, len(frame), PIECE)]
        for index, part in enumerate(parts):
            self._send(peer, FRAME, struct.pack("!IBB", number, index, len(parts)) + part)

    # From the peers to the bridge

    def _incoming(self) -> None:
        while True:
            try:
                data, remote = self.udp.recvfrom(70000)
            except OSError:
                continue
            if data[:4] != MAGIC or len(data) < 17:
                continue
            peer, what, payload = data[4:10].hex(":"), data[10], data[11:]
            if what == HEARTBEAT:
                if self.overlay.heard("sleeve", peer, payload):
                    self.remotes[peer] = remote
            elif what == FRAME and self.remotes.get(peer) == remote:
                self._receive_frame(peer, payload)

    def _receive_frame(self, peer: str, payload: bytes) -> None:
        number, index, count = struct.unpack("!IBB", payload[:6])
        frame = payload[6:]
        if count > 1:
            pieces = self.pieces.setdefault((peer, number), {})
            pieces[index] = frame
            if len(pieces) < count:
                if len(self.pieces) > 64:
                    self.pieces.pop(next(iter(self.pieces)))
                return
            frame = b"".join(pieces[part] for part in range(count))
            del self.pieces[(peer, number)]
        self.behind[frame[6:12]] = (peer, time.monotonic())
        try:
            self.raw.send(frame)
        except OSError as error:
            log.debug(f"sleeve: {self.device}: {error}")
