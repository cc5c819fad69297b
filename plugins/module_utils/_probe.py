# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Probe many addresses at once from the network namespace this process is in.

In the same rounds leave echo requests of three sizes, UDP datagrams, and a few broadcasts; then a block of data goes to the
TCP echo port of every target and back. One event loop, no thread and no process per target.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import struct
import time
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils._probe_echo import (
    ECHO_PORT,
    FRAGMENTED,
    LARGEST,
    UDP_BYTES,
    DatagramRun,
    EchoRun,
    Settings,
    Target,
    doubtful,
    with_second,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_packets import (
    ECHO_REPLY,
    TIME_EXCEEDED,
    UNREACHABLE,
    parse_refusal,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_storm import Watch, WatchChannel
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_tcp import exchange_blocks

ICMP_FILTER, SOL_RAW = 1, 255  # linux/icmp.h, linux/socket.h: the socket module lacks these and the next four
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_PROBE = (
    10,
    0,
    3,
)  # linux/in.h; PROBE: never fragment, heed the interface only
IP_MTU = 14
RECEIVE_BUFFER = 4 << 20  # bytes; holds the replies of thousands of targets while this process is not running
AT_ONCE = 16  # requests sent before answers are read


class Channel(t.Protocol):
    """A socket with what is to be sent on it."""

    sock: socket.socket

    def send_due(self, now: float) -> None:
        """Send what is due, a few at a time so that answers are read in between."""

    def take_in(self) -> None:
        """Read what has arrived."""

    def wait(self, now: float) -> float | None:
        """Return the seconds until there is something to do; None if nothing is waited for."""


class EchoChannel:
    """The raw sockets of an EchoRun: what leaves on the second may be cut into fragments; all answers come to the first."""

    def __init__(self, run: EchoRun, datagrams: DatagramRun | None = None, port: int = 0) -> None:
        self.run = run
        self._datagrams = datagrams
        self._port = port  # that the datagrams leave from; messages about them arrive here
        self.sock = raw_socket((ECHO_REPLY, UNREACHABLE, TIME_EXCEEDED), IP_PMTUDISC_PROBE)
        self._loose = (
            raw_socket((), IP_PMTUDISC_DONT) if any(turn[1] == FRAGMENTED for turn in run.turns) else self.sock
        )
        self.wait = run.wait

    def send_due(self, now: float) -> None:
        """Send what is due."""
        for dummy in range(AT_ONCE):
            due = self.run.due()
            if due is None or due > now:
                return
            address, packet, may_fragment = self.run.next_packet()
            problem = None
            now = time.monotonic()
            try:
                (self._loose if may_fragment else self.sock).sendto(packet, (address, 0))
            except OSError as exc:
                if _queue_full(exc):
                    return
                problem = exc.strerror or str(exc)
            self.run.sent(now, problem)

    def take_in(self) -> None:
        """Read all packets that have arrived."""
        while True:
            try:
                packet, source = self.sock.recvfrom(LARGEST + 64)
            except BlockingIOError:
                return
            except OSError:  # a pending error of the socket, told once
                continue
            self.run.received(packet, source[0], time.monotonic())
            if self._datagrams is not None and packet[20:21] == bytes([UNREACHABLE]):
                refusal = parse_refusal(packet)
                if refusal and (refusal.protocol, refusal.ident) == (socket.IPPROTO_UDP, self._port):
                    self._datagrams.refused(refusal.target, f"{source[0]} says: {refusal.text}")

    def close(self) -> None:
        """Close both sockets."""
        self.sock.close()
        self._loose.close()


class DatagramChannel:
    """The UDP socket of a DatagramRun."""

    def __init__(self, run: DatagramRun) -> None:
        self.run = run
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind(("0.0.0.0", 0))
        self.port: int = self.sock.getsockname()[1]
        self.wait = run.wait

    def send_due(self, now: float) -> None:
        """Send what is due."""
        for dummy in range(AT_ONCE):
            due = self.run.due()
            if due is None or due > now:
                return
            address, data = self.run.next_packet()
            problem = None
            now = time.monotonic()
            try:
                self.sock.sendto(data, (address, self.run.settings.port))
            except OSError as exc:
                if _queue_full(exc):
                    return
                problem = exc.strerror or str(exc)
            self.run.sent(now, problem)

    def take_in(self) -> None:
        """Read all datagrams that have arrived."""
        while True:
            try:
                data, source = self.sock.recvfrom(2 * UDP_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue
            if source[1] == self.run.settings.port:
                self.run.received(data, source[0], time.monotonic())

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


def _queue_full(exc: OSError) -> bool:
    """Tell a full queue of the link, after a short rest, from other errors; the next turn tries again."""
    if exc.errno in (errno.EAGAIN, errno.ENOBUFS):
        time.sleep(0.001)
        return True
    return False


def probe(targets: t.Sequence[Target], settings: Settings, address: str = "") -> dict[str, t.Any]:
    """Probe all targets from here; needs root. Ends within settings.deadline().

    Returns results, one for each target, and broadcast. address is our own; without it broadcasts are not looked at.
    Who answers something and not everything is asked again, a while later, when nothing else is under way from here.
    """
    end = time.monotonic() + settings.deadline(len(targets))
    found = probe_once(targets, settings, address, end)
    results = found["results"]
    again = [index for index, result in enumerate(results) if doubtful(result)]
    if again:
        time.sleep(settings.pause)
        second = probe_once([targets[index] for index in again], settings.again, "", end)["results"]
        for index, result in zip(again, second):
            results[index] = with_second(results[index], result)
    return found


def probe_once(targets: t.Sequence[Target], settings: Settings, address: str, end: float) -> dict[str, t.Any]:
    """Send everything once, and return what came back."""
    start = time.monotonic()
    nonce = os.urandom(8)
    with contextlib.ExitStack() as stack:
        udp = DatagramChannel(DatagramRun(targets, settings, start, nonce, os.urandom(64))) if settings.udp else None
        mtus = mtus_to([target.address for target in targets], settings.mtu)
        run = EchoRun(targets, settings, start, nonce, int.from_bytes(nonce[:2], "big"), mtus)
        echo = EchoChannel(run, udp.run if udp else None, udp.port if udp else 0)
        watch = watch_for(address, settings, start, nonce) if settings.broadcast and address else None
        channels: list[t.Any] = [one for one in (echo, udp, watch) if one is not None]
        for channel in channels:
            stack.callback(channel.close)
        exchange(channels, end)
        blocks = exchange_blocks(targets, settings, channels, end) if settings.tcp else {}
        for channel in channels:
            channel.take_in()
        now = time.monotonic()
        names = {target.address: target.name for target in targets}
        broadcast = watch.watch.result(names, now) if watch else None
    results = run.results()
    for index, result in enumerate(results):
        result["tcp"] = blocks.get(index)
        result["udp"] = udp.run.result(index) if udp else None
    return {"results": results, "broadcast": broadcast}


def watch_for(address: str, settings: Settings, start: float, nonce: bytes) -> WatchChannel | None:
    """Return what looks at broadcasts; None on an interface without such, or where the kernel lacks packet sockets."""
    try:
        return WatchChannel(Watch(address, start, settings.interval), nonce)
    except OSError:
        return None


def exchange(channels: t.Sequence[Channel], end: float) -> None:
    """Send and receive on all channels until nothing is waited for or time is up."""
    with selectors.DefaultSelector() as selector:
        for channel in channels:
            selector.register(channel.sock, selectors.EVENT_READ, channel)
        while True:
            now = time.monotonic()
            for channel in channels:
                channel.send_due(now)
            now = time.monotonic()
            waits = [wait for wait in (channel.wait(now) for channel in channels) if wait is not None]
            if not waits or now >= end:
                return
            for key, dummy in selector.select(min(waits)):
                key.data.take_in()


def mtus_to(addresses: t.Iterable[str], wanted: int = 0) -> list[int]:
    """Return the size that should pass to each address: what is wanted, else the MTU of the interface; 0 without a route."""
    mtus = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        for address in addresses:
            try:
                sock.connect((address, ECHO_PORT))  # sends nothing, and may be done again
                mtus.append(wanted or sock.getsockopt(socket.IPPROTO_IP, IP_MTU))
            except OSError:
                mtus.append(wanted)
    return mtus


def neighbour_overflows() -> int | None:
    """Return how often the kernel's neighbour table was full since boot; None where it does not tell.

    The table is shared by all network namespaces. With many containers on one host it fills up, and packets vanish.
    """
    try:
        with open("/proc/net/stat/arp_cache", encoding="ascii") as stream:
            names, *rows = (line.split() for line in stream)
        return sum(int(row[names.index("table_fulls")], 16) for row in rows)
    except (OSError, ValueError, IndexError):
        return None


def raw_socket(kinds: t.Iterable[int], discovery: int) -> socket.socket:
    """Return a raw socket that takes in ICMP messages of these kinds only; discovery says whether it cuts packets."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
    raw.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, discovery)
    wanted = sum(1 << kind for kind in set(kinds))
    raw.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", ~wanted & 0xFFFFFFFF))
    with contextlib.suppress(OSError):  # beyond net.core.rmem_max only with CAP_NET_ADMIN; less is no error
        raw.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), RECEIVE_BUFFER)
    return raw
