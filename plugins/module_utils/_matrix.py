# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""From what the probes of all hosts measured to a verdict on every ordered pair, and to text. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

TABLE_HOSTS = 12  # more columns do not fit a terminal; beyond that only failures and figures are shown
TABLE_LINES = 40  # failed directions shown in place of a matrix, a short line each
SHOWN = 10  # failed pairs told in full; the rest is counted
NO_ADDRESS = "no address"


@dataclass(frozen=True)
class Pair:
    """One direction between two hosts; cell is its short form for the table, reason and remedy are empty if it is well."""

    source: str
    target: str
    source_address: str
    target_address: str
    cell: str
    reason: str = ""
    remedy: str = ""
    rtt_ms: float | None = None

    @property
    def ok(self) -> bool:
        """Whether packets go through as they should."""
        return not self.reason

    def sentence(self) -> str:
        """Return who, what and what to do, on one line."""
        ends = f"{self.source} ({self.source_address}) -> {self.target} ({self.target_address})"
        return f"{ends}: {self.reason}. {self.remedy}"


@dataclass(frozen=True)
class Report:
    """All pairs of all hosts. failures names the hosts that could not be probed, with why."""

    hosts: tuple[str, ...]
    pairs: tuple[Pair, ...]
    failures: t.Mapping[str, str]

    @property
    def failed(self) -> list[Pair]:
        """The pairs that are not well."""
        return [pair for pair in self.pairs if not pair.ok]

    @property
    def ok(self) -> bool:
        """Whether all pairs are well and all hosts took part."""
        return not self.failed and not self.failures

    @property
    def summary(self) -> str:
        """The one line for programs."""
        bad = len(self.failed)
        return f"verify: hosts={len(self.hosts)} pairs={len(self.pairs)} ok={len(self.pairs) - bad} failed={bad}"


def build(
    hosts: t.Sequence[str],
    results: t.Mapping[str, t.Any],
    failures: t.Mapping[str, str],
    max_loss: float = 0.0,
) -> Report:
    """Judge every ordered pair of hosts. results maps a host to what overlay_probe returned there; one without is a failure."""
    usable = {host: results[host] for host in hosts if (results.get(host) or {}).get("results") is not None}
    missing = {host: _why(host, results, failures) for host in hosts if host not in usable}
    addresses = _addresses(hosts, usable)
    pairs = [
        judge(source, target, addresses, _measured(usable, source, target), missing, max_loss)
        for source in hosts
        for target in hosts
        if source != target
    ]
    return Report(tuple(hosts), tuple(pairs), missing)


def _why(host: str, results: t.Mapping[str, t.Any], failures: t.Mapping[str, str]) -> str:
    """Return why a host took no part: the failure of its probe, or that of starting it, or none is known."""
    return (results.get(host) or {}).get("msg") or failures.get(host) or "unreachable, or it left the play earlier"


