# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that say what the overlay needs of a firewall; the same in firewalld_fix and firewall_info."""

from __future__ import annotations


class ModuleDocFragment:
    """The texts, once."""

    DOCUMENTATION = r"""
options:
  backend:
    description: What joins the hosts.
    type: str
    choices: [weave, ovs_gre]
  peers:
    description:
      - Underlay addresses of all hosts of the overlay, also of those that a run leaves out. This host may be among them.
      - Names are not looked up; P(crosshost.overlay.overlay_addresses#filter) makes addresses of an inventory's hosts.
    type: list
    elements: str
    default: []
  address:
    description:
      - This host's own underlay address. Openings are for packets to it, and the interface that carries it is the one that counts.
      - Empty, openings are for any address of this host, on the interface that leads to the first peer.
    type: str
    default: ""
  bridges:
    description:
      - Bridges of the overlay whose containers must reach each other through the bridge, where the firewall sees bridged packets.
      - The default is C(weave) or C(ovl0), after O(backend).
    type: list
    elements: str
  port:
    description: TCP and UDP port of Weave Net's routers. Their fast datapath takes the next UDP port.
    type: int
    default: 6783
  encrypted:
    description: Whether Weave Net has a password. Its fast datapath then sends ESP, IP protocol 50.
    type: bool
    default: false
  tunnel_type:
    description: Encapsulation of Open vSwitch. GRE is IP protocol 47, VXLAN UDP port 4789, Geneve UDP port 6081.
    type: str
    choices: [gre, ip6gre, vxlan, geneve]
    default: gre
  userspace:
    description: Whether Open vSwitch uses its userspace datapath, whose tunnels the host's firewalls do not see; none are opened then.
    type: bool
    default: false
  dns:
    description: Whether containers ask weaveDNS, which listens on the address of C(docker0). They reach it by way of C(docker0) or C(docker_gwbridge).
    type: bool
    default: true
  ntp:
    description: Whether the peers take their time from this host, which needs UDP port 123.
    type: bool
    default: false
  timeout:
    description: Seconds that each command on the host may take at least.
    type: int
    default: 60
"""
