# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _ovs
from ansible_collections.crosshost.overlay.plugins.module_utils._ovs import Interface, Port, Switch


@pytest.fixture
def switch(fixture_text: t.Callable[[str], str]) -> Switch:
    bridges, ports = _ovs.parse_rows(fixture_text("ovs/list_all.txt"))
    return Switch(bridges, ports, _ovs.parse_live(fixture_text("ovs/list_tunnels.txt")))


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("text", "text"),
        (65534, 65534),
        (False, False),
        (["uuid", "9c67"], "9c67"),
        (["set", []], []),
        (["set", [["uuid", "a"], ["uuid", "b"]]], ["a", "b"]),
        (["map", []], {}),
        (["map", [["key", "0x10"], ["remote_ip", "10.9.9.9"]]], {"key": "0x10", "remote_ip": "10.9.9.9"}),
    ],
    ids=["string", "integer", "boolean", "uuid", "empty-set", "set", "empty-map", "map"],
)
def test_parse_value(value: t.Any, parsed: t.Any) -> None:
    assert _ovs.parse_value(value) == parsed


def test_bridges_have_their_datapath_type(switch: Switch) -> None:
    assert switch.bridges == {"br0": "system", "br1": "system", "brn": "netdev"}


def test_a_port_is_read_with_its_bridge_mark_and_options(switch: Switch) -> None:
    options = {"egress_pkt_mark": "7", "key": "42", "local_ip": "198.18.1.11", "remote_ip": "198.18.1.13"}
    mark = {"crosshost_overlay": "ovs_gre"}
    assert switch.ports["gre-h3"] == Port("gre-h3", "br0", (Interface("gre-h3", "gre", options, 26),), True, mark)
    assert switch.ports["gre-h3"].owner == "ovs_gre"
    assert switch.ports["by-hand"].owner is None


def test_a_bond_has_all_its_members(switch: Switch) -> None:
    assert sorted(interface.name for interface in switch.ports["bond0"].interfaces) == ["sla", "slb"]


def test_an_error_of_several_lines_is_kept(switch: Switch) -> None:
    error = "broken: bad gre 'remote_ip'\nbroken: gre type requires valid 'remote_ip' argument"
    assert switch.ports["broken"].interface.error == error


@pytest.mark.parametrize(
    ("name", "health"),
    [("gre-h2", "up"), ("nd", "up"), ("broken", "dead"), ("waiting", "pending"), ("twin", "dead")],
    ids=["up", "up-on-netdev", "error", "not-dealt-with", "duplicate-made-by-set"],
)
def test_health(switch: Switch, name: str, health: str) -> None:
    assert switch.health(switch.ports[name]) == health


def test_health_without_list_tunnels_rests_on_the_row(switch: Switch) -> None:
    assert Switch(switch.bridges, switch.ports).health(switch.ports["twin"]) == "up"


def test_health_of_a_reserved_name() -> None:
    """Open vSwitch gives it the port number -1 and no error."""
    assert Switch().health(Port("gre_sys", "br0", (Interface("gre_sys", "gre", {}, -1),))) == "dead"


def test_parse_live_takes_any_name() -> None:
    text = "port 1: a b (c) (gre: ::->10.0.0.1, key=0, legacy_l2, dp port=1, ttl=64)\n"
    assert _ovs.parse_live(text) == {"a b (c)"}
    assert _ovs.parse_live("") == frozenset()
