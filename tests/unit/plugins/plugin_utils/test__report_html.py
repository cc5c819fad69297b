# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import html.parser
import re
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._matrix import Report
from ansible_collections.crosshost.overlay.plugins.plugin_utils import (
    _report_document,
    _report_html,
    _report_markup,
    _report_matrix,
    _report_svg,
)
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding
from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_style import SCRIPT, STYLE
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils import report_data

VOID = {"meta", "input"}
# All that may be in a page: whatever else there is came from outside.
ELEMENTS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "h1",
        "h2",
        "h3",
        "p",
        "span",
        "a",
        "nav",
        "dl",
        "div",
        "dt",
        "dd",
        "main",
        "section",
        "article",
        "code",
        "bdi",
        "b",
        "i",
        "small",
        "pre",
        "details",
        "summary",
        "input",
        "label",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "figure",
        "figcaption",
        "svg",
        "line",
        "text",
        "circle",
        "footer",
        "script",
    ]  # a list of 45 words, one a line, is no easier to read
)
BIDI_AND_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Page(html.parser.HTMLParser):
    """The elements of a page, with their attributes and texts; complains of those that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, dummy in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def named(self, name: str, word: str = "") -> list[dict[str, str | None]]:
        found = [attrs for tag, attrs in self.elements if tag == name]
        return [attrs for attrs in found if not word or word in (attrs.get("class") or "").split()]

    @property
    def text(self) -> str:
        return "".join(self.texts)


@functools.cache
def parsed(name: str) -> Page:
    return Page(PAGES[name])


def render(case: t.Any, findings: t.Any = ()) -> str:
    return _report_html.html(_report_document.document(case, findings, report_data.MADE, report_data.VERSION))


PAGES = {
    "healthy": render(report_data.healthy()),
    "faulty": render(*report_data.faulty()),
    "large": render(*report_data.large()),
    "weave": render(report_data.with_weave()),
    "hostile": render(*report_data.hostile()),
    "one": render(report_data.healthy(1)),
    "two": render(report_data.healthy(2)),
    "middle": render(*report_data.large(20)),
    "nothing": render(Case(())),
    "never read": render(Case(("h1", "h2"))),
}


@pytest.mark.parametrize("name", PAGES)
def test_page_has_only_our_elements_and_loads_nothing(name: str) -> None:
    page = parsed(name)
    assert {tag for tag, dummy in page.elements} <= ELEMENTS
    for tag, attrs in page.elements:
        assert not [
            key for key in attrs if key.startswith("on") or key in ("src", "style", "srcdoc", "action", "xlink:href")
        ]
        assert (attrs.get("href") or "#").startswith("#"), tag
    assert len(page.named("script")) == len(page.named("style")) == 1
    assert "url(" not in STYLE + SCRIPT
    assert "@import" not in STYLE
    assert not re.search(r"innerHTML|insertAdjacent|document\.write|eval|https?:", SCRIPT)
    ids = [attrs["id"] for dummy, attrs in page.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    assert {attrs["href"] for attrs in page.named("a")} <= {f"#{ident}" for ident in ids}
    assert all(attrs["aria-labelledby"] in ids for attrs in page.named("section") if "aria-labelledby" in attrs)


@pytest.mark.parametrize("name", PAGES)
def test_policy_names_style_and_script_by_checksum(name: str) -> None:
    policy = parsed(name).named("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    words = policy["content"] or ""
    assert words.startswith("default-src 'none';")
    assert "unsafe" not in words
    for code in re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", PAGES[name], re.DOTALL):
        assert _report_html.checksum(code) in words


def test_hostile_strings_stay_text() -> None:
    page = parsed("hostile")
    for evil in report_data.HOSTILE:
        assert _report_markup.plain(evil) in page.text
    assert not BIDI_AND_CONTROL.search(PAGES["hostile"])
    PAGES["hostile"].encode("utf-8")
    # As many elements of each kind as with harmless strings in the same places.
    assert "owned" not in " ".join(tag for tag, dummy in page.elements)


def test_characters_that_cannot_be_seen_are_shown() -> None:
    assert _report_markup.plain("a\x1b[31m\u202eb\ud800\u200b") == "a\\x1b[31m\\u202eb\\ud800\\u200b"
    assert _report_markup.plain("שלום\tä\nz") == "שלום\tä\nz"


def test_markup_escapes_all_but_markup() -> None:
    inner = _report_markup.element("b", "<i>", 7, None, ["&"])
    made = _report_markup.element("p", inner, class_='"x"', hidden=True, title=None, aria_label="a'b")
    assert made == '<p class="&quot;x&quot;" hidden aria-label="a&#x27;b"><b>&lt;i&gt;7&amp;</b></p>'


def test_first_comes_the_health() -> None:
    assert parsed("healthy").text.index("All 6 pairs reach each other.") < 100
    page = parsed("faulty")
    assert "3 of 6 pairs fail: h1 → h2, h1 → h3, h2 → h1" in page.text
    assert "Look first at: The tunnels between h1 and h2 have different keys" in page.text
    assert page.text.index("Broken") < page.text.index("Look first") < page.text.index("mtu-too-large")


def test_findings_have_cause_cure_command_and_evidence() -> None:
    dummy_case, findings = report_data.faulty()
    page = parsed("faulty")
    assert len(page.named("article")) == len(findings)
    for finding in findings:
        for words in (finding.summary, finding.cause, finding.remedy, *finding.evidence):
            assert words in page.text
    assert "<span>on h2</span><pre>ovs-vsctl set Interface gre-h1 options:key=7701</pre>" in PAGES["faulty"]
    assert "<span>here</span><pre>ansible-playbook" in PAGES["faulty"]


@pytest.mark.parametrize(("name", "count"), [("healthy", 3), ("middle", 20), ("large", 100), ("weave", 3)])
def test_matrix_has_every_pair(name: str, count: int) -> None:
    page = parsed(name)
    titles = [attrs["title"] for attrs in page.named("td") if "title" in attrs]
    prefix = "node-" if count > 3 else "h"
    names = [f"{prefix}{index + 1:03d}" if count > 3 else f"{prefix}{index + 1}" for index in range(count)]
    wanted = [f"{source} → {target}" for source in names for target in names if source != target]
    assert [str(title).partition(":")[0] for title in titles if "→" in str(title)] == wanted


def test_failures_have_symbols_and_a_legend() -> None:
    cells = re.findall(r'<td class="(f|p|n)[ "][^>]*>(.)', PAGES["large"])
    assert {sign for dummy, sign in cells} == {"✕", "L", "M", "T", "?"}
    for sign in "✕LMT?":
        assert f">{sign}</i>" in PAGES["large"]
    assert all(sign for dummy, sign in re.findall(r'<td class="(f|p|n)[ "][^>]*>(<b>)?', PAGES["faulty"]))


def test_page_of_100_hosts_is_small() -> None:
    page = parsed("large")
    assert len(PAGES["large"].encode()) < 3_000_000
    assert len(page.named("td")) >= 10_000
    assert len(page.named("line")) <= _report_svg.MOST_LINES
    assert len(page.named("circle")) == 100
    assert len(page.elements) < 16_000
    assert "4715 work (not drawn), 136 do not, 99 could not be measured" in page.text


def test_page_of_too_many_hosts_leaves_the_matrix_out() -> None:
    case, findings = report_data.large(_report_html.MATRIX_ENDS + 1)
    text = render(case, findings)
    assert "121 ends are too many for a matrix" in text
    assert 'class="heat' not in text
    assert len(text.encode()) < 3_000_000


def test_same_report_makes_the_same_page() -> None:
    assert render(*report_data.faulty()) == PAGES["faulty"]
    assert render(*report_data.hostile()) == PAGES["hostile"]


def test_every_host_is_told() -> None:
    for name, count in (("faulty", 3), ("large", 100)):
        assert len(parsed(name).named("details", "machine")) == count
    page = parsed("large")
    assert "98 hosts without findings" in page.text
    assert "Failed to connect to the host via ssh: No route to host" in page.text
    assert "98 of 99 tunnels and connections are up; the others:" in page.text
    assert "'nft' took longer than 20 s" in parsed("faulty").text
    assert "Made 2026-03-14 15:09:26 UTC by crosshost.overlay 0.1.0" in page.text


def test_many_findings_are_folded() -> None:
    finding = Finding("x", "warning", tuple(f"h{index}" for index in range(30)), "It is so.", (), "", "")
    text = render(report_data.healthy(), [finding] * 40)
    assert "15 more findings" in text
    assert " and 10 more</p>" in text


def test_many_other_pairs_are_a_matrix_and_the_failed_ones() -> None:
    case = report_data.healthy()
    report = t.cast(Report, case.report)
    names = [f"c{index}" for index in range(9)]
    well = report_data.pair([*case.hosts, *names], 0, 1, 0.4)
    pairs = [replace(well, source=a, target=b, kind="container") for a in names for b in names if a != b]
    pairs[5] = report_data.fail(pairs[5], "loss")
    text = render(replace(case, report=replace(report, containers=tuple(pairs))))
    assert "71 of 72 work." in text
    assert 'id="containers-rtt"' in text
    assert text.count("Pairs of containers that fail") == 2  # caption, and name of the area that scrolls


@pytest.mark.parametrize(
    ("times", "bounds"),
    [
        ([], []),
        ([0.4], [0.5]),
        ([0.3, 0.45, 0.9], [0.5, 1]),
        ([0.4, 41], [0.5, 1, 2, 5, 10, 20, 50]),
        ([0.2, 250], [0.3, 1, 3, 10, 30, 100, 300]),
        ([0.01, 20000], [0.01, 0.1, 1, 10, 100, 1000, 10000, 100000][-7:]),
        ([0, 0.2], [0.001, 0.01, 0.1, 1]),
    ],
)
def test_shades_of_round_trips(times: list[float], bounds: list[float]) -> None:
    found = _report_matrix.thresholds(times)
    assert found[-1:] == bounds[-1:] or found[-1] >= max(times)
    assert len(found) <= _report_matrix.SHADES
    assert found == sorted(found)
    assert all(0 <= _report_matrix.shade(value, found) < len(found) for value in times)
    if times and min(times) > 0.1:
        assert found == bounds


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({}, "good", "0."),
        ({"down": True}, "bad", "✕ down"),
        ({"one_sided": True}, "bad", "✕ only from h1"),
    ],
)
def test_lines_between_hosts(change: dict[str, bool], state: str, words: str) -> None:
    doc = _report_document.document(report_data.healthy(2), (), report_data.MADE, "1")
    if change.get("down"):
        doc["links"][0]["state"] = "failed"
    if change.get("one_sided"):
        doc["links"] = [link for link in doc["links"] if link["source"] == "h1"]
    (edge,) = _report_svg.edges(doc)
    assert edge["state"] == state
    assert _report_svg._said(edge).startswith(words)


def contrast(one: str, two: str) -> float:
    """The contrast of two colours, as WCAG has it."""

    def light(colour: str) -> float:
        colour = "".join(digit * 2 for digit in colour[1:]) if len(colour) == 4 else colour[1:]
        parts = [int(colour[index : index + 2], 16) / 255 for index in (0, 2, 4)]
        red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((light(one), light(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_contrast(scheme: int) -> None:
    sets = [
        dict(re.findall(r"--([a-z0-9-]+):(#[0-9a-f]+)", part))
        for part in re.findall(r":root\{(.*?)\}", STYLE, re.DOTALL)
    ]
    colours = {**sets[0], **(sets[1] if scheme else {})}
    pairs = [
        ("text", "page"),
        ("soft", "page"),
        ("soft", "panel"),
        ("soft", "code"),
        ("link", "page"),
        ("bad", "page"),
        ("on", "bad"),
        ("on", "warn"),
    ]
    pairs += [
        ("on", "ok"),
        ("text", "bad-soft"),
        ("text", "warn-soft"),
        ("text", "ok-soft"),
        ("bad", "bad-soft"),
        ("p-ink", "p"),
        ("p-ink", "l4"),
    ]
    pairs += [("page", "soft")] + [("ink", name) for name in ("r0", "r1", "r2", "r3", "l1", "l2", "l3")]
    pairs += [("ink2", name) for name in ("r4", "r5", "r6")] + [("text", "none"), ("text", "edge")]
    assert [
        (one, two, round(contrast(colours[one], colours[two]), 2))
        for one, two in pairs
        if contrast(colours[one], colours[two]) < 4.5
    ] == []
