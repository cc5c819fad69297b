# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What the overlay needs of a firewall, and what a plan for one firewall consists of.

Every firewall has a file of its own (_fw_iptables.py, _fw_nft.py, _fw_firewalld.py, _fw_ufw.py) with the same two functions:

    observe(run, context) -> tuple of states    reads, changes nothing; empty where this firewall does not act
    plan(state, flows, context, present) -> LayerPlan    pure

These files also run on the host without Ansible, after each start of its firewalls (_fw_boot.py); they need nothing but Python.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result

MARK = "crosshost.overlay"  # comment of every rule that is ours
CHAIN_INPUT = "CROSSHOST-INPUT"  # our chains; iptables allows 28 characters
CHAIN_FORWARD = "CROSSHOST-FORWARD"
CHAIN_PEERS = "CROSSHOST-PEERS"

# run(argv, stdin, timeout): runs one command, bounded, never raises for its status.
Run = t.Callable[..., Result]


class FirewallError(Exception):
    """A firewall that cannot be read or changed; the text says which, why, and what to do."""

    def __init__(self, text: str, result: Result | None = None) -> None:
        super().__init__(text)
        self.result = result


@dataclass(frozen=True)
class Flow:
    """One kind of traffic that has to pass. Empty fields match everything."""

    hook: str  # "input" or "forward"
    label: str  # for people: "tcp 6783", "gre", "dns from docker0", "bridge weave"
    family: int = 4
    protocol: str = ""  # tcp, udp, gre, esp
    ports: tuple[int, int] | None = None  # destination ports, both included
    sources: tuple[str, ...] = ()  # peers' addresses, sorted
    destination: str = ""  # the host's own address
    iif: str = ""  # part of the opening
    oif: str = ""
    via: str = ""  # interface it is known to arrive on: to judge rules with, not part of the opening


@dataclass(frozen=True)
class Context:
    """What one firewall has to know of the rest of the host."""

    # The overlay's bridges, and those that names are asked from; rules of others that name them belong to Weave Net or Docker.
    bridges: tuple[str, ...] = ()
    underlay: str = ""  # interface that carries the underlay address
    ufw: bool = False  # ufw is active, so what it blocks is opened by way of it
    firewalld: str = ""  # "nftables" or "iptables" while firewalld runs: the backend it uses


@dataclass(frozen=True)
class Block:
    """A rule that stops traffic of the overlay."""

    firewall: str
    hook: str
    rule: str  # as the firewall's own tool prints it
    traffic: str  # the flow's label
    sources: tuple[str, ...] = ()  # which of the flow's peers it stops; empty: a flow without peers


@dataclass(frozen=True)
class Step:
    """One command that changes the firewall."""

    argv: tuple[str, ...]
    stdin: str = ""
    timeout: float = 60


@dataclass(frozen=True)
class LayerPlan:
    """What is ours in one firewall, what shall be, and how to get there."""

    firewall: str
    blocks: tuple[Block, ...] = ()  # what stops the overlay without our openings
    before: tuple[str, ...] = ()  # our openings as they are
    after: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    reloads: bool = field(default=False)  # a step reloads the firewall, which may take other programs' rules away


def select(flows: t.Iterable[Flow], hook: str, family: int) -> list[Flow]:
    """The flows of one hook and address family, in their order."""
    return [flow for flow in flows if flow.hook == hook and flow.family == family]
