# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Which containers move from one Docker network to another: pure planning for overlay_members."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


class Refusal(Exception):
    """The wish cannot be fulfilled as things are; the text says why and what to do."""


@dataclass(frozen=True)
class Member:
    """A container of the operator on the network of origin; aliases are those it has there."""

    name: str
    networks: tuple[str, ...]
    aliases: tuple[str, ...] = ()


def plan(members: t.Iterable[Member], source: str, target: str, state: str) -> list[list[str]]:
    """Return the docker commands that connect the members to target, or disconnect them from source."""
    if state == "connected":
        return [_connect(member, target) for member in members if target not in member.networks]
    listed = list(members)
    lonely = [member.name for member in listed if target not in member.networks]
    if lonely:
        raise Refusal(
            f"containers are on the Docker network '{source}' and not on '{target}', so they would be cut off: {', '.join(lonely)}. "
            f"Connect them first ('docker network connect {target} {lonely[0]}', or state=connected), or remove them"
        )
    return [["network", "disconnect", source, member.name] for member in listed]


def _connect(member: Member, target: str) -> list[str]:
    aliases = [word for alias in member.aliases for word in ("--alias", alias)]
    return ["network", "connect", *aliases, target, member.name]


def predicted(members: t.Iterable[Member], source: str, target: str, state: str) -> dict[str, list[str]]:
    """The networks of each member after the change."""
    found = {}
    for member in members:
        names = {*member.networks, target} if state == "connected" else {*member.networks} - {source}
        found[member.name] = sorted(names)
    return found
