# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The choice of faults, told before anything else."""

from __future__ import annotations

import os

from overlay_helpers import SEED


def pytest_report_header() -> str:
    """Say how to have the same faults again."""
    count = os.environ.get("OVERLAY_FAULTS")
    return f"doctor: OVERLAY_SEED={SEED} OVERLAY_FAULTS={count}" if count else "doctor: all faults"
