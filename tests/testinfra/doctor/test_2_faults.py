# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One fault at a time: the doctor's first finding is its cause, and after its remedy every pair is well."""

from __future__ import annotations

import os
import pathlib
import random
import typing as t

import pytest
from doctor_faults import host_faults, mesh_faults
from doctor_helpers import QUICK, Fault, clean, doctor, follow, on_hosts, verify, wait_for_sign, words
from doctor_weave_faults import link_faults, router_faults
from overlay_helpers import SEED, play, wait_for
from testinfra.host import Host
from weave_helpers import Links

FAULTS = [*mesh_faults(), *host_faults(), *router_faults(), *link_faults()]
# So many of them, each time others; without it all of them.
if COUNT := int(os.environ.get("OVERLAY_FAULTS", "0")):
    CHOSEN = sorted(random.Random(SEED).sample(range(len(FAULTS)), min(COUNT, len(FAULTS))))
    FAULTS = [FAULTS[number] for number in CHOSEN]


@pytest.fixture
def repaired(hosts: dict[str, Host], fault: Fault, request: pytest.FixtureRequest) -> t.Iterator[None]:
    """Nothing of a fault stays for the next one, also when the test of it fails."""
    failed = request.session.testsfailed
    yield
    broken = request.session.testsfailed != failed
    for commands in (fault.by_hand if broken else {}, fault.undo):
        for name, command in commands.items():
            hosts[name].run("timeout 60 sh -c %s", command)
    if broken:
        allow = ("-e", "weave_allow_rename=true", "-e", "weave_allow_range_change=true")
        for backend in ("ovs_gre", "weave"):
            play("site", "-e", f"overlay_backend={backend}", *allow, *QUICK)


@pytest.mark.usefixtures("repaired")
@pytest.mark.parametrize("fault", FAULTS, ids=[f"{fault.backend}: {fault.name}" for fault in FAULTS])
def test_fault(hosts: dict[str, Host], tmp_path: pathlib.Path, fault: Fault) -> None:
    """Cause, host and remedy are named first; the remedy cures."""
    linked = Links(hosts).whole
    if fault.backend == "weave":
        wait_for("all routers are linked", linked, 90)
    on_hosts(hosts, fault.cause)
    if fault.sign:
        wait_for_sign(hosts, fault.sign)
    diagnosis = doctor(tmp_path, fault.backend)
    first = diagnosis.first
    assert first["id"] == fault.finding, diagnosis.brief()
    assert sorted(first["hosts"]) == sorted(fault.hosts), diagnosis.brief()
    assert [text for text in fault.says if text not in words(first)] == [], words(first)
    assert first["evidence"], first
    run = None
    if fault.by_hand:
        on_hosts(hosts, fault.by_hand)
    else:
        run = follow(hosts, first, fault.backend)
    if fault.backend == "weave":
        wait_for("all routers are linked", linked, 60)
    # A whole site.yml ends with a verify of its own.
    if run is None or "verify: hosts=" not in run.text:
        run = verify(fault.backend)
    assert clean(run), run.text
