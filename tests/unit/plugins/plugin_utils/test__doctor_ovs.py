# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on tunnels: the two ends that do not fit, the ones that are dead, the ones that go astray."""

from __future__ import annotations

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_ovs
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    GONE,
    OTHER_KEY,
    Change,
    Fault,
    Near,
    check_complete,
    check_first,
    check_quiet,
    fires,
    found,
    limited,
    near,
    port,
    put,
)

NO_FAMILY = "could not add network device gre-h1 to ofproto (Address family not supported by protocol)"


FIRES: list[Fault] = [
    ("gre-key-mismatch", "gre", put("h2", "openvswitch/ports/0/options", OTHER_KEY), "h2"),
    ("gre-remote-mismatch", "gre", put("h2", "openvswitch/ports/0/options/remote_ip", "192.0.2.99"), "h2"),
    ("gre-remote-mismatch", "gre", put("h2", "openvswitch/ports/0/options/local_ip", "192.0.2.99"), "h2"),
    ("gre-one-way", "gre", put("h2", "openvswitch/ports/0", GONE), "h2"),
    ("tunnel-missing", "gre", put("h2", "openvswitch/ports/0", GONE, "h1", "openvswitch/ports/0", GONE), "h1"),
    ("tunnel-duplicate", "gre", put("h2", "openvswitch/ports/0/options/remote_ip", "192.0.2.3"), "h2"),
    (
        "tunnel-dead",
        "gre",
        put("h2", "openvswitch/ports/0/health", "dead", "h2", "openvswitch/ports/0/ofport", -1),
        "h2",
    ),
    ("tunnel-options-refused", "gre", put("h2", "openvswitch/ports/0/options/key", "abc"), "h2"),
    (
        "kernel-without-gre",
        "gre",
        put("h2", "openvswitch/ports/0/health", "dead", "h2", "openvswitch/ports/0/error", NO_FAMILY),
        "h2",
    ),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


NEAR: list[Near] = [
    ("a host outside --limit", "gre", limited),
    (
        "two overlays with keys of their own",
        "gre",
        lambda a: [
            a["infos"][f"h{one}"]["openvswitch"]["ports"].append(
                port(
                    one,
                    two,
                    name="other",
                    bridge="br9",
                    owner=None,
                    options={"remote_ip": f"192.0.2.{two}", "key": "9"},
                )
            )
            or a["infos"][f"h{one}"]["openvswitch"]["live_tunnels"].append("other")
            for one, two in ((1, 2), (2, 1))
        ],
    ),
]


@near(NEAR)
def test_no_false_alarm(kind: str, change: Change) -> None:
    check_quiet(kind, change)


def test_the_missing_port_of_a_tunnel_by_hand_is_a_command_to_copy() -> None:
    findings = found("by_hand", put("h2", "openvswitch/ports/0", GONE))

    assert findings[0].commands == (
        "h2$ ovs-vsctl add-port br0 to-h1 -- set Interface to-h1 type=gre options:remote_ip=192.0.2.1",
    )


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_ovs, FIRES)
