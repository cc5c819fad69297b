# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What dead hosts own of a Weave network's address range, as one router sees it. Pure."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_report import Router


@dataclass(frozen=True)
class Dead:
    """A host that is said to be gone for good; name is its peer name, empty where it is not known."""

    nickname: str
    name: str = ""


@dataclass(frozen=True)
class Claim:
    """What a dead host owns."""

    nickname: str
    peer: str
    addresses: int


def claims(router: Router, dead: t.Iterable[Dead]) -> list[Claim]:
    """What these hosts own; a host that came back under another peer name may own something under both."""
    owners = [owner for owner in (router.ipam.owners if router.ipam else ()) if owner.peer != router.name]
    return [
        Claim(item.nickname, owner.peer, owner.addresses)
        for item in dead
        for owner in owners
        if owner.peer.lower() == item.name or owner.nickname == item.nickname
    ]


def strangers(router: Router, dead: t.Iterable[Dead]) -> list[Claim]:
    """What others own that cannot be reached: maybe the hosts that are meant, under names nobody told."""
    known = {claim.peer for claim in claims(router, dead)}
    return [
        Claim(owner.nickname, owner.peer, owner.addresses)
        for owner in (router.ipam.owners if router.ipam else ())
        if not owner.reachable and owner.peer not in known
    ]


def connected(router: Router, dead: t.Iterable[Dead]) -> list[str]:
    """Those that some router of the network is connected to; a router knows of all that can be reached, over whatever way.

    This host itself is among them: nobody is dead who answers.
    """
    return [
        item.nickname
        for item in dead
        if any(peer.name.lower() == item.name or peer.nickname == item.nickname for peer in router.peers)
        or router.name.lower() == item.name
        or router.nickname == item.nickname
    ]


def refusal(router: Router, still: t.Sequence[str]) -> str:
    """Why nothing is taken over."""
    return (
        f"{', '.join(still)} is said to be dead, and the routers of the network are connected to it, as that of "
        f"{router.nickname or router.name} knows. Addresses that two routers own are given out twice. If it lives, have it leave: run without "
        "remove_host_dead. If it was lost just now, the routers notice within about a minute: run again"
    )


def taken_over(answer: str) -> int:
    """How many addresses the router says it took over; it says 0 for a peer that it does not know."""
    match = re.match(r"(\d+) IPs taken over", answer.strip())
    return int(match.group(1)) if match else 0
