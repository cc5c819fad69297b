#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: weave_expose
short_description: Give the host itself an address of the Weave network, also after a boot
version_added: "0.1.0"
description:
  - Does what C(weave expose) and C(weave hide) do, through the API of the router on loopback. The address is one that the router
    gives to the host, always the same; it is put on the bridge, with the rules that let other networks reach the containers.
  - The address of a bridge does not outlive a boot. So with O(boot=true) a systemd unit asks the router for it again after each
    start of Docker. The unit waits for the router and never starts it; the restart policy of its container does.
  - With O(state=absent) takes back only what this module gave.
author:
  - The crosshost.overlay authors (@crosshost)
requirements:
  - On the host a running router of Weave Net 2.6.0 or later, iproute2, and systemd with O(boot=true).
  - C(iptables) on the host, to notice rules that are missing or too many; without it only the address is looked at.
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
  state:
    description:
      - Whether the host shall have an address.
      - While the router does not run, V(absent) removes address, rules and unit, says that the router still counts the address as in use,
        and gives it back when it is run again.
    type: str
    choices: [present, absent]
    default: present
  masquerade:
    description:
      - Whether packets from the overlay to elsewhere, and from elsewhere to the overlay, carry the address of this host.
      - A router that starts while the address is on the bridge sets these rules in any case; the next run removes them again.
    type: bool
    default: true
  fqdn:
    description:
      - Name under which containers find the host. Has to end in the domain of the router, by default V(weave.local).
      - Another name given by an earlier run is removed. The router forgets names when it restarts alone; the unit of O(boot) or the next
        run gives the name again.
    type: str
    default: ""
  boot:
    description: Whether a systemd unit, C(crosshost-weave-expose.service), gives the address again after a boot.
    type: bool
    default: true
  http_address:
    description: Where the router's API listens, as host and port.
    type: str
    default: 127.0.0.1:6784
  bridge:
    description: Name of the router's bridge.
    type: str
    default: weave
  wait_timeout:
    description:
      - Seconds to wait for the router to be ready, and for each of its answers, 1 to 600. An address is given when enough peers are
        connected.
    type: int
    default: 60
seealso:
  - module: crosshost.overlay.weave_launch
"""

EXAMPLES = r"""
- name: Reach containers from the host
  crosshost.overlay.weave_expose:

- name: Give the host a name too, and show containers where packets come from
  crosshost.overlay.weave_expose:
    fqdn: "{{ inventory_hostname }}.weave.local"
    masquerade: false

- name: Take the address back
  crosshost.overlay.weave_expose:
    state: absent
"""

RETURN = r"""
exposed:
  description:
    - V(address) in CIDR form, V(fqdn), V(masquerade) (null where the rules cannot be read) and V(boot), as they are after the module or,
      in check mode, would be.
  returned: success
  type: dict
  sample: {"address": "10.32.0.1/12", "fqdn": null, "masquerade": true, "boot": true}
commands:
  description: Requests to the router, commands and files that were written or, in check mode, would be.
  returned: always
  type: list
  elements: str
  sample: ["POST http://127.0.0.1:6784/ip/weave:expose", "POST http://127.0.0.1:6784/expose/10.32.0.1/12"]
"""

import re

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils._weave_expose import Record, Refusal
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_expose_host import ExposeHost

FQDN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9][A-Za-z0-9-]{0,62})+\.?\Z")
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}\Z")
ADDRESS = re.compile(r"[A-Za-z0-9.-]+:\d{1,5}\Z")


def validate(module: AnsibleModule) -> None:
    """Refuse bad input before anything is read or changed."""
    params = module.params
    if params["fqdn"] and not FQDN.match(params["fqdn"]):
        module.fail_json(
            msg=f"fqdn='{params['fqdn']}' is no host name with a domain; use one like h1.weave.local.", commands=[]
        )
    if not INTERFACE.match(params["bridge"]):
        module.fail_json(
            msg=f"bridge='{params['bridge']}' is no name of an interface: at most 15 letters, digits, '_', '.' and '-'.",
            commands=[],
        )
    if not ADDRESS.match(params["http_address"]):
        module.fail_json(msg=f"http_address='{params['http_address']}' is not of the form 127.0.0.1:6784.", commands=[])
    if not 1 <= params["wait_timeout"] <= 600:
        module.fail_json(msg=f"wait_timeout={params['wait_timeout']} is not within 1 to 600 seconds.", commands=[])


def main() -> None:
    """Observe, plan, apply, read back."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "masquerade": {"type": "bool", "default": True},
            "fqdn": {"type": "str", "default": ""},
            "boot": {"type": "bool", "default": True},
            "http_address": {"type": "str", "default": "127.0.0.1:6784"},
            "bridge": {"type": "str", "default": "weave"},
            "wait_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    validate(module)
    params = module.params
    wish = Record(params["http_address"], params["bridge"], params["masquerade"], params["fqdn"])
    host = ExposeHost(module, wish, params["boot"])
    try:
        result = host.present() if params["state"] == "present" else host.absent()
    except Refusal as exc:
        module.fail_json(msg=f"{exc}.", commands=host.commands)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
