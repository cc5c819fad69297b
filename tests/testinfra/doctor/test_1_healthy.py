# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On healthy hosts the doctor finds nothing, changes nothing, and leaves its report."""

from __future__ import annotations

import pathlib

import pytest
from doctor_helpers import PAGE, clean, doctor, verify
from overlay_helpers import NAMES, differences, side_by_side, snapshot
from testinfra.host import Host


@pytest.mark.parametrize("backend", ["ovs_gre", "weave"])
def test_healthy(tmp_path: pathlib.Path, backend: str) -> None:
    """Every pair is well, and there is no finding, not even a note."""
    run = verify(backend)
    assert clean(run), run.text
    diagnosis = doctor(tmp_path, backend)
    assert diagnosis.findings == [], diagnosis.brief()
    assert f"doctor: hosts={len(NAMES)} findings=0 errors=0 warnings=0 notes=0" in diagnosis.run.text
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert all(name in page for name in NAMES)


def test_nothing_changes(hosts: dict[str, Host], tmp_path: pathlib.Path) -> None:
    """No task reports a change, and the hosts are what they were."""
    before = {name: snapshot(host) for name, host in hosts.items()}
    assert doctor(tmp_path, "ovs_gre").run.changed == set()

    def check(name: str) -> None:
        assert differences(before[name], snapshot(hosts[name])) == []

    side_by_side(check, NAMES)
