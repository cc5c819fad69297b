#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The connection is tried again by the action plugin of the same name; everything else is done here.

from __future__ import annotations

DOCUMENTATION = r"""
module: firewalld_fix
short_description: Open exactly what the overlay needs in whatever firewalls guard a host
version_added: "0.1.0"
author:
  - The crosshost.overlay authors (@crosshost)
description:
  - Finds out which firewalls act on a host (firewalld, ufw, iptables in both variants, native nftables, several at once) and which of their
    rules stop the overlay, and makes the narrowest openings in each firewall's own way. The firewalls stay on.
  - Only peers get in, and only on what the backend needs. For Weave Net that is tcp 6783, udp 6783 and 6784, and ESP with a password; never
    tcp 6784. For Open vSwitch it is GRE, or the UDP port of VXLAN or Geneve.
  - "With firewalld: rich rules in the zone that already receives the peers' packets, permanent and live. With ufw: rules with the comment
    C(crosshost.overlay). With iptables: chains of our own, with a jump in front of the first rule that stops the overlay. With nftables:
    the same, inside each table that stops it, because an accept elsewhere does not help."
  - Where nothing stops the overlay, nothing is opened. Peers that left the list lose their openings.
  - Never flushes, never changes a policy, never reorders or removes rules of others, never moves an interface or a peer to another zone.
  - Rules in iptables and nftables are brought back by C(crosshost-overlay-firewall.service) after a boot and after each start or restart of a
    firewall's service. firewalld and ufw keep theirs themselves.
  - After a change, the control node has to get through to the host on a new connection; this happens in the same task. If it does not
    within O(guard) seconds, the host goes back to the openings it had before, by itself.
requirements:
  - iproute2, systemd
  - Root on the host
extends_documentation_fragment:
  - crosshost.overlay.attributes
  - crosshost.overlay.firewall
attributes:
  check_mode:
    support: full
    details: With O(state=disabled), and when it takes that back, what the remaining firewalls would need is known only afterwards.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) makes the openings; V(absent) removes them and nothing else. Both start and unmask what V(disabled) has stopped.
      - V(disabled) stops and masks the services of firewalls (firewalld, ufw, nftables, iptables, ip6tables, netfilter-persistent), as many
        guides tell people to do. The host then has no firewall. What they were is recorded, and the other states give it back. Rules that
        stay loaded without a service are not flushed; the overlay's openings are made in them.
      - V(confirmed) ends the wait for O(guard). The action plugin does that by itself.
    type: str
    choices: [present, absent, disabled, confirmed]
    default: present
  guard:
    description: Seconds in which the control node has to come back after a change; 0 goes without this safeguard.
    type: int
    default: 60
  other_bridges:
    description:
      - Bridges of the backend that is not O(backend), for hosts that have both, as while one takes the place of the other. A host has the
        other one if there is its record in C(/var/lib/crosshost-overlay) (C(weave.json), or C(slices.json) of Open vSwitch).
      - What the other one needs then stays open, with O(state=absent) too, which then takes back what O(backend) alone needs.
      - Without this option only O(backend) counts, and O(state=absent) takes everything back.
    type: list
    elements: str
  services:
    description:
      - Services of systemd that load firewall rules on this host, apart from those of the distributions (firewalld, ufw, nftables, iptables,
        ip6tables, netfilter-persistent). After each start or reload of one of them the openings are brought back.
    type: list
    elements: str
    default: []
seealso:
  - module: crosshost.overlay.firewall_info
  - plugin: crosshost.overlay.overlay_addresses
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Let the peers in
  crosshost.overlay.firewalld_fix:
    backend: weave
    address: 192.0.2.11
    peers: [192.0.2.11, 192.0.2.12, 192.0.2.13]

- name: Take all of it back
  crosshost.overlay.firewalld_fix:
    state: absent
"""

RETURN = r"""
commands:
  description: What was run on the host or, in check mode, would be. Of what a command reads, the first 40 lines.
  type: list
  elements: str
  returned: always
firewalls:
  description: Firewalls found, with V(name) and whether any of their rules V(acts), that is, could stop a packet.
  type: list
  elements: dict
  returned: success, except with O(state=confirmed)
  sample: [{"name": "iptables-nft", "acts": true}]
blocked:
  description:
    - What stops the overlay but for the openings, with V(firewall), V(hook), V(rule) as the firewall's own tool prints it, V(traffic), and the
      V(sources) it concerns.
  type: list
  elements: dict
  returned: success, except with O(state=confirmed)
  sample:
    - firewall: iptables-nft
      hook: input
      rule: -A INPUT -j REJECT --reject-with icmp-host-prohibited
      traffic: tcp 6783
      sources: [192.0.2.12, 192.0.2.13]
openings:
  description: The overlay's openings by firewall, as they are now or, in check mode, would be.
  type: dict
  returned: success, except with O(state=confirmed)
notes:
  description: What else is worth knowing. These are shown as warnings, too.
  type: list
  elements: str
  returned: success, except with O(state=confirmed)
docker_affected:
  description: Whether Docker runs and may lack its chains, because a firewall was reloaded, started or stopped now, or because they are gone.
  type: bool
  returned: success, except with O(state=confirmed)
guarded:
  description: Whether the change has to be confirmed. After the action plugin has done so, V(false).
  type: bool
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _fw_module


def main() -> None:
    """Compare, change, read back, tell."""
    module = AnsibleModule(
        argument_spec={
            **_fw_module.WISH_SPEC,
            "state": {"type": "str", "choices": ["present", "absent", "disabled", "confirmed"], "default": "present"},
            "guard": {"type": "int", "default": 60},
            "services": {"type": "list", "elements": "str", "default": []},
            "other_bridges": {"type": "list", "elements": "str"},
        },
        required_if=[("state", "present", ["backend"]), ("state", "disabled", ["backend"])],
        supports_check_mode=True,
    )
    module.exit_json(**_fw_module.fix(module))


if __name__ == "__main__":
    main()
