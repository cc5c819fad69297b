# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The modules firewalld_fix and firewall_info: from options to what is returned."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import asdict, replace

from ansible_collections.crosshost.overlay.plugins.module_utils import (
    _files,
    _fw_firewalld,
    _fw_host,
    _fw_install,
    _fw_services,
    _fw_wish,
    _host,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._boot_unit import Installer
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import FirewallError, LayerPlan
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_wish import WISH_PATH, Wish, WishError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

WISH_SPEC: dict[str, t.Any] = {
    "backend": {"type": "str", "choices": ["weave", "ovs_gre"]},
    "peers": {"type": "list", "elements": "str", "default": []},
    "address": {"type": "str", "default": ""},
    "bridges": {"type": "list", "elements": "str"},
    "port": {"type": "int", "default": 6783},
    "encrypted": {"type": "bool", "default": False},
    "tunnel_type": {"type": "str", "choices": ["gre", "ip6gre", "vxlan", "geneve"], "default": "gre"},
    "userspace": {"type": "bool", "default": False},
    "dns": {"type": "bool", "default": True},
    "ntp": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 60},
}
BRIDGES = {"weave": ("weave",), "ovs_gre": ("ovl0",)}
OTHER = {"weave": "ovs_gre", "ovs_gre": "weave"}
# A host that has one of these has that backend, made by this collection.
RECORDS = {"weave": _host.STATE_DIR + "/weave.json", "ovs_gre": _host.SLICES_FILE}
SEES_BRIDGED = "/proc/sys/net/bridge/bridge-nf-call-iptables"


def wish_of(module: AnsibleModule) -> Wish:
    """The options as a wish; ends the module when one cannot be right."""
    params = module.params
    bridges = params["bridges"]
    try:
        return _fw_wish.checked(
            with_other(
                module,
                Wish(
                    backend=params["backend"],
                    peers=tuple(params["peers"]),
                    address=params["address"],
                    bridges=BRIDGES[params["backend"]] if bridges is None else tuple(bridges),
                    port=params["port"],
                    encrypted=params["encrypted"],
                    tunnel_type=params["tunnel_type"],
                    userspace=params["userspace"],
                    dns=params["dns"],
                    ntp=params["ntp"],
                    disabled=params.get("state") == "disabled",
                ),
            )
        )
    except WishError as exc:
        module.fail_json(msg=f"The option {exc}. Nothing was changed.")
        raise SystemExit(1) from exc  # fail_json() does not return; this tells the type checker


def with_other(module: AnsibleModule, wish: Wish) -> Wish:
    """Add what the other backend of this host needs, if it has both and that may stay open."""
    bridges = module.params.get("other_bridges")
    other = OTHER[wish.backend]
    if bridges is None or not os.path.exists(RECORDS[other]):
        return wish
    more = tuple(name for name in bridges if name not in wish.bridges)
    return replace(wish, also=(other,), bridges=(*wish.bridges, *more))


def remaining(module: AnsibleModule) -> Wish | None:
    """What stays open when one of two backends goes: what was asked for last, without that one. None for nothing."""
    backend, bridges = module.params["backend"], module.params["other_bridges"]
    text = _files.read(WISH_PATH)
    if backend is None or bridges is None or text is None or not os.path.exists(RECORDS[OTHER[backend]]):
        return None
    recorded = _fw_wish.parse(text)
    if not recorded.joins(OTHER[backend]):
        return None
    return replace(recorded, backend=OTHER[backend], also=(), bridges=tuple(bridges))


def info(module: AnsibleModule) -> dict[str, t.Any]:
    """What firewall_info returns."""
    if not module.params["backend"]:
        module.fail_json(msg="The option backend is missing; it says which traffic is meant: weave or ovs_gre.")
    try:
        seen = _fw_host.survey(_fw_host.runner(module.params["timeout"]), wish_of(module))
    except (FirewallError, OSError) as exc:
        _fail(module, exc)
    return {
        **_found(seen),
        "blocked": [{**asdict(block), "opened": not plan.steps} for plan in seen.plans for block in plan.blocks],
        "openings": {plan.firewall: list(plan.before) for plan in seen.plans if plan.before},
        "bridged_packets_filtered": (_files.read(SEES_BRIDGED) or "").strip() == "1",
    }


def fix(module: AnsibleModule) -> dict[str, t.Any]:
    """What firewalld_fix does and returns."""
    if not _host.booted_with_systemd():
        module.fail_json(
            msg="There is no systemd on this host, which brings the openings back after a boot. Nothing was changed; open the ports yourself."
        )
    state = module.params["state"]
    wish = wish_of(module) if state in ("present", "disabled") else None
    try:
        if state == "confirmed":
            return _confirm(module)
        if state == "absent":
            wish = remaining(module)
        return Fix(module, wish).run()
    except (FirewallError, OSError) as exc:
        _fail(module, exc)


def _confirm(module: AnsibleModule) -> dict[str, t.Any]:
    """End the wait; what it needed on the host goes with it when nothing else needs it."""
    if module.check_mode:
        return {"changed": False, "commands": [], "guarded": _fw_install.pending()}
    with _fw_host.locked():
        was_pending = _fw_install.confirm(module)
    if _files.read(WISH_PATH) is None:
        _forget(_fw_install.installer(module, ()))
    if not was_pending:
        module.fail_json(
            msg="The host has gone back to its former openings by itself, because it was not confirmed in time that it can still be reached. "
            "Run again; with a slow connection give the option guard more seconds.",
            commands=[],
        )
    return {"changed": False, "commands": [], "guarded": False}


