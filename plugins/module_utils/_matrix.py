# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""From what the probes of all hosts measured to a verdict on every ordered pair, and to text. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, fields

from ansible_collections.crosshost.overlay.plugins.module_utils._matrix_faults import fault_of

TABLE_HOSTS = 12  # more columns do not fit a terminal; beyond that only failures and figures are shown
TABLE_LINES = 40  # failed directions shown in place of a matrix, a short line each
SHOWN = 10  # failed pairs told in full; the rest is counted
CONTAINERS_SHOWN = 3  # pairs of containers told in one sentence
NO_ADDRESS = "no address"


@dataclass(frozen=True)
class Pair:
    """One direction between two hosts; cell is its short form for the table, reason and remedy are empty if it is well.

    kind is host, same_host (two containers of one host) or container (all containers of one host to all of another).
    fault is the class of what is wrong: loss, partial_loss, duplicates, mtu, fragment, tcp, udp, icmp_only, name, not_run,
    address_twice or storm. measured is what overlay_probe returned about it.
    """

    source: str
    target: str
    source_address: str
    target_address: str
    cell: str
    reason: str = ""
    remedy: str = ""
    rtt_ms: float | None = None
    kind: str = "host"
    measured: t.Mapping[str, t.Any] = field(default_factory=dict)
    fault: str = ""

    @property
    def ok(self) -> bool:
        """Whether packets go through as they should."""
        return not self.reason

    def as_dict(self) -> dict[str, t.Any]:
        """Return the fields; not copied deeply, because with many hosts what was measured is large."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def sentence(self) -> str:
        """Return who, what and what to do, on one line."""
        ends = f"{self.source} ({self.source_address}) -> {self.target} ({self.target_address})"
        return f"{ends}: {self.reason}. {self.remedy}"


@dataclass(frozen=True)
class Report:
    """All pairs of all hosts. failures names the hosts that could not be probed, with why.

    local are the pairs within one host, containers those of the containers that were there already.
    """

    hosts: tuple[str, ...]
    pairs: tuple[Pair, ...]
    failures: t.Mapping[str, str]
    local: tuple[Pair, ...] = ()
    containers: tuple[Pair, ...] = ()

    @classmethod
    def from_dict(cls, found: t.Mapping[str, t.Any]) -> Report:
        """Restore what as_dict() returned."""
        lists = {
            kind: tuple(Pair(**item) for item in found.get(kind) or ()) for kind in ("pairs", "local", "containers")
        }
        return cls(hosts=tuple(found["hosts"]), failures=dict(found.get("failures") or {}), **lists)

    def as_dict(self) -> dict[str, t.Any]:
        """Return all of it in plain values, as verify_report gives it to others."""
        return {
            "hosts": list(self.hosts),
            "pairs": [pair.as_dict() for pair in self.pairs],
            "local": [pair.as_dict() for pair in self.local],
            "containers": [pair.as_dict() for pair in self.containers],
            "failures": dict(self.failures),
            "summary": self.summary,
        }

    @property
    def failed(self) -> list[Pair]:
        """The pairs that are not well."""
        return [pair for pair in self.pairs if not pair.ok]

    @property
    def ok(self) -> bool:
        """Whether all pairs are well and all hosts took part."""
        return not self.all_failed and not self.failures

    @property
    def all_failed(self) -> list[Pair]:
        """Those that are not well, of all kinds."""
        return [pair for pair in (*self.pairs, *self.local, *self.containers) if not pair.ok]

    @property
    def summary(self) -> str:
        """The one line for programs."""
        bad = len(self.failed)
        line = f"verify: hosts={len(self.hosts)} pairs={len(self.pairs)} ok={len(self.pairs) - bad} failed={bad}"
        for kind, pairs in (("local", self.local), ("containers", self.containers)):
            lost = sum(_lost(pair) for pair in pairs if not pair.ok)
            line += f" {kind}_failed={lost}" if lost else ""
        return line


def _lost(pair: Pair) -> int:
    """Return how many pairs of containers a failed pair stands for."""
    return pair.measured["pairs"] - pair.measured["answered"] if pair.kind == "container" else 1


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
    local = [
        judge_local(host, addresses[host], entry, result.get("broadcast"), max_loss)
        for host, result in usable.items()
        for entry in result["results"]
        if entry.get("kind") == "same_host"
    ]
    swept = [
        judge_containers(host, entry) for host, result in usable.items() for entry in result.get("containers") or ()
    ]
    return Report(tuple(hosts), tuple(pairs), missing, tuple(local), tuple(swept))


def _why(host: str, results: t.Mapping[str, t.Any], failures: t.Mapping[str, str]) -> str:
    """Return why a host took no part: the failure of its probe, or that of starting it, or none is known."""
    return (results.get(host) or {}).get("msg") or failures.get(host) or "unreachable, or it left the play earlier"


def _addresses(hosts: t.Sequence[str], usable: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the probe address of every host; others know it too if the host itself was lost later."""
    known: dict[str, str] = {}
    for result in usable.values():
        known.update((entry["name"], entry["address"]) for entry in result["results"] if _of_a_host(entry))
    for host, result in usable.items():
        known[host] = (result.get("probe") or {}).get("address") or known.get(host, NO_ADDRESS)
    return {host: known.get(host, NO_ADDRESS) for host in hosts}


