# Stands in for Weave Net 2.9.0 in tests: HTTP answers that look like the real router's.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import os
import socket
import socketserver
import sys
import traceback
import typing as t
import urllib.parse

from standin import log, tools

PLAIN = "text/plain; charset=utf-8"


class Answer(t.NamedTuple):
    status: int
    body: str = ""
    kind: str = PLAIN


def refused(status: int, message: str) -> Answer:
    return Answer(status, f"{message}\n")


NOT_FOUND = refused(404, "404 page not found")


class Request(t.NamedTuple):
    method: str
    path: str
    query: dict[str, list[str]]
    form: dict[str, list[str]]
    body: bytes
    accept: str

    def value(self, name: str) -> str:
        return (self.form.get(name) or self.query.get(name) or [""])[0]


Handler = t.Callable[[Request], Answer]


class _Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    handler: Handler

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        url = urllib.parse.urlsplit(self.path)
        form: dict[str, list[str]] = {}
        if "x-www-form-urlencoded" in (self.headers.get("Content-Type") or ""):
            form = urllib.parse.parse_qs(body.decode(errors="replace"))
        request = Request(
            self.command,
            urllib.parse.unquote(url.path),
            urllib.parse.parse_qs(url.query),
            form,
            body,
            self.headers.get("Accept") or "",
        )
        answer = type(self).handler(request)
        content = answer.body.encode()
        self.send_response_only(answer.status)
        self.send_header("Date", self.date_time_string())
        if answer.status != 204:
            self.send_header("Content-Length", str(len(content)))
        if content:
            self.send_header("Content-Type", answer.kind)
        if answer.status >= 400:
            self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if answer.status != 204:
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def address_string(self) -> str:
        return "local"

    def log_message(self, format: str, *args: t.Any) -> None:
        log.debug(f"[http] {format % args}")


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, ConnectionError):
            log.debug(f"[http] a client went away: {error}")
        else:
            log.error(f"[http] {traceback.format_exc()}")


class _UnixServer(_Server):
    address_family = socket.AF_UNIX


def serve(address: str, handler: Handler) -> None:
    """Answer on host:port, or on a socket if the address is a path; fatal if that is taken."""
    made = type("Http", (_Http,), {"handler": staticmethod(handler)})
    try:
        if address.startswith("/"):
            if os.path.lexists(address):
                os.unlink(address)
            os.makedirs(os.path.dirname(address), exist_ok=True)
            server: _Server = _UnixServer(address, made)  # type: ignore[arg-type]
        else:
            host, dummy, port = address.rpartition(":")
            server = _Server((host or "0.0.0.0", int(port)), made)
    except OSError as error:
        reason = (error.strerror or "").lower()
        log.fatal(f"Unable to create http listener socket: listen tcp {address}: bind: {reason}")
    tools.spawn(server.serve_forever)
