# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The router's arguments: read from a real container, made for the script, and compared."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_args
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_args import Launch, arguments, differences, parse

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "weave"
SCRIPT = "--port 6783 --nickname h1 --host-root=/host --docker-bridge docker0 --weave-bridge weave --datapath datapath"
BEHIND = "--dns-listen-address 172.17.0.1:53 --http-addr 127.0.0.1:6784 --status-addr 127.0.0.1:6782 --resolv-conf /r -H unix:///s --plugin --proxy"
USUAL = Launch(ipalloc_range="10.32.0.0/12", proxy=True, plugin=True)


def recorded(name: str) -> list[str]:
    """The arguments of a recorded container."""
    return json.loads((FIXTURES / f"inspect_{name}.json").read_text(encoding="utf-8"))[0]["Args"]


def as_script(want: Launch, detect_tls: bool = False) -> list[str]:
    """The container's arguments after the script had its way; it takes some of them for itself."""
    taken, rest = [], []
    for word in arguments(want, detect_tls):
        (taken if word.startswith(("--port", "--ipalloc-range")) else rest).append(word)
    env = _weave_args.environment(want)
    datapath = (["--mtu", env["WEAVE_MTU"]] if "WEAVE_MTU" in env else []) + (
        ["--no-fastdp"] if "WEAVE_NO_FASTDP" in env else []
    )
    return [*SCRIPT.split(), *taken, *datapath, *BEHIND.split(), *(word for word in rest if word != "--no-detect-tls")]


def test_recorded_arguments() -> None:
    assert parse(recorded("single")) == dataclasses.replace(
        USUAL, name="02:00:00:00:00:01", nickname="h1", fast_datapath=False
    )
    assert parse(recorded("encrypted")).peers == ("172.30.0.2",)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"name": "02:00:00:00:00:01", "nickname": "n1"},
        {"port": 7000},
        {"ipalloc_range": ""},
        {"ipalloc_range": "10.50.0.0/16", "ipalloc_default_subnet": "10.50.1.0/24", "ipalloc_init": "seed=a,b"},
        {"discovery": False, "dns": False, "connection_limit": 0},
        {"fast_datapath": False, "mtu": 1000},
        {"proxy": False, "plugin": False},
        {"log_level": "debug", "host": "192.0.2.1", "dns_domain": "x.test."},
        {"trusted_subnets": ("192.0.2.0/24", "198.51.100.0/24")},
        {"extra": (("no-masq-local", "true"), ("token", "x"))},
        {"peers": ("192.0.2.1", "192.0.2.2:7000")},
    ],
    ids=lambda change: ",".join(change) or "usual",
)
def test_what_is_asked_for_is_what_is_read_back(change: dict[str, t.Any]) -> None:
    want = dataclasses.replace(USUAL, **change)
    have = parse(as_script(want))
    assert differences(have, want, False) == {}
    assert have.peers == want.peers
    if change and "peers" not in change and "trusted_subnets" not in change:
        changed = {key.lstrip("-") for key in differences(have, USUAL, False)} | {"name", "nickname", "ipalloc_init"}
        assert changed >= set(change) - {"extra"}
        assert ("extra" not in change) or {"no-masq-local", "token"} <= changed


def test_order_of_trusted_subnets_does_not_matter() -> None:
    have = dataclasses.replace(USUAL, trusted_subnets=("a", "b"))
    assert differences(have, dataclasses.replace(USUAL, trusted_subnets=("b", "a")), False) == {}
    assert "trusted_subnets" in differences(have, USUAL, False)


def test_default_subnet_that_is_the_whole_range() -> None:
    have = dataclasses.replace(USUAL, ipalloc_default_subnet="10.32.0.0/12")
    assert differences(have, USUAL, False) == {}


def test_detected_tls_is_nobodys_drift() -> None:
    have = parse([*as_script(USUAL), "--tlsverify", "--tlscacert", "/home/weave/tls/ca.pem"])
    assert differences(have, USUAL, True) == {}
    assert set(differences(have, USUAL, False)) == {"--tlsverify", "--tlscacert"}


def test_tls_detection_is_switched_off_unless_asked_for() -> None:
    assert "--no-detect-tls" in arguments(USUAL, False)
    assert "--no-detect-tls" not in arguments(USUAL, True)


@pytest.mark.parametrize(
    ("words", "launch"),
    [
        pytest.param(["--port=7000", "--port", "7001"], {"port": 7001}, id="last counts"),
        pytest.param(["-no-dns"], {"dns": False}, id="single dash"),
        pytest.param(["--no-dns=false"], {"dns": True}, id="negative of a negative"),
        pytest.param(["--plugin", "--plugin=false"], {"plugin": False}, id="turned off again"),
        pytest.param(["--", "--dns"], {"peers": ("--dns",)}, id="end of flags"),
        pytest.param(["192.0.2.1", "--no-dns"], {"peers": ("192.0.2.1", "--no-dns")}, id="flags after peers are peers"),
        pytest.param(["--bufsz", "16"], {"extra": (("bufsz", "16"),)}, id="other flag"),
    ],
)
def test_reading(words: list[str], launch: dict[str, t.Any]) -> None:
    assert parse(words) == dataclasses.replace(Launch(), **launch)
