# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Killed while everything is installed on bare hosts, the next run converges."""

from __future__ import annotations

import os
import pathlib
import random

import pytest
from overlay_helpers import SEED
from promises_helpers import BACKENDS, run
from promises_kills import KILLS, Chain
from testinfra.host import Host

LENGTH = 40.0  # seconds that a first run takes
# There is time for one of the two in the usual run, another one each time.
CHOSEN = BACKENDS if "OVERLAY_KILLS" in os.environ else [random.Random(SEED).choice(BACKENDS)]


@pytest.mark.parametrize("backend", CHOSEN)
def test_killed_on_bare_hosts(hosts: dict[str, Host], tmp_path: pathlib.Path, backend: str) -> None:
    """Each run goes on where the one before was cut off."""
    for host in hosts.values():
        host.run("docker rm -f app")
    for other in BACKENDS:
        run(
            "teardown",
            other,
            "-e",
            "docker_engine_remove=true",
            "-e",
            "ovs_gre_remove_packages=true",
            "-e",
            "weave_remove_images=true",
        ).ok()
    Chain(hosts, backend, tmp_path, LENGTH, "bare").run(max(1, KILLS // 3), drifting=False)
