# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on links between Weave Net's routers, in the routers' own words. Pure."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace
from types import SimpleNamespace

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_faults
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_report import Connection
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_causes import DOWN, WALLS
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import Facts, dig, mapping, number, rows
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, rule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_weave import users, weave
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import on, sentence, site

BENIGN = re.compile(r"cannot connect to ourself|Multiple connections to", re.IGNORECASE)
BLANK: dict[str, t.Any] = {
    "address": "",
    "outbound": False,
    "state": "",
    "info": "",
    "mode": None,
    "mtu": None,
    "encrypted": False,
    "peer": None,
}


@dataclass(frozen=True)
class Link:
    """A link that does not come up: what one router says of it. peer: the host at the other end, None if it is not known."""

    host: str
    peer: str | None
    ip: str
    port: int
    kind: str
    line: str

    @property
    def other(self) -> str:
        """Name the other end in a sentence."""
        return f"{self.peer} ({self.ip})" if self.peer else self.ip

    @property
    def hosts(self) -> tuple[str, ...]:
        """The other end first: what it lets in decides."""
        return (self.peer, self.host) if self.peer else (self.host,)


def connections(case: Case, host: str) -> list[Connection]:
    """Return a router's connections as typed values."""
    found = rows(weave(case, host), "router", "connections")
    return [Connection(**{**BLANK, **_typed(item)}) for item in found]


def _typed(item: Facts) -> dict[str, t.Any]:
    """Only what has the right shape."""
    kinds = {key: type(value) for key, value in BLANK.items()}
    kinds.update(mode=str, mtu=int, peer=str)
    return {key: item[key] for key, kind in kinds.items() if isinstance(item.get(key), kind)}


def line(host: str, item: Connection) -> str:
    """The line as 'weave status connections' prints it."""
    return f"{host}: {'->' if item.outbound else '<-'} {item.address:<21} {item.state:<11} {item.info}".rstrip()


def links(case: Case, *kinds: str) -> list[Link]:
    """Return links that do not come up for one of these reasons, one for each two hosts."""
    found: dict[tuple[t.Any, ...], Link] = {}
    for host in users(case):
        own = connections(case, host)
        for item in own:
            # When both ends dial, one link is kept, and then the other attempt does not matter.
            if item.state == "established" or BENIGN.search(item.info):
                continue
            if _weave_faults.connected(SimpleNamespace(connections=own), item.ip):  # type: ignore[arg-type]
                continue
            kind = (
                {"pending": "udp", "connecting": "timeout"}.get(item.state)
                or _weave_faults.kind_of_link(item.info)
                or "unknown"
            )
            peer = case.host_of(item.ip)
            port = int(number(weave(case, host), "launch", "port") or 6783)
            if kind in kinds and peer != host:
                found.setdefault(
                    (kind, *sorted((host, peer or item.ip))), Link(host, peer, item.ip, port, kind, line(host, item))
                )
    return list(found.values())


def connect(link: Link) -> tuple[str, ...]:
    """Have the router try again at once; by itself it takes up to six minutes."""
    return on(link.host, f"weave connect {link.ip}")


def remedy(link: Link) -> str:
    """The remedy that the collection's modules name, too."""
    kind = {"timeout": "i/o timeout", "udp": "UDP heartbeat"}.get(link.kind, link.line)
    text = _weave_faults.remedy_for_link(kind, link.other, link.port) or "See 'docker logs weave' on both hosts"
    return sentence(text)


def simple(
    case: Case, name: str, kinds: t.Sequence[str], summary: str, cause: str, rank: int, *commands: str
) -> t.Iterator[Finding]:
    """Findings of the most usual shape; summary names {host}, {peer} and {port}."""
    for link in links(case, *kinds):
        text = summary.format(host=link.host, peer=link.other, port=link.port, data=link.port + 1)
        # An address that no host of this overlay has may be somebody who left long ago.
        severity = "error" if link.peer else case.grave(link.host)
        yield Finding(
            name, severity, link.hosts, text, (link.line,), cause, remedy(link), (*commands, *connect(link)), rank
        )


@rule("weave-clock-skew", unless=DOWN)
def clock(case: Case) -> t.Iterator[Finding]:
    """Routers refuse a peer whose clock is more than 900 s off."""
    yield from simple(
        case,
        "weave-clock-skew",
        ["clock"],
        "the routers of {host} and {peer} refuse each other because of their clocks",
        "A router takes no link to a peer whose clock is more than 900 s away. It looks when a link is made, so the fault may be older than it shows.",
        25,
        site("clock"),
    )


