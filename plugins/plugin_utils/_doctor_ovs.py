# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on tunnels: the two ends that do not fit, the ones that are dead, the ones that go astray. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_causes import DEAD
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import dig, matching, texts
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, rule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_tunnels import (
    Tunnel,
    bridge_of,
    partners,
    readable,
    tunnels,
)
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import on, quoted, site

NO_KERNEL = re.compile(r"Address family not supported|Operation not supported|No such device or address", re.IGNORECASE)
MODULE = {"ip6gre": "ip6_gre"}  # modules of the kernel that have another name than the type of tunnel
KNOWN = (
    *("remote_ip", "local_ip", "key", "in_key", "out_key", "tos", "ttl", "df_default", "csum", "seq", "packet_type"),
    *("egress_pkt_mark", "dst_port", "exts", "psk", "remote_cert", "remote_name", "local_name", "pmtud"),
    *("erspan_ver", "erspan_idx", "erspan_dir", "erspan_hwid"),
)


def repaired(tunnel: Tunnel, *commands: str) -> tuple[str, ...]:
    """The playbook for what is ours, a command for what is somebody else's."""
    return (site("ovs_gre"),) if tunnel.owner else on(tunnel.host, *commands)


def named(tunnel: Tunnel) -> str:
    """Name a tunnel in a sentence."""
    return f"{tunnel.name} on {tunnel.host}"


def words(case: Case, tunnel: Tunnel) -> tuple[str, ...]:
    """What ovs-vswitchd's log says of a tunnel."""
    name = re.compile(rf"(?<![\w-]){re.escape(tunnel.name)}(?![\w-])")
    log = matching(name, case.info(tunnel.host), "openvswitch", "log")
    return quoted(tunnel.host, log, 2)


@rule("gre-key-mismatch", unless=[*DEAD, "tunnel-options-refused", "gre-remote-mismatch"])
def gre_key_mismatch(case: Case) -> t.Iterator[Finding]:
    """Both ends look healthy; each drops what the other sends."""
    found = tunnels(case)
    for tunnel in found:
        ends = [other for other in partners(tunnel, found) if other.type == tunnel.type]
        if not ends or any(tunnel.keys_fit(end) for end in ends) or str(tunnel.peer) < tunnel.host:
            continue
        end = ends[0]
        usual = _usual_key(found, tunnel.type)
        wrong = next((item for item in (end, tunnel) if usual and item.key("in") != usual), end)
        right = usual or tunnel.key("out")
        other = tunnel if wrong is end else end
        yield Finding(
            "gre-key-mismatch",
            "error",
            (wrong.host, other.host),
            f"{named(wrong)} has key {wrong.key('in')}, and {named(other)} at its other end has key {other.key('in')}",
            (wrong.line(), other.line(), *words(case, wrong), *words(case, other)),
            "Each end drops packets with another key than its own, and still looks healthy.",
            f"Give {named(wrong)} the key {right}.",
            repaired(wrong, f"ovs-vsctl set Interface {wrong.name} options:key={right}"),
            rank=30,
        )


def _usual_key(found: t.Sequence[Tunnel], kind: str) -> str | None:
    """The key that more than half of the tunnels have."""
    keys = [tunnel.key("in") for tunnel in found if tunnel.type == kind]
    best = max(set(keys), key=keys.count) if keys else None
    return best if best and keys.count(best) * 2 > len(keys) else None


@rule("gre-remote-mismatch", unless=DEAD)
def gre_remote_mismatch(case: Case) -> t.Iterator[Finding]:
    """A tunnel whose addresses are not those of the other end."""
    found = tunnels(case)
    for tunnel in found:
        ends = partners(tunnel, found)
        for end in ends:
            if any(tunnel.answers(item) for item in ends) or tunnel.ends_fit(end):
                continue
            yield _mismatch(
                case,
                end,
                tunnel,
                f"{named(end)} sends from {end.local}, and {named(tunnel)} expects {tunnel.remote}",
                f"Set local_ip of {named(end)} to {tunnel.remote}.",
                f"options:local_ip={tunnel.remote}",
            )
        if ends or not readable(case, tunnel.peer):
            continue
        # The other end has no tunnel back: one of its tunnels may lead to where nobody is.
        for stray in [item for item in found if item.host == tunnel.peer and item.peer is None and item.remote]:
            if stray.type != tunnel.type or stray.remote == "flow" or not stray.keys_fit(tunnel):
                continue
            address = tunnel.local or case.addresses.get(tunnel.host) or f"the address of {tunnel.host}"
            yield _mismatch(
                case,
                stray,
                tunnel,
                f"{named(stray)} leads to {stray.remote}, which no host has, and {tunnel.host} ({address}) has none back from {stray.host}",
                f"Set remote_ip of {named(stray)} to {address}.",
                f"options:remote_ip={address}",
            )


