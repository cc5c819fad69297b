# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as one page that needs nothing else: no network, no script. Made of the document alone, and pure.

The page forbids itself everything but its own style and script, which it names by their checksums: should an escape ever be
forgotten, the browser still loads and runs nothing that is not ours.
"""

from __future__ import annotations

import base64
import hashlib
import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _report_machine, _report_matrix, _report_svg
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_document import counted, failed
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_markup import Html, element, join
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_model import Map
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_style import SCRIPT, STYLE

SIGNS = {"ok": ("✓", "Healthy"), "degraded": ("!", "Degraded"), "broken": ("✕", "Broken"), "unknown": ("?", "Unknown")}
SEVERITY = {"error": "✕ Error", "warning": "! Warning", "note": "i Note"}
OPEN_EVIDENCE = 5  # findings up to which their evidence is unfolded
OPEN_FINDINGS = 25  # findings shown without a click
LISTED_PAIRS = 12  # directions listed one by one
LISTED_FAILURES = 100
MATRIX_ENDS = 120  # ends of a heat map; a page with more of them is too large to open
PROMPT = re.compile(r"(\S+)\$ (.+)", re.DOTALL)  # "h2$ ovs-vsctl ...": where, and what to copy
BACKENDS = {"ovs_gre": "Open vSwitch", "weave": "Weave Net"}


def html(doc: Map) -> str:
    """Return the page."""
    style, script = Html(STYLE), Html(SCRIPT)
    policy = f"default-src 'none'; style-src {checksum(style)}; script-src {checksum(script)}; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width,initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{SIGNS[doc['health']][1]}: {doc['title']}"),
        element("style", style),
    )
    sections = [section(*item) for item in contents(doc) if item[2]]
    body = element("body", top(doc), element("main", sections), bottom(doc), element("script", script))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def checksum(code: str) -> str:
    """Return how a content security policy names a style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


Section = tuple[str, str, Html | None]


def contents(doc: Map) -> list[Section]:
    """Return the sections: what the address of the page calls them, heading, content or nothing."""
    return [
        ("findings", "Findings", findings(doc)),
        ("matrix", "Every host to every other", pairs(doc)),
        ("topology", "What joins the hosts", _report_svg.topology(doc) if doc["hosts"] else None),
        ("local", "Within each host", others(doc["local"], "local", "Pairs within a host")),
        ("containers", "Containers", others(doc["containers"], "containers", "Pairs of containers")),
        ("hosts", "Hosts", _report_machine.machines(doc)),
    ]


def section(ident: str, heading: str, content: Html | None) -> Html:
    """Return a section with its heading."""
    return element("section", element("h2", heading, id=ident), content, aria_labelledby=ident)


def top(doc: Map) -> Html:
    """Return title, headline and figures."""
    sign, word = SIGNS[doc["health"]]
    first = next((item["summary"] for item in doc["findings"] if item["severity"] == "error"), None)
    headline = element(
        "p",
        element("span", sign, class_="symbol", aria_hidden="true"),
        element(
            "span",
            element("span", f"{word}: ", class_="hidden"),
            doc["headline"],
            element("span", f"Look first at: {first}", class_="soft") if first else None,
        ),
        class_="headline",
    )
    links = [element("a", heading, href=f"#{ident}") for ident, heading, content in contents_names(doc) if content]
    return element(
        "header",
        element("h1", doc["title"]),
        headline,
        tiles(doc),
        element("nav", links, aria_label="Sections"),
        class_=doc["health"],
    )


def contents_names(doc: Map) -> list[tuple[str, str, bool]]:
    """Return the sections that there are, without making them."""
    return [
        ("findings", "Findings", True),
        ("matrix", "Matrix", bool(doc["pairs"])),
        ("topology", "Topology", bool(doc["hosts"])),
        ("local", "Within each host", bool(doc["local"])),
        ("containers", "Containers", bool(doc["containers"])),
        ("hosts", "Hosts", bool(doc["hosts"])),
    ]


def tiles(doc: Map) -> Html:
    """Return the figures at a glance."""
    numbers = doc["numbers"]
    found, rtt = numbers["findings"], numbers["rtt_ms"]
    shown: list[tuple[str, str, str]] = [
        (
            "Hosts read",
            f"{numbers['hosts_read']} of {numbers['hosts']}",
            BACKENDS.get(doc["backend"], doc["backend"] or ""),
        ),
    ]
    if numbers["pairs"]:
        shown.append(("Pairs that work", f"{numbers['pairs'] - numbers['pairs_failed']:,} of {numbers['pairs']:,}", ""))
    if rtt:
        spread = f"{_report_matrix.milliseconds(rtt['min'])} to {_report_matrix.milliseconds(rtt['max'])}"
        shown.append(("Round trip, middle", _report_matrix.milliseconds(rtt["median"]), spread))
    if numbers["loss_percent"] is not None:
        shown.append(("Loss, mean", _report_matrix.percent(numbers["loss_percent"]), ""))
    if numbers["clock_skew_seconds"] is not None:
        shown.append(("Clocks apart", _report_machine.seconds(numbers["clock_skew_seconds"]), ""))
    other = ", ".join(counted(found[name], name) for name in ("warning", "note") if found[name])
    shown.append(("Findings", counted(found["error"], "error"), other))
    return element(
        "dl",
        [
            element("div", element("dt", name), element("dd", value, element("small", more) if more else None))
            for name, value, more in shown
        ],
        class_="tiles",
    )


