#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: weave_reclaim
short_description: Give the addresses of dead hosts of a Weave network to this host
version_added: "0.1.0"
description:
  - Does what C(weave rmpeer) does, through the API of the router on loopback. The router of this host takes over the part of the
    address range that hosts own which are gone for good; the others learn it from this one.
  - To be run on exactly one host. Two routers that take over the same part own it both, and then nothing of it is safe. So first ask all
    routers in check mode, and have only those taken over that own something on every one of them.
  - Refuses while a host that is said to be dead is connected to any router this one knows of. One that was just lost is noticed
    within about a minute; see O(wait_timeout).
  - A host that owns nothing is no failure, so it can be run again.
author:
  - The crosshost.overlay authors (@crosshost)
requirements:
  - On the host a running router of Weave Net 2.6.0 or later.
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
  peers:
    description: The dead hosts.
    type: list
    elements: dict
    required: true
    suboptions:
      nickname:
        description: The name shown to people, which the role P(crosshost.overlay.weave#role) makes the inventory name.
        type: str
        required: true
      name:
        description: The peer name, where it is known. An owner of another name with O(peers[].nickname) counts as well.
        type: str
  http_address:
    description: Where the router's API listens, as host and port.
    type: str
    default: 127.0.0.1:6784
  wait_timeout:
    description: Seconds to wait until the router has noticed that these hosts are gone, 0 to 600.
    type: int
    default: 0
seealso:
  - module: crosshost.overlay.weave_launch
"""

EXAMPLES = r"""
- name: Ask every router
  crosshost.overlay.weave_reclaim:
    peers: [{nickname: h3}]
  check_mode: true
  register: seen

- name: Take over what h3 had, on one host
  crosshost.overlay.weave_reclaim:
    peers: [{nickname: h3}]
  run_once: true
"""

RETURN = r"""
owned:
  description: Nicknames of those of O(peers) that owned addresses before.
  type: list
  elements: str
  returned: success
  sample: ["h3"]
free:
  description: Nicknames of the others; somebody has taken over what they had, or they never had any.
  type: list
  elements: str
  returned: success
addresses:
  description: How many addresses were taken over or, in check mode, would be.
  type: int
  returned: success
  sample: 349525
commands:
  description: Requests to the router or, in check mode, those that would be sent.
  type: list
  elements: str
  returned: always
  sample: ["DELETE http://127.0.0.1:6784/peer/02:00:00:00:00:03"]
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_report
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import Api, ApiError
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_reclaim import (
    Dead,
    claims,
    connected,
    refusal,
    strangers,
    taken_over,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_report import Router

INTERVAL = 1.0  # seconds between two looks


def look(module: AnsibleModule, api: Api) -> Router:
    """Read the router; fail if none answers."""
    report = api.report()
    if report is None:
        module.fail_json(
            msg="No router answers on this host, so it can neither tell who is connected nor take anything over. Start it first "
            "(ansible-playbook crosshost.overlay.site), then run again.",
            commands=[],
        )
        raise SystemExit(1)  # fail_json() does not return; this tells the type checker
    return _weave_report.parse(report)


def await_gone(module: AnsibleModule, api: Api, dead: list[Dead]) -> Router:
    """Wait until the router has lost all of them; fail if it does not."""
    end = time.monotonic() + module.params["wait_timeout"]
    while True:
        router = look(module, api)
        still = connected(router, dead)
        if not still:
            return router
        if time.monotonic() >= end:
            module.fail_json(msg=f"Nothing was changed: {refusal(router, still)}.", connected=still, commands=[])
        time.sleep(INTERVAL)


def main() -> None:
    """Observe, plan, apply, read back."""
    module = AnsibleModule(
        argument_spec={
            "peers": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {"nickname": {"type": "str", "required": True}, "name": {"type": "str"}},
            },
            "http_address": {"type": "str", "default": "127.0.0.1:6784"},
            "wait_timeout": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    params = module.params
    if not 0 <= params["wait_timeout"] <= 600:
        module.fail_json(msg=f"wait_timeout={params['wait_timeout']} is not within 0 to 600 seconds.", commands=[])
    api = Api(params["http_address"])
    dead = [Dead(item["nickname"], (item["name"] or "").lower()) for item in params["peers"]]
    router = await_gone(module, api, dead)
    before = claims(router, dead)
    for other in strangers(router, dead):
        module.warn(
            f"{other.nickname or other.peer} ({other.peer}) owns {other.addresses} addresses and cannot be reached; they stay with it. "
            "If it is one of the dead, name it in peers, too."
        )
    commands = [f"DELETE http://{api.address}/peer/{claim.peer}" for claim in before]
    if not module.check_mode:
        for claim in before:
            take_over(module, api, claim.peer, commands)
        left = claims(look(module, api), dead) if before else []
        if left:
            named = ", ".join(f"{claim.nickname} ({claim.peer})" for claim in left)
            module.fail_json(
                msg=f"The router took over what was asked for, and {named} still own(s) addresses there. See 'weave status ipam'; run again.",
                commands=commands,
            )
    owned = list(dict.fromkeys(claim.nickname for claim in before))
    module.exit_json(
        changed=bool(before),
        commands=commands,
        owned=owned,
        free=[item.nickname for item in dead if item.nickname not in owned],
        addresses=sum(claim.addresses for claim in before),
        diff={
            "before": {claim.peer: f"{claim.addresses} addresses" for claim in before},
            "after": {claim.peer: "no addresses" for claim in before},
        },
    )


def take_over(module: AnsibleModule, api: Api, peer: str, commands: list[str]) -> None:
    """Have the router take over what a peer owns; an answer that says it took nothing is a failure, too."""
    try:
        answer = api.delete(f"/peer/{peer}")
    except ApiError as exc:
        module.fail_json(
            msg=f"The router stopped answering: {exc}. See 'docker logs weave'; run again.", commands=commands
        )
        raise SystemExit(1) from exc
    if not answer.ok or not taken_over(answer.text):
        module.fail_json(
            msg=f"The router took over nothing of {peer}: {answer.text.strip() or f'status {answer.status}'}. "
            "See 'docker logs weave' and 'weave status ipam'; run again.",
            commands=commands,
        )


if __name__ == "__main__":
    main()
