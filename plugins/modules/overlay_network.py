#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_network
short_description: Manage the Docker network that containers of a host join the overlay by
version_added: "0.1.0"
description:
  - Makes a Docker network of the bridge driver with the overlay's pool as subnet, this host's slice as address range,
    a gateway inside the slice, the overlay MTU and a fixed name for its Linux bridge.
  - Records the slices of all hosts in C(/var/lib/crosshost-overlay/slices.json), so that a later run that does not reach
    some of them gives none of their slices to another host.
  - Only touches a network that carries its label C(crosshost.overlay). A network that containers use is neither changed nor
    removed unless O(recreate) or O(disconnect) says so.
  - A run that was cut off while containers were disconnected connects them again when it is repeated.
author:
  - The crosshost.overlay authors (@crosshost)
requirements:
  - Docker Engine and its command line client
extends_documentation_fragment:
  - crosshost.overlay.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: Name of the Docker network.
    type: str
    default: overlay
  state:
    description: Whether the network shall exist.
    type: str
    choices: [present, absent]
    default: present
  pool:
    description: Address pool of the whole overlay in CIDR form. Required for O(state=present).
    type: str
  slice:
    description: Part of the pool that Docker on this host gives addresses from, in CIDR form. Required for O(state=present).
    type: str
  gateway:
    description: Address of this host on the overlay, inside the slice. Required for O(state=present).
    type: str
  mtu:
    description: MTU of the containers' interfaces in bytes, 576 to 65535. Required for O(state=present).
    type: int
  bridge:
    description: Name of the Linux bridge, at most 15 characters.
    type: str
    default: ovl0
  slices:
    description: Slices of all hosts by inventory name, to be recorded on this host.
    type: dict
    default: {}
  recreate:
    description:
      - Make a network that containers use anew when it has to change. They lose their connections meanwhile, keep their addresses
        if the slice still has them, and get new ones otherwise.
    type: bool
    default: false
  disconnect:
    description: With O(state=absent), disconnect the containers that still use the network.
    type: bool
    default: false
  timeout:
    description: Seconds that each docker command may take.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Make the overlay's network
  crosshost.overlay.overlay_network:
    pool: 10.50.0.0/16
    slice: 10.50.1.0/24
    gateway: 10.50.1.1
    mtu: 1458
    slices: {h1: 10.50.0.0/24, h2: 10.50.1.0/24}

- name: Remove it, also from containers that still use it
  crosshost.overlay.overlay_network:
    state: absent
    disconnect: true
"""

RETURN = r"""
network:
  description: The network as Docker shows it after the change, null when it is absent.
  returned: success
  type: dict
  sample: {"name": "overlay", "pool": "10.50.0.0/16", "slice": "10.50.1.0/24", "gateway": "10.50.1.1", "mtu": 1458, "bridge": "ovl0"}
commands:
  description: Commands that were run, or in check mode would be.
  returned: always
  type: list
  elements: str
"""

import json
import os
import typing as t
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _docker, _files, _host
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli
from ansible_collections.crosshost.overlay.plugins.module_utils._network import (
    Refusal,
    State,
    User,
    Wish,
    differences,
    invalid,
    parse_users,
    plan_absent,
    plan_present,
)

NOTHING = State(None, (), (), (), False, "")


def pending_path(name: str) -> str:
    """Return the file that lists containers which are disconnected for the moment."""
    return f"{_host.STATE_DIR}/reconnect-{name}.json"


def observe(docker: Cli, name: str, bridge: str) -> State:
    """Read the network, its users, and what an earlier run left behind."""
    every = _docker.networks(docker)
    network = next((item for item in every if item.name == name), None)
    attached = _docker.containers(docker, name) if network else []
    ours = tuple(item.name for item in attached if item.label is not None)
    theirs = [item.name for item in attached if item.label is None]
    users = parse_users(docker.read("inspect", *theirs)[1], name) if theirs else []
    waiting: list[User] = []
    for entry in json.loads(_host.read_text(pending_path(name)) or "[]"):
        exists = docker.run_raw("container", "inspect", entry["container"]).rc == 0
        if exists and entry["container"] not in theirs:
            waiting.append(User(entry["container"], entry["address"], tuple(entry["aliases"])))
    owner = next((item.name for item in every if item.bridge == bridge and item.name != name), "")
    return State(network, tuple(users), ours, tuple(waiting), os.path.exists(f"/sys/class/net/{bridge}"), owner)


def apply(module: AnsibleModule, docker: Cli, steps: list[list[str]], name: str, users: t.Iterable[User]) -> None:
    """Run the commands; who gets disconnected is written down first, and crossed out at the end."""
    if not steps:
        return
    leaving = [asdict(user) for user in users]
    if leaving and not module.check_mode:
        write(module, pending_path(name), leaving)
    for step in steps:
        docker.write(*step)
    if not module.check_mode and os.path.exists(pending_path(name)):
        _files.remove(pending_path(name))


def record(module: AnsibleModule, wanted: dict[str, t.Any]) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Return the record of slices before and after; hosts that left stay in it, so that their slices rest."""
    before = _host.recorded_slices()
    if module.params["state"] == "absent":
        return before, {}
    same_pool = before.get("pool") == wanted["pool"]
    return before, {
        "pool": wanted["pool"],
        "slices": {**(before.get("slices", {}) if same_pool else {}), **wanted["slices"]},
    }


