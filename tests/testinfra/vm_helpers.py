# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of virtual machines have in common: their power, their clocks, and a stranger on their underlay."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

from overlay_helpers import ROOT, UNDERLAY, Run, call, play

if t.TYPE_CHECKING:
    from testinfra.host import Host

# Directory of the lab's own files, as lab/vm/machines.py made it.
MACHINES = pathlib.Path(os.environ.get("OVERLAY_MACHINES", ".lab/vm"))
POWER_TIMEOUT = 700  # seconds; an emulated machine boots in about one minute
SET_AHEAD = """
import sys, time
monotonic, real = time.monotonic_ns(), time.time_ns()
time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + int(float(sys.argv[1]) * 1e9))
print((time.time_ns() - real) - (time.monotonic_ns() - monotonic))
"""


def _lab(program: str, *argv: str) -> dict[str, t.Any]:
    """Run a program of the lab of virtual machines; what it printed."""
    done = subprocess.run(
        [sys.executable, ROOT / "lab" / "vm" / program, *argv],
        stdout=subprocess.PIPE,
        timeout=POWER_TIMEOUT,
        check=True,
    )
    return t.cast("dict[str, t.Any]", json.loads(done.stdout))


def power(name: str, action: str) -> None:
    """Cut, restore or cycle the power of a machine; the last two wait until it is up."""
    assert _lab("machines.py", "power", str(MACHINES), name, action)["changed"]


def stranger(name: str, *packet: str) -> list[str]:
    """What a host answers to a packet of somebody on the underlay who is no peer."""
    return t.cast("list[str]", _lab("outsider.py", str(MACHINES), "--to", UNDERLAY[name], *packet)["answers"])


def set_ahead(host: Host, seconds: float) -> float:
    """Set a clock, and return by how many seconds exactly that was."""
    return int(host.check_output(f"python3 -c %s {seconds}", SET_AHEAD)) / 1e9


def clock(name: str) -> dict[str, float]:
    """What timesync measures: offset and bound in seconds."""
    return t.cast("dict[str, float]", call(name, "timesync", state="measured").ok()["clock"])


def clocks(*args: str) -> Run:
    """Run that part of site.yml which looks after clocks."""
    return play("site", "--tags=clock", *args)
