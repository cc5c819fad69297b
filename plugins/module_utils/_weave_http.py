# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""A bounded client for the API that a Weave Net router serves on loopback."""

from __future__ import annotations

import http.client
import json
import socket
import typing as t
import urllib.parse
from dataclasses import dataclass

TIMEOUT = 10.0  # seconds for one answer; the router gives a report of 200 peers in milliseconds


class ApiError(Exception):
    """There was no answer; the text says what happened."""


@dataclass(frozen=True)
class Answer:
    """Status and text of an answer."""

    status: int
    text: str

    @property
    def ok(self) -> bool:
        """Whether the router did what was asked."""
        return 200 <= self.status < 300


class Api:
    """The router's API at host:port; timeout in seconds for each answer."""

    def __init__(self, address: str, timeout: float = TIMEOUT) -> None:
        host, _sep, port = address.rpartition(":")
        self.address = address
        self.host, self.port, self.timeout = host or "127.0.0.1", int(port), timeout

    def get(self, path: str, timeout: float | None = None) -> Answer:
        """Ask for a page."""
        return self.request("GET", path, timeout=timeout)

    def post(self, path: str, form: t.Sequence[tuple[str, str]] = (), timeout: float | None = None) -> Answer:
        """Send a form."""
        return self.request("POST", path, form, timeout)

    def put(self, path: str, form: t.Sequence[tuple[str, str]] = ()) -> Answer:
        """Send a form."""
        return self.request("PUT", path, form)

    def delete(self, path: str) -> Answer:
        """Have something removed."""
        return self.request("DELETE", path)

    def request(
        self, method: str, path: str, form: t.Sequence[tuple[str, str]] = (), timeout: float | None = None
    ) -> Answer:
        """Send one request; ApiError if nothing answers in time."""
        limit = self.timeout if timeout is None else timeout
        connection = http.client.HTTPConnection(self.host, self.port, timeout=limit)
        headers = {"Accept": "application/json"}
        body = None
        if form:
            body = urllib.parse.urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode("utf-8", errors="replace"))
        except (OSError, http.client.HTTPException) as exc:
            raise ApiError(f"{method} http://{self.address}{path}: {exc or type(exc).__name__}") from exc
        finally:
            connection.close()

    def report(self) -> dict[str, t.Any] | None:
        """The router's report; None when nothing answers or the answer is no report."""
        try:
            answer = self.get("/report")
        except ApiError:
            return None
        try:
            found = json.loads(answer.text) if answer.ok else None
        except ValueError:
            return None
        return found if isinstance(found, dict) and found.get("Router") else None


def loopback_works() -> bool:
    """Whether a connection from this host to itself gets through; a firewall that drops all input stops it."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        try:
            with socket.create_connection(server.getsockname(), timeout=2):
                return True
        except OSError:
            return False
