# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

MODULE = "crosshost.overlay.firewalld_fix"


class ActionModule(ActionBase):
    """Run the module, then come back on a new connection: one that is open already would outlive a rule that shuts us out."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return what the module returned; fail if the host cannot be reached any more."""
        super().run(tmp, task_vars)
        result: dict[str, t.Any] = self._execute_module(
            module_name=MODULE, module_args=self._task.args, task_vars=task_vars
        )
        if result.get("failed") or not result.get("guarded"):
            return result
        seconds = self._task.args.get("guard", 60)
        try:
            # Not every kind of connection keeps one open.
            getattr(self._connection, "reset", lambda: None)()
            answer = self._execute_module(module_name=MODULE, module_args={"state": "confirmed"}, task_vars=task_vars)
        except AnsibleConnectionFailure as exc:
            raise AnsibleConnectionFailure(
                f"After the change to its firewall, this host did not answer on a new connection: {exc}. It goes back to the openings "
                f"it had before, by itself, {seconds} s after the change. Then look at the rules of the run in check mode (--check --diff)."
            ) from exc
        if answer.get("failed") or answer.get("unreachable"):
            return {
                **result,
                "changed": True,
                "failed": True,
                "msg": answer.get("msg", "The change could not be confirmed."),
            }
        return {**result, "guarded": False}
