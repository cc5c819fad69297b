# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What the overlay asks of a host's firewalls, as one record, and the traffic that follows from it."""

from __future__ import annotations

import ipaddress
import json
import typing as t
from dataclasses import asdict, dataclass, fields, replace

from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import Context, FirewallError, Flow, Run

WISH_PATH = "/etc/crosshost-overlay/firewall.json"
# Containers on Weave Net reach weaveDNS, on docker0's address, by way of docker0 or, on the network "weave", of docker_gwbridge.
DNS_BRIDGES = ("docker0", "docker_gwbridge")
NTP = ("udp", (123, 123))
UDP_PORTS = {"vxlan": 4789, "geneve": 6081}  # IANA; also what Open vSwitch uses


class WishError(ValueError):
    """An option that cannot be right; the text says which and why."""


@dataclass(frozen=True)
class Wish:
    """The options of firewalld_fix that last; recorded in WISH_PATH."""

    backend: str
    peers: tuple[str, ...] = ()
    address: str = ""
    bridges: tuple[str, ...] = ()
    port: int = 6783
    encrypted: bool = False
    tunnel_type: str = "gre"
    userspace: bool = False  # tunnels of Open vSwitch's userspace datapath, which no firewall of the host sees
    dns: bool = True
    ntp: bool = False  # peers take their time from this host
    disabled: bool = False  # the services of the firewalls are stopped and masked
    also: tuple[str, ...] = ()  # the other backend, where a host has both

    def joins(self, backend: str) -> bool:
        """Whether this backend is one of those that join the host to its peers."""
        return backend == self.backend or backend in self.also

    def text(self) -> str:
        """The record as a file's content."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def parse(text: str, path: str = WISH_PATH) -> Wish:
    """The inverse of Wish.text()."""
    try:
        record = json.loads(text)
        known = {field.name for field in fields(Wish)}
        values: dict[str, t.Any] = {
            name: tuple(item) if isinstance(item, list) else item for name, item in record.items()
        }
        return Wish(**{name: item for name, item in values.items() if name in known})
    except (ValueError, TypeError, AttributeError) as exc:
        raise FirewallError(f"{path} is damaged ({exc}); remove it and run the role peer_firewall again.") from exc


def checked(wish: Wish) -> Wish:
    """The wish with addresses in their usual form and without this host among its peers; WishError if it cannot be right."""
    peers = set()
    for peer in wish.peers:
        peers.add(_address(peer, "peers"))
    own = _address(wish.address, "address") if wish.address else ""
    if own and any(":" in peer for peer in peers) != (":" in own) and peers:
        raise WishError(
            f"address is {own} and peers are of the other address family; give both as IPv4 or both as IPv6"
        )
    if not 1 <= wish.port <= 65534:
        raise WishError(
            f"port is {wish.port}; it has to be from 1 to 65534, because the fast datapath takes the next one"
        )
    for bridge in wish.bridges:
        if not 1 <= len(bridge) <= 15 or set(bridge) & set(" /+*\"'\\") or not bridge.isascii():
            raise WishError(f"bridges has '{bridge}', which is not the name of a network interface")
    ordered = sorted(peers - {own}, key=lambda peer: (ipaddress.ip_address(peer).version, ipaddress.ip_address(peer)))
    return replace(wish, peers=tuple(ordered), address=own)


def _address(text: str, option: str) -> str:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise WishError(
            f"{option} has '{text}', which is not an IP address; names are not looked up on the host"
        ) from None
    if found.is_multicast or found.is_unspecified or found.is_loopback:
        raise WishError(f"{option} has {found}, which is no address that a host can be reached at")
    return str(found)


def from_peers(wish: Wish) -> list[tuple[str, tuple[int, int] | None]]:
    """Protocol and destination ports of everything that peers may send to this host."""
    return [*tunnel_traffic(wish), *([NTP] if wish.ntp else [])]


def tunnel_traffic(wish: Wish) -> list[tuple[str, tuple[int, int] | None]]:
    """Protocol and destination ports of what peers send each other; the routers' control port 6784/tcp is never in it."""
    found: list[tuple[str, tuple[int, int] | None]] = []
    if wish.joins("weave"):
        found += [("tcp", (wish.port, wish.port)), ("udp", (wish.port, wish.port + 1))]
        found += [("esp", None)] if wish.encrypted else []
    if wish.joins("ovs_gre") and not wish.userspace:
        port = UDP_PORTS.get(wish.tunnel_type)
        found.append(("udp", (port, port)) if port else ("gre", None))
    return found


def flows(wish: Wish, dns_address: str, underlay: str) -> tuple[Flow, ...]:
    """Everything that has to pass; dns_address is docker0's, empty without one."""
    found = []
    for family in (4, 6):
        peers = tuple(peer for peer in wish.peers if (":" in peer) == (family == 6))
        for protocol, ports in from_peers(wish) if peers else []:
            found.append(
                Flow(
                    hook="input",
                    label=_label(protocol, ports),
                    family=family,
                    protocol=protocol,
                    ports=ports,
                    sources=peers,
                    destination=wish.address,
                    via=underlay,
                )
            )
    if wish.joins("weave") and wish.dns and dns_address:
        for bridge in DNS_BRIDGES:
            for protocol in ("udp", "tcp"):
                found.append(
                    Flow(
                        hook="input",
                        label=f"dns ({protocol} 53) from {bridge}",
                        protocol=protocol,
                        ports=(53, 53),
                        destination=dns_address,
                        iif=bridge,
                    )
                )
    for bridge in wish.bridges:
        found.append(Flow(hook="forward", label=f"containers on bridge {bridge}", iif=bridge, oif=bridge))
    return tuple(found)


def _label(protocol: str, ports: tuple[int, int] | None) -> str:
    if ports is None:
        return protocol
    return f"{protocol} {ports[0]}" if ports[0] == ports[1] else f"{protocol} {ports[0]}-{ports[1]}"


def surroundings(run: Run, wish: Wish | None) -> tuple[Context, str]:
    """What a firewall has to know of the host (ufw and firewalld apart), and docker0's address."""
    result = run(["ip", "-json", "address", "show"])
    if result.rc != 0:
        raise FirewallError(
            f"The interfaces of this host cannot be read: {result.message}. Nothing was changed.", result
        )
    carriers: dict[str, str] = {}
    dns = ""
    for link in json.loads(result.out or "[]"):
        for item in link.get("addr_info", []):
            carriers[item.get("local", "")] = link["ifname"]
            if link["ifname"] == "docker0" and item.get("family") == "inet" and not dns:
                dns = item["local"]
    if wish is None:
        return Context(), dns
    underlay = carriers.get(wish.address, "")
    if wish.address and not underlay:
        raise FirewallError(
            f"The underlay address {wish.address} is on no interface of this host, so nothing was changed. "
            "Set overlay_underlay_ip of this host to an address that it has ('ip address' lists them)."
        )
    if not underlay and wish.peers:
        underlay = _route_device(run, wish.peers[0])
    # Weave Net lets names in from docker0 itself, at the end of INPUT, and not everywhere: that comes and goes, too.
    bridges = (*wish.bridges, *DNS_BRIDGES) if wish.joins("weave") and wish.dns else wish.bridges
    return Context(bridges=bridges, underlay=underlay), dns


def _route_device(run: Run, peer: str) -> str:
    result = run(["ip", "-json", "route", "get", peer])
    try:
        return str(json.loads(result.out)[0]["dev"]) if result.rc == 0 else ""
    except (ValueError, LookupError):
        return ""
