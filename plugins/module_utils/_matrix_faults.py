# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What is wrong with a measured direction: the first fault that explains the others, with its remedy. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault: its class for programs, its short form for the table, and in words what was seen and what to do."""

    fault: str = ""
    cell: str = ""
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Ends:
    """What two ends are called in sentences."""

    source: str
    target: str

    @property
    def both(self) -> str:
        """Both, or the one host that both are on."""
        return self.source if self.source == self.target else f"{self.source} and {self.target}"


Measured = t.Mapping[str, t.Any]


def fault_of(measured: Measured, source: str, target: str, max_loss: float) -> Fault:
    """Return what is wrong with a measured direction; an empty fault if nothing is.

    A storm explains everything else, loss of all packets what comes after it, and so on.
    """
    ends = Ends(source, target)
    for look in (_storm, _all_lost, _duplicates, _partial_loss, _mtu, _fragments, _tcp, _udp, _name):
        found = look(measured, ends, max_loss)
        if found:
            return found
    return Fault()


def _error(measured: Measured, kind: str) -> str:
    """Return what went wrong over TCP or UDP; empty if nothing did, or if it was not tried."""
    done = measured.get(kind)
    return done["error"] if done and not done["ok"] else ""


def _more(measured: Measured) -> str:
    """Return what else was seen."""
    note = f" ({measured['note']})" if measured.get("note") else ""
    tcp = _error(measured, "tcp")
    return f"{note}, TCP: {tcp}" if tcp else note


def _storm(measured: Measured, ends: Ends, dummy_max_loss: float) -> Fault | None:
    seen = measured.get("broadcast") or {}
    if not seen.get("amplified"):
        return None
    copies = f"{seen['copies']} copies of one broadcast reached the probe on {ends.source}"
    return Fault(
        "storm",
        "STORM",
        f"the network multiplies broadcasts: {copies}, {seen['per_second']:g} a second in all",
        f"Break the loop: compare the bridges and tunnels of {ends.both} and their peers; in a full mesh every tunnel port has to be protected "
        "(site.yml sets that), and no second way may join the same bridges.",
    )


def _all_lost(measured: Measured, ends: Ends, max_loss: float) -> Fault | None:
    if not measured["loss"] >= 100 > max_loss:
        return None
    passes = [kind.upper() for kind in ("tcp", "udp") if (measured.get(kind) or {}).get("ok")]
    if passes:
        note = f" ({measured['note']})" if measured.get("note") else ""
        reason = f"100% loss{note}, but {' and '.join(passes)} work{'s' if len(passes) == 1 else ''}"
        return Fault(
            "icmp_only", "100% LOSS", reason, f"ICMP is filtered between {ends.both}: look at their firewalls."
        )
    reason = f"100% loss{_more(measured)}"
    remedy = f"On {ends.both}, compare the tunnel to the other (remote address, key) and the firewalls between their underlay addresses."
    if ends.source == ends.target:
        remedy = f"Nothing passes between two containers of {ends.source}: look at its bridge, and at what filters bridged packets there."
    return Fault("loss", "100% LOSS", reason, remedy)


def _duplicates(measured: Measured, ends: Ends, dummy_max_loss: float) -> Fault | None:
    count = measured["duplicates"]
    if not count:
        return None
    reason = f"{count} duplicate answers to {measured['sent']} requests{_more(measured)}"
    remedy = f"Look for a loop in the tunnels and for an address or MAC used twice, on {ends.both}."
    return Fault("duplicates", f"{count} DUP", reason, remedy)


def _partial_loss(measured: Measured, ends: Ends, max_loss: float) -> Fault | None:
    loss = measured["loss"]
    if loss <= max_loss:
        return None
    remedy = f"Look for load, a loop or a failing link between {ends.both}; repeat with more requests."
    first = measured.get("first")
    lost = first["sent"] - first["received"] if first else 0
    before = f", and {lost} of {first['sent']} lost before" if first and lost else ""
    reason = f"{loss:g}% loss of {measured['sent']} requests{before}{_more(measured)}"
    return Fault("partial_loss", f"{loss:g}% LOSS", reason, remedy)


