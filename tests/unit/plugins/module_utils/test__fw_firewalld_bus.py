# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fixture is what firewalld 1.3.3 of Debian 12 said on D-Bus and by firewall-cmd, with the services 'mesh' and 'sleeve' made by hand."""

from __future__ import annotations

import json
import shlex
import typing as t
from pathlib import Path

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _fw_firewalld_bus
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_firewalld_read import parse_sections

RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "firewall" / "firewalld_bus.json").read_text())


def recorded(argv: t.Sequence[str], stdin: str | None = None, timeout: float = 30) -> Result:
    answer = RECORDED[shlex.join(argv)]
    return Result(tuple(argv), answer["rc"], answer["out"], answer["err"], False, timeout)


def test_state_and_default_zone() -> None:
    assert _fw_firewalld_bus.is_running(recorded)
    assert _fw_firewalld_bus.default_zone(recorded) == "public"


@pytest.mark.parametrize("name", ["ssh", "dhcpv6-client", "mesh", "sleeve", "none-such"])
def test_service_is_the_one_firewall_cmd_prints(name: str) -> None:
    printed = parse_sections(RECORDED[f"firewall-cmd --info-service={name}"]["out"]).get(name)
    told = _fw_firewalld_bus.service(recorded, name)
    assert told == (None if printed is None else printed.fields)


@pytest.mark.parametrize(
    "answer", ["", "[]", '{"data": [[]]}', '{"data": [{"ports": "22"}]}', '{"data": [{"ports": {"data": 22}}]}']
)
def test_answer_that_is_no_service_is_none(answer: str) -> None:
    def run(argv: t.Sequence[str], stdin: str | None = None, timeout: float = 30) -> Result:
        return Result(tuple(argv), 0, answer, "", False, timeout)

    assert _fw_firewalld_bus.service(run, "ssh") is None
