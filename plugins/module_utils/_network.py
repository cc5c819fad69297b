# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What has to happen to one Docker network: pure planning for overlay_network."""

from __future__ import annotations

import ipaddress
import json
import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils import _docker


@dataclass(frozen=True)
class Wish:
    """The network as it shall be."""

    name: str
    pool: str
    slice: str
    gateway: str
    mtu: int
    bridge: str


@dataclass(frozen=True)
class User:
    """A container on the network with what it needs to be connected again."""

    container: str
    address: str
    aliases: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """The network as it is."""

    network: _docker.Network | None
    users: tuple[User, ...]  # containers of the operator
    probes: tuple[str, ...]  # containers of this collection, which end by themselves
    pending: tuple[User, ...]  # left without the network by a run that was cut off
    bridge_exists: bool
    bridge_owner: str  # another network that claims the bridge's name


class Refusal(Exception):
    """The wish cannot be fulfilled as things are; the text says why and what to do."""


def invalid(wish: Wish) -> str | None:
    """Say what is wrong with the wish, None when it is sound."""
    try:
        pool = ipaddress.IPv4Network(wish.pool)
        slice_ = ipaddress.IPv4Network(wish.slice)
        gateway = ipaddress.IPv4Address(wish.gateway)
    except ValueError as exc:
        return f"pool, slice and gateway are IPv4, pool and slice networks without host bits: {exc}"
    if slice_.prefixlen < pool.prefixlen or slice_.network_address not in pool:
        return f"slice {slice_} is not inside pool {pool}"
    if gateway not in slice_ or gateway in (pool.network_address, pool.broadcast_address):
        return f"gateway {gateway} is not a host address of slice {slice_}"
    if not 576 <= wish.mtu <= 65535:
        return f"mtu {wish.mtu} is outside 576 to 65535"
    return None


def differences(state: State, wish: Wish) -> dict[str, tuple[t.Any, t.Any]]:
    """Return what differs as name -> (have, want); empty for a network that is right or absent."""
    net = state.network
    if net is None:
        return {}
    have = {
        "driver": net.driver,
        "pool": net.pool,
        "slice": net.slice,
        "gateway": net.gateway,
        "mtu": net.mtu,
        "bridge": net.bridge,
    }
    want = {
        "driver": "bridge",
        "pool": wish.pool,
        "slice": wish.slice,
        "gateway": wish.gateway,
        "mtu": wish.mtu,
        "bridge": wish.bridge,
    }
    result: dict[str, tuple[t.Any, t.Any]] = {key: (have[key], want[key]) for key in want if have[key] != want[key]}
    if not result and not state.bridge_exists:
        result["link"] = ("missing", wish.bridge)
    return result


def plan_present(state: State, wish: Wish, recreate: bool) -> list[list[str]]:
    """Return the docker commands that make the network as wished."""
    refuse_foreign(state, wish.name)
    differs = differences(state, wish)
    if state.network is None and state.bridge_exists:
        owner = f"belongs to Docker network '{state.bridge_owner}'" if state.bridge_owner else "is not one of Docker's"
        raise Refusal(
            f"a link named {wish.bridge} exists already and {owner}; choose another bridge name or remove that link"
        )
    if differs and state.users and not recreate:
        listed = ", ".join(f"{key} {have} to {want}" for key, (have, want) in differs.items())
        raise Refusal(
            f"Docker network '{wish.name}' would change ({listed}), and containers use it: {', '.join(user.container for user in state.users)}. "
            "A Docker network cannot be changed in place: put the old values back, or set recreate to true to disconnect them, "
            "make the network anew and connect them again"
        )
    steps: list[list[str]] = []
    back = list(state.pending)
    if differs:
        steps += [["rm", "--force", name] for name in state.probes]
        steps += [["network", "disconnect", "--force", wish.name, user.container] for user in state.users]
        steps.append(["network", "rm", wish.name])
        back = list(state.users) + back
    if differs or state.network is None:
        steps.append(create(wish))
    return steps + [connect(wish, user) for user in back]


def plan_absent(state: State, name: str, disconnect: bool) -> list[list[str]]:
    """Return the docker commands that remove the network."""
    if state.network is None:
        return []
    refuse_foreign(state, name)
    if state.users and not disconnect:
        raise Refusal(
            f"Docker network '{name}' is used by containers: {', '.join(user.container for user in state.users)}. "
            "Remove them or disconnect them first, or set disconnect to true to disconnect them now"
        )
    return [
        *(["rm", "--force", probe] for probe in state.probes),
        *(["network", "disconnect", "--force", name, user.container] for user in state.users),
        ["network", "rm", name],
    ]


def refuse_foreign(state: State, name: str) -> None:
    """A network without our label is somebody else's."""
    if state.network is not None and state.network.label is None:
        raise Refusal(
            f"Docker network '{name}' exists and was not made by this collection (no label {_docker.LABEL}); "
            "choose another name for the overlay's network"
        )


def create(wish: Wish) -> list[str]:
    """Return the command that makes the network."""
    return [
        *("network", "create", "--driver", "bridge", "--label", f"{_docker.LABEL}=network"),
        *("--subnet", wish.pool, "--ip-range", wish.slice, "--gateway", wish.gateway),
        *("--opt", f"{_docker.BRIDGE_NAME}={wish.bridge}", "--opt", f"{_docker.MTU}={wish.mtu}"),
        wish.name,
    ]


def connect(wish: Wish, user: User) -> list[str]:
    """Return the command that connects a container again, with its address if the slice still has it."""
    try:
        keep = ipaddress.IPv4Address(user.address) in ipaddress.IPv4Network(wish.slice)
    except ValueError:
        keep = False
    aliases = [arg for alias in user.aliases for arg in ("--alias", alias)]
    return ["network", "connect", *(["--ip", user.address] if keep else []), *aliases, wish.name, user.container]


def parse_users(inspected: str, network: str) -> list[User]:
    """Read the users of a network from the output of 'docker inspect' on its containers."""
    users = []
    for entry in json.loads(inspected or "[]"):
        end = (entry.get("NetworkSettings", {}).get("Networks") or {}).get(network)
        if end is None:
            continue
        fixed = (end.get("IPAMConfig") or {}).get("IPv4Address", "")
        # Docker adds the short id as an alias by itself.
        aliases = tuple(alias for alias in end.get("Aliases") or [] if not entry["Id"].startswith(alias))
        users.append(User(entry["Name"].lstrip("/"), fixed or end.get("IPAddress", ""), aliases))
    return users
