# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first runs on bare hosts do what check mode said, show no password, and touch nothing of others; the second ones do nothing."""

from __future__ import annotations

import contextlib
import pathlib
import time

import pytest
from doctor_helpers import PAIRS, QUICK, clean
from overlay_helpers import NAMES
from promises_bystanders import Bystanders
from promises_helpers import BACKENDS, BRIEF, CANARY, Watch, as_foretold, left_lying, quiet, run
from testinfra.host import Host


@pytest.mark.parametrize("backend", BACKENDS)
def test_first_run_is_foretold(
    hosts: dict[str, Host], bystanders: Bystanders, tmp_path: pathlib.Path, backend: str
) -> None:
    """With everything Ansible can print; nobody but root gets to see the password, during the run or after it."""
    predicted = run("site", backend, "--check", "--diff").ok()
    report = ("-e", f"verify_report_directory={tmp_path}")
    with contextlib.ExitStack() as stack:
        watches = [stack.enter_context(Watch(hosts[name])) for name in NAMES]
        real = run("site", backend, "-vvv", "--diff", *QUICK, *report).ok()
    assert clean(real), f"not {PAIRS} pairs\n{real.text[-5000:]}"
    as_foretold(predicted, real)
    assert [watch.host for watch in watches if watch.seen()] == [], "the password was in the process list"
    written = [
        path.name for path in tmp_path.rglob("*") if path.is_file() and CANARY in path.read_text(encoding="utf-8")
    ]
    assert written == [], "the password is in a report"
    bystanders.check()


def test_password_is_left_nowhere(hosts: dict[str, Host]) -> None:
    """Neither in files that others can read nor in the journal; root finds it where Docker keeps it."""
    found = {name: left_lying(host) for name, host in hosts.items()}
    assert found == {name: [] for name in NAMES}
    assert CANARY in hosts[NAMES[0]].check_output("docker inspect weave"), "the router runs without the password"


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_run_does_nothing(lengths: dict[str, float], backend: str) -> None:
    """Check mode says so, and so it is, beside the other backend too. How long that takes is what kills are spread over."""
    quiet(backend)
    began = time.monotonic()
    assert run("site", backend, "--diff", *BRIEF).ok().changed == set()
    lengths[backend] = time.monotonic() - began


@pytest.mark.parametrize("playbook", ["verify", "doctor"])
def test_what_only_looks_changes_nothing(tmp_path: pathlib.Path, playbook: str) -> None:
    """No task of theirs reports a change."""
    for backend in BACKENDS:
        done = run(playbook, backend, *QUICK, "-e", f"doctor_report_directory={tmp_path}").ok()
        assert done.changed == set(), backend
