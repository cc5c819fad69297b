#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_gre_port
short_description: Manage the tunnel ports of an Open vSwitch bridge
version_added: "0.1.0"
description:
  - Makes the GRE, VXLAN or Geneve tunnels of one bridge what the task says, a whole list at once.
  - All changes go into one transaction, so the bridge never runs with half of them.
    A second transaction is needed only where a new port takes over the identity of an old one, or to revive a dead port,
    because Open vSwitch leaves a port dead that is freed and taken in one transaction.
  - Open vSwitch accepts nearly any option without a word. This module refuses before the first change what would be misread,
    and reports success only for tunnels that have a port number, no error, and are listed by C(ovs-appctl ofproto/list-tunnels).
  - When a tunnel does not come up, what was there before is restored and the task fails with the reason for each tunnel.
    If only the time ran out, a change that is in the database stays there, and the next run completes it.
  - A tunnel is told apart by type, UDP port, O(tunnels[].remote_ip), O(tunnels[].local_ip) and incoming key.
    A second one of the same identity on any bridge of the same datapath type is refused.
  - Only ports that carry the mark C(external_ids:crosshost_overlay) with the value O(owner) are changed or removed. A port that somebody
    else made is refused even if it is exactly the wanted one, since a later removal would take it away; see O(adopt).
  - Options of a tunnel that the task does not give are brought back to the defaults of Open vSwitch. Options this module has no name for are kept,
    except C(packet_type) and C(exts), which change what is on the wire.
author:
  - The crosshost.overlay authors (@crosshost)
extends_documentation_fragment:
  - crosshost.overlay.attributes
  - crosshost.overlay.ovs
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  bridge:
    description:
      - The bridge. It must exist; in check mode a missing one is taken to be made by then.
    type: str
    required: true
  state:
    description:
      - V(present) makes the tunnels as given.
      - V(absent) removes the ports of these names from the bridge; the other options of a tunnel are not looked at.
        Ports of the same name on other bridges are left.
    type: str
    choices: [present, absent]
    default: present
  type:
    description:
      - V(gre) runs over IPv4, V(ip6gre) over IPv6, V(vxlan) and V(geneve) over either. A type that differs is changed in place.
    type: str
    choices: [gre, ip6gre, vxlan, geneve]
    default: gre
  tunnels:
    description:
      - The tunnels. One of O(tunnels) and O(name) is needed.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The name of the port, at most 64 letters, digits, dots, underscores and dashes. Names Open vSwitch reserves, such as V(gre_sys), are refused.
        type: str
        required: true
      remote_ip: &remote_ip
        description:
          - The unicast address of the other end. Needed with O(state=present).
        type: str
      local_ip: &local_ip
        description:
          - The address of this end. By default any address of this host is taken, and the routing chooses the source.
        type: str
      key: &key
        description:
          - The key for both directions, of 32 bits with GRE and 24 bits with VXLAN and Geneve (there the network identifier). No key is the same as V(0).
          - Both ends have to agree. The key separates networks; it is no secret.
        type: int
      in_key: &in_key
        description:
          - The key expected from the other end, instead of O(key).
        type: int
      out_key: &out_key
        description:
          - The key sent to the other end, instead of O(key).
        type: int
      csum: &csum
        description:
          - Whether to send checksums. Open vSwitch sends none by default; received ones are always checked.
        type: bool
      df_default: &df_default
        description:
          - Whether to forbid fragmentation of the outer packets, which Open vSwitch does by default.
        type: bool
      tos: &tos
        description:
          - The type of service of the outer packets, V(inherit) or a number up to 252 whose two lowest (ECN) bits are zero. Open vSwitch uses 0 by default.
        type: str
      ttl: &ttl
        description:
          - The time to live of the outer packets, V(inherit) or 1 to 255. By default that of the system, usually 64.
        type: str
      dst_port: &dst_port
        description:
          - The UDP port of O(type=vxlan) (by default 4789) or O(type=geneve) (by default 6081).
        type: int
  name:
    description:
      - The short form for a single tunnel. This option and the ones of a tunnel stand at the top, without O(tunnels).
    type: str
  remote_ip: *remote_ip
  local_ip: *local_ip
  key: *key
  in_key: *in_key
  out_key: *out_key
  csum: *csum
  df_default: *df_default
  tos: *tos
  ttl: *ttl
  dst_port: *dst_port
  protected:
    description:
      - Whether the bridge passes nothing from one of these ports to another.
      - In a full mesh that is what prevents the loop, and it is set in the transaction that makes the port. Set it to V(false) only where traffic has to pass
        from tunnel to tunnel, as at the hub of a star.
    type: bool
    default: true
  purge:
    description:
      - Whether to remove all other tunnels that carry the mark of O(owner) from this bridge. With O(state=absent) that means all of them.
    type: bool
    default: false
  owner:
    description:
      - The value of the mark C(external_ids:crosshost_overlay) on each port. Lists that are managed apart on one bridge need different owners.
    type: str
    default: ovs_gre
  adopt:
    description:
      - Whether a listed tunnel port of this bridge may be taken over, or removed, though it has no mark or that of another owner.
    type: bool
    default: false
notes:
  - C(protected) keeps a full mesh free of loops; on a partial mesh it cuts off hosts that are not adjacent.
  - With a userspace datapath (C(datapath_type=netdev)) firewall rules of the host do not see the tunnels; O(tunnels[].local_ip) and
    O(tunnels[].remote_ip) are the only filter.
"""

EXAMPLES = r"""
- name: Make the tunnels to the other hosts, and no more than these
  crosshost.overlay.ovs_gre_port:
    bridge: br-overlay
    purge: true
    tunnels:
      - {name: gre-h2, remote_ip: 198.18.1.12, local_ip: 198.18.1.11, key: 42}
      - {name: gre-h3, remote_ip: 198.18.1.13, local_ip: 198.18.1.11, key: 42}

