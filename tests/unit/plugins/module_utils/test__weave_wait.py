# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for links, against a server that answers as a router does; releases and engines; sockets."""

from __future__ import annotations

import http.server
import json
import pathlib
import threading
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_wait
from ansible_collections.crosshost.overlay.plugins.module_utils._info_listeners import parse_listeners
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import Api, ApiError, loopback_works
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_versions import api_version, engine_problem

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "weave"


class Recorded(http.server.BaseHTTPRequestHandler):
    """Serves recorded reports, one after another; the last one stays."""

    reports: t.ClassVar[list[dict[str, t.Any]]] = []
    asked: t.ClassVar[list[str]] = []
    ring = 200

    def do_GET(self) -> None:
        """Answer a report, or the request for the ring."""
        self.asked.append(f"GET {self.path}")
        if self.path == "/ring":
            self.reply(self.ring, "")
        else:
            self.reply(200, json.dumps(self.reports[0]))
            if len(self.reports) > 1:
                self.reports.pop(0)

    def do_POST(self) -> None:
        """Take a form."""
        self.asked.append(f"POST {self.path} {self.rfile.read(int(self.headers['Content-Length'])).decode()}")
        self.reply(200, "")

    def reply(self, status: int, text: str) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: t.Any) -> None:
        """Say nothing."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Api]:
    monkeypatch.setattr(_weave_wait, "INTERVAL", 0.01)
    monkeypatch.setattr(_weave_wait, "NUDGE", 0.05)
    Recorded.asked.clear()
    Recorded.ring = 200
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Api(f"127.0.0.1:{server.server_port}", timeout=2)
    server.shutdown()
    thread.join()
    server.server_close()


def report(name: str) -> dict[str, t.Any]:
    """A recorded report."""
    return json.loads((FIXTURES / f"report_{name}.json").read_text(encoding="utf-8"))


def test_link_that_comes_up_after_another_try(api: Api) -> None:
    failed = report("fw_reject")
    Recorded.reports[:] = [failed, failed, report("two_h2")]
    outcome = _weave_wait.wait(api, ["172.30.0.2"], 5, "disabled", False)
    assert outcome == _weave_wait.Outcome([], [])
    assert "POST /connect peer=172.30.0.2" in Recorded.asked


def test_link_that_does_not(api: Api) -> None:
    Recorded.reports[:] = [report("clock_skew")]
    outcome = _weave_wait.wait(api, ["172.31.0.2"], 0.2, "auto", True)
    assert len(outcome.problems) == 1
    assert "host clock skew of -1200s exceeds 900s limit" in outcome.problems[0]
    assert "GET /ring" not in Recorded.asked


def test_router_that_gave_up_is_not_waited_for(api: Api) -> None:
    given_up = report("fw_reject")
    given_up["Router"]["Connections"][0]["Info"] = 'local "a(h2)" and remote "a(h1)" peer names collision, retry: never'
    Recorded.reports[:] = [given_up]
    outcome = _weave_wait.wait(api, ["172.30.0.2"], 60, "auto", False)
    assert "name of its own" in outcome.problems[0]
    assert "POST /connect peer=172.30.0.2" in Recorded.asked


@pytest.mark.parametrize(
    ("fast", "problems", "degraded"),
    [
        pytest.param("required", 1, 0, id="required"),
        pytest.param("auto", 0, 1, id="auto"),
        pytest.param("disabled", 0, 0, id="disabled"),
    ],
)
def test_link_in_user_space(api: Api, fast: str, problems: int, degraded: int) -> None:
    Recorded.reports[:] = [report("two_h2")]
    outcome = _weave_wait.wait(api, ["172.30.0.2"], 0.1, fast, False)
    assert (len(outcome.problems), len(outcome.degraded)) == (problems, degraded)


def test_range_is_shared_when_it_has_to_be_ready(api: Api) -> None:
    Recorded.reports[:] = [report("two_h2")]
    assert _weave_wait.wait(api, ["172.30.0.2"], 5, "disabled", True) == _weave_wait.Outcome([], [], True)


def test_missing_quorum_is_told(api: Api) -> None:
    waiting = report("single")
    waiting["IPAM"]["Paxos"] = {"Elector": True, "Quorum": 2, "KnownNodes": 1}
    Recorded.reports[:] = [waiting]
    Recorded.ring = 500
    outcome = _weave_wait.wait(api, [], 1, "auto", True)
    assert "awaiting consensus (quorum: 2, known: 1)" in outcome.problems[0]


def test_nobody_answers() -> None:
    nobody = Api("127.0.0.1:1", timeout=1)
    assert nobody.report() is None
    with pytest.raises(ApiError, match=r"GET http://127\.0\.0\.1:1/status"):
        nobody.get("/status")
    assert "does not answer" in _weave_wait.wait(nobody, [], 0.1, "auto", False).problems[0]


def test_loopback_of_this_machine() -> None:
    assert loopback_works()


@pytest.mark.parametrize(
    ("source", "version", "api_min", "fits"),
    [
        pytest.param("weaveworks", "2.8.1", "1.12", True, id="weaveworks, Docker 24"),
        pytest.param("weaveworks", "2.8.1", "1.24", False, id="weaveworks, Docker 25"),
        pytest.param("mirror.test/weaveworks", "2.6.0", "1.24", False, id="mirrored"),
        pytest.param("rajchaudhuri", "2.8.2", "1.24", False, id="early fork"),
        pytest.param("rajchaudhuri", "2.8.3", "1.24", True, id="fork, Docker 28"),
        pytest.param("rajchaudhuri", "2.9.0", "1.44", True, id="fork, Docker 29"),
        pytest.param("rajchaudhuri", "latest", "1.24", True, id="tag without number"),
    ],
)
def test_releases_and_engines(source: str, version: str, api_min: str, fits: bool) -> None:
    problem = engine_problem(source, version, api_min, "x.y")
    assert (problem is None) == fits
    if problem:
        assert version in problem
        assert api_min in problem


@pytest.mark.parametrize(
    ("api_min", "told"), [("1.12", ""), ("1.24", ""), ("1.40", "1.40"), ("1.44", "1.44"), ("", "")]
)
def test_api_version_the_router_is_told(api_min: str, told: str) -> None:
    assert api_version(api_min) == told


def test_sockets() -> None:
    text = (
        "udp UNCONN 0 0 0.0.0.0:6784 0.0.0.0:*\n"
        'tcp LISTEN 0 4096 127.0.0.1:6784 0.0.0.0:* users:(("weaver",pid=812,fd=9))\n'
        'tcp LISTEN 0 1 [::]:6783 [::]:* users:(("nc",pid=99,fd=3),("nc",pid=100,fd=3))\n'
        'udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=5,fd=12))\n'
        'tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))\n'
    )
    assert parse_listeners(text, {6783, 6784, 53}) == [
        {"proto": "udp", "address": "0.0.0.0", "port": 6784, "pid": None, "program": None},
        {"proto": "tcp", "address": "127.0.0.1", "port": 6784, "pid": 812, "program": "weaver"},
        {"proto": "tcp", "address": "::", "port": 6783, "pid": 99, "program": "nc"},
        {"proto": "udp", "address": "127.0.0.53", "port": 53, "pid": 5, "program": "systemd-resolve"},
    ]