def _addresses(hosts: t.Sequence[str], usable: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the probe address of every host; others know it too if the host itself was lost later."""
    known: dict[str, str] = {}
    for result in usable.values():
        known.update((entry["name"], entry["address"]) for entry in result["results"])
    for host, result in usable.items():
        known[host] = (result.get("probe") or {}).get("address") or known.get(host, NO_ADDRESS)
    return {host: known.get(host, NO_ADDRESS) for host in hosts}


def _measured(usable: t.Mapping[str, t.Any], source: str, target: str) -> t.Mapping[str, t.Any] | None:
    for entry in usable.get(source, {}).get("results", ()):
        if entry["name"] == target:
            return entry
    return None


def judge(
    source: str,
    target: str,
    addresses: t.Mapping[str, str],
    measured: t.Mapping[str, t.Any] | None,
    missing: t.Mapping[str, str],
    max_loss: float,
) -> Pair:
    """Return the verdict on one direction."""
    ends = (source, target, addresses[source], addresses[target])
    holders = [host for host, address in addresses.items() if address == addresses[target] != NO_ADDRESS]
    if len(holders) > 1:  # an answer proves nothing then: it may come from the wrong one, or never leave the host
        names = ", ".join(holders)
        remedy = f"Give each host a slice of its own and recreate the networks of {names}"
        return Pair(*ends, "TWICE", f"the address {addresses[target]} is held by {names}", remedy + ".")
    if measured is None:
        lost = source if source in missing else target
        why = f"not measured, {lost} took no part" if lost in missing else "not measured"
        return Pair(*ends, "NOT RUN", why, f"Solve what kept {lost} out and run again.")
    reason, remedy, cell = _fault(measured, source, target, max_loss)
    rtt = measured.get("rtt_ms") or {}
    return Pair(*ends, cell or f"{measured['loss']:g}% {rtt.get('median', 0):.1f}ms", reason, remedy, rtt.get("median"))


def _fault(measured: t.Mapping[str, t.Any], source: str, target: str, max_loss: float) -> tuple[str, str, str]:
    """Return reason, remedy and cell of what is wrong with a measured direction; empty strings if nothing is."""
    loss, sent, tcp = measured["loss"], measured["sent"], measured.get("tcp")
    large = measured.get("full_size") or {"sent": 0}
    tcp_error = tcp["error"] if tcp and not tcp["ok"] else ""
    note = f" ({measured['note']})" if measured.get("note") else ""
    more = f"{note}, TCP: {tcp_error}" if tcp_error else note
    both = f"{source} and {target}"
    reason = remedy = cell = ""
    if loss >= 100 > max_loss and tcp and not tcp_error:
        reason, cell = f"100% loss{note}, but TCP works", "100% LOSS"
        remedy = f"ICMP is filtered between {both}: look at their firewalls."
    elif loss >= 100 > max_loss:
        reason, cell = f"100% loss{more}", "100% LOSS"
        remedy = f"On {both}, compare the tunnel to the other (remote address, key) and the firewalls between their underlay addresses."
    elif measured["duplicates"]:
        reason, cell = (
            f"{measured['duplicates']} duplicate answers to {sent} requests{more}",
            f"{measured['duplicates']} DUP",
        )
        remedy = f"Look for a loop in the tunnels and for an address or MAC used twice, on {both}."
    elif loss > max_loss and large["sent"] and loss_is_of(large, measured):
        reason, cell = f"packets of {large['bytes']} bytes are lost, small ones pass{more}", "MTU"
        remedy = f"The MTU is larger than the path carries: compare that of overlay, tunnel and underlay on {both}."
    elif loss > max_loss:
        reason, cell = f"{loss:g}% loss of {sent} requests{more}", f"{loss:g}% LOSS"
        remedy = f"Look for load, a loop or a failing link between {both}; repeat with more requests."
    elif tcp_error:
        reason, cell = f"TCP failed: {tcp_error}", "TCP FAILED"
        remedy = f"ICMP passes: compare checksum offload (ethtool -k) and MTU on {both}, and filters on the probe's TCP port."
        if "refused" in tcp_error.lower():
            remedy = f"Nothing answers TCP at the probe of {target}: use the same port on all hosts and run again."
    elif measured.get("lookup") and not measured["lookup"]["ok"]:
        reason, remedy, cell = _name_fault(measured["lookup"], source, target)
    return reason, remedy, cell


def _name_fault(lookup: t.Mapping[str, t.Any], source: str, target: str) -> tuple[str, str, str]:
    """Return reason, remedy and cell of a name that does not lead to the target, though packets do."""
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
    return reason, remedy, "NO NAME"


def loss_is_of(large: t.Mapping[str, t.Any], measured: t.Mapping[str, t.Any]) -> bool:
    """Return whether all large requests were lost and no other."""
    return not large["received"] and measured["received"] == measured["sent"] - large["sent"]


def table(report: Report) -> str:
    """Return the matrix, a row for each source, and the figures; for many hosts the failed directions instead of the matrix."""
    if len(report.hosts) < 2:
        return f"There is no pair to verify with {len(report.hosts)} host(s) in this run."
    if len(report.hosts) > TABLE_HOSTS:
        lines = [f"{pair.source} -> {pair.target}: {pair.cell}" for pair in report.failed[:TABLE_LINES]]
        lines += [f"... and {len(report.failed) - TABLE_LINES} more pairs"] if len(report.failed) > TABLE_LINES else []
        return "\n".join([*lines, figures(report)])
    cells = {(pair.source, pair.target): pair.cell for pair in report.pairs}
    rows = [["from \\ to", *report.hosts]]
    rows += [[host, *(cells.get((host, target), "-") for target in report.hosts)] for host in report.hosts]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, figures(report)])


def figures(report: Report) -> str:
    """Return the spread of the round trips."""
    times = sorted(pair.rtt_ms for pair in report.pairs if pair.rtt_ms is not None)
    if not times:
        return "No round trip was measured."
    middle = times[len(times) // 2]
    spread = f"{times[0]:.1f} to {times[-1]:.1f} ms, middle {middle:.1f} ms"
    return f"Median round trips of {len(times)} pairs: {spread}."


def failures_text(report: Report) -> str:
    """Return the hosts that took no part and the failed pairs, a line each, no more than SHOWN of either."""
    lines = [f"{host} took no part: {why}" for host, why in list(report.failures.items())[:SHOWN]]
    if len(report.failures) > SHOWN:
        lines.append(f"... and {len(report.failures) - SHOWN} more hosts")
    # The pairs of a host that took no part all say the same; what was measured comes first.
    failed = sorted(report.failed, key=lambda pair: pair.cell == "NOT RUN")
    lines += [pair.sentence() for pair in failed[:SHOWN]]
    if len(failed) > SHOWN:
        lines.append(f"... and {len(failed) - SHOWN} more pairs")
    return "\n".join(lines)


def text(report: Report) -> str:
    """Return all there is to say, the summary line last."""
    return "\n".join(part for part in (table(report), failures_text(report), report.summary) if part)
