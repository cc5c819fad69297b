# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of the tests of virtual machines, and the choice of a part of them.

Emulated, all of them take 20 minutes of two processors. Each part needs nothing but the first run: with OVERLAY_PART=first there is only that,
with the name of another that one as well.
"""

from __future__ import annotations

import os

import pytest
from overlay_helpers import SEED

FIRST = "test_1_first_run.py"
PARTS = {
    "test_1_traffic.py": "kernel",
    "test_2_kernel.py": "kernel",
    "test_3_power.py": "power",
    "test_4_clocks.py": "timesyncd",
    "test_5_teardown.py": "teardown",
}
NAMES = ("first", "chrony", *sorted(set(PARTS.values())))
PART = os.environ.get("OVERLAY_PART", "")
assert PART in ("", *NAMES), f"OVERLAY_PART is '{PART}', and has to be the name of a part: {', '.join(NAMES)}"


def part(item: pytest.Item) -> str:
    """Which part a test belongs to; the tests of clocks are two."""
    return "chrony" if "chrony" in getattr(item, "fixturenames", ()) else PARTS[item.path.name]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The first run is a test, and comes before those of the traffic, which are found in another folder."""
    first = [item for item in items if item.path.name == FIRST]
    others = [item for item in items if item.path.name != FIRST]
    left_out = [item for item in others if PART and part(item) != PART]
    items[:] = first + [item for item in others if item not in left_out]
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def pytest_report_header() -> str:
    """Say how to have the same again."""
    return f"vm: OVERLAY_SEED={SEED}, {f'OVERLAY_PART={PART}' if PART else 'all parts'}"
