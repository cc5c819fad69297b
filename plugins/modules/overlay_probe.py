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
    nothing for long. An older probe of the same name is replaced. With O(same_host) there are two such containers.
  - With O(state=probed) sends to all O(targets) at once from that namespace, and to the second probe of this host. In the same
    rounds leave ICMP echo requests, such of exactly the size that has to pass unfragmented and one that is a byte longer, such of
    3200 bytes that are fragmented, and UDP datagrams of 600 bytes. Then 256 KiB go over TCP to each and back. What comes back is
    compared byte by byte. Loss is a result, not a failure; M(crosshost.overlay.verify_report) judges it.
  - Three ARP requests for its own address, which change nothing, show whether the network multiplies broadcasts, as one with a loop
    does.
  - With O(containers) echo requests also go from each of the containers selected to all O(endpoints). These containers are left as
    they are; only their network namespaces are entered, one by one and by a single process, to open a socket there.
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
    description: Name of the probe container. The second one has the same with C(-2) behind it.
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
    description: Seconds after which container and service end by themselves, 10 to 86400. Has to cover the probing of all hosts.
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
  checks:
    description:
      - What else to look at. V(mtu) is the largest unfragmented packet, V(fragmented) the fragmented one, V(udp) the datagrams, and
        V(broadcast) whether the network multiplies broadcasts.
    type: list
    elements: str
    choices: [broadcast, fragmented, mtu, udp]
    default: [broadcast, fragmented, mtu, udp]
  mtu:
    description:
      - Bytes of the largest packet that has to pass unfragmented, and no larger one.
      - By default the MTU in the options of the Docker network or, without one there, that of the probe's interface. At most 9216 bytes
        are tried.
    type: int
  same_host:
    description:
      - Whether there is a second probe on the same network of this host, and whether the first one measures the way to it.
      - Without it O(state=present) and O(state=absent) still remove a second probe that was left.
    type: bool
    default: true
  containers:
    description:
      - Which running containers of this host to send from as well; those that have both, if both are given. Probes are never among them,
        nor are containers without an IPv4 address on the network.
      - With O(state=present) they are returned as RV(endpoints), so that other hosts can be told; nothing is sent then.
    type: dict
    suboptions:
      network:
        description: Name of a Docker network they are on. Their addresses are those on it; without this, on O(network).
        type: str
      label:
        description: Label they have, as C(name) or C(name=value).
        type: str
  endpoints:
    description:
      - Host name to the RV(endpoints) of that host; what O(containers) send to with O(state=probed), each to all but itself. Two requests
        at the most, because the first has to wait for an address to be found.
    type: dict
    default: {}
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

- name: Send packets between all containers of two hosts that have a label as well
  crosshost.overlay.overlay_probe:
    state: probed
    network: overlay
    containers:
      label: app=shop
    endpoints:
      h1: "{{ hostvars['h1'].probe.endpoints }}"
      h2: "{{ hostvars['h2'].probe.endpoints }}"

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
    same_host:
      description: V(container), V(address) and V(pid) of the second probe; null without O(same_host), and with O(state=probed).
      type: dict
endpoints:
  description: V(name) and V(address) of each container that O(containers) selects.
  type: list
  elements: dict
  returned: with O(state=present) and O(containers), outside check mode
