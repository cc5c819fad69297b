# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""overlay_plan between Ansible's variables and the plan."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.action import overlay_plan


def info(number: int) -> dict[str, t.Any]:
    """The registered result of overlay_info."""
    card = {"name": "eth1", "mtu": 1500, "mac": f"02::{number}", "kind": "ether", "addresses": [f"192.0.2.{number}/24"]}
    return {
        "overlay": {
            "uid": 0,
            "machine_id": f"id{number}",
            "system": {"id": "debian", "like": [], "name": "Debian", "systemd": True},
            "interfaces": [card],
            "routes": [],
            "docker": {"installed": True, "running": True, "networks": [], "containers": []},
            "openvswitch": {"installed": True},
            "slices": {},
        }
    }


def plan(hostvars: dict[str, dict[str, t.Any]], in_play: list[str], **args: t.Any) -> dict[str, t.Any]:
    """Run the action on these variables."""
    action = overlay_plan.ActionModule.__new__(overlay_plan.ActionModule)
    names = list(hostvars)
    task = {"hosts": names, "info_variable": "host", "pool": "10.50.0.0/16", **args}
    action._task = type("Task", (), {"args": task, "async_val": 0, "check_mode": False, "diff": False})()
    action._connection = type("Connection", (), {"_shell": type("Shell", (), {"tmpdir": None})()})()
    return action.run(task_vars={"hostvars": hostvars, "ansible_play_hosts_all": in_play})


def test_answer() -> None:
    """Slices, gateways and peers of all hosts; the address comes from the first variable that is set."""
    hostvars = {
        "h1": {"ansible_host": "198.51.100.1", "overlay_underlay_ip": "192.0.2.1", "host": info(1)},
        "h2": {"ansible_host": "192.0.2.2", "host": info(2), "overlay_slice": "10.50.7.0/24"},
    }
    result = plan(hostvars, ["h1", "h2"])
    assert not result.get("failed"), result
    assert result["plan"]["peers"] == [{"name": "h1", "address": "192.0.2.1"}, {"name": "h2", "address": "192.0.2.2"}]
    assert result["plan"]["hosts"]["h2"]["slice"] == "10.50.7.0/24"
    assert result["plan"]["hosts"]["h2"]["gateway"] == "10.50.7.1"
    assert result["plan"]["mtu"] == 1458


def test_problems_are_numbered_sentences() -> None:
    """And all of them are told."""
    result = plan({"h1": {"overlay_underlay_ip": "192.0.2.9", "host": info(1)}}, ["h1"])
    assert result["failed"]
    assert len(result["problems"]) == 2
    assert result["msg"].startswith("Nothing was changed; 2 problems stand in the way: (1) an overlay joins at least 2")


def test_hosts_outside_the_limit_are_not_taken_for_lost() -> None:
    """What an earlier run registered for them in a fact cache does not count either."""
    hostvars = {
        "h1": {"ansible_host": "192.0.2.1", "host": info(1)},
        "h2": {"ansible_host": "192.0.2.2", "host": info(2)},
    }
    result = plan(hostvars, ["h1"])
    assert "new host(s) h1 need a slice" in result["msg"]
    assert "--limit" in result["msg"]
