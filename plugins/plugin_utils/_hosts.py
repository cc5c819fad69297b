# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts of an overlay, and what every backend asks of them. Pure; private to this collection."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _slices

Info = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Host:
    """One host of the group; info is what overlay_info returned, None when the host was not reached."""

    name: str
    underlay_ip: str
    info: Info | None
    pin: str | None = None
    limited: bool = False  # left out by --limit, as opposed to unreachable


def facts(host: Host) -> Info:
    """Return what overlay_info found, empty for a host that was not reached."""
    return host.info or {}


def underlay_problems(hosts: t.Sequence[Host], family: int | None, why: str) -> list[str]:
    """Every host needs a unicast underlay address of its own; family is 4, 6 or None for either, and why says so."""
    problems = []
    owners: dict[str, str] = {}
    families: dict[int, str] = {}
    for host in hosts:
        remedy = f"set overlay_underlay_ip for host '{host.name}' in the inventory"
        try:
            address = ipaddress.ip_address(host.underlay_ip)
        except ValueError:
            problems.append(
                f"underlay address '{host.underlay_ip}' of host '{host.name}' is neither an address "
                f"nor a name that the controller can resolve; {remedy}"
            )
            continue
        if address.is_multicast or address.is_loopback or address.is_unspecified or address.is_link_local:
            problems.append(
                f"underlay address {address} of host '{host.name}' is not one that other hosts can reach; {remedy}"
            )
        if family and address.version != family:
            problems.append(f"{why}, and the underlay address of host '{host.name}' is {address}; {remedy}")
            continue
        families.setdefault(address.version, host.name)
        if str(address) in owners:
            problems.append(
                f"hosts '{owners[str(address)]}' and '{host.name}' have the same underlay address {address}; {remedy} or remove one"
            )
        owners.setdefault(str(address), host.name)
        if host.info is not None and not carrier(host):
            problems.append(
                f"underlay address {address} is on no interface of host '{host.name}'; {remedy} to an address the host has"
            )
    if len(families) > 1:
        problems.append(
            f"underlay addresses mix IPv4 (host '{families[4]}') and IPv6 (host '{families[6]}'); use one family"
        )
    return problems


def carrier(host: Host) -> str | None:
    """Return the interface that holds the host's underlay address."""
    for interface in (host.info or {}).get("interfaces", []):
        if any(item.split("/")[0] == host.underlay_ip for item in interface["addresses"]):
            return str(interface["name"])
    return None


def machine_problems(reached: t.Sequence[Host], notices: list[str]) -> list[str]:
    """One machine under two names is refused; a clone with its own network cards only gets a notice."""
    problems = []
    seen: dict[str, Host] = {}
    for host in reached:
        ident = str(facts(host)["machine_id"])
        other = seen.setdefault(ident, host) if ident else host
        if other is host:
            continue
        if _macs(other) & _macs(host):
            problems.append(
                f"'{other.name}' and '{host.name}' are the same machine (machine-id {ident}); remove one of them from the group"
            )
        else:
            notices.append(
                f"'{other.name}' and '{host.name}' are clones with the same machine-id {ident}; "
                "on one of them: rm /etc/machine-id && systemd-machine-id-setup, then reboot"
            )
    return problems


def _macs(host: Host) -> set[str]:
    # Bridges and veth pairs have made-up addresses that clones and containers may share.
    cards = ("ether", "veth", "bond", "vlan", "macvlan")
    return {
        item["mac"] for item in facts(host)["interfaces"] if item["addresses"] and item["kind"] in cards and item["mac"]
    }


def system_problems(host: Host, packages: t.Mapping[str, str]) -> list[str]:
    """Root, systemd, and a system that the packages (overlay_info key -> what to show) can be installed on."""
    info, problems = facts(host), []
    if info["uid"] != 0:
        problems.append(
            f"host '{host.name}': the run is not root there (user id {info['uid']}); use 'become: true' or --become"
        )
    system = info["system"]
    if not system["systemd"]:
        problems.append(
            f"host '{host.name}': systemd is not the init process of {system['name']}; this collection starts everything through systemd"
        )
    missing = [label for key, label in packages.items() if not info[key]["installed"]]
    if missing and "debian" not in [system["id"], *system["like"]]:
        problems.append(
            f"host '{host.name}': {system['name']} is not one of the systems this collection installs packages on (Debian, Ubuntu); "
            f"install {' and '.join(missing)} there yourself and run again"
        )
    return problems


def overlap_problems(host: Host, pool: str, own_devices: t.Container[str], own_networks: t.Container[str]) -> list[str]:
    """The pool may share no address with what the host already routes, or gives to other Docker networks."""
    info, problems = facts(host), []
    net = _slices.routed(pool)
    remedy = "choose another overlay_pool, or set overlay_allow_overlap to true if that is meant"
    for route in info["routes"]:
        if route["dst"] == "default" or route["dev"] in own_devices or ":" in route["dst"]:
            continue
        if _slices.overlaps(net, _slices.routed(route["dst"])):
            via = f" via {route['via']}" if route["via"] else ""
            problems.append(
                f"host '{host.name}': overlay_pool {pool} overlaps its route {route['dst']}{via} dev {route['dev']}; {remedy}"
            )
    for other in info["docker"]["networks"]:
        for subnet in other["subnets"]:
            routed = any(route["dst"] == subnet for route in info["routes"])
            if other["name"] in own_networks or ":" in subnet or routed:
                continue
            if _slices.overlaps(net, _slices.routed(subnet)):
                problems.append(
                    f"host '{host.name}': overlay_pool {pool} overlaps Docker network '{other['name']}' ({subnet}); {remedy}"
                )
    return problems


def group_problems(hosts: t.Sequence[Host], minimum: int) -> list[str]:
    """Fewer hosts than an overlay is meant to join."""
    if len(hosts) >= minimum:
        return []
    listed = ", ".join(host.name for host in hosts) or "none"
    return [
        f"an overlay joins at least {minimum} hosts, and the group has {len(hosts)} ({listed}); "
        "add the other hosts to the group, or set overlay_minimum_hosts to 1 to go on with one"
    ]


def message(problems: t.Sequence[str]) -> str:
    """One sentence per problem, so that all are cured before the next run."""
    if len(problems) == 1:
        return f"Nothing was changed: {problems[0]}."
    return f"Nothing was changed; {len(problems)} problems stand in the way: " + " ".join(
        f"({number}) {problem}." for number, problem in enumerate(problems, 1)
    )
