# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The teardown leaves firewalls as they were found, rule by rule and file by file."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
from firewall_helpers import firewall_differences
from overlay_helpers import NAMES, App, play, snapshot
from testinfra.host import Host

SNAPSHOTS = pathlib.Path(os.environ.get("OVERLAY_SNAPSHOTS", "."))
OPTIONS = ("-e", "docker_engine_remove=true", "-e", "weave_remove_images=true")


@pytest.fixture(scope="module", autouse=True)
def torn_down(apps: dict[str, App]) -> None:
    """Nobody uses the overlay any more, and it is removed; check mode knew what would change."""
    for app in apps.values():
        app.stop()
    predicted = play("teardown", "--check", *OPTIONS).ok().changed
    assert play("teardown", *OPTIONS).ok().changed == predicted
    assert play("teardown", *OPTIONS).ok().changed == set()


@pytest.mark.parametrize("name", NAMES)
def test_rules_and_zones(hosts: dict[str, Host], name: str) -> None:
    """Byte by byte, but for what Docker leaves behind."""
    then = json.loads((SNAPSHOTS / f"snapshot-{name}.json").read_text(encoding="utf-8"))
    # Docker leaves its rules and its zone where they are; without it they go with the firewall's next start.
    hosts[name].check_output("systemctl restart firewalld netfilter-persistent 2> /dev/null || true")
    now = snapshot(hosts[name])
    assert firewall_differences(then, now) == []
    assert not [path for path in now["files"] if "crosshost" in path]
    assert not [line for line in now["units"] if "crosshost" in line]
