#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_bridge
short_description: Manage the Open vSwitch bridge of the overlay and what ties it to Docker and the underlay
version_added: "0.1.0"
description:
  - Makes the bridge that carries the tunnels and an internal port on it that becomes a member of Docker's Linux bridge,
    all in one OVSDB transaction.
  - For the userspace datapath it also makes a bridge for the underlay and moves the card with the underlay address into it,
    with addresses and routes, and turns off the offloads that would hand the datapath frames no wire ever carried.
    The kernel goes on reading from the card besides, and would take in every datagram for this host a second time, so C(rp_filter) of the
    card becomes 1. Where C(net.ipv4.conf.all.rp_filter) is 2, the larger of both counts, and datagrams for the host itself arrive twice.
  - The card that Ansible is connected through, one with the default route, with DHCP, or in use elsewhere is never moved.
  - Installs a systemd unit that brings all of this back after a boot, a restart of Docker and a restart of Open vSwitch.
  - Only touches bridges that carry its mark C(external_ids:crosshost_overlay).
author:
  - The crosshost.overlay authors (@crosshost)
requirements:
  - Open vSwitch 2.8 or newer, iproute2, ethtool and procps (userspace datapath only), systemd
extends_documentation_fragment:
  - crosshost.overlay.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: Name of the tunnel bridge.
    type: str
    default: br-overlay
  state:
    description: Whether bridges, link and unit shall exist. V(absent) gives the card its addresses, routes, offloads and C(rp_filter) back.
    type: str
    choices: [present, absent]
    default: present
  datapath:
    description:
      - Datapath of the bridges. V(system) is the kernel's and needs its module C(openvswitch).
      - V(netdev) runs in userspace, on any kernel, slower, and needs a card of its own for the underlay.
      - V(auto) is V(system), and fails with the reason where the kernel has no such module.
    type: str
    choices: [auto, system, netdev]
    default: auto
  link:
    description: Name of the internal port that Docker's bridge takes as a member, at most 15 characters.
    type: str
    default: ovl-link
  master:
    description: Name of Docker's Linux bridge.
    type: str
    default: ovl0
  mtu:
    description: MTU of the link port in bytes. Required for O(state=present).
    type: int
  underlay_bridge:
    description: Name of the bridge that takes the underlay's card with the userspace datapath.
    type: str
    default: br-phy
  underlay_ip:
    description: This host's underlay address. Required for the userspace datapath.
    type: str
  owner:
    description: Value of the mark on everything this module makes.
    type: str
    default: ovs_gre
  timeout:
    description: Seconds that each command may take.
    type: int
    default: 15
seealso:
  - module: crosshost.overlay.ovs_gre_port
  - module: crosshost.overlay.overlay_network
"""

EXAMPLES = r"""
- name: Make the tunnel bridge on the kernel datapath
  crosshost.overlay.ovs_bridge:
    mtu: 1458

- name: Make it on the userspace datapath
  crosshost.overlay.ovs_bridge:
    mtu: 1458
    datapath: netdev
    underlay_ip: 192.0.2.11

- name: Remove all of it
  crosshost.overlay.ovs_bridge:
    state: absent
"""

RETURN = r"""
bridge:
  description: What there is after the change, null when it is absent.
  returned: success
  type: dict
  sample: {"name": "br-overlay", "datapath": "netdev", "link": "ovl-link", "master": "ovl0", "underlay_bridge": "br-phy", "nic": "eth1"}
commands:
  description: Commands that were run, or in check mode would be, and files that were written.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils._bridge import Refusal, Wish
from ansible_collections.crosshost.overlay.plugins.module_utils._bridge_host import BridgeHost


def main() -> None:
    """Observe, plan, apply, read back."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "br-overlay"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "datapath": {"type": "str", "choices": ["auto", "system", "netdev"], "default": "auto"},
            "link": {"type": "str", "default": "ovl-link"},
            "master": {"type": "str", "default": "ovl0"},
            "mtu": {"type": "int"},
            "underlay_bridge": {"type": "str", "default": "br-phy"},
            "underlay_ip": {"type": "str"},
            "owner": {"type": "str", "default": "ovs_gre"},
            "timeout": {"type": "int", "default": 15},
        },
        required_if=[("state", "present", ("mtu",)), ("datapath", "netdev", ("underlay_ip",))],
        supports_check_mode=True,
    )
    params = module.params
    netdev = params["datapath"] == "netdev"
    wish = Wish(
        bridge=params["name"],
        datapath="netdev" if netdev else "system",
        link=params["link"],
        master=params["master"],
        mtu=params["mtu"] or 0,
        owner=params["owner"],
        underlay_bridge=params["underlay_bridge"] if netdev or params["state"] == "absent" else "",
        underlay_ip=params["underlay_ip"] or "",
    )
    host = BridgeHost(module, wish)
    try:
        result = host.present() if params["state"] == "present" else host.absent()
    except Refusal as exc:
        module.fail_json(msg=f"{exc}.", commands=[])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
