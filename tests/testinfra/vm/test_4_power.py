# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power is cut on a running overlay and in the middle of a run; the teardown leaves machines as they were."""

from __future__ import annotations

import json
import os
import pathlib
import random
import subprocess
import time
import typing as t

from firewall_helpers import firewall_differences
from overlay_helpers import INVENTORY, NAMES, SEED, UNDERLAY, App, differences, play, side_by_side, snapshot, wait_for
from testinfra.host import Host
from vm_helpers import power

SNAPSHOTS = pathlib.Path(os.environ.get("OVERLAY_SNAPSHOTS", "."))
LONGEST = 60  # seconds after which the power is cut at the latest; the run takes longer
MODULES = ("gre0", "gretap0", "erspan0")  # of ip_gre, in every network namespace
PROVED = "verify: hosts=2 pairs=2 ok=2 failed=0"
# Each rule with the configuration it is in; two calls of firewall-cmd, where firewall_info makes nine.
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


def test_teardown(apps: dict[str, App], hosts: dict[str, Host]) -> None:
    """On kernels of their own, too."""
    side_by_side(lambda name: apps[name].stop(), NAMES)
    play("teardown").ok()
    before = json.loads((SNAPSHOTS / "snapshot-h1.json").read_text(encoding="utf-8"))
    after = snapshot(hosts["h1"])
    assert firewall_differences(before, after) == []
    assert differences(comparable(before), comparable(after)) == []


def comparable(found: dict[str, t.Any]) -> dict[str, t.Any]:
    """A snapshot without firewalls, which are compared by themselves, and without what others made anew or in another way."""
    skipped = ("firewalld", "iptables")
    rest = {key: value for key, value in found.items() if key not in skipped}
    # Docker, started anew, makes its bridge anew; a module of the kernel keeps its devices; timedatectl writes a relative link.
    rest["docker networks"] = sorted(line.split()[1:] for line in found["docker networks"])
    rest["links"] = {name: link for name, link in found["links"].items() if name not in MODULES}
    rest["files"] = {
        path: text
        for path, text in found["files"].items()
        if "/firewalld/zones/" not in path and path != "/etc/localtime"
    }
    return rest


def test_power_cut_in_the_middle_of_a_run(hosts: dict[str, Host]) -> None:
    """Wherever it was: the next run converges, proves it, and leaves nothing to do."""
    seconds = random.Random(SEED).uniform(5, LONGEST)
    argv = ["ansible-playbook", f"--inventory={INVENTORY}", "crosshost.overlay.site"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(seconds)
        assert process.poll() is None, "the run ended before the power was cut"
        power("h2", "cut")
        # It has lost its host and says so, or waits for it; either way it is over.
        process.kill()
    power("h2", "restore")
    run = play("site")
    assert run.status == 0, f"seed {SEED}, cut after {seconds:.1f} s\n{run.text}"
    assert PROVED in run.text
    assert play("site", "--skip-tags=verify").ok().changed == set(), f"seed {SEED}, cut after {seconds:.1f} s"
