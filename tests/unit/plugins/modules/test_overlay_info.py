# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What overlay_info makes of a service; the rest of it is read by _docker.py, _host.py and _ovs.py."""

from __future__ import annotations

import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.crosshost.overlay.plugins.modules import overlay_info

if t.TYPE_CHECKING:
    from conftest import FakeCli

SHOW = ("systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", "--", "openvswitch-switch")


@pytest.mark.parametrize(
    ("rc", "out", "expected"),
    [
        pytest.param(
            0, "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n", ("active", "enabled"), id="runs"
        ),
        pytest.param(
            0, "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n", ("inactive", "disabled"), id="off"
        ),
        pytest.param(0, "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n", ("", ""), id="no such unit"),
        pytest.param(1, "", ("", ""), id="systemd does not answer"),
    ],
)
def test_service(fake_cli: FakeCli, rc: int, out: str, expected: tuple[str, str]) -> None:
    """Empty where systemd does not know it."""
    fake_cli.expect(*SHOW, rc=rc, out=out)
    with patch_module_args({}):
        module = AnsibleModule(argument_spec={})
    assert tuple(overlay_info.service_facts(module, "openvswitch-switch", 5).values()) == expected


def test_host_without_systemd(fake_cli: FakeCli) -> None:
    """Nothing is asked."""
    fake_cli.missing.add("systemctl")
    with patch_module_args({}):
        module = AnsibleModule(argument_spec={})
    assert overlay_info.service_facts(module, "openvswitch-switch", 5) == {"active": "", "enabled": ""}
