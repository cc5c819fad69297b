# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib
import typing as t
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _report_document
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils import report_data

SCHEMA = json.loads((pathlib.Path(__file__).parents[4] / "docs/report.schema.json").read_text(encoding="utf-8"))
TYPES = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "object": dict, "array": list}
CASES: dict[str, tuple[t.Any, t.Any]] = {
    "healthy": (report_data.healthy(), ()),
    "faulty": report_data.faulty(),
    "large": report_data.large(30),
    "weave": (report_data.with_weave(), ()),
    "hostile": report_data.hostile(),
    "nothing": (Case(()), ()),
    "never read": (Case(("h1", "h2")), ()),
    "nonsense": (
        Case(
            ("h1", "h2"),
            {"h1": {"system": "x", "interfaces": [7], "openvswitch": {"ports": "no"}, "weave": [], "errors": ["x"]}, "h2": {"failed": True, "msg": "boom"}},
            clocks={"h1": {"clock": {"offset": float("nan"), "bound": "x"}}},
        ),
        (),
    ),
}  # fmt: skip


def document(name: str) -> dict[str, t.Any]:
    case, findings = CASES[name]
    return _report_document.document(case, findings, report_data.MADE, report_data.VERSION)


def problems(value: t.Any, schema: t.Mapping[str, t.Any], path: str = "$") -> list[str]:
    """What is wrong with a value; knows the words that docs/report.schema.json uses, and refuses others.

    The tests run in places that have no jsonschema, ansible-test's own environments for example.
    """
    known = {"$schema", "$defs", "$ref", "title", "type", "properties", "required", "additionalProperties", "items"}
    known |= {"anyOf", "enum", "const", "pattern", "minimum", "maximum"}
    assert set(schema) <= known, set(schema) - known
    if "$ref" in schema:
        return problems(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], path)
    if "anyOf" in schema:
        found = [problems(value, item, path) for item in schema["anyOf"]]
        return [] if not all(found) else found[0]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path}: {value!r} is none of {schema['enum']}"]
    if "const" in schema and value != schema["const"]:
        return [f"{path}: {value!r}"]
    kind = schema.get("type")
    if kind == "null":
        return [] if value is None else [f"{path}: {value!r} is not null"]
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{path}: {value!r} is no {kind}"]
    found = []
    if (
        not schema.get("minimum", value) <= value <= schema.get("maximum", value)
        if kind in ("integer", "number")
        else False
    ):
        found.append(f"{path}: {value!r} is out of range")
    if kind == "object":
        fields = schema.get("properties", {})
        found += [f"{path}: no {name}" for name in schema.get("required", ()) if name not in value]
        for name, item in value.items():
            more = fields.get(name, schema.get("additionalProperties", {}))
            found += [f"{path}: {name} is too much"] if more is False else problems(item, more, f"{path}.{name}")
    if kind == "array":
        found += [
            line for index, item in enumerate(value) for line in problems(item, schema["items"], f"{path}[{index}]")
        ]
    return found


@pytest.mark.parametrize("name", CASES)
def test_document_fits_the_schema(name: str) -> None:
    # The way through text makes of everything what the reader of the file gets.
    assert problems(json.loads(_report_document.as_json(document(name))), SCHEMA) == []


def test_schema_refuses_what_does_not_fit() -> None:
    doc = document("faulty")
    assert problems({**doc, "schema": 2}, SCHEMA)
    assert problems({**doc, "more": 1}, SCHEMA)
    assert problems({key: value for key, value in doc.items() if key != "made"}, SCHEMA)
    assert problems({**doc, "pairs": [{**doc["pairs"][0], "loss_percent": 101}]}, SCHEMA)
    assert problems({**doc, "hosts": [{**doc["hosts"][0], "read": "yes"}]}, SCHEMA)


def test_every_field_is_described() -> None:
    text = (pathlib.Path(__file__).parents[4] / "docs/report.md").read_text(encoding="utf-8")

    def names(schema: t.Any) -> t.Iterator[str]:
        if isinstance(schema, dict):
            yield from schema.get("properties", {})
            for item in schema.values():
                yield from names(item)
        elif isinstance(schema, list):
            for item in schema:
                yield from names(item)

    assert [name for name in sorted(set(names(SCHEMA))) if f"`{name}`" not in text and f"`{name}[]`" not in text] == []


@pytest.mark.parametrize("name", CASES)
def test_secrets_stay_out(name: str) -> None:
    assert report_data.SECRET in repr(report_data.healthy().infos)
    assert report_data.SECRET not in _report_document.as_json(document(name))
    assert "7701" not in json.dumps(document(name)["hosts"])  # the tunnels' key


