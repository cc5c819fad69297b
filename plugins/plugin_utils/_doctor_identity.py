# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on who is who: machines, and addresses that two have. Pure."""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import addresses, bare, mapping
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, rule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import listed, on, quoted, site

# Bridges and tunnels have made-up addresses that clones may share; these are cards.
CARDS = ("ether", "veth", "bond", "vlan", "macvlan")


def _machine(case: Case, host: str) -> str:
    return str(case.get(host, "machine_id") or case.get(host, "identity", "machine_id") or "")


def _macs(case: Case, host: str) -> set[str]:
    return {
        str(item["mac"])
        for item in case.rows(host, "interfaces")
        if item.get("mac") and item.get("addresses") and item.get("kind") in CARDS
    }


def _alike(case: Case) -> t.Iterator[tuple[str, str, bool]]:
    """Two hosts with one machine-id, and whether they share a card as well."""
    for first, second in itertools.combinations(case.read, 2):
        if _machine(case, first) and _machine(case, first) == _machine(case, second):
            yield first, second, bool(_macs(case, first) & _macs(case, second))


@rule("machine-twice")
def machine_twice(case: Case) -> t.Iterator[Finding]:
    """One machine under two names of the inventory."""
    for first, second, same in _alike(case):
        if not same:
            continue
        lines = [f"/etc/machine-id: {_machine(case, first)}, MAC {', '.join(sorted(_macs(case, first)))}"]
        yield Finding(
            "machine-twice",
            "error",
            (second, first),
            f"{first} and {second} are one machine",
            quoted(first, lines) + quoted(second, lines),
            "The inventory lists it twice; a host cannot have a tunnel to itself, and each name gets addresses of its own.",
            "Remove one of the two names from the inventory.",
            ("ansible-inventory --graph",),
            rank=10,
        )


@rule("machine-id-clone")
def machine_id_clone(case: Case) -> t.Iterator[Finding]:
    """Clones share what names are made of."""
    groups: dict[str, list[str]] = {}
    for first, second, same in _alike(case):
        if not same:
            groups.setdefault(_machine(case, first), [])
            groups[_machine(case, first)] += [
                host for host in (first, second) if host not in groups[_machine(case, first)]
            ]
    for ident, hosts in groups.items():
        yield Finding(
            "machine-id-clone",
            "warning",
            tuple(hosts[1:] + hosts[:1]),
            f"{listed(hosts)} are clones with the same machine-id",
            tuple(f"{host}: /etc/machine-id: {ident}" for host in hosts),
            "Names of routers, DHCP leases and the MAC addresses of bridges are made of it, so clones may get the same ones.",
            f"Give {listed(hosts[1:])} a machine-id of their own, and reboot them.",
            # Without D-Bus' copy, from which the same id would be taken again.
            tuple(
                line
                for host in hosts[1:]
                for line in on(
                    host, "rm -f /etc/machine-id /var/lib/dbus/machine-id && systemd-machine-id-setup && reboot"
                )
            ),
            rank=40,
        )


@rule("address-twice", unless=["machine-twice"])
def underlay_twice(case: Case) -> t.Iterator[Finding]:
    """Two hosts of the inventory with one underlay address."""
    for address, hosts in _holders(case.addresses.items()).items():
        yield Finding(
            "address-twice",
            "error",
            tuple(hosts),
            f"{listed(hosts)} have the same underlay address {address}",
            tuple(f"{host}: {address}" for host in hosts),
            "Tunnels to this address end on one of them only.",
            "Set overlay_underlay_ip of one of them to its own address.",
            (site(),),
            rank=10,
        )
    yield from _held(case)


def _held(case: Case) -> t.Iterator[Finding]:
    """An underlay address that another host has on a card, too."""
    for owner, address in case.addresses.items():
        holders = [
            host
            for host in case.read
            if any(
                address in addresses(interface)
                for interface in case.rows(host, "interfaces")
                if interface.get("kind") != "bridge"
            )
        ]
        others = [host for host in holders if host != owner and case.addresses.get(host) != address]
        if owner in holders and others:
            yield Finding(
                "address-twice",
                "error",
                (others[0], owner),
                f"{others[0]} has the address {address} of {owner}",
                tuple(f"{host}: inet {address}" for host in (owner, *others)),
                "Whoever answers ARP first gets the packets, so tunnels fail now and then.",
                f"Take the address away from {others[0]}, where it does not belong.",
                on(others[0], f"ip -brief address show to {address}"),
                rank=10,
            )


@rule("address-twice", unless=["machine-twice", "slices-overlap"])
def container_twice(case: Case) -> t.Iterator[Finding]:
    """Two containers with one address on the overlay."""
    names = {"weave", str(case.wish.get("network") or "overlay")}
    held: list[tuple[str, str]] = []
    for host in case.read:
        for container in case.rows(host, "docker", "containers"):
            for network, address in mapping(container, "addresses").items():
                if network in names and address and container.get("running", True):
                    held.append((f"{host}/{container.get('name')}", bare(address)))
    for address, holders in _holders(held).items():
        hosts = list(dict.fromkeys(holder.split("/", 1)[0] for holder in holders))
        if len(hosts) < 2:
            continue
        yield Finding(
            "address-twice",
            "error",
            tuple(hosts),
            f"containers on {listed(hosts)} have the same address {address}",
            tuple("{}: {} {}".format(*holder.split("/", 1), address) for holder in holders),
            "Each host gives addresses from a part of its own, and here two parts overlap, or one address was given by hand.",
            "Make one of the containers anew without an address of its own; if the parts overlap, run site.yml first.",
            (site(), *(line for holder in holders[1:] for line in on(*_inspect(holder)))),
            rank=26,
        )


def _inspect(holder: str) -> tuple[str, str]:
    host, dummy_sep, name = holder.partition("/")
    return host, f"docker inspect {name}"


def _holders(items: t.Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """What several hold: value to holders."""
    found: dict[str, list[str]] = {}
    for holder, value in items:
        if value:
            found.setdefault(value, []).append(holder)
    return {value: holders for value, holders in found.items() if len(holders) > 1}
