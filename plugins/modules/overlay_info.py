#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_info
short_description: Read what there is to know of a host for an overlay
version_added: "0.1.0"
description:
  - Reads everything of one host that an overlay depends on, in one call, as typed values.
  - Changes nothing. What is missing, stopped or hangs does not make it fail. The rest is returned, and RV(overlay.errors) says what is not there and
    why. Only with O(subsets=minimal), which the roles plan with, a host that cannot be read is a failure.
  - Sections are read at the same time and each is given O(timeout), so that a host with several daemons that hang costs one of it.
  - Passwords and keys are never returned. Neither is the environment of containers, which is not even asked for.
requirements:
  - iproute2
  - Root on the host, for the owners of sockets, the firewalls, Docker and Open vSwitch
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
  subsets:
    description:
      - What to read. V(minimal) is always read. It is the host's name and system, interfaces, routes, the names of what Docker and Open vSwitch have,
        and slices.
      - Any other one adds what the host itself has to tell (RV(overlay.identity), RV(overlay.resources), RV(overlay.listeners), RV(overlay.ours) and more of
        RV(overlay.interfaces)), and the section of its name in full.
    type: list
    elements: str
    choices: [minimal, docker, openvswitch, weave, firewall, time, kernel, all]
    default: [all]
  sample:
    description:
      - Seconds between two looks at the counters, for RV(overlay.rates). V(0) looks at none.
    type: float
    default: 0.5
  openvswitch_service:
    description: The systemd unit of Open vSwitch.
    type: str
    default: openvswitch-switch
  weave_script:
    description: The script of Weave Net.
    type: path
    default: /usr/local/bin/weave
  weave_http_address:
    description: Loopback address of the API of Weave Net's router.
    type: str
    default: 127.0.0.1:6784
  weave_port:
    description: Port of Weave Net's router.
    type: int
    default: 6783
  firewall:
    description:
      - What the overlay asks of the host's firewalls, as M(crosshost.overlay.firewall_info) takes it. Then what that returns is in
        RV(overlay.firewall), too.
    type: dict
    suboptions:
      backend:
        description: What joins the hosts.
        type: str
        choices: [weave, ovs_gre]
        required: true
      peers:
        description: Underlay addresses of all hosts of the overlay.
        type: list
        elements: str
        default: []
      address:
        description: This host's own underlay address.
        type: str
        default: ""
      bridges:
        description: Bridges of the overlay. The default is C(weave) or C(ovl0), after O(firewall.backend).
        type: list
        elements: str
      port:
        description: Port of Weave Net's routers.
        type: int
        default: 6783
      encrypted:
        description: Whether Weave Net has a password.
        type: bool
        default: false
      tunnel_type:
        description: Encapsulation of Open vSwitch.
        type: str
        choices: [gre, ip6gre, vxlan, geneve]
        default: gre
      userspace:
        description: Whether Open vSwitch uses its userspace datapath.
        type: bool
        default: false
      dns:
        description: Whether containers ask weaveDNS.
        type: bool
        default: true
      ntp:
        description: Whether the peers take their time from this host.
        type: bool
        default: false
  timeout:
    description:
      - Seconds that each section may take, all its commands together.
    type: int
    default: 20
seealso:
  - module: crosshost.overlay.overlay_plan
  - module: crosshost.overlay.weave_info
  - module: crosshost.overlay.firewall_info
  - module: crosshost.overlay.timesync
"""

EXAMPLES = r"""
- name: Read the host
  crosshost.overlay.overlay_info:
  register: host

- name: Show tunnels that carry nothing
  ansible.builtin.debug:
    msg: "{{ host.overlay.openvswitch.ports | selectattr('health', 'equalto', 'dead') | map(attribute='name') }}"

- name: Read only what is needed to plan, and what the kernel has
  crosshost.overlay.overlay_info:
    subsets: [minimal, kernel]
  register: kernel

