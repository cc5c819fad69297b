# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as metrics, for the textfile collector of Prometheus' node exporter. Pure.

A series for each direction grows with the square of the hosts, so there are none beyond PAIR_SERIES directions; the sums
for each host, which grow with the hosts alone, are always there.
"""

from __future__ import annotations

import re
import typing as t
from datetime import datetime

from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_document import SEVERITIES
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_model import Map

PREFIX = "crosshost_overlay_"
PAIR_SERIES = 2500  # directions of one kind that get series of their own: 50 hosts have 2450
HEALTHS = ("ok", "degraded", "broken", "unknown")
STATES = ("up", "pending", "failed")
NO_UNICODE = re.compile("[\ud800-\udfff\x00]")  # halves of surrogate pairs; the exporter refuses the whole file for one

Labels = t.Mapping[str, str]
Sample = tuple[Labels, t.Any]  # its value: a number, a truth, or None for one that is not known


def prometheus(doc: Map) -> str:
    """Return all metrics. What was not measured has no sample."""
    lines: list[str] = []
    for name, help_text, samples in [*_general(doc), *_hosts(doc), *_pairs(doc)]:
        values = {_labels(labels): _value(value) for labels, value in samples if value is not None}
        if values:
            lines += [f"# HELP {PREFIX}{name} {help_text}", f"# TYPE {PREFIX}{name} gauge"]
            lines += [f"{PREFIX}{name}{labels} {value}" for labels, value in values.items()]
    return "\n".join(lines) + "\n"


Metric = tuple[str, str, list[Sample]]


def _general(doc: Map) -> list[Metric]:
    """Return what concerns the whole overlay."""
    made = datetime.fromisoformat(doc["made"].replace("Z", "+00:00")).timestamp()
    numbers = doc["numbers"]
    about = {"version": doc["by"].rpartition(" ")[2], "backend": doc["backend"] or "", "title": doc["title"]}
    return [
        ("report_timestamp_seconds", "When the report was made, in seconds since 1970.", [({}, made)]),
        ("report_info", "Who made the report.", [(about, 1)]),
        (
            "health",
            "Health of the overlay; 1 for the state it is in.",
            [({"state": state}, doc["health"] == state) for state in HEALTHS],
        ),
        (
            "findings",
            "Findings of the doctor.",
            [({"severity": name}, numbers["findings"][name]) for name in SEVERITIES],
        ),
        (
            "finding",
            "A finding of the doctor, once for each host to act on.",
            [
                ({"id": item["id"], "severity": item["severity"], "host": host}, 1)
                for item in doc["findings"]
                for host in item["hosts"] or [""]
            ],
        ),
        (
            "pairs",
            "Directions that were tried.",
            [
                ({"kind": kind, "state": state}, count)
                for kind, total, bad in _counts(numbers)
                for state, count in (("ok", total - bad), ("failed", bad))
            ],
        ),
        ("clock_skew_seconds", "How far the two clocks farthest apart are.", [({}, numbers["clock_skew_seconds"])]),
    ]


def _counts(numbers: Map) -> list[tuple[str, int, int]]:
    kinds = (("host", "pairs"), ("same_host", "local"), ("container", "containers"))
    return [(kind, numbers[key], numbers[f"{key}_failed"]) for kind, key in kinds if numbers[key]]


def _hosts(doc: Map) -> list[Metric]:
    """Return what there is for each host."""
    hosts = doc["hosts"]
    failing = {host["name"]: 0 for host in hosts}
    for pair in doc["pairs"]:
        if pair["source"] in failing:
            failing[pair["source"]] += not pair["ok"]
    links: dict[tuple[str, str], int] = {(host["name"], state): 0 for host in hosts for state in STATES}
    for link in doc["links"]:
        links[link["source"], link["state"]] += 1
    clocks = [(host["name"], host["clock"]) for host in hosts if host["clock"]]
    offsets: list[Sample] = [({"host": name}, clock["offset_seconds"]) for name, clock in clocks]
    bounds: list[Sample] = [({"host": name}, clock["bound_seconds"]) for name, clock in clocks]
    return [
        ("host_read", "Whether the host could be read.", [({"host": host["name"]}, host["read"]) for host in hosts]),
        (
            "host_pairs_failed",
            "Directions from this host to others that fail.",
            [({"host": name}, count) for name, count in failing.items()] if doc["pairs"] else [],
        ),
        (
            "host_links",
            "Tunnels and connections of this host to others.",
            [({"host": name, "state": state}, count) for (name, state), count in links.items()] if doc["links"] else [],
        ),
        ("clock_offset_seconds", "The host's clock minus the controller's.", offsets),
        ("clock_bound_seconds", "By how much crosshost_overlay_clock_offset_seconds can be wrong.", bounds),
    ]


def _pairs(doc: Map) -> list[Metric]:
    """Return what there is for each direction."""
    shown: list[tuple[Labels, Map]] = []
    omitted: list[Sample] = []
    for kind, key in (("host", "pairs"), ("same_host", "local"), ("container", "containers")):
        many = len(doc[key]) > PAIR_SERIES
        omitted.append(({"kind": kind}, len(doc[key]) if many else 0))
        shown += [(_ends(pair, kind), pair) for pair in doc[key] if not many]
    # Where two have the same ends, the later sample stands; the failed one shall.
    shown.sort(key=lambda item: not item[1]["ok"])
    losses: list[Sample] = [(ends, _ratio(pair["loss_percent"])) for ends, pair in shown]
    times: list[Sample] = [(ends, pair["rtt_ms"]["median"] / 1000) for ends, pair in shown if pair["rtt_ms"]]
    return [
        ("pair_up", "Whether everything that was tried from source to target works.", [(e, p["ok"]) for e, p in shown]),
        ("pair_loss_ratio", "Lost requests, 0 to 1.", losses),
        ("pair_rtt_seconds", "Median round trip.", times),
        ("pair_series_omitted", "Directions without series of their own, because they are too many.", omitted),
    ]


def _ends(pair: Map, kind: str) -> Labels:
    return {"kind": kind, "source": pair["source"], "target": pair["target"]}


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _value(value: t.Any) -> str:
    return f"{float(value):.9g}" if abs(value) < 1e6 else f"{float(value):.3f}"


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{key}="{escape(value)}"' for key, value in labels.items()) + "}" if labels else ""


def escape(value: str) -> str:
    """Return a label's value as the text format wants it."""
    shown = NO_UNICODE.sub("\ufffd", value)
    return shown.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