def _mtu(measured: Measured, ends: Ends, dummy_max_loss: float) -> Fault | None:
    large = measured.get("mtu")
    if not large or not measured["received"]:
        return None
    size = large["bytes"]
    if not large["ok"]:
        reason = f"packets of {size} bytes are lost, small ones pass{_more(measured)}"
        remedy = (
            f"The MTU is larger than the path carries: compare that of overlay, tunnel and underlay on {ends.both}."
        )
        return Fault("mtu", "MTU", reason, remedy)
    above = large.get("above")
    if above and not above["refused"]:
        reason = f"a packet of {above['bytes']} bytes passes unfragmented, though the network's MTU is {size}"
        remedy = f"The containers' interfaces have another MTU than their network: compare both on {ends.both}, and recreate the network or the containers."
        return Fault("mtu", "MTU", reason, remedy)
    return None


def _fragments(measured: Measured, ends: Ends, dummy_max_loss: float) -> Fault | None:
    cut = measured.get("fragmented")
    if not cut or cut["ok"] or not measured["received"]:
        return None
    reason = f"packets of {cut['bytes']} bytes, which are fragmented, are lost; whole ones pass{_more(measured)}"
    remedy = f"Something drops fragments between {ends.both}: look at their firewalls and connection tracking, and at the limits of net.ipv4.ipfrag_*."
    return Fault("fragment", "FRAGMENTS", reason, remedy)


def _tcp(measured: Measured, ends: Ends, dummy_max_loss: float) -> Fault | None:
    error = _error(measured, "tcp")
    if not error:
        return None
    remedy = f"ICMP passes: compare checksum offload (ethtool -k) and MTU on {ends.both}, and filters on the probe's TCP port."
    if "refused" in error.lower():
        remedy = f"Nothing answers TCP at the probe of {ends.target}: use the same port on all hosts and run again."
    return Fault("tcp", "TCP FAILED", f"TCP failed: {error}", remedy)


def _udp(measured: Measured, ends: Ends, dummy_max_loss: float) -> Fault | None:
    error = _error(measured, "udp")
    if not error:
        return None
    size = measured["udp"]["bytes"]
    remedy = f"ICMP and TCP pass: look at filters on the probe's UDP port and compare checksum offload (ethtool -k) on {ends.both}."
    if "port unreachable" in error:
        remedy = f"Nothing answers UDP at the probe of {ends.target}, or a filter says so: use the same port on all hosts and run again."
    return Fault("udp", "UDP FAILED", f"UDP datagrams of {size} bytes failed: {error}", remedy)


def _name(measured: Measured, ends: Ends, dummy_max_loss: float) -> Fault | None:
    lookup = measured.get("lookup")
    if not lookup or lookup["ok"]:
        return None
    reason, remedy = _name_fault(lookup, ends.source, ends.target)
    return Fault("name", "NO NAME", reason, remedy)


def _name_fault(lookup: t.Mapping[str, t.Any], source: str, target: str) -> tuple[str, str]:
    """Return reason and remedy of a name that does not lead to the target, though packets do."""
    fqdn, server = lookup["fqdn"], lookup["server"]
    reason = f"packets pass, but the name {fqdn}, asked of {server} on {source}, does not resolve: {lookup['error']}"
    remedy = (
        f"Compare 'weave status dns' on {source} and {target}: a name registered on {target} reaches {source} only over an established link; "
        f"if it is on neither, see 'docker logs weave' on {target}, and the DNS domain that the probes use."
    )
    if lookup["addresses"]:
        reason = f"packets pass, but the name {fqdn}, asked of {server} on {source}, gives {lookup['error']}"
        remedy = f"Another container has that name, or had it: find it with 'weave status dns' on {source}, and stop or rename it."
    elif lookup["error"].startswith(("no answer", "Connection refused", "Network", "No route")):
        remedy = (
            f"Nothing serves names at {server} on {source}: see whether its router runs with names ('weave status', 'docker logs weave'), "
            "and whether a firewall drops UDP port 53 there."
        )
    return reason, remedy
