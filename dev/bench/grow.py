# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each change of an overlay takes with all hosts of the lab, against the same with three of them."""

from __future__ import annotations

import pathlib
import sys
import tempfile

from hosts import BACKEND, backend_options, group, inventory_of, play, report

OPTIONS = backend_options(BACKEND)
SMALL = 3
SITE, TEARDOWN = "crosshost.overlay.site", "crosshost.overlay.teardown"


def steps(names: list[str], folder: pathlib.Path) -> dict[str, float]:
    """Seconds of each step on these hosts, which have all packages and no overlay."""
    whole = inventory_of(names, folder / "whole.yml")
    # Two leave and one comes back; of three hosts only one can leave.
    leaving = names[-2:] if len(names) > SMALL else names[-1:]
    back = inventory_of(names[:-1] if len(leaving) > 1 else names, folder / "back.yml")
    leave = ("-e", f"remove_host={','.join(leaving)}", "-e", f"remove_host_confirm={','.join(leaving)}")
    try:
        return {
            "site": play(SITE, *OPTIONS, inventory=whole),
            "verify": play("crosshost.overlay.verify", *OPTIONS, inventory=whole),
            "remove": play("crosshost.overlay.remove_host", *OPTIONS, *leave, inventory=whole),
            "add": play(SITE, *OPTIONS, inventory=back),
            "second_run": play(SITE, *OPTIONS, inventory=back, unchanged=True),
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
    for step, seconds in many.items():
        report(
            f"grow_{BACKEND}_{step}_{len(names)}",
            seconds,
            "s",
            f"{SMALL}_hosts",
            seconds / few[step],
            f"<={len(names) / SMALL:.3g}",
        )
    print(f"\n{'step':<14} {SMALL:>5} hosts {len(names):>5} hosts {'ratio':>7} {'aim':>7}")
    for step, seconds in many.items():
        print(
            f"{step:<14} {few[step]:>9.1f} s {seconds:>9.1f} s {seconds / few[step]:>7.2f} <={len(names) / SMALL:.3g}",
            flush=True,
        )
