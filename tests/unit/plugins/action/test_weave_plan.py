# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""weave_plan between Ansible's variables and the plan."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.action import weave_plan


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
            "slices": {},
        }
    }


def weave(**facts: t.Any) -> dict[str, t.Any]:
    """The registered result of weave_info."""
    return {
        "weave": {"docker": {"version": "29.0.1", "api_min": "1.44", "api_max": "1.52"}, "database": False, **facts}
    }


def host(number: int, **variables: t.Any) -> dict[str, t.Any]:
    """The variables of a host that both readers have been on."""
    return {"ansible_host": f"192.0.2.{number}", "host": info(number), "router": weave(), **variables}


def plan(hostvars: dict[str, dict[str, t.Any]], in_play: list[str], **args: t.Any) -> dict[str, t.Any]:
    """Run the action on these variables."""
    action = weave_plan.ActionModule.__new__(weave_plan.ActionModule)
    task = {
        "hosts": list(hostvars),
        "info_variable": "host",
        "weave_variable": "router",
        "ipalloc_range": "10.32.0.0/12",
        **args,
    }
    action._task = type("Task", (), {"args": task, "async_val": 0, "check_mode": False, "diff": False})()
    action._connection = type("Connection", (), {"_shell": type("Shell", (), {"tmpdir": None})()})()
    return action.run(task_vars={"hostvars": hostvars, "ansible_play_hosts_all": in_play})


def test_answer() -> None:
    """Peers of the whole group, also of a host that is down; names from the inventory; the API version Docker wants."""
    hostvars = {
        "h1": host(1, overlay_weave_name="::1"),
        "h2": host(2),
        "h3": {"ansible_host": "198.51.100.3", "overlay_underlay_ip": "192.0.2.3"},
    }
    result = plan(hostvars, ["h1", "h2", "h3"])
    assert not result.get("failed"), result
    answer = result["plan"]
    assert answer["peers"] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert answer["hosts"]["h1"] == {
        "underlay_ip": "192.0.2.1",
        "interface": "eth1",
        "name": "00:00:00:00:00:01",
        "init": answer["hosts"]["h2"]["init"],
        "mtu": 0,
        "api_version": "1.44",
        "reached": True,
    }
    assert not answer["hosts"]["h3"]["reached"]
    assert answer["hosts"]["h1"]["init"].count(":") == 15
    assert answer["docker_known"]
    assert answer["script"] == {"fetch": True, "hosts": ["h1", "h2"], "sha256": ""}
    assert "not reached in this run: h3" in result["notices"][0]


def test_docker_that_is_not_there_yet() -> None:
    """The plan has to be made again when it is."""
    hostvars = {"h1": host(1), "h2": host(2, router={"weave": {"docker": {"version": "", "api_min": ""}}})}
    assert plan(hostvars, ["h1", "h2"])["plan"]["docker_known"] is False


def test_settings_of_hosts_are_compared() -> None:
    """The first variable of a host counts, the default where there is none, and no secret is told."""
    rules = [
        {"variables": ["weave_range", "overlay_pool"], "default": "10.32.0.0/12"},
        {"variables": ["weave_password", "overlay_weave_password"], "secret": True},
        {"variables": ["weave_port"], "default": "6783"},
    ]
    hostvars = {
        "h1": host(1, overlay_pool="10.32.0.0/12", weave_password="canary-one", weave_port=6783),
        "h2": host(2, weave_range="10.48.0.0/12", overlay_pool="10.32.0.0/12", overlay_weave_password="canary-two"),
    }
    result = plan(hostvars, ["h1", "h2"], equal=rules)
    assert len(result["problems"]) == 2
    assert "overlay_pool is not the same on all hosts (10.32.0.0/12 on h1; 10.48.0.0/12 on h2)" in result["msg"]
    assert "overlay_weave_password is not the same on all hosts (one value on h1; another on h2)" in result["msg"]
    assert "canary" not in repr(result)


def test_hosts_outside_the_limit() -> None:
    """What an earlier run registered for them does not count, and a network of theirs is not guessed at."""
    hostvars = {"h1": host(1), "h2": host(2)}
    result = plan(hostvars, ["h1"])
    assert result["msg"].startswith("Nothing was changed: whether h1 join(s) a network that h2 have already")
    assert plan(hostvars, ["h1"], ipalloc_init="observer")["plan"]["hosts"]["h1"]["init"] == "observer"


def test_problems_of_the_script_are_told_with_the_others(tmp_path: pathlib.Path) -> None:
    """All at once."""
    result = plan({"h1": host(1)}, ["h1"], script_file=str(tmp_path / "none"), script_given=True)
    assert len(result["problems"]) == 2
    assert "2 problems stand in the way: (1) an overlay joins" in result["msg"]
    assert "(2) weave_script_file names a file" in result["msg"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("port", 7000),
        ("dns", False),
        ("mtu", 1300),
        ("connection_limit", 9),
        ("minimum_hosts", 1),
        ("allow_rename", True),
    ],
)
def test_every_option_reaches_the_planner(monkeypatch: pytest.MonkeyPatch, option: str, value: object) -> None:
    """By the name the planner has for it."""
    seen = []
    real = weave_plan.make_plan

    def spy(hosts: t.Any, wish: t.Any) -> t.Any:
        seen.append(wish)
        return real(hosts, wish)

    monkeypatch.setattr(weave_plan, "make_plan", spy)
    plan({"h1": host(1), "h2": host(2)}, ["h1", "h2"], **{option: value})
    assert getattr(seen[0], option) == value


def test_options_are_documented_as_they_are() -> None:
    """Those of the documentation and those of the action."""
    yaml = pytest.importorskip("yaml")
    from ansible_collections.crosshost.overlay.plugins.modules import weave_plan as module

    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert set(documented) == set(weave_plan.SPEC)
    for name, option in weave_plan.SPEC.items():
        assert documented[name]["type"] == option["type"], name
        assert documented[name].get("default") == option.get("default"), name
        assert documented[name].get("choices") == option.get("choices"), name
