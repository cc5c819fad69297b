# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sockets of the probe engine, on this machine alone. Between machines: the integration target overlay_probe_engine."""

from __future__ import annotations

import socket
import threading
import time
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _probe
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_echo import DatagramRun, Settings, Target


def test_mtus_to() -> None:
    there, nowhere, again = _probe.mtus_to(["127.0.0.1", "not an address", "127.0.0.2"])
    assert there == again >= 65535
    assert nowhere == 0


def test_a_wanted_mtu_is_not_that_of_the_interface() -> None:
    assert _probe.mtus_to(["127.0.0.1", "not an address"], 1458) == [1458, 1458]


@pytest.fixture
def echo() -> t.Iterator[int]:
    """A UDP echo service on the loopback address; its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(2)

        def serve() -> None:
            for dummy in range(2):
                data, source = sock.recvfrom(2000)
                sock.sendto(data, source)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield sock.getsockname()[1]
        thread.join(3)


def exchanged(port: int, address: str = "127.0.0.1") -> dict[str, t.Any]:
    settings = Settings(count=1, interval=0.01, timeout=0.3, port=port)
    run = DatagramRun([Target("x", address)], settings, time.monotonic(), b"n" * 8, b"x")
    channel = _probe.DatagramChannel(run)
    _probe.exchange([channel], time.monotonic() + 2)
    channel.close()
    return run.result(0)


def test_datagrams_there_and_back(echo: int) -> None:
    assert exchanged(echo) == {"ok": True, "error": None, "bytes": 600, "sent": 2, "received": 2}


def test_datagrams_that_nobody_answers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        result = exchanged(silent.getsockname()[1])
    assert (result["ok"], result["error"]) == (False, "no answer within 0.3 s")


def test_datagrams_that_cannot_leave() -> None:
    assert "ermission denied" in exchanged(7, "255.255.255.255")["error"]


def test_no_interface_no_watch() -> None:
    assert _probe.watch_for("203.0.113.77", Settings(), 0.0, b"n" * 8) is None
