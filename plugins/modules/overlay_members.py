#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_members
short_description: Have the containers of one Docker network on another one too, and take them off the first
version_added: "0.1.0"
description:
  - With O(state=connected) connects every container on the network O(source) to the network O(target) as well, also those that are
    stopped, with the aliases they have on O(source). They keep running and keep all addresses they have.
  - With O(state=disconnected) takes them off O(source). Refuses, before the first change, while one of them is not on O(target).
  - Containers of this collection, which carry its label C(crosshost.overlay), are left as they are.
  - Docker does not tell what made a container of this. Whoever makes it anew, such as Docker Compose, makes it with the networks in its
    own file; change those there.
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
  source:
    description: Name of the Docker network whose containers are meant. Where there is none, there is nothing to do.
    type: str
    required: true
  target:
    description: Name of the Docker network they are to be on. In check mode a missing one is taken to be made by then.
    type: str
    required: true
  state:
    description: Whether to connect them to O(target), or to disconnect them from O(source).
    type: str
    choices: [connected, disconnected]
    default: connected
  timeout:
    description: Seconds that each docker command may take.
    type: int
    default: 60
seealso:
  - module: crosshost.overlay.overlay_network
"""

EXAMPLES = r"""
- name: Have all containers of Weave Net on the overlay of Open vSwitch, too
  crosshost.overlay.overlay_members:
    source: weave
    target: overlay

- name: Take them off Weave Net
  crosshost.overlay.overlay_members:
    source: weave
    target: overlay
    state: disconnected
"""

RETURN = r"""
members:
  description: The containers on O(source), before the change.
  returned: success
  type: list
  elements: str
  sample: [web]
commands:
  description: Commands that were run, or in check mode would be.
  returned: always
  type: list
  elements: str
  sample: ["docker network connect --alias web overlay web"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _docker
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli
from ansible_collections.crosshost.overlay.plugins.module_utils._members import Member, Refusal, plan, predicted
from ansible_collections.crosshost.overlay.plugins.module_utils._network import parse_users


def observe(docker: Cli, source: str) -> list[Member]:
    """Read the containers on the network of origin that are not this collection's."""
    found = {item.name: item for item in _docker.containers(docker, source) if item.label is None}
    users = parse_users(docker.read("inspect", *found)[1], source) if found else []
    return [Member(user.container, found[user.container].networks, user.aliases) for user in users]


def networks(docker: Cli) -> set[str]:
    """The names of all networks."""
    return set(docker.read("network", "ls", "--format", "{{.Name}}")[1].split())


def main() -> None:
    """Observe, plan, apply, read back."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "str", "required": True},
            "target": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["connected", "disconnected"], "default": "connected"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    source, target, state = (module.params[name] for name in ("source", "target", "state"))
    if source == target:
        module.fail_json(msg=f"source and target are both '{source}'; name two networks.", commands=[])
    docker = _docker.client_or_none(module, module.params["timeout"], True, "running without containers")
    if docker is None:
        module.exit_json(changed=False, commands=[], members=[], diff={"before": {}, "after": {}})
        return
    members = observe(docker, source)
    try:
        steps = plan(members, source, target, state)
    except Refusal as exc:
        module.fail_json(msg=f"Nothing was changed: {exc}.", commands=[])
        return
    if steps and state == "connected" and not module.check_mode and target not in networks(docker):
        module.fail_json(
            msg=f"Nothing was changed: there is no Docker network '{target}' on this host; make it first (crosshost.overlay.site).",
            commands=[],
        )
    for step in steps:
        docker.write(*step)
    if steps and not module.check_mode:
        left = [step[-1] for step in plan(observe(docker, source), source, target, state)]
        if left:
            module.fail_json(
                msg=f"Docker did not say so, and still not {state} are: {', '.join(left)}. See 'journalctl -u docker'; run again.",
                commands=docker.commands,
            )
    changed = [step[-1] for step in steps]
    after = predicted(members, source, target, state)
    module.exit_json(
        changed=bool(steps),
        commands=docker.commands,
        members=[member.name for member in members],
        diff={
            "before": {member.name: sorted(member.networks) for member in members if member.name in changed},
            "after": {name: after[name] for name in changed},
        },
    )


if __name__ == "__main__":
    main()
