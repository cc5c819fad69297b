# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Killed at any moment, the next run converges. On bare hosts: test_7_bare_hosts.py."""

from __future__ import annotations

import pathlib
import random

import pytest
from doctor_helpers import QUICK
from overlay_helpers import NAMES, SEED
from promises_bystanders import Bystanders
from promises_helpers import BACKENDS, run
from promises_kills import KILLS, Chain, cut_off
from testinfra.host import Host

# On hosts that were set up before: two thirds; the others on bare ones.
HERE = max(1, KILLS - KILLS // 3)
LENGTH = 12.0  # seconds, if this file runs alone and nobody has measured


@pytest.mark.parametrize("backend", BACKENDS)
def test_killed_on_hosts_that_are_set_up(
    hosts: dict[str, Host], bystanders: Bystanders, lengths: dict[str, float], tmp_path: pathlib.Path, backend: str
) -> None:
    """Something was changed by hand on most of them before each run."""
    Chain(hosts, backend, tmp_path, lengths.get(backend, LENGTH)).run(HERE)
    bystanders.check()


@pytest.mark.parametrize("backend", BACKENDS)
def test_killed_verify(hosts: dict[str, Host], tmp_path: pathlib.Path, backend: str) -> None:
    """The next one is not in the way of what was left, and takes it along."""
    moment = random.Random(f"{SEED} verify {backend}").uniform(1, 8)
    cut_off(tmp_path / "killed.log", moment, True, "verify", "-e", f"overlay_backend={backend}", *QUICK)
    told = f"OVERLAY_SEED={SEED}, killed after {moment:.2f} s"
    done = run("verify", backend, *QUICK)
    assert done.status == 0, f"{told}\n{done.text}"
    assert done.changed == set(), told
    for name in NAMES:
        assert hosts[name].run("docker ps -aq --filter label=crosshost.overlay=probe").stdout == "", told
