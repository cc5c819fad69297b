# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on bridges: loops and storms, and ways that end in nothing. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import (
    Case,
    Facts,
    Finding,
    dig,
    listed,
    number,
    on,
    quoted,
    rule,
    site,
    texts,
)
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_ovs import DEAD
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_tunnels import (
    Tunnel,
    bridge_of,
    circle,
    tunnels,
)

STORM = (
    500.0  # broadcasts a second; in tests a storm made 6,000 to 10,000 packets, a mesh of idle hosts makes one or two
)
OWN_ADDRESS = re.compile(r"received packet on \S+ with own address", re.IGNORECASE)
LINK = "ovl-link"


@rule("bridge-loop", unless=["ovs-vswitchd-down", "ovs-database-down"])
def bridge_loop(case: Case) -> t.Iterator[Finding]:
    """Tunnels that make a circle, with nothing to stop a broadcast."""
    found = tunnels(case)
    ring = circle(case, found)
    if not ring:
        return
    hosts = tuple(dict.fromkeys(tunnel.host for tunnel in ring))
    way = " -> ".join([*(tunnel.host for tunnel in ring), ring[0].host])
    involved = [tunnel for tunnel in found if tunnel.host in hosts and tunnel.bridge in {item.bridge for item in ring}]
    yield Finding(
        "bridge-loop",
        "error",
        hosts,
        f"the tunnels of {listed(hosts)} make a loop: {way}",
        tuple(tunnel.line() for tunnel in ring[:8]) + _speeds(case, ring),
        "Each bridge passes what comes from one tunnel on to the others, so a broadcast circles for ever and copies of it fill every link. "
        "No port is protected and no bridge speaks RSTP.",
        *_loop_cure(ring, involved),
        rank=15,
    )


def _loop_cure(ring: t.Sequence[Tunnel], involved: t.Sequence[Tunnel]) -> tuple[str, tuple[str, ...]]:
    """A full mesh needs no passing on; any other shape needs a protocol that closes links."""
    if any(tunnel.owner for tunnel in ring):
        return "Run site.yml: it protects the ports of the mesh, so that nothing is passed from tunnel to tunnel.", (
            site("ovs_gre"),
        )
    hosts = list(dict.fromkeys(tunnel.host for tunnel in involved))
    reach = {host: {tunnel.peer for tunnel in involved if tunnel.host == host} for host in hosts}
    if all(set(hosts) - {host} <= reach[host] for host in hosts):
        return (
            "Every host has a tunnel to every other, so no bridge has to pass on from tunnel to tunnel: protect the tunnel ports on all of them.",
            tuple(
                line
                for tunnel in involved
                if not tunnel.protected
                for line in on(tunnel.host, f"ovs-vsctl set Port {tunnel.name} protected=true")
            ),
        )
    bridges = dict.fromkeys((tunnel.host, tunnel.bridge) for tunnel in involved)
    return (
        "Remove one of the tunnels, or let the bridges close one by themselves with RSTP.",
        tuple(line for host, bridge in bridges for line in on(host, f"ovs-vsctl set Bridge {bridge} rstp_enable=true")),
    )


def _speeds(case: Case, ring: t.Sequence[Tunnel]) -> tuple[str, ...]:
    """How many packets pass, where that was measured and is remarkable, and the kernel's own complaint."""
    lines: list[str] = []
    for host in dict.fromkeys(tunnel.host for tunnel in ring):
        for name, rate in case.part(host, "rates").items():
            if (number(rate, "rx_pps") or 0) > STORM:
                lines.append(f"{host}: {name}: {number(rate, 'rx_pps'):.0f} packets/s received")
                break
        lines += quoted(host, [line for line in texts(case.info(host), "kernel", "log") if OWN_ADDRESS.search(line)], 1)
    return tuple(lines)


@rule("storm", unless=["bridge-loop"])
def storm(case: Case) -> t.Iterator[Finding]:
    """More broadcasts than any network makes by itself."""
    loud: dict[str, list[str]] = {}
    for host in case.read:
        for name, rate in case.part(host, "rates").items():
            broadcasts = number(rate, "broadcast_pps")
            if broadcasts is not None and broadcasts > STORM:
                loud.setdefault(host, []).append(f"{host}: {name}: {broadcasts:.0f} broadcasts/s received")
    for pair in case.pairs:
        if getattr(pair, "fault", "") == "storm":
            loud.setdefault(pair.source, []).append(f"{pair.source}: to {pair.target}: {pair.reason}")
    if loud:
        yield Finding(
            "storm",
            "error",
            tuple(loud),
            f"broadcasts circle on the overlay, seen on {listed(list(loud))}",
            tuple(line for lines in loud.values() for line in lines[:2]),
            "Somewhere frames find a second way back: a second tunnel, a bridge that joins two networks, a container that bridges.",
            "Take one host's bridge out after the other until it is quiet: the last one is on the circle.",
            tuple(
                line
                for host in loud
                for line in on(host, "ovs-vsctl show", "ovs-appctl fdb/stats-show br-overlay", "bridge link")
            ),
            rank=16,
        )


