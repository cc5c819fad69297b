# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first run of all: power is cut in the middle of it, and the next one sets everything up."""

from __future__ import annotations

import random
import subprocess
import time

from overlay_helpers import INVENTORY, SEED, play
from testinfra.host import Host
from vm_helpers import OFF, PROVED, offsets, power, set_ahead

LONGEST = 60  # seconds after which the power is cut at the latest; the run takes longer


def test_power_cut_in_the_middle_of_a_run(hosts: dict[str, Host]) -> None:
    """Wherever it was: the next run converges and proves it. That it has left nothing to do is shown after the power cut of both hosts."""
    seconds = random.Random(SEED).uniform(5, LONGEST)
    told = f"seed {SEED}, cut after {seconds:.1f} s"
    argv = ["ansible-playbook", f"--inventory={INVENTORY}", "crosshost.overlay.site"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            time.sleep(seconds)
            assert process.poll() is None, "the run ended before the power was cut"
            power("h2", "cut")
        finally:
            # It has lost its host and says so, or waits for it; either way it is over.
            process.kill()
    power("h2", "restore")
    set_ahead(hosts["h2"], OFF)  # as it was found; a machine that is switched on has the time of its own clock chip
    run = play("site")
    assert run.status == 0, f"{told}\n{run.text}"
    assert PROVED in run.text, told
    found = offsets()
    assert abs(found["h1"] - found["h2"]) < 1.0, told
