# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The overlay comes back by itself, with the same addresses."""

from __future__ import annotations

import time
import typing as t

from overlay_helpers import NAMES, App, play, wait_for
from testinfra.host import Host
from weave_helpers import Routers

FIRST, LAST = NAMES[0], NAMES[-1]


def both_ways(apps: dict[str, App]) -> bool:
    """Whether the two reach each other."""
    return apps[FIRST].reaches(apps[LAST], 1) and apps[LAST].reaches(apps[FIRST], 1)


def test_killed_router_is_back(hosts: dict[str, Host], apps: dict[str, App], routers: Routers) -> None:
    """Within 15 seconds, and its peers with it."""
    address = apps[LAST].address
    hosts[LAST].check_output("kill -9 $(docker inspect -f '{{.State.Pid}}' weave)")
    begin = time.monotonic()
    wait_for("the router is back", routers.whole, 15)
    wait_for("containers reach each other", lambda: both_ways(apps), max(1.0, 15 - (time.monotonic() - begin)))
    assert apps[LAST].address == address
    assert routers.launch(LAST).ok()["changed"] is False


def test_docker_restarted(hosts: dict[str, Host], apps: dict[str, App], routers: Routers) -> None:
    """Containers come back on the overlay."""
    hosts[LAST].check_output("systemctl restart docker")
    wait_for("the overlay works after a restart of Docker", lambda: both_ways(apps), 60)
    routers.settle()
    assert play("site", "--check", "--skip-tags=verify").ok().changed == set()


def test_host_restarted(
    hosts: dict[str, Host], apps: dict[str, App], routers: Routers, reboot: t.Callable[[str], None]
) -> None:
    """Without Ansible; afterwards there is nothing to repair."""
    reboot(LAST)
    wait_for("the overlay works after a reboot", lambda: both_ways(apps), 120)
    routers.settle()
    assert play("site", "--check", "--skip-tags=verify").ok().changed == set()
