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

import json
import os
import typing as t
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _docker, _host
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import SBIN, Cli


def system_facts() -> dict[str, t.Any]:
    """Read distribution, kernel and init."""
    release = _host.os_release()
    return {
        "id": release.get("ID", ""),
        "like": release.get("ID_LIKE", "").split(),
        "version": release.get("VERSION_ID", ""),
        "name": release.get("PRETTY_NAME", "an unknown system"),
        "kernel": os.uname().release,
        "systemd": _host.booted_with_systemd(),
    }


def docker_facts(module: AnsibleModule, timeout: int) -> dict[str, t.Any]:
    """Read Docker's version, networks and the containers on them."""
    facts: dict[str, t.Any] = {
        "installed": False,
        "running": False,
        "version": "",
        "error": "",
        "networks": [],
        "containers": [],
    }
    if not module.get_bin_path("docker", opt_dirs=SBIN):
        return facts
    docker = Cli(module, "docker", timeout=timeout)
    facts["installed"] = bool(module.get_bin_path("dockerd", opt_dirs=SBIN))
    version = docker.run_raw("version", "--format", "{{.Server.Version}}")
    if version.rc != 0:
        return {**facts, "error": version.message}
    facts.update(installed=True, running=True, version=version.out.strip())
    facts["networks"] = [asdict(item) for item in _docker.networks(docker)]
    facts["containers"] = [asdict(item) for item in _docker.containers(docker)]
    return facts


def service_facts(module: AnsibleModule, name: str, timeout: int) -> dict[str, str]:
    """Read what systemd knows of a unit."""
    facts = {"active": "", "enabled": ""}
    if not module.get_bin_path("systemctl", opt_dirs=SBIN):
        return facts
    answer = Cli(module, "systemctl", timeout=timeout).run_raw(
        "show", "--property=LoadState,ActiveState,UnitFileState", "--", name
    )
    shown = dict(line.split("=", 1) for line in answer.out.splitlines() if "=" in line)
    if answer.rc == 0 and shown.get("LoadState") == "loaded":
        facts.update(active=shown.get("ActiveState", ""), enabled=shown.get("UnitFileState", ""))
    return facts


def openvswitch_facts(module: AnsibleModule, timeout: int) -> dict[str, t.Any]:
    """Read Open vSwitch's version and bridges."""
    facts: dict[str, t.Any] = {"installed": False, "running": False, "version": "", "error": "", "bridges": []}
    facts["kernel_module"] = os.path.isdir("/sys/module/openvswitch")
    if not module.get_bin_path("ovs-vsctl", opt_dirs=SBIN):
        return facts
    facts["installed"] = True
    facts["service"] = service_facts(module, module.params["openvswitch_service"], timeout)
    ovs = Cli(module, "ovs-vsctl", f"--timeout={timeout}", timeout=timeout + 5)
    bridges = ovs.run_raw(
        "--format=json",
        "--columns=name,datapath_type",
        "list",
        "Bridge",
        "--",
        "get",
        "Open_vSwitch",
        ".",
        "ovs_version",
    )
    if bridges.rc != 0:
        return {**facts, "error": bridges.message}
    table, sep, version = bridges.out.strip().rpartition("\n")
    rows = json.loads(table)["data"] if sep else []
    facts.update(
        running=True,
        version=version.strip('"'),
        bridges=[{"name": name, "datapath": kind or "system"} for name, kind in rows],
    )
    return facts


def main() -> None:
    """Read and return."""
    module = AnsibleModule(
        argument_spec={
            "openvswitch_service": {"type": "str", "default": "openvswitch-switch"},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    timeout = module.params["timeout"]
    ip = Cli(module, "ip", timeout=timeout, package="iproute2")
    module.exit_json(
        changed=False,
        overlay={
            "uid": os.geteuid(),
            "machine_id": _host.read_text("/etc/machine-id"),
            "system": system_facts(),
            "interfaces": [asdict(item) for item in _host.interfaces(ip)],
            "routes": [asdict(item) for item in _host.routes(ip)],
            "management_address": _host.ssh_server_address(os.getpid()),
            "docker": docker_facts(module, timeout),
            "openvswitch": openvswitch_facts(module, timeout),
            "slices": _host.recorded_slices(),
        },
    )


if __name__ == "__main__":
    main()
