# Stands in for Weave Net 2.9.0 in tests: the few calls of the Docker Engine's API that are needed, over its socket.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import typing as t
import urllib.parse


class DockerError(Exception):
    """The engine's own words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Docker:
    def __init__(self, address: str = "") -> None:
        address = address or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        self.path = address.removeprefix("unix://")
        # What the real one speaks unless told otherwise.
        self.version = os.environ.get("DOCKER_API_VERSION") or "1.24"

    def _open(self, method: str, path: str, body: t.Any, timeout: float | None) -> http.client.HTTPResponse:
        connection = _Connection(self.path, timeout)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        content = json.dumps(body) if body is not None else None
        try:
            connection.request(method, f"/v{self.version}{path}", content, headers)
            answer = connection.getresponse()
        except OSError as error:
            raise DockerError(0, f"cannot connect to Docker endpoint: {error}") from error
        if answer.status >= 400:
            text = answer.read().decode(errors="replace")
            with contextlib.suppress(ValueError, KeyError, TypeError):
                text = json.loads(text)["message"]
            raise DockerError(answer.status, text.strip())
        return answer

    def call(self, method: str, path: str, body: t.Any = None, timeout: float = 60) -> t.Any:
        text = self._open(method, path, body, timeout).read()
        return json.loads(text) if text.strip().startswith((b"{", b"[")) else None

    def inspect(self, container: str) -> dict[str, t.Any] | None:
        """A container, or None if there is none of that name."""
        try:
            return self.call("GET", f"/containers/{urllib.parse.quote(container, safe='')}/json")
        except DockerError as error:
            if error.status == 404:
                return None
            raise

    def state(self, container: str) -> str:
        """As the real weaveutil words it: running, paused, restarting, exited, created, dead; "" if there is none."""
        found = self.inspect(container)
        return found["State"]["Status"] if found else ""

    def running(self) -> list[str]:
        return [one["Id"] for one in self.call("GET", "/containers/json")]

    def events(self) -> t.Iterator[dict[str, t.Any]]:
        filters = urllib.parse.quote(json.dumps({"type": ["container"], "event": ["start", "die", "destroy"]}))
        answer = self._open("GET", f"/events?filters={filters}", None, None)
        while True:
            line = answer.readline()
            if not line:
                return
            yield json.loads(line)