def write(module: AnsibleModule, path: str, content: t.Any) -> None:
    """Replace a file as a whole, so that no reader and no power cut sees half of it."""
    try:
        _files.write_atomic(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
    except OSError as exc:
        module.fail_json(
            msg=f"{path} could not be written: {exc}. Free space or make the file system writable, then run again."
        )


def main() -> None:
    """Observe, plan, apply, read back."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "overlay"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "pool": {"type": "str"},
            "slice": {"type": "str"},
            "gateway": {"type": "str"},
            "mtu": {"type": "int"},
            "bridge": {"type": "str", "default": "ovl0"},
            "slices": {"type": "dict", "default": {}},
            "recreate": {"type": "bool", "default": False},
            "disconnect": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 60},
        },
        required_if=[("state", "present", ("pool", "slice", "gateway", "mtu"))],
        supports_check_mode=True,
    )
    params = module.params
    name, present = params["name"], params["state"] == "present"
    wish = Wish(name, params["pool"], params["slice"], params["gateway"], params["mtu"], params["bridge"])
    problem = invalid(wish) if present else None
    if problem:
        module.fail_json(msg=f"Docker network '{name}': {problem}.", commands=[])
    optional = module.check_mode or module.params["state"] == "absent"
    docker = _docker.client_or_none(module, module.params["timeout"], optional, "running without networks of ours")
    state = observe(docker, name, params["bridge"]) if docker else NOTHING
    try:
        steps = (
            plan_present(state, wish, params["recreate"]) if present else plan_absent(state, name, params["disconnect"])
        )
    except Refusal as exc:
        module.fail_json(msg=f"{exc}.", commands=[])
    before, after = record(module, params)
    # The record comes first: a slice that is in use must never be one that nobody remembers.
    if before != after and not module.check_mode and present:
        write(module, _host.SLICES_FILE, after)
    if docker:
        apply(module, docker, steps, name, state.users if present and differences(state, wish) else ())
    if before != after and not module.check_mode and not present:
        _files.remove(_host.SLICES_FILE)
    now = observe(docker, name, params["bridge"]) if docker and steps and not module.check_mode else state
    left = differences(now, wish) if present and not module.check_mode else {}
    if left or (present and not module.check_mode and now.network is None):
        module.fail_json(
            msg=f"Docker network '{name}' is not as it was made: {left or 'it is missing'}. See 'journalctl -u docker'."
        )
    found = {"network": shown(state), "slices": before}
    wanted = {"network": asdict(wish) if present else None, "slices": after}
    changed = bool(steps) or before != after
    module.exit_json(
        changed=changed,
        commands=docker.commands if docker else [" ".join(["docker", *step]) for step in steps],
        network=asdict(now.network) if now.network else None,
        diff={"before": found, "after": wanted if changed else found},
    )


def shown(state: State) -> dict[str, t.Any] | None:
    """Return the network in the shape of a wish, for the diff."""
    if state.network is None:
        return None
    have = asdict(state.network)
    return {key: have[key] for key in ("name", "pool", "slice", "gateway", "mtu", "bridge")}


if __name__ == "__main__":
    main()
