# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Send a block of data to the TCP echo port of many targets and compare what comes back, in one event loop."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
import typing as t
from collections import deque

from ansible_collections.crosshost.overlay.plugins.module_utils._probe_echo import TCP_AT_ONCE, Settings, Target

TCP_BYTES = 262144  # more than a few windows of full segments, so that MTU, offload and queue faults show


class Listening(t.Protocol):
    """Another socket that is read meanwhile."""

    sock: socket.socket

    def take_in(self) -> None:
        """Read what has arrived."""


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
        took = round((self.ended - self.started) * 1000, 3) if ok else None
        return {"ok": ok, "error": self.error, "ms": took, "bytes": len(self._block)}


def exchange_blocks(
    targets: t.Sequence[Target], settings: Settings, listening: t.Sequence[Listening], end: float
) -> dict[int, dict[str, t.Any]]:
    """Check TCP to all targets, TCP_AT_ONCE at a time; what still comes in on the other sockets is taken in."""
    block = os.urandom(TCP_BYTES)
    waiting = deque(range(len(targets)))
    active: dict[int, BlockCheck] = {}
    results: dict[int, dict[str, t.Any]] = {}
    with selectors.DefaultSelector() as selector:
        for one in listening:
            selector.register(one.sock, selectors.EVENT_READ, one)
        while waiting or active:
            now = time.monotonic()
            while waiting and len(active) < TCP_AT_ONCE and now < end:
                index = waiting.popleft()
                check = BlockCheck(targets[index].address, settings.port, block, now)
                active[index] = check
                if not check.done:
                    selector.register(check.sock, check.events(), check)
            limit = min([end, *(check.started + settings.tcp_timeout for check in active.values())])
            for key, mask in selector.select(max(0.0, limit - now)):
                if isinstance(key.data, BlockCheck):
                    _step(selector, key.data, mask)
                else:
                    key.data.take_in()
            now = time.monotonic()
            for index, check in list(active.items()):
                if not check.done and (now >= end or now - check.started >= settings.tcp_timeout):
                    check.give_up(now)
                if check.done:
                    results[index] = active.pop(index).result()
                    if check.sock in selector.get_map():
                        selector.unregister(check.sock)
                    check.sock.close()
            if now >= end:
                late = {"ok": False, "error": "not tried: out of time", "ms": None, "bytes": TCP_BYTES}
                results.update((index, dict(late)) for index in waiting)
                waiting.clear()
    return results


def _step(selector: selectors.BaseSelector, check: BlockCheck, mask: int) -> None:
    """Let one check go on, and wait for room to send only while there is something left to send."""
    before = check.events()
    check.step(mask, time.monotonic())
    if check.events() != before:
        selector.modify(check.sock, check.events(), check)
