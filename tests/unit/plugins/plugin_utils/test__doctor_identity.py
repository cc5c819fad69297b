# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on who is who: machines, and addresses that two have."""

from __future__ import annotations

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_identity
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    Fault,
    check_complete,
    check_first,
    fires,
    put,
)

FIRES: list[Fault] = [
    ("machine-twice", "gre", put("h2", "machine_id", f"{1:032x}", "h2", "interfaces/0/mac", "02:00:00:00:01:01"), "h2"),
    ("machine-id-clone", "gre", put("h2", "machine_id", f"{1:032x}"), "h2"),
    ("address-twice", "gre", lambda a: a["addresses"].update(h2="192.0.2.1"), "h1"),
    ("address-twice", "gre", put("h3", "interfaces/0/addresses", ["192.0.2.3/24", "192.0.2.2/24"]), "h3"),
    ("address-twice", "gre", put("h2", "docker/containers/0/addresses/overlay", "10.50.1.2"), "h1"),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_identity, FIRES)