@rule("port-unprotected", unless=[*DEAD, "bridge-loop"])
def port_unprotected(case: Case) -> t.Iterator[Finding]:
    """A tunnel port in a mesh that passes on from tunnel to tunnel: others get frames twice."""
    found = tunnels(case)
    for host in case.read:
        for bridge in {tunnel.bridge for tunnel in found if tunnel.host == host}:
            same = [tunnel for tunnel in found if tunnel.bridge == bridge]
            here = [tunnel for tunnel in same if tunnel.host == host]
            bare = [tunnel for tunnel in here if not tunnel.protected]
            if len(here) < 2 or not bare or not any(tunnel.protected for tunnel in same):
                continue
            yield Finding(
                "port-unprotected",
                case.grave(host),
                (host,),
                f"{', '.join(tunnel.name for tunnel in bare)} on {host} passes frames from other tunnels on, and the ports of the others do not",
                tuple(tunnel.line() for tunnel in bare),
                "In a mesh every port to another host is protected; through one that is not, others get broadcasts twice, and a second one makes a loop.",
                "Protect it.",
                (site("ovs_gre"),)
                if any(tunnel.owner for tunnel in bare)
                else tuple(
                    line for tunnel in bare for line in on(host, f"ovs-vsctl set Port {tunnel.name} protected=true")
                ),
                rank=34,
            )


@rule("link-missing", unless=[*DEAD, "docker-stopped", "docker-hangs", "docker-missing", "docker-network-missing"])
def link_missing(case: Case) -> t.Iterator[Finding]:
    """Docker's bridge without its way into the bridge with the tunnels."""
    name = str(case.wish.get("link") or LINK)
    for host in case.read:
        networks = [
            net for net in case.rows(host, "docker", "networks") if net.get("label") and net.get("driver") == "bridge"
        ]
        marked = [bridge for bridge in case.rows(host, "openvswitch", "bridges") if bridge.get("mark")]
        if not networks or not marked:
            continue
        bridge = str(networks[0].get("bridge"))
        link = next((item for item in case.rows(host, "interfaces") if item.get("name") == name), None)
        if link is None:
            why, line = f"{name} does not exist", f'Device "{name}" does not exist.'
        elif link.get("master") != bridge:
            why, line = (
                f"{name} is not a member of {bridge}",
                f"{name}: master {link.get('master') or 'none'}, expected {bridge}",
            )
        elif link.get("up") is False:
            why, line = f"{name} is down", f"{name}: state DOWN, master {bridge}"
        else:
            continue
        yield Finding(
            "link-missing",
            "error",
            (host,),
            f"the containers of {host} are cut off from the tunnels: {why}",
            quoted(host, [line]),
            f"{name} joins Docker's bridge {bridge} to the bridge with the tunnels; without it containers reach those on the same host only.",
            "Have the host's own unit join them again."
            if link
            else "Have the port made again, and joined; site.yml does both.",
            on(host, "systemctl restart crosshost-overlay.service") if link else (site("ovs_gre", [host]),),
            rank=35,
        )


@rule("port-stale", unless=DEAD)
def port_stale(case: Case) -> t.Iterator[Finding]:
    """Ports of containers that are gone."""
    for host in case.read:
        stale = [
            port
            for port in case.rows(host, "openvswitch", "ports")
            if "could not open network device" in str(port.get("error") or "")
        ]
        if not stale:
            continue
        ours = any(port.get("owner") for port in stale)
        yield Finding(
            "port-stale",
            "error" if ours else case.grave(host),
            (host,),
            f"{len(stale)} port(s) of Open vSwitch on {host} have lost their device: {', '.join(str(port.get('name')) for port in stale[:5])}",
            quoted(host, [f"{port.get('name')}: error: {port.get('error')}" for port in stale]),
            "The device went away with its container, or at a reboot, and the database keeps the port; what was behind it is cut off.",
            "Attach the container anew (ovs-docker add-port), or delete the port.",
            (site("ovs_gre"),)
            if ours
            else on(host, *(f"ovs-vsctl --if-exists del-port {port.get('name')}" for port in stale[:5])),
            rank=36,
        )


