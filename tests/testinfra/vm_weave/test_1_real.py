# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Weave Net itself on kernels and clocks of its own: the fast datapath, and routers that refuse a clock that is off."""

from __future__ import annotations

import re

from overlay_helpers import App, play, wait_for
from testinfra.host import Host
from vm_helpers import set_ahead
from weave_helpers import Routers

OFF = 1200.0  # the routers' limit is 900


def test_fast_datapath(apps: dict[str, App], hosts: dict[str, Host], routers: Routers) -> None:
    """Frames are carried by the kernel, in packets of 1,376 bytes."""
    routers.settle()
    for host in hosts.values():
        shown = host.check_output("weave status connections")
        assert re.search(r"established +fastdp .*mtu=1376", shown), shown
    assert apps["h1"].reaches(apps["h2"])


def test_clock_that_is_off(apps: dict[str, App], hosts: dict[str, Host], routers: Routers) -> None:
    """The routers part, and a run without the role clock says why; with it, it cures the clock, and they meet again."""
    set_ahead(hosts["h2"], OFF)
    hosts["h2"].check_output("docker restart weave")
    wait_for(
        "a router refuses the other's clock",
        lambda: any("clock skew" in host.run("weave status connections").stdout for host in hosts.values()),
        120,
    )
    run = play("site", "--skip-tags=clock,verify", "-e", "weave_wait_timeout=20")
    assert run.status != 0
    assert re.search(r"clock skew of -?1[12]\d\ds exceeds 900s limit", " ".join(run.text.split())), run.text
    cured = play("site").ok()
    assert ("crosshost.overlay.clock : Cure | Bring the clock right", "h2") in cured.changed
    assert "verify: hosts=2 pairs=2 ok=2 failed=0" in cured.text
    routers.settle()
    assert apps["h2"].reaches(apps["h1"])
    assert play("site", "--skip-tags=verify").ok().changed == set()
