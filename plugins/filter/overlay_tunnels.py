# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: overlay_tunnels
short_description: List the tunnels of one host of the overlay
version_added: "0.1.0"
description:
  - Returns the O(crosshost.overlay.ovs_gre_port#module:tunnels) of one host, to every other host in a mesh, to or from the hub in a star.
positional: _input
options:
  _input:
    description: Hosts of the overlay with V(name) and V(address), as in the plan of M(crosshost.overlay.overlay_plan).
    type: list
    elements: dict
    required: true
  host:
    description: Name of the host whose tunnels are wanted.
    type: str
    required: true
  topology:
    description: V(mesh) joins every host with every other, V(hub) joins every host with O(hub) only.
    type: str
    choices: [mesh, hub]
    default: mesh
  hub:
    description: Name of the host in the middle of the star.
    type: str
  prefix:
    description: Start of the tunnels' names.
    type: str
    default: "gre-"
  options:
    description: Options of every tunnel, such as V(key). Those that are null are left out.
    type: dict
    default: {}
author:
  - The crosshost.overlay authors (@crosshost)
"""

EXAMPLES = r"""
- name: Show the tunnels of this host
  ansible.builtin.debug:
    msg: "{{ overlay_plan.plan.peers | crosshost.overlay.overlay_tunnels(host=inventory_hostname, options={'key': 1}) }}"
"""

RETURN = r"""
_value:
  description: Tunnels with V(name), V(remote_ip), V(local_ip) and the given options.
  type: list
  elements: dict
  sample: [{"name": "gre-h2", "remote_ip": "192.0.2.12", "local_ip": "192.0.2.11", "key": 1}]
"""

import re
import typing as t

from ansible.errors import AnsibleFilterError

Peers = t.Sequence[t.Mapping[str, str]]


def overlay_tunnels(
    peers: Peers,
    host: str,
    topology: str = "mesh",
    hub: str | None = None,
    prefix: str = "gre-",
    options: t.Mapping[str, t.Any] | None = None,
) -> list[dict[str, t.Any]]:
    """Return the tunnels of host."""
    addresses = {peer["name"]: peer["address"] for peer in peers}
    if host not in addresses:
        raise AnsibleFilterError(
            f"overlay_tunnels: host '{host}' is not one of the overlay's hosts ({', '.join(addresses)})"
        )
    if topology not in ("mesh", "hub"):
        raise AnsibleFilterError(f"overlay_tunnels: topology '{topology}' is neither mesh nor hub")
    if topology == "hub" and hub not in addresses:
        raise AnsibleFilterError(
            f"overlay_tunnels: hub '{hub}' is not one of the overlay's hosts ({', '.join(addresses)}); set ovs_gre_hub to one"
        )
    given = {key: value for key, value in (options or {}).items() if value is not None}
    chosen = [name for name in addresses if name != host and (topology == "mesh" or hub in (host, name))]
    names = {name: prefix + re.sub(r"[^A-Za-z0-9._-]", "-", name) for name in chosen}
    if len(set(names.values())) != len(names):
        raise AnsibleFilterError(
            f"overlay_tunnels: two hosts lead to the same tunnel name ({', '.join(sorted(names.values()))}); rename one"
        )
    return [
        {"name": names[name], "remote_ip": addresses[name], "local_ip": addresses[host], **given} for name in chosen
    ]


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Map names to functions."""
        return {"overlay_tunnels": overlay_tunnels}
