# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.crosshost.overlay.plugins.plugin_utils._hosts import Host, message
from ansible_collections.crosshost.overlay.plugins.plugin_utils._plan import Plan, Wish, make_plan
from ansible_collections.crosshost.overlay.plugins.plugin_utils._resolve import resolve, underlay_name
from ansible_collections.crosshost.overlay.plugins.plugin_utils._slices import gateway, network

display = Display()

SPEC: dict[str, t.Any] = {
    "hosts": {"type": "list", "elements": "str", "required": True},
    "info_variable": {"type": "str", "required": True},
    "pool": {"type": "str", "required": True},
    "slice_prefix": {"type": "int", "default": 24},
    "network_name": {"type": "str", "default": "overlay"},
    "bridge": {"type": "str", "default": "ovl0"},
    "tunnel_type": {"type": "str", "default": "gre", "choices": ["gre", "ip6gre", "vxlan", "geneve"]},
    "key": {"type": "bool", "default": True},
    "csum": {"type": "bool", "default": False},
    "mtu": {"type": "int"},
    "allow_overlap": {"type": "bool", "default": False},
    "recreate": {"type": "bool", "default": False},
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
        variables = task_vars or {}
        _dummy_result, args = self.validate_argument_spec(SPEC)
        hosts = self._hosts(args, variables)
        wish = Wish(
            pool=args["pool"],
            prefix=args["slice_prefix"],
            network=args["network_name"],
            bridge=args["bridge"],
            tunnel_type=args["tunnel_type"],
            key=args["key"],
            csum=args["csum"],
            mtu=args["mtu"],
            allow_overlap=args["allow_overlap"],
            recreate=args["recreate"],
            minimum_hosts=args["minimum_hosts"],
            packages=args["packages"],
        )
        plan = make_plan(hosts, wish)
        for notice in plan.notices:
            display.warning(notice)
        if plan.problems:
            return {"failed": True, "msg": message(plan.problems), "problems": plan.problems, "notices": plan.notices}
        return {"changed": False, **answer(plan, hosts, wish)}

    def _hosts(self, args: dict[str, t.Any], variables: dict[str, t.Any]) -> list[Host]:
        hostvars = variables["hostvars"]
        in_play = set(variables.get("ansible_play_hosts_all", []))
        rows = []
        for name in args["hosts"]:
            values = hostvars[name]
            result = values.get(args["info_variable"]) if name in in_play else None
            info = result.get("overlay") if isinstance(result, dict) else None
            rows.append((name, underlay_name(name, values), info, values.get("overlay_slice")))
        addresses = resolve([given for dummy, given, dummy2, dummy3 in rows], args["resolve_timeout"])
        return [
            Host(name, addresses.get(given, given), info, str(pin) if pin else None, limited=name not in in_play)
            for name, given, info, pin in rows
        ]


def answer(plan: Plan, hosts: t.Sequence[Host], wish: Wish) -> dict[str, t.Any]:
    """Shape the plan as the module's result."""
    return {
        "plan": {
            "pool": wish.pool,
            "mtu": plan.mtu,
            "slices": plan.slices,
            "peers": [{"name": host.name, "address": host.underlay_ip} for host in hosts],
            "hosts": {
                host.name: {
                    "underlay_ip": host.underlay_ip,
                    "interface": plan.interfaces.get(host.name),
                    "slice": plan.slices[host.name],
                    "gateway": gateway(network(plan.slices[host.name], "slice")),
                    "reached": host.info is not None,
                }
                for host in hosts
            },
        },
        "notices": plan.notices,
    }
