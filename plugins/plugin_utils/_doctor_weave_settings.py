# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on what all routers of Weave Net have to have in common, and on their addresses. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_causes import DOWN
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import Facts, dig, number, rows
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, rule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_weave import users, weave
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_weave_links import connect, links, simple
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import on, site, teardown

RENAME = (
    "Give each host a name of its own; site.yml makes it of the inventory's host name. "
    "The host forgets which addresses are in use: make its containers anew."
)


@rule("weave-name-collision", unless=[*DOWN, "machine-twice"])
def name_collision(case: Case) -> t.Iterator[Finding]:
    """Two routers of one name."""
    groups: dict[str, list[str]] = {}
    for host in users(case):
        peer_name = str(dig(weave(case, host), "router", "name") or "")
        if peer_name:
            groups.setdefault(peer_name, []).append(host)
    said = links(case, "name")
    for peer_name, hosts in groups.items():
        if len(hosts) < 2:
            continue
        lines = [link.line for link in said if link.host in hosts]
        yield Finding(
            "weave-name-collision",
            "error",
            tuple(hosts[1:] + hosts[:1]),
            f"the routers of {' and '.join(hosts)} have the same peer name {peer_name}",
            tuple(lines[:3]) or tuple(f"{host}: Name: {peer_name}({host})" for host in hosts),
            "Peer names are made of the machine's ids, which clones share; two routers of one name never connect, and do not try again.",
            RENAME,
            (site("weave", hosts[1:], weave_allow_rename="true"),),
            rank=24,
        )
    twins = {host for hosts in groups.values() if len(hosts) > 1 for host in hosts}
    for link in said:
        if link.host not in twins:
            yield Finding(
                "weave-name-collision",
                "error",
                link.hosts,
                f"the router of {link.host} and that of {link.other} have the same peer name",
                (link.line,),
                "Peer names are made of the machine's ids, which clones share; two routers of one name never connect, and do not try again.",
                RENAME,
                (site("weave", weave_allow_rename="true"), *connect(link)),
                rank=24,
            )


@rule("weave-password-missing", unless=DOWN)
def password_missing(case: Case) -> t.Iterator[Finding]:
    """One end encrypts and the other does not."""
    known = {
        host: dig(weave(case, host), "launch", "password_set")
        for host in users(case)
        if isinstance(dig(weave(case, host), "launch", "password_set"), bool)
    }
    said = links(case, "password-missing")
    without = [host for host, there in known.items() if not there]
    if without and len(without) < len(known):
        odd = without if len(without) * 2 <= len(known) else [host for host, there in known.items() if there]
        what = (
            "has no password, and the others have one" if odd == without else "has a password, and the others have none"
        )
        yield Finding(
            "weave-password-missing",
            "error",
            tuple(odd),
            f"the router of {' and '.join(odd)} {what}",
            tuple(link.line for link in said[:3])
            or tuple(f"{host}: WEAVE_PASSWORD {'set' if there else 'not set'}" for host, there in known.items()),
            "A router with a password and one without refuse each other.",
            "Set overlay_weave_password for the whole group; all routers are then launched with it.",
            (site("weave"),),
            rank=22,
        )
        return
    for link in said:
        bare = link.host if "no password" in link.line else link.peer or link.ip
        yield Finding(
            "weave-password-missing",
            "error",
            link.hosts if bare != link.host else link.hosts[::-1],
            f"{bare} has no password, and the router at the other end has one",
            (link.line,),
            "A router with a password and one without refuse each other.",
            "Set overlay_weave_password for the whole group; all routers are then launched with it.",
            (site("weave"),),
            rank=22,
        )


@rule("weave-password-differs", unless=[*DOWN, "weave-password-missing"])
def password_differs(case: Case) -> t.Iterator[Finding]:
    """Both ends encrypt, with different keys."""
    said = links(case, "password-differs")
    counts = {host: sum(host in link.hosts for link in said) for link in said for host in link.hosts}
    for link in said:
        hosts = tuple(sorted(link.hosts, key=lambda host: -counts[host]))
        yield Finding(
            "weave-password-differs",
            "error",
            hosts,
            f"the routers of {link.host} and {link.other} have different passwords",
            (link.line,),
            "What one encrypts the other cannot read. A host that fails with all others is the one with the wrong password.",
            "Set overlay_weave_password once, for the whole group; all routers are then launched with it.",
            (site("weave"),),
            rank=22,
        )


