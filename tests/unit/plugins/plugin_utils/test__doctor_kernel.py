# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on the kernel's settings and limits."""

from __future__ import annotations

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_kernel
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    Fault,
    check_complete,
    check_first,
    fires,
    put,
)

TWO_WAYS = [{"dst": "192.0.2.0/24", "dev": "eth0", "via": None}, {"dst": "192.0.2.1/32", "dev": "eth9", "via": None}]


FIRES: list[Fault] = [
    ("rp-filter-asymmetric", "gre", put("h2", "routes", TWO_WAYS), "h2"),
    ("ip-forward-off", "gre", put("h2", "kernel/sysctls/net.ipv4.ip_forward", "0"), "h2"),
    ("neighbour-table-full", "gre", put("h2", "kernel/log", ["neighbour: arp_cache: neighbor table overflow!"]), "h2"),
    ("conntrack-full", "gre", put("h2", "kernel/sysctls/net.netfilter.nf_conntrack_count", "65536"), "h2"),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_kernel, FIRES)
