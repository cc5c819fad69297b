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

import pairs
import runs
import traffic
from hosts import ROOT, TIMEOUT, WEAVE_VARS, play

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
}
CHOICES = {
    ("container", "ovs_gre"): ["tunnels_50", "tunnels_1000", "second_run", "throughput", "swarm", "pairs"],
    ("container", "weave"): ["weave_unchanged", "weave_second_run"],
    ("vm", "ovs_gre"): ["second_run", "kernel"],
    ("vm", "weave"): ["weave_unchanged", "weave_second_run"],
}


def main() -> None:
    """Set up the overlay once, then measure."""
    asked = os.environ.get("BENCH_LAB", "container"), os.environ.get("BENCH_BACKEND", "ovs_gre")
    chosen = sys.argv[1:] or CHOICES.get(asked, [])
    unknown = set(chosen) - set(BENCHES)
    if unknown or not chosen:
        sys.exit(f"unknown: {', '.join(sorted(unknown)) or ' '.join(asked)}; there are {', '.join(BENCHES)}")
    if any(name.startswith("weave_") for name in chosen):
        subprocess.run([ROOT / "dev" / "weave_source.sh", WEAVE_VARS], timeout=TIMEOUT, check=True)
        play("crosshost.overlay.site", "-e", "overlay_backend=weave", "-e", f"@{WEAVE_VARS}")
    if any(not name.startswith("weave_") for name in chosen):
        play("crosshost.overlay.site")
    for name in chosen:
        BENCHES[name]()


if __name__ == "__main__":
    main()
