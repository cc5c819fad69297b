# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the overlay shall be on every host, and why it cannot be. Pure; private to this collection."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _mtu, _slices

Info = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Host:
    """One host of the group; info is what overlay_info returned, None when the host was not reached."""

    name: str
    underlay_ip: str
    info: Info | None
    pin: str | None = None
    limited: bool = False  # left out by --limit, as opposed to unreachable


@dataclass(frozen=True)
class Wish:
    """What the operator asked for, the same on every host."""

    pool: str
    prefix: int = 24
    network: str = "overlay"
    bridge: str = "ovl0"
    tunnel_type: str = "gre"
    key: bool = True
    csum: bool = False
    mtu: int | None = None
    allow_overlap: bool = False
    recreate: bool = False
    minimum_hosts: int = 2
    packages: t.Mapping[str, str] = field(default_factory=dict)  # overlay_info key -> what a host needs it for


@dataclass(frozen=True)
class Plan:
    """The answer: problems stop the run before the first change, notices are shown and the run goes on."""

    problems: list[str]
    notices: list[str]
    slices: dict[str, str]
    mtu: int
    interfaces: dict[str, str]


def make_plan(hosts: t.Sequence[Host], wish: Wish) -> Plan:
    """Check all hosts against each other and work out slices and MTU."""
    problems: list[str] = []
    notices: list[str] = []
    reached = [host for host in hosts if host.info is not None]
    absent = [host.name for host in hosts if host.info is None]
    if len(hosts) < wish.minimum_hosts:
        listed = ", ".join(host.name for host in hosts) or "none"
        problems.append(
            f"an overlay joins at least {wish.minimum_hosts} hosts, and the group has {len(hosts)} ({listed}); "
            "add the other hosts to the group, or set overlay_minimum_hosts to 1 to go on with one"
        )
    if absent:
        notices.append(
            f"not reached in this run: {', '.join(absent)}; the other hosts keep or get their tunnels to them"
        )
    problems += underlay_problems(hosts, wish.tunnel_type)
    problems += machine_problems(reached, notices)
    for host in reached:
        problems += system_problems(host, wish)
    interfaces = {host.name: name for host in reached if (name := carrier(host))}
    mtu, mtu_problems = decide_mtu(reached, interfaces, wish)
    problems += mtu_problems
    slices: dict[str, str] = {}
    try:
        slices = decide_slices(hosts, wish)
        for host in reached:
            problems += pool_problems(host, wish)
            problems += change_problems(host, wish, slices[host.name], mtu)
    except _slices.SliceError as exc:
        problems.append(str(exc))
    return Plan(problems, notices, slices, mtu, interfaces)


def underlay_problems(hosts: t.Sequence[Host], tunnel_type: str) -> list[str]:
    """Every host needs a unicast underlay address of its own, of the family the tunnel type uses."""
    problems = []
    owners: dict[str, str] = {}
    families: dict[int, str] = {}
    for host in hosts:
        remedy = f"set overlay_underlay_ip for host '{host.name}' in the inventory"
        try:
            address = ipaddress.ip_address(host.underlay_ip)
        except ValueError:
            problems.append(
                f"underlay address '{host.underlay_ip}' of host '{host.name}' is neither an address "
                f"nor a name that the controller can resolve; {remedy}"
            )
            continue
        if address.is_multicast or address.is_loopback or address.is_unspecified or address.is_link_local:
            problems.append(
                f"underlay address {address} of host '{host.name}' is not one that other hosts can reach; {remedy}"
            )
        wanted = {"gre": 4, "ip6gre": 6}.get(tunnel_type)
        if wanted and address.version != wanted:
            problems.append(
                f"tunnel type {tunnel_type} runs over IPv{wanted}, and the underlay address of host '{host.name}' is {address}; {remedy}"
            )
        families.setdefault(address.version, host.name)
        if str(address) in owners:
            problems.append(
                f"hosts '{owners[str(address)]}' and '{host.name}' have the same underlay address {address}; {remedy} or remove one"
            )
        owners.setdefault(str(address), host.name)
        if host.info is not None and not carrier(host):
            problems.append(
                f"underlay address {address} is on no interface of host '{host.name}'; {remedy} to an address the host has"
            )
    if len(families) > 1:
        problems.append(
            f"underlay addresses mix IPv4 (host '{families[4]}') and IPv6 (host '{families[6]}'); use one family"
        )
    return problems