def _forget(installer: Installer) -> None:
    """Take away what is left of us when nothing is open any more."""
    installer.remove()
    if installer.module.check_mode:
        return
    _files.remove(_fw_host.LOCK)
    if os.path.lexists(_fw_firewalld.LEFTOVER):  # not by _files.remove(), which takes an empty folder along
        os.unlink(_fw_firewalld.LEFTOVER)


class Fix:
    """One run of firewalld_fix with something to make present, absent or disabled."""

    def __init__(self, module: AnsibleModule, wish: Wish | None) -> None:
        self.module, self.wish = module, wish
        services = [name.rpartition(".service")[0] or name for name in module.params["services"]]
        odd = [name for name in services if not re.match(r"[A-Za-z0-9:_.@\\-]{1,200}$", name)]
        if odd:
            module.fail_json(
                msg=f"The option services has '{odd[0]}', which is not the name of a systemd service. Nothing was changed."
            )
        self.shell = _fw_host.runner(module.params["timeout"])
        self.installer = _fw_install.installer(module, services)

    def run(self) -> dict[str, t.Any]:
        """Compare, change, read back, tell."""
        services = _fw_services.plan(_fw_services.observe(self.shell), bool(self.wish and self.wish.disabled))
        # What is stopped or started changes what there is to read.
        first = _fw_host.survey(self.shell, self.wish)
        planned = [services] if services.steps else list(first.pending)
        if self.module.check_mode:
            self._settle(first)
            return self._answer(first, planned, first)
        if not planned:
            self._settle(first)
            return self._answer(first, [], first)
        with _fw_host.locked():
            self.installer.write()
            self._guard(_files.read(WISH_PATH))
            self._write_wish(self.wish)
            last, done = _fw_host.reconcile(self.shell, self.wish)
            self._guard(None)
        self._settle(last)
        return self._answer(first, done, last)

    def _guard(self, previous: str | None) -> None:
        """Start the wait, or start it anew: the time to come back in does not include what hundreds of peers take to be let in."""
        if self.module.params["guard"] > 0:
            _fw_install.arm(self.module, previous, self.module.params["guard"])

    def _needed(self, seen: _fw_host.Survey) -> bool:
        """Whether something has to be kept on the host."""
        return self.wish is not None and (self.wish.disabled or any(plan.after for plan in seen.plans))

    def _settle(self, seen: _fw_host.Survey) -> None:
        """Leave record, program and unit on the host exactly where there are openings to keep."""
        if self._needed(seen):
            self._write_wish(self.wish)
            self.installer.install()
            return
        self._write_wish(None)
        if not _fw_install.pending():
            _forget(self.installer)  # else the confirmation does

    def _write_wish(self, wish: Wish | None) -> None:
        text = wish.text() if wish else None
        if text == _files.read(WISH_PATH):
            return
        self.installer.commands.append(f"write {WISH_PATH}" if text else f"rm {WISH_PATH}")
        if self.module.check_mode:
            return
        if text is None:
            _files.remove(WISH_PATH)
        else:
            _files.write_atomic(WISH_PATH, text.encode())

    def _answer(self, first: _fw_host.Survey, done: t.Sequence[LayerPlan], last: _fw_host.Survey) -> dict[str, t.Any]:
        commands = [*_fw_host.steps_of(done), *self.installer.commands]
        notes = list(dict.fromkeys(note for plan in last.plans for note in plan.notes))
        for note in notes:
            self.module.warn(note)
        before = {plan.firewall: list(plan.before) for plan in first.plans}
        after = {plan.firewall: list(plan.after) for plan in last.plans}
        for plan in done:  # firewalls that are no longer there, or were not there before
            before.setdefault(plan.firewall, list(plan.before))
            after.setdefault(plan.firewall, list(plan.after))
        shown = {name for name in {*before, *after} if before.get(name, []) != after.get(name, [])}
        return {
            "changed": bool(commands),
            "commands": commands,
            **_found(last),
            "blocked": [asdict(block) for plan in last.plans for block in plan.blocks],
            "openings": {name: lines for name, lines in after.items() if lines and name != _fw_services.NAME},
            "docker_affected": _fw_host.docker_affected(self.shell, done),
            "guarded": False if self.module.check_mode else _fw_install.pending(),
            "diff": {
                "before": {name: before.get(name, []) for name in sorted(shown)},
                "after": {name: after.get(name, []) for name in sorted(shown)},
            },
        }


def _found(seen: _fw_host.Survey) -> dict[str, t.Any]:
    return {
        "firewalls": [{"name": name, "acts": acts} for name, acts in seen.firewalls],
        "notes": list(dict.fromkeys(note for plan in seen.plans for note in plan.notes)),
    }


def _fail(module: AnsibleModule, exc: Exception) -> t.NoReturn:
    """End the module with what went wrong, and say what happens next where a change waits to be confirmed."""
    text = str(exc)
    if not module.check_mode and _fw_install.pending():
        text += " The host goes back to the openings it had before, by itself, within a minute or what the option guard says."
    result = getattr(exc, "result", None)
    module.fail_json(msg=text, **(result.failure() if result is not None else {}))
    raise SystemExit(1)  # fail_json() does not return; this tells the type checker
