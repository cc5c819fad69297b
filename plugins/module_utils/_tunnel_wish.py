# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What the task asks for, checked as a whole before anything is read or changed. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils._tunnels import (
    Invalid,
    Tunnel,
    check_name,
    check_tunnel,
)

SINGLE = ("remote_ip", "local_ip", "key", "in_key", "out_key", "csum", "df_default", "tos", "ttl", "dst_port")


class Refused(Exception):
    """The wish would break something; args[0] is the list of reasons."""


@dataclass(frozen=True)
class Wish:
    """What the task asks for."""

    bridge: str
    tunnels: tuple[Tunnel, ...]
    absent: frozenset[str] = frozenset()
    owner: str = "ovs_gre"
    protected: bool = True
    purge: bool = False
    adopt: bool = False


def read_wish(params: t.Mapping[str, t.Any]) -> Wish:
    """Check the options; raise Refused with everything that is wrong with them."""
    items = params["tunnels"]
    if items is None:
        items = [{"name": params["name"], **{key: params[key] for key in SINGLE}}]
    reasons: list[str] = []
    tunnels: list[Tunnel] = []
    names: list[str] = []
    for what in ("bridge", "owner"):
        try:
            check_name(params[what], what)
        except Invalid as exc:
            reasons.append(str(exc))
    for item in items:
        try:
            names.append(check_name(item["name"]))
            if params["state"] == "present":
                tunnels.append(check_tunnel(item, params["type"]))
        except Invalid as exc:
            reasons.append(f"{item['name']}: {exc}")
    reasons += [
        f"{name}: the name is listed {names.count(name)} times"
        for name in sorted(set(names))
        if len(names) != len(set(names)) and names.count(name) > 1
    ]
    database = params["database"]
    if database and not database.startswith(("unix:/", "tcp:", "ssl:")):
        reasons.append(f"database {database!r} must start with 'unix:/', 'tcp:' or 'ssl:'")
    if params["timeout"] < 1:
        reasons.append("timeout must be at least 1 second")
    if reasons:
        raise Refused(reasons)
    absent = frozenset(names) if params["state"] == "absent" else frozenset()
    return Wish(
        params["bridge"], tuple(tunnels), absent, params["owner"], params["protected"], params["purge"], params["adopt"]
    )
