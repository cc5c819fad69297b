#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_probe
short_description: Send real packets from a container on a Docker network to others
version_added: "0.1.0"
author:
  - The crosshost.overlay authors (@crosshost)
description:
  - With O(state=present) starts a probe container on a Docker network and, in its network namespace, a service that sends back
    what it receives on a TCP and a UDP port (RFC 862). Both end by themselves after O(lifetime), so that an aborted run leaves
    nothing for long. An older probe of the same name is replaced.
  - With O(state=probed) sends ICMP echo requests to all O(targets) at once from that namespace, the last two of them (of 2 or 3
    the last one) as large as the interface allows and not to be fragmented, then 64 KiB over TCP to each and back, comparing
    every byte. Loss is a result, not a failure; M(crosshost.overlay.verify_report) judges it.
  - Targets with O(targets[].fqdn) are then looked up by that name at O(dns_server), from the same namespace, over UDP. A name that is
    not there yet or has another address is asked for again until O(lookup_timeout), because names reach other hosts by gossip.
  - With O(state=absent) removes container and service.
  - Containers without the label C(crosshost.overlay=probe) and images without C(crosshost.overlay=probe-image) are never replaced
    or removed.
  - Only an image that is made, loaded or removed counts as a change. The probe itself is there for seconds and leaves the host as
    it was; RV(commands) lists what was done for it.
requirements:
  - On the host C(docker) 20.10 or later and, unless O(image) is there or O(archive) is given, C(ldd).
  - Root on the host.
extends_documentation_fragment:
  - crosshost.overlay.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details: An older probe is replaced each time; that is not a change, because a probe does not last.
options:
  state:
    description:
      - What to do.
      - In check mode V(present) and V(absent) predict, also where Docker or the network is still missing; V(probed) sends nothing
        and reports itself as skipped.
    type: str
    choices: [present, probed, absent]
    default: present
  name:
    description: Name of the probe container.
    type: str
    default: crosshost-probe
  network:
    description: Name of the Docker network to probe. Required with O(state=present) and O(state=probed).
    type: str
  image:
    description:
      - Image of the container. It has to hold a C(sleep) program. It is never pulled.
      - If it is absent it is loaded from O(archive) or, without that, made of the host's own C(sleep) and the libraries it needs.
    type: str
    default: crosshost-overlay-probe:local
  archive:
    description: File on the host, made by C(docker save), that holds O(image).
    type: path
  port:
    description: TCP and UDP port of the echo service. All hosts have to use the same. The default is the port of RFC 862.
    type: int
    default: 7
  lifetime:
    description: Seconds after which container and service end by themselves, 10 to 3600. Has to cover the probing of all hosts.
    type: int
    default: 600
  targets:
    description: What to probe with O(state=probed).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the target, repeated in the results.
        type: str
        required: true
      address:
        description: IPv4 address.
        type: str
        required: true
      fqdn:
        description: Name to look up at O(dns_server); it should have this address and no other. None is looked up without it.
        type: str
  hostname:
    description:
      - Host name of the container, with its domain, for networks that make it a name other hosts can look up. At most 64 characters,
        because the kernel takes no more.
      - By default Docker's, the start of the container's id.
    type: str
  dns_server:
    description:
      - IPv4 address of the name server that the container uses and that the names of the targets are looked up at.
      - V(docker-bridge) is the address the host has on Docker's own bridge, where Weave Net serves names.
      - By default the container has the servers Docker gives it. Required for targets with O(targets[].fqdn).
    type: str
  dns_search:
    description: Domain in which the container looks up names without one. By default Docker's.
    type: str
  lookup_timeout:
    description:
      - Seconds for all lookups together, 0.1 to 60. They end as soon as every name has its address.
      - The default is several rounds of gossip between two hosts; a name mostly takes less than a second.
    type: float
    default: 10.0
  count:
    description: Echo requests for each target, 1 to 1000.
    type: int
    default: 5
  interval:
    description: Seconds between two echo requests to the same target, 0.001 to 10.
    type: float
    default: 0.2
  timeout:
    description: Seconds to wait for an echo reply, 0.01 to 60. A later one counts as lost.
    type: float
    default: 2.0
  tcp:
    description: Whether to test TCP.
    type: bool
    default: true
  tcp_timeout:
    description: Seconds for a TCP test from connect to the last byte, 0.1 to 60. 32 targets are tested at a time.
    type: float
    default: 5.0
  remove_image:
    description: With O(state=absent), also remove O(image) if this module made it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Start a probe on the overlay
  crosshost.overlay.overlay_probe:
    network: overlay
  register: probe

- name: Send packets to the other host's probe
  crosshost.overlay.overlay_probe:
    state: probed
    network: overlay
    targets:
      - name: h2
        address: 10.50.2.3

- name: Start a probe that other hosts of a Weave network can look up
  crosshost.overlay.overlay_probe:
    network: weave
    hostname: probe-h1.weave.local
    dns_server: docker-bridge
    dns_search: weave.local

