# Stands in for Weave Net 2.9.0 in tests: the script's calls of the router's HTTP API.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.client
import typing as t
import urllib.parse

from standin.settings import HTTP_ADDR, Stop, check_running, complain


def request(method: str, url: str, form: dict[str, t.Any] | None = None, accept: str = "*/*") -> tuple[int, str]:
    """Status and text; an OSError if nobody answers. No limit on the answer's time, 3 s on the connection's, as with the real one."""
    host, dummy, port = HTTP_ADDR.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=3)
    connection.connect()
    connection.sock.settimeout(None)
    headers = {"Accept": accept}
    body = None
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = urllib.parse.urlencode(form, doseq=True)
    connection.request(method, url, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def call(method: str, url: str, form: dict[str, t.Any] | None = None, accept: str = "*/*") -> str:
    """The answer's text. Stop(4) for a 404, Stop(1) for another refusal, Stop(7) if nobody answers; the reason is printed."""
    try:
        status, text = request(method, url, form, accept)
    except (OSError, http.client.HTTPException) as error:
        try:
            check_running()
        except Stop as stop:
            complain(str(stop))
            raise Stop(7) from error
        reason = (
            f"curl: (7) Failed to connect to {HTTP_ADDR.replace(':', ' port ')} after 0 ms: Couldn't connect to server"
        )
        raise Stop(7, reason) from error
    if 200 <= status < 300:
        return text
    raise Stop(4) if status == 404 else Stop(1, text.rstrip("\n"))


def ready() -> bool:
    try:
        return 200 <= request("GET", "/status")[0] < 300
    except (OSError, http.client.HTTPException):
        return False
