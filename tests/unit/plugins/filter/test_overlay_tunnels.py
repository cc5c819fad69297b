# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tunnels of each host."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.crosshost.overlay.plugins.filter.overlay_tunnels import FilterModule, overlay_tunnels

PEERS = [{"name": f"h{number}", "address": f"192.0.2.{number}"} for number in (1, 2, 3)]


def names(host: str, **options: t.Any) -> list[str]:
    """Names of the tunnels of a host."""
    return [tunnel["name"] for tunnel in overlay_tunnels(PEERS, host, **options)]


def test_mesh_joins_every_host_with_every_other() -> None:
    """With both addresses, and options that are not null."""
    assert overlay_tunnels(PEERS, "h2", options={"key": 7, "ttl": None}) == [
        {"name": "gre-h1", "remote_ip": "192.0.2.1", "local_ip": "192.0.2.2", "key": 7},
        {"name": "gre-h3", "remote_ip": "192.0.2.3", "local_ip": "192.0.2.2", "key": 7},
    ]


def test_hub_joins_everyone_with_the_hub_only() -> None:
    """The hub itself has a tunnel to each."""
    assert [names(host, topology="hub", hub="h1") for host in ("h1", "h2", "h3")] == [
        ["gre-h2", "gre-h3"],
        ["gre-h1"],
        ["gre-h1"],
    ]


def test_names_hold_only_what_open_vswitch_and_shells_take() -> None:
    """Inventory names may be addresses or have spaces."""
    peers = [{"name": "a", "address": "192.0.2.1"}, {"name": "fc00::2 b/$(c)", "address": "192.0.2.2"}]
    assert overlay_tunnels(peers, "a")[0]["name"] == "gre-fc00--2-b---c-"


@pytest.mark.parametrize(
    ("peers", "options", "reason"),
    [
        pytest.param(PEERS, {"host": "h9"}, "'h9' is not one of", id="unknown-host"),
        pytest.param(PEERS, {"host": "h1", "topology": "ring"}, "neither mesh nor hub", id="topology"),
        pytest.param(PEERS, {"host": "h1", "topology": "hub", "hub": ""}, "set ovs_gre_hub", id="no-hub"),
        pytest.param(
            [*PEERS, {"name": "x y", "address": "192.0.2.8"}, {"name": "x-y", "address": "192.0.2.9"}],
            {"host": "h1"},
            "rename one",
            id="one-name",
        ),
    ],
)
def test_refused(peers: list[dict[str, str]], options: dict[str, str], reason: str) -> None:
    """The filter says why."""
    with pytest.raises(AnsibleFilterError, match=reason):
        FilterModule().filters()["overlay_tunnels"](peers, **options)
