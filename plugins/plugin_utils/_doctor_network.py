# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on addresses, sizes and Docker's networks. Pure."""

from __future__ import annotations

import ipaddress
import itertools
import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _mtu
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_causes import NO_DOCKER
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import Facts, number, texts
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, rule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_tunnels import Tunnel, tunnels
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import MADE_ANEW, listed, on, quoted, site

WEAVE_OVERHEAD = 84  # as in _weave_plan: IPv4, UDP, VXLAN, Ethernet, and ESP
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def own_network(case: Case, host: str) -> Facts:
    """Return the Docker network of the overlay on a host, empty if there is none."""
    for net in case.rows(host, "docker", "networks"):
        if net.get("label") and net.get("driver") == "bridge":
            return net
    return {}


def parsed(text: t.Any) -> Network | None:
    """Return a network, None for what is none."""
    try:
        return ipaddress.ip_network(str(text), strict=False)
    except ValueError:
        return None


def _overhead(tunnel: Tunnel) -> int:
    kind = tunnel.type if tunnel.type in (*_mtu.GRE_TYPES, *_mtu.UDP_TYPES) else "gre"
    options = tunnel.options
    return _mtu.overhead(
        kind,
        6 if ":" in tunnel.remote else 4,
        # A key of 0 is none, unless it was asked for in so many words; then the header has it.
        key=any(str(options.get(name) or "0") != "0" for name in ("key", "out_key")),
        csum=str(options.get("csum")) == "true",
        seq=str(options.get("seq")) == "true",
    )


@rule("mtu-too-large", unless=["kernel-without-gre"])
def mtu_too_large(case: Case) -> t.Iterator[Finding]:
    """Large packets of containers do not fit through the narrowest underlay."""
    under = {host: int(value) for host in case.read if (value := number(case.carrier(host), "mtu"))}
    if not under:
        return
    narrow = min(under, key=lambda host: under[host])
    for host in case.read:
        over, device, overhead = _overlay(case, host)
        if not over or over + overhead <= under[narrow]:
            continue
        fits = under[narrow] - overhead
        usual = max(under.values())
        changed = under[narrow] < usual and over + overhead <= usual
        guilty = narrow if changed else host
        card = _narrow_card(case, narrow, under[narrow])
        yield Finding(
            "mtu-too-large",
            "error",
            (guilty,),
            f"{device} has MTU {over} on {host}, and {card} of {narrow} carries at most {fits} of it"
            if not changed
            else f"{card} of {narrow} has MTU {under[narrow]}, and the overlay's MTU is made for {usual}",
            (f"{narrow}: {card}: mtu {under[narrow]}", f"{host}: {device}: mtu {over}"),
            f"A tunnel adds {overhead} bytes to each packet; full-size packets are dropped or cut in pieces, so connections hang once data flows.",
            f"Raise the MTU of {card} on {narrow} again, or lower the overlay's to {fits}."
            if changed
            else f"Lower the overlay's MTU to {fits}. {MADE_ANEW}",
            (
                on(narrow, f"ip link set dev {card} mtu {usual}")
                if changed
                else (site(overlay_mtu=str(fits), ovs_gre_network_recreate="true"),)
            )
            if case.expects("ovs_gre")
            else (site(overlay_mtu=str(fits)),),
            rank=23,
        )
        if changed:
            return  # one card is to blame for all hosts


def _narrow_card(case: Case, host: str, mtu: int) -> str:
    """Name what the MTU of the underlay comes from: a bridge of Open vSwitch has that of the card in it."""
    name = str(case.carrier(host).get("name"))
    members = {str(port.get("name")) for port in case.rows(host, "openvswitch", "ports") if port.get("bridge") == name}
    cards = [
        str(link.get("name"))
        for link in case.rows(host, "interfaces")
        if str(link.get("name")) in members - {name} and number(link, "mtu") == mtu
    ]
    return cards[0] if cards else name


def _overlay(case: Case, host: str) -> tuple[int, str, int]:
    """Return MTU and device of a host's overlay, and what its tunnels add."""
    net = own_network(case, host)
    ends = [tunnel for tunnel in tunnels(case) if tunnel.host == host and tunnel.owner]
    if net.get("mtu") and ends:
        return (
            int(number(net, "mtu") or 0),
            f"the Docker network {net.get('name')}",
            max(_overhead(end) for end in ends),
        )
    links = case.rows(host, "weave", "router", "connections")
    if any(link.get("mode") == "fastdp" for link in links):
        bridge = case.interface(host, "weave")
        encrypted = any(link.get("encrypted") for link in links)
        return int(number(bridge, "mtu") or 0), "the bridge weave", WEAVE_OVERHEAD if encrypted else WEAVE_OVERHEAD - 34
    return 0, "", 0


