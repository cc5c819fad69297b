# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power is cut on a running overlay."""

from __future__ import annotations

from overlay_helpers import NAMES, UNDERLAY, App, play, side_by_side, wait_for
from testinfra.host import Host
from vm_helpers import PROVED, power

# Each rule with the configuration it is in; two calls of firewall-cmd, which is slow on an emulated processor.
RULES = "firewall-cmd --list-all-zones | sed -n 's/^\\trule /now: /p'; firewall-cmd --permanent --list-all-zones | sed -n 's/^\\trule /kept: /p'"


def openings(host: Host) -> list[str]:
    """The overlay's rules in firewalld: GRE of the peer and its questions for the time, now and after the next start."""
    lines = sorted(line for line in host.check_output(RULES).splitlines() if UNDERLAY["h2"] in line)
    assert [line.split()[0] for line in lines] == ["kept:"] * 2 + ["now:"] * 2, lines
    assert sum('value="gre"' in line for line in lines) == sum('port="123"' in line for line in lines) == 2, lines
    return lines


def test_power_cut(apps: dict[str, App], hosts: dict[str, Host]) -> None:
    """Tunnels, addresses, openings and containers are back without Ansible; a run has nothing to do."""
    before = openings(hosts["h1"])
    for name in NAMES:
        power(name, "cut")
    side_by_side(lambda name: power(name, "restore"), NAMES)
    wait_for("both reach each other", lambda: apps["h1"].reaches(apps["h2"]) and apps["h2"].reaches(apps["h1"]), 180)
    assert openings(hosts["h1"]) == before
    run = play("site").ok()
    assert run.changed == set()
    assert PROVED in run.text
