# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that Docker could not start before the plugin of their network: these, and no others."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_rejoin_boot
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_rejoin_boot import RejoinError, main, stranded

ERROR = 'plugin "weavemesh" not found'  # State.Error as Docker 20.10.24 leaves it

STALE = (
    'legacy plugin: Post "http://%2Frun%2Fdocker%2Fplugins%2Fweavemesh.sock/Plugin.Activate": '
    "dial unix /run/docker/plugins/weavemesh.sock: connect: connection refused"
)


def container(name: str, policy: str = "always", error: str = ERROR) -> dict[str, t.Any]:
    """A stopped container as docker inspect shows it."""
    return {"Name": f"/{name}", "HostConfig": {"RestartPolicy": {"Name": policy}}, "State": {"Error": error}}


@pytest.mark.parametrize(
    ("containers", "found"),
    [
        pytest.param([container("a"), container("b", "unless-stopped")], ["a", "b"], id="stranded"),
        pytest.param([container("a", error=STALE)], ["a"], id="stale socket"),
        pytest.param(
            [container("a", error=STALE.replace("weavemesh", "flocker"))], [], id="stale socket of another plugin"
        ),
        pytest.param([container("a", "no"), container("b", "on-failure")], [], id="not for Docker to start"),
        pytest.param([container("a", error="")], [], id="stopped by somebody"),
        pytest.param(
            [container("a", error='exec: "nosuch": executable file not found in $PATH')], [], id="another error"
        ),
        pytest.param(
            [container("a", error='error while looking up plugin "weave" not found')], ["a"], id="other plugin name"
        ),
        pytest.param([container("a", error='plugin "weavers" not found')], [], id="somebody else's plugin"),
        pytest.param([], [], id="none"),
    ],
)
def test_who_is_stranded(containers: list[dict[str, t.Any]], found: list[str]) -> None:
    def run(*words: str) -> str:
        if words[0] == "ps":
            return "\n".join(item["Name"] for item in containers)
        return json.dumps(containers)

    assert stranded(run) == found


def test_router_that_never_serves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("127.0.0.1:1", wait=0) == 1
    assert "does not serve at 127.0.0.1:1" in capsys.readouterr().err


def test_started_once_the_router_serves(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers = [False, True, True]
    calls: list[tuple[str, ...]] = []

    def docker(*words: str) -> str:
        calls.append(words)
        if len(calls) == 1:
            raise RejoinError("docker start a: no plugin yet")
        return ""

    monkeypatch.setattr(_weave_rejoin_boot, "POLL", 0.01)
    monkeypatch.setattr(_weave_rejoin_boot, "serves", lambda address: answers.pop(0))
    monkeypatch.setattr(_weave_rejoin_boot, "stranded", lambda: ["a"])
    monkeypatch.setattr(_weave_rejoin_boot, "docker", docker)
    assert main("127.0.0.1:1", wait=5) == 0
    assert calls == [("start", "a"), ("start", "a")]
    assert capsys.readouterr().out == "started a\n"