def _of_a_host(entry: t.Mapping[str, t.Any]) -> bool:
    return entry.get("kind", "host") == "host"


def _measured(usable: t.Mapping[str, t.Any], source: str, target: str) -> t.Mapping[str, t.Any] | None:
    result = usable.get(source, {})
    for entry in result.get("results", ()):
        if entry["name"] == target and _of_a_host(entry):
            return _with_broadcast(entry, result.get("broadcast"))
    return None


def _with_broadcast(entry: t.Mapping[str, t.Any], broadcast: t.Mapping[str, t.Any] | None) -> t.Mapping[str, t.Any]:
    """Add what the source saw of broadcasts if that is a fault; it is the same for all its pairs."""
    return {**entry, "broadcast": broadcast} if (broadcast or {}).get("amplified") else entry


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
        reason = f"the address {addresses[target]} is held by {names}"
        seen = measured or {}
        return Pair(*ends, "TWICE", reason, remedy + ".", measured=seen, fault="address_twice")
    if measured is None:
        lost = source if source in missing else target
        why = f"not measured, {lost} took no part" if lost in missing else "not measured"
        return Pair(*ends, "NOT RUN", why, f"Solve what kept {lost} out and run again.", fault="not_run")
    return _pair(ends, measured, max_loss, "host")


def judge_local(
    host: str, address: str, entry: t.Mapping[str, t.Any], broadcast: t.Mapping[str, t.Any] | None, max_loss: float
) -> Pair:
    """Return the verdict on the way between two containers of one host."""
    return _pair((host, host, address, entry["address"]), _with_broadcast(entry, broadcast), max_loss, "same_host")


def _pair(ends: tuple[str, str, str, str], measured: t.Mapping[str, t.Any], max_loss: float, kind: str) -> Pair:
    found = fault_of(measured, ends[0], ends[1], max_loss)
    median = (measured.get("rtt_ms") or {}).get("median")
    cell = found.cell or f"{measured['loss']:g}% {median or 0:.1f}ms"
    return Pair(*ends, cell, found.reason, found.remedy, median, kind, measured, found.fault)


