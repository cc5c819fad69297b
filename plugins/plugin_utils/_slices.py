# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Slices of the overlay's address pool: one per host, never two alike. Private to this collection."""

from __future__ import annotations

import itertools
import typing as t

try:
    import netaddr
except ImportError:
    netaddr = None  # said where it is needed, in words that tell what to do

Span = tuple[int, int]  # first and last address, as numbers
MINIMUM_ADDRESSES = 8  # network, gateway, probe, broadcast and room for a few containers


class SliceError(ValueError):
    """The pool, a pin or a record cannot be used; the text says which and what to do."""


def network(text: object, what: str) -> netaddr.IPNetwork:
    """Parse an IPv4 network in CIDR form; host bits, bare addresses and sizes without hosts are refused."""
    if netaddr is None:
        raise SliceError(
            "the Python library netaddr is missing on the controller; install it there (pip install netaddr)"
        )
    value = str(text).strip()
    if "/" not in value:
        raise SliceError(f"{what} '{value}' has no prefix length; write it as a network, for example 10.50.0.0/16")
    try:
        net = netaddr.IPNetwork(value)
    except (netaddr.AddrFormatError, ValueError, TypeError) as exc:
        raise SliceError(f"{what} '{value}' is not a network in CIDR form ({exc})") from exc
    if net.version != 4:
        raise SliceError(f"{what} '{value}' is IPv6; containers of the overlay get IPv4 addresses")
    if net.ip != net.network:
        raise SliceError(f"{what} '{value}' has host bits set; the network is {net.cidr}")
    if net.prefixlen < 8:
        raise SliceError(f"{what} '{value}' is larger than a /8")
    if net.size < MINIMUM_ADDRESSES:
        raise SliceError(f"{what} '{value}' has {net.size} addresses, fewer than {MINIMUM_ADDRESSES}")
    return net


def routed(text: str) -> netaddr.IPNetwork:
    """Parse a network as the kernel or Docker prints it, of any family and size."""
    return netaddr.IPNetwork(text)


def overlaps(one: netaddr.IPNetwork, other: netaddr.IPNetwork) -> bool:
    """Say whether two networks share an address."""
    return bool(one.version == other.version and one.first <= other.last and other.first <= one.last)


def gateway(slice_: netaddr.IPNetwork) -> str:
    """Return the slice's second address: the first is the pool's own network address in the first slice."""
    return str(netaddr.IPAddress(slice_.first + 1))


def allocate(
    pool: str,
    prefix: int,
    names: t.Sequence[str],
    pins: t.Mapping[str, str],
    known: t.Mapping[str, str],
) -> dict[str, str]:
    """Return the slice of every name, keeping what is known and giving new names the lowest free slice.

    pins are what the inventory fixes, known is what hosts hold or recorded, also for names no longer listed:
    their slices are given out again only when nothing else is free, since such a host may still be running.
    """
    whole = network(pool, "overlay_pool")
    if not whole.prefixlen <= int(prefix) <= 29:
        raise SliceError(
            f"overlay_slice_prefix {prefix} does not fit overlay_pool {whole}: use {whole.prefixlen} to 29"
        )
    result: dict[str, netaddr.IPNetwork] = {}
    for name in names:
        text = pins.get(name) or known.get(name)
        if text is None:
            continue
        what = f"overlay_slice of host '{name}'" if pins.get(name) else f"recorded slice of host '{name}'"
        result[name] = _fitting(text, what, whole)
    _refuse_shared(result, pins)
    departed = [
        _fitting(text, f"recorded slice of '{name}'", whole)
        for name, text in sorted(known.items())
        if name not in names
    ]
    taken = [(net.first, net.last) for net in result.values()]
    reserved = [(net.first, net.last) for net in departed]
    for name in names:
        if name not in result:
            result[name] = _lowest_free(whole, int(prefix), taken, reserved)
            taken.append((result[name].first, result[name].last))
    return {name: str(result[name].cidr) for name in names}


def _fitting(text: str, what: str, pool: netaddr.IPNetwork) -> netaddr.IPNetwork:
    net = network(text, what)
    if net.first < pool.first or net.last > pool.last:
        raise SliceError(f"{what} is {net}, outside overlay_pool {pool}")
    return net


def _refuse_shared(slices: t.Mapping[str, netaddr.IPNetwork], pins: t.Mapping[str, str]) -> None:
    ordered = sorted(slices.items(), key=lambda item: (item[1].first, -item[1].size))
    for (one, net), (other, next_net) in itertools.pairwise(ordered):
        if overlaps(net, next_net):
            pinned = [name for name in (one, other) if pins.get(name)]
            remedy = (
                f"change overlay_slice of {' or '.join(pinned)}"
                if pinned
                else "give one of them another slice with overlay_slice in the inventory"
            )
            raise SliceError(f"hosts '{one}' ({net}) and '{other}' ({next_net}) share addresses; {remedy}")


def _lowest_free(pool: netaddr.IPNetwork, prefix: int, taken: list[Span], reserved: list[Span]) -> netaddr.IPNetwork:
    for avoid in (taken + reserved, taken):
        free = _first_gap(pool, prefix, avoid)
        if free is not None:
            return free
    raise SliceError(
        f"overlay_pool {pool} has no free /{prefix} left; {len(taken)} slices are in use. Choose a larger pool or a longer overlay_slice_prefix"
    )


def _first_gap(pool: netaddr.IPNetwork, prefix: int, avoid: list[Span]) -> netaddr.IPNetwork | None:
    """Walk the spans once in order; plain integers, since 500 hosts make 250,000 comparisons."""
    size = 2 ** (32 - prefix)
    start = pool.first
    for first, last in sorted(avoid):
        if start + size - 1 < first:
            break
        if last >= start:
            start = -(-(last + 1) // size) * size  # the next slice boundary after that span
    if start + size - 1 > pool.last:
        return None
    return netaddr.IPNetwork(f"{netaddr.IPAddress(start)}/{prefix}")
