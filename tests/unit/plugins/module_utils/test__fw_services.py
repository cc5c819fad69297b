# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services of firewalls: stopped and masked, and given back as they were."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _fw_services
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import FirewallError
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_services import Service, State

# systemctl show of systemd 252, on a host with firewalld, nftables (off) and no other.
SHOWN = """Id=firewalld.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled

Id=ufw.service
LoadState=not-found
ActiveState=inactive
UnitFileState=

Id=nftables.service
LoadState=loaded
ActiveState=inactive
UnitFileState=disabled
"""
FIREWALLD = Service("firewalld", active=True, enabled=True, masked=False)
NFTABLES = Service("nftables", active=False, enabled=False, masked=False)


def run(argv: t.Sequence[str], stdin: str | None = None, timeout: float = 30) -> Result:
    """systemctl show."""
    assert argv[:2] == ["systemctl", "show"]
    return Result(tuple(argv), 0, SHOWN, "")


def words(plan: t.Any) -> list[str]:
    """The commands of a plan."""
    return [" ".join(step.argv) for step in plan.steps]


def test_observe(tmp_path: pathlib.Path) -> None:
    """Units that are not installed are left out."""
    assert _fw_services.observe(run, str(tmp_path / "none")) == State((FIREWALLD, NFTABLES), ())


def test_nothing_to_do() -> None:
    """Neither where nothing was ever disabled nor where no firewall runs."""
    assert not _fw_services.plan(State((FIREWALLD, NFTABLES), ()), False).steps
    assert not _fw_services.plan(State((NFTABLES,), ()), True).steps


def test_disable_records_first() -> None:
    """An interruption after the record is only completed; one before it has changed nothing."""
    plan = _fw_services.plan(State((FIREWALLD, NFTABLES), ()), True, "/ledger")
    assert words(plan) == [
        "write /ledger",
        "systemctl disable --now firewalld.service",
        "systemctl mask firewalld.service",
    ]
    assert json.loads(plan.steps[0].stdin) == [dataclasses.asdict(FIREWALLD)]
    assert plan.reloads


def test_disable_is_completed() -> None:
    """Stopped and not yet masked, by a run that was cut off: the record stays what it was before."""
    stopped = dataclasses.replace(FIREWALLD, active=False, enabled=True)
    plan = _fw_services.plan(State((stopped,), (FIREWALLD,)), True, "/ledger")
    assert words(plan) == ["systemctl disable --now firewalld.service", "systemctl mask firewalld.service"]


def test_masked_by_somebody_else() -> None:
    """Stays that, also afterwards."""
    masked = dataclasses.replace(FIREWALLD, active=False, enabled=False, masked=True)
    assert not _fw_services.plan(State((masked,), ()), True).steps
    assert not _fw_services.plan(State((masked,), ()), False).steps


def test_ufw_has_a_switch_of_its_own() -> None:
    """It takes its rules away, and the restart of the unit alone would not bring them back."""
    ufw = Service("ufw", active=True, enabled=True, masked=False, switched_on=True)
    assert words(_fw_services.plan(State((ufw,), ()), True, "/ledger"))[1] == "ufw disable"
    masked = dataclasses.replace(ufw, active=False, enabled=False, masked=True, switched_on=False)
    assert words(_fw_services.plan(State((masked,), (ufw,)), False, "/ledger")) == [
        "systemctl unmask ufw.service",
        "systemctl enable ufw.service",
        "ufw --force enable",
        "systemctl start ufw.service",
    ]


def test_restore_gives_back_what_was_no_more() -> None:
    """A unit that was only enabled is not started; one that was uninstalled since is passed over."""
    idle = Service("nftables", active=False, enabled=True, masked=False)
    gone = Service("ufw", active=True, enabled=True, masked=False)
    now = State((dataclasses.replace(idle, enabled=False, masked=True),), (idle, gone))
    assert words(_fw_services.plan(now, False, "/ledger")) == [
        "systemctl unmask nftables.service",
        "systemctl enable nftables.service",
    ]


def test_ledger_goes_last() -> None:
    """When everything in it has been seen to be back; a run that is cut off before knows what is missing."""
    stopped = dataclasses.replace(FIREWALLD, active=False)
    assert words(_fw_services.plan(State((stopped,), (FIREWALLD,)), False, "/ledger")) == [
        "systemctl start firewalld.service"
    ]
    assert words(_fw_services.plan(State((FIREWALLD,), (FIREWALLD,)), False, "/ledger")) == ["rm /ledger"]


@pytest.mark.parametrize("text", ["{", '[{"name": "ufw"}]', "[1]"])
def test_damaged_ledger(tmp_path: pathlib.Path, text: str) -> None:
    """It says what to do by hand."""
    ledger = tmp_path / "ledger"
    ledger.write_text(text, encoding="utf-8")
    with pytest.raises(FirewallError, match=r"is damaged .*systemctl unmask"):
        _fw_services.observe(run, str(ledger))
