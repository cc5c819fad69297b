# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a host's Weave script is the right one, and who fetches it."""

from __future__ import annotations

import hashlib
import pathlib

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_names import WeaveHost
from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_script import Local, Script, decide_script, read

X, Y = "a" * 64, "b" * 64


def host(number: int, sha256: str = "", version: str = "2.9.0") -> WeaveHost:
    """A host with that script; an empty digest is none."""
    script = {"path": "/usr/local/bin/weave", "sha256": sha256, "version": version} if sha256 else None
    return WeaveHost(f"h{number}", f"192.0.2.{number}", {}, weave={"script": script})


@pytest.mark.parametrize(
    ("hosts", "local", "given", "checksum", "expected"),
    [
        pytest.param([host(1), host(2)], "", False, "", Script(True, ["h1", "h2"], ""), id="first-run"),
        pytest.param([host(1, X), host(2, X)], "", False, "", Script(False, [], X), id="equal-and-right"),
        pytest.param(
            [host(1, X), host(2, Y)], "", False, "", Script(True, ["h1", "h2"], ""), id="not-equal-and-none-to-tell"
        ),
        pytest.param(
            [host(1, X, "2.8.1"), host(2, X, "2.8.1")], "", False, "", Script(True, ["h1", "h2"], ""), id="old"
        ),
        pytest.param([host(1, X), host(2)], X, False, "", Script(False, ["h2"], X), id="new-host-and-fetched-before"),
        pytest.param([host(1, X), host(2)], X, True, "", Script(False, ["h2"], X), id="given"),
        pytest.param([host(1, X)], X, True, X, Script(False, [], X), id="given-and-pinned"),
        pytest.param([host(1, X)], "", False, "sha256:" + X.upper(), Script(False, [], X), id="pinned-and-there"),
        pytest.param([host(1, X)], Y, False, X, Script(False, [], X), id="pinned-and-there-whatever-was-fetched"),
        pytest.param([host(1)], Y, False, X, Script(True, ["h1"], X), id="fetched-another-before"),
        pytest.param([host(1)], X, False, X, Script(False, ["h1"], X), id="pinned-and-fetched-before"),
        pytest.param([WeaveHost("h1", "192.0.2.1", None)], "", False, "", Script(False, [], ""), id="nobody-reached"),
    ],
)
def test_decide(hosts: list[WeaveHost], local: str, given: bool, checksum: str, expected: Script) -> None:
    """Fetched only if needed, copied only where it differs."""
    assert decide_script(hosts, "2.9.0", Local(local), given, checksum) == (expected, [])


@pytest.mark.parametrize(
    ("local", "checksum", "reason"),
    [
        pytest.param(Local(), "", "cannot read", id="missing"),
        pytest.param(Local(X, "2.8.1"), X, "is the script of 2.8.1, and weave_version is 2.9.0", id="other-version"),
        pytest.param(Local(Y, "2.9.0"), X, f"has the SHA-256 {Y}, and weave_script_checksum is {X}", id="another"),
    ],
)
def test_given_file_is_wrong(local: Local, checksum: str, reason: str) -> None:
    """It is never replaced by a fetched one."""
    script, problems = decide_script([host(1)], "2.9.0", local, True, checksum)
    assert script.hosts == []
    assert reason in problems[0]


def test_foreign_program_of_that_name() -> None:
    """Is never replaced."""
    script, problems = decide_script([host(1, X), host(2, Y, "")], "2.9.0", Local(X, "2.9.0"), True, "")
    assert script.hosts == []
    assert len(problems) == 1
    assert "host 'h2': /usr/local/bin/weave is something else than Weave Net's script" in problems[0]


@pytest.mark.parametrize(
    ("content", "version"),
    [
        pytest.param(b'#!/bin/sh\nSCRIPT_VERSION="2.9.0"\n', "2.9.0", id="release"),
        pytest.param(b'#!/bin/sh\nSCRIPT_VERSION="unreleased"\n', "", id="from-the-repository"),
        pytest.param(b"\xff\x00", "", id="no-script"),
    ],
)
def test_read(tmp_path: pathlib.Path, content: bytes, version: str) -> None:
    """Checksum of the bytes, and the version it says."""
    path = tmp_path / "weave"
    path.write_bytes(content)
    assert read(str(path)) == Local(hashlib.sha256(content).hexdigest(), version)


def test_read_nothing(tmp_path: pathlib.Path) -> None:
    """No such file, or a folder."""
    assert read(str(tmp_path / "none")) == Local()
    assert read(str(tmp_path)) == Local()
