#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_plan
short_description: Check all hosts of an overlay against each other and plan slices and MTU
version_added: "0.1.0"
description:
  - Runs on the controller, once per play, on what M(crosshost.overlay.overlay_info) found on every host, before the first change.
  - Fails with one sentence per problem when there are fewer hosts than O(minimum_hosts), one machine or underlay address is listed twice,
    an underlay address is missing or on no interface, the run is not root, a system is not supported, O(pool) overlaps a route or a
    Docker network of a host, two hosts hold the same slice, O(mtu) is too large, or a network in use would change.
  - The underlay address of a host is its variable C(overlay_underlay_ip), else C(ansible_host), else its inventory name;
    names are resolved on the controller. Its slice can be fixed with C(overlay_slice).
  - A host keeps the slice it holds or that was recorded for it. New hosts get the lowest free slice in inventory order.
    Slices of hosts that left are given out again only when nothing else is free.
author:
  - The crosshost.overlay authors (@crosshost)
requirements:
  - netaddr (on the controller)
extends_documentation_fragment:
  - crosshost.overlay.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: It changes nothing, so there is nothing to show.
  idempotent:
    support: full
options:
  hosts:
    description:
      - Inventory names of all hosts of the overlay, also of those that this run leaves out or cannot reach.
    type: list
    elements: str
    required: true
  info_variable:
    description:
      - Name of the variable that M(crosshost.overlay.overlay_info) was registered in.
    type: str
    required: true
  pool:
    description:
      - Address pool of the overlay, an IPv4 network in CIDR form.
    type: str
    required: true
  slice_prefix:
    description:
      - Prefix length of each host's slice, at most 29.
    type: int
    default: 24
  network_name:
    description:
      - Name of the Docker network.
    type: str
    default: overlay
  bridge:
    description:
      - Name of that network's Linux bridge, whose route is told from those of others by it while Docker is stopped.
    type: str
    default: ovl0
  tunnel_type:
    description:
      - Encapsulation, for the MTU and the address family.
    type: str
    choices: [gre, ip6gre, vxlan, geneve]
    default: gre
  key:
    description:
      - Whether the tunnels carry a GRE key (4 bytes).
    type: bool
    default: true
  csum:
    description:
      - Whether the tunnels carry a GRE checksum (4 bytes).
    type: bool
    default: false
  mtu:
    description:
      - Overlay MTU in bytes. By default the largest that fits the narrowest underlay of the hosts reached.
    type: int
  allow_overlap:
    description:
      - Accept a pool that overlaps routes of the hosts.
    type: bool
    default: false
  recreate:
    description:
      - Accept that a network in use is made anew with another pool, slice or MTU.
    type: bool
    default: false
  minimum_hosts:
    description:
      - Refuse a group with fewer hosts.
    type: int
    default: 2
  packages:
    description:
      - What has to be installed on every host, as keys of the result of M(crosshost.overlay.overlay_info) with the name to show.
    type: dict
    default: {}
  resolve_timeout:
    description:
      - Seconds that resolving all names may take together.
    type: int
    default: 10
seealso:
  - module: crosshost.overlay.overlay_info
"""

EXAMPLES = r"""
- name: Read the hosts
  crosshost.overlay.overlay_info:
  register: overlay_host

- name: Plan the overlay
  crosshost.overlay.overlay_plan:
    hosts: "{{ groups['overlay'] }}"
    info_variable: overlay_host
    pool: 10.50.0.0/16
  run_once: true
  register: overlay_plan
"""

RETURN = r"""
plan:
  description:
    - V(pool), V(mtu) (bytes), V(slices) by host, V(peers) as a list of V(name) and V(address),
      and V(hosts) with V(underlay_ip), V(interface), V(slice), V(gateway) and V(reached) of each.
  returned: success
  type: dict
  sample:
    pool: 10.50.0.0/16
    mtu: 1458
    slices: {"h1": "10.50.0.0/24"}
    peers: [{"name": "h1", "address": "192.0.2.11"}]
    hosts: {"h1": {"underlay_ip": "192.0.2.11", "interface": "eth1", "slice": "10.50.0.0/24", "gateway": "10.50.0.1", "reached": true}}
problems:
  description: What stands in the way, one sentence each, naming hosts and remedy.
  returned: failure
  type: list
  elements: str
notices:
  description: What an operator should know though the run goes on.
  returned: always
  type: list
  elements: str
"""
