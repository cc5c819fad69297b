# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: overlay_slices
short_description: Give every host a slice of an address pool
version_added: "0.1.0"
description:
  - Returns a dictionary from host name to slice. Pinned and known slices are kept, other hosts get the lowest free slice in list order.
  - Fails when a slice lies outside the pool, two hosts share addresses, or the pool is used up.
positional: _input
options:
  _input:
    description: Host names, in inventory order.
    type: list
    elements: str
    required: true
  pool:
    description: Address pool, an IPv4 network in CIDR form without host bits.
    type: str
    required: true
  prefix:
    description: Prefix length of new slices, at most 29.
    type: int
    default: 24
  pins:
    description: Slices fixed by the operator, by host name.
    type: dict
    default: {}
  known:
    description: Slices given out before, by host name. Hosts that are no longer listed keep theirs reserved while others are free.
    type: dict
    default: {}
author:
  - The crosshost.overlay authors (@crosshost)
"""

EXAMPLES = r"""
- name: Show the slices of three hosts
  ansible.builtin.debug:
    msg: "{{ ['h1', 'h2', 'h3'] | crosshost.overlay.overlay_slices(pool='10.50.0.0/16', pins={'h2': '10.50.9.0/24'}) }}"
"""

RETURN = r"""
_value:
  description: Slice of each host in CIDR form.
  type: dict
  sample: {"h1": "10.50.0.0/24", "h2": "10.50.9.0/24", "h3": "10.50.1.0/24"}
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _slices


def overlay_slices(
    names: t.Sequence[str],
    pool: str,
    prefix: int = 24,
    pins: t.Mapping[str, str] | None = None,
    known: t.Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Wrap the allocation for templates."""
    try:
        return _slices.allocate(pool, prefix, names, pins or {}, known or {})
    except _slices.SliceError as exc:
        raise AnsibleFilterError(f"overlay_slices: {exc}") from exc


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Map names to functions."""
        return {"overlay_slices": overlay_slices}
