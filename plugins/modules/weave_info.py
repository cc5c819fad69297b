#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: weave_info
short_description: Read the Weave Net router of a host
version_added: "0.1.0"
author:
  - The crosshost.overlay authors (@crosshost)
description:
  - Returns the router's report, its container, script, images, and who listens on its ports, as typed values, in one call.
  - Changes nothing, and does not fail because Docker or Weave Net is missing or stopped; the result says so instead.
  - A password is never returned, only whether there is one.
requirements:
  - iproute2
  - Root on the host, to read Docker's state and the owners of sockets
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
  script:
    description: The script of Weave Net.
    type: path
    default: /usr/local/bin/weave
  http_address:
    description: Loopback address of the router's API.
    type: str
    default: 127.0.0.1:6784
  port:
    description: Port of the router, for RV(weave.listeners).
    type: int
    default: 6783
  timeout:
    description: Seconds that each command on the host may take.
    type: int
    default: 20
seealso:
  - module: crosshost.overlay.weave_launch
"""

EXAMPLES = r"""
- name: Read the router
  crosshost.overlay.weave_info:
  register: host

- name: Show links that run in user space
  ansible.builtin.debug:
    msg: "{{ host.weave.router.connections | selectattr('mode', 'equalto', 'sleeve') | map(attribute='address') }}"
"""

RETURN = r"""
weave:
  description: The router and what belongs to it.
  type: dict
  returned: success
  contains:
    installed:
      description: Whether the script is there.
      type: bool
    script:
      description: V(path), V(sha256) and V(version) of the script; null without one.
      type: dict
    images:
      description: Images of Weave Net on this host, as C(name:tag).
      type: list
      elements: str
    docker:
      description: V(version), V(api_min) and V(api_max) of the Docker Engine; empty texts when it does not answer.
      type: dict
    error:
      description: Why Docker could not be read; empty if it could.
      type: str
    container:
      description:
        - V(state), V(image), V(args), V(restart_policy), V(ours) (has this collection's label) and V(foreign) (is no Weave Net router)
          of the container C(weave); null without one.
      type: dict
    launch:
      description: The router's arguments by option of M(crosshost.overlay.weave_launch), V(password_set), and V(extra) for the rest.
      type: dict
    record:
      description: V(name), V(range), V(init) and V(port) as written down at the last launch; empty without.
      type: dict
    router:
      description:
        - V(ready), V(version), V(name), V(nickname), V(port), V(encryption), V(discovery), V(trusted_subnets), V(targets), V(peers) and
          V(connections), the last with V(address), V(outbound), V(state), V(info) (the router's own words), V(mode) (fastdp or sleeve),
          V(mtu) (bytes), V(encrypted) and V(peer). Null when no router answers.
      type: dict
    ipam:
      description:
        - V(range), V(default_subnet), V(status), V(primed) (the range has owners), V(active) (addresses in use here) and V(owners) with
          V(peer), V(nickname), V(addresses) and V(reachable). Null without allocation.
      type: dict
    dns:
      description: V(domain), V(address) and V(entries) with V(hostname), V(address), V(origin) and V(container). Null without names.
      type: dict
    listeners:
      description: Who listens on the ports that Weave Net needs, with V(proto), V(address), V(port), V(pid) and V(program).
      type: list
      elements: dict
    database:
      description: Whether the container with the address database exists.
      type: bool
    kernel:
      description:
        - V(modules), whether the kernel has C(openvswitch) and C(vxlan), which the fast datapath needs, and V(iptables) with
          V(backend) (nft or legacy) and V(legacy_rules), the number of rules and closed policies of iptables-legacy.
      type: dict
    files:
      description: Which files of the role P(crosshost.overlay.weave#role) are here, by what they are for.
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _info_weave


def main() -> None:
    """Read and return."""
    module = AnsibleModule(
        argument_spec={
            "script": {"type": "path", "default": "/usr/local/bin/weave"},
            "http_address": {"type": "str", "default": "127.0.0.1:6784"},
            "port": {"type": "int", "default": 6783},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    params = module.params
    facts = _info_weave.empty()
    _info_weave.fill(
        facts, module, params["script"], params["http_address"], port=params["port"], timeout=params["timeout"]
    )
    module.exit_json(changed=False, weave=facts)


if __name__ == "__main__":
    main()
