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
"""

import ipaddress
import os
import re
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
    MARK,
    Have,
    apply,
    observe,
    pid_path,
    plan,
    serve,
)

DOCKER_TIMEOUT = 120  # seconds; starting a container took 20 s on an emulated CPU
MARGIN = 10  # seconds beyond the deadline of the probing itself, for a busy host
LIMITS = {
    "port": (1, 65535),
    "lifetime": (10, 3600),
    "count": (1, 1000),
    "interval": (0.001, 10),
    "timeout": (0.01, 60),
    "tcp_timeout": (0.1, 60),
}


def validate(module: AnsibleModule) -> None:
    """Refuse bad input before anything is read or changed."""
    params = module.params
    for option, (low, high) in LIMITS.items():
        if not low <= params[option] <= high:
            module.fail_json(msg=f"{option}={params[option]} is not within {low} to {high}.")
    for option in ("name", "network"):
        if params[option] and not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z", params[option]):
            module.fail_json(
                msg=f"{option}='{params[option]}' is no name Docker takes: use letters, digits, '_', '.' and '-'."
            )
    for target in params["targets"]:
        try:
            ipaddress.IPv4Address(target["address"])
        except ValueError as exc:
            module.fail_json(msg=f"The address of target '{target['name']}' is no IPv4 address: {exc}.")


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


def send(module: AnsibleModule, have: Have) -> dict[str, t.Any]:
    """Probe all targets from the container's namespace."""
    params = module.params
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
    namespace, limit = f"/proc/{container.pid}/ns/net", settings.deadline(len(targets)) + MARGIN
    before = (started_at(container.pid), neighbour_overflows())
    results: list[dict[str, t.Any]] = []
    try:
        if targets:
            results = call(namespace, lambda: probe(targets, settings), limit)
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
    return {"container": params["name"], "address": None, "pid": None, "tcp_port": params["port"]}


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
                "options": {"name": {"type": "str", "required": True}, "address": {"type": "str", "required": True}},
            },
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
    if params["state"] == "probed":
        module.exit_json(**send(module, have))
    if params["state"] == "present":
        refuse(module, have)

    steps = plan(params, have)
    if not module.check_mode:
        stop_echo(pid_path(params))
    apply(module, docker, steps)
    start = params["state"] == "present" and not module.check_mode
    running = serve(docker, params) if start else nothing(params)
    before = params["image"] if have.image_ours is not None else None
    lasting = any(step[0] == "image" for step in steps)
    after = (params["image"] if params["state"] == "present" else None) if lasting else before
    diff = {"before": {"image": before}, "after": {"image": after}}
    module.exit_json(changed=lasting, commands=docker.commands, probe=running, diff=diff)


if __name__ == "__main__":
    main()
