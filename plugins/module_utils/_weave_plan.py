# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What a Weave Net router shall be, and what it takes from what it is. Pure."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_args

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_args import Launch
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_state import Have

MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
SMALLEST_RANGE = 4  # addresses; the router's own limit


@dataclass(frozen=True)
class Wish:
    """What the operator asked for. peers None: as they are."""

    launch: Launch
    password: str
    image: str
    policy: str
    detect_tls: bool = False
    peers: tuple[str, ...] | None = None
    allow_rename: bool = False
    allow_range_change: bool = False


@dataclass(frozen=True)
class Plan:
    """The way from what is to what shall be. launch: words why a (new) router has to be started, () if none."""

    launch: tuple[str, ...] = ()
    args: Launch | None = None
    unpause: bool = False
    policy: str | None = None
    connect: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    record: t.Mapping[str, t.Any] | None = None

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(
            self.launch or self.unpause or self.policy or self.connect or self.forget or self.leftovers or self.record
        )


def input_problems(launch: Launch, peers: t.Iterable[str]) -> list[str]:
    """What the router would refuse or, worse, take in another sense than meant; one sentence each, with the option's name."""
    problems = []
    if launch.name and (not MAC.match(launch.name) or int(launch.name[:2], 16) & 1 or set(launch.name) == {"0", ":"}):
        problems.append(
            f"name '{launch.name}' is not a peer name: give the six bytes of a unicast MAC address, such as 02:00:00:00:00:01"
        )
    span = None
    if launch.ipalloc_range:
        span, problem = _network("ipalloc_range", launch.ipalloc_range)
        problems += problem
        if span and span.num_addresses < SMALLEST_RANGE:
            problems.append(f"ipalloc_range {span} is smaller than {SMALLEST_RANGE} addresses; take a /30 or larger")
    if launch.ipalloc_default_subnet:
        subnet, problem = _network("ipalloc_default_subnet", launch.ipalloc_default_subnet)
        problems += problem
        if subnet and span and not subnet.subnet_of(span):
            problems.append(f"ipalloc_default_subnet {subnet} is not inside ipalloc_range {span}")
    for text in launch.trusted_subnets:
        problems += _network("trusted_subnets", text)[1]
    if not re.match(r"(consensus(=[1-9][0-9]*)?|observer|seed=[^,\s]+(,[^,\s]+)*)?\Z", launch.ipalloc_init):
        problems.append(
            f"ipalloc_init '{launch.ipalloc_init}' is none of consensus, consensus=COUNT, seed=NAME,NAME,... and observer"
        )
    for peer in peers:
        problems += peer_problems(peer)
    for low, high, option in ((1, 65534, "port"), (0, 100000, "connection_limit"), (0, 65535, "mtu")):
        if not low <= getattr(launch, option) <= high:
            problems.append(f"{option} {getattr(launch, option)} is not within {low} to {high}")
    return problems


def peer_problems(peer: str) -> list[str]:
    """A peer is an IPv4 address, with a port or without."""
    host, _sep, port = peer.partition(":")
    try:
        if ":" in port:
            raise ValueError("Weave Net is IPv4 only")
        ipaddress.IPv4Address(host)
        if port and not (port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"'{port}' is no port")
    except ValueError as exc:
        return [f"peer '{peer}' is not an IPv4 address with an optional port: {exc}"]
    return []


def _network(option: str, text: str) -> tuple[ipaddress.IPv4Network | None, list[str]]:
    try:
        return ipaddress.IPv4Network(text), []
    except ValueError as exc:
        return None, [f"{option} '{text}' is not an IPv4 network in CIDR form: {exc}"]


def bare(peer: str, port: int) -> str:
    """A peer without the port that goes without saying."""
    return peer[: -len(f":{port}")] if peer.endswith(f":{port}") else peer


def without_own(peers: t.Iterable[str], own: t.Container[str]) -> tuple[str, ...]:
    """The same list may go to all hosts: a host's own addresses are left out, and repetitions."""
    return tuple(dict.fromkeys(peer for peer in peers if peer.partition(":")[0] not in own))


