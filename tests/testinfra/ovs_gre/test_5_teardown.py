# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The teardown leaves every host as it was found."""

from __future__ import annotations

import json
import os
import pathlib

from overlay_helpers import NAMES, App, differences, play, snapshot
from testinfra.host import Host

SNAPSHOTS = pathlib.Path(os.environ.get("OVERLAY_SNAPSHOTS", "."))
OPTIONS = ("-e", "docker_engine_remove=true", "-e", "ovs_gre_remove_packages=true")


def test_teardown_refuses_while_containers_use_the_network(apps: dict[str, App]) -> None:
    """It names them, and the overlay goes on."""
    run = play("teardown")
    assert run.status != 0
    assert "is used by containers: app" in " ".join(run.text.split())
    assert apps[NAMES[0]].reaches(apps[NAMES[1]])


def test_teardown(apps: dict[str, App], hosts: dict[str, Host]) -> None:
    """A host in use is the same as before in every respect; bare hosts lose what was installed on them."""
    bystander = "docker inspect -f '{{.State.StartedAt}}' bystander bystander-default"
    started = hosts["h2"].check_output(bystander)
    for app in apps.values():
        app.stop()
    predicted = play("teardown", "--check", *OPTIONS).ok().changed
    assert play("teardown", *OPTIONS).ok().changed == predicted
    before = json.loads((SNAPSHOTS / "snapshot-h2.json").read_text(encoding="utf-8"))
    after = snapshot(hosts["h2"])
    assert differences(before, after) == []
    assert hosts["h2"].check_output(bystander) == started
    for name in ("h1", "h3"):
        now, then = snapshot(hosts[name]), json.loads((SNAPSHOTS / f"snapshot-{name}.json").read_text(encoding="utf-8"))
        for card in ("eth0", "eth1"):
            assert now["links"][card] == then["links"][card]
        installed = [line.split()[0] for line in now["packages"] if line.endswith(" installed")]
        assert not {"docker.io", "openvswitch-switch"} & set(installed)
        assert not [path for path in now["files"] if "crosshost-overlay" in path]


def test_second_teardown_changes_nothing() -> None:
    """Also where nothing is left."""
    assert play("teardown", *OPTIONS).ok().changed == set()
