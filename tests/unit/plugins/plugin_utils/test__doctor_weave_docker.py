# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on what Weave Net and Docker have to do with each other: versions, plugin, proxy, ports."""

from __future__ import annotations

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_weave_docker
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    Fault,
    both,
    check_complete,
    check_first,
    down,
    fires,
    put,
)

FIRES: list[Fault] = [
    (
        "port-taken",
        "weave",
        both(
            down(2),
            put(
                "h2",
                "weave/listeners",
                [{"proto": "tcp", "address": "0.0.0.0", "port": 6783, "pid": 5, "program": "nc"}],
            ),
        ),
        "h2",
    ),
    (
        "weave-api-version",
        "weave",
        down(2, "FATA: client version 1.18 is too old. Minimum supported API version is 1.24"),
        "h2",
    ),
    (
        "weave-tls-detection",
        "weave",
        put(
            "h2",
            "weave/log",
            ["Warning: unable to detect proxy TLS configuration. To enable TLS, launch the proxy with 'weave launch'"],
        ),
        "h2",
    ),
    (
        "weave-plugin-down",
        "weave",
        put(
            "h2",
            "docker/containers",
            [
                {
                    "name": "app",
                    "running": False,
                    "error": "legacy plugin: dial unix /run/docker/plugins/weavemesh.sock: plugin weavemesh not found",
                }
            ],
        ),
        "h2",
    ),
    (
        "weave-entrypoint-left",
        "weave",
        put(
            "h2",
            "docker/containers",
            [{"name": "app", "running": False, "entrypoint_missing": True, "error": "exec: /w/w: no such file"}],
        ),
        "h2",
    ),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_weave_docker, FIRES)