@rule("mtu-differs", unless=["mtu-too-large"])
def mtu_differs(case: Case) -> t.Iterator[Finding]:
    """Containers of one network with packets of different size."""
    sizes = {host: _overlay(case, host) for host in case.read}
    known = {host: size for host, (size, dummy_device, dummy_overhead) in sizes.items() if size}
    if len(set(known.values())) < 2:
        return
    values = list(known.values())
    usual = max(sorted(set(values)), key=values.count)
    odd = [host for host, size in known.items() if size != usual]
    yield Finding(
        "mtu-differs",
        case.grave(*odd),
        tuple(odd),
        f"the overlay's MTU is not the same on all hosts: {listed([f'{size} on {host}' for host, size in known.items()])}",
        tuple(f"{host}: {sizes[host][1]}: mtu {size}" for host, size in known.items()),
        "A container behind the larger one sends packets that the smaller one's bridge drops without a word.",
        f"Give {listed(odd)} the MTU {usual}. {MADE_ANEW}",
        (site(overlay_mtu=str(usual), ovs_gre_network_recreate="true"),),
        rank=38,
    )


@rule("pools-overlap")
def pools_overlap(case: Case) -> t.Iterator[Finding]:
    """Addresses of the overlay that the host has another way to."""
    if case.wish.get("allow_overlap") in (True, "true", "yes"):
        return
    for host in case.read:
        net = own_network(case, host)
        weave = case.part(host, "weave", "ipam")
        for text, devices, names in (
            (net.get("pool"), {str(net.get("bridge"))}, {str(net.get("name"))}),
            (weave.get("range"), {"weave"}, {"weave"}),
        ):
            pool = parsed(text) if text else None
            if pool is not None:
                yield from _overlaps(case, host, pool, devices, names)


def _overlaps(case: Case, host: str, pool: Network, devices: set[str], names: set[str]) -> t.Iterator[Finding]:
    for route in case.rows(host, "routes"):
        other = parsed(route.get("dst"))
        if other is None or route.get("dst") == "default" or other.prefixlen == 0 or str(route.get("dev")) in devices:
            continue
        if other.version == pool.version and other.overlaps(pool):
            via = f" via {route.get('via')}" if route.get("via") else ""
            inner = other.prefixlen >= pool.prefixlen
            yield Finding(
                "pools-overlap",
                "error" if inner else case.grave(host),
                (host,),
                f"{host} routes {other} to {route.get('dev')}, and the overlay's pool is {pool}",
                quoted(host, [f"{route.get('dst')}{via} dev {route.get('dev')}"]),
                "Packets to these addresses take the other way and never reach a container."
                if inner
                else "Containers hide the machines behind that route from this host, or the other way round.",
                "Remove the route, or choose another pool for the overlay (overlay_pool), where all containers then get other addresses.",
                on(host, f"ip route show to match {other.network_address}"),
                rank=22,
            )
    bridges = {str(route.get("dst")) for route in case.rows(host, "routes")}
    for net in case.rows(host, "docker", "networks"):
        for text in texts(net, "subnets"):
            other = parsed(text)
            if other is None or str(net.get("name")) in names or text in bridges or other.version != pool.version:
                continue
            if net.get("driver") != "weavemesh" and other.overlaps(pool):
                yield Finding(
                    "pools-overlap",
                    "error",
                    (host,),
                    f"the Docker network {net.get('name')} on {host} has addresses of the overlay's pool {pool}",
                    quoted(host, [f"{net.get('name')}: {text}"]),
                    "Two networks with the same addresses: packets go to one of them, whichever is meant.",
                    "Make that network anew with other addresses, or choose another pool for the overlay.",
                    on(host, f"docker network inspect {net.get('name')}"),
                    rank=22,
                )


@rule("slices-overlap", unless=["machine-twice"])
def slices_overlap(case: Case) -> t.Iterator[Finding]:
    """Two hosts that give out the same addresses."""
    nets = {host: own_network(case, host) for host in case.read}
    held = [(host, span) for host, net in nets.items() if net and (span := parsed(net.get("slice")))]
    for (first, one), (second, other) in itertools.combinations(held, 2):
        if one.version != other.version or not one.overlaps(other):
            continue
        astray = [host for host in (first, second) if recorded_slice(case, host) not in ("", nets[host].get("slice"))]
        culprit = astray[0] if len(astray) == 1 else second
        remedy, commands = _own_slice(case, culprit, str(nets[culprit].get("name")), strayed=len(astray) == 1)
        yield Finding(
            "slices-overlap",
            "error",
            (culprit, first if culprit == second else second),
            f"{first} and {second} give out the same addresses ({one} and {other})",
            tuple(
                f"{host}: IPRange {nets[host].get('slice')}, Gateway {nets[host].get('gateway')}"
                for host in (first, second)
            ),
            "Containers on the two hosts get the same addresses, and both hosts have the same gateway address; answers come from the wrong one.",
            remedy,
            commands,
            rank=21,
        )


