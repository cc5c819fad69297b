# Stands in for Weave Net 2.9.0 in tests: the peers, who is connected to whom, and what they tell each other.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One lock for the whole router ("lock") and one condition ("changed"): small networks, easy to reason about.

Peers, connections and versions as in weaveworks/mesh: everybody tells everybody the whole picture over the TCP connections,
the higher version of a peer's own view wins, and peers that can no longer be reached are forgotten.
"""

from __future__ import annotations

import random
import threading
import time
import typing as t
from dataclasses import dataclass, field

from standin import log, tools

if t.TYPE_CHECKING:
    from standin.link import Link

GOSSIP_INTERVAL = 30.0
NOBODY = "00:00:00:00:00:00"


class LinkError(Exception):
    """Ends a connection; the text is what the status shows."""


class CollisionError(LinkError):
    """Two peers with one name. Not tried again."""


class OurselfError(LinkError):
    """A target is this very router. Not tried again."""


class Part(t.Protocol):
    """Something that gossips: address allocation, names."""

    def complete(self) -> dict | None: ...

    def receive(self, message: dict, sender: str) -> bool: ...

    def peer_gone(self, name: str) -> None: ...


@dataclass
class Peer:
    name: str
    nick: str
    uid: int
    short: int
    version: int = 0
    # name -> [address, outbound, established]
    connections: dict[str, list] = field(default_factory=dict)

    @property
    def full(self) -> str:
        return f"{self.name}({self.nick})"


class Mesh:
    def __init__(self, name: str, nick: str, *, limit: int, password: bytes | None) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.ourself = Peer(name, nick, random.getrandbits(64), random.getrandbits(12))
        self.peers: dict[str, Peer] = {name: self.ourself}
        self.links: dict[str, Link] = {}
        self.limit = limit
        self.password = password
        self.parts: dict[str, Part] = {}
        self._topology_due = 0.0

    def start(self) -> None:
        tools.spawn(self._gossip_loop)

    # Connections

    def check_limit(self) -> None:
        if self.limit and len(self.links) >= self.limit:
            raise LinkError(f"Connection limit reached ({self.limit})")

    def register(self, remote: Peer, accept_new: bool, address: str) -> None:
        """Whether a peer that has introduced itself is welcome."""
        with self.lock:
            if not accept_new and remote.name not in self.peers:
                raise LinkError(f"Found unknown remote name: {remote.name} at {address}")
            if remote.name == self.ourself.name:
                if remote.uid == self.ourself.uid:
                    raise OurselfError("cannot connect to ourself")
                raise CollisionError(f'local "{self.ourself.full}" and remote "{remote.full}" peer names collision')

    def add(self, link: Link) -> None:
        with self.lock:
            name = link.remote.name
            message = f"Multiple connections to {link.remote.full} added to {self.ourself.full}"
            twin = self.links.get(name)
            if twin:
                # Both sides know both numbers and decide alike.
                if link.uid >= twin.uid:
                    raise LinkError(message)
                twin.stop(message)
                self.remove(twin)
            self.check_limit()
            known = self.peers.get(name)
            if not known or known.uid != link.remote.uid:
                self.peers[name] = link.remote
            else:
                link.remote = known
            self.links[name] = link
            link.log(f"connection added{'' if known else ' (new peer)'}")
            self._touch()
            self._send_topology([link])
            for part, who in self.parts.items():
                self._send_part(part, who, [link])

    def established(self, link: Link) -> None:
        with self.lock:
            if self.links.get(link.remote.name) is link:
                link.established = True
                link.log("connection fully established")
                self._touch()

    def remove(self, link: Link) -> None:
        with self.lock:
            if self.links.get(link.remote.name) is link:
                del self.links[link.remote.name]
                link.log("connection deleted")
                self._touch()
                self._forget_unreachable()

    def _touch(self) -> None:
        self.ourself.version += 1
        self.ourself.connections = {
            name: [link.address, link.outbound, link.established] for name, link in self.links.items()
        }
        self._tell_soon()
        self.changed.notify_all()

    # Gossip

    def broadcast(self, part: str, but: str = "") -> None:
        with self.lock:
            links = [link for name, link in self.links.items() if name != but]
            self._send_part(part, self.parts[part], links)

    def unicast(self, name: str, part: str, message: dict) -> bool:
        with self.lock:
            link = self.links.get(name)
            if link:
                link.send({"t": part, "from": self.ourself.name, **message})
            return bool(link)

    def receive(self, link: Link, message: dict) -> None:
        with self.lock:
            if message["t"] == "topology":
                self._receive_topology(message["peers"])
            elif message["t"] in self.parts:
                if self.parts[message["t"]].receive(message, link.remote.name):
                    self.broadcast(message["t"], but=link.remote.name)
                self.changed.notify_all()

    def _send_part(self, part: str, who: Part, links: t.Iterable[Link]) -> None:
        content = who.complete()
        if content is not None:
            for link in links:
                link.send({"t": part, "from": self.ourself.name, **content})

    def _send_topology(self, links: t.Iterable[Link]) -> None:
        peers = [
            [peer.name, peer.nick, peer.uid, peer.short, peer.version, peer.connections] for peer in self.peers.values()
        ]
        for link in links:
            link.send({"t": "topology", "peers": peers})

    def _receive_topology(self, peers: list[list]) -> None:
        news = False
        for name, nick, uid, short, version, connections in peers:
            have = self.peers.get(name)
            if have is self.ourself:
                if version >= have.version and uid != have.uid:
                    # What is left of an earlier life of ours.
                    have.version = version + 1
                    news = True
            elif not have or (version, uid) > (have.version, have.uid):
                peer = Peer(name, nick, uid, short, version, connections)
                self.peers[name] = peer
                if name in self.links:
                    self.links[name].remote = peer
                news = True
        if news:
            self._forget_unreachable()
            self._tell_soon()
            self.changed.notify_all()

    def _tell_soon(self) -> None:
        self._topology_due = min(self._topology_due or time.monotonic() + 0.2, time.monotonic() + 0.2)

    def _gossip_loop(self) -> None:
        periodic = time.monotonic() + GOSSIP_INTERVAL
        while True:
            time.sleep(0.1)
            with self.lock:
                now = time.monotonic()
                if (self._topology_due and now >= self._topology_due) or now >= periodic:
                    self._topology_due = 0.0
                    self._send_topology(self.links.values())
                if now >= periodic:
                    periodic = now + GOSSIP_INTERVAL
                    for part in self.parts:
                        self.broadcast(part)

    # Reachability

    def routes(self, established: bool) -> dict[str, str]:
        """Reachable peers and the neighbour on the way to each."""
        via = {self.ourself.name: NOBODY}
        queue = [self.ourself.name]
        while queue:
            here = queue.pop(0)
            peer = self.peers.get(here)
            for name, (_address, _outbound, up) in (peer.connections if peer else {}).items():
                if name in via or (established and not (up and self._mutual(name, here))):
                    continue
                via[name] = name if here == self.ourself.name else via[here]
                queue.append(name)
        return via

    def _mutual(self, name: str, other: str) -> bool:
        peer = self.peers.get(name)
        return bool(peer and peer.connections.get(other, [0, 0, False])[2])

    def _forget_unreachable(self) -> None:
        reachable = self.routes(established=False)
        for name in [name for name in self.peers if name not in reachable]:
            log.info(f"Removed unreachable peer {self.peers[name].full}")
            del self.peers[name]
            for part in self.parts.values():
                part.peer_gone(name)
