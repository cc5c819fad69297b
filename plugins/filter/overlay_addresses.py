# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: overlay_addresses
short_description: Underlay addresses of hosts
version_added: "0.1.0"
description:
  - Returns the address under which the other hosts of the overlay reach each host. This is the host variable C(overlay_underlay_ip), else
    C(ansible_host), else the host's name. Names are looked up by the controller.
  - Fails if a name cannot be looked up.
positional: _input, hostvars
options:
  _input:
    description: Inventory names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable C(hostvars).
    type: dict
    required: true
  timeout:
    description: Seconds that looking up all names may take.
    type: int
    default: 10
author:
  - The crosshost.overlay authors (@crosshost)
"""

EXAMPLES = r"""
- name: Show the underlay addresses of all hosts
  ansible.builtin.debug:
    msg: "{{ groups['overlay'] | crosshost.overlay.overlay_addresses(hostvars) }}"
"""

RETURN = r"""
_value:
  description: One address for each host, in their order.
  type: list
  elements: str
  sample: ["192.0.2.11", "192.0.2.12"]
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.crosshost.overlay.plugins.plugin_utils._resolve import resolve, underlay_name


def overlay_addresses(
    hosts: t.Sequence[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]], timeout: float = 10
) -> list[str]:
    """Return the addresses of these hosts."""
    names = {host: underlay_name(host, hostvars.get(host, {})) for host in hosts}
    found = resolve(list(names.values()), timeout)
    missing = [f"'{name}' of host '{host}'" for host, name in names.items() if name not in found]
    if missing:
        raise AnsibleFilterError(
            f"overlay_addresses: {', '.join(missing)} cannot be looked up on the controller; "
            "set overlay_underlay_ip of these hosts to an address"
        )
    return [found[name] for name in names.values()]


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Map names to functions."""
        return {"overlay_addresses": overlay_addresses}
