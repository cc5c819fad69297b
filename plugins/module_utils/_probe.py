# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Probe many addresses at once from the network namespace this process is in.

Echo requests to every target leave through one raw socket, the last of them as large as the interface allows; then a
block of data goes to the TCP echo port of every target and back. One event loop, no thread and no process per target.
EchoRun holds what is sent and counted and does no input or output of its own.
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
from collections import deque
from dataclasses import dataclass

ECHO_REPLY, UNREACHABLE, ECHO_REQUEST, TIME_EXCEEDED = 0, 3, 8, 11  # ICMP types, RFC 792
ECHO_PORT = 7  # RFC 862
PAYLOAD = 56  # bytes; with the 8 of the header the 64 that ping(8) sends
HEADERS = 28  # bytes of an IPv4 header without options and an ICMP header
LARGEST = 9216  # bytes; larger than the jumbo frames of any usual switch. The loopback interface has an MTU of 65536
TCP_BYTES = 65536  # more than one window of full segments, so that MTU and offload faults show
TCP_AT_ONCE = 32  # keeps the burst of blocks below 2 MiB
SPACING = 0.0005  # seconds between two echo requests, unless the interval asks for more speed
ICMP_FILTER, SOL_RAW = 1, 255  # linux/icmp.h, linux/socket.h: the socket module lacks these and the next three
IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, IP_MTU = 10, 3, 14  # linux/in.h; PROBE: never fragment, heed the interface only
RECEIVE_BUFFER = 4 << 20  # bytes; holds the replies of thousands of targets while this process is not running

HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
TOKEN = struct.Struct("!8sII")  # nonce of the run, index of the target, round

NEVER = float("-inf")
UNREACHABLE_TEXT = {0: "network unreachable", 1: "host unreachable", 4: "packet too big", 13: "prohibited by a filter"}


@dataclass(frozen=True)
class Target:
    """One address to probe; name is what it is called in the report."""

    name: str
    address: str


