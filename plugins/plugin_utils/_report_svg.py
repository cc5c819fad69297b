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


def topology(doc: Map) -> Html:
    """Return the drawing with a sentence that says what is in it."""
    hosts = doc["hosts"]
    lines = edges(doc)
    bad = [line for line in lines if line["bad"]]
    few = len(hosts) <= EVERY_LINE
    drawn = (sorted(lines, key=lambda line: line["bad"]) if few else bad)[: MOST_LINES if not few else None]
    width, height, radius = _size(len(hosts))
    spots = places([host["name"] for host in hosts], width, height, radius)
    said = summary(lines, bad, drawn, few)
    trouble = troubled(doc)
    marks = [_line(line, spots, few and len(hosts) <= FIGURES) for line in drawn]
    marks += [_host(host, spots[host["name"]], trouble, len(hosts)) for host in hosts]
    picture = element(
        "svg", element("title", said), marks, viewBox=f"0 0 {width} {height}", role="img", class_=f"topology {'few' if few else 'many'}"
    )
    legend = [
        element("span", element("i", class_="dash good"), "works"),
        element("span", element("i", class_="dash bad"), "fails or is down"),
        element("span", element("i", class_="key ok"), "host"),
        element("span", element("i", "!", class_="key f"), "host with a finding or a failed pair"),
        element("span", element("i", "✕", class_="key n"), "host that was not read"),
    ]
    return element("figure", element("div", picture, class_="scroll"), element("figcaption", element("p", said), element("p", legend, class_="legend")))


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
        failed = [pair for pair in edge["pairs"] if not pair["ok"]]
        down = [link for link in edge["links"] if link["state"] == "failed"]
        sides = {link["source"] for link in edge["links"]}
        one_sided = len(sides) == 1 and set(edge["ends"]) <= read
        edge.update(failed=failed, down=down, one_sided=one_sided, bad=bool(failed or down or one_sided))
    return [edge for edge in found.values() if edge["links"] or edge["bad"] or not linked]


def summary(lines: t.Sequence[Map], bad: t.Sequence[Map], drawn: t.Sequence[Map], few: bool) -> str:
    """Return what is drawn, in words."""
    if not lines:
        return "Nothing is known of what joins the hosts."
    well = len(lines) - len(bad)
    if few:
        return f"{len(lines)} connections between hosts: {well} work, {len(bad)} do not."
    more = f" (the first {len(drawn)} of them are drawn)" if len(drawn) < len(bad) else ""
    return f"{len(lines)} connections between hosts: {well} work and are not drawn, {len(bad)} do not{more}."


def troubled(doc: Map) -> set[str]:
    """Return the hosts with findings that count, or with failed directions."""
    found = {name for item in doc["findings"] if item["severity"] != "note" for name in item["hosts"]}
    return found | {pair[end] for pair in doc["pairs"] if not pair["ok"] for end in ("source", "target")}


def _size(count: int) -> tuple[int, int, float]:
    """Return width and height of the drawing, and the circle's radius."""
    if count <= FIGURES:
        return 720, 380, 135
    if count <= EVERY_LINE:
        return 720, 520, 190
    radius = max(240.0, count * 13 / (2 * math.pi) + 60)
    side = int(2 * radius + 260)
    return side, side, radius


def places(names: t.Sequence[str], width: int, height: int, radius: float) -> dict[str, tuple[float, float, float]]:
    """Return where each host is: x, y and its angle. Two hosts are side by side, more begin at the top."""
    start = math.pi if len(names) == 2 else -math.pi / 2
    wide = 1.5 if len(names) <= FIGURES else 1.0
    spots = {}
    for index, name in enumerate(names):
        angle = start + 2 * math.pi * index / max(1, len(names))
        reach = radius if len(names) > 1 else 0
        spots[name] = (width / 2 + wide * reach * math.cos(angle), height / 2 + reach * math.sin(angle), angle)
    return spots


def _line(edge: Map, spots: t.Mapping[str, tuple[float, float, float]], figures: bool) -> Html:
    (x1, y1, _angle1), (x2, y2, _angle2) = (spots[name] for name in edge["ends"])
    said = _said(edge)
    line = element(
        "line", element("title", f"{edge['ends'][0]} – {edge['ends'][1]}: {said}"), x1=f"{x1:.0f}", y1=f"{y1:.0f}", x2=f"{x2:.0f}", y2=f"{y2:.0f}",
        class_="bad" if edge["bad"] else "good",
    )  # fmt: skip
    if not figures:
        return line
    x, y = x1 + (x2 - x1) * 0.5, y1 + (y2 - y1) * 0.5
    return join(line, element("text", said, x=f"{x:.0f}", y=f"{y + 4:.0f}", class_="figure bad" if edge["bad"] else "figure"))


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
    times = [pair["rtt_ms"]["median"] for pair in edge["pairs"] if pair["rtt_ms"]]
    return milliseconds(max(times)) if times else edge["links"][0]["state"] if edge["links"] else "works"


def _host(host: Map, spot: tuple[float, float, float], trouble: t.Container[str], count: int) -> Html:
    x, y, angle = spot
    name = host["name"]
    kind, mark = ("n", "✕") if not host["read"] else ("f", "!") if name in trouble else ("ok", "")
    size = 17 if count <= FIGURES else 12 if count <= EVERY_LINE else 6
    shown = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
    dot = element("circle", element("title", f"{name}, {host['underlay']['address'] or 'address unknown'}"), cx=f"{x:.1f}", cy=f"{y:.1f}", r=size, class_=f"host {kind}")
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
        "text", shown, text_anchor="end" if left else "start", class_="name",
        transform=f"translate({x:.1f} {y:.1f}) rotate({turn + 180 if left else turn:.1f})", dy=4,
    )  # fmt: skip
