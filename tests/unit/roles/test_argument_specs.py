# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written down twice must agree: role defaults and argument_specs, the action group and the modules, ..."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


def load(*parts: str) -> dict:
    """Return the content of a YAML file of the collection; an empty or missing one is an empty mapping."""
    path = ROOT.joinpath(*parts)
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}


def specs(role: str) -> dict:
    """Return the entry points of a role with their options."""
    return load("roles", role, "meta", "argument_specs.yml")["argument_specs"]


@pytest.mark.parametrize("role", ROLES)
def test_main_options_are_the_defaults(role: str) -> None:
    options = specs(role)["main"].get("options", {})

    assert sorted(options) == sorted(load("roles", role, "defaults", "main.yml"))


@pytest.mark.parametrize("role", ROLES)
def test_default_in_the_spec_is_the_real_one(role: str) -> None:
    defaults = load("roles", role, "defaults", "main.yml")
    stated = {
        name: option["default"]
        for entry_point in specs(role).values()
        for name, option in entry_point.get("options", {}).items()
        if "default" in option
    }

    assert stated == {name: defaults.get(name) for name in stated}


@pytest.mark.parametrize("role", ROLES)
def test_entry_points_are_main_and_teardown(role: str) -> None:
    has_teardown = (ROOT / "roles" / role / "tasks" / "teardown.yml").exists()

    assert set(specs(role)) >= ({"main", "teardown"} if has_teardown else {"main"})


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_has_tasks_and_known_options(role: str) -> None:
    known = set(load("roles", role, "defaults", "main.yml"))

    for name, entry_point in specs(role).items():
        assert (ROOT / "roles" / role / "tasks" / f"{name}.yml").exists(), name
        assert set(entry_point.get("options", {})) <= known, name


@pytest.mark.parametrize("role", ROLES)
def test_readme_table_names_every_variable(role: str) -> None:
    readme = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    in_table = set(re.findall(rf"^\| *`({re.escape(role)}_\w+)`", readme, flags=re.MULTILINE))

    # A role need not have a table, but one that has must not lag behind.
    assert in_table in (set(), set(load("roles", role, "defaults", "main.yml")))


@pytest.mark.parametrize("role", [role for role in ROLES if role != "verify"])
def test_hosts_that_leave_are_nobodys_peers(role: str) -> None:
    hosts = load("roles", role, "defaults", "main.yml").get(f"{role}_hosts")

    # verify takes those of the play, which has left them out.
    assert hosts is None or "reject('in', overlay_leaving | default([]))" in hosts


def test_action_group_is_the_modules() -> None:
    modules = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}

    assert load("meta", "runtime.yml")["action_groups"]["overlay"] == sorted(modules)


def test_no_integration_target_has_the_name_of_a_role() -> None:
    targets = {path.name for path in (ROOT / "tests" / "integration" / "targets").iterdir()}

    # ansible-test would run the role of the collection instead of the target, and succeed.
    assert not targets & set(ROLES)


def test_the_unit_tests_have_the_packages_of_the_collection() -> None:
    def pins(*parts: str) -> list[str]:
        lines = ROOT.joinpath(*parts).read_text(encoding="utf-8").splitlines()
        return [line for line in lines if not line.startswith("#")]

    assert pins("tests", "unit", "requirements.txt") == pins("requirements.txt")
