# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What a run of the tunnel module returns. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils._ovs import Port, Switch
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnel_plan import Plan
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnel_wish import Wish
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnels import Tunnel, option_changes


def describe(switch: Switch, port: Port) -> dict[str, t.Any]:
    """One port for the diff."""
    interface = port.interface
    return {
        "type": interface.type,
        "options": dict(interface.options),
        "protected": port.protected,
        "owner": port.owner,
        "state": switch.health(port),
    }


def predict(switch: Switch, want: Tunnel, wish: Wish) -> dict[str, t.Any]:
    """The port as the plan makes it, for the diff."""
    port = switch.ports.get(want.name)
    options = dict(port.interface.options) if port else {}
    to_set, to_remove = option_changes(want, options)
    options = {
        **{key: value for key, value in options.items() if key not in to_remove},
        **(to_set if port else want.options),
    }
    return {"type": want.type, "options": options, "protected": wish.protected, "owner": wish.owner, "state": "up"}


def results(before: Switch, after: Switch, plan: Plan, wish: Wish, check_mode: bool) -> dict[str, t.Any]:
    """What the module returns, without the commands."""
    touched = {*plan.created, *plan.changed}
    tunnels = []
    for want in wish.tunnels:
        planned = check_mode and want.name in touched
        port = after.ports.get(want.name)
        facts = predict(before, want, wish) if planned or port is None else describe(after, port)
        del facts["owner"]
        ofport = port.interface.ofport if port else None
        tunnels.append(
            {
                "name": want.name,
                "bridge": wish.bridge,
                "ofport": ofport,
                **facts,
                "state": "planned" if planned else facts["state"],
            }
        )
    return {
        "changed": bool(plan.transactions),
        "tunnels": tunnels,
        "purged": list(plan.removed),
        "diff": {
            "before": {name: describe(before, before.ports[name]) for name in (*plan.changed, *plan.removed)},
            "after": {want.name: predict(before, want, wish) for want in wish.tunnels if want.name in touched},
        },
    }