def _mismatch(case: Case, wrong: Tunnel, other: Tunnel, summary: str, remedy: str, option: str) -> Finding:
    return Finding(
        "gre-remote-mismatch",
        "error",
        (wrong.host, other.host),
        summary,
        (wrong.line(), other.line(), *words(case, wrong)),
        "A tunnel takes only packets that come from its remote address to its local one; others are dropped.",
        remedy,
        repaired(wrong, f"ovs-vsctl set Interface {wrong.name} {option}"),
        rank=29,
    )


@rule("gre-one-way", unless=[*DEAD, "gre-remote-mismatch", "tunnel-duplicate"])
def gre_one_way(case: Case) -> t.Iterator[Finding]:
    """A tunnel without one back."""
    found = tunnels(case)
    flows = {tunnel.host for tunnel in found if tunnel.remote == "flow"}
    for tunnel in found:
        if tunnel.peer in (None, tunnel.host) or tunnel.peer in flows or not readable(case, tunnel.peer):
            continue
        if any(other.type == tunnel.type for other in partners(tunnel, found)):
            continue
        peer = str(tunnel.peer)
        address = tunnel.local or case.addresses.get(tunnel.host) or "<address>"
        key = f" options:key={tunnel.key('in')}" if tunnel.key("in") != "0" else ""
        port = f"to-{tunnel.host}"[:15]  # the kernel takes no longer names
        flag = f" -- set Port {port} protected=true" if tunnel.protected else ""
        yield Finding(
            "gre-one-way",
            "error",
            (peer, tunnel.host),
            f"{peer} has no tunnel to {tunnel.host}, which has one to {peer}",
            (tunnel.line(), f"{peer}: no {tunnel.type} port with remote_ip {address}"),
            "A tunnel takes two ports, one on each host; with one alone packets arrive and are dropped.",
            f"Add the missing port on {peer}.",
            (site("ovs_gre"),)
            if tunnel.owner
            else on(
                peer,
                f"ovs-vsctl add-port {tunnel.bridge} {port} -- set Interface {port} type={tunnel.type} options:remote_ip={address}{key}{flag}",
            ),
            rank=31,
        )


@rule(
    "tunnel-missing",
    unless=[
        *DEAD,
        "gre-one-way",
        "gre-remote-mismatch",
        "tunnel-duplicate",
        "overlay-absent",
        "docker-network-missing",
    ],
)
def tunnel_missing(case: Case) -> t.Iterator[Finding]:
    """Two hosts of a mesh of ours, and no tunnel between them."""
    if not case.expects("ovs_gre") or case.wish.get("topology", "mesh") != "mesh":
        return
    found = [tunnel for tunnel in tunnels(case) if tunnel.owner]
    if any(not tunnel.protected for tunnel in found):
        return  # a hub, whose spokes have no tunnels between them; or a fault that another rule names
    ours = [host for host in case.read if readable(case, host) and case.our_bridges(host)]
    for at, first in enumerate(ours):
        for second in ours[at + 1 :]:
            if any({tunnel.host, tunnel.peer} == {first, second} for tunnel in found):
                continue
            ports = [
                f"{host}: tunnels to {', '.join(tunnel.remote for tunnel in found if tunnel.host == host) or 'nobody'}"
                for host in (first, second)
            ]
            yield Finding(
                "tunnel-missing",
                "error",
                (first, second),
                f"there is no tunnel between {first} and {second}",
                tuple(ports),
                "In a mesh every two hosts have a tunnel of their own; nobody passes on for others.",
                "Add it.",
                (site("ovs_gre"),),
                rank=32,
            )


@rule("tunnel-duplicate", unless=DEAD)
def tunnel_duplicate(case: Case) -> t.Iterator[Finding]:
    """Two tunnels of one host with the same addresses and key: one of them carries nothing."""
    found = tunnels(case)
    for at, tunnel in enumerate(found):
        for other in found[:at]:
            if other.host != tunnel.host or other.identity != tunnel.identity:
                continue
            dead = next((item for item in (tunnel, other) if item.health == "dead"), tunnel)
            keeper = other if dead is tunnel else tunnel
            # Two names with the same addresses: the one whose name tells another host is the wrong one.
            yield Finding(
                "tunnel-duplicate",
                "error",
                (tunnel.host,),
                f"{keeper.name} and {dead.name} on {tunnel.host} are the same tunnel ({tunnel.remote}, key {tunnel.key('in')}); one of them is dead",
                (keeper.line(), dead.line(), *words(case, dead), *words(case, keeper)),
                "Open vSwitch takes two tunnels with the same addresses and key without an error, and runs only one of them.",
                f"Give one of the two its own remote_ip or key, or delete {dead.name} if {keeper.name} is the one that is meant.",
                (site("ovs_gre"),)
                if tunnel.owner and other.owner
                else on(tunnel.host, f"ovs-vsctl del-port {(dead if not dead.owner else keeper).name}"),
                rank=28,
            )


