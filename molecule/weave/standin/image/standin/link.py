# Stands in for Weave Net 2.9.0 in tests: one TCP connection between two routers.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handshake, then messages: length-prefixed JSON, with a proof of the password in front if there is one.

The proof is an HMAC over both sides' random numbers and the message; the password itself never leaves its host.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import ipaddress
import json
import os
import queue
import random
import socket
import struct
import typing as t

from standin import clock, log, tools
from standin.mesh import LinkError, Mesh, Peer

HEADER = b"weave\x01\x02"
HANDSHAKE_TIMEOUT, READ_TIMEOUT, TCP_HEARTBEAT = 10.0, 60.0, 30.0
WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ETIMEDOUT: "connection timed out",
    errno.EPERM: "operation not permitted",
    errno.EACCES: "permission denied",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
    errno.EPIPE: "broken pipe",
}


def words(error: OSError) -> str:
    return WORDS.get(error.errno or 0) or os.strerror(error.errno or 0).lower()


class Link:
    def __init__(self, mesh: Mesh, sock: socket.socket, address: str, outbound: bool, accept_new: bool) -> None:
        self.mesh, self.sock, self.address, self.outbound, self.accept_new = mesh, sock, address, outbound, accept_new
        self.ip = address.rpartition(":")[0]
        self.port = int(address.rpartition(":")[2])
        self.uid = random.getrandbits(64)
        self.remote = Peer("", "", 0, 0)
        self.features: dict[str, t.Any] = {}
        self.established = False
        self.untrusted = True
        self.switch: t.Any = None
        self._error: LinkError | None = None
        self._key = b""
        self._queue: queue.Queue[bytes | None] = queue.Queue()
        self._writing = False

    @classmethod
    def dial(cls, mesh: Mesh, host: str, address: str, accept_new: bool) -> Link:
        ip, dummy, port = address.rpartition(":")
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if host:
                sock.bind((host, 0))
            sock.connect((ip, int(port)))
        except OSError as error:
            sock.close()
            raise LinkError(f"dial tcp {host}:0->{address}: connect: {words(error)}") from error
        return cls(mesh, sock, address, True, accept_new)

    def log(self, message: str) -> None:
        log.info(f"->[{self.address}|{self.remote.full}]: {message}")

    # Life

    def introduce(self, features: dict[str, t.Any], trusted: t.Sequence[ipaddress.IPv4Network]) -> None:
        """The handshake; a LinkError says why the other side is not wanted."""
        trust = any(ipaddress.ip_address(self.ip) in subnet for subnet in trusted)
        ours = self.mesh.ourself
        features = {
            **features,
            "Name": ours.name,
            "NickName": ours.nick,
            "UID": ours.uid,
            "ShortID": ours.short,
            "ConnID": self.uid,
            "Trusted": trust,
        }
        try:
            self.sock.settimeout(HANDSHAKE_TIMEOUT)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.sendall(HEADER)
            if self._read(len(HEADER))[:5] != HEADER[:5]:
                raise LinkError("remote protocol header not recognised")
            self._exchange_keys()
            self.sock.sendall(self._frame(json.dumps(features).encode()))
            theirs = json.loads(self._receive())
        except OSError as error:
            raise LinkError(self._reason(error)) from error
        self.features = theirs
        self.untrusted = not (trust and theirs["Trusted"])
        self.uid ^= theirs["ConnID"]
        remote = Peer(theirs["Name"], theirs["NickName"], theirs["UID"], theirs["ShortID"])
        self.remote = remote
        self.mesh.register(remote, self.accept_new, self.address)
        self.log("connection ready; using protocol version 2")

    def _exchange_keys(self) -> None:
        password = self.mesh.password
        ours = os.urandom(32)
        self.sock.sendall(b"\x01" + ours if password else b"\x00")
        if self._read(1) == b"\x00":
            if password:
                raise LinkError("password specified, but peer requested an unencrypted connection")
            return
        if not password:
            raise LinkError("no password specificed, but peer requested an encrypted connection")
        theirs = self._read(32)
        both = ours + theirs if self.outbound else theirs + ours
        self._key = hmac.new(password, both, hashlib.sha256).digest()

    def serve(self, handle: t.Callable[[Link, dict], None]) -> None:
        """Read messages until the connection ends; always by a LinkError."""
        self._writing = True
        tools.spawn(self._writer)
        try:
            while True:
                self.sock.settimeout(READ_TIMEOUT)
                handle(self, json.loads(self._receive()))
        except OSError as error:
            raise self._error or LinkError(self._reason(error)) from error
        except LinkError as error:
            raise self._error or error from error

    def stop(self, reason: str) -> None:
        """End the connection for a reason; the first one counts."""
        self._error = self._error or LinkError(reason)
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._queue.put(None)
        if not self._writing:
            self._finish()

    def _finish(self) -> None:
        """Send all there is and read to the end: closing early would discard what tells the other side the reason."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
            self.sock.settimeout(1)
            while self.sock.recv(65536):
                pass
        self.sock.close()

    # Messages

    def send(self, message: dict) -> None:
        message = {**message, "now": clock.now()}
        self._queue.put(self._frame(json.dumps(message).encode()))

    def _writer(self) -> None:
        while True:
            try:
                data = self._queue.get(timeout=TCP_HEARTBEAT)
            except queue.Empty:
                data = self._frame(b'{"t": "heartbeat"}')
            if data is None:
                self._finish()
                return
            try:
                self.sock.sendall(data)
            except OSError as error:
                self._writing = False
                self.stop(self._reason(error))
                return

    def _frame(self, data: bytes) -> bytes:
        proof = hmac.new(self._key, data, hashlib.sha256).digest() if self._key else b""
        return struct.pack("!I", len(proof) + len(data)) + proof + data

    def _receive(self) -> bytes:
        data = self._read(struct.unpack("!I", self._read(4))[0])
        if not self._key:
            return data
        proof, data = data[:32], data[32:]
        if not hmac.compare_digest(proof, hmac.new(self._key, data, hashlib.sha256).digest()):
            raise LinkError("Unable to decrypt TCP msg")
        return data

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            if not more:
                raise LinkError("EOF")
            data += more
        return data

    def _reason(self, error: OSError) -> str:
        try:
            pair = "{}:{}->".format(*self.sock.getsockname()) + self.address
        except OSError:
            pair = self.address
        if isinstance(error, TimeoutError) and not error.errno:
            return f"read tcp {pair}: i/o timeout"
        return f"read tcp {pair}: read: {words(error)}"

    def status(self) -> dict:
        attrs = self.switch.attrs() if self.switch else None
        info = f"{(attrs or {}).get('name', 'none'):<6} {self.remote.full}"
        if self.mesh.password:
            info = f"{'encrypted' if self.untrusted else 'unencrypted':<11} {info}"
            if self.untrusted and attrs is not None:
                attrs["encrypted"] = True
        return {
            "Address": self.address,
            "Outbound": self.outbound,
            "State": "established" if self.established else "pending",
            "Info": info,
            "Attrs": dict(sorted(attrs.items())) if attrs else None,
        }