- name: Ask as well what of the firewalls stops GRE from two peers
  crosshost.overlay.overlay_info:
    firewall:
      backend: ovs_gre
      peers: [192.0.2.12, 192.0.2.13]
  register: blocked
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
        - Unless only V(minimal) is read also V(carrier) (null for one that is down), V(operstate), V(flags), V(peer_netns) (a veth whose peer is in another
          network namespace), V(link_index) (number of the peer or of the interface below, there), and V(statistics) with V(rx_packets), V(rx_dropped),
          V(rx_errors), V(tx_packets), V(tx_dropped) and V(tx_errors).
        - Cards in bridges of Open vSwitch's userspace datapath, and veths of Linux bridges that are linked to one, also have V(offloads), by the names of
          C(ethtool), where that is installed.
      type: list
      elements: dict
    routes:
      description: Routes of the main tables with V(dst) (CIDR or V(default)), V(dev) and V(via).
      type: list
      elements: dict
    policy_routes:
      description: Whether there are rules that lead to other tables than the usual ones.
      type: bool
    management_address:
      description: Address of this host that the ssh connection came in through, null for other connections.
      type: str
      sample: 192.0.2.11
    attachment:
      description:
        - The record of the card that the userspace datapath has taken, with V(bridge), V(nic) and V(addresses), those its bridge has, or should
          have, in its place. Empty without one.
      type: dict
      sample: {"bridge": "br-phy", "nic": "eth1", "addresses": ["198.51.100.11/24"]}
    slices:
      description: The record of slices on this host with V(pool) and V(slices), empty when there is none, V(damaged) with the path when unreadable.
      type: dict
    identity:
      description: V(hostname), V(machine_id), V(product_uuid), V(boot_id), V(uptime_s) (seconds), and V(virtualization) in the words of systemd-detect-virt.
      type: dict
      sample: {"hostname": "h1", "machine_id": "4f5be2a0e9a94b2f8f0d7c1f6d1c0a11", "product_uuid": "", "boot_id": "ed986e1c-6f37-4ef1-8547-0c8b2a71fcdf",
               "uptime_s": 1906.1, "virtualization": "none"}
    rates:
      description:
        - Packets per second by interface and by port of Open vSwitch, as V(rx_pps) and V(tx_pps). V(broadcast_pps) is null where broadcasts are not counted
          apart, which is everywhere so far.
      type: dict
      sample: {"eth1": {"rx_pps": 12.0, "tx_pps": 9.9, "broadcast_pps": null}}
    docker:
      description:
        - V(installed), V(running), V(version) of the engine, V(error) when it does not answer, V(networks), and V(containers) by network.
        - In full also V(security_options), V(iptables) (whether Docker keeps chains; null without dockerd), V(live_restore), V(root_dir), V(storage_driver),
          V(tls) with V(enabled) and the TCP sockets V(hosts), V(chains) with the V(expected) parts of Docker's firewall rules and the V(missing) ones, and
          V(firewalld_zone_ok), whether C(docker0) is in firewalld's zone C(docker); null while firewalld does not run.
        - Networks then have V(internal) and the number of V(containers). Containers have V(id), V(state), V(exit_code), V(error), V(image), V(addresses)
          by network, V(restart) policy, and V(entrypoint_missing), whether Docker could not find what to start in it.
      type: dict
    openvswitch:
      description:
        - V(installed), V(running), V(version), V(error) when it does not answer, V(bridges) with name and datapath,
          V(kernel_module), and V(service) with V(active) and V(enabled) as systemd calls them, empty where it has no such unit.
        - In full also V(database_ok), V(vswitchd_ok) (null without ovs-appctl), V(errors) of ports, V(live_tunnels) (names, null when that could not be asked),
          V(datapaths) as C(ovs-appctl dpif/show) prints them, and V(log), the last 40 warnings and errors of ovs-vswitchd.
        - Bridges then have V(fail_mode), V(stp), V(rstp), V(controller) (there is one), V(ports), V(mark) (the owner this collection noted, or null) and
          V(flows_normal) (the bridge has the one flow it starts with; null if not known).
        - V(ports) have V(name), V(bridge), V(type), V(options) (secrets hidden), V(ofport), V(error), V(health) (V(up), V(pending), or V(dead)), V(protected),
          V(owner), V(link_state), V(mtu) (bytes or null), V(statistics), V(egress) (the interface a tunnel leaves by), and V(other) of what Open vSwitch says
          of their status.
      type: dict
    weave:
      description: What M(crosshost.overlay.weave_info) returns, and V(log), the last 40 lines of the router. Empty on a host without Weave Net.
      type: dict
    firewall:
      description:
        - With O(firewall), what M(crosshost.overlay.firewall_info) returns.
      type: dict
      contains:
        filters:
          description:
            - V(forward_policy) of C(iptables) by backend (V(nft) and V(legacy); null without that chain), the number of rules by backend as V(backends) with
              V(nft_rules) and V(legacy_rules), V(firewalld) (V(running), V(stopped) or V(absent)), V(ufw) and V(nftables_service) (V(active), V(inactive) or
              V(absent)).
          type: dict
    time:
      description: What M(crosshost.overlay.timesync) returns as C(time) of a host that is measured. Offsets and errors are in seconds.
      type: dict
    kernel:
      description:
        - V(release), V(modules) with V(loaded), V(builtin), V(available), or V(absent) by name, V(sysctls) as texts (null for those that this kernel does not
          have), V(table_fulls), how often the table of neighbours was full (null in a container), and V(log), up to 20 lines of the kernel that speak of
          full tables or of own packets that came back.
      type: dict
    resources:
      description: V(disk) with V(path), V(free_bytes), V(total_bytes) and V(read_only), V(memory_available_bytes), and V(load) over 1, 5 and 15 minutes.
      type: dict
    ours:
      description:
        - What this collection put here. V(units) has V(active), V(enabled) and V(result) by name, as systemd calls them, V(files) the paths, and
          V(slices) the record.
      type: dict
    listeners:
      description: Who listens on ports of Weave Net, Docker, and on those for names and time, with V(proto), V(address), V(port), V(pid) and V(program).
      type: list
      elements: dict
    errors:
      description: Why a section, or a part of it, could not be read, by section.
      type: dict
      sample: {"docker": "'docker version --format {{.Server.Version}}' did not end within 20 seconds and was stopped: no output"}
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