results:
  description: One entry for each target, in the order of O(targets), then one for the second probe of this host.
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
      description: Echo requests of the usual size sent; the second time, if RV(results[].first) is not null.
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
    first:
      description:
        - V(sent) and V(received) of the first time, if something was answered and not everything; null otherwise.
        - Such a target is asked everything but TCP again, at least 20 times, when nothing else is under way from this host. Packets lost to a
          busy machine are no fault of the overlay; a loss that lasts shows again.
      type: dict
    rtt_ms:
      description: V(min), V(median) and V(max) round trip time in milliseconds; null without any answer.
      type: dict
    kind:
      description: V(host), or V(same_host) for the second probe of this host.
      type: str
    mtu:
      description:
        - Of the packets of exactly the size that has to pass, V(bytes), V(ok) (at least one was answered), V(sent) and V(received).
        - V(above) has the V(bytes) of a packet one byte longer, and whether it was V(refused), as it should be, by this host or on the way;
          null above 9216 bytes.
        - Null without V(mtu) in O(checks).
      type: dict
    fragmented:
      description: Of the packets of 3200 bytes, V(bytes), V(ok), V(sent) and V(received); null without V(fragmented) in O(checks).
      type: dict
    udp:
      description:
        - V(ok) (at least one datagram came back, and none was altered), V(error), V(bytes), V(sent) and V(received); null without V(udp) in
          O(checks).
      type: dict
    note:
      description: The last error message about this target, such as the text of an ICMP message; null without any.
      type: str
    tcp:
      description: V(ok), V(error), V(ms) (from connect to the last byte) and V(bytes) of the TCP test; null with O(tcp=false).
      type: dict
    lookup:
      description:
        - V(ok) (the server gave the target's address and no other), V(fqdn), V(server), V(addresses) of the last answer, V(error) in words
          or null, V(ms) from the first question to the right answer, and V(tries); null for a target without O(targets[].fqdn).
      type: dict
broadcast:
  description:
    - Whether the network multiplies broadcasts, as seen from the probe. Null without V(broadcast) in O(checks), without targets, and where
      the probe's interface knows no broadcasts.
  type: dict
  returned: with O(state=probed), outside check mode
  contains:
    sent:
      description: Broadcasts sent.
      type: int
    received:
      description: Name of a target, or address of another probe, to the most copies that came of one of its broadcasts.
      type: dict
    returned:
      description: The most copies of one of our own broadcasts that came back. One is no fault.
      type: int
    copies:
      description: The most copies of one ARP frame, whoever sent it.
      type: int
    per_second:
      description: ARP frames a second that came in.
      type: float
    amplified:
      description: Whether more copies came than a network without a loop makes.
      type: bool
containers:
  description: What the containers selected by O(containers) sent to O(endpoints), one entry for each host that has any; null without.
  type: list
  elements: dict
  returned: with O(state=probed), outside check mode
  contains:
    name:
      description: Host of the targets.
      type: str
    kind:
      description: Always V(container).
      type: str
    sources:
      description: Containers of this host that sent.
      type: int
    targets:
      description: Containers of that host.
      type: int
    pairs:
      description: Pairs of a container here and another one there.
      type: int
    answered:
      description: Pairs with an answer.
      type: int
    loss:
      description: Percent of the pairs without an answer.
      type: float
    rtt_ms:
      description: V(min), V(median) and V(max) round trip time over all pairs in milliseconds; null without any answer.
      type: dict
    failed:
      description: The first 20 pairs without an answer, with V(source), V(source_address), V(target), V(target_address) and V(note).
      type: list
      elements: dict
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli
from ansible_collections.crosshost.overlay.plugins.module_utils._docker import LABEL
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_container import (
    DOCKER_BRIDGE,
    MARK,
    Have,
    apply,
    bridge_address,
    observe,
    plan,
    second_name,
    serve,
    stop_services,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_input import validate
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_send import (
    CHECKS,
    endpoints,
    nothing,
    send,
    shown,
)

DOCKER_TIMEOUT = 120  # seconds; starting a container took 20 s on an emulated CPU


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
    both = ((params["name"], have.container), (second_name(params["name"]), have.second))
    foreign = [name for name, container in both if container and not container.ours]
    if foreign and (params["same_host"] or foreign[0] == params["name"]):
        module.fail_json(
            msg=f"The container '{foreign[0]}' is not a probe of this collection (it has no label {LABEL}={MARK}); "
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
            "checks": {"type": "list", "elements": "str", "choices": sorted(CHECKS), "default": sorted(CHECKS)},
            "mtu": {"type": "int"},
            "same_host": {"type": "bool", "default": True},
            "containers": {"type": "dict", "options": {"network": {"type": "str"}, "label": {"type": "str"}}},
            "endpoints": {"type": "dict", "default": {}},
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
        module.exit_json(**send(module, docker, params, have))
    if params["state"] == "present":
        refuse(module, have)

    steps = plan(params, have)
    if not module.check_mode:
        stop_services(params)
    apply(docker, params, have, steps)
    start = params["state"] == "present" and not module.check_mode
    running = serve(docker, params) if start else nothing(params)
    there = {"endpoints": shown(endpoints(docker, params))} if start and params["containers"] else {}
    before = params["image"] if have.image_ours is not None else None
    lasting = any(step[0] == "image" for step in steps)
    after = (params["image"] if params["state"] == "present" else None) if lasting else before
    diff = {"before": {"image": before}, "after": {"image": after}}
    module.exit_json(changed=lasting, commands=docker.commands, probe=running, diff=diff, **there)


if __name__ == "__main__":
    main()
