# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop, reset and teardown: nobody loses addresses unasked, and nothing is left."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
from overlay_helpers import NAMES, App, play, snapshot, wait_for
from testinfra.host import Host
from weave_helpers import Routers

SNAPSHOTS = pathlib.Path(os.environ.get("OVERLAY_SNAPSHOTS", "."))
FIRST, SECOND, LAST = NAMES[0], NAMES[1], NAMES[-1]
OPTIONS = ("-e", "docker_engine_remove=true", "-e", "weave_remove_images=true")


def test_stop_and_start(hosts: dict[str, Host], apps: dict[str, App], routers: Routers) -> None:
    """A restart of Docker does not revive it; addresses stay, and containers of one host still reach each other."""
    address = apps[LAST].address
    found = routers.launch(LAST, state="stopped").ok()
    assert found["changed"]
    assert found["weave"]["container"] is None
    assert found["weave"]["database"]
    assert routers.launch(LAST, state="stopped").ok()["changed"] is False
    hosts[LAST].check_output("systemctl restart docker")
    assert "weave" not in hosts[LAST].check_output("docker ps -a --format '{{.Names}}'").split()
    routers.launch(LAST, wait_for="ready").ok()
    wait_for("the application is back", lambda: apps[FIRST].reaches(apps[LAST], 1), 60)
    assert apps[LAST].address == address


def test_reset_names_who_would_lose_addresses(hosts: dict[str, Host], apps: dict[str, App], routers: Routers) -> None:
    """And does nothing."""
    started = routers.started(LAST)
    found = routers.launch(LAST, state="reset")
    assert f"app ({apps[LAST].address}" in found.refused()
    assert "allow_attached" in found.refused()
    assert routers.started(LAST) == started


def test_teardown_refuses_while_containers_have_addresses(apps: dict[str, App]) -> None:
    """The overlay goes on."""
    run = play("teardown")
    assert run.status != 0
    assert "containers have addresses of the overlay" in " ".join(run.text.split())
    assert apps[FIRST].reaches(apps[LAST])


@pytest.fixture(scope="module")
def without_apps(apps: dict[str, App]) -> None:
    """From here on nobody uses the overlay."""
    for app in apps.values():
        app.stop()


@pytest.mark.usefixtures("without_apps")
def test_reset_without_a_router(hosts: dict[str, Host], routers: Routers) -> None:
    """Its addresses would be lost to the peers, so that takes a word of its own."""
    routers.launch(LAST, state="stopped").ok()
    assert "reset_force" in routers.launch(LAST, state="reset").refused()
    routers.launch(LAST, wait_for="ready").ok()


@pytest.mark.usefixtures("without_apps")
def test_reset_gives_the_range_to_the_others(hosts: dict[str, Host], routers: Routers) -> None:
    """Nothing of it is left on the host; it joins again and gets a part from the others."""
    name = routers.info(LAST)["router"]["name"]
    found = routers.launch(LAST, state="reset").ok()
    assert found["weave"]["container"] is None
    assert not found["weave"]["database"]
    assert not hosts[LAST].interface("weave").exists
    assert routers.launch(LAST, state="reset").ok()["changed"] is False

    def taken_over() -> bool:
        return name not in {item["peer"] for item in routers.info(FIRST)["ipam"]["owners"]}

    wait_for("the others own the range", taken_over, 20)
    run = play("site").ok()
    pairs = len(NAMES) * (len(NAMES) - 1)
    assert f"verify: hosts={len(NAMES)} pairs={pairs} ok={pairs} failed=0" in run.text


@pytest.mark.usefixtures("without_apps")
def test_teardown(hosts: dict[str, Host]) -> None:
    """The hosts lose what was brought to them."""
    predicted = play("teardown", "--check", *OPTIONS).ok().changed
    assert play("teardown", *OPTIONS).ok().changed == predicted
    for name in NAMES:
        then = json.loads((SNAPSHOTS / f"snapshot-{name}.json").read_text(encoding="utf-8"))
        now = snapshot(hosts[name])
        assert {card: now["links"].get(card) for card in then["links"]} == then["links"]
        assert not {"weave", "datapath", "docker_gwbridge"} & set(now["links"])
        assert not [path for path in now["files"] if "crosshost" in path or path.endswith("/weave")]
        assert "docker.io" not in [line.split()[0] for line in now["packages"] if line.endswith(" installed")]


@pytest.mark.usefixtures("without_apps")
def test_second_teardown_changes_nothing() -> None:
    """Also where nothing is left."""
    assert play("teardown", *OPTIONS).ok().changed == set()