@rule("weave-connection-refused", unless=[*DOWN, *WALLS])
def refused(case: Case) -> t.Iterator[Finding]:
    """Nobody listens."""
    yield from simple(
        case,
        "weave-connection-refused",
        ["refused"],
        "{peer} refuses the router of {host} on tcp {port}",
        "Nothing listens there: the router does not run, or on another port, or a firewall answers in its place.",
        40,
    )


@rule(
    "weave-connection-blocked",
    unless=[*DOWN, *WALLS, "rp-filter-asymmetric", "underlay-address-missing", "underlay-down"],
)
def blocked(case: Case) -> t.Iterator[Finding]:
    """No answer, or a firewall's."""
    yield from simple(
        case,
        "weave-connection-blocked",
        ["timeout", "rejected", "no-route"],
        "the router of {host} does not reach tcp {port} of {peer}",
        "A firewall on the way drops or rejects the connection, the host is down, or no route leads there.",
        41,
        site("peer_firewall"),
    )


@rule("weave-udp-blocked", unless=[*DOWN, *WALLS])
def udp(case: Case) -> t.Iterator[Finding]:
    """The control connection works, packets do not come through."""
    yield from simple(
        case,
        "weave-udp-blocked",
        ["udp"],
        "udp {port} and {data} do not come through between {host} and {peer}",
        "The routers talk over TCP and send the containers' packets over UDP, which a firewall stops.",
        40,
        site("peer_firewall"),
    )


@rule("weave-connection-limit", unless=DOWN)
def limit(case: Case) -> t.Iterator[Finding]:
    """As many links as are allowed. Either end may be the one that is full: it is the one with the lower limit."""
    for found in simple(
        case,
        "weave-connection-limit",
        ["limit"],
        "{host} or {peer} has as many links as its router allows",
        "A router takes no more links than --conn-limit, 200 unless it was told otherwise.",
        39,
        site("weave", weave_connection_limit="0"),
    ):
        limits = {host: number(weave(case, host), "launch", "connection_limit") for host in found.hosts}
        known = {host: most for host, most in limits.items() if most}
        full = min(known, key=lambda host: known[host]) if len(set(known.values())) > 1 else None
        if full is None:
            yield found
            continue
        yield replace(
            found,
            hosts=(full,),
            summary=f"the router of {full} has as many links as it allows ({known[full]:.0f})",
            evidence=(*found.evidence, f"{full}: --conn-limit {known[full]:.0f}"),
        )


@rule("weave-version-differs", unless=DOWN)
def version(case: Case) -> t.Iterator[Finding]:
    """Releases that do not speak with each other."""
    yield from simple(
        case,
        "weave-version-differs",
        ["version"],
        "the routers of {host} and {peer} speak no common version of their protocol",
        "One of them is much older.",
        26,
        site("weave", weave_image_source="rajchaudhuri", weave_version="2.9.0"),
    )


@rule("weave-peer-unresolved", unless=DOWN)
def unresolved(case: Case) -> t.Iterator[Finding]:
    """A peer given by a name that leads nowhere."""
    yield from simple(
        case,
        "weave-peer-unresolved",
        ["unresolved"],
        "the name of the peer {peer} does not resolve on {host}",
        "The router looks the name up on its own host.",
        26,
        site("weave"),
    )


def _fast(case: Case, host: str | None) -> bool:
    """Say whether a host's router could use the kernel's datapath and was not told otherwise."""
    if host is None:
        return False
    modules = mapping(weave(case, host), "kernel", "modules")
    return bool(modules) and all(modules.values()) and dig(weave(case, host), "launch", "fast_datapath") is True


@rule("weave-sleeve", unless=[*DOWN, *WALLS])
def sleeve(case: Case) -> t.Iterator[Finding]:
    """A link in user space though both ends could do better."""
    seen: set[tuple[str, ...]] = set()
    for host in users(case):
        for item in connections(case, host):
            peer = case.host_of(item.ip)
            pair = tuple(sorted((host, str(peer))))
            if (
                item.state != "established"
                or item.mode != "sleeve"
                or pair in seen
                or not (_fast(case, host) and _fast(case, peer))
            ):
                continue
            seen.add(pair)
            text = _weave_faults.explain_sleeve(item, int(number(weave(case, host), "launch", "port") or 6783))
            yield Finding(
                "weave-sleeve",
                "warning",
                (host, str(peer)),
                f"packets between {host} and {peer} take the slow way (sleeve)",
                (line(host, item),),
                "The router gave the fast datapath up after a minute without an answer on its UDP port, and passes each packet through a process.",
                sentence(text.rpartition("datapath: ")[2])
                + " Then restart a router; its host is cut off for some seconds.",
                (site("peer_firewall"), *on(host, "docker restart weave")),
                rank=43,
            )
