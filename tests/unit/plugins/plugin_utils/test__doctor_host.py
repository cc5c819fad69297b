# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on hosts themselves: reached, readable, with Docker and Open vSwitch alive and room to write."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_host
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    Change,
    Fault,
    Near,
    arguments_with,
    both,
    check_complete,
    check_first,
    check_quiet,
    fires,
    found,
    near,
    put,
)

FIRES: list[Fault] = [
    (
        "host-unreachable",
        "gre",
        both(
            arguments_with(unreachable={"h2": "ssh: connect to host 192.0.2.2 port 22: timed out"}),
            lambda a: a["infos"].pop("h2"),
        ),
        "h2",
    ),
    ("host-not-read", "gre", lambda a: a["infos"].update(h2={"failed": "no Python"}), "h2"),
    ("overlay-absent", "plain", arguments_with(backend="ovs_gre"), "h1"),
    (
        "docker-missing",
        "weave",
        lambda a: a["infos"]["h2"].update(docker={"installed": False, "running": False}, weave={}),
        "h2",
    ),
    (
        "docker-hangs",
        "gre",
        put(
            "h2",
            "docker",
            {
                "installed": True,
                "running": False,
                "error": "'docker version' did not end within 20 seconds and was stopped: no output",
            },
        ),
        "h2",
    ),
    (
        "docker-stopped",
        "gre",
        put("h2", "docker", {"installed": True, "running": False, "error": "Cannot connect to the Docker daemon"}),
        "h2",
    ),
    ("ovs-missing", "gre", put("h2", "openvswitch", {"installed": False, "running": False}), "h2"),
    (
        "ovs-database-down",
        "gre",
        put(
            "h2",
            "openvswitch",
            {"installed": True, "running": False, "database_ok": False, "errors": ["database connection failed"]},
        ),
        "h2",
    ),
    (
        "ovs-vswitchd-down",
        "gre",
        put("h2", "openvswitch/vswitchd_ok", False, "h2", "openvswitch/live_tunnels", []),
        "h2",
    ),
    ("disk-full", "gre", put("h2", "resources/disk/0/free_bytes", 0), "h2"),
    ("read-only-etc", "gre", put("h2", "resources/disk/0/read_only", True), "h2"),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


NEAR: list[Near] = [
    (
        "a small disk on purpose",
        "gre",
        put(
            "h2",
            "resources/disk/0",
            {"path": "/var/lib/crosshost-overlay", "free_bytes": 900000, "total_bytes": 1000000, "read_only": False},
        ),
    ),
    (
        "a stopped Docker that nobody needs",
        "plain",
        put("h2", "docker", {"installed": True, "running": False, "error": "Cannot connect"}),
    ),
    (
        "Open vSwitch that nobody uses",
        "weave",
        put("h2", "openvswitch", {"installed": True, "running": False, "database_ok": False}),
    ),
]


@near(NEAR)
def test_no_false_alarm(kind: str, change: Change) -> None:
    check_quiet(kind, change)


def test_open_vswitch_is_restarted_by_the_name_of_its_unit() -> None:
    def elsewhere(arguments: dict[str, t.Any]) -> None:
        arguments["wish"]["service"] = "openvswitch"

    findings = found("gre", both(put("h2", "openvswitch/vswitchd_ok", False), elsewhere))

    assert findings[0].commands[0] == "h2$ systemctl restart openvswitch"


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_host, FIRES)
