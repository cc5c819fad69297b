# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drawing of the report: hosts on a circle, what joins them as lines. Pure.

Up to EVERY_LINE hosts all lines are drawn; beyond that they would be a grey disc, so only what fails is drawn.
"""

from __future__ import annotations

import math
import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_markup import Html, element, join
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_matrix import milliseconds
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_model import Map

EVERY_LINE = 16  # hosts
FIGURES = 5  # hosts up to which lines have figures
MOST_LINES = 300  # failed lines; more cannot be told apart
LONGEST = 18  # characters of a name
LONGEST_FIGURE = 28


def topology(doc: Map) -> Html:
    """Return the drawing with a sentence that says what is in it."""
    hosts = doc["hosts"]
    lines = edges(doc)
    bad = [line for line in lines if line["state"] == "bad"]
    few = len(hosts) <= EVERY_LINE
    # What fails lies on top of what works.
    drawn = sorted(lines, key=lambda line: line["state"] == "bad") if few else bad[:MOST_LINES]
    spots = places([host["name"] for host in hosts])
    said = summary(lines, drawn, few)
    trouble = troubled(doc)
    marks = [_line(line, spots, few and len(hosts) <= FIGURES) for line in drawn]
    marks += [_host(host, spots[host["name"]], trouble, len(hosts)) for host in hosts]
    left, upper, width, height = _window(spots)
    picture = element(
        "svg",
        element("title", said),
        marks,
        viewBox=f"{left:.0f} {upper:.0f} {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
        class_=f"topology {'few' if few else 'many'}",
    )
    legend = [
        element("span", element("i", class_="dash good"), "works"),
        element("span", element("i", class_="dash bad"), "fails or is down"),
        element("span", element("i", class_="dash idle"), "not measured") if few else None,
        element("span", element("i", class_="key ok round"), "host"),
        element(
            "span", element("i", "!", class_="key f round"), "host with a finding, or with most of its pairs failed"
        ),
        element("span", element("i", "✕", class_="key n round"), "host that was not read"),
    ]
    return element(
        "figure",
        element("div", picture, class_="scroll"),
        element("figcaption", element("p", said), element("p", legend, class_="legend")),
    )


def edges(doc: Map) -> list[dict[str, t.Any]]:
    """Return what joins each two hosts: their tunnels or connections and both directions; bad if any of these is."""
    names = [host["name"] for host in doc["hosts"]]
    read = {host["name"] for host in doc["hosts"] if host["read"]}
    order = {name: index for index, name in enumerate(names)}
    found: dict[tuple[str, str], dict[str, t.Any]] = {}
    for kind, items in (("links", doc["links"]), ("pairs", doc["pairs"])):
        for item in items:
            if item["source"] in order and item["target"] in order and item["source"] != item["target"]:
                ends = tuple(sorted((item["source"], item["target"]), key=lambda name: order[name]))
                edge = found.setdefault((ends[0], ends[1]), {"ends": ends, "links": [], "pairs": []})
                edge[kind].append(item)
    # In a star, most pairs have no tunnel of their own: these are drawn only if they fail.
    linked = any(edge["links"] for edge in found.values())
    for edge in found.values():
        _judge(edge, read)
    return [edge for edge in found.values() if edge["links"] or edge["state"] == "bad" or not linked]


def _judge(edge: dict[str, t.Any], read: set[str]) -> None:
    """Add to a line its state (good, bad, or idle: not measured) and what is wrong."""
    failed = [pair for pair in edge["pairs"] if not pair["ok"] and pair["fault"] != "not_run"]
    down = [link for link in edge["links"] if link["state"] == "failed"]
    sides = {link["source"] for link in edge["links"]}
    one_sided = len(sides) == 1 and set(edge["ends"]) <= read
    idle = bool(edge["pairs"]) and all(pair["fault"] == "not_run" for pair in edge["pairs"])
    state = "bad" if failed or (down and not idle) or one_sided else "idle" if idle else "good"
    edge.update(failed=failed, down=down, one_sided=one_sided, state=state)


def summary(lines: t.Sequence[Map], drawn: t.Sequence[Map], few: bool) -> str:
    """Return what is drawn, in words."""
    if not lines:
        return "Nothing is known of what joins the hosts."
    counts = {state: sum(line["state"] == state for line in lines) for state in ("good", "bad", "idle")}
    more = f", of which {len(drawn)} are drawn" if not few and len(drawn) < counts["bad"] else ""
    hidden = "" if few else " (not drawn)"
    idle = f", {counts['idle']} could not be measured{hidden}" if counts["idle"] else ""
    return f"{len(lines)} connections between hosts: {counts['good']} work{hidden}, {counts['bad']} do not{more}{idle}."


def troubled(doc: Map) -> set[str]:
    """Return the hosts with findings that count, and those with most of their measured directions failed."""
    found = {name for item in doc["findings"] if item["severity"] != "note" for name in item["hosts"]}
    measured: dict[str, list[bool]] = {}
    for pair in doc["pairs"]:
        if pair["fault"] != "not_run":
            for end in ("source", "target"):
                measured.setdefault(pair[end], []).append(pair["ok"])
    return found | {name for name, verdicts in measured.items() if sum(verdicts) * 2 < len(verdicts)}


def places(names: t.Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Return where each host is: x, y and its angle. Two hosts are side by side, more begin at the top."""
    count = len(names)
    start = math.pi if count == 2 else -math.pi / 2
    radius = (
        0.0
        if count < 2
        else 130
        if count <= FIGURES
        else 190
        if count <= EVERY_LINE
        else max(240, count * 15 / (2 * math.pi))
    )
    wide = 1.6 if count <= FIGURES else 1.0
    spots = {}
    for index, name in enumerate(names):
        angle = start + 2 * math.pi * index / count
        spots[name] = (wide * radius * math.cos(angle), radius * math.sin(angle), angle)
    return spots


