# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A second run. On virtual machines, where a run takes minutes, it is a part of another test."""

from __future__ import annotations

import pytest
from overlay_helpers import NAMES, play


@pytest.mark.usefixtures("apps")
def test_second_run_changes_nothing() -> None:
    """Neither with the applications on it nor in check mode."""
    assert play("site", "--check").ok().changed == set()
    run = play("site").ok()
    assert run.changed == set()
    pairs = len(NAMES) * (len(NAMES) - 1)
    assert f"verify: hosts={len(NAMES)} pairs={pairs} ok={pairs} failed=0" in run.text