def test_json_is_the_document_and_plain_ascii() -> None:
    doc = document("hostile")
    text = _report_document.as_json(doc)
    assert json.loads(text) == doc
    assert text.isascii()
    assert text.count("\n") < 12 + sum(len(value) + 2 for value in doc.values() if isinstance(value, list))


@pytest.mark.parametrize(
    ("name", "health", "headline"),
    [
        ("healthy", "ok", "All 6 pairs reach each other."),
        (
            "faulty",
            "broken",
            "3 of 6 pairs fail: h1 → h2, h1 → h3, h2 → h1; 1 of 2 container pairs fail; 2 errors, 1 warning.",
        ),
        ("never read", "unknown", "2 of 2 hosts could not be read: h1, h2; No packets were sent."),
        ("nothing", "unknown", "No packets were sent; nothing wrong was found on 0 hosts."),
    ],
)
def test_health(name: str, health: str, headline: str) -> None:
    doc = document(name)
    assert (doc["health"], doc["headline"]) == (health, headline)


def test_what_was_not_measured_is_told_from_what_fails() -> None:
    doc = document("large")
    numbers = doc["numbers"]
    assert numbers["pairs_not_measured"] == 58
    assert doc["headline"].startswith(
        f"{numbers['pairs_failed'] - 58} of 870 pairs fail; 58 could not be measured; 1 of 30 hosts could not"
    )


def test_a_warning_degrades_and_a_note_does_not() -> None:
    case = report_data.healthy()
    note = Finding("x", "note", ("h1",), "It is so.", (), "", "")

    def health(*findings: Finding, report: t.Any = case.report) -> str:
        doc = _report_document.document(replace(case, report=report), findings, report_data.MADE, "1")
        return doc["health"]

    assert health(note) == "ok"
    assert health(note, replace(note, severity="warning")) == "degraded"
    assert health(note, replace(note, severity="error")) == "broken"
    assert health(report=None) == "unknown"
    assert health(replace(note, severity="warning"), report=None) == "degraded"


def test_pairs_keep_what_was_measured() -> None:
    doc = document("faulty")
    by_ends = {(item["source"], item["target"]): item for item in doc["pairs"]}
    assert len(by_ends) == 6
    lost, well = by_ends["h1", "h2"], by_ends["h2", "h3"]
    assert (lost["ok"], lost["fault"], lost["loss_percent"], lost["rtt_ms"]) == (False, "loss", 100.0, None)
    assert (well["ok"], well["fault"], well["loss_percent"]) == (True, "", 0.0)
    assert well["checks"] == {"tcp": "ok", "udp": "ok", "mtu": "ok", "fragmented": "ok"}
    assert by_ends["h1", "h3"]["checks"]["mtu"] == "failed"
    assert doc["containers"][0]["loss_percent"] == pytest.approx(100 / 3)


def test_hosts() -> None:
    doc = document("large")
    down = next(host for host in doc["hosts"] if not host["read"])
    assert down["reason"] == "Failed to connect to the host via ssh: No route to host"
    assert (down["docker"], down["openvswitch"], down["clock"]) == (None, None, None)
    first = doc["hosts"][0]
    assert first["underlay"] == {"address": "192.0.2.11", "interface": "eth1", "mtu": 1500}
    assert first["firewalls"] == [{"name": "firewalld", "acts": None}]
    states = [tunnel["state"] for tunnel in first["openvswitch"]["tunnels"]]
    assert (len(states), states.count("failed")) == (29, 1)
    assert document("nonsense")["hosts"][1]["reason"] == "boom"


def test_links_name_hosts() -> None:
    assert {(link["source"], link["target"]) for link in document("healthy")["links"]} == {
        (source, target) for source in ("h1", "h2", "h3") for target in ("h1", "h2", "h3") if source != target
    }
    weave = document("weave")["links"]
    assert {link["type"] for link in weave} == {"weave fastdp", "weave sleeve"}
    assert len(weave) == 6  # not the router's attempt at itself


@pytest.mark.parametrize(
    "made",
    [
        datetime(2026, 3, 14, 15, 9, 26, 535, tzinfo=UTC),
        datetime(2026, 3, 14, 17, 9, 26, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 3, 14, 15, 9, 26),
    ],
)
def test_times_are_in_utc(made: datetime) -> None:
    assert _report_document.moment(made) == "2026-03-14T15:09:26Z"


def test_long_texts_are_cut() -> None:
    finding = Finding("x", "odd", ("h1",), "a" * 5000, ("b" * 5000,), "", "")
    doc = _report_document.finding(finding)
    assert (len(doc["summary"]), len(doc["evidence"][0]), doc["severity"]) == (2000, 2000, "note")
