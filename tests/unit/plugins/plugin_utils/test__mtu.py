# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The MTU table of every encapsulation, and what is refused."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.crosshost.overlay.plugins.filter.overlay_mtu import FilterModule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._mtu import overlay_mtu

GRE, IP6GRE, VXLAN, GENEVE = ({"tunnel_type": name} for name in ("gre", "ip6gre", "vxlan", "geneve"))


@pytest.mark.parametrize(
    ("underlay", "encapsulation", "mtu"),
    [
        pytest.param(1500, GRE, 1462, id="gre"),
        pytest.param(1500, {**GRE, "key": True}, 1458, id="gre-key"),
        pytest.param(1500, {**GRE, "key": True, "csum": True}, 1454, id="gre-key-csum"),
        pytest.param(1500, {**GRE, "key": True, "csum": True, "seq": True}, 1450, id="gre-key-csum-seq"),
        pytest.param(1500, IP6GRE, 1442, id="ip6gre"),
        pytest.param(1500, {**IP6GRE, "key": True}, 1438, id="ip6gre-key"),
        pytest.param(1500, {**IP6GRE, "key": True, "csum": True}, 1434, id="ip6gre-key-csum"),
        pytest.param(1500, {**IP6GRE, "key": True, "csum": True, "seq": True}, 1430, id="ip6gre-key-csum-seq"),
        pytest.param(1500, VXLAN, 1450, id="vxlan"),
        pytest.param(1500, {**VXLAN, "key": True, "csum": True}, 1450, id="vxlan-has-its-key-anyway"),
        pytest.param(1500, {**VXLAN, "ip_version": 6}, 1430, id="vxlan-ipv6"),
        pytest.param(1500, GENEVE, 1450, id="geneve"),
        pytest.param(1500, {**GENEVE, "ip_version": 6}, 1430, id="geneve-ipv6"),
        pytest.param(1400, {**GRE, "key": True}, 1358, id="narrow-underlay"),
        pytest.param(9000, {**GRE, "key": True}, 8958, id="jumbo-underlay"),
        pytest.param(1500, {**GRE, "key": True, "vlan_tags": 1}, 1454, id="vlan"),
    ],
)
def test_overlay_mtu(underlay: int, encapsulation: dict, mtu: int) -> None:
    """The figures of the table in docs/architecture.md."""
    assert overlay_mtu(underlay, **encapsulation) == mtu


@pytest.mark.parametrize(
    ("underlay", "encapsulation", "reason"),
    [
        pytest.param(575, GRE, "outside 576", id="too-small"),
        pytest.param(65536, GRE, "outside 576", id="too-large"),
        pytest.param(600, GRE, "leaves 562 bytes", id="nothing-left"),
        pytest.param(1500, {"tunnel_type": "ipip"}, "tunnel type 'ipip'", id="type"),
        pytest.param(1500, {**VXLAN, "ip_version": 5}, "neither 4 nor 6", id="ip-version"),
        pytest.param(1500, {**GRE, "vlan_tags": 3}, "vlan_tags is 3", id="vlan-tags"),
        pytest.param("many", GRE, "many", id="text"),
        pytest.param(1500, {"colour": "red"}, "colour", id="unknown-option"),
    ],
)
def test_refused(underlay: object, encapsulation: dict, reason: str) -> None:
    """The filter says why."""
    with pytest.raises(AnsibleFilterError, match=reason):
        FilterModule().filters()["overlay_mtu"](underlay, **encapsulation)
