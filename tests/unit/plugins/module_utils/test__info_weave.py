# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A router of Weave Net as overlay_info shows it: all of it, but not the password that Docker has in plain text."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _info_weave, _weave_http, _weave_state
from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

if t.TYPE_CHECKING:
    from conftest import FakeCli

PASSWORD = "rightpass"  # of the recorded router
ID = "a3222c60e5b66010c81f62eb00f38bc22dd0394054d67c9e6e7daefcf84646c0"
PARAMS = {"script": "/nonexistent/weave", "http_address": "127.0.0.1:6784", "port": 6783}
INSPECT = ("docker", "container", "inspect", "weave", "weave-previous", "crosshost-weave-exec", "weavedb")


class FakeModule:
    """Docker and ss are there, and systemd if it is asked for."""

    def __init__(self, *more: str) -> None:
        self.tools = ("docker", "ss", *more)

    def get_bin_path(self, arg: str, *dummy_args: t.Any, **dummy_kwargs: t.Any) -> str | None:
        """Wherever."""
        return f"/usr/bin/{arg}" if arg in self.tools else None

    def sha256(self, dummy_path: str) -> str:
        """Not asked for."""
        return ""


@pytest.fixture
def section(monkeypatch: pytest.MonkeyPatch) -> Section:
    """The section on a host without records or bridge of its own."""
    monkeypatch.setattr(_weave_state, "bridge_there", lambda: False)
    monkeypatch.setattr(_weave_state, "read_record", lambda: {})
    return Section(t.cast(t.Any, FakeModule()), "weave", _info_weave.read, None, 5, PARAMS)


def answers(fake_cli: FakeCli, inspected: str, rc: int = 0, err: str = "") -> None:
    """What the tools say on the way to the router."""
    fake_cli.expect("ss", "-H", "-l", "-n", "-t", "-u", "-p", out="")
    fake_cli.expect(
        "docker",
        "version",
        "--format",
        "{{json .Server}}",
        out='{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"}',
    )
    fake_cli.expect("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", out="weaveworks/weave:2.9.0\n")
    fake_cli.expect(*INSPECT, out=inspected, rc=rc, err=err)


def with_canary(text: str, canary: str, by_argument: bool) -> str:
    """The recorded container with another password, in its environment or among its arguments, where people put it too."""
    entries = json.loads(text)
    entry = entries[0]
    entry["Config"]["Env"] = [line for line in entry["Config"]["Env"] if not line.startswith("WEAVE_PASSWORD")]
    if by_argument:
        entry["Args"] = ["--password", canary, *entry["Args"]]
    else:
        entry["Config"]["Env"].append(f"WEAVE_PASSWORD={canary}")
    return json.dumps(entries)


@pytest.mark.parametrize("by_argument", [False, True])
def test_password_is_nowhere(
    fake_cli: FakeCli,
    fixture_text: t.Callable[[str], str],
    section: Section,
    monkeypatch: pytest.MonkeyPatch,
    by_argument: bool,
) -> None:
    """Neither in what the container was started with, nor in what it said."""
    canary = "canary-4711"
    report = json.loads(fixture_text("weave/report_encrypted.json"))
    monkeypatch.setattr(_weave_http.Api, "report", lambda dummy_self: report)
    answers(fake_cli, with_canary(fixture_text("weave/inspect_encrypted.json"), canary, by_argument))
    said = f"INFO: 2026/11/23 06:34:22 Command line options: map[password:{canary} port:6783]\nINFO: got {canary}\n"
    fake_cli.expect("docker", "logs", "--tail", "40", ID, out=said, err="INFO: 2026/11/23 06:34:23 Our name is h2\n")
    section.run()
    assert section.problems == []
    assert canary not in json.dumps(section.facts)
    assert section.facts["launch"]["password_set"] is True
    assert section.facts["router"]["encryption"] is True
    assert section.facts["log"][-1] == "INFO: 2026/11/23 06:34:23 Our name is h2"


def test_recorded_password(
    fake_cli: FakeCli,
    fixture_text: t.Callable[[str], str],
    section: Section,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one that was recorded; and a router that says nothing is told of."""
    monkeypatch.setattr(_weave_http.Api, "report", lambda dummy_self: None)
    text = fixture_text("weave/inspect_encrypted.json")
    assert PASSWORD in text
    answers(fake_cli, text)
    fake_cli.expect("docker", "logs", "--tail", "40", ID, rc=1, err="no such container")
    section.run()
    assert PASSWORD not in json.dumps(section.facts)
    assert section.problems == ["The container weave runs, but its router gives no report on 127.0.0.1:6784"]
    assert (section.facts["router"], section.facts["log"]) == (None, [])


def test_foreign_container_is_not_listened_to(
    fake_cli: FakeCli, fixture_text: t.Callable[[str], str], section: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the name, and nothing else."""
    monkeypatch.setattr(_weave_http.Api, "report", lambda dummy_self: None)
    entries = json.loads(fixture_text("weave/inspect_encrypted.json"))
    entries[0]["Path"] = "/bin/sleep"
    answers(fake_cli, json.dumps(entries))
    section.run()
    assert (section.facts["container"]["foreign"], section.facts["log"]) == (True, [])


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        pytest.param(
            "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n",
            {"active": "active", "enabled": "enabled"},
            id="somebody's unit runs",
        ),
        pytest.param(
            "LoadState=loaded\nActiveState=failed\nUnitFileState=disabled\n",
            {"active": "failed", "enabled": "disabled"},
            id="somebody's unit failed",
        ),
        pytest.param(
            "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n", {"active": "", "enabled": ""}, id="no unit"
        ),
        pytest.param(
            "LoadState=masked\nActiveState=inactive\nUnitFileState=masked\n",
            {"active": "", "enabled": ""},
            id="a unit that is masked",
        ),
    ],
)
def test_unit_of_somebody_else(
    fake_cli: FakeCli,
    fixture_text: t.Callable[[str], str],
    section: Section,
    monkeypatch: pytest.MonkeyPatch,
    shown: str,
    expected: dict[str, str],
) -> None:
    """A unit weave.service starts a router as Docker does; whether one is there is told, by what systemctl shows."""
    monkeypatch.setattr(_weave_http.Api, "report", lambda dummy_self: None)
    monkeypatch.setattr(section, "_module", FakeModule("systemctl"))
    answers(fake_cli, fixture_text("weave/inspect_encrypted.json"))
    fake_cli.expect(
        "systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", "--", "weave.service", out=shown
    )
    fake_cli.expect("docker", "logs", "--tail", "40", ID, out="")
    section.run()
    assert section.facts["service"] == expected


def test_host_without_weave(fake_cli: FakeCli, section: Section) -> None:
    """There is nothing to return."""
    answers(fake_cli, "[]", rc=1, err="".join(f"Error: No such container: {name}\n" for name in INSPECT[3:]))
    section.run()
    assert (section.facts, section.problems) == ({}, [])


def test_docker_hangs(fake_cli: FakeCli, section: Section, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the host itself has of Weave Net is returned, with the reason for the rest."""
    monkeypatch.setattr(_weave_state, "read_record", lambda: {"name": "02:00:00:00:00:01"})
    fake_cli.expect("ss", "-H", "-l", "-n", "-t", "-u", "-p", out="")
    fake_cli.expect("docker", "version", "--format", "{{json .Server}}", rc=124, timed_out=True)
    section.run()
    assert section.facts["record"] == {"name": "02:00:00:00:00:01"}
    assert "did not end within" in section.problems[0]