def _window(spots: t.Mapping[str, tuple[float, float, float]]) -> tuple[float, float, float, float]:
    """Return the part of the plane that is shown, all hosts and room for their names: left, upper, width, height."""
    xs, ys = [spot[0] for spot in spots.values()], [spot[1] for spot in spots.values()]
    widest = min(LONGEST, max(len(name) for name in spots)) * 7 + 30
    room = (max(70, widest), 50) if len(spots) <= EVERY_LINE else (widest, widest)
    left, upper = min(xs) - room[0], min(ys) - room[1]
    return left, upper, max(xs) + room[0] - left, max(ys) + room[1] - upper


def _line(edge: Map, spots: t.Mapping[str, tuple[float, float, float]], figures: bool) -> Html:
    (x1, y1, _angle1), (x2, y2, _angle2) = (spots[name] for name in edge["ends"])
    said = _said(edge)
    line = element(
        "line",
        element("title", f"{edge['ends'][0]} and {edge['ends'][1]}: {said}"),
        x1=f"{x1:.0f}",
        y1=f"{y1:.0f}",
        x2=f"{x2:.0f}",
        y2=f"{y2:.0f}",
        class_=edge["state"],
    )
    if not figures:
        return line
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return join(
        line,
        element(
            "text",
            short(said, LONGEST_FIGURE),
            x=f"{x:.0f}",
            y=f"{y + 4:.0f}",
            class_="figure bad" if edge["state"] == "bad" else "figure",
        ),
    )


def _said(edge: Map) -> str:
    """Return the figure of a line."""
    if edge["failed"]:
        both = len(edge["failed"]) == len(edge["pairs"])
        first = edge["failed"][0]
        return f"✕ {first['cell']}" if both else f"✕ {first['cell']}, {first['source']} → {first['target']}"
    if edge["down"]:
        return "✕ down"
    if edge["one_sided"]:
        return f"✕ only from {edge['links'][0]['source']}"
    if edge["state"] == "idle":
        return "not measured"
    times = [pair["rtt_ms"]["median"] for pair in edge["pairs"] if pair["rtt_ms"]]
    return milliseconds(max(times)) if times else edge["links"][0]["state"] if edge["links"] else "works"


def short(words: str, most: int) -> str:
    """Return words cut to the room there is."""
    return words if len(words) <= most else words[: most - 1] + "…"


def _host(host: Map, spot: tuple[float, float, float], trouble: t.Container[str], count: int) -> Html:
    x, y, angle = spot
    name = host["name"]
    kind, mark = ("n", "✕") if not host["read"] else ("f", "!") if name in trouble else ("ok", "")
    size = 17 if count <= FIGURES else 12 if count <= EVERY_LINE else 6
    shown = short(name, LONGEST)
    dot = element(
        "circle",
        element("title", f"{name}, {host['underlay']['address'] or 'address unknown'}"),
        cx=f"{x:.1f}",
        cy=f"{y:.1f}",
        r=size,
        class_=f"host {kind}",
    )
    sign = element("text", mark, x=f"{x:.1f}", y=f"{y:.1f}", class_=f"sign {kind}") if mark else None
    return join(dot, sign, _label(shown, x, y, angle, size, count))


def _label(shown: str, x: float, y: float, angle: float, size: int, count: int) -> Html:
    """Return the name of a host, outside of the circle; along the radius where there are many."""
    cos, sin = math.cos(angle), math.sin(angle)
    if count == 1:
        cos, sin = 0.0, 1.0
    if count <= EVERY_LINE:
        anchor = "middle" if abs(cos) < 0.35 else "start" if cos > 0 else "end"
        x, y = x + cos * (size + 8), y + sin * (size + 8) + (0 if sin < -0.35 else 14 if sin > 0.35 else 5)
        return element("text", shown, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, class_="name")
    turn = math.degrees(angle)
    left = cos < -1e-9
    x, y = x + cos * (size + 5), y + sin * (size + 5)
    return element(
        "text",
        shown,
        text_anchor="end" if left else "start",
        class_="name",
        transform=f"translate({x:.1f} {y:.1f}) rotate({turn + 180 if left else turn:.1f})",
        dy=4,
    )
