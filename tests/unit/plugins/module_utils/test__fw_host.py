# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All firewalls of a host together: one run at a time, plans carried out and read back."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _fw_boot, _fw_host, _fw_install
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_host import Survey
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import FirewallError, LayerPlan, Step
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_wish import Wish

OPEN = LayerPlan(
    "iptables-nft", after=("-A INPUT ...",), steps=(Step(("iptables-restore", "-w"), "*filter\nCOMMIT\n"),)
)
DONE = LayerPlan("iptables-nft", before=("-A INPUT ...",), after=("-A INPUT ...",))
RELOAD = LayerPlan("firewalld", steps=(Step(("firewall-cmd", "--reload")),), reloads=True)


def surveys(monkeypatch: pytest.MonkeyPatch, *plans: tuple[LayerPlan, ...]) -> None:
    """What one survey after another finds."""
    left = list(plans)
    monkeypatch.setattr(_fw_host, "survey", lambda *dummy: Survey((), (), left.pop(0) if len(left) > 1 else left[0]))
    monkeypatch.setattr(_fw_host, "SETTLE", 0)
    monkeypatch.setattr(_fw_host._fw_services, "observe", lambda *dummy: _fw_host._fw_services.State((), ()))


class Shell:
    """A shell that remembers what it was told, and fails at one word."""

    def __init__(self, fails: str = "") -> None:
        self.ran: list[str] = []
        self.fails = fails

    def __call__(self, argv: t.Sequence[str], stdin: str | None = None, timeout: float = 30) -> Result:
        self.ran.append(argv[0])
        status = int(argv[0] == self.fails)
        return Result(tuple(argv), status, "", "no such chain" if status else "")


def test_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Done when the next look finds nothing to do."""
    surveys(monkeypatch, (OPEN,), (DONE,))
    shell = Shell()
    last, done = _fw_host.reconcile(shell, Wish("weave"))
    assert (last.plans, done, shell.ran) == ((DONE,), [OPEN], ["iptables-restore"])


def test_reload_spoils_the_other_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made anew after it."""
    surveys(monkeypatch, (RELOAD, OPEN), (OPEN,), (DONE,))
    shell = Shell()
    dummy, done = _fw_host.reconcile(shell, Wish("weave"))
    assert done == [RELOAD, OPEN]
    assert shell.ran == ["firewall-cmd", "iptables-restore"]


def test_somebody_undoes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said after a few times, with what to look for."""
    surveys(monkeypatch, (OPEN,))
    with pytest.raises(
        FirewallError, match=r"made 4 times and are not there.*iptables-nft.*changes these rules at the same time"
    ):
        _fw_host.reconcile(Shell(), Wish("weave"))


def test_services_that_do_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 0 of systemctl is not taken for the end of it."""
    surveys(monkeypatch, (DONE,))
    running = _fw_host._fw_services.Service("ufw", active=True, enabled=True, masked=False, switched_on=False)
    monkeypatch.setattr(
        _fw_host._fw_services, "observe", lambda *dummy: _fw_host._fw_services.State((running,), (running,))
    )
    shell = Shell()
    with pytest.raises(FirewallError, match=r"ufw: active, enabled.*Something else starts or stops them"):
        _fw_host.reconcile(shell, Wish("weave", disabled=True))
    assert set(shell.ran) == {"systemctl"}


@pytest.mark.parametrize("previous", [Wish("weave", ("192.0.2.12",)), None], ids=["other peers", "nothing"])
def test_going_back(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, previous: Wish | None) -> None:
    """To the wish of before, and to the file that says so; once, and not after a confirmation."""
    asked: list[Wish | None] = []
    monkeypatch.setattr(_fw_host, "reconcile", lambda dummy, wish: (asked.append(wish), (None, []))[1])
    monkeypatch.setattr(_fw_host, "locked", contextlib.nullcontext)
    guard, wish = tmp_path / "guard" / "json", tmp_path / "wish" / "json"
    for path in (guard, wish):
        path.parent.mkdir()
    guard.write_text(json.dumps({"previous": previous and previous.text()}), encoding="utf-8")
    wish.write_text(Wish("weave", ("192.0.2.99",)).text(), encoding="utf-8")
    for dummy in range(2):
        _fw_boot.rollback(Shell(), str(guard), str(wish))
    assert asked == [previous]
    assert (wish.read_text(encoding="utf-8") if wish.exists() else None) == (previous and previous.text())
    assert not guard.exists()


@pytest.mark.parametrize(
    ("runs", "done", "saved", "affected"),
    [
        pytest.param(True, (), "*filter\n:DOCKER - [0:0]\nCOMMIT\n", False, id="whole"),
        pytest.param(True, (RELOAD,), "*filter\n:DOCKER - [0:0]\nCOMMIT\n", True, id="reloaded now"),
        pytest.param(True, (), "*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", True, id="lost to a run that was cut off"),
        pytest.param(True, (), "", True, id="no table"),
        pytest.param(False, (RELOAD,), "", False, id="no Docker"),
    ],
)
def test_docker_affected(runs: bool, done: tuple[LayerPlan, ...], saved: str, affected: bool) -> None:
    """Live state decides, not only what this run did."""

    def shell(argv: t.Sequence[str], stdin: str | None = None, timeout: float = 30) -> Result:
        if argv[0] == "systemctl":
            return Result(tuple(argv), 0 if runs else 3, "", "")
        assert tuple(argv) == ("iptables-save", "-t", "filter")
        return Result(tuple(argv), 0, saved, "")

    assert _fw_host.docker_affected(shell, done) is affected


def test_command_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The firewall, the command, its words, and two ways on."""
    surveys(monkeypatch, (OPEN,))
    with pytest.raises(
        FirewallError, match=r"iptables-nft: 'iptables-restore -w' failed .*no such chain.*state=absent"
    ):
        _fw_host.reconcile(Shell("iptables-restore"), Wish("weave"))


def test_long_input_is_shortened() -> None:
    """Hundreds of peers make thousands of lines."""
    plan = LayerPlan("x", steps=(Step(("nft", "-f", "-"), "line\n" * 100),))
    (shown,) = _fw_host.steps_of([plan])
    assert shown.splitlines()[0] == "nft -f - <<'EOF'"
    assert shown.splitlines()[-2:] == ["# ... and 60 more lines", "EOF"]


def test_one_at_a_time(tmp_path: pathlib.Path) -> None:
    """The second one waits, bounded, and is told what to look at."""
    lock = str(tmp_path / "lock")
    with _fw_host.locked(lock), pytest.raises(
        FirewallError, match=r"more than 0\.3 s .*Nothing was changed"
    ), _fw_host.locked(lock, wait=0.3):
        pytest.fail("both have it")
    with _fw_host.locked(lock, wait=0.3):
        pass


def test_lock_that_was_removed(tmp_path: pathlib.Path) -> None:
    """Whoever waits for the removed file takes the new one."""
    lock = str(tmp_path / "lock")
    with open(lock, "w", encoding="utf-8") as stale:
        os.unlink(lock)
        assert not _fw_host._take(stale, lock)
    with _fw_host.locked(lock, wait=0.3):
        assert os.path.exists(lock)


def test_program_runs_without_ansible(tmp_path: pathlib.Path) -> None:
    """As one archive, the same for the same sources, on a Python that has nothing of Ansible."""
    program = tmp_path / "firewall.pyz"
    program.write_bytes(_fw_install.archive())
    assert program.read_bytes() == _fw_install.archive()
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), "nothing"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (2, "usage: firewall.py apply|rollback\n")
