# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The teardown leaves machines as they were."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

from firewall_helpers import firewall_differences
from overlay_helpers import NAMES, App, differences, play, side_by_side, snapshot
from testinfra.host import Host

SNAPSHOTS = pathlib.Path(os.environ.get("OVERLAY_SNAPSHOTS", "."))
MODULES = ("gre0", "gretap0", "erspan0")  # of ip_gre, in every network namespace


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
