#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_info
short_description: Read what an overlay needs to know about a host
version_added: "0.1.0"
description:
  - Reads identity, system, interfaces, routes, Docker and its networks, Open vSwitch and the recorded slices of one host in one call.
  - Changes nothing, and does not fail because Docker or Open vSwitch is missing or stopped; the result says so instead.
author:
  - The crosshost.overlay authors (@crosshost)
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
  openvswitch_service:
    description: The systemd unit of Open vSwitch.
    type: str
    default: openvswitch-switch
  timeout:
    description:
      - Seconds that each command on the host may take.
    type: int
    default: 20
seealso:
  - module: crosshost.overlay.overlay_plan
"""

EXAMPLES = r"""
- name: Read the host
  crosshost.overlay.overlay_info:
  register: host

- name: Show the interface the overlay would use
  ansible.builtin.debug:
    msg: "{{ host.overlay.interfaces | selectattr('name', 'equalto', 'eth1') | first }}"
"""

RETURN = r"""
overlay:
  description: The host as it is.
  returned: success
  type: dict
  contains:
    uid:
      description: User id the module ran with; 0 is root.
      type: int
      sample: 0
    machine_id:
      description: Content of C(/etc/machine-id), empty when there is none.
      type: str
      sample: 4f5be2a0e9a94b2f8f0d7c1f6d1c0a11
    system:
      description: Distribution (from os-release), kernel, and whether systemd is the init process.
      type: dict
      sample: {"id": "debian", "like": [], "version": "12", "name": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.1.0-28-amd64", "systemd": true}
    interfaces:
      description:
        - Interfaces with V(name), V(mtu) (bytes), V(mac), V(kind), V(master), V(up), global V(addresses) in CIDR form,
          and V(dynamic) for addresses with a lease.
      type: list
      elements: dict
    routes:
      description: Routes of the main tables with V(dst) (CIDR or V(default)), V(dev) and V(via).
      type: list
      elements: dict
    management_address:
      description: Address of this host that the ssh connection came in through, null for other connections.
      type: str
      sample: 192.0.2.11
    docker:
      description:
        - V(installed), V(running), V(version) of the engine, V(error) when it does not answer, V(networks), and V(containers) by network.
      type: dict
    openvswitch:
      description: V(installed), V(running), V(version), V(error) when it does not answer, V(bridges) with name and datapath,
        V(kernel_module), and V(service) with V(active) and V(enabled) as systemd calls them, empty where it has no such unit.
      type: dict
    slices:
      description: The record of slices on this host with V(pool) and V(slices), empty when there is none, V(damaged) with the path when unreadable.
      type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _info_docker, _info_host, _info_ovs
from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section, run_all

MORE = ("docker", "openvswitch", "weave", "firewall", "time", "kernel")
FIREWALL_SPEC = {  # options of firewall_info
    "backend": {"type": "str", "choices": ["weave", "ovs_gre"], "required": True},
    "peers": {"type": "list", "elements": "str", "default": []},
    "address": {"type": "str", "default": ""},
    "bridges": {"type": "list", "elements": "str"},
    "port": {"type": "int", "default": 6783},
    "encrypted": {"type": "bool", "default": False},
    "tunnel_type": {"type": "str", "choices": ["gre", "ip6gre", "vxlan", "geneve"], "default": "gre"},
    "userspace": {"type": "bool", "default": False},
    "dns": {"type": "bool", "default": True},
    "ntp": {"type": "bool", "default": False},
}
SPEC = {
    "subsets": {
        "type": "list",
        "elements": "str",
        "choices": ["minimal", *MORE, "all"],
        "default": ["all"],
    },
    "sample": {"type": "float", "default": 0.5},
    "openvswitch_service": {"type": "str", "default": "openvswitch-switch"},
    "weave_script": {"type": "path", "default": "/usr/local/bin/weave"},
    "weave_http_address": {"type": "str", "default": "127.0.0.1:6784"},
    "weave_port": {"type": "int", "default": 6783},
    "firewall": {"type": "dict", "options": FIREWALL_SPEC},
    "timeout": {"type": "int", "default": 20},
}


def minimal(module: AnsibleModule, timeout: int) -> dict[str, t.Any]:
    """What the roles plan with. They would plan wrongly with half of it, so what cannot be read ends the module."""
    host = Section(module, "host", _info_host.minimal, _info_host.empty(), timeout)
    docker = Section(module, "docker", _info_docker.minimal, _info_docker.empty(), timeout)
    ovs = Section(module, "openvswitch", _info_ovs.minimal, _info_ovs.empty(), timeout, module.params)
    for reason in run_all([host, docker, ovs], timeout).values():
        module.fail_json(msg=reason)
    errors = {item.name: item.facts["error"] for item in (docker, ovs) if item.facts["error"]}
    return {**host.facts, "docker": docker.facts, "openvswitch": ovs.facts, "errors": errors}


def main() -> None:
    """Read and return."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    timeout = module.params["timeout"]
    wanted = {*module.params["subsets"]}
    wanted = {*MORE} if "all" in wanted else wanted - {"minimal"}
    if timeout < 1 or not 0 <= module.params["sample"] <= 60:
        module.fail_json(msg="timeout has to be at least 1 second, and sample from 0 to 60 seconds.")
    if not wanted:
        module.exit_json(changed=False, overlay=minimal(module, timeout))
    # Only here, because it is most of the collection: the minimum is read before every run of a role, and stays quick.
    from ansible_collections.crosshost.overlay.plugins.module_utils import _info_all

    module.exit_json(changed=False, overlay=_info_all.read(module, wanted, timeout))


if __name__ == "__main__":
    main()