def _userspace(case: Case, tunnel: Tunnel) -> bool:
    return bridge_of(case, tunnel).get("datapath") == "netdev"


@rule("tunnel-egress-missing", unless=DEAD)
def egress_missing(case: Case) -> t.Iterator[Finding]:
    """The userspace datapath sends through bridges of its own only."""
    for host in dict.fromkeys(tunnel.host for tunnel in tunnels(case)):
        own = [tunnel for tunnel in tunnels(case) if tunnel.host == host and _userspace(case, tunnel)]
        bridges = {str(bridge.get("name")) for bridge in case.rows(host, "openvswitch", "bridges")}
        carrier = str(case.carrier(host).get("name") or "")
        astray = [tunnel for tunnel in own if tunnel.egress and tunnel.egress not in bridges]
        if not own or not (astray or (case.addresses.get(host) and carrier not in bridges)):
            continue
        where = f"is on {carrier}" if carrier else "is on no interface"
        home = str(case.get(host, "attachment", "bridge") or "")
        yield Finding(
            "tunnel-egress-missing",
            "error",
            (host,),
            f"the tunnels of {host} have no way out: its underlay address {case.addresses.get(host, '')} {where}, and not on a bridge of Open vSwitch",
            (
                *(f"{host}: {tunnel.name}: tunnel_egress_iface={tunnel.egress}" for tunnel in astray[:3]),
                f"{host}: inet {case.addresses.get(host, 'unknown')} dev {carrier or 'none'}",
                own[0].line(),
            ),
            "The userspace datapath does its own routing, and finds the way only if the card is in one of its bridges and the bridge has the address.",
            f"Have the address put back on {home}."
            if home
            else "Move the address to the bridge that has the card, or use the kernel's datapath.",
            (site("ovs_gre"),)
            if own[0].owner
            else on(host, "ovs-appctl ovs/route/show", f"ovs-appctl ovs/route/lookup {own[0].remote}"),
            rank=24,
        )


@rule("offload-on", unless=DEAD)
def offload_on(case: Case) -> t.Iterator[Finding]:
    """The userspace datapath sees frames whose checksums the card was to fill in."""
    for host in case.read:
        bridges = {str(bridge.get("name")): bridge for bridge in case.rows(host, "openvswitch", "bridges")}
        members = {
            str(port.get("name")): port
            for port in case.rows(host, "openvswitch", "ports")
            if (bridges.get(str(port.get("bridge"))) or {}).get("datapath") == "netdev"
            and port.get("type") not in ("internal", "tap")
        }
        for interface in case.rows(host, "interfaces"):
            name = str(interface.get("name"))
            left = _on(interface) if name in members and name not in bridges else []
            if not left:
                continue
            yield Finding(
                "offload-on",
                case.grave(host),
                (host,),
                f"{name} on {host} leaves checksums to the hardware, and the userspace datapath passes frames on without them",
                quoted(host, [f"{feature}: on" for feature in left]),
                "Ping passes, and TCP stalls: its checksums are filled in by nobody.",
                f"Turn these offloads of {name} off; for ours, site.yml does and its unit does so after each boot.",
                (site("ovs_gre"),)
                if members[name].get("owner")
                else on(host, f"ethtool -K {name} tx off tso off gso off gro off"),
                rank=25,
            )


def _on(interface: Facts) -> list[str]:
    offloads = dig(interface, "offloads")
    names = ("tx-checksumming", "tx", "tcp-segmentation-offload", "tso", "generic-segmentation-offload", "gso")
    return [name for name in names if dig(offloads, name) is True]


@rule("datapath-userspace")
def datapath_userspace(case: Case) -> t.Iterator[Finding]:
    """Slower than need be."""
    for host in case.read:
        kernel = case.get(host, "kernel", "modules", "openvswitch")
        if case.wish.get("datapath") == "netdev" or kernel not in ("loaded", "builtin", "available"):
            continue
        slow = [tunnel for tunnel in tunnels(case) if tunnel.host == host and _userspace(case, tunnel)]
        if slow:
            yield Finding(
                "datapath-userspace",
                "note",
                (host,),
                f"the tunnels of {host} run in userspace, though its kernel could",
                quoted(host, [f"{slow[0].bridge}: datapath_type netdev", f"kernel module openvswitch: {kernel}"]),
                "Each packet goes through a process; the kernel's datapath is several times faster.",
                f"If nothing speaks against it, set the datapath of {slow[0].bridge} to the kernel's.",
                (site("ovs_gre", ovs_gre_datapath="system"),),
                rank=70,
            )
