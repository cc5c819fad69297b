# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: overlay_mtu
short_description: Compute the overlay MTU from the underlay MTU and the encapsulation
version_added: "0.1.0"
description:
  - Returns the size in bytes of the largest IP packet that a tunnel carries over an underlay of the given MTU without fragmentation.
  - Header sizes are those of RFC 2784 and RFC 2890 (GRE), RFC 7348 (VXLAN) and RFC 8926 (Geneve without options).
positional: _input
options:
  _input:
    description: Underlay MTU in bytes, 576 to 65535.
    type: int
    required: true
  tunnel_type:
    description: Encapsulation.
    type: str
    choices: [gre, ip6gre, vxlan, geneve]
    default: gre
  ip_version:
    description: IP version of the underlay. V(ip6gre) always counts as 6.
    type: int
    choices: [4, 6]
    default: 4
  key:
    description: Whether the GRE header carries a key (4 bytes).
    type: bool
    default: false
  csum:
    description: Whether the GRE header carries a checksum (4 bytes).
    type: bool
    default: false
  seq:
    description: Whether the GRE header carries a sequence number (4 bytes).
    type: bool
    default: false
  vlan_tags:
    description: VLAN tags of the inner frame (4 bytes each).
    type: int
    choices: [0, 1, 2]
    default: 0
author:
  - The crosshost.overlay authors (@crosshost)
"""

EXAMPLES = r"""
- name: Show the MTU for GRE with a key over Ethernet
  ansible.builtin.debug:
    msg: "{{ 1500 | crosshost.overlay.overlay_mtu(key=true) }}" # 1458
"""

RETURN = r"""
_value:
  description: Overlay MTU in bytes.
  type: int
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _mtu


def overlay_mtu(underlay_mtu: int, **encapsulation: object) -> int:
    """Wrap the arithmetic for templates."""
    try:
        return _mtu.overlay_mtu(underlay_mtu, **encapsulation)
    except (TypeError, ValueError) as exc:
        raise AnsibleFilterError(f"overlay_mtu: {exc}") from exc


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Map names to functions."""
        return {"overlay_mtu": overlay_mtu}
