# Stands in for Weave Net 2.9.0 in tests: the Docker API proxy, as far as it is needed: bytes go to the engine and back.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers started by way of it are not attached to the weave network, other than with the real one."""

from __future__ import annotations

import os
import socket

from standin import log, tools


def start(addresses: list[str], docker_socket: str) -> None:
    for address in addresses:
        try:
            tools.spawn(_accept, _listen(address), docker_socket)
        except (OSError, ValueError) as error:
            log.fatal(f"Could not start proxy: {error}")
        log.info(f"proxy listening on {address}")


def _listen(address: str) -> socket.socket:
    if address.startswith(("unix://", "/")):
        path = address.removeprefix("unix://")
        if os.path.lexists(path):
            os.unlink(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return socket.create_server(path, family=socket.AF_UNIX)
    host, dummy, port = address.removeprefix("tcp://").rpartition(":")
    return socket.create_server((host or "0.0.0.0", int(port)))


def _accept(server: socket.socket, docker_socket: str) -> None:
    while True:
        client = server.accept()[0]
        engine = socket.socket(socket.AF_UNIX)
        try:
            engine.connect(docker_socket)
        except OSError:
            client.close()
            continue
        tools.spawn(_copy, client, engine)
        tools.spawn(_copy, engine, client)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        sink.close()
