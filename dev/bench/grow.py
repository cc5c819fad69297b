# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each change of an overlay takes with all hosts of the lab, against the same with three of them."""

from __future__ import annotations

import pathlib
import resource
import sys
import tempfile
import typing as t
from dataclasses import dataclass

from hosts import BACKEND, backend_options, group, inventory_of, play, report

OPTIONS = backend_options(BACKEND)
SMALL = 3
SITE, TEARDOWN = "crosshost.overlay.site", "crosshost.overlay.teardown"


@dataclass(frozen=True)
class Cost:
    """Seconds of a run, and those in which the controller computed: hosts of the lab share its processors, and twelve have 132 pairs."""

    elapsed: float
    controller: float


def cost(playbook: str, *options: str, inventory: pathlib.Path, unchanged: bool = False) -> Cost:
    """Run a playbook. ansible-playbook waits for its workers, so that all they used is among that of our children."""
    before = computed()
    elapsed = play(playbook, *OPTIONS, *options, inventory=inventory, unchanged=unchanged)
    return Cost(elapsed, computed() - before)


def computed() -> float:
    """Seconds of processor time that processes started from here have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def steps(names: t.Sequence[str], folder: pathlib.Path) -> dict[str, Cost]:
    """What each step costs on these hosts, which have all packages and no overlay."""
    whole = inventory_of(names, folder / "whole.yml")
    # Two leave and one comes back; of three hosts only one can leave.
    leaving = names[-2:] if len(names) > SMALL else names[-1:]
    back = inventory_of(names[:-1] if len(leaving) > 1 else names, folder / "back.yml")
    leave = ("-e", f"remove_host={','.join(leaving)}", "-e", f"remove_host_confirm={','.join(leaving)}")
    try:
        return {
            "site": cost(SITE, inventory=whole),
            "verify": cost("crosshost.overlay.verify", inventory=whole),
            "remove": cost("crosshost.overlay.remove_host", *leave, inventory=whole),
            "add": cost(SITE, inventory=back),
            "second_run": cost(SITE, inventory=back, unchanged=True),
        }
    finally:
        play(TEARDOWN, *OPTIONS, inventory=whole)


def grow() -> None:
    """Every step with all hosts against three: the controller's time grows at most as fast as their number."""
    names = list(group()["hosts"])
    if len(names) <= SMALL:
        sys.exit(f"this needs more than {SMALL} hosts: make bench BENCHES=grow HOSTS=12")
    # Packages are no part of it.
    play(SITE, *OPTIONS, "--skip-tags=verify")
    play(TEARDOWN, *OPTIONS)
    with tempfile.TemporaryDirectory() as folder:
        few = steps(names[:SMALL], pathlib.Path(folder))
        many = steps(names, pathlib.Path(folder))
    aim = f"<={len(names) / SMALL:.3g}"
    for step, now in many.items():
        report(
            f"grow_{BACKEND}_{step}_{len(names)}",
            now.controller,
            "s_of_controller",
            f"{SMALL}_hosts",
            now.controller / few[step].controller,
            aim,
        )
    print(f"\n{'':<14} {'seconds':^31}   {'of which the controller computed':^39}")
    few_hosts, many_hosts = f"{SMALL} hosts", f"{len(names)} hosts"
    print(
        f"{'step':<14} {few_hosts:>11} {many_hosts:>11} {'ratio':>7}   {few_hosts:>11} {many_hosts:>11} {'ratio':>7} {'aim':>7}"
    )
    for step, now in many.items():
        was = few[step]
        print(
            f"{step:<14} {was.elapsed:>11.1f} {now.elapsed:>11.1f} {now.elapsed / was.elapsed:>7.2f}   "
            f"{was.controller:>11.1f} {now.controller:>11.1f} {now.controller / was.controller:>7.2f} {aim:>7}",
            flush=True,
        )