@dataclass(frozen=True)
class Settings:
    """How to probe; times in seconds."""

    count: int = 5
    interval: float = 0.2
    timeout: float = 2.0
    tcp_timeout: float = 5.0
    port: int = ECHO_PORT
    tcp: bool = True

    def deadline(self, targets: int) -> float:
        """Return how long a run with so many targets may take at the most."""
        echoes = self.count * self.interval + self.timeout
        blocks = -(-targets // TCP_AT_ONCE) * self.tcp_timeout if self.tcp else 0.0
        return echoes + blocks + 1.0


@dataclass(frozen=True)
class Refusal:
    """An ICMP error message about an echo request to target."""

    kind: int
    code: int
    ident: int
    target: str

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
    """Return identifier, index, round and payload of an IPv4 packet with an echo reply of ours; None for anything else."""
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
    inner = icmp_start(quoted)
    if inner is None or quoted[inner] != ECHO_REQUEST:
        return None
    return Refusal(
        packet[start], packet[start + 1], HEADER.unpack_from(quoted, inner)[3], socket.inet_ntoa(quoted[16:20])
    )


def icmp_start(packet: bytes) -> int | None:
    """Return where the ICMP header of an IPv4 packet starts; None if it has no whole one."""
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_ICMP:
        return None
    start = (packet[0] & 0x0F) * 4
    return start if len(packet) >= start + HEADER.size else None


def round_trip(times: t.Sequence[float]) -> dict[str, float] | None:
    """Return min, median and max in milliseconds of times in seconds; None without any."""
    if not times:
        return None
    low = sorted(times)
    half = len(low) // 2
    median = low[half] if len(low) % 2 else (low[half - 1] + low[half]) / 2
    return {name: round(value * 1000, 3) for name, value in (("min", low[0]), ("median", median), ("max", low[-1]))}


class EchoRun:
    """What was sent to whom and what came back. Every round sends one request to every target."""

    def __init__(
        self,
        targets: t.Sequence[Target],
        settings: Settings,
        start: float,
        nonce: bytes,
        ident: int,
        mtus: t.Sequence[int] = (),
    ) -> None:
        self.targets = targets
        self.settings = settings
        self.total = len(targets) * settings.count
        self.notes: dict[int, str] = {}
        self._start = start
        self._nonce = nonce
        self._ident = ident
        self._next = 0
        self._spacing = min(SPACING, settings.interval / max(len(targets), 1))
        self._index = {target.address: index for index, target in enumerate(targets)}
        # One packet lost by chance does not look like a wrong MTU, two do.
        large = min(2, settings.count // 2) if mtus else 0
        self._large_from = settings.count - large
        self._sizes = [max(PAYLOAD, min(mtu, LARGEST) - HEADERS) for mtu in mtus]
        self._large_received = [0] * len(targets)
        self._open: dict[tuple[int, int], float] = {}
        self._seen: set[tuple[int, int]] = set()
        self._order: deque[tuple[int, int]] = deque()
        self._times: list[list[float]] = [[] for dummy in targets]
        self._sent = [0] * len(targets)
        self._duplicates = [0] * len(targets)

    def due(self) -> float | None:
        """Return when the next request should leave; None if all have left."""
        if self._next >= self.total:
            return None
        turn, index = divmod(self._next, len(self.targets))
        return self._start + turn * self.settings.interval + index * self._spacing

    def next_packet(self) -> tuple[str, bytes]:
        """Return address and bytes of the next request."""
        turn, index = divmod(self._next, len(self.targets))
        return self.targets[index].address, echo_request(self._ident, turn, self._payload(index, turn))

    def _payload(self, index: int, turn: int) -> bytes:
        size = self._sizes[index] if turn >= self._large_from else PAYLOAD
        return TOKEN.pack(self._nonce, index, turn) + bytes(size - TOKEN.size)

    def sent(self, now: float, problem: str | None = None) -> None:
        """Count the next request as sent, or as lost at once because of a problem."""
        turn, index = divmod(self._next, len(self.targets))
        self._next += 1
        self._sent[index] += 1
        if problem:
            self.notes[index] = problem
        else:
            self._open[(index, turn)] = now
            self._order.append((index, turn))

    def received(self, packet: bytes, source: str, now: float) -> None:
        """Count a packet: a first answer in time, a duplicate, an error message, or none of ours."""
        reply = parse_reply(packet)
        if reply is None:
            refusal = parse_refusal(packet)
            if refusal and refusal.ident == self._ident and refusal.target in self._index:
                self.notes[self._index[refusal.target]] = f"{source} says: {refusal.text}"
            return
        ident, index, turn, payload = reply
        if ident != self._ident or index >= len(self.targets) or payload != self._payload(index, turn):
            return  # not from this run, or damaged on the way
        if (index, turn) in self._seen:
            self._duplicates[index] += 1
        elif source != self.targets[index].address:
            self.notes[index] = f"answered by {source}"
        elif (index, turn) in self._open:
            self._seen.add((index, turn))
            self._times[index].append(now - self._open.pop((index, turn)))
            self._large_received[index] += turn >= self._large_from

    def expire(self, now: float) -> None:
        """Give up what has waited for longer than the timeout; a later answer counts as lost."""
        while self._order and now - self._open.get(self._order[0], NEVER) >= self.settings.timeout:
            self._open.pop(self._order.popleft(), None)

    def wait(self, now: float) -> float | None:
        """Return the seconds until there is something to do; None if all is sent and answered or given up."""
        self.expire(now)
        due = self.due()
        if due is not None:
            return max(0.0, due - now)
        if not self._open:
            return None
        return max(0.0, self._open[self._order[0]] + self.settings.timeout - now)

    def results(self) -> list[dict[str, t.Any]]:
        """Return the figures of every target, in their order."""
        return [self._result(index, target) for index, target in enumerate(self.targets)]

    def _result(self, index: int, target: Target) -> dict[str, t.Any]:
        sent, received = self._sent[index], len(self._times[index])
        large = max(0, sent - self._large_from)
        return {
            "name": target.name,
            "address": target.address,
            "sent": sent,
            "received": received,
            "duplicates": self._duplicates[index],
            "loss": round(100.0 * (sent - received) / sent, 1) if sent else 100.0,
            "rtt_ms": round_trip(self._times[index]),
            "full_size": {
                "bytes": self._sizes[index] + HEADERS,
                "sent": large,
                "received": self._large_received[index],
            }
            if large
            else None,
            "note": self.notes.get(index),
        }


class BlockCheck:
    """One TCP connection that sends a block and compares what comes back."""

    def __init__(self, address: str, port: int, block: bytes, started: float) -> None:
        self.started = started
        self.error: str | None = None
        self.done = False
        self.connected = False
        self.ended = started
        self._block = block
        self._sent = 0
        self._got = 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        status = self.sock.connect_ex((address, port))
        if status not in (0, errno.EINPROGRESS):
            self.finish(started, os.strerror(status))

    def events(self) -> int:
        """Return what to wait for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._sent < len(self._block) else 0)

    def step(self, mask: int, now: float) -> None:
        """Go on as far as the socket allows."""
        try:
            if not self.connected:
                status = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if status:
                    raise OSError(status, os.strerror(status))
                self.connected = True
            if mask & selectors.EVENT_WRITE and self._sent < len(self._block):
                self._sent += self.sock.send(memoryview(self._block)[self._sent :])
            if mask & selectors.EVENT_READ:
                self._read(now)
        except BlockingIOError:
            return
        except OSError as exc:
            self.finish(now, exc.strerror or str(exc))

    def _read(self, now: float) -> None:
        data = self.sock.recv(TCP_BYTES)
        if not data:
            self.finish(now, f"closed by the other end after {self._got} of {len(self._block)} bytes")
        elif self._block[self._got : self._got + len(data)] != data:
            self.finish(now, f"what came back differs from what was sent, at or after byte {self._got}")
        else:
            self._got += len(data)
            if self._got == len(self._block):
                self.finish(now)

    def finish(self, now: float, error: str | None = None) -> None:
        """End the check, well if error is None."""
        self.done, self.ended, self.error = True, now, error

    def give_up(self, now: float) -> None:
        """End the check because its time is over; the sentence tells a dead path from one that passes small packets only."""
        spent = f"within {now - self.started:.1f} s"
        if self.connected:
            self.finish(now, f"stalled: {self._got} of {len(self._block)} bytes came back {spent}")
        else:
            self.finish(now, f"no connection {spent}")

    def result(self) -> dict[str, t.Any]:
        """Return ok, error and milliseconds from connect to the last byte."""
        ok = self.error is None
        return {"ok": ok, "error": self.error, "ms": round((self.ended - self.started) * 1000, 3) if ok else None}


def probe(targets: t.Sequence[Target], settings: Settings) -> list[dict[str, t.Any]]:
    """Probe all targets from here; needs root. Ends within settings.deadline(). Returns one result for each target."""
    end = time.monotonic() + settings.deadline(len(targets))
    with contextlib.closing(_raw_socket()) as raw:
        nonce = os.urandom(8)
        mtus = mtus_to(target.address for target in targets)
        run = EchoRun(targets, settings, time.monotonic(), nonce, int.from_bytes(nonce[:2], "big"), mtus)
        _exchange_echoes(raw, run, end)
        blocks = _exchange_blocks(raw, run, end) if settings.tcp else {}
        _drain(raw, run)
    results = run.results()
    for index, result in enumerate(results):
        result["tcp"] = blocks.get(index)
    return results


def mtus_to(addresses: t.Iterable[str]) -> list[int]:
    """Return the MTU of the interface towards each address; 0 without a route to it."""
    mtus = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        for address in addresses:
            try:
                sock.connect((address, ECHO_PORT))  # sends nothing, and may be done again
                mtus.append(sock.getsockopt(socket.IPPROTO_IP, IP_MTU))
            except OSError:
                mtus.append(0)
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


def _raw_socket() -> socket.socket:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
    raw.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
    wanted = (1 << ECHO_REPLY) | (1 << UNREACHABLE) | (1 << TIME_EXCEEDED)
    raw.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", ~wanted & 0xFFFFFFFF))
    with contextlib.suppress(OSError):  # beyond net.core.rmem_max only with CAP_NET_ADMIN; less is no error
        raw.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), RECEIVE_BUFFER)
    return raw


def _drain(raw: socket.socket, run: EchoRun) -> None:
    """Take in all packets that have arrived."""
    while True:
        try:
            packet, source = raw.recvfrom(LARGEST + 64)
        except BlockingIOError:
            return
        except OSError:  # a pending error of the socket, told once
            continue
        run.received(packet, source[0], time.monotonic())


def _send_due(raw: socket.socket, run: EchoRun, now: float) -> None:
    """Send what is due, a few at a time so that answers are read in between."""
    for _dummy in range(16):
        due = run.due()
        if due is None or due > now:
            return
        address, packet = run.next_packet()
        try:
            raw.sendto(packet, (address, 0))
        except OSError as exc:
            if exc.errno in (errno.EAGAIN, errno.ENOBUFS):  # the queue of the link is full: the next turn tries again
                time.sleep(0.001)
                return
            run.sent(now, exc.strerror or str(exc))
            continue
        now = time.monotonic()
        run.sent(now)


def _exchange_echoes(raw: socket.socket, run: EchoRun, end: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(raw, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            _send_due(raw, run, now)
            wait = run.wait(time.monotonic())
            if wait is None or now >= end:
                return
            if selector.select(wait):
                _drain(raw, run)


def _exchange_blocks(raw: socket.socket, run: EchoRun, end: float) -> dict[int, dict[str, t.Any]]:
    """Check TCP to all targets, TCP_AT_ONCE at a time; late duplicates of echo replies are still counted."""
    block = os.urandom(TCP_BYTES)
    waiting = deque(range(len(run.targets)))
    active: dict[int, BlockCheck] = {}
    results: dict[int, dict[str, t.Any]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(raw, selectors.EVENT_READ)
        while waiting or active:
            now = time.monotonic()
            while waiting and len(active) < TCP_AT_ONCE and now < end:
                index = waiting.popleft()
                check = BlockCheck(run.targets[index].address, run.settings.port, block, now)
                active[index] = check
                if not check.done:
                    selector.register(check.sock, check.events(), check)
            limit = min([end, *(check.started + run.settings.tcp_timeout for check in active.values())])
            for key, mask in selector.select(max(0.0, limit - now)):
                if key.data is None:
                    _drain(raw, run)
                else:
                    _step(selector, key.data, mask)
            now = time.monotonic()
            for index, check in list(active.items()):
                if not check.done and (now >= end or now - check.started >= run.settings.tcp_timeout):
                    check.give_up(now)
                if check.done:
                    results[index] = active.pop(index).result()
                    if check.sock in selector.get_map():
                        selector.unregister(check.sock)
                    check.sock.close()
            if now >= end:
                late = {"ok": False, "error": "not tried: out of time", "ms": None}
                results.update((index, dict(late)) for index in waiting)
                waiting.clear()
    return results


def _step(selector: selectors.BaseSelector, check: BlockCheck, mask: int) -> None:
    """Let one check go on, and wait for room to send only while there is something left to send."""
    before = check.events()
    check.step(mask, time.monotonic())
    if check.events() != before:
        selector.modify(check.sock, check.events(), check)