def findings(doc: Map) -> Html:
    """Return what is wrong, the first to look at first."""
    if not doc["findings"]:
        return element("p", "Nothing wrong was found.")
    few = len(doc["findings"]) <= OPEN_EVIDENCE
    cards = [finding(item, few) for item in doc["findings"]]
    rest = cards[OPEN_FINDINGS:]
    more = element("details", element("summary", counted(len(rest), "more finding")), rest) if rest else None
    return join(cards[:OPEN_FINDINGS], more)


def finding(item: Map, unfolded: bool) -> Html:
    """Return one finding with its cure."""
    hosts = [join(", " if index else None, element("bdi", name)) for index, name in enumerate(item["hosts"][:20])]
    more = f" and {len(item['hosts']) - 20} more" if len(item["hosts"]) > 20 else ""
    lines = element("pre", "\n".join(item["evidence"]))
    evidence = element("details", element("summary", "Evidence"), lines, open=unfolded)
    return element(
        "article",
        element("h3", element("span", SEVERITY[item["severity"]], class_="badge"), item["summary"]),
        element("p", element("code", item["id"]), " on " if hosts else None, hosts, more, class_="meta"),
        element("p", element("b", "Cause "), item["cause"]) if item["cause"] else None,
        element("p", element("b", "Cure "), item["remedy"]) if item["remedy"] else None,
        [command(line) for line in item["commands"]],
        evidence if item["evidence"] else None,
        class_=f"finding {item['severity']}",
    )


def command(line: str) -> Html:
    """Return a command to copy; where it is to be run stands beside it, so that it is not copied."""
    match = PROMPT.fullmatch(line)
    where, what = (f"on {match[1]}", match[2]) if match else ("here", line)
    return element("div", element("span", where), element("pre", what), class_="command")


def pairs(doc: Map) -> Html | None:
    """Return the matrix of hosts."""
    if not doc["pairs"]:
        return None
    names = _report_matrix.ends(doc["pairs"], [host["name"] for host in doc["hosts"]])
    # One pair within each host fits into the diagonal.
    within = doc["local"] if all(pair["source"] == pair["target"] for pair in doc["local"]) else []
    # What was not measured says nothing new; what was measured and failed does.
    bad = sorted((pair for pair in doc["pairs"] if not pair["ok"]), key=lambda pair: pair["fault"] == "not_run")
    shown = _matrix_or_failures([*doc["pairs"], *within], names, "pairs", "Matrix of hosts, from the row to the column")
    if not bad:
        return shown
    head = counted(len(bad), "failed pair") + (f", the first {LISTED_FAILURES}" if len(bad) > LISTED_FAILURES else "")
    table = _report_matrix.pair_table(bad[:LISTED_FAILURES], "Failed pairs of hosts")
    return join(shown, element("details", element("summary", head), table, open=len(bad) <= LISTED_PAIRS))


def _matrix_or_failures(items: t.Sequence[Map], names: t.Sequence[str], ident: str, caption: str) -> Html:
    if len(names) > MATRIX_ENDS:
        return element(
            "p",
            f"{len(names)} ends are too many for a matrix; the figures of all {len(items)} pairs are in the JSON file.",
        )
    return _report_matrix.heat_map(items, names, ident, caption)


def others(items: t.Sequence[Map], ident: str, caption: str) -> Html | None:
    """Return directions other than from host to host: listed if they are few, a matrix and the failed ones if they are many."""
    if not items:
        return None
    bad = [item for item in items if not item["ok"]]
    said = element("p", f"{len(items) - failed(items)} of {len(items)} work.")
    if len(items) <= LISTED_PAIRS:
        return join(said, _report_matrix.pair_table(items, caption))
    names = _report_matrix.ends(items)
    shown = _matrix_or_failures(items, names, ident, caption) if len(names) ** 2 <= 3 * len(items) else None
    more = f" The first {LISTED_FAILURES} that do not are listed." if len(bad) > LISTED_FAILURES else ""
    table = _report_matrix.pair_table(bad[:LISTED_FAILURES], f"{caption} that fail") if bad else None
    return join(said, shown, element("p", more) if more else None, table)


def bottom(doc: Map) -> Html:
    """Return when and by what the page was made."""
    made = doc["made"].replace("T", " ").replace("Z", " UTC")
    backend = BACKENDS.get(doc["backend"], doc["backend"] or "an unknown backend")
    return element(
        "footer", element("section", element("p", f"Made {made} by {doc['by']}, of an overlay with {backend}."))
    )