@rule("kernel-without-gre", unless=DEAD)
def kernel_without(case: Case) -> t.Iterator[Finding]:
    """The kernel has no module for this kind of tunnel."""
    for host, dead in _dead(case).items():
        modules = case.part(host, "kernel", "modules")
        lacking = [name for name in ("openvswitch", dead[0].type) if dig(modules, name) == "absent"]
        said = next((tunnel for tunnel in dead if NO_KERNEL.search(tunnel.error)), None)
        system = bridge_of(case, dead[0]).get("datapath", "system") != "netdev"
        if not system or not (said or lacking):
            continue
        yield Finding(
            "kernel-without-gre",
            "error",
            (host,),
            f"the kernel of {host} has no {' and no '.join(lacking) or dead[0].type}, which its tunnels need",
            quoted(
                host,
                [tunnel.error for tunnel in dead if tunnel.error][:2]
                or [f"modinfo: {name} not found" for name in lacking],
            )
            + tuple(tunnel.line() for tunnel in dead[:1]),
            "With the kernel's datapath, tunnels are devices of the kernel. This one was built, or installed, without them.",
            "Install the kernel's full set of modules, or use Open vSwitch's userspace datapath with a card of its own.",
            (
                *on(host, f"modprobe openvswitch && modprobe {MODULE.get(dead[0].type, dead[0].type)}"),
                site("ovs_gre", ovs_gre_datapath="netdev"),
            ),
            rank=18,
        )


@rule("tunnel-dead", unless=[*DEAD, "tunnel-duplicate", "kernel-without-gre", "tunnel-options-refused"])
def tunnel_dead(case: Case) -> t.Iterator[Finding]:
    """A port that is in the database and carries nothing."""
    for host, dead in _dead(case).items():
        for tunnel in dead:
            live = texts(case.info(host), "openvswitch", "live_tunnels")
            gone = (
                []
                if not live or tunnel.name in live
                else [f"{host}: ovs-appctl ofproto/list-tunnels: no {tunnel.name}"]
            )
            error = quoted(host, [f"{tunnel.name}: error: {tunnel.error}"]) if tunnel.error else ()
            yield Finding(
                "tunnel-dead",
                "error",
                (host, *([tunnel.peer] if tunnel.peer else [])),
                f"the tunnel {named(tunnel)} is in the database and carries nothing",
                (
                    *error,
                    f"{host}: {tunnel.name}: ofport {tunnel.row.get('ofport')}",
                    *gone,
                    tunnel.line(),
                    *words(case, tunnel),
                ),
                "ovs-vswitchd could not make it, or lost it when an option was changed while it ran.",
                "Delete the port and add it anew with the right options.",
                repaired(
                    tunnel, f"ovs-vsctl del-port {tunnel.name}", "tail -n 30 /var/log/openvswitch/ovs-vswitchd.log"
                ),
                rank=33,
            )


def _dead(case: Case) -> dict[str, list[Tunnel]]:
    found: dict[str, list[Tunnel]] = {}
    for tunnel in tunnels(case):
        if tunnel.health == "dead" or (tunnel.health == "pending" and tunnel.error):
            found.setdefault(tunnel.host, []).append(tunnel)
    return found


@rule("tunnel-options-refused", unless=DEAD)
def options_refused(case: Case) -> t.Iterator[Finding]:
    """Options that Open vSwitch does not understand, and takes without a word."""
    for tunnel in tunnels(case):
        reasons = [f"{key} is none of its options" for key in tunnel.options if str(key) not in KNOWN]
        garbage = [reason for key in ("key", "in_key", "out_key", "ttl", "tos") if (reason := _garbage(tunnel, key))]
        if not reasons and not garbage:
            continue
        yield Finding(
            "tunnel-options-refused",
            "error" if garbage or tunnel.health == "dead" else case.grave(tunnel.host),
            (tunnel.host, *([tunnel.peer] if tunnel.peer else [])),
            f"{named(tunnel)} has options that Open vSwitch does not take: {'; '.join(garbage + reasons)}",
            (tunnel.line(), *words(case, tunnel)),
            "Open vSwitch stores any option without an error and does without those it does not understand; a key that is no number counts as 0.",
            "Set the option right, or remove it.",
            repaired(tunnel, f"ovs-vsctl list Interface {tunnel.name}"),
            rank=27,
        )


def _garbage(tunnel: Tunnel, key: str) -> str:
    """Say why a value is none, empty if it is one."""
    value = tunnel.options.get(key)
    words_allowed = {"ttl": ("inherit",), "tos": ("inherit",)}.get(key, ("flow",))
    if value is None or str(value) in words_allowed:
        return ""
    try:
        amount = int(str(value), 0)
    except ValueError:
        return f"{key}={value} is no number"
    most = 255 if key in ("ttl", "tos") else 2**32 - 1 if tunnel.type in ("gre", "ip6gre") else 2**24 - 1
    return "" if 0 <= amount <= most else f"{key}={value} is more than {most}"