- name: Make a single VXLAN tunnel at the hub of a star
  crosshost.overlay.ovs_gre_port:
    bridge: br-overlay
    type: vxlan
    name: vx-h2
    remote_ip: 2001:db8::12
    key: 42
    protected: false

- name: Remove every tunnel this collection made on the bridge
  crosshost.overlay.ovs_gre_port:
    bridge: br-overlay
    state: absent
    purge: true
    tunnels: []
"""

RETURN = r"""
tunnels:
  description: The listed tunnels as they are after the task, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: The name of the port., type: str}
    bridge: {description: The bridge., type: str}
    type: {description: The type of the tunnel., type: str}
    options: {description: "The options as Open vSwitch holds them, all of them strings.", type: dict}
    protected: {description: Whether the port is protected., type: bool}
    ofport: {description: "The OpenFlow port number; null while there is none.", type: int}
    state:
      description: V(up), or V(planned) in check mode for a tunnel that would be made, changed or revived.
      type: str
  sample: [{name: gre-h2, bridge: br-overlay, type: gre, options: {remote_ip: 198.18.1.12, key: "42"}, protected: true, ofport: 3, state: up}]
purged:
  description: The names of the removed ports.
  returned: success
  type: list
  elements: str
  sample: [gre-h9]
commands:
  description: The commands that made the change, or would make it.
  returned: always
  type: list
  elements: str
  sample: ["ovs-vsctl --timeout=15 -- --if-exists del-port br-overlay gre-h9"]
dead:
  description: The reason for each tunnel that did not come up.
  returned: when tunnels did not come up
  type: dict
  sample: {gre-h2: could not add network device gre-h2 to ofproto (Address family not supported by protocol)}
"""

import shlex

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import SBIN
from ansible_collections.crosshost.overlay.plugins.module_utils._ovs import Ovs, OvsError, Switch
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnel_apply import (
    ApplyError,
    apply,
    require_running,
    settle,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnel_plan import make_plan
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnel_report import results
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnel_wish import Refused, read_wish
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnels import TYPES

TUNNEL = {
    "remote_ip": {"type": "str"},
    "local_ip": {"type": "str"},
    "key": {"type": "int", "no_log": False},
    "in_key": {"type": "int", "no_log": False},
    "out_key": {"type": "int", "no_log": False},
    "csum": {"type": "bool"},
    "df_default": {"type": "bool"},
    "tos": {"type": "str"},
    "ttl": {"type": "str"},
    "dst_port": {"type": "int"},
}


def main() -> None:
    """Read, compare, write, look."""
    module = AnsibleModule(
        argument_spec={
            "bridge": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "type": {"type": "str", "choices": list(TYPES), "default": "gre"},
            "tunnels": {
                "type": "list",
                "elements": "dict",
                "options": {"name": {"type": "str", "required": True}, **TUNNEL},
            },
            "name": {"type": "str"},
            **TUNNEL,
            "protected": {"type": "bool", "default": True},
            "purge": {"type": "bool", "default": False},
            "owner": {"type": "str", "default": "ovs_gre"},
            "adopt": {"type": "bool", "default": False},
            "database": {"type": "str"},
            "vswitchd_ctl": {"type": "path"},
            "timeout": {"type": "int", "default": 15},
        },
        required_one_of=[["tunnels", "name"]],
        mutually_exclusive=[["tunnels", key] for key in ("name", *TUNNEL)],
        supports_check_mode=True,
    )
    bridge = module.params["bridge"]
    commands: list[str] = []
    try:
        wish = read_wish(module.params)
        if module.check_mode and not module.get_bin_path("ovs-vsctl", opt_dirs=SBIN):
            module.warn(
                "Open vSwitch is not on this host; in check mode it is taken to be installed by then, with no tunnels."
            )
            plan = make_plan(Switch(), wish)
            commands = [shlex.join(["ovs-vsctl", *words]) for words in plan.transactions]
            module.exit_json(commands=commands, **results(Switch(), Switch(), plan, wish, True))
        ovs = Ovs(module, module.params["database"], module.params["vswitchd_ctl"], module.params["timeout"])
        commands = ovs.vsctl.commands
        before = ovs.observe()
        if bridge not in before.bridges and wish.tunnels:
            if not module.check_mode:
                raise Refused(
                    [f"bridge {bridge} does not exist; make it first (ovs-vsctl --may-exist add-br {bridge})"]
                )
            module.warn(f"Bridge {bridge} does not exist; in check mode it is taken to be made by then.")
        elif wish.tunnels:
            before = settle(ovs, [bridge, *(want.name for want in wish.tunnels)], ("pending",), before)
        plan = make_plan(before, wish)
        if plan.transactions or wish.tunnels:
            require_running(before, wish)
        after = before
        if module.check_mode:
            for words in plan.transactions:
                ovs.vsctl.record(*words)
        elif plan.transactions:
            after = apply(ovs, before, plan, wish)
        module.exit_json(commands=commands, **results(before, after, plan, wish, module.check_mode))
    except Refused as exc:
        module.fail_json(
            msg=f"Nothing was changed on bridge {bridge}: " + "; ".join(exc.args[0]),
            reasons=exc.args[0],
            changed=False,
            commands=commands,
        )
    except OvsError as exc:
        module.fail_json(msg=str(exc), changed=False, commands=commands, **exc.result.failure())
    except ApplyError as exc:
        module.fail_json(msg=str(exc), commands=commands, **{"changed": False, **exc.facts})


if __name__ == "__main__":
    main()