def recorded_slice(case: Case, host: str) -> str:
    """Return the slice that was planned for a host, by the record on it; empty if there is none."""
    return str(case.get(host, "slices", "slices", host) or "")


def _own_slice(case: Case, host: str, network: str, strayed: bool) -> tuple[str, tuple[str, ...]]:
    """Remedy and commands that give a host addresses of its own again; strayed: those that were planned for it are free."""
    if not strayed:
        remedy = f"Give {host} a slice of its own: set overlay_slice of {host} in the inventory, and have its network made anew. {MADE_ANEW}"
        return remedy, (site(ovs_gre_network_recreate="true"),)
    remedy = (
        f"{host} has {recorded_slice(case, host)} of its own, and its network '{network}' was made with another range. Remove that network,"
        " which Docker refuses while containers are on it, and have it made as planned."
    )
    return remedy, (*on(host, f"docker network rm {network}"), site())


@rule("docker-network-missing", unless=[*NO_DOCKER, "machine-twice"])
def network_missing(case: Case) -> t.Iterator[Finding]:
    """Everything but the network that containers join."""
    if not case.expects("ovs_gre"):
        return
    name = str(case.wish.get("network") or "overlay")
    for host in case.read:
        if case.get(host, "docker", "running") is not True or own_network(case, host):
            continue
        foreign = next((net for net in case.rows(host, "docker", "networks") if net.get("name") == name), None)
        yield Finding(
            "docker-network-missing",
            "error",
            (host,),
            f"the Docker network {name} is missing on {host}"
            if foreign is None
            else f"the Docker network {name} on {host} is not the overlay's",
            quoted(
                host,
                [f"Error: No such network: {name}"]
                if foreign is None
                else [f"{name}: driver {foreign.get('driver')}, no label crosshost.overlay"],
            ),
            "Containers cannot join the overlay on this host."
            if foreign is None
            else "Somebody made a network of that name by hand; containers on it reach their own host only.",
            "Make it."
            if foreign is None
            else "Remove that one (Docker refuses while containers use it), or give the overlay's another name (overlay_network_name), then make that.",
            (site("ovs_gre", [host]),)
            if foreign is None
            else (*on(host, f"docker network rm {name}"), site("ovs_gre", [host])),
            rank=20,
        )


@rule("underlay-address-missing", unless=["tunnel-egress-missing", "machine-twice"])
def underlay_missing(case: Case) -> t.Iterator[Finding]:
    """Tunnels end at an address that the host has lost."""
    for host in case.read:
        address = case.addresses.get(host)
        if not address or parsed(address) is None or not case.rows(host, "interfaces") or case.carrier(host):
            continue
        if not (case.marked(host, "ovs_gre") or case.marked(host, "weave")):
            continue  # an address of a router in front of it, say
        yield Finding(
            "underlay-address-missing",
            "error",
            (host,),
            f"{host} does not have its underlay address {address}",
            tuple(
                f"{host}: {interface.get('name')}: {', '.join(texts(interface, 'addresses'))}"
                for interface in case.rows(host, "interfaces")
                if interface.get("addresses")
            ),
            "The other hosts send to an address that is nobody's.",
            "Give it back to its interface, or correct overlay_underlay_ip.",
            on(host, "ip -brief address", f"ip route get {address}"),
            rank=19,
        )


@rule("underlay-down", unless=["underlay-address-missing"])
def underlay_down(case: Case) -> t.Iterator[Finding]:
    """The card that tunnels use has no link."""
    for host in case.read:
        card = case.carrier(host)
        lost = (
            card.get("carrier") is False
            or card.get("operstate") in ("DOWN", "LOWERLAYERDOWN")
            or card.get("up") is False
        )
        if card and lost:
            yield Finding(
                "underlay-down",
                "error",
                (host,),
                f"{card.get('name')} of {host}, which has the underlay address, has no link",
                quoted(
                    host,
                    [f"{card.get('name')}: state {card.get('operstate') or 'DOWN'}, carrier {card.get('carrier')}"],
                ),
                "The interface is down, or its cable, port or peer is.",
                "Bring it up.",
                on(host, f"ip link set dev {card.get('name')} up", f"ip -statistics link show dev {card.get('name')}"),
                rank=19,
            )
