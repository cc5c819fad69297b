# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.crosshost.overlay.plugins.plugin_utils._hosts import message
from ansible_collections.crosshost.overlay.plugins.plugin_utils._resolve import resolve, underlay_name
from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_names import WeaveHost
from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_plan import Plan, Wish, make_plan
from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_script import Script, decide_script, read

display = Display()

# Those that the planner takes as they are, by its own names for them.
WISHES = {
    "range": "ipalloc_range",
    "default_subnet": "ipalloc_default_subnet",
    "init": "ipalloc_init",
    **{
        name: name
        for name in (
            *("image_source", "version", "port", "http_address", "dns", "mtu", "connection_limit", "fast_datapath"),
            *("allow_overlap", "allow_rename", "allow_range_change", "minimum_hosts", "packages"),
        )
    },
}
SPEC: dict[str, t.Any] = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "info_variable": {"type": "str", "required": True},
    "weave_variable": {"type": "str", "required": True},
    "ipalloc_range": {"type": "str", "required": True},
    "ipalloc_default_subnet": {"type": "str", "default": ""},
    "ipalloc_init": {"type": "str", "default": ""},
    "image_source": {"type": "str", "default": "rajchaudhuri"},
    "version": {"type": "str", "default": "2.9.0"},
    "script_file": {"type": "path", "default": ""},
    "script_given": {"type": "bool", "default": False},
    "script_checksum": {"type": "str", "default": ""},
    "port": {"type": "int", "default": 6783},
    "http_address": {"type": "str", "default": "127.0.0.1:6784"},
    "dns": {"type": "bool", "default": True},
    "mtu": {"type": "int", "default": 0},
    "connection_limit": {"type": "int", "default": 200},
    "fast_datapath": {"type": "str", "default": "auto", "choices": ["auto", "required", "disabled"]},
    "equal": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "variables": {"type": "list", "elements": "str", "required": True},
            "default": {"type": "str", "default": ""},
            "secret": {"type": "bool", "default": False},
        },
    },
    "allow_overlap": {"type": "bool", "default": False},
    "allow_rename": {"type": "bool", "default": False},
    "allow_range_change": {"type": "bool", "default": False},
    "minimum_hosts": {"type": "int", "default": 2},
    "packages": {"type": "dict", "default": {}},
    "resolve_timeout": {"type": "int", "default": 10},
}


class ActionModule(ActionBase):
    """Compare all hosts on the controller, before the first change; run it once for the play."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the plan, or fail with every problem found."""
        super().run(tmp, task_vars)
        _dummy_result, args = self.validate_argument_spec(SPEC)
        hosts = read_hosts(args, task_vars or {})
        wish = Wish(
            **{name: args[option] for name, option in WISHES.items()},
            secret=[rule["variables"][-1] for rule in args["equal"] if rule["secret"]],
        )
        plan = make_plan(hosts, wish)
        script, script_problems = decide_script(
            hosts, wish.version, read(args["script_file"]), args["script_given"], args["script_checksum"]
        )
        problems = plan.problems + script_problems
        for notice in plan.notices:
            display.warning(notice)
        if problems:
            return {"failed": True, "msg": message(problems), "problems": problems, "notices": plan.notices}
        return {"changed": False, **answer(plan, script, hosts, wish)}


def read_hosts(args: t.Mapping[str, t.Any], variables: t.Mapping[str, t.Any]) -> list[WeaveHost]:
    """Collect what the inventory and the two readers say of every host."""
    in_play = set(variables.get("ansible_play_hosts_all", []))
    rows = []
    for name in args["hosts"]:
        values = variables["hostvars"][name]
        found = [
            result.get(key) if name in in_play and isinstance(result, dict) else None
            for result, key in (
                (values.get(args["info_variable"]), "overlay"),
                (values.get(args["weave_variable"]), "weave"),
            )
        ]
        settings = {rule["variables"][-1]: setting(values, rule) for rule in args["equal"]}
        rows.append((name, underlay_name(name, values), found, str(values.get("overlay_weave_name") or ""), settings))
    addresses = resolve([given for dummy, given, dummy2, dummy3, dummy4 in rows], args["resolve_timeout"])
    return [
        WeaveHost(name, addresses.get(given, given), found[0], pin or None, name not in in_play, found[1], settings)
        for name, given, found, pin, settings in rows
    ]


def setting(values: t.Mapping[str, t.Any], rule: t.Mapping[str, t.Any]) -> str:
    """Return a host's value of a setting: that of the first variable it has, else the default."""
    for variable in rule["variables"]:
        value = values.get(variable)
        if value is not None:
            return str(value)
    return str(rule["default"])


def answer(plan: Plan, script: Script, hosts: t.Sequence[WeaveHost], wish: Wish) -> dict[str, t.Any]:
    """Shape the plan as the module's result."""
    return {
        "plan": {
            "range": wish.range,
            "peers": [host.underlay_ip for host in hosts],
            "connection_limit": plan.connection_limit,
            "docker_known": all(host.part("docker").get("api_min") for host in hosts if host.reached),
            "script": {"fetch": script.fetch, "hosts": script.hosts, "sha256": script.sha256},
            "hosts": {
                host.name: {
                    "underlay_ip": host.underlay_ip,
                    "interface": plan.interfaces.get(host.name),
                    "name": plan.names[host.name],
                    "init": plan.inits[host.name],
                    "mtu": plan.mtus.get(host.name, 0),
                    "api_version": plan.api_versions.get(host.name, ""),
                    "reached": host.reached,
                }
                for host in hosts
            },
        },
        "notices": plan.notices,
    }
