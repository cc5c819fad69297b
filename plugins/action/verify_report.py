# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's part of verify_report: print the matrix, write it, fail if a pair does. Documented with the module."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.crosshost.overlay.plugins.module_utils._matrix import (
    Pair,
    build,
    failures_text,
    table,
    text,
)
from ansible_collections.crosshost.overlay.plugins.plugin_utils._write import write

display = Display()


class ActionModule(ActionBase):
    """Judge what overlay_probe measured on all hosts. Runs on the controller alone."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the report; also when it is bad, so that a caller can look at it."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _dummy_validation, args = self.validate_argument_spec(
            argument_spec={
                "hosts": {"type": "list", "elements": "str", "required": True},
                "results": {"type": "dict", "required": True},
                "failures": {"type": "dict", "default": {}},
                "max_loss": {"type": "float", "default": 0.0},
                "summary_path": {"type": "str"},
            }
        )
        check_shape(args["results"])
        hosts = list(dict.fromkeys(args["hosts"]))
        result.update(changed=False, commands=[])
        if self._task.check_mode:
            result.update(skipped=True, msg="Check mode sends no packets, so there is nothing to report.")
            return result
        report = build(hosts, args["results"], args["failures"], args["max_loss"])
        display.display(f"{table(report)}\n{report.summary}")
        bad = len(report.failed)
        result.update(
            summary=report.summary,
            report={"hosts": len(hosts), "pairs": len(report.pairs), "ok": len(report.pairs) - bad, "failed": bad},
            well=report.ok,
            msg=report.summary if report.ok else f"{report.summary}\n{failures_text(report)}",
            verify=report.as_dict(),
        )
        if args["summary_path"]:
            result["summary_path"] = write(args["summary_path"], text(report) + "\n", "summary_path")
        if report.ok:  # Ansible prints the whole result of a failed task: thousands of pairs do not belong there
            result["pairs"] = [pair_result(pair) for pair in report.pairs]
        else:
            result["failed"] = True
        return result


def pair_result(pair: Pair) -> dict[str, t.Any]:
    """Return one pair for the result."""
    fields = ("source", "target", "source_address", "target_address", "rtt_ms")
    return {field: getattr(pair, field) for field in fields}


def check_shape(results: t.Mapping[str, t.Any]) -> None:
    """Refuse results that do not come from overlay_probe."""
    for host, result in results.items():
        entries = result.get("results", []) if isinstance(result, dict) else None
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and {"name", "address", "loss"} <= set(entry) for entry in entries
        ):
            raise AnsibleActionFail(
                f"The results of '{host}' are not what crosshost.overlay.overlay_probe returns with state=probed; pass them unchanged."
            )