def judge_containers(host: str, entry: t.Mapping[str, t.Any]) -> Pair:
    """Return the verdict on the ways from all containers of a host to all of another, or to the others of the same."""
    ends = (host, entry["name"], f"{entry['sources']} containers", f"{entry['targets']} containers")
    median = (entry.get("rtt_ms") or {}).get("median")
    lost = entry["pairs"] - entry["answered"]
    if not lost:
        return Pair(*ends, f"{entry['answered']} {median or 0:.1f}ms", "", "", median, "container", entry)
    some = [
        f"{item['source']} ({item['source_address']}) -> {item['target']} ({item['target_address']})"
        + (f" ({item['note']})" if item.get("note") else "")
        for item in entry["failed"][:CONTAINERS_SHOWN]
    ]
    rest = lost - len(some)
    reason = f"{lost} of {entry['pairs']} pairs of containers do not answer: {', '.join(some)}"
    reason += f" and {rest} more" if rest else ""
    remedy = (
        f"If the probes of {host} and {entry['name']} reach each other, look at these containers: their addresses, and what filters "
        "packets in or before them."
    )
    if host == entry["name"]:
        remedy = f"Look at these containers of {host}: their addresses, and what filters packets in or before them."
    fault = "partial_loss" if entry["answered"] else "loss"
    return Pair(*ends, f"{lost} LOST", reason, remedy, median, "container", entry, fault)


def table(report: Report) -> str:
    """Return the matrix, a row for each source, and the figures; for many hosts the failed directions instead of the matrix."""
    if len(report.hosts) < 2:
        return f"There is no pair to verify with {len(report.hosts)} host(s) in this run."
    if len(report.hosts) > TABLE_HOSTS:
        lines = [f"{pair.source} -> {pair.target}: {pair.cell}" for pair in report.failed[:TABLE_LINES]]
        lines += [f"... and {len(report.failed) - TABLE_LINES} more pairs"] if len(report.failed) > TABLE_LINES else []
        return "\n".join([*lines, figures(report)])
    # A host to itself: the pair within it, which is worth a word only if it fails.
    cells = {(pair.source, pair.target): pair.cell for pair in report.local if not pair.ok}
    cells.update({(pair.source, pair.target): pair.cell for pair in report.pairs})
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
    return f"Median round trips of {len(times)} pairs: {spread}.{_second_time(report)}{_swept(report)}"


def _second_time(report: Report) -> str:
    """Return which pairs lost something and nothing when they were asked again; empty if there are none."""
    well = [pair for pair in (*report.pairs, *report.local) if pair.ok]
    # With a limit above 0 a pair may be well that lost some of them the second time, too.
    asked = [pair for pair in well if pair.measured.get("first") and not pair.measured["loss"]]
    lines = []
    for pair in asked[:SHOWN]:
        first = pair.measured["first"]
        lost = first["sent"] - first["received"]
        what = f"{lost} of {first['sent']} requests" if lost else "large packets, fragments or datagrams"
        lines.append(f"{pair.source} -> {pair.target} lost {what} at first, and none when asked again.")
    if len(asked) > SHOWN:
        lines.append(f"So did {len(asked) - SHOWN} more pairs.")
    return "".join(f"\n{line}" for line in lines)


def _swept(report: Report) -> str:
    """Return how many pairs of containers that were there already answered; empty if none were asked."""
    if not report.containers:
        return ""
    asked, answered = (sum(pair.measured[what] for pair in report.containers) for what in ("pairs", "answered"))
    return f"\nOf {asked} pairs of existing containers {answered} answered."


def failures_text(report: Report) -> str:
    """Return the hosts that took no part and the failed pairs, a line each, no more than SHOWN of either."""
    lines = [f"{host} took no part: {why}" for host, why in list(report.failures.items())[:SHOWN]]
    if len(report.failures) > SHOWN:
        lines.append(f"... and {len(report.failures) - SHOWN} more hosts")
    # The pairs of a host that took no part all say the same; what was measured comes first.
    failed = sorted(report.all_failed, key=lambda pair: pair.fault == "not_run")
    lines += [pair.sentence() for pair in failed[:SHOWN]]
    if len(failed) > SHOWN:
        lines.append(f"... and {len(failed) - SHOWN} more pairs")
    return "\n".join(lines)


def text(report: Report) -> str:
    """Return all there is to say, the summary line last."""
    return "\n".join(part for part in (table(report), failures_text(report), report.summary) if part)