def carrier(host: Host) -> str | None:
    """Return the interface that holds the host's underlay address."""
    for interface in (host.info or {}).get("interfaces", []):
        if any(item.split("/")[0] == host.underlay_ip for item in interface["addresses"]):
            return str(interface["name"])
    return None


def machine_problems(reached: t.Sequence[Host], notices: list[str]) -> list[str]:
    """One machine under two names is refused; a clone with its own network cards only gets a notice."""
    problems = []
    seen: dict[str, Host] = {}
    for host in reached:
        ident = str(_info(host)["machine_id"])
        other = seen.setdefault(ident, host) if ident else host
        if other is host:
            continue
        if _macs(other) & _macs(host):
            problems.append(
                f"'{other.name}' and '{host.name}' are the same machine (machine-id {ident}); remove one of them from the group"
            )
        else:
            notices.append(
                f"'{other.name}' and '{host.name}' are clones with the same machine-id {ident}; "
                "on one of them: rm /etc/machine-id && systemd-machine-id-setup, then reboot"
            )
    return problems


def _macs(host: Host) -> set[str]:
    # Bridges and veth pairs have made-up addresses that clones and containers may share.
    cards = ("ether", "veth", "bond", "vlan", "macvlan")
    return {
        item["mac"] for item in _info(host)["interfaces"] if item["addresses"] and item["kind"] in cards and item["mac"]
    }


def system_problems(host: Host, wish: Wish) -> list[str]:
    """Root, systemd, and a system that the packages can be installed on."""
    info, problems = _info(host), []
    if info["uid"] != 0:
        problems.append(
            f"host '{host.name}': the run is not root there (user id {info['uid']}); use 'become: true' or --become"
        )
    system = info["system"]
    if not system["systemd"]:
        problems.append(
            f"host '{host.name}': systemd is not the init process of {system['name']}; this collection starts everything through systemd"
        )
    missing = [label for key, label in wish.packages.items() if not info[key]["installed"]]
    if missing and "debian" not in [system["id"], *system["like"]]:
        problems.append(
            f"host '{host.name}': {system['name']} is not one of the systems this collection installs packages on (Debian, Ubuntu); "
            f"install {' and '.join(missing)} there yourself and run again"
        )
    return problems


def pool_problems(host: Host, wish: Wish) -> list[str]:
    """The pool may share no address with what the host already routes or owns."""
    if wish.allow_overlap:
        return []
    info, problems = _info(host), []
    pool = _slices.network(wish.pool, "overlay_pool")
    own = {net["bridge"] for net in info["docker"]["networks"] if net["name"] == wish.network and net["label"]}
    # A stopped Docker shows no networks, but leaves their bridges; the record tells that this one is ours.
    own |= {wish.bridge} if info["slices"] and not info["docker"]["running"] else set()
    remedy = "choose another overlay_pool, or set overlay_allow_overlap to true if that is meant"
    for route in info["routes"]:
        if route["dst"] == "default" or route["dev"] in own or ":" in route["dst"]:
            continue
        if _slices.overlaps(pool, _slices.routed(route["dst"])):
            via = f" via {route['via']}" if route["via"] else ""
            problems.append(
                f"host '{host.name}': overlay_pool {pool} overlaps its route {route['dst']}{via} dev {route['dev']}; {remedy}"
            )
    for net in info["docker"]["networks"]:
        for subnet in net["subnets"]:
            if net["name"] == wish.network or ":" in subnet or any(route["dst"] == subnet for route in info["routes"]):
                continue
            if _slices.overlaps(pool, _slices.routed(subnet)):
                problems.append(
                    f"host '{host.name}': overlay_pool {pool} overlaps Docker network '{net['name']}' ({subnet}); {remedy}"
                )
    return problems


