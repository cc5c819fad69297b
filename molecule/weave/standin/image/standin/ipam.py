# Stands in for Weave Net 2.9.0 in tests: addresses for containers.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each peer hands out addresses of its own ranges, so they are unique without asking anybody; who has none left asks for some.

Where the real one runs Paxos to agree on the first ring, here the elector with the lowest name decides, once as many electors
as the quorum are reachable and one of them wants an address. Everything a user sees (status, quorum, waiting) is the same.
"""

from __future__ import annotations

import ipaddress
import itertools
import time
import typing as t

from standin import log, tools
from standin.identity import parse
from standin.mesh import LinkError, Mesh
from standin.ring import Ring, RingError
from standin.store import Store

NO_CONTAINER = "_"
DEAD_AFTER = 30.0


class IpamError(Exception):
    """Answered with 400."""


def parse_subnet(text: str) -> ipaddress.IPv4Network:
    try:
        interface = ipaddress.IPv4Interface(text)
        if "/" not in text:
            raise ValueError
    except ValueError as error:
        raise IpamError(f"invalid CIDR address: {text}") from error
    if interface.ip != interface.network.network_address:
        raise IpamError(f"invalid subnet - bits after network prefix are not all zero: {text}")
    if interface.network.num_addresses < 4:
        raise IpamError(f"invalid subnet - smaller than minimum size 4: {text}")
    return interface.network


class Init:
    """--ipalloc-init."""

    def __init__(self, text: str) -> None:
        mode, equals, value = text.partition("=")
        self.seeds: list[str] = []
        self.count, self.observer = 0, mode == "observer"
        if mode == "seed":
            if not equals:
                self._refuse("seed mode requires peer name list")
            try:
                self.seeds = [parse(name) for name in value.split(",") if name]
            except ValueError as error:
                self._refuse(f"bad seed parameter: error parsing peer names: {error}")
        elif mode == "consensus":
            if equals and not value.isdecimal():
                self._refuse(f'bad consensus parameter: strconv.Atoi: parsing "{value}": invalid syntax')
            self.count = int(value or 0)
        elif self.observer and equals:
            self._refuse("observer mode takes no parameter")
        elif mode not in ("", "observer"):
            self._refuse(f"unknown mode: {mode}")

    @staticmethod
    def _refuse(message: str) -> t.NoReturn:
        log.fatal(f"Unable to parse --ipalloc-init: {message}")


class Allocator:
    def __init__(self, mesh: Mesh, store: Store, options: dict[str, t.Any], targets: t.Callable[[], int]) -> None:
        self.mesh, self.store, self.targets = mesh, store, targets
        self.init = Init(options["ipalloc-init"])
        try:
            self.universe = parse_subnet(options["ipalloc-range"])
            self.subnet = parse_subnet(options["ipalloc-default-subnet"] or options["ipalloc-range"])
        except IpamError as error:
            log.fatal(str(error))
        if not self.universe.overlaps(self.subnet):
            subnet, universe = self.subnet, self.universe
            log.fatal(
                f"IP address allocation default subnet {subnet} does not overlap with allocation range {universe}"
            )
        self.ring = Ring(self.universe)
        self.owned: dict[str, list[str]] = {}
        self.nicknames = {mesh.ourself.name: mesh.ourself.nick}
        self.electors: dict[str, bool] = {}
        self.wanted = False
        self.quorum = 0
        self.asked: dict[str, float] = {}
        self.pending: list[str] = []
        self.dead: dict[str, float] = {}
        self.closing = False
        self._load()

    # What is kept

    def _load(self) -> None:
        kept = self.store.load("ipam")
        ours = self.mesh.ourself.name
        log_ = f"[allocator {ours}] "
        usable = False
        if not kept or not kept["ring"]["tokens"]:
            log.info(log_ + "No valid persisted data")
        elif kept["name"] != ours:
            log.info(log_ + f"Deleting persisted data for peername {kept['name']}")
        elif kept["ring"]["range"] != str(self.universe):
            net = ipaddress.ip_network(kept["ring"]["range"])
            old = f"{net[0]}-{net[-1]}"
            log.info(log_ + f"Deleting persisted data for IPAM range {old}; our range is {self.universe}")
        else:
            usable = True
        if usable:
            self.ring.merge(kept["ring"], str)
            self.owned = kept["owned"]
            self.nicknames = {**kept["nicknames"], **self.nicknames}
            with_seed = "Found persisted IPAM data, ignoring supplied IPAM seed"
            log.info(log_ + (with_seed if self.init.seeds else "Initialising with persisted data"))
            return
        if self.init.seeds:
            log.info(log_ + "Initialising with supplied IPAM seed")
            self.ring.seed(self.init.seeds)
        elif self.init.observer:
            log.info(log_ + "Initialising as observer - awaiting IPAM data from another peer")
        else:
            log.info(log_ + "Initialising via deferred consensus")
        self._save()

    def _save(self) -> None:
        kept = {"name": self.mesh.ourself.name, "ring": self.ring.dump()}
        self.store.save("ipam", {**kept, "owned": self.owned, "nicknames": self.nicknames})

    # Gossip

    def complete(self) -> dict | None:
        if self.closing:
            return None
        ours = self.mesh.ourself.name
        message: dict[str, t.Any] = {"nicknames": self.nicknames}
        if self.ring.tokens:
            message["ring"] = self.ring.dump()
        else:
            message["electors"] = {**self.electors, ours: not self.init.observer}
            message["wanted"] = self.wanted
        return message

    def receive(self, message: dict, sender: str) -> bool:
        if "ask" in message:
            self._donate(message["from"], *message["ask"])
            return False
        if "denied" in message:
            return False
        self.nicknames.update(message["nicknames"])
        if "ring" in message:
            try:
                news = self.ring.merge(message["ring"], self._annotated)
            except RingError as error:
                raise LinkError(str(error)) from error
            if news:
                self._save()
            return news
        if self.ring.tokens:
            self.mesh.unicast(sender, "ipam", self.complete() or {})
            return False
        before = (dict(self.electors), self.wanted)
        self.electors.update({name: yes for name, yes in message["electors"].items() if name in self.mesh.peers})
        self.wanted = self.wanted or message["wanted"]
        self._elect()
        return before != (self.electors, self.wanted) or bool(self.ring.tokens)

    def peer_gone(self, name: str) -> None:
        self.electors.pop(name, None)
        if name not in {peer for peer, _version in self.ring.tokens.values()}:
            self.nicknames.pop(name, None)

    def _annotated(self, names: t.Iterable[str]) -> str:
        shown = [f"{name}({self.nicknames[name]})" if name in self.nicknames else name for name in names]
        return f"[{' '.join(shown)}]"

    # The first ring

    def _electorate(self) -> list[str]:
        ours = self.mesh.ourself.name
        known = {name for name, yes in self.electors.items() if yes and name in self.mesh.peers}
        return sorted(known | (set() if self.init.observer else {ours}))

    def _want(self) -> None:
        """Somebody needs a ring."""
        if self.ring.tokens:
            return
        if not self.quorum and not self.init.observer:
            if self.init.count:
                self.quorum = self.init.count // 2 + 1
            else:
                self.quorum = (self.targets() + 1) // 2 + 1
                log.info(f"Assuming quorum size of {self.quorum}")
        if not self.wanted:
            self.wanted = True
            self._elect()
            self.mesh.broadcast("ipam")

    def _elect(self) -> None:
        electorate = self._electorate()
        if not self.wanted or self.ring.tokens or self.init.observer or not electorate:
            return
        quorum = self.quorum or (self.init.count or self.targets() + 1) // 2 + 1
        if electorate[0] == self.mesh.ourself.name and len(electorate) >= quorum:
            self.ring.seed(electorate)
            self._save()
            self.mesh.broadcast("ipam")
            self.mesh.changed.notify_all()

    def prime(self) -> None:
        with self.mesh.lock:
            while not self.ring.tokens and not self.closing:
                self._want()
                self.mesh.changed.wait(1)

    # Addresses

    def _free(self, low: int, high: int) -> int | None:
        taken = {int(ipaddress.IPv4Interface(cidr).ip) for cidrs in self.owned.values() for cidr in cidrs}
        for start, end in self.ring.owned(self.mesh.ourself.name):
            for address in range(max(start, low), min(end, high)):
                if address not in taken:
                    return address
        return None

    @staticmethod
    def _hosts(subnet: ipaddress.IPv4Network) -> tuple[int, int]:
        return int(subnet.network_address) + 1, int(subnet.broadcast_address)

    def allocate(self, ident: str, subnet: ipaddress.IPv4Network, cancelled: t.Callable[[], bool]) -> str:
        low, high = self._hosts(subnet)
        if not subnet.overlaps(self.universe):
            raise IpamError(f"range {subnet} out of bounds: {self.universe}")
        waiting = f"{ident} {subnet[1]}-{subnet[-2]}"
        with self.mesh.lock:
            if ident != NO_CONTAINER:
                have = self.lookup(ident, subnet)
                if have:
                    return have[0]
            self.dead.pop(ident, None)
            self.pending.append(waiting)
            try:
                while True:
                    if self.closing or cancelled():
                        raise IpamError(f"Allocate request for {ident} cancelled")
                    self._want()
                    address = self._free(low, high)
                    if address is not None:
                        break
                    self._ask(low, high)
                    self.mesh.changed.wait(1)
            finally:
                self.pending.remove(waiting)
            ip = str(ipaddress.IPv4Address(address))
            cidr = f"{ip}/{subnet.prefixlen}"
            self.owned.setdefault(ip if ident == NO_CONTAINER else ident, []).append(cidr)
            self._save()
            return cidr

    def claim(self, ident: str, cidr: str) -> None:
        interface = ipaddress.IPv4Interface(cidr)
        address = int(interface.ip)
        key = str(interface.ip) if ident == NO_CONTAINER else ident
        with self.mesh.lock:
            holder = next((who for who, cidrs in self.owned.items() if cidr in cidrs), "")
            if holder and holder != key:
                raise IpamError(f"Unable to claim: address {cidr} is already owned by {holder}")
            if interface.ip in self.universe:
                self._want()
                end = time.monotonic() + 5
                while self.ring.owner(address) != self.mesh.ourself.name:
                    self._ask(address, address + 1)
                    self.mesh.changed.wait(0.3)
                    if time.monotonic() > end:
                        owner = self.ring.owner(address)
                        raise IpamError(f"Unable to claim: address {cidr} is owned by other peer {owner}")
            if not holder:
                self.owned.setdefault(key, []).append(cidr)
                self._save()

    def lookup(self, ident: str, subnet: ipaddress.IPv4Network) -> list[str]:
        with self.mesh.lock:
            return [cidr for cidr in self.owned.get(ident, []) if ipaddress.IPv4Interface(cidr).ip in subnet]

    def free(self, ident: str, ip: str) -> None:
        with self.mesh.lock:
            cidrs = self.owned.get(ident, [])
            left = [cidr for cidr in cidrs if cidr.partition("/")[0] != ip]
            if len(left) == len(cidrs):
                raise IpamError(f"Unable to free: Free: address {ip} not found for {ident}")
            self.owned[ident] = left
            if not left:
                del self.owned[ident]
            self._save()

    def delete(self, ident: str) -> None:
        with self.mesh.lock:
            if ident not in self.owned:
                raise IpamError(f"Delete: no addresses for {ident}")
            del self.owned[ident]
            self._save()

    # Ranges

    def _ask(self, low: int, high: int) -> None:
        """Ask those who own something of what is needed, each at most once a second."""
        now = time.monotonic()
        owners = {
            peer
            for start, end, peer, _version in self.ring.segments()
            if start < high and end > low and peer != self.mesh.ourself.name
        }
        for peer in sorted(owners):
            if now - self.asked.get(peer, 0.0) > 1 and self.mesh.unicast(peer, "ipam", {"ask": [low, high]}):
                self.asked[peer] = now
                return

    def _donate(self, to: str, low: int, high: int) -> None:
        """Give away the upper half of the largest free stretch; all of it if there is only one address."""
        taken = sorted({int(ipaddress.IPv4Interface(cidr).ip) for cidrs in self.owned.values() for cidr in cidrs})
        stretches = []
        for start, end in self.ring.owned(self.mesh.ourself.name):
            edges = [
                max(start, low) - 1,
                *[one for one in taken if max(start, low) <= one < min(end, high)],
                min(end, high),
            ]
            stretches += [(right - left - 1, left + 1, right) for left, right in itertools.pairwise(edges)]
        size, left, right = max(stretches, default=(0, 0, 0))
        if size <= 0:
            self.mesh.unicast(to, "ipam", {"denied": [low, high]})
            return
        self.ring.give(left + size // 2, right, to)
        self._save()
        self.mesh.broadcast("ipam")

    def shutdown(self) -> None:
        """Reset: what is ours goes to another peer."""
        with self.mesh.lock:
            ours = self.mesh.ourself.name
            owners = [peer for peer, _version in self.ring.tokens.values() if peer != ours]
            alive = [peer for peer in owners if peer in self.mesh.peers]
            others = [peer for peer in self.nicknames if peer != ours and peer in self.mesh.peers]
            heir = next(iter([*alive, *others, *owners]), "")
            if heir:
                self.ring.transfer(ours, heir)
                self._save()
                self.mesh.broadcast("ipam")
            self.closing = True
            self.mesh.changed.notify_all()

    def take_over(self, who: str) -> int:
        with self.mesh.lock:
            name = next((peer for peer, nick in self.nicknames.items() if nick == who), who)
            ours = self.mesh.ourself.name
            if name == ours:
                log.warning(f"[allocator {ours}] attempt to take over range from ourself")
                return 0
            size = sum(end - start for start, end in self.ring.owned(name))
            if self.ring.transfer(name, ours):
                self._save()
                self.mesh.broadcast("ipam")
                self.mesh.changed.notify_all()
            return size

    # Containers that come and go

    def container_died(self, ident: str) -> None:
        with self.mesh.lock:
            if ident in self.owned:
                self.dead[ident] = time.monotonic()

    def container_destroyed(self, ident: str) -> None:
        with self.mesh.lock:
            self.dead.pop(ident, None)
            if self.owned.pop(ident, None):
                self._save()

    def prune(self, running: set[str], plugin_addresses: set[str]) -> None:
        """After a start: addresses of containers that have gone meanwhile are free again."""
        with self.mesh.lock:
            for ident in list(self.owned):
                container = ident in running or ident.startswith("weave:")
                if not container and ident not in plugin_addresses:
                    del self.owned[ident]
            self._save()

    def start(self) -> None:
        tools.spawn(self._bury)

    def _bury(self) -> None:
        while True:
            time.sleep(5)
            with self.mesh.lock:
                for ident in [one for one, since in self.dead.items() if time.monotonic() - since > DEAD_AFTER]:
                    self.container_destroyed(ident)

    def status(self) -> dict[str, t.Any]:
        paxos = None
        if self.wanted and not self.ring.tokens:
            paxos = {"Elector": False, "KnownNodes": 0, "Quorum": 0}
            if not self.init.observer:
                paxos = {"Elector": True, "KnownNodes": len(self._electorate()), "Quorum": self.quorum}
        entries = [
            {
                "Token": str(ipaddress.IPv4Address(start)),
                "Size": end - start,
                "Peer": peer,
                "Nickname": self.nicknames.get(peer, ""),
                "IsKnownPeer": peer in self.mesh.peers,
                "Version": version,
            }
            for start, end, peer, version in self.ring.segments()
        ]
        return {
            "Paxos": paxos,
            "Range": str(self.universe),
            "RangeNumIPs": self.universe.num_addresses,
            "ActiveIPs": sum(len(cidrs) for cidrs in self.owned.values()),
            "DefaultSubnet": str(self.subnet),
            "Entries": entries or None,
            "PendingClaims": None,
            "PendingAllocates": list(self.pending) or None,
        }
