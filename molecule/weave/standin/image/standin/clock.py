# Stands in for Weave Net 2.9.0 in tests: the router's clock, with the one knob that the real one does not have.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""STANDIN_CLOCK_OFFSET (seconds, also negative) stands for "date -s" on this host, where hosts are containers that share one clock.

It comes with WEAVE_DOCKER_ARGS="-e STANDIN_CLOCK_OFFSET=1200", or in the file standin-clock-offset of the host's folder
/etc, which is read anew each time, so that a test may change it while the router runs.
"""

from __future__ import annotations

import os
import time

FILE = "/host/etc/standin-clock-offset"
STARTED = time.monotonic()


def offset() -> float:
    try:
        with open(FILE, encoding="ascii") as file:
            return float(file.read())
    except (OSError, ValueError):
        pass
    try:
        return float(os.environ.get("STANDIN_CLOCK_OFFSET") or 0)
    except ValueError:
        return 0.0


def now() -> float:
    return time.time() + offset()


def text(monotonic: float) -> str:
    """A moment as Go prints it, from a value of time.monotonic()."""
    at = now() + monotonic - time.monotonic()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
    return f"{stamp}.{int(at % 1 * 1e9):09d} +0000 UTC m=+{monotonic - STARTED:.9f}"
