# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on bridges: loops and storms, and ways that end in nothing."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_bridges
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, diagnose
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    HOSTS,
    Change,
    Fault,
    Near,
    both,
    by_hand,
    card,
    check_complete,
    check_first,
    check_quiet,
    fires,
    found,
    near,
    port,
    put,
)


def hub(arguments: dict[str, t.Any]) -> None:
    """A hub and two spokes."""
    for number, at in ((2, 1), (3, 1)):
        del arguments["infos"][f"h{number}"]["openvswitch"]["ports"][at]
    for info in arguments["infos"].values():
        for item in info["openvswitch"]["ports"]:
            item["protected"] = False
    arguments["wish"]["topology"] = "hub"


def rstp(arguments: dict[str, t.Any]) -> None:
    """Bridges that keep loops open."""
    for info in arguments["infos"].values():
        info["openvswitch"]["bridges"][0]["rstp"] = True


FIRES: list[Fault] = [
    ("bridge-loop", "loop", None, "h1"),
    ("storm", "gre", put("h2", "rates/gre-h1", {"rx_pps": 6000.0, "broadcast_pps": 5990.0}), "h2"),
    ("port-unprotected", "gre", put("h2", "openvswitch/ports/0/protected", False), "h2"),
    ("link-missing", "gre", put("h2", "interfaces/3/master", None), "h2"),
    (
        "port-stale",
        "gre",
        lambda a: a["infos"]["h2"]["openvswitch"]["ports"].append(
            {
                "name": "veth1",
                "type": "",
                "options": {},
                "error": "could not open network device veth1 (No such device)",
            }
        ),
        "h2",
    ),
    (
        "tunnel-egress-missing",
        "netdev",
        put("h2", "interfaces/4/addresses", [], "h2", "interfaces/0/addresses", ["192.0.2.2/24"]),
        "h2",
    ),
    ("offload-on", "netdev", put("h2", "interfaces/0/offloads/tx-checksumming", True), "h2"),
    ("datapath-userspace", "netdev", put("h2", "kernel/modules/openvswitch", "available"), "h2"),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


NEAR: list[Near] = [
    ("a hub's ports are not protected", "gre", hub),
    ("RSTP opens loops", "loop", rstp),
    (
        "userspace that was asked for",
        "netdev",
        both(put("h2", "kernel/modules/openvswitch", "loaded"), lambda a: a["wish"].update(datapath="netdev")),
    ),
]


@near(NEAR)
def test_no_false_alarm(kind: str, change: Change) -> None:
    check_quiet(kind, change)


def test_the_datapath_of_a_bridge_by_hand_is_set_by_hand() -> None:
    userspace = put("h2", "openvswitch/bridges/0/datapath", "netdev", "h2", "interfaces/0/name", "br0")
    note = next(item for item in found("by_hand", userspace) if item.id == "datapath-userspace")

    assert note.commands == ("h2$ ovs-vsctl set Bridge br0 datapath_type=system",)


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_bridges, FIRES)


def test_a_loop_by_hand_is_named_with_its_cure() -> None:
    first = found("loop")[0]

    assert set(first.hosts) == set(HOSTS)
    assert "h1$ ovs-vsctl set Port gre2 protected=true" in first.commands
    assert len(first.commands) == 6


def test_a_ring_of_four_gets_rstp() -> None:
    arguments = by_hand()
    infos = {}
    for number in (1, 2, 3, 4):
        info = copy.deepcopy(arguments["infos"]["h1"])
        around = [(number % 4) + 1, ((number + 2) % 4) + 1]
        info["openvswitch"]["ports"] = [
            port(
                number,
                to,
                name=f"gre{to}",
                bridge="br0",
                owner=None,
                protected=False,
                options={"remote_ip": f"192.0.2.{to}"},
            )
            for to in around
        ]
        info["machine_id"], info["interfaces"] = (
            str(number),
            [card("eth0", f"192.0.2.{number}/24", mac=f"02::{number}")],
        )
        infos[f"h{number}"] = info
    arguments.update(infos=infos, hosts=tuple(infos), addresses={}, clocks={})
    findings = diagnose(Case(**arguments))

    assert [item.id for item in findings] == ["bridge-loop"]
    assert "h4$ ovs-vsctl set Bridge br0 rstp_enable=true" in findings[0].commands
