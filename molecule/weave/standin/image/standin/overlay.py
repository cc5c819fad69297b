# Stands in for Weave Net 2.9.0 in tests: by which way frames go to each peer, and whether that way works.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Heartbeats as in the real router: each way is tried twice a second until the other side acknowledges it over TCP, then every
10 s; without any for 60 s it counts as broken. The first way in the list that works carries the frames.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
import typing as t

from standin import datapath, log, sleeve, tools
from standin.link import Link
from standin.mesh import Mesh

FAST_HEARTBEAT, SLOW_HEARTBEAT, TIMEOUT = 0.5, 10.0, 60.0
ETHERTYPE = 0x88B5  # for local experiments
MAGIC = b"weave-hb"
SLEEVE_MTU, SLEEVE_MTU_ENCRYPTED = 1438, 1414


class Way:
    """One way to a peer: "fastdp" or "sleeve"."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.established = self.acked = self.dead = False
        self.healthy = True
        self.due = time.monotonic()
        self.interval = FAST_HEARTBEAT
        self.seen = time.monotonic()


class Switch:
    """The ways to one peer and the one in use."""

    def __init__(self, overlay: Overlay, link: Link, names: list[str]) -> None:
        self.overlay, self.link = overlay, link
        self.ways = [Way(name) for name in names]
        self.best = self.ways[0]
        self.open_ip = ""

    def way(self, name: str) -> Way | None:
        return next((way for way in self.ways if way.name == name and not way.dead), None)

    def choose(self) -> None:
        working = [way for way in self.ways if way.healthy and not way.dead]
        if not working:
            self.link.stop(f"no working forwarders to {self.link.remote.full}")
            return
        best = next((way for way in working if way.established), working[0])
        if best is not self.best:
            self.best = best
            log.info(f"overlay_switch ->[{self.link.remote.full}] using {best.name}")
        self.overlay.place(self)

    def attrs(self) -> dict[str, t.Any]:
        if self.best.name == "fastdp":
            return {"mtu": self.overlay.datapath.mtu, "name": "fastdp"}
        if not self.best.established:
            return {"mtu": 65535, "name": "sleeve"}
        secret = self.overlay.mesh.password and self.link.untrusted
        return {"mtu": SLEEVE_MTU_ENCRYPTED if secret else SLEEVE_MTU, "name": "sleeve"}


class Overlay:
    def __init__(self, mesh: Mesh, path: datapath.Datapath, host: str, port: int) -> None:
        self.mesh, self.datapath = mesh, path
        self.names = ["fastdp", "sleeve"] if path.fast else ["sleeve"]
        self.sleeve = sleeve.Sleeve(self, path.sleeve_end, host, port)
        self._raw: socket.socket | None = None
        if path.fast:
            self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            only_ours(self._raw)
            self._raw.bind((path.vxlan, 3))

    def start(self) -> None:
        self.sleeve.start()
        if self._raw:
            tools.spawn(self._receive_fast)
        tools.spawn(self._tick_loop)

    # Links

    def prepare(self, link: Link) -> None:
        theirs = link.features["Overlays"].split(" ")
        order = self.names if link.outbound else theirs
        common = [name for name in order if name in self.names and name in theirs]
        link.switch = Switch(self, link, common)

    def confirm(self, link: Link) -> None:
        if link.switch.way("fastdp"):
            self.datapath.introduce(link.remote.name, link.ip, self.fast_port(link))

    def fast_port(self, link: Link) -> int:
        return link.port + 1 if link.outbound else int(link.features["Port"]) + 1

    def finish(self, link: Link) -> None:
        with self.mesh.lock:
            if link.switch and self.datapath.fast and not self._other_link_to(link):
                self.datapath.close(link.ip)
            self.sleeve.forget(link.remote.name)

    def _other_link_to(self, link: Link) -> bool:
        return any(other is not link and other.ip == link.ip for other in self.mesh.links.values())

    def place(self, switch: Switch) -> None:
        """Make the kernel send to the peer, or no longer."""
        link = switch.link
        want = link.ip if switch.best.name == "fastdp" and switch.best.established else ""
        if want and not switch.open_ip:
            self.datapath.open(want, self.fast_port(link))
        elif switch.open_ip and not want:
            self.datapath.close(switch.open_ip)
            self.datapath.introduce(link.remote.name, link.ip, self.fast_port(link))
        switch.open_ip = want

    # Heartbeats

    def _tick_loop(self) -> None:
        while True:
            time.sleep(0.1)
            with self.mesh.lock:
                for link in list(self.mesh.links.values()):
                    if link.switch:
                        self._tick(link, time.monotonic())

    def _tick(self, link: Link, now: float) -> None:
        for way in link.switch.ways:
            if way.dead:
                continue
            if now >= way.due:
                way.due = now + way.interval
                self._send(link, way.name)
            if now - way.seen > TIMEOUT and way.healthy:
                if way.name == "sleeve":
                    log.info(f"sleeve ->[{link.address}|{link.remote.full}]: timed out waiting for UDP heartbeat")
                    way.dead = True
                way.healthy, way.interval = False, SLOW_HEARTBEAT
                link.switch.choose()

    def _send(self, link: Link, way: str) -> None:
        payload = MAGIC + struct.pack("!Q", link.uid)
        if way == "sleeve":
            self.sleeve.heartbeat(link, payload)
        elif self._raw:
            ours, theirs = (bytes.fromhex(name.replace(":", "")) for name in (self.mesh.ourself.name, link.remote.name))
            frame = theirs + ours + struct.pack("!H", ETHERTYPE) + payload
            try:
                self._raw.send(frame.ljust(60, b"\0"))
            except OSError as error:
                log.debug(f"fastdp heartbeat to {link.remote.full}: {error}")

    def _receive_fast(self) -> None:
        while self._raw:
            try:
                frame, address = self._raw.recvfrom(2048)
            except OSError as error:
                log.warning(f"fastdp: {error}")
                time.sleep(1)
                continue
            if address[2] != socket.PACKET_OUTGOING:
                self.heard("fastdp", frame[6:12].hex(":"), frame[14:])

    def heard(self, way_name: str, peer: str, payload: bytes) -> bool:
        """A heartbeat has arrived; whether it belongs to a connection."""
        if payload[:8] != MAGIC:
            return False
        with self.mesh.lock:
            link = self.mesh.links.get(peer)
            if not link or not link.switch or struct.unpack("!Q", payload[8:16])[0] != link.uid:
                return False
            way = link.switch.way(way_name)
            if not way:
                return False
            way.seen = time.monotonic()
            if not way.acked:
                way.acked = True
                link.send({"t": "ack", "way": way_name})
            if not way.healthy:
                way.healthy = True
                link.switch.choose()
            return True

    def acknowledged(self, link: Link, way_name: str) -> None:
        with self.mesh.lock:
            way = link.switch.way(way_name)
            if way and not way.established:
                way.established, way.interval = True, SLOW_HEARTBEAT
                link.switch.choose()
                if not link.established:
                    self.mesh.established(link)


def only_ours(sock: socket.socket) -> None:
    """A packet filter: frames with our ethertype only. Without it every frame would pass through here."""
    program = [(0x28, 0, 0, 12), (0x15, 0, 1, ETHERTYPE), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    filter_ = struct.pack("HP", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, 26, filter_)  # SO_ATTACH_FILTER
