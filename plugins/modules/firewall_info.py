#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_info
short_description: Tell which firewall rules of a host stop the overlay
version_added: "0.1.0"
author:
  - The crosshost.overlay authors (@crosshost)
description:
  - Reads every firewall of a host and returns which of their rules stop, or but for the overlay's openings would stop, which traffic.
  - Changes nothing. It is what M(crosshost.overlay.firewalld_fix) acts on.
requirements:
  - iproute2, systemd
  - Root on the host
extends_documentation_fragment:
  - crosshost.overlay.attributes
  - crosshost.overlay.firewall
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: It changes nothing, so there is nothing to show.
  idempotent:
    support: full
seealso:
  - module: crosshost.overlay.firewalld_fix
"""

EXAMPLES = r"""
- name: Ask what would stop GRE
  crosshost.overlay.firewall_info:
    backend: ovs_gre
    peers: [192.0.2.12, 192.0.2.13]
  register: found

- name: Show the rules
  ansible.builtin.debug:
    msg: "{{ found.firewall.blocked | rejectattr('opened') | map(attribute='rule') | unique }}"
"""

RETURN = r"""
firewall:
  description: What was found.
  type: dict
  returned: success
  contains:
    firewalls:
      description: Firewalls of this host, with V(name) and whether any of their rules V(acts), that is, could stop a packet.
      type: list
      elements: dict
    blocked:
      description:
        - Rules that stop the overlay, with V(firewall), V(hook), V(rule) as the firewall's own tool prints it, V(traffic), the V(sources) it
          concerns (empty for traffic that has no peer), and V(opened), whether our openings let that traffic in all the same.
      type: list
      elements: dict
    openings:
      description: The overlay's openings by firewall.
      type: dict
    notes:
      description: What else is worth knowing.
      type: list
      elements: str
    bridged_packets_filtered:
      description: Whether the firewalls see packets that stay inside a bridge (C(net.bridge.bridge-nf-call-iptables)).
      type: bool
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _fw_module


def main() -> None:
    """Read, tell."""
    module = AnsibleModule(
        argument_spec=_fw_module.WISH_SPEC,
        supports_check_mode=True,
    )
    module.exit_json(changed=False, commands=[], firewall=_fw_module.info(module))


if __name__ == "__main__":
    main()
