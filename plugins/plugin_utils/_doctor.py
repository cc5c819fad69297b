# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""All rules of the doctor, and what is told of their findings. Pure but for the import of the rules, which registers them."""

from __future__ import annotations

import typing as t
from collections import Counter

from ansible_collections.crosshost.overlay.plugins.plugin_utils import (
    _doctor_bridges,
    _doctor_firewall,
    _doctor_host,
    _doctor_identity,
    _doctor_kernel,
    _doctor_network,
    _doctor_ovs,
    _doctor_packets,
    _doctor_time,
    _doctor_weave,
    _doctor_weave_docker,
    _doctor_weave_links,
    _doctor_weave_settings,
)
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import (
    RULES,
    SEVERITIES,
    Case,
    Finding,
    diagnose,
)
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import listed

AREAS = (
    _doctor_host,
    _doctor_identity,
    _doctor_ovs,
    _doctor_bridges,
    _doctor_network,
    _doctor_firewall,
    _doctor_kernel,
    _doctor_weave,
    _doctor_weave_docker,
    _doctor_weave_links,
    _doctor_weave_settings,
    _doctor_time,
    _doctor_packets,
)
SHOWN = 6  # findings on the terminal


def ids() -> list[str]:
    """Return the ids of all rules, in the order of their areas."""
    return list(dict.fromkeys(each.id for each in RULES))


def summary(case: Case, findings: t.Sequence[Finding]) -> str:
    """Return the one line for programs."""
    counts = Counter(finding.severity for finding in findings)
    words = " ".join(f"{severity}s={counts[severity]}" for severity in SEVERITIES)
    return f"doctor: hosts={len(case.hosts)} findings={len(findings)} {words}"


def table(case: Case, findings: t.Sequence[Finding]) -> str:
    """Return the findings as a table of at most 15 lines, with the cure of the first."""
    lines = []
    if case.left_out:
        lines.append(f"Not looked at: {listed(case.left_out)}.")
    if not findings:
        lines.append(
            f"Nothing is wrong that can be seen on {listed(case.read)}." if case.read else "No host was looked at."
        )
        return "\n".join(lines)
    rows = [
        (f.severity, f.id, ",".join(f.hosts[:3]) + ("..." if len(f.hosts) > 3 else ""), f.summary)
        for f in findings[:SHOWN]
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        start = "  ".join(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True))
        lines.append(f"{start}  {row[3]}")
    if len(findings) > SHOWN:
        lines.append(f"... and {len(findings) - SHOWN} more in the report")
    lines += cure(findings[0])
    return "\n".join(lines)


def cure(finding: Finding) -> list[str]:
    """Return what to do about one finding, a few lines."""
    lines = [f"First: {finding.remedy}"]
    lines += [f"  {command}" for command in finding.commands[:4]]
    if len(finding.commands) > 4:
        lines.append(f"  ... ({len(finding.commands) - 4} more commands in the report)")
    return lines


def explanation(findings: t.Sequence[Finding]) -> str:
    """Return the most likely cause of lost packets, for an error message; empty if there is none."""
    likely = next((finding for finding in findings if finding.severity in ("error", "warning")), None)
    if likely is None:
        return ""
    lines = [f"Most likely cause: {likely.summary} ({likely.id}).", *likely.evidence[:3], likely.cause, *cure(likely)]
    rest = [finding for finding in findings if finding.severity == "error" and finding is not likely]
    if rest:
        lines.append("Also: " + "; ".join(f"{finding.summary} ({finding.id})" for finding in rest[:3]) + ".")
    return "\n".join(lines)


__all__ = ["AREAS", "RULES", "cure", "diagnose", "explanation", "ids", "summary", "table"]
