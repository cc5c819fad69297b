# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on addresses, sizes and Docker's networks."""

from __future__ import annotations

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_network
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    GONE,
    Change,
    Fault,
    Near,
    both,
    check_complete,
    check_first,
    check_quiet,
    fires,
    found,
    near,
    network,
    put,
)

FIRES: list[Fault] = [
    ("mtu-too-large", "gre", put("h2", "interfaces/0/mtu", 1400), "h2"),
    ("mtu-too-large", "gre", put("h2", "docker/networks/1/mtu", 1500), "h2"),
    ("mtu-differs", "gre", put("h2", "docker/networks/1/mtu", 1400), "h2"),
    (
        "pools-overlap",
        "gre",
        lambda a: a["infos"]["h2"]["routes"].append({"dst": "10.50.3.0/24", "dev": "eth9", "via": None}),
        "h2",
    ),
    ("slices-overlap", "gre", put("h2", "docker/networks/1/slice", "10.50.1.0/24"), "h2"),
    ("slices-overlap", "gre", put("h1", "docker/networks/1/slice", "10.50.2.0/24"), "h1"),
    ("docker-network-missing", "gre", put("h2", "docker/networks/1", GONE), "h2"),
    (
        "docker-network-missing",
        "gre",
        put("h2", "docker/networks/1", network("overlay", "10.88.0.0/16", "br-other")),
        "h2",
    ),
    ("underlay-address-missing", "gre", put("h2", "interfaces/0/addresses", ["198.51.100.7/24"]), "h2"),
    ("underlay-down", "gre", put("h2", "interfaces/0/carrier", False), "h2"),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


NEAR: list[Near] = [
    (
        "a wide route over there, and it was said to be fine",
        "gre",
        both(
            lambda a: a["infos"]["h2"]["routes"].append({"dst": "10.0.0.0/8", "dev": "eth9", "via": None}),
            lambda a: a["wish"].update(allow_overlap=True),
        ),
    ),
]


@near(NEAR)
def test_no_false_alarm(kind: str, change: Change) -> None:
    check_quiet(kind, change)


def test_a_network_made_with_the_range_of_another_is_made_again() -> None:
    """The record tells which of the two is astray, so that no inventory has to be changed."""
    finding = found("gre", put("h1", "docker/networks/1/slice", "10.50.2.0/24"))[0]
    assert finding.hosts == ("h1", "h2")
    assert finding.commands == ("h1$ docker network rm overlay", "ansible-playbook crosshost.overlay.site")


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_network, FIRES)
