# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""A Weave Net router's report as typed values."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

PEER_IN_INFO = re.compile(r"\b(fastdp|sleeve)\s+(\S+?)\((.*?)\)")


@dataclass(frozen=True)
class Connection:
    """A link to a peer, or the attempt at one. address is IP:port, info the router's own words."""

    address: str
    outbound: bool
    state: str
    info: str
    mode: str | None
    mtu: int | None
    encrypted: bool
    peer: str | None

    @property
    def ip(self) -> str:
        """The other end's address."""
        return self.address.rpartition(":")[0]

    @property
    def for_ever(self) -> bool:
        """Whether the router has given up."""
        return "retry: never" in self.info


@dataclass(frozen=True)
class Peer:
    """A router that is known, itself included."""

    name: str
    nickname: str


@dataclass(frozen=True)
class Owner:
    """A peer's share of the allocation range."""

    peer: str
    nickname: str
    addresses: int
    reachable: bool


@dataclass(frozen=True)
class Ipam:
    """The address allocation. primed: the range has owners, so names and ranges matter."""

    range: str
    default_subnet: str
    status: str
    primed: bool
    active: int
    owners: tuple[Owner, ...]


@dataclass(frozen=True)
class Name:
    """A name weaveDNS answers."""

    hostname: str
    address: str
    origin: str
    container: str


@dataclass(frozen=True)
class Dns:
    """The name service."""

    domain: str
    address: str
    entries: tuple[Name, ...]


@dataclass(frozen=True)
class Router:
    """The whole report."""

    ready: bool
    version: str
    name: str
    nickname: str
    port: int
    encryption: bool
    discovery: bool
    trusted_subnets: tuple[str, ...]
    targets: tuple[str, ...]
    peers: tuple[Peer, ...]
    connections: tuple[Connection, ...]
    ipam: Ipam | None
    dns: Dns | None


def parse(report: t.Mapping[str, t.Any]) -> Router:
    """Read what GET /report returns; lists the router leaves out are empty."""
    router = report["Router"]
    return Router(
        ready=bool(report.get("Ready")),
        version=str(report.get("Version", "")),
        name=router["Name"],
        nickname=router.get("NickName", ""),
        port=int(router.get("Port") or 0),
        encryption=bool(router.get("Encryption")),
        discovery=bool(router.get("PeerDiscovery")),
        trusted_subnets=tuple(router.get("TrustedSubnets") or ()),
        targets=tuple(sorted(router.get("Targets") or ())),
        peers=tuple(sorted((_peer(item) for item in router.get("Peers") or ()), key=lambda peer: peer.name)),
        connections=tuple(
            sorted((_connection(item) for item in router.get("Connections") or ()), key=lambda c: c.address)
        ),
        ipam=_ipam(report.get("IPAM")),
        dns=_dns(report.get("DNS")),
    )


def _peer(item: t.Mapping[str, t.Any]) -> Peer:
    return Peer(item["Name"], item.get("NickName", ""))


def _connection(item: t.Mapping[str, t.Any]) -> Connection:
    attrs = item.get("Attrs") or {}
    info = str(item.get("Info", "")).strip()
    found = PEER_IN_INFO.search(info)
    return Connection(
        address=item["Address"],
        outbound=bool(item.get("Outbound")),
        state=item.get("State", ""),
        info=info,
        mode=attrs.get("name") or (found.group(1) if found else None),
        mtu=attrs.get("mtu"),
        encrypted=bool(attrs.get("encrypted")),
        peer=found.group(2) if found else None,
    )


def _ipam(item: t.Mapping[str, t.Any] | None) -> Ipam | None:
    if not item:
        return None
    owners: dict[str, Owner] = {}
    for entry in item.get("Entries") or ():
        known = owners.get(entry["Peer"])
        size = int(entry.get("Size", 0)) + (known.addresses if known else 0)
        owners[entry["Peer"]] = Owner(entry["Peer"], entry.get("Nickname", ""), size, bool(entry.get("IsKnownPeer")))
    return Ipam(
        range=item.get("Range", ""),
        default_subnet=item.get("DefaultSubnet", ""),
        status=_ipam_status(item, owners.values()),
        primed=bool(owners),
        active=int(item.get("ActiveIPs") or 0),
        owners=tuple(sorted(owners.values(), key=lambda owner: owner.peer)),
    )


def _ipam_status(item: t.Mapping[str, t.Any], owners: t.Collection[Owner]) -> str:
    """The words of 'weave status', which the report itself does not have."""
    if owners:
        if not any(owner.reachable and owner.addresses for owner in owners):
            return "all IP ranges owned by unreachable peers - use 'rmpeer' if they are dead"
        return "waiting for IP(s) to become available" if item.get("PendingAllocates") else "ready"
    paxos = item.get("Paxos")
    if not paxos:
        return "idle"
    if paxos.get("Elector"):
        return f"awaiting consensus (quorum: {paxos.get('Quorum')}, known: {paxos.get('KnownNodes')})"
    return "priming"


def _dns(item: t.Mapping[str, t.Any] | None) -> Dns | None:
    if not item:
        return None
    entries = [entry for entry in item.get("Entries") or () if not entry.get("Tombstone")]
    names = (
        Name(entry.get("Hostname", ""), entry.get("Address", ""), entry.get("Origin", ""), entry.get("ContainerID", ""))
        for entry in entries
    )
    return Dns(
        item.get("Domain", ""), item.get("Address", ""), tuple(sorted(names, key=lambda n: (n.hostname, n.address)))
    )
