# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on packets that were sent: what is left to say where no fault of a host explains the loss. Pure."""

from __future__ import annotations

import functools
import typing as t
from collections import Counter

from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import ANYTHING, Case, Finding, rule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import on, site

# fault of a pair: (id, what happens, why that may be)
FAULTS: dict[str, tuple[str, str, str]] = {
    "loss": (
        "packet-loss",
        "no packet gets from {source} to {target}",
        "No fault of the hosts explains it: something between them (a router, a cloud's security group) may drop the tunnels' packets.",
    ),
    "partial_loss": (
        "packet-loss",
        "packets from {source} to {target} are lost now and then",
        "Load, a failing link, or a rate limit on the way.",
    ),
    "duplicates": (
        "packet-duplicates",
        "packets from {source} to {target} arrive more than once",
        "There is a second way: a loop, or an address or MAC that two have.",
    ),
    "mtu": (
        "mtu-too-large",
        "full-size packets from {source} to {target} are lost, small ones pass",
        "The path between the hosts carries less than their interfaces promise, as with a VPN or a tunnel in between.",
    ),
    "fragment": (
        "fragments-lost",
        "packets in fragments from {source} to {target} are lost, whole ones pass",
        "A firewall on the way drops fragments, or the MTU of the path is smaller than it says.",
    ),
    "tcp": (
        "tcp-fails",
        "ping passes from {source} to {target}, and TCP fails",
        "Mostly checksums that nobody fills in (offload of a card or veth with the userspace datapath), or an MTU that is too large.",
    ),
    "udp": (
        "udp-fails",
        "ping passes from {source} to {target}, and UDP fails",
        "Mostly checksums that nobody fills in, or a firewall that stops UDP inside the overlay.",
    ),
    "icmp_only": (
        "icmp-blocked",
        "TCP passes from {source} to {target}, and ping does not",
        "A firewall drops ICMP; path MTU discovery then fails, too.",
    ),
    "name": (
        "weave-dns",
        "the name of {target}'s container does not lead to it on {source}",
        "Names spread from router to router; one that does not run, runs without names, or is not connected has none of the others'.",
    ),
    "not_run": ("not-probed", "nothing was sent from {source} to {target}", "One of the two took no part in the test."),
    "address_twice": (
        "address-twice",
        "{source} and others hold the same address as {target}",
        "Two hosts give out the same addresses, so an answer proves nothing.",
    ),
    "storm": ("storm", "broadcasts of {source} come back from {target}", "There is a loop somewhere."),
}
# What happens if it is containers that were there already, and why that may be; their pairs are counted, and have no other fault.
CONTAINERS = {
    "loss": "no container of {source} gets an answer from one of {target}",
    "partial_loss": "some containers of {source} get no answer from some of {target}",
}
CONTAINERS_WHY = "A container with another address than it ought to have, one that filters packets, or a fault of the overlay itself."
STEPS: dict[str, tuple[str, ...]] = {
    "tcp": ("ethtool -k {card} | grep -E 'checksum|segmentation'",),
    "udp": ("ethtool -k {card} | grep -E 'checksum|segmentation'",),
    "loss": ("tcpdump -c 20 -ni any 'proto 47 or udp port 4789 or udp port 6784'",),
    "name": ("weave status dns", "docker logs --tail 30 weave"),
}
SHOWN = 4


def fault_of(pair: t.Any) -> str:
    """Return the class of a pair's failure, empty for one that is well."""
    if not getattr(pair, "reason", ""):
        return ""
    return str(getattr(pair, "fault", "") or "loss")


def _said(case: Case, name: str) -> t.Iterator[Finding]:
    """One finding for each kind of failure, on the host that most of its pairs have in common."""
    groups: dict[tuple[str, bool], list[t.Any]] = {}
    for pair in case.pairs:
        fault = fault_of(pair)
        if fault and FAULTS.get(fault, FAULTS["loss"])[0] == name and not (fault == "not_run" and _gone(case, pair)):
            groups.setdefault((fault, getattr(pair, "kind", "") == "container"), []).append(pair)
    for (fault, there_already), pairs in groups.items():
        dummy_id, happens, why = FAULTS.get(fault, FAULTS["loss"])
        if there_already:
            happens, why = CONTAINERS.get(fault, happens), CONTAINERS_WHY
        counts = Counter(host for pair in pairs for host in dict.fromkeys((pair.source, pair.target)))
        hosts = sorted(counts, key=lambda host: (-counts[host], host))
        first = pairs[0]
        what = happens.format(source=first.source, target=first.target)
        common = hosts[0] if len(pairs) > 1 and counts[hosts[0]] == len(pairs) and len(hosts) > 2 else ""
        more = f", and {len(pairs) - 1} more direction(s)" if len(pairs) > 1 else ""
        more += f", all of them from or to {common}" if common else ""
        yield Finding(
            name,
            "error",
            (common,) if common else tuple(hosts),
            what + more,
            tuple(f"{pair.source}: -> {pair.target} ({pair.target_address}): {pair.reason}" for pair in pairs[:SHOWN]),
            why,
            str(getattr(first, "remedy", "")) or "Look at both hosts.",
            tuple(line for host in hosts[:2] for line in on(host, *_steps(case, host, fault))) or (site(),),
            rank=81 if there_already else 80,
        )


def _steps(case: Case, host: str, fault: str) -> list[str]:
    """What to look at on a host; its card is the one with the underlay address."""
    card = str(case.carrier(host).get("name") or "<card>")
    return [step.replace("{card}", card) for step in STEPS.get(fault, ())]


def _gone(case: Case, pair: t.Any) -> bool:
    """Say whether a host's absence has been told already."""
    return bool({pair.source, pair.target} & (set(case.unreachable) | (set(case.hosts) - set(case.read))))


def _register() -> None:
    """A check for each id: what packets suffer is told only where nothing else explains it."""
    for name in dict.fromkeys(entry[0] for entry in FAULTS.values()):
        rule(name, unless=[ANYTHING])(functools.partial(_said, name=name))


_register()