def refusals(have: Have, wish: Wish) -> list[str]:
    """Why the wish is not carried out; the state stays as it is."""
    found = []
    main = have.container
    for container in (main, have.previous):
        if container is not None and not container.router:
            return [
                f"the container '{'weave' if container is main else 'weave-previous'}' was made from the image {container.image} "
                "and is not a Weave Net router; it stays as it is. Rename or remove it yourself ('docker rename weave ...') and run again"
            ]
    if have.primed:
        name, span = have.known("name", "name"), have.known("range", "ipalloc_range")
        if name and wish.launch.name and name != wish.launch.name and not wish.allow_rename:
            found.append(
                f"the router's name would change from {name} to {wish.launch.name}: it would forget which addresses it has given out. "
                f"Set name to {name}, or allow_rename to true"
            )
        if span and span != wish.launch.ipalloc_range and not wish.allow_range_change:
            found.append(
                f"the allocation range would change from {span} to {wish.launch.ipalloc_range or 'none'}: containers keep addresses "
                f"of the old one, and hosts with different ranges do not connect. Set ipalloc_range to {span}, or allow_range_change to true"
            )
    if have.bridge and have.launch and have.launch.fast_datapath != wish.launch.fast_datapath:
        found.append(
            "fast_datapath would change, and the bridge 'weave' of the other kind is there: only a reset removes it. "
            "Run state=reset on this host first, which also gives up its addresses, or leave fast_datapath as it was"
        )
    return found


def plan(have: Have, wish: Wish) -> Plan:
    """Compare what is with what shall be."""
    want = wish.launch
    # Seeds never change once set: the router ignores others, and peers with different ones do not connect.
    settled = have.primed or bool(have.record.get("init"))
    reasons = tuple(launch_reasons(have, wish, replace(want, ipalloc_init="") if settled else want))
    if settled:
        want = replace(want, ipalloc_init=str(have.record.get("init") or getattr(have.launch, "ipalloc_init", "")))
    targets = have.router.targets if have.router else ()
    former = targets if have.router else getattr(have.launch, "peers", ())
    peers = wish.peers if wish.peers is not None else former
    if not want.name:
        want = replace(want, name=have.known("name", "name"))
    record = {
        "name": want.name,
        "range": want.ipalloc_range,
        "init": want.ipalloc_init or getattr(have.launch, "ipalloc_init", ""),
        "port": want.port,
    }
    leftovers = tuple(
        item for item in (have.helper, have.previous.id if have.previous and not reasons else None) if item
    )
    if reasons:
        return Plan(launch=reasons, args=replace(want, peers=peers), leftovers=leftovers, record=record)
    main = have.container
    policy = wish.policy if main and main.policy != wish.policy else None
    if main and main.status == "paused":
        return Plan(unpause=True, policy=policy, leftovers=leftovers)
    there = {bare(item, want.port): item for item in targets}
    wanted = {bare(item, want.port): item for item in peers}
    return Plan(
        policy=policy,
        connect=tuple(item for key, item in sorted(wanted.items()) if key not in there),
        forget=tuple(item for key, item in sorted(there.items()) if key not in wanted),
        leftovers=leftovers,
        record=record if {key: have.record.get(key) for key in record} != record else None,
    )


def launch_reasons(have: Have, wish: Wish, want: Launch) -> list[str]:
    """Why a router has to be started: there is none, it does not serve, or what it was started with differs."""
    main, launch = have.container, have.launch
    if main is None or launch is None:
        return ["no router"]
    found = []
    if main.status not in ("running", "paused"):
        found.append(f"the router's container is {main.status}")
    elif main.status == "running" and have.router is None:
        found.append("the router does not answer")
    if main.image != wish.image:
        found.append(f"image: {main.image} to {wish.image}")
    if main.password != wish.password:
        found.append(
            "password: " + ("changed" if main.password and wish.password else "set" if wish.password else "removed")
        )
    for option, (is_, shall) in _weave_args.differences(launch, want, wish.detect_tls).items():
        found.append(f"{option}: {_shown(is_)} to {_shown(shall)}")
    return found


def _shown(value: t.Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return str(value) if value not in ("", None) else "none"
