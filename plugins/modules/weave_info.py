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

import json
import os
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _files, _weave_host, _weave_state
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import SBIN, Cli
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import Api

SOCKET = re.compile(
    r"(?P<proto>tcp|udp)\s+\S+\s+\d+\s+\d+\s+(?P<address>\S+):(?P<port>\d+)\s+\S+(?:\s+users:\(\((?P<users>.*)\)\))?"
)
DNS_PORT = 53
LOCAL_PORTS = (6781, 6782, 6784, 12375)  # metrics of the policy controller, status, API, proxy


def listeners(ss: Cli, port: int) -> list[dict[str, t.Any]]:
    """Read who listens on the ports of the router; on port 53 only those that could be in its way."""
    wanted = {port, port + 1, DNS_PORT, *LOCAL_PORTS}
    return parse_listeners(ss.read("-H", "-l", "-n", "-t", "-u", "-p")[1], wanted)


def parse_listeners(text: str, wanted: t.Container[int]) -> list[dict[str, t.Any]]:
    """Turn what 'ss -Hlntup' prints into entries; a socket of the kernel (vxlan) has no program."""
    found = []
    for line in text.splitlines():
        match = SOCKET.match(line)
        if not match or int(match["port"]) not in wanted:
            continue
        user = re.match(r'"(?P<program>[^"]*)",pid=(?P<pid>\d+)', match["users"] or "")
        found.append(
            {
                "proto": match["proto"],
                "address": match["address"].strip("[]").partition("%")[0],
                "port": int(match["port"]),
                "pid": int(user["pid"]) if user else None,
                "program": user["program"] if user else None,
            }
        )
    return found


def script_facts(module: AnsibleModule, path: str) -> dict[str, t.Any] | None:
    """Read path, checksum and version of the script."""
    text = _files.read(path) if os.path.isfile(path) else None
    if text is None:
        return None
    version = re.search(r'^SCRIPT_VERSION="?([^"\s]+)"?', text, re.MULTILINE)
    return {"path": path, "sha256": module.sha256(path), "version": version.group(1) if version else ""}


def docker_facts(docker: Cli) -> tuple[dict[str, str], str]:
    """Read the engine's versions; the second value says why not."""
    result = docker.run_raw("version", "--format", "{{json .Server}}")
    server = json.loads(result.out) if result.rc == 0 and result.out.strip() not in ("", "null") else None
    if server is None:
        return {"version": "", "api_min": "", "api_max": ""}, result.message
    return {
        "version": server.get("Version", ""),
        "api_min": server.get("MinAPIVersion", ""),
        "api_max": server.get("ApiVersion", ""),
    }, ""


def images(docker: Cli) -> list[str]:
    """Read the images of Weave Net."""
    names = docker.read("image", "ls", "--format", "{{.Repository}}:{{.Tag}}")[1].splitlines()
    return sorted(name for name in names if re.search(r"(^|/)weave(exec|db)?:(?!<none>)", name))


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
    script = script_facts(module, params["script"])
    facts: dict[str, t.Any] = {
        "installed": script is not None,
        "script": script,
        "images": [],
        "docker": {"version": "", "api_min": "", "api_max": ""},
        "error": "Docker is not installed",
        "kernel": _weave_host.kernel_facts(module, params["timeout"]),
        "files": _weave_host.files(),
        "listeners": listeners(Cli(module, "ss", timeout=params["timeout"], package="iproute2"), params["port"]),
    }
    nobody = _weave_state.Have(None, None, None, False, _weave_state.bridge_there(), None, _weave_state.read_record())
    facts.update(_weave_state.describe(nobody))
    if module.get_bin_path("docker", opt_dirs=SBIN):
        docker = Cli(module, "docker", timeout=params["timeout"])
        facts["docker"], facts["error"] = docker_facts(docker)
        if not facts["error"]:
            facts["images"] = images(docker)
            facts.update(
                _weave_state.describe(_weave_state.observe(docker, Api(params["http_address"]), nobody.bridge))
            )
    module.exit_json(changed=False, weave=facts)


if __name__ == "__main__":
    main()
