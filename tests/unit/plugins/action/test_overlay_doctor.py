# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action overlay_doctor, with a task, a terminal and reports that are pretended."""

from __future__ import annotations

import pathlib
import types
import typing as t

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader

from ansible_collections.crosshost.overlay.plugins.action import overlay_doctor
from ansible_collections.crosshost.overlay.plugins.modules import overlay_doctor as documented

CONNECTION = types.SimpleNamespace(_shell=types.SimpleNamespace(tmpdir="none is made"))
FULL = {"resources": {"disk": [{"path": "/", "free_bytes": 0, "total_bytes": 10**10}]}}
WELL = {"resources": {"disk": [{"path": "/", "free_bytes": 10**9, "total_bytes": 10**10}]}}

Doctor = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the terminal."""
    lines: list[str] = []
    monkeypatch.setattr(overlay_doctor.display, "display", lines.append)
    return lines


@pytest.fixture
def doctor(shown: list[str]) -> Doctor:
    """Return a function that runs the action with options."""

    def run(variables: dict[str, t.Any] | None = None, check_mode: bool = False, **options: t.Any) -> dict[str, t.Any]:
        task = types.SimpleNamespace(
            action="crosshost.overlay.overlay_doctor", args=options, check_mode=check_mode, async_val=0
        )
        action = overlay_doctor.ActionModule(task, CONNECTION, None, DataLoader(), None, None)
        return action.run(None, {"hostvars": {}, **(variables or {})})

    return run


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The reports that were written, by path."""
    written: dict[str, str] = {}

    def write(path: str, text: str, option: str) -> str:
        written[path] = f"{option}: {text}"
        return f"/abs/{path}"

    def document(case: t.Any, findings: t.Any, made: t.Any, version: str, title: str) -> dict[str, t.Any]:
        return {
            "hosts": case.hosts,
            "findings": len(findings),
            "version": version,
            "title": title,
            "zone": str(made.tzinfo),
        }

    fakes = {
        "_report_document": types.SimpleNamespace(document=document, as_json=lambda made: f"json {made['findings']}"),
        "_report_html": types.SimpleNamespace(
            html=lambda made: f"html {made['title']} {made['version']} {made['zone']}"
        ),
        "_report_prometheus": types.SimpleNamespace(prometheus=lambda made: f"prometheus {','.join(made['hosts'])}"),
        "_write": types.SimpleNamespace(write=write),
    }
    loaded = types.SimpleNamespace(import_module=lambda name: fakes[name.rpartition(".")[2]])
    monkeypatch.setattr(overlay_doctor, "importlib", loaded)
    return written


def test_well(doctor: Doctor, shown: list[str]) -> None:
    result = doctor(hosts=["h1", "h2"], infos={"h1": {"overlay": WELL}, "h2": WELL})

    assert (result["changed"], result.get("failed", False), result["findings"], result["paths"]) == (
        False,
        False,
        [],
        {},
    )
    assert result["summary"] == "doctor: hosts=2 findings=0 errors=0 warnings=0 notes=0"
    assert shown == [f"Nothing is wrong that can be seen on h1 and h2.\n{result['summary']}"]


def test_findings_do_not_fail_unless_asked(doctor: Doctor, shown: list[str]) -> None:
    infos = {"h1": {"overlay": FULL}, "h2": {"overlay": WELL}}
    result = doctor(hosts=["h1", "h2"], infos=infos)

    assert [(item["id"], item["hosts"]) for item in result["findings"]] == [("disk-full", ("h1",))]
    assert "failed" not in result
    assert shown[0].startswith("error  disk-full  h1  the disk of h1 is full at /\nFirst: Make room.\n  h1$ df -h /")
    assert result["explanation"].startswith("Most likely cause: the disk of h1 is full")

    result = doctor(hosts=["h1", "h2"], infos=infos, fail=True)
    assert result["failed"] is True
    assert "Most likely cause" in result["msg"]
    assert "findings" not in result


def test_quiet(doctor: Doctor, shown: list[str]) -> None:
    doctor(hosts=["h1"], infos={"h1": FULL}, quiet=True)

    assert shown == []


@pytest.mark.parametrize("answer", [{"failed": True, "msg": "no Python"}, {"msg": "no Python", "changed": False}])
def test_a_host_that_could_not_be_read(doctor: Doctor, answer: dict[str, t.Any]) -> None:
    result = doctor(hosts=["h1", "h2"], infos={"h1": answer, "h2": WELL})

    assert [(item["id"], item["evidence"]) for item in result["findings"]] == [("host-not-read", ("h1: no Python",))]


def test_a_host_that_was_not_asked(doctor: Doctor) -> None:
    """It failed before: the doctor does not make that a fault of its own question."""
    result = doctor(hosts=["h1", "h2"], infos={"h2": WELL})

    assert [(item["id"], item["hosts"]) for item in result["findings"]] == [("host-not-read", ("h1",))]
    assert "earlier task" in result["findings"][0]["summary"]


def test_others_are_named(doctor: Doctor, shown: list[str]) -> None:
    doctor(hosts=["h1"], left_out=["h1", "h2"], infos={"h1": WELL})

    assert shown[0].startswith("Not looked at: h2.\n")


def test_reports(doctor: Doctor, reports: dict[str, str]) -> None:
    paths = {"report_html": "r.html", "report_json": "r.json", "prometheus": "r.prom"}
    result = doctor(hosts=["h1"], infos={"h1": FULL}, title="Lab", check_mode=True, **paths)

    assert result["paths"] == {name: f"/abs/{path}" for name, path in paths.items()}
    version = overlay_doctor.version()
    assert reports == {
        "r.html": f"report_html: html Lab {version} UTC",
        "r.json": "report_json: json 1",
        "r.prom": "prometheus: prometheus h1",
    }


def test_version() -> None:
    galaxy = pathlib.Path(__file__).resolve().parents[4] / "galaxy.yml"

    assert overlay_doctor.version() == yaml.safe_load(galaxy.read_text(encoding="utf-8"))["version"]


def test_addresses_come_from_the_inventory(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        overlay_doctor, "resolve", lambda names, timeout: {name: name for name in names if name != "nosuch"}
    )
    hostvars = {
        "h1": {"overlay_underlay_ip": "192.0.2.1"},
        "h2": {"ansible_host": "192.0.2.1"},
        "h3": {"ansible_host": "nosuch"},
    }
    result = doctor({"hostvars": hostvars}, hosts=["h1", "h2", "h3"], infos={"h1": WELL, "h2": WELL, "h3": WELL})

    assert [(item["id"], item["hosts"]) for item in result["findings"]] == [("address-twice", ("h1", "h2"))]


def test_verify_of_another_shape_is_refused(doctor: Doctor) -> None:
    with pytest.raises(AnsibleActionFail, match="option verify is not what"):
        doctor(hosts=["h1"], infos={"h1": WELL}, verify={"hosts": ["h1"], "pairs": [{"nothing": 1}]})


def test_documented_options_are_those_taken() -> None:
    options = yaml.safe_load(documented.DOCUMENTATION)["options"]

    assert set(options) == set(overlay_doctor.SPEC)
    assert {name: option.get("default") for name, option in options.items()} == {
        name: spec.get("default") for name, spec in overlay_doctor.SPEC.items()
    }
