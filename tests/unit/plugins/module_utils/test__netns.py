# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The echo service and its pid file. Entering a namespace needs root: see the integration target overlay_probe_engine."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import threading
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _netns
from ansible_collections.crosshost.overlay.plugins.module_utils._netns import (
    EchoService,
    NamespaceError,
    call,
    read_pid_file,
    start_echo,
    started_at,
    stop_echo,
)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[EchoService]:
    """An echo service on the loopback address, served by a thread."""
    monkeypatch.setattr(_netns, "WATCH", 0.05)
    echo, stop = EchoService("127.0.0.1", 0), threading.Event()
    thread = threading.Thread(target=echo.run, args=(lambda: not stop.is_set(),))
    thread.start()
    yield echo
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def receive(conn: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += conn.recv(65536) or pytest.fail("closed early")
    return data


def test_tcp_echo_of_several_clients(service: EchoService) -> None:
    block = os.urandom(65536)
    clients = [socket.create_connection(("127.0.0.1", service.port), 5) for dummy in range(20)]
    for client in clients:
        client.sendall(block)
    for client in clients:
        assert receive(client, len(block)) == block
        client.close()


def test_a_client_that_never_reads_stops_nobody(service: EchoService) -> None:
    with socket.create_connection(("127.0.0.1", service.port), 5) as deaf:
        deaf.settimeout(0.2)
        with pytest.raises(socket.timeout):
            deaf.sendall(bytes(256 << 20))
        with socket.create_connection(("127.0.0.1", service.port), 5) as other:
            other.sendall(b"hello")
            assert receive(other, 5) == b"hello"


def test_udp_echo(service: EchoService) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(b"hello", ("127.0.0.1", service.port))
        assert client.recv(100) == b"hello"


def test_started_at_tells_a_process_from_none() -> None:
    assert (started_at(os.getpid()) or "").isdigit()
    assert started_at(2**22 + 1) is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="absent"),
        pytest.param("", id="cut short"),
        pytest.param("[1]", id="another shape"),
        pytest.param(json.dumps({"pid": os.getpid(), "started_at": "1"}), id="pid used again"),
        pytest.param(json.dumps({"pid": 2**22 + 1, "started_at": None}), id="gone"),
    ],
)
def test_stop_never_hits_another_process(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "pid"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(os, "kill", lambda *args: pytest.fail(f"kill{args}"))
    stop_echo(str(path))
    assert read_pid_file(str(path)) is None
    assert not path.exists()


def test_call_reports_what_went_wrong() -> None:
    with pytest.raises(NamespaceError, match=r"in the namespace /nonexistent/net: .*No such file"):
        call("/nonexistent/net", lambda: 1, 5)


def test_start_echo_refuses_a_dead_container(tmp_path: pathlib.Path) -> None:
    with pytest.raises(NamespaceError, match="has ended"):
        start_echo(2**22 + 1, "127.0.0.1", 0, 1, str(tmp_path / "pid"))
