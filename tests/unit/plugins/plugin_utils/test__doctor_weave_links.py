# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on links between Weave Net's routers, in the routers' own words."""

from __future__ import annotations

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_weave_links
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    Change,
    Fault,
    Near,
    both,
    check_complete,
    check_first,
    check_quiet,
    connection,
    fires,
    limited,
    link,
    near,
    put,
    recorded,
)

FIRES: list[Fault] = [
    (
        "weave-clock-skew",
        "weave",
        link(2, 1, "failed", recorded("report_clock_skew.json").replace("172.31.0.2", "192.0.2.1")),
        "h1",
    ),
    (
        "weave-connection-refused",
        "weave",
        link(2, 1, "failed", "dial tcp :0->192.0.2.1:6783: connect: connection refused, retry: 2026"),
        "h1",
    ),
    ("weave-connection-blocked", "weave", link(2, 1, "failed", recorded("report_fw_reject.json")), "h1"),
    ("weave-connection-blocked", "weave", link(2, 1, "connecting", ""), "h1"),
    (
        "weave-udp-blocked",
        "weave",
        link(2, 1, "pending", "encrypted   sleeve 02:00:00:00:00:01(h1) encrypted=truemtu=65535"),
        "h1",
    ),
    ("weave-connection-limit", "weave", link(2, 1, "failed", "Connection limit reached (200), retry: 2026"), "h1"),
    (
        "weave-connection-limit",
        "weave",
        both(
            put("h2", "weave/launch/connection_limit", 1),
            put("h1", "weave/launch/connection_limit", 200),
            link(2, 1, "failed", "Connection limit reached (1), retry: 2026"),
        ),
        "h2",
    ),
    (
        "weave-version-differs",
        "weave",
        link(2, 1, "failed", "remote version range [1,1] is incompatible with ours"),
        "h1",
    ),
    ("weave-peer-unresolved", "weave", link(2, 1, "failed", "dial tcp: lookup h1: no such host"), "h1"),
    (
        "weave-sleeve",
        "weave",
        put(
            "h2",
            "weave/router/connections/0",
            connection(1, mode="sleeve", mtu=1438, info="sleeve 02:00:00:00:00:01(h1) mtu=1438"),
        ),
        "h2",
    ),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


NEAR: list[Near] = [
    ("a host outside --limit of Weave Net", "weave", limited),
    (
        "sleeve, because a kernel cannot more",
        "weave",
        put(
            "h2", "weave/kernel/modules/vxlan", False, "h2", "weave/router/connections/0", connection(1, mode="sleeve")
        ),
    ),
    (
        "an attempt beside a link that stands",
        "weave",
        lambda a: a["infos"]["h2"]["weave"]["router"]["connections"].append(
            connection(
                1, state="failed", info="Multiple connections to 02:00:00:00:00:01(h1) added to 02:00:00:00:00:02(h2)"
            )
        ),
    ),
    (
        "itself among its peers",
        "weave",
        lambda a: a["infos"]["h2"]["weave"]["router"]["connections"].append(
            connection(2, state="failed", info="cannot connect to ourself, retry: never", peer=None)
        ),
    ),
]


@near(NEAR)
def test_no_false_alarm(kind: str, change: Change) -> None:
    check_quiet(kind, change)


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_weave_links, FIRES)
