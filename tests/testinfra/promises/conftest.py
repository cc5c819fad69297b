# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the promises: what lasts from the first run to the teardown."""

from __future__ import annotations

import typing as t

import pytest
from overlay_helpers import SEED
from promises_bystanders import Bystanders, there
from promises_helpers import USED
from promises_kills import KILLS
from testinfra.host import Host


@pytest.fixture(scope="session")
def bystanders(hosts: dict[str, Host]) -> t.Iterator[Bystanders]:
    """Two connections that are made before the first run and have to last."""
    if not there():
        pytest.skip(f"there is no host {USED} with a life of its own in this inventory")
    found = Bystanders(hosts[USED])
    found.stop()
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def lengths() -> dict[str, float]:
    """Seconds that a run takes on hosts that are as they should be, by backend, once they are measured."""
    return {}


def pytest_report_header() -> str:
    """Say how to do the same again."""
    return f"promises: OVERLAY_SEED={SEED} OVERLAY_KILLS={KILLS}"
