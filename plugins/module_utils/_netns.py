# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Work inside the network namespace of a container: a bounded call, and a bounded echo service (RFC 862).

Only the network namespace is entered, so nothing has to be installed in the container.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import time
import traceback
import typing as t

CLONE_NEWNET = 0x40000000  # linux/sched.h
CHUNK = 65536
CONNECTIONS = 512  # at once; more are refused by the backlog, never queued in memory
IDLE = 30.0  # seconds after which a connection without traffic is closed
WATCH = 1.0  # seconds between two looks at the deadline and at the container
STARTUP = 10.0  # seconds for the service to say that it listens
STOP = 3.0  # seconds between SIGTERM and SIGKILL


class NamespaceError(Exception):
    """Work in the namespace failed; the text says why."""


def enter(path: str) -> None:
    """Move this process into the network namespace at path, for example /proc/4711/ns/net."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)


def call(path: str, work: t.Callable[[], t.Any], timeout: float) -> t.Any:
    """Return what work() returns inside the namespace at path; the result has to fit JSON. Raises NamespaceError.

    A child does it, so that this process stays where it is and a hang ends at the timeout.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _run_child(path, work, writer)
    os.close(writer)
    try:
        answer = _read_all(reader, time.monotonic() + timeout)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # it has answered, or its time is over
        os.waitpid(child, 0)
    if answer is None:
        raise NamespaceError(f"no answer from the namespace {path} within {timeout:g} seconds")
    if not answer:
        raise NamespaceError(f"the process in the namespace {path} ended without an answer")
    reply = json.loads(answer)
    if "error" in reply:
        raise NamespaceError(f"in the namespace {path}: {reply['error']}")
    return reply["value"]


def _run_child(path: str, work: t.Callable[[], t.Any], writer: int) -> t.NoReturn:
    """The child's whole life: it must never return into the module's code, whatever happens."""
    status = 1
    try:
        try:
            enter(path)
            answer = {"value": work()}
        except Exception:
            answer = {"error": traceback.format_exc(limit=-1).strip().splitlines()[-1]}
        data = json.dumps(answer).encode()
        while data:
            data = data[os.write(writer, data) :]
        status = 0
    finally:
        os._exit(status)


def _read_all(reader: int, end: float) -> bytes | None:
    """Return all that comes until the other end is closed; None if that takes too long."""
    parts: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        while selector.select(max(0.0, end - time.monotonic())):
            part = os.read(reader, CHUNK)
            if not part:
                return b"".join(parts)
            parts.append(part)
    return None


