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

import yaml
from overlay_helpers import ROOT, UNDERLAY, Run, calls, play

if t.TYPE_CHECKING:
    from testinfra.host import Host

# Directory of the lab's own files, as lab/vm/machines.py made it.
MACHINES = pathlib.Path(os.environ.get("OVERLAY_MACHINES", ".lab/vm"))
PROVED = "verify: hosts=2 pairs=2 ok=2 failed=0"
OFF = 1200.0  # seconds; Weave Net's routers refuse each other at 900
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


def offsets() -> dict[str, float]:
    """What timesync measures on all hosts at once: seconds their clocks are ahead of this machine's."""
    return {name: done.ok()["clock"]["offset"] for name, done in calls("overlay", "timesync", state="measured").items()}


def measured_after(
    name: str, host: Host, steps: t.Sequence[float], folder: pathlib.Path
) -> tuple[list[float], list[dict[str, float]]]:
    """Set a clock by each of these steps: by how many seconds that was exactly, and what timesync measures before the first and after each.

    All in one playbook: starting Ansible anew each time takes as long as measuring.
    """
    program, answers, playbook = "/root/set_ahead.py", folder / "answers.json", folder / "steps.yml"
    host.check_output(f"printf '%%s' %s > {program}", SET_AHEAD)
    measure = {"crosshost.overlay.timesync": {"state": "measured"}}
    tasks: list[dict[str, t.Any]] = [{**measure, "register": "clock_0"}]
    for number, seconds in enumerate(steps, 1):
        tasks.append({"ansible.builtin.raw": f"python3 {program} {seconds}", "register": f"moved_{number}"})
        tasks.append({**measure, "register": f"clock_{number}"})
    moved = ", ".join(f"moved_{number}.stdout" for number in range(1, len(steps) + 1))
    found = ", ".join(f"clock_{number}.clock" for number in range(len(steps) + 1))
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    written = {"content": f"{{{{ [[{moved}], [{found}]] | to_json }}}}", "dest": str(answers)}
    tasks.append({"ansible.builtin.copy": written, "delegate_to": "localhost", "vars": local})
    playbook.write_text(yaml.safe_dump([{"hosts": name, "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    play(playbook).ok()
    host.check_output(f"rm {program}")
    said, clocks_found = json.loads(answers.read_text(encoding="utf-8"))
    return [int(text) / 1e9 for text in said], clocks_found


def clocks(*args: str) -> Run:
    """Run that part of site.yml which looks after clocks. Without the last look of verify: the tests take their own."""
    return play("site", "--tags=clock", "--skip-tags=verify", *args)
