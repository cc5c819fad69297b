#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: weave_plan
short_description: Check all hosts of a Weave network against each other and plan names, seeds and MTU
version_added: "0.1.0"
description:
  - Runs on the controller, once per play, on what M(crosshost.overlay.overlay_info) and M(crosshost.overlay.weave_info) found on every
    host, before the first change.
  - Fails with one sentence per problem when there are fewer hosts than O(minimum_hosts), one machine, underlay address or peer name is
    listed twice, an underlay address is missing, IPv6 or on no interface, the run is not root, systemd is absent, O(ipalloc_range) is no
    network of at least four addresses or overlaps a route or a Docker network of a host, a setting in O(equal) differs between hosts,
    routers of one network have other ranges or seeds than the others or than asked for, the router's version and a host's Docker Engine do
    not understand each other, a port is taken by another program, a foreign container is called C(weave), or O(mtu) is too large.
  - The underlay address of a host is its variable C(overlay_underlay_ip), else C(ansible_host), else its inventory name;
    names are resolved on the controller.
  - The peer name of a host is its variable C(overlay_weave_name), else the one its router has or had, else C(02:) and the first five bytes
    of the SHA-256 of its inventory name. So machines made from one image get different names.
  - A new network is seeded by all hosts of the group. The seeds of a network that exists are kept; hosts that join it later are observers,
    and so is a seed that lost its database while others have theirs.
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
    description: Inventory names of all hosts of the network, also of those that this run leaves out or cannot reach.
    type: list
    elements: str
    required: true
  info_variable:
    description: Name of the variable that M(crosshost.overlay.overlay_info) was registered in.
    type: str
    required: true
  weave_variable:
    description: Name of the variable that M(crosshost.overlay.weave_info) was registered in.
    type: str
    required: true
  ipalloc_range:
    description: Addresses of the whole network, an IPv4 network in CIDR form.
    type: str
    required: true
  ipalloc_default_subnet:
    description: Part of it that containers get addresses from unless they ask for another. Empty is all of it.
    type: str
    default: ""
  ipalloc_init:
    description:
      - How the address allocation of hosts that are new starts, V(seed=NAME,NAME), V(observer), V(consensus) or V(consensus=COUNT). Empty is planned.
      - It has to be given when a run with C(--limit) sets up new hosts and whether the hosts left out have a network is not known.
    type: str
    default: ""
  image_source:
    description: Account of the images, to know which versions of Docker's API they speak.
    type: str
    default: rajchaudhuri
  version:
    description: Version of the images.
    type: str
    default: 2.9.0
  script_file:
    description: The script on the controller, as given or as fetched before. It need not exist unless O(script_given).
    type: path
    default: ""
  script_given:
    description: Whether O(script_file) is to be used as it is, and never fetched.
    type: bool
    default: false
  script_checksum:
    description: SHA-256 of the script in hexadecimal, with or without C(sha256:) before it. Empty accepts any.
    type: str
    default: ""
  port:
    description: The router's TCP and UDP port; the fast datapath uses the UDP port after it.
    type: int
    default: 6783
  http_address:
    description: Where the router's control API listens.
    type: str
    default: 127.0.0.1:6784
  dns:
    description: Whether the router answers names, on port 53 of Docker's bridge.
    type: bool
    default: true
  mtu:
    description:
      - MTU of the containers' interfaces in bytes. V(0) is the largest multiple of four, at most 1376, that fits the narrowest underlay of the
        hosts reached; it is never raised while routers run with less.
    type: int
    default: 0
  connection_limit:
    description: Connections a router accepts; raised when the group has more hosts. V(0) is any number.
    type: int
    default: 200
  fast_datapath:
    description: As with M(crosshost.overlay.weave_launch), for the MTU.
    type: str
    choices: [auto, required, disabled]
    default: auto
  equal:
    description: Settings that have to be the same on all hosts.
    type: list
    elements: dict
    default: []
    suboptions:
      variables:
        description: Names of variables; the first that a host has counts. The last one names the setting in messages.
        type: list
        elements: str
        required: true
      default:
        description: What it is on a host that has none of them.
        type: str
        default: ""
      secret:
        description: Whether values are left out of messages.
        type: bool
        default: false
  allow_overlap:
    description: Accept a range that overlaps routes of the hosts.
    type: bool
    default: false
  allow_rename:
    description: Accept that a peer gets another name and loses its part of the range.
    type: bool
    default: false
  allow_range_change:
    description: Accept another range than the routers have.
    type: bool
    default: false
  minimum_hosts:
    description: Refuse a group with fewer hosts.
    type: int
    default: 2
  packages:
    description: What has to be installed on every host, as keys of the result of M(crosshost.overlay.overlay_info) with the name to show.
    type: dict
    default: {}
  resolve_timeout:
    description: Seconds that resolving all names may take together.
    type: int
    default: 10
seealso:
  - module: crosshost.overlay.overlay_info
  - module: crosshost.overlay.weave_info
  - module: crosshost.overlay.weave_launch
"""

EXAMPLES = r"""
- name: Read the hosts
  crosshost.overlay.overlay_info:
  register: overlay_host

- name: Read their routers
  crosshost.overlay.weave_info:
  register: weave_host

- name: Plan the network
  crosshost.overlay.weave_plan:
    hosts: "{{ groups['overlay'] }}"
    info_variable: overlay_host
    weave_variable: weave_host
    ipalloc_range: 10.32.0.0/12
    equal:
      - variables: [overlay_weave_password]
        secret: true
  run_once: true
  register: weave_plan
"""

RETURN = r"""
plan:
  description:
    - V(range), V(peers) (underlay addresses of all hosts), V(connection_limit), V(docker_known) (whether every host reached has a Docker
      Engine that answered), V(script) with V(fetch) (the controller has to), V(hosts) (that get it) and V(sha256) (empty if that is open),
      and V(hosts) with V(underlay_ip), V(interface), V(name), V(init), V(mtu) (V(0) is the router's own), V(api_version) (empty unless
      C(DOCKER_API_VERSION) has to be set) and V(reached) of each.
  returned: success
  type: dict
  sample:
    range: 10.32.0.0/12
    peers: ["192.0.2.11", "192.0.2.12"]
    connection_limit: 200
    docker_known: true
    script: {"fetch": false, "hosts": [], "sha256": ""}
    hosts:
      h1:
        underlay_ip: 192.0.2.11
        interface: eth1
        name: 02:33:11:2e:e1:4e
        init: seed=02:33:11:2e:e1:4e,02:f9:98:fe:06:af
        mtu: 0
        api_version: ""
        reached: true
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
