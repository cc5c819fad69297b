# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as a document of plain values: what the page, the file for machines and the metrics are made from. Pure.

Its fields are described in docs/report.md and docs/report.schema.json; a change there is a change for the users of the file.
"""

from __future__ import annotations

import json
import typing as t
from datetime import UTC, datetime

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _report_hosts
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_model import (
    CaseLike,
    FindingLike,
    Map,
    PairLike,
    mapping,
    number,
    text,
    texts,
)

SCHEMA = 1
TITLE = "Overlay report"
SEVERITIES = ("error", "warning", "note")
CHECKS = ("tcp", "udp", "mtu", "fragmented", "lookup")
OK, DEGRADED, BROKEN, UNKNOWN = "ok", "degraded", "broken", "unknown"


def document(
    case: CaseLike, findings: t.Sequence[FindingLike], made: datetime, version: str, title: str = ""
) -> dict[str, t.Any]:
    """Return the whole report. made is when it was made, version that of the collection."""
    report = case.report
    hosts = _report_hosts.hosts(case)
    pairs = [pair(item) for item in report.pairs] if report else []
    local = [pair(item) for item in report.local] if report else []
    containers = [pair(item) for item in report.containers] if report else []
    found = [finding(item) for item in findings]
    numbers = figures(hosts, pairs, local, containers, found)
    health = judge(numbers)
    return {
        "schema": SCHEMA,
        "title": title or TITLE,
        "made": moment(made),
        "by": f"crosshost.overlay {version}",
        "backend": case.backend or None,
        "health": health,
        "headline": headline(health, numbers, pairs, hosts),
        "numbers": numbers,
        "findings": found,
        "hosts": hosts,
        "links": _report_hosts.links(hosts),
        "pairs": pairs,
        "local": local,
        "containers": containers,
        "not_probed": {text(name): text(why) for name, why in (report.failures if report else {}).items()},
    }


def moment(made: datetime) -> str:
    """Return a time in UTC, as ISO 8601; one without a zone is taken for UTC."""
    aware = made if made.tzinfo else made.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pair(item: PairLike) -> dict[str, t.Any]:
    """Return one direction."""
    measured = mapping(item.measured)
    rtt = mapping(measured.get("rtt_ms"))
    median = number(rtt.get("median", item.rtt_ms))
    checks = {name: passed(mapping(measured.get(name))) for name in CHECKS}
    return {
        "source": text(item.source),
        "target": text(item.target),
        "source_address": text(item.source_address),
        "target_address": text(item.target_address),
        "ok": item.ok,
        "fault": item.fault or ("" if item.ok else "unknown"),
        "cell": text(item.cell),
        "loss_percent": loss(measured),
        "duplicates": number(measured.get("duplicates")),
        "rtt_ms": None
        if median is None
        else {"min": number(rtt.get("min", median)), "median": median, "max": number(rtt.get("max", median))},
        "checks": {name: result for name, result in checks.items() if result},
        "reason": text(item.reason),
        "remedy": text(item.remedy),
    }


def passed(check: Map) -> str:
    """Return how a check went; empty if it was not made."""
    return ("ok" if check["ok"] else "failed") if "ok" in check else ""


def loss(measured: Map) -> float | None:
    """Return the lost part in percent; of containers, whose pairs were counted, that of the pairs."""
    pairs, answered = number(measured.get("pairs")), number(measured.get("answered"))
    if pairs and answered is not None:
        return 100 * (pairs - answered) / pairs
    return number(measured.get("loss"))


def finding(item: FindingLike) -> dict[str, t.Any]:
    """Return one finding."""
    return {
        "id": text(item.id),
        "severity": item.severity if item.severity in SEVERITIES else "note",
        "hosts": texts(item.hosts),
        "summary": text(item.summary),
        "cause": text(item.cause),
        "remedy": text(item.remedy),
        "commands": texts(item.commands),
        "evidence": texts(item.evidence),
    }


def figures(
    hosts: t.Sequence[Map],
    pairs: t.Sequence[Map],
    local: t.Sequence[Map],
    containers: t.Sequence[Map],
    findings: t.Sequence[Map],
) -> dict[str, t.Any]:
    """Return the figures at a glance."""
    times = sorted(item["rtt_ms"]["median"] for item in pairs if item["rtt_ms"])
    losses = [item["loss_percent"] for item in pairs if item["loss_percent"] is not None]
    offsets = [host["clock"]["offset_seconds"] for host in hosts if host["clock"]]
    offsets = [offset for offset in offsets if offset is not None]
    return {
        "hosts": len(hosts),
        "hosts_read": sum(host["read"] for host in hosts),
        "pairs": len(pairs),
        "pairs_failed": failed(pairs),
        "pairs_not_measured": sum(item["fault"] == "not_run" for item in pairs),
        "local": len(local),
        "local_failed": failed(local),
        "containers": len(containers),
        "containers_failed": failed(containers),
        "findings": {name: sum(item["severity"] == name for item in findings) for name in SEVERITIES},
        "loss_percent": sum(losses) / len(losses) if losses else None,
        "rtt_ms": {"min": times[0], "median": times[len(times) // 2], "max": times[-1]} if times else None,
        "clock_skew_seconds": max(offsets) - min(offsets) if len(offsets) > 1 else None,
    }


def failed(pairs: t.Iterable[Map]) -> int:
    """Count the directions that are not well."""
    return sum(not item["ok"] for item in pairs)


def judge(numbers: Map) -> str:
    """Return the health of the overlay.

    A direction that fails, a host that was not read and an error break it, a warning degrades it, a note does neither.
    Without packets and without findings nothing is known.
    """
    bad = numbers["pairs_failed"] + numbers["local_failed"] + numbers["containers_failed"]
    if bad or numbers["findings"]["error"] or (numbers["pairs"] and numbers["hosts_read"] < numbers["hosts"]):
        return BROKEN
    if numbers["findings"]["warning"]:
        return DEGRADED
    return OK if numbers["pairs"] else UNKNOWN


def headline(health: str, numbers: Map, pairs: t.Sequence[Map], hosts: t.Sequence[Map]) -> str:
    """Return the state of the overlay in one sentence."""
    silent = [host["name"] for host in hosts if not host["read"]]
    lost = numbers["pairs_not_measured"]
    bad = [item for item in pairs if not item["ok"] and item["fault"] != "not_run"]
    parts = [
        _failures(bad, numbers["pairs"]),
        f"{lost:,} {'' if bad else 'of {:,} pairs '.format(numbers['pairs'])}could not be measured" if lost else "",
        _count(numbers, "local", "same-host pairs"),
        _count(numbers, "containers", "container pairs"),
        f"{len(silent)} of {counted(len(hosts), 'host')} could not be read: {listed(silent)}" if silent else "",
    ]
    parts = [part for part in parts if part]
    if not parts and numbers["pairs"]:
        parts = [
            "Both directions work" if numbers["pairs"] == 2 else f"All {numbers['pairs']:,} pairs reach each other"
        ]
    elif not numbers["pairs"]:
        parts.append("No packets were sent")
    counts = [counted(numbers["findings"][name], name) for name in SEVERITIES[:2] if numbers["findings"][name]]
    if counts:
        parts.append(", ".join(counts))
    elif health == UNKNOWN and not silent:
        parts.append(f"nothing wrong was found on {counted(len(hosts), 'host')}")
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _failures(bad: t.Sequence[Map], total: int) -> str:
    """Return how many directions fail, and which if they can be told in a few words."""
    if not bad:
        return ""
    shown = f": {listed([pair_name(item) for item in bad])}" if len(bad) <= 6 else ""
    return f"{len(bad):,} of {total:,} pairs fail{shown}"


def pair_name(item: Map) -> str:
    """Return from where to where."""
    return f"{item['source']} → {item['target']}"


def _count(numbers: Map, key: str, what: str) -> str:
    """Return how many directions of another kind fail."""
    return f"{numbers[f'{key}_failed']:,} of {numbers[key]:,} {what} fail" if numbers[f"{key}_failed"] else ""


def listed(names: t.Sequence[str], most: int = 6) -> str:
    """Return names with commas, the first of them if they are many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(count: int, what: str) -> str:
    """Return a number with its noun."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def as_json(doc: Map) -> str:
    """Return the document as JSON in ASCII, one line for each item of a list: small, and still fit for grep and diff."""
    parts = []
    for key, value in doc.items():
        if isinstance(value, list) and value:
            lines = ",\n".join("  " + json.dumps(item, allow_nan=False, separators=(",", ":")) for item in value)
            parts.append(f" {json.dumps(key)}: [\n{lines}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
