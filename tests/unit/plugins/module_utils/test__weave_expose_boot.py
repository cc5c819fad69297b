# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs at boot, as a program of its own against a server on loopback that answers like a router."""

from __future__ import annotations

import http.server
import json
import pathlib
import subprocess
import sys
import threading
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_expose_boot


class Router(http.server.BaseHTTPRequestHandler):
    """Not ready for the first requests, then as Weave Net 2.9.0 answers."""

    not_ready = 0
    seen: t.ClassVar[list[str]] = []
    address = "10.32.0.1/12"

    def _answer(self) -> None:
        form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        type(self).seen.append(f"{self.command} {self.path} {form}".strip())
        text, status = "", 204
        if Router.not_ready > 0:
            Router.not_ready -= 1
            text, status = "Not ready", 503
        elif self.path == "/status":
            text, status = "Version: 2.9.0", 200
        elif self.path == "/ip/weave:expose":
            text, status = Router.address, 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, *dummy_args: t.Any) -> None:
        """Say nothing."""


@pytest.fixture
def config(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[t.Callable[..., str]]:
    """Return a function that writes the record of a host with a router; options replace what it says."""
    monkeypatch.setattr(_weave_expose_boot, "POLL", 0.01)
    monkeypatch.setattr(Router, "not_ready", 0)
    monkeypatch.setattr(Router, "seen", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Router)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def write(**options: t.Any) -> str:
        path = tmp_path / "weave-expose.json"
        record = {"http_address": f"127.0.0.1:{server.server_port}", "masquerade": True, "fqdn": "", **options}
        path.write_text(json.dumps(record))
        return str(path)

    yield write
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("options", "requests"),
    [
        pytest.param({}, ["POST /expose/10.32.0.1/12"], id="address"),
        pytest.param({"masquerade": False}, ["POST /expose/10.32.0.1/12?skipNAT=true"], id="no masquerading"),
        pytest.param(
            {"fqdn": "h1.weave.local"},
            ["POST /expose/10.32.0.1/12", "PUT /name/weave:expose/10.32.0.1 fqdn=h1.weave.local"],
            id="name",
        ),
    ],
)
def test_as_a_program(config: t.Callable[..., str], options: dict[str, t.Any], requests: list[str]) -> None:
    argv = [sys.executable, str(_weave_expose_boot.__file__), config(**options)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "this host is 10.32.0.1/12 on the Weave network\n")
    assert Router.seen == ["GET /status", "POST /ip/weave:expose", *requests]


def test_waits_for_the_router(config: t.Callable[..., str]) -> None:
    Router.not_ready = 3
    assert _weave_expose_boot.main(config(), 30) == 0
    assert Router.seen[:3] == ["GET /status"] * 3


@pytest.mark.parametrize(
    ("options", "address", "said"),
    [
        pytest.param({"http_address": "127.0.0.1:1"}, "", "Connection refused", id="no router"),
        pytest.param({}, "cancelled", "instead of an address the router said 'cancelled'", id="cancelled"),
    ],
)
def test_gives_up(
    config: t.Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, t.Any],
    address: str,
    said: str,
) -> None:
    monkeypatch.setattr(Router, "address", address)
    assert _weave_expose_boot.main(config(**options), 0.05) == 1
    assert said in capsys.readouterr().err
