#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: weave_rejoin
short_description: Bring containers on the network of Weave Net back after a boot
version_added: "0.1.0"
author:
  - The crosshost.overlay authors (@crosshost)
description:
  - Docker starts the containers on the network C(weave) and the router, which is the plugin of that network, at the same time, and
    gives up on the former, with an error such as C(plugin "weavemesh" not found), before the latter serves. They stay stopped, whatever their restart
    policy, after each boot and each restart of Docker.
  - This module starts those that are stopped for that reason and have the restart policy C(always) or C(unless-stopped), and
    installs the systemd unit C(crosshost-weave-rejoin.service), which does the same after each start of Docker.
  - Containers that somebody stopped, and those that ended by themselves, are left alone. The router is never started by it.
requirements:
  - Docker, systemd
  - Root on the host
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
    description: Whether the unit shall be there. With V(present), containers are started as well.
    type: str
    choices: [present, absent]
    default: present
  http_address:
    description: Loopback address of the router's API, which the unit waits for.
    type: str
    default: 127.0.0.1:6784
seealso:
  - module: crosshost.overlay.weave_launch
"""

EXAMPLES = r"""
- name: Bring containers back after each boot
  crosshost.overlay.weave_rejoin:
"""

RETURN = r"""
commands:
  description: What was done on the host or, in check mode, would be.
  type: list
  elements: str
  returned: success
started:
  description: Containers that were started, or in check mode would be.
  type: list
  elements: str
  returned: success
  sample: ["web"]
"""

import inspect
import sys

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _host, _weave_rejoin_boot
from ansible_collections.crosshost.overlay.plugins.module_utils._boot_unit import Installer, Program
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli

UNIT_TIMEOUT = (
    int(_weave_rejoin_boot.BOOT_WAIT) + 600
)  # waiting for the router, then starting containers one after another
TIMEOUT = 120  # seconds for one call of docker or systemctl


def main() -> None:
    """Compare, change, tell."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "http_address": {"type": "str", "default": "127.0.0.1:6784"},
        },
        supports_check_mode=True,
    )
    if not _host.booted_with_systemd():
        if module.params["state"] == "absent":
            module.exit_json(changed=False, commands=[], started=[], diff={"before": {}, "after": {}})
        module.fail_json(msg="There is no systemd on this host to bring containers back after a boot.")
    program = Program(
        name="crosshost-weave-rejoin",
        script="weave_rejoin.py",
        description="Containers on the network of Weave Net that Docker could not start before its plugin",
        source=inspect.getsource(_weave_rejoin_boot),
        python=sys.executable,
        argument=module.params["http_address"],
        timeout=UNIT_TIMEOUT,
    )
    installer = Installer(module, program, UNIT_TIMEOUT)
    before = installer.state().get("UnitFileState") == "enabled"
    started: list[str] = []
    if module.params["state"] == "absent":
        installer.remove()
    else:
        if module.get_bin_path("docker"):
            docker = Cli(module, "docker", timeout=TIMEOUT)
            started = _weave_rejoin_boot.stranded(lambda *words: docker.read(*words)[1])
            for name in started:
                docker.write("start", name)
            installer.commands[:0] = docker.commands
        installer.install()
    after = module.params["state"] == "present"
    module.exit_json(
        changed=bool(installer.commands),
        commands=installer.commands,
        started=started,
        diff={"before": {"unit": before}, "after": {"unit": after, **({"started": started} if started else {})}},
    )


if __name__ == "__main__":
    main()
