# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on the kernel's settings and limits. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_causes import NO_DOCKER
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import Facts, matching, number
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, rule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_network import parsed
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import on, quoted

CONNTRACK_FULL = re.compile(r"nf_conntrack: table full", re.IGNORECASE)
NEIGHBOURS_FULL = re.compile(r"neighbou?r table overflow", re.IGNORECASE)
USUAL_LIMIT = 1024
NEARLY = 0.95


@rule("rp-filter-asymmetric")
def rp_filter(case: Case) -> t.Iterator[Finding]:
    """The kernel drops what comes in by another way than it would answer."""
    for host in case.read:
        card = str(case.carrier(host).get("name") or "")
        sysctls = case.part(host, "kernel", "sysctls")
        strict = max(number(sysctls, f"net.ipv4.conf.{name}.rp_filter") or 0 for name in ("all", card))
        if not card or strict != 1:  # the larger of the two counts; 2 is loose
            continue
        astray = [
            (other, address, way)
            for other, address in case.addresses.items()
            if other != host and (way := _route(case, host, address)) and way.get("dev") not in (card, None)
        ]
        if not astray:
            continue
        other, address, way = astray[0]
        yield Finding(
            "rp-filter-asymmetric",
            case.grave(host),
            (host, other),
            f"{host} gets packets of {other} on {card}, answers through {way.get('dev')}, and drops them for that reason",
            quoted(
                host,
                [f"{way.get('dst')}{' via ' + str(way.get('via')) if way.get('via') else ''} dev {way.get('dev')}"],
            )
            + quoted(host, [f"net.ipv4.conf.{card}.rp_filter = 1 (or .all)"]),
            "Strict reverse path filtering drops a packet whose sender would be answered through another interface.",
            f"Route {address} through {card}, or set rp_filter of {card} to 2 (loose).",
            on(
                host,
                f"ip route get {address}",
                f"sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{card}.rp_filter=2",
            ),
            rank=26,
        )


def _route(case: Case, host: str, address: str) -> Facts | None:
    """Return the most specific route to an address."""
    target, best, longest = parsed(address), None, -1
    for route in case.rows(host, "routes"):
        net = parsed("0.0.0.0/0" if route.get("dst") == "default" and ":" not in address else route.get("dst"))
        if target and net and net.version == target.version and net.overlaps(target) and net.prefixlen > longest:
            best, longest = route, net.prefixlen
    return best


@rule("ip-forward-off", unless=NO_DOCKER)
def ip_forward(case: Case) -> t.Iterator[Finding]:
    """Containers' way out."""
    for host in case.read:
        if str(case.get(host, "kernel", "sysctls", "net.ipv4.ip_forward")) != "0" or not case.get(
            host, "docker", "running"
        ):
            continue
        yield Finding(
            "ip-forward-off",
            "warning",
            (host,),
            f"{host} does not forward packets, so its containers get nowhere but to each other",
            quoted(host, ["net.ipv4.ip_forward = 0"]),
            "Docker turns forwarding on when it starts; something turned it off since, often a file in /etc/sysctl.d.",
            "Turn it on, for good.",
            on(host, "sysctl -w net.ipv4.ip_forward=1", "grep -r ip_forward /etc/sysctl.conf /etc/sysctl.d"),
            rank=39,
        )


@rule("neighbour-table-full")
def neighbours(case: Case) -> t.Iterator[Finding]:
    """More neighbours than the kernel keeps."""
    for host in case.read:
        said = matching(NEIGHBOURS_FULL, case.info(host), "kernel", "log")
        full = number(case.info(host), "kernel", "table_fulls") or 0
        limit = case.get(host, "kernel", "sysctls", "net.ipv4.neigh.default.gc_thresh3")
        # The counter starts with the machine and tells nothing of today, but where the limit is less than the kernel's own.
        small = (number(limit) or USUAL_LIMIT) < USUAL_LIMIT
        if not said and not (full and small and case.failing(host)):
            continue
        yield Finding(
            "neighbour-table-full",
            case.grave(host),
            (host,),
            f"the neighbour table of {host} is full (gc_thresh3 is {limit or 'unknown'})",
            quoted(host, [*said[-2:], f"net.ipv4.neigh.default.gc_thresh3 = {limit}", f"table_fulls: {full:.0f}"]),
            "Each container that this host talks to takes an entry. Beyond the limit new ones are dropped, and packets to them with it.",
            "Raise the limits to more than all containers of the overlay.",
            on(
                host,
                "sysctl -w net.ipv4.neigh.default.gc_thresh1=4096 net.ipv4.neigh.default.gc_thresh2=8192 net.ipv4.neigh.default.gc_thresh3=16384",
            ),
            rank=27,
        )


@rule("conntrack-full")
def conntrack(case: Case) -> t.Iterator[Finding]:
    """More connections than the kernel follows."""
    for host in case.read:
        sysctls = case.part(host, "kernel", "sysctls")
        count, most = (
            number(sysctls, "net.netfilter.nf_conntrack_count"),
            number(sysctls, "net.netfilter.nf_conntrack_max"),
        )
        said = matching(CONNTRACK_FULL, case.info(host), "kernel", "log")
        full = bool(count is not None and most and count >= most * NEARLY)
        if not full and not (said and case.failing(host)):
            continue
        yield Finding(
            "conntrack-full",
            "error" if full else "warning",
            (host,),
            f"the connection table of {host} is full: {count or 0:.0f} of {most or 0:.0f}",
            quoted(
                host,
                [
                    *said[-2:],
                    f"net.netfilter.nf_conntrack_count = {count or 0:.0f}",
                    f"net.netfilter.nf_conntrack_max = {most or 0:.0f}",
                ],
            ),
            "The kernel drops every packet of a connection that it has no room to follow.",
            "Raise the limit, and see what opens so many connections.",
            on(host, f"sysctl -w net.netfilter.nf_conntrack_max={int((most or 65536) * 4)}", "conntrack -L | head"),
            rank=19,
        )