- name: Send packets to the other host's probe, and look up its name
  crosshost.overlay.overlay_probe:
    state: probed
    network: weave
    dns_server: docker-bridge
    targets:
      - name: h2
        address: 10.40.0.1
        fqdn: probe-h2.weave.local

- name: Remove the probe and the image made for it
  crosshost.overlay.overlay_probe:
    state: absent
    remove_image: true
"""

RETURN = r"""
commands:
  description: The commands run on the host or, in check mode, those that would be. The echo service needs none.
  type: list
  elements: str
  returned: success
  sample: ["docker run --detach --rm --name crosshost-probe ... crosshost-overlay-probe:local 600"]
probe:
  description: The probe as it is after the module; in check mode and after O(state=absent) without address and pid.
  type: dict
  returned: success
  contains:
    container:
      description: Name of the container.
      type: str
    address:
      description: IPv4 address on the network.
      type: str
    pid:
      description: Process of the container, as the host numbers it.
      type: int
    tcp_port:
      description: Port of the echo service.
      type: int
    hostname:
      description: The O(hostname) given, null without.
      type: str
    dns_server:
      description: Address of the name server, null without O(dns_server).
      type: str
results:
  description: One entry for each target, in the order of O(targets).
  type: list
  elements: dict
  returned: with O(state=probed), outside check mode
  contains:
    name:
      description: Name of the target.
      type: str
    address:
      description: Address of the target.
      type: str
    sent:
      description: Echo requests sent.
      type: int
    received:
      description: Requests answered in time.
      type: int
    duplicates:
      description: Answers to a request that had been answered before.
      type: int
    loss:
      description: Percent of the requests without an answer in time.
      type: float
    rtt_ms:
      description: V(min), V(median) and V(max) round trip time in milliseconds; null without any answer.
      type: dict
    full_size:
      description: Of the requests as large as the interface allows, V(bytes), V(sent) and V(received); null with O(count=1).
      type: dict
    note:
      description: The last error message about this target, such as the text of an ICMP message; null without any.
      type: str
    tcp:
      description: V(ok), V(error) and V(ms) (from connect to the last byte) of the TCP test; null with O(tcp=false).
      type: dict
    lookup:
      description:
        - V(ok) (the server gave the target's address and no other), V(fqdn), V(server), V(addresses) of the last answer, V(error) in words
          or null, V(ms) from the first question to the right answer, and V(tries); null for a target without O(targets[].fqdn).
      type: dict
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli
from ansible_collections.crosshost.overlay.plugins.module_utils._docker import LABEL
from ansible_collections.crosshost.overlay.plugins.module_utils._netns import (
    NamespaceError,
    call,
    started_at,
    stop_echo,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._probe import (
    Settings,
    Target,
    neighbour_overflows,
    probe,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_container import (
    DOCKER_BRIDGE,
    MARK,
    Have,
    apply,
    bridge_address,
    observe,
    pid_path,
    plan,
    serve,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_input import validate
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_names import Wanted, look_up

DOCKER_TIMEOUT = 120  # seconds; starting a container took 20 s on an emulated CPU
MARGIN = 10  # seconds beyond the deadline of the probing itself, for a busy host


def name_server(docker: Cli, params: t.Mapping[str, t.Any]) -> str | None:
    """Return the address of the name server as a number."""
    if params["dns_server"] != DOCKER_BRIDGE:
        return params["dns_server"]
    address = bridge_address(docker)
    if address is None and not docker.module.check_mode:
        docker.module.fail_json(
            msg="Docker has no bridge of its own on this host (daemon.json sets 'bridge' to none), so dns_server=docker-bridge has no address; "
            "name the address of the name server."
        )
    return address


def refuse(module: AnsibleModule, have: Have) -> None:
    """Fail if a probe cannot be started as things are; nothing has been changed yet."""
    params = module.params
    if have.container and not have.container.ours:
        module.fail_json(
            msg=f"The container '{params['name']}' is not a probe of this collection (it has no label {LABEL}={MARK}); "
            "it stays as it is. Choose another name for the probe, or rename that container."
        )
    if not have.network and not module.check_mode:
        module.fail_json(
            msg=f"There is no Docker network '{params['network']}' on this host; create it first (see the module overlay_network)."
        )
    if have.image_ours is None and params["archive"] and not os.path.isfile(params["archive"]):
        module.fail_json(
            msg=f"The archive {params['archive']} is not on this host; copy it there, or leave the option out to have the image made."
        )


def measure(
    targets: t.Sequence[Target], names: t.Mapping[int, Wanted], settings: Settings, server: str, timeout: float
) -> list[dict[str, t.Any]]:
    """Probe all targets from here, then look up the names of those that have one; names is by index."""
    results = probe(targets, settings)
    found = dict(zip(names, look_up(list(names.values()), server, timeout))) if names else {}
    for index, result in enumerate(results):
        result["lookup"] = found.get(index)
    return results


def send(module: AnsibleModule, params: t.Mapping[str, t.Any], have: Have) -> dict[str, t.Any]:
    """Probe all targets from the container's namespace."""
    container = have.container
    if container is None or not container.ours or not container.pid or not container.address:
        module.fail_json(
            msg=f"There is no running probe container '{params['name']}' on the network '{params['network']}'; start it with state=present."
        )
        raise SystemExit(1)
    settings = Settings(
        **{option: params[option] for option in ("count", "interval", "timeout", "tcp_timeout", "port", "tcp")}
    )
    targets = [Target(target["name"], target["address"]) for target in params["targets"]]
    names = {
        index: Wanted(item["fqdn"], item["address"]) for index, item in enumerate(params["targets"]) if item["fqdn"]
    }
    server, patience = params["dns_server"] or "", params["lookup_timeout"]
    namespace, limit = f"/proc/{container.pid}/ns/net", settings.deadline(len(targets)) + MARGIN
    limit += patience if names else 0
    before = (started_at(container.pid), neighbour_overflows())
    results: list[dict[str, t.Any]] = []
    try:
        if targets:
            results = call(namespace, lambda: measure(targets, names, settings, server, patience), limit)
    except (NamespaceError, OSError) as exc:
        module.fail_json(msg=f"Probing from the container '{params['name']}' failed: {exc}.")
    after = (started_at(container.pid), neighbour_overflows())
    if after[0] is None or after[0] != before[0]:
        module.fail_json(
            msg=f"The probe container '{params['name']}' ended while it was in use, so its figures mean nothing; raise lifetime."
        )
    if after[1] != before[1]:
        module.warn(
            "The kernel's table of neighbours was full while probing, and packets were lost to that: "
            "raise the sysctls net.ipv4.neigh.default.gc_thresh1, gc_thresh2 and gc_thresh3 on this host."
        )
    found = {**nothing(params), "address": container.address, "pid": container.pid}
    return {"changed": False, "commands": [], "probe": found, "results": results}


def nothing(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the probe as it is reported while there is none."""
    return {
        "container": params["name"],
        "address": None,
        "pid": None,
        "tcp_port": params["port"],
        "hostname": params["hostname"],
        "dns_server": params["dns_server"],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "probed", "absent"], "default": "present"},
            "name": {"type": "str", "default": "crosshost-probe"},
            "network": {"type": "str"},
            "image": {"type": "str", "default": "crosshost-overlay-probe:local"},
            "archive": {"type": "path"},
            "port": {"type": "int", "default": 7},
            "lifetime": {"type": "int", "default": 600},
            "targets": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "address": {"type": "str", "required": True},
                    "fqdn": {"type": "str"},
                },
            },
            "hostname": {"type": "str"},
            "dns_server": {"type": "str"},
            "dns_search": {"type": "str"},
            "lookup_timeout": {"type": "float", "default": 10.0},
            "count": {"type": "int", "default": 5},
            "interval": {"type": "float", "default": 0.2},
            "timeout": {"type": "float", "default": 2.0},
            "tcp": {"type": "bool", "default": True},
            "tcp_timeout": {"type": "float", "default": 5.0},
            "remove_image": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["network"]), ("state", "probed", ["network"])],
        supports_check_mode=True,
    )
    validate(module)
    params = module.params
    if params["state"] == "probed" and module.check_mode:
        reason = "Check mode sends no packets."
        module.exit_json(changed=False, skipped=True, skip_reason=reason, commands=[], probe=nothing(params))
    if not module.get_bin_path("docker") and (module.check_mode or params["state"] == "absent"):
        # Before the first run there is no Docker: nothing to remove, and no more to predict than the image.
        want = params["image"] if params["state"] == "present" else None
        diff = {"before": {"image": None}, "after": {"image": want}}
        module.exit_json(changed=want is not None, commands=[], probe=nothing(params), diff=diff)
    docker = Cli(module, "docker", timeout=DOCKER_TIMEOUT, package="docker.io or docker-ce")
    have = observe(docker, params)
    if params["state"] != "absent":
        params = {**params, "dns_server": name_server(docker, params)}
    if params["state"] == "probed":
        module.exit_json(**send(module, params, have))
    if params["state"] == "present":
        refuse(module, have)

    steps = plan(params, have)
    if not module.check_mode:
        stop_echo(pid_path(params))
    apply(docker, params, have, steps)
    start = params["state"] == "present" and not module.check_mode
    running = serve(docker, params) if start else nothing(params)
    before = params["image"] if have.image_ours is not None else None
    lasting = any(step[0] == "image" for step in steps)
    after = (params["image"] if params["state"] == "present" else None) if lasting else before
    diff = {"before": {"image": before}, "after": {"image": after}}
    module.exit_json(changed=lasting, commands=docker.commands, probe=running, diff=diff)


if __name__ == "__main__":
    main()
