# Stands in for Weave Net 2.9.0 in tests: weaveDNS: answers for names of the domain, passes on all other questions.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import typing as t

from standin import log, tools
from standin.names import Names

A, PTR, ANY = 1, 12, 255
NXDOMAIN, SERVFAIL = 3, 2


def question(packet: bytes) -> tuple[str, int, int]:
    """Name, type and the end of the first question."""
    labels, position = [], 12
    while packet[position]:
        size = packet[position]
        labels.append(packet[position + 1 : position + 1 + size].decode("latin-1").lower())
        position += size + 1
    (kind,) = struct.unpack("!H", packet[position + 1 : position + 3])
    return ".".join(labels) + ".", kind, position + 5


def encode(name: str) -> bytes:
    labels = name.rstrip(".").split(".")
    return b"".join(bytes([len(label)]) + label.encode("latin-1") for label in labels) + b"\0"


class Dns:
    def __init__(self, names: Names, listen: str, resolv_conf: str, ttl: int) -> None:
        self.names, self.listen, self.resolv_conf, self.ttl = names, listen, resolv_conf, ttl
        self.host, dummy, port = listen.rpartition(":")
        try:
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind((self.host, int(port)))
            self.tcp = socket.create_server((self.host, int(port)))
        except OSError as error:
            reason = (error.strerror or "").lower()
            log.fatal(f"Unable to start dns server: listen udp {listen}: bind: {reason}")
        log.info(f"Listening for DNS queries on {listen}")

    def start(self) -> None:
        tools.spawn(self._serve_udp)
        tools.spawn(self._serve_tcp)

    def upstream(self) -> list[str]:
        servers = []
        try:
            with open(self.resolv_conf, encoding="utf-8", errors="replace") as file:
                for line in file:
                    words = line.split()
                    if len(words) > 1 and words[0] == "nameserver" and words[1] != self.host:
                        servers.append(words[1])
        except OSError:
            pass
        return servers

    def _serve_udp(self) -> None:
        while True:
            packet, client = self.udp.recvfrom(4096)
            tools.spawn(self._answer_udp, packet, client)

    def _answer_udp(self, packet: bytes, client: t.Any) -> None:
        answer = self._answer(packet, self._ask_udp)
        if answer:
            with contextlib.suppress(OSError):
                self.udp.sendto(answer, client)

    def _serve_tcp(self) -> None:
        while True:
            tools.spawn(self._answer_tcp, self.tcp.accept()[0])

    def _answer_tcp(self, sock: socket.socket) -> None:
        with sock:
            sock.settimeout(5)
            try:
                size = struct.unpack("!H", sock.recv(2, socket.MSG_WAITALL))[0]
                answer = self._answer(sock.recv(size, socket.MSG_WAITALL), self._ask_tcp)
                sock.sendall(struct.pack("!H", len(answer)) + answer)
            except (OSError, struct.error):
                return

    def _answer(self, packet: bytes, ask: t.Callable[[str, bytes], bytes]) -> bytes:
        try:
            name, kind, end = question(packet)
        except (IndexError, struct.error):
            return b""
        domain = self.names.domain
        if name == domain or name.endswith("." + domain):
            return self._local(packet, name, kind, end)
        if kind == PTR and name.endswith(".in-addr.arpa."):
            address = ".".join(reversed(name.split(".")[:4]))
            host = self.names.reverse(address)
            if host:
                return self._reply(packet, end, 0, [(PTR, encode(host))])
        for server in self.upstream():
            try:
                return ask(server, packet)
            except (OSError, struct.error):
                continue
        return self._reply(packet, end, SERVFAIL, [])

    def _local(self, packet: bytes, name: str, kind: int, end: int) -> bytes:
        addresses = self.names.lookup(name)
        if not addresses:
            return self._reply(packet, end, NXDOMAIN, [])
        records = [(A, ipaddress.IPv4Address(one).packed) for one in addresses] if kind in (A, ANY) else []
        return self._reply(packet, end, 0, records)

    def _reply(self, packet: bytes, end: int, code: int, records: list[tuple[int, bytes]]) -> bytes:
        flags = 0x8580 | (packet[2] & 1) << 8 | code
        head = packet[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        body = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, self.ttl, len(data)) + data for kind, data in records
        )
        return head + packet[12:end] + body

    @staticmethod
    def _ask_udp(server: str, packet: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            sock.connect((server, 53))
            sock.send(packet)
            return sock.recv(4096)

    @staticmethod
    def _ask_tcp(server: str, packet: bytes) -> bytes:
        with socket.create_connection((server, 53), timeout=2) as sock:
            sock.sendall(struct.pack("!H", len(packet)) + packet)
            size = struct.unpack("!H", sock.recv(2, socket.MSG_WAITALL))[0]
            return sock.recv(size, socket.MSG_WAITALL)