def decide_mtu(reached: t.Sequence[Host], interfaces: t.Mapping[str, str], wish: Wish) -> tuple[int, list[str]]:
    """Return the one MTU all hosts use: the smallest that fits, never raised while networks of a smaller one exist."""
    limits: dict[str, int] = {}
    version = 6 if any(":" in host.underlay_ip for host in reached) else 4
    for host in reached:
        for interface in _info(host)["interfaces"]:
            if interface["name"] == interfaces.get(host.name):
                try:
                    limits[host.name] = _mtu.overlay_mtu(
                        interface["mtu"], tunnel_type=wish.tunnel_type, ip_version=version, key=wish.key, csum=wish.csum
                    )
                except ValueError as exc:
                    return 0, [f"host '{host.name}', interface {interface['name']}: {exc}"]
    if not limits:
        return wish.mtu or 0, []
    narrowest = min(limits, key=lambda name: limits[name])
    limit = limits[narrowest]
    if wish.mtu:
        if wish.mtu > limit:
            return wish.mtu, [
                f"overlay_mtu {wish.mtu} is too large: the underlay of host '{narrowest}' carries at most {limit} bytes; use {limit} or less"
            ]
        return wish.mtu, []
    existing = [net["mtu"] for host in reached if (net := own_network(host, wish)) and net["mtu"]]
    if existing and max(existing) <= limit:
        return min(existing), []
    return limit, []


def decide_slices(hosts: t.Sequence[Host], wish: Wish) -> dict[str, str]:
    """Join inventory pins, what hosts hold, and what they recorded of others; give new hosts free slices."""
    known: dict[str, str] = {}
    for host in hosts:
        record = _info(host)["slices"] if host.info is not None else {}
        if record.get("damaged"):
            raise _slices.SliceError(
                f"host '{host.name}': the record of slices in {record['damaged']} is damaged; restore it from another host or remove it there"
            )
        if record.get("pool") == wish.pool:
            known.update(record["slices"])
    held = {
        host.name: net["slice"]
        for host in hosts
        if host.info is not None and (net := own_network(host, wish)) and net["pool"] == wish.pool
    }
    known.update(held)
    names = [host.name for host in hosts]
    pins = {host.name: host.pin for host in hosts if host.pin}
    unknown = [host.name for host in hosts if host.limited and host.name not in known and host.name not in pins]
    new = [host.name for host in hosts if host.info is not None and host.name not in known and host.name not in pins]
    if unknown and new:
        raise _slices.SliceError(
            f"new host(s) {', '.join(new)} need a slice of {wish.pool}, and what {', '.join(unknown)} hold(s) is not known because --limit "
            "leaves them out; run without --limit, or give the new hosts a slice with overlay_slice in the inventory"
        )
    return _slices.allocate(wish.pool, wish.prefix, names, pins, known)


def change_problems(host: Host, wish: Wish, slice_: str, mtu: int) -> list[str]:
    """A network that containers use keeps its pool, slice and MTU unless the operator asked for the change."""
    net = own_network(host, wish)
    if net is None or wish.recreate:
        return []
    want = {"pool": wish.pool, "slice": slice_, "mtu": mtu}
    differs = [f"{key} {net[key]} to {value}" for key, value in want.items() if net[key] != value]
    users = [
        item["name"]
        for item in _info(host)["docker"]["containers"]
        if wish.network in item["networks"] and item["label"] is None
    ]
    if not differs or not users:
        return []
    return [
        f"host '{host.name}': Docker network '{wish.network}' would change ({', '.join(differs)}), and containers use it: {', '.join(users)}; "
        "put the old values back, or set ovs_gre_network_recreate to true to disconnect them, make the network anew and connect them again"
    ]


def own_network(host: Host, wish: Wish) -> Info | None:
    """Return the overlay's Docker network on that host, if it is there and ours."""
    for net in _info(host)["docker"]["networks"]:
        if net["name"] == wish.network and net["label"]:
            return t.cast(Info, net)
    return None


def _info(host: Host) -> Info:
    return host.info or {}
