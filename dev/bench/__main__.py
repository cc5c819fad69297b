#!/usr/bin/env python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the overlay in the lab, as ratios within one run: python dev/bench [NAME...]

Without names it is those of BENCH_LAB (container, vm) and BENCH_BACKEND (ovs_gre, weave). BENCH_INVENTORY says where the hosts are.

Every figure is the median of several rounds that alternate between the things compared, so that a slow moment of the
machine hits all of them. It prints: bench <name> value=<n> unit=<u> against=<what> ratio=<r> aim=<a>
"""

from __future__ import annotations

import os
import subprocess
import sys

import grow
import outage
import pairs
import runs
import traffic
from hosts import BACKEND, ROOT, TIMEOUT, WEAVE_VARS, backend_options, play

BENCHES = {
    "tunnels_50": runs.tunnels_50,
    "tunnels_1000": runs.tunnels_1000,
    "second_run": runs.second_run,
    "throughput": traffic.throughput,
    "swarm": traffic.swarm,
    "kernel": traffic.kernel,
    "pairs": pairs.pairs,
    "weave_unchanged": runs.weave_unchanged,
    "weave_second_run": runs.weave_second_run,
    "outage": outage.outage,
    "grow": grow.grow,
}
CHOICES = {
    ("container", "ovs_gre"): ["tunnels_50", "tunnels_1000", "second_run", "throughput", "swarm", "pairs", "outage"],
    ("container", "weave"): ["weave_unchanged", "weave_second_run", "outage"],
    ("vm", "ovs_gre"): ["second_run", "kernel"],
    ("vm", "weave"): ["weave_unchanged", "weave_second_run"],
}


def backend_of(name: str) -> str:
    """The backend that a bench is about."""
    if name in ("outage", "grow"):
        return BACKEND
    return "weave" if name.startswith("weave_") else "ovs_gre"


def main() -> None:
    """Set up the overlay once, then measure."""
    asked = os.environ.get("BENCH_LAB", "container"), os.environ.get("BENCH_BACKEND", "ovs_gre")
    chosen = sys.argv[1:] or CHOICES.get(asked, [])
    unknown = set(chosen) - set(BENCHES)
    if unknown or not chosen:
        sys.exit(f"unknown: {', '.join(sorted(unknown)) or ' '.join(asked)}; there are {', '.join(BENCHES)}")
    needed = {backend_of(name) for name in chosen}
    if "weave" in needed:
        subprocess.run([ROOT / "dev" / "weave_source.sh", WEAVE_VARS], timeout=TIMEOUT, check=True)
    # That which grows begins without an overlay.
    for backend in sorted({backend_of(name) for name in chosen if name != "grow"}):
        play("crosshost.overlay.site", *backend_options(backend))
    for name in chosen:
        BENCHES[name]()


if __name__ == "__main__":
    main()
