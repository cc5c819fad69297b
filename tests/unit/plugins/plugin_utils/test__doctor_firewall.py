# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on what stops packets: firewalls, Docker's own rules, and the kernel's limits."""

from __future__ import annotations

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_firewall
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    REJECT,
    Change,
    Fault,
    Near,
    block,
    check_complete,
    check_first,
    check_quiet,
    fires,
    near,
    put,
)

FIRES: list[Fault] = [
    (
        "firewall-blocks",
        "gre",
        put("h2", "firewall/blocked", [block("input", REJECT, ["192.0.2.1", "192.0.2.3"])]),
        "h2",
    ),
    (
        "firewall-one-way",
        "gre",
        put("h2", "firewall/blocked", [block("input", "-A INPUT -s 192.0.2.1/32 -p gre -j DROP", ["192.0.2.1"])]),
        "h2",
    ),
    ("forward-drop", "gre", put("h2", "firewall/blocked", [block("forward", "-P FORWARD DROP")]), "h2"),
    ("bridge-filtered", "gre", put("h2", "firewall/blocked", [block("forward", "-A FORWARD -j REJECT")]), "h2"),
    ("docker-chains-missing", "gre", put("h2", "docker/chains/missing", ["DOCKER", "DOCKER-USER"]), "h2"),
    ("docker-firewalld-zone", "gre", put("h2", "docker/firewalld_zone_ok", False), "h2"),
    ("legacy-and-nft", "gre", put("h2", "filters/backends/legacy_rules", 3), "h2"),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


NEAR: list[Near] = [
    ("a rule with an opening beside it", "gre", put("h2", "firewall/blocked", [block("input", REJECT, opened=True)])),
    (
        "bridged packets pass no firewall",
        "gre",
        put("h2", "firewall", {"blocked": [block("forward", "-P FORWARD DROP")], "bridged_packets_filtered": False}),
    ),
    ("Docker without iptables", "gre", put("h2", "docker/chains/missing", ["DOCKER"], "h2", "docker/iptables", False)),
]


@near(NEAR)
def test_no_false_alarm(kind: str, change: Change) -> None:
    check_quiet(kind, change)


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_firewall, FIRES)
