# Stands in for Weave Net 2.9.0 in tests: who is dialled, and when again.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Targets and retries as in weaveworks/mesh, connection_maker.go: 2 s, times 1.5 each time, up to 6 minutes."""

from __future__ import annotations

import ipaddress
import random
import socket
import time
import typing as t

from standin import clock, log, tools
from standin.link import Link
from standin.mesh import CollisionError, LinkError, Mesh, OurselfError

INITIAL, LONGEST, RESET_AFTER = 2.0, 360.0, 60.0


class Target:
    def __init__(self) -> None:
        self.state = "waiting"
        self.error = ""
        self.again()

    def again(self) -> None:
        self.after: float | None = time.monotonic()
        self.interval = INITIAL

    def later(self) -> None:
        self.after = time.monotonic() + self.interval / 2 + random.random() * self.interval
        self.interval = min(self.interval * 1.5, LONGEST)

    def never(self) -> None:
        self.after, self.interval = None, LONGEST


def resolve(peer: str) -> tuple[str, int]:
    """Address and port (0: none given) of a peer as an operator writes it; a ValueError in the real one's words."""
    host, colon, port = peer.rpartition(":")
    if not colon:
        host, port = peer, "0"
    if not host or not port.isalnum() or ":" in host:
        raise ValueError(f'invalid peer name "{peer}", should be host[:port]')
    if not port.isdecimal():
        raise ValueError(f"lookup tcp/{port}: unknown port")
    try:
        return str(ipaddress.IPv4Address(host)), int(port)
    except ValueError:
        pass
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]), int(port)
    except OSError as error:
        raise ValueError(f"lookup {host} on {nameserver()}: {_lookup_error(error)}") from error


def nameserver() -> str:
    try:
        with open("/etc/resolv.conf", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("nameserver "):
                    return f"{line.split()[1]}:53"
    except OSError:
        pass
    return "127.0.0.1:53"


def _lookup_error(error: OSError) -> str:
    return "no such host" if error.errno in (socket.EAI_NONAME, -5) else "server misbehaving"


class Maker:
    def __init__(self, mesh: Mesh, host: str, port: int, discovery: bool, start_link: t.Callable[[Link], None]) -> None:
        self.mesh, self.host, self.port, self.discovery = mesh, host, port, discovery
        self.start_link = start_link
        self.direct: dict[str, tuple[str, int]] = {}
        self.targets: dict[str, Target] = {}
        self.links: list[Link] = []
        self.terminations = 0

    def start(self) -> None:
        tools.spawn(self._loop)

    def initiate(self, peers: list[str], replace: bool) -> list[str]:
        """Add direct peers; the errors are those of peers that have no address."""
        errors, found = [], {}
        for peer in peers:
            try:
                found[peer] = resolve(peer)
            except ValueError as error:
                errors.append(str(error))
        with self.mesh.lock:
            if replace:
                self.direct.clear()
            for peer, address in found.items():
                self.direct[peer] = address
                target = self.targets.get(self._complete(address))
                if target:
                    target.again()
            self.mesh.changed.notify_all()
        return errors

    def forget(self, peers: list[str]) -> None:
        with self.mesh.lock:
            for peer in peers:
                self.direct.pop(peer, None)
            self.mesh.changed.notify_all()

    def _complete(self, address: tuple[str, int]) -> str:
        return f"{address[0]}:{address[1] or self.port}"

    # What becomes of an attempt

    def created(self, link: Link) -> None:
        with self.mesh.lock:
            self.links.append(link)
            if link.outbound:
                self.targets.setdefault(link.address, Target()).state = "connected"

    def terminated(self, link: Link, error: LinkError) -> None:
        with self.mesh.lock:
            if not isinstance(error, OurselfError):
                self.terminations += 1
            if link in self.links:
                self.links.remove(link)
            if link.outbound:
                target = self.targets.setdefault(link.address, Target())
                target.state, target.error = "waiting", str(error)
                if isinstance(error, (CollisionError, OurselfError)):
                    target.never()
                elif target.after is None or time.monotonic() > target.after + RESET_AFTER:
                    target.again()
                else:
                    target.later()
            self.mesh.changed.notify_all()

    def _attempt(self, address: str, accept_new: bool) -> None:
        log.info(f"->[{address}] attempting connection")
        try:
            with self.mesh.lock:
                self.mesh.check_limit()
            link = Link.dial(self.mesh, self.host, address, accept_new)
        except LinkError as error:
            log.info(f"->[{address}] error during connection attempt: {error}")
            with self.mesh.lock:
                target = self.targets.setdefault(address, Target())
                target.state, target.error = "waiting", str(error)
                target.later()
                self.mesh.changed.notify_all()
            return
        self.start_link(link)

    # The loop

    def _loop(self) -> None:
        with self.mesh.lock:
            while True:
                self.mesh.changed.wait(self._check())

    def _check(self) -> float:
        connected_peers = {link.remote.name for link in self.links}
        connected = {link.address for link in self.links}
        inbound = {link.address.rpartition(":")[0] for link in self.links if not link.outbound}
        valid, direct = set(), set()
        for address in self.direct.values():
            complete = self._complete(address)
            direct.add(complete)
            if address[1] or address[0] not in inbound:
                valid.add(complete)
        if self.discovery:
            valid |= self._discovered(connected_peers)
        valid -= connected
        for wanted in valid:
            self.targets.setdefault(wanted, Target())
        return self._connect(valid, direct)

    def _discovered(self, connected_peers: set[str]) -> set[str]:
        found = set()
        for peer in self.mesh.peers.values():
            if peer is self.mesh.ourself:
                continue
            for other, (address, outbound, _established) in peer.connections.items():
                if other != self.mesh.ourself.name and other not in connected_peers:
                    found.add(address if outbound else f"{address.rpartition(':')[0]}:{self.port}")
        return found

    def _connect(self, valid: set[str], direct: set[str]) -> float:
        now, wait = time.monotonic(), 60.0
        for address, target in list(self.targets.items()):
            if target.state not in ("waiting", "suspended"):
                continue
            if address not in valid:
                if address in direct:
                    target.state = "suspended"
                else:
                    del self.targets[address]
                continue
            if target.after is None:
                continue
            target.state = "waiting"
            if target.after <= now:
                target.state = "attempting"
                tools.spawn(self._attempt, address, address in direct)
            else:
                wait = min(wait, target.after - now)
        return wait

    def status(self) -> list[dict]:
        """The connections as the report lists them."""
        shown = [link.status() for link in self.links]
        for address, target in self.targets.items():
            state, info = "", ""
            if target.state == "waiting" and target.error:
                until = "never" if target.after is None else clock.text(target.after)
                state, info = "failed", f"{target.error}, retry: {until}"
            elif target.state == "waiting":
                state, info = "waiting", f"until: {clock.text(target.after or 0)}"
            elif target.state == "attempting":
                state, info = ("retrying", target.error) if target.error else ("connecting", "")
            if state:
                shown.append({"Address": address, "Outbound": True, "State": state, "Info": info, "Attrs": None})
        return shown