def started_at(pid: int) -> str | None:
    """Return the start time of a process in clock ticks since boot; None if there is none. Guards against a reused pid."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]  # state is field 3 of proc(5), starttime field 22


class EchoService:
    """Sends back what arrives on a TCP and a UDP port, until told to stop."""

    def __init__(self, address: str, port: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._pending: dict[socket.socket, bytes] = {}
        self._active: dict[socket.socket, float] = {}
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self.port: int = self._listener.getsockname()[1]
        self._listener.listen(CONNECTIONS)
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._datagrams.bind((address, self.port))
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._datagrams, selectors.EVENT_READ)

    def run(self, go_on: t.Callable[[], bool]) -> None:
        """Serve for as long as go_on() says so; it is asked about once a second."""
        checked = 0.0
        while True:
            now = time.monotonic()
            if now - checked >= WATCH:
                if not go_on():
                    return
                checked = now
                for conn in [conn for conn, last in self._active.items() if now - last > IDLE]:
                    self._close(conn)
            for key, mask in self._selector.select(WATCH):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._datagrams:
                    self._datagram()
                elif key.fileobj in self._active:
                    self._echo(key.fileobj, mask)

    def _accept(self) -> None:
        if len(self._active) >= CONNECTIONS:
            time.sleep(0.01)
            return
        with contextlib.suppress(OSError):
            conn = self._listener.accept()[0]
            conn.setblocking(False)
            self._active[conn], self._pending[conn] = time.monotonic(), b""
            self._selector.register(conn, selectors.EVENT_READ)

    def _datagram(self) -> None:
        with contextlib.suppress(OSError):
            data, source = self._datagrams.recvfrom(CHUNK)
            if source[1] != self.port:  # two echo services would answer each other for ever
                self._datagrams.sendto(data, source)

    def _echo(self, conn: socket.socket, mask: int) -> None:
        """Read only while nothing waits to be sent: memory stays at one chunk for each connection."""
        try:
            if mask & selectors.EVENT_READ:
                data = conn.recv(CHUNK)
                if not data:
                    self._close(conn)
                    return
                self._pending[conn] = data
            sent = conn.send(self._pending[conn])
            self._pending[conn] = self._pending[conn][sent:]
        except BlockingIOError:
            pass
        except OSError:
            self._close(conn)
            return
        self._active[conn] = time.monotonic()
        self._selector.modify(conn, selectors.EVENT_WRITE if self._pending[conn] else selectors.EVENT_READ)

    def _close(self, conn: socket.socket) -> None:
        self._selector.unregister(conn)
        conn.close()
        del self._active[conn], self._pending[conn]


def start_echo(pid: int, address: str, port: int, seconds: float, pid_file: str) -> dict[str, int]:
    """Start the echo service in the network namespace of process pid, in the background. Returns its pid and port.

    It ends after so many seconds, or within about a second after process pid has ended. The pid file is for stop_echo().
    """
    birth = started_at(pid)
    if birth is None:
        raise NamespaceError(f"process {pid} of the container has ended")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _daemon(pid, birth, address, port, seconds, writer)
    os.close(writer)
    try:
        answer = _read_all(reader, time.monotonic() + STARTUP)
    finally:
        os.close(reader)
        os.waitpid(child, 0)
    reply: dict[str, t.Any] = json.loads(answer) if answer else {"error": "it did not say that it listens"}
    if "error" in reply:
        raise NamespaceError(f"the echo service at {address} port {port} did not start: {reply['error']}")
    os.makedirs(os.path.dirname(pid_file), mode=0o755, exist_ok=True)
    with open(pid_file, "w", encoding="utf-8") as stream:
        json.dump({"pid": reply["pid"], "started_at": started_at(reply["pid"])}, stream)
    return {"pid": reply["pid"], "port": reply["port"]}


def _daemon(pid: int, birth: str, address: str, port: int, seconds: float, writer: int) -> t.NoReturn:
    """Detach (a second fork, a session of its own, no open files), report through the pipe, serve."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        quiet = os.open(os.devnull, os.O_RDWR)
        for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:
            if descriptor not in (quiet, writer):
                with contextlib.suppress(OSError):
                    os.dup2(quiet, descriptor) if descriptor <= 2 else os.close(descriptor)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        end = time.monotonic() + seconds
        try:
            enter(f"/proc/{pid}/ns/net")
            service = EchoService(address, port)
            reply: dict[str, t.Any] = {"pid": os.getpid(), "port": service.port}
        except Exception as exc:
            reply = {"error": str(exc)}
        os.write(writer, json.dumps(reply).encode())
        os.close(writer)
        if "error" not in reply:
            service.run(lambda: time.monotonic() < end and started_at(pid) == birth)
    finally:
        os._exit(0)


def read_pid_file(pid_file: str) -> int | None:
    """Return the pid of the service a pid file speaks of, if that very process still lives."""
    try:
        with open(pid_file, encoding="utf-8") as stream:
            noted = json.load(stream)
        return noted["pid"] if noted["started_at"] and started_at(noted["pid"]) == noted["started_at"] else None
    except (OSError, ValueError, KeyError, TypeError):  # absent, or cut short by a crash: the service ends by itself
        return None


def stop_echo(pid_file: str) -> None:
    """Stop the service a pid file speaks of, and remove the file."""
    pid = read_pid_file(pid_file)
    for number in (signal.SIGTERM, signal.SIGKILL):
        if pid is None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        end = time.monotonic() + STOP
        while read_pid_file(pid_file) is not None and time.monotonic() < end:
            time.sleep(0.02)
        pid = read_pid_file(pid_file)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(pid_file)
