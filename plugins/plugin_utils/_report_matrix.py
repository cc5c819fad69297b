# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The matrix of the report as a heat map: a table whose cells are coloured by round trip or by loss. Pure.

The colours are chosen by two radio buttons and CSS, so that each cell is written once and no script is needed. Failures
have a symbol besides their colour.
"""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_markup import Html, element, join
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_model import Map

WORDS = 10  # ends up to which a cell has room for figures
MIDDLE = 40  # ends up to which cells are of a middling size
SHADES = 7
LOSSES = (0, 1, 5, 20, 99.999)  # percent, the upper end of each shade
SCALES = ((1, 2, 5), (1, 3), (1,))  # steps in each power of ten, from fine to coarse

# Fault of a direction: symbol in its cell, what the legend says.
SYMBOLS = {
    "loss": ("✕", "nothing arrives"),
    "partial_loss": ("L", "some packets are lost"),
    "duplicates": ("D", "packets arrive twice"),
    "storm": ("S", "packets multiply"),
    "mtu": ("M", "large packets are lost"),
    "fragment": ("F", "fragments are lost"),
    "tcp": ("T", "TCP fails"),
    "udp": ("U", "UDP fails"),
    "icmp_only": ("I", "only ping is stopped"),
    "name": ("N", "the name is not found"),
    "address_twice": ("2", "the address is held twice"),
    "not_run": ("?", "not measured"),
}
OTHER = ("!", "another fault")
DEAD = frozenset({"loss", "storm", "address_twice"})


def symbol(pair: Map) -> str:
    """Return what marks a failed direction; empty if it is well."""
    return "" if pair["ok"] else SYMBOLS.get(pair["fault"], OTHER)[0]


def milliseconds(value: float) -> str:
    """Return a round trip with two digits that count."""
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def percent(value: float) -> str:
    """Return a loss; a little is not nothing."""
    return "<0.1 %" if 0 < value < 0.1 else f"{value:.1f} %".replace(".0 %", " %")


def thresholds(times: t.Sequence[float]) -> list[float]:
    """Return the upper ends of the shades for round trips: round numbers from the fastest to the slowest, at most SHADES.

    They do not stretch over small differences: where all are about as fast, all have about the same shade.
    """
    if not times:
        return []
    low, high = max(min(times), 0.001), max(times)
    bounds: list[float] = []
    for steps in SCALES:
        every = [float(f"{step}e{power}") for power in range(-4, 8) for step in steps]
        bounds = [bound for bound in every if low <= bound < high]
        bounds.append(next((bound for bound in every if bound >= high), high))
        if len(bounds) <= SHADES:
            break
    return bounds[-SHADES:]


def shade(value: float, bounds: t.Sequence[float]) -> int:
    """Return which shade a value has; above the last bound, the last."""
    return next((index for index, bound in enumerate(bounds) if value <= bound), len(bounds) - 1)


def ends(pairs: t.Iterable[Map], first: t.Sequence[str] = ()) -> list[str]:
    """Return the ends of all directions: those given in their order, the others as they come."""
    return list(dict.fromkeys([*first, *(pair[end] for pair in pairs for end in ("source", "target"))]))


def heat_map(pairs: t.Sequence[Map], names: t.Sequence[str], ident: str, caption: str) -> Html:
    """Return the matrix of all names with legends and the switch between round trip and loss. ident tells matrices of a page apart."""
    by_ends = {(pair["source"], pair["target"]): pair for pair in pairs}
    # What stays within a host is faster by far, and must not make all the rest look slow.
    between = [pair for pair in pairs if pair["source"] != pair["target"]] or pairs
    bounds = thresholds([pair["rtt_ms"]["median"] for pair in between if pair["rtt_ms"]])
    size = "words" if len(names) <= WORDS else "middle" if len(names) <= MIDDLE else "tiny"
    head = [element("th", element("span", name), scope="col") for name in names]
    rows = [
        element(
            "tr",
            element("th", name, scope="row"),
            [cell(by_ends.get((name, target)), name, target, bounds, size == "words") for target in names],
        )
        for name in names
    ]
    table = element(
        "table",
        element("caption", caption, class_="hidden"),
        element("thead", element("tr", element("td", "from ↓ to →", class_="corner"), head)),
        element("tbody", rows),
        class_=f"heat {size}",
    )
    views = (("rtt", "Round trip", True), ("loss", "Loss", False))
    return element(
        "div",
        [
            join(
                element("input", type="radio", name=ident, id=f"{ident}-{view}", class_=f"by-{view}", checked=first),
                element("label", label, for_=f"{ident}-{view}"),
            )
            for view, label, first in views
        ],
        element("div", table, class_="scroll", tabindex=0, role="region", aria_label=caption),
        element("p", "Point at a cell, or use the arrow keys, to read it.", class_="readout", aria_live="polite"),
        legend(pairs, bounds),
        class_="matrix",
        role="group",
        aria_label=caption,
    )


def cell(pair: Map | None, source: str, target: str, bounds: t.Sequence[float], words: bool) -> Html:
    """Return one cell. The title says it all; a cell with room says the figures too."""
    if pair is None:
        return element("td", class_="self" if source == target else "none")
    rtt, loss = pair["rtt_ms"], pair["loss_percent"]
    figures = [] if loss is None else [f"{percent(loss)} loss"]
    figures += [milliseconds(rtt["median"])] if rtt else []
    verdict = "" if pair["ok"] else f"{pair['cell']}: {pair['reason']}"
    classes = [state(pair)]
    classes += [f"r{shade(rtt['median'], bounds)}"] if rtt and pair["ok"] else []
    classes += [] if loss is None else [f"l{shade(loss, (*LOSSES, 100))}"]
    shown: list[t.Any] = [symbol(pair)]
    if words:
        top = milliseconds(rtt["median"]) if pair["ok"] and rtt else f"{symbol(pair)} {pair['cell']}".strip()
        shown = [element("b", top), element("i", f"{percent(loss)} loss" if loss is not None else "not measured")]
    way = f"{source} → {target}" if source != target else f"within {source}"
    said = ", ".join([*figures, verdict] if verdict else figures) or "well"
    return element("td", shown, class_=" ".join(word for word in classes if word) or None, title=f"{way}: {said}")


def state(pair: Map) -> str:
    """Return the class of a cell that is not well: nothing arrives, something is wrong, not measured."""
    if pair["ok"]:
        return ""
    return "n" if pair["fault"] == "not_run" else "f" if pair["fault"] in DEAD else "p"


def legend(pairs: t.Sequence[Map], bounds: t.Sequence[float]) -> Html:
    """Return what the colours and symbols mean, as far as they occur."""
    faults: dict[str, list[Map]] = {}
    for pair in pairs:
        if not pair["ok"]:
            faults.setdefault(SYMBOLS.get(pair["fault"], OTHER)[1], []).append(pair)
    shades = [(f"r{index}", f"≤ {bound:g} ms") for index, bound in enumerate(bounds)]
    losses = ["no loss", *(f"≤ {bound:g} %" for bound in LOSSES[1:-1]), f"> {LOSSES[-2]:g} %", "all lost"]
    keys = [element("span", _symbol(those[0]), f"{meaning} ({len(those):,})") for meaning, those in faults.items()]
    return element(
        "div",
        element("p", element("b", "Median round trip"), [_key(*item) for item in shades], class_="for-rtt")
        if shades
        else None,
        element(
            "p",
            element("b", "Loss"),
            [_key(f"l{index}", label) for index, label in enumerate(losses)],
            class_="for-loss",
        ),
        element("p", keys, class_="for-all") if keys else None,
        class_="legend",
    )


def _key(name: str, label: str) -> Html:
    return element("span", element("i", class_=f"key {name}"), label)


def pair_table(pairs: t.Sequence[Map], caption: str) -> Html:
    """Return directions as a plain table, for few of them or for the failed ones."""
    rows = []
    for pair in pairs:
        loss = "not measured" if pair["loss_percent"] is None else percent(pair["loss_percent"])
        verdict = "✓ works" if pair["ok"] else join(_symbol(pair), pair["reason"], element("small", pair["remedy"]))
        rows.append(
            element(
                "tr",
                element("th", _end(pair["source"], pair["source_address"]), scope="row", class_="end"),
                element("td", _end(pair["target"], pair["target_address"]), class_="end"),
                element("td", loss, class_="number"),
                element("td", milliseconds(pair["rtt_ms"]["median"]) if pair["rtt_ms"] else "none", class_="number"),
                element("td", verdict, class_="fine" if pair["ok"] else "bad"),
            )
        )
    head = [element("th", word, scope="col") for word in ("From", "To", "Loss", "Round trip", "Verdict")]
    return element(
        "div",
        element(
            "table",
            element("caption", caption, class_="hidden"),
            element("thead", element("tr", head)),
            element("tbody", rows),
            class_="list",
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def _symbol(pair: Map) -> Html:
    return element("i", symbol(pair), class_=f"key {state(pair)}")


def _end(name: str, address: str) -> Html:
    return join(element("bdi", name), " ", element("small", address))