@rule("weave-range-differs", unless=DOWN)
def range_differs(case: Case) -> t.Iterator[Finding]:
    """Routers that give out addresses of different ranges."""
    ranges = {host: str(text) for host in users(case) if (text := dig(weave(case, host), "ipam", "range"))}
    said = links(case, "range")
    values = list(ranges.values())
    if len(set(values)) > 1:
        usual = max(sorted(set(values)), key=values.count)
        odd = tuple(host for host, text in ranges.items() if text != usual)
        yield Finding(
            "weave-range-differs",
            "error",
            odd,
            f"the routers have different ranges of addresses: {', '.join(f'{text} on {host}' for host, text in ranges.items())}",
            tuple(link.line for link in said[:3]) + tuple(f"{host}: Range: {text}" for host, text in ranges.items()),
            "Routers with different ranges refuse each other.",
            f"Set overlay_pool to {usual} for the whole group; on {' and '.join(odd)} containers have to be made anew.",
            (site("weave", overlay_pool=usual, weave_allow_range_change="true"),),
            rank=23,
        )
        return
    for link in said:
        yield Finding(
            "weave-range-differs",
            "error",
            link.hosts,
            f"the routers of {link.host} and {link.other} have different ranges of addresses",
            (link.line,),
            "Routers with different ranges refuse each other.",
            "Set overlay_pool for the whole group; where it changes, containers have to be made anew.",
            (site("weave", weave_allow_range_change="true"),),
            rank=23,
        )


@rule("weave-seed-differs", unless=[*DOWN, "weave-range-differs"])
def seed(case: Case) -> t.Iterator[Finding]:
    """Two networks that began apart."""
    yield from simple(
        case,
        "weave-seed-differs",
        ["seed", "owned-twice"],
        "{host} and {peer} divided the range of addresses without each other",
        "Each began a network of its own (they were brought up apart, or from a copy), so both own the same addresses, and their routers refuse each other. "
        "Put the one that is to begin anew in place of HOST; its containers get new addresses.",
        23,
        teardown("HOST"),
        site(),
    )


@rule(
    "weave-ipam-quorum",
    unless=[*DOWN, "weave-connection-blocked", "weave-connection-refused", "weave-password-missing"],
)
def quorum(case: Case) -> t.Iterator[Finding]:
    """Too few peers to divide the range."""
    for host in users(case):
        status = str(dig(weave(case, host), "ipam", "status") or "")
        if not status.startswith("awaiting consensus"):
            continue
        yield Finding(
            "weave-ipam-quorum",
            "error",
            (host,),
            f"{host} gives out no addresses: it waits for more peers",
            (f"{host}: Status: {status}",),
            "More than half of the expected peers have to be there before the range of addresses is divided for the first time.",
            "Bring the other routers up, or start them all with the same seed, as site.yml does.",
            (site("weave"),),
            rank=44,
        )


@rule("weave-peer-unreachable-owner", unless=DOWN)
def owner(case: Case) -> t.Iterator[Finding]:
    """Addresses that belong to a router which is gone."""
    gone: dict[str, tuple[Facts, list[str]]] = {}
    for host in users(case):
        for item in rows(weave(case, host), "ipam", "owners"):
            if item.get("reachable") is False and number(item, "addresses"):
                gone.setdefault(str(item.get("peer")), (item, []))[1].append(host)
    routers = {str(dig(weave(case, host), "router", "name")): host for host in users(case)}
    for peer_name, (item, hosts) in gone.items():
        at = routers.get(peer_name) or (str(item.get("nickname")) if item.get("nickname") in case.hosts else None)
        full = any("unreachable peers" in str(dig(weave(case, host), "ipam", "status")) for host in hosts)
        yield Finding(
            "weave-peer-unreachable-owner",
            "error" if full else "warning",
            (hosts[0], *([at] if at else [])),
            f"{item.get('nickname') or peer_name} is gone and owns {number(item, 'addresses'):.0f} addresses of the range",
            tuple(
                f"{host}: {peer_name}({item.get('nickname') or ''}) {number(item, 'addresses'):.0f} IPs - unreachable!"
                for host in hosts[:3]
            ),
            "A router that leaves without a reset keeps its part of the range, and nobody else gives these addresses out.",
            "If it does not come back, have ONE of the others take the addresses over, never two of them.",
            on(hosts[0], f"weave rmpeer {peer_name}"),
            rank=45,
        )
