# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the overlay shall be on every host, and why it cannot be. Pure; private to this collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _mtu, _slices
from ansible_collections.crosshost.overlay.plugins.plugin_utils._hosts import (
    Host,
    Info,
    carrier,
    facts,
    group_problems,
    machine_problems,
    overlap_problems,
    system_problems,
    underlay_problems,
)

WEAVE_DRIVER = "weavemesh"  # of the Docker network that Weave Net's plugin makes


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
    problems += group_problems(hosts, wish.minimum_hosts)
    if absent:
        notices.append(
            f"not reached in this run: {', '.join(absent)}; the other hosts keep or get their tunnels to them"
        )
    problems += underlay_problems(hosts, *family(wish.tunnel_type))
    problems += machine_problems(reached, notices)
    for host in reached:
        problems += system_problems(host, wish.packages)
        notices += backend_notice(host)
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


def family(tunnel_type: str) -> tuple[int | None, str]:
    """Return the address family a tunnel type runs over, None for either, and the words that say so."""
    version = {"gre": 4, "ip6gre": 6}.get(tunnel_type)
    return version, f"tunnel type {tunnel_type} runs over IPv{version}"


def backend_notice(host: Host) -> list[str]:
    """Say that the other backend runs on a host; the two do not disturb each other."""
    if not any(net.get("driver") == WEAVE_DRIVER for net in facts(host)["docker"]["networks"]):
        return []
    return [
        f"host '{host.name}' runs Weave Net too; it stays, and its containers are not on this overlay. To remove it: "
        "ansible-playbook crosshost.overlay.teardown -e overlay_backend=weave"
    ]


def pool_problems(host: Host, wish: Wish) -> list[str]:
    """The pool may share no address with what the host already routes or owns."""
    if wish.allow_overlap:
        return []
    info = facts(host)
    pool = _slices.network(wish.pool, "overlay_pool")
    own = {net["bridge"] for net in info["docker"]["networks"] if net["name"] == wish.network and net["label"]}
    # A stopped Docker shows no networks, but leaves their bridges; the record tells that this one is ours.
    own |= {wish.bridge} if info["slices"] and not info["docker"]["running"] else set()
    return overlap_problems(host, str(pool), own, [wish.network])


def decide_mtu(reached: t.Sequence[Host], interfaces: t.Mapping[str, str], wish: Wish) -> tuple[int, list[str]]:
    """Return the one MTU all hosts use: the smallest that fits, never raised while networks of a smaller one exist."""
    limits: dict[str, int] = {}
    version = 6 if any(":" in host.underlay_ip for host in reached) else 4
    for host in reached:
        for interface in facts(host)["interfaces"]:
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
        record = facts(host)["slices"] if host.info is not None else {}
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
        for item in facts(host)["docker"]["containers"]
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
    for net in facts(host)["docker"]["networks"]:
        if net["name"] == wish.network and net["label"]:
            return t.cast(Info, net)
    return None
