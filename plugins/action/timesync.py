# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's part of timesync: measures each host's clock, and compares those of all hosts. Documented with the module."""

from __future__ import annotations

import contextlib
import os
import typing as t
from dataclasses import asdict

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.crosshost.overlay.plugins.modules.timesync import REQUIRED_IF, SPEC
from ansible_collections.crosshost.overlay.plugins.plugin_utils import _clock_channel, _clock_compare
from ansible_collections.crosshost.overlay.plugins.plugin_utils._clock_channel import ChannelError, Clock
from ansible_collections.crosshost.overlay.plugins.plugin_utils._clock_compare import Limits

display = Display()

MODULE = "crosshost.overlay.timesync"
MEASURED = ("measured", "present")


class ActionModule(ActionBase):
    """Run the module on the host, then measure; or compare, on the controller alone."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return what the module or the comparison returns."""
        super().run(tmp, task_vars)
        state = self._task.args.get("state", "measured")
        if state == "compared":
            return self._compare()
        result: dict[str, t.Any] = self._execute_module(
            module_name=MODULE, module_args={**self._task.args, "state": state}, task_vars=task_vars
        )
        for note in result.get("notes", []) if not result.get("failed") else []:
            display.warning(f"{self._task_host(task_vars)}: {note}")
        if result.get("failed") or result.get("unreachable") or state not in MEASURED:
            return result
        try:
            result["clock"] = asdict(self._measure(result["python"], self._round_trips()))
        except ChannelError as exc:
            result.update(failed=True, msg=f"The clock of this host could not be measured: {exc}.")
        return result

    @staticmethod
    def _task_host(task_vars: dict[str, t.Any] | None) -> str:
        return str((task_vars or {}).get("inventory_hostname", ""))

    def _round_trips(self) -> int:
        # The module has refused what is no number.
        return max(1, int(self._task.args.get("round_trips", 20)))

    def _measure(self, python: str, round_trips: int) -> Clock:
        """Over one channel where that is possible, else by one call of the host for each question."""
        argv, pipe = self._channel(_clock_channel.responder(python))
        if argv:
            try:
                return _clock_channel.over_channel(argv, round_trips)
            except ChannelError as exc:
                display.vv(f"timesync: no channel of its own ({exc}); asking in separate calls")
            finally:
                for descriptor in pipe:
                    with contextlib.suppress(OSError):
                        os.close(descriptor)

        def call(command: str) -> str:
            # Reading the time needs no other user than the connection's.
            return str(self._low_level_execute_command(command, sudoable=False).get("stdout", ""))

        return _clock_channel.by_calls(call, python)

    def _channel(self, command: str) -> tuple[list[bytes | str], tuple[int, ...]]:
        """The command line of a channel, by the connection plugin's own means; nothing for kinds that have no such thing."""
        connection = self._connection
        kind = str(getattr(connection, "ansible_name", "") or connection.transport).rpartition(".")[2]
        try:
            if kind == "local":
                return ["/bin/sh", "-c", command], ()
            if kind == "docker":
                connection._connect()
                return list(connection._build_exec_cmd(["/bin/sh", "-c", command])), ()
            if kind == "ssh":
                return self._ssh(command)
        except (AnsibleError, AttributeError, KeyError, TypeError) as exc:
            # These are private to the plugins and may change; there is another way.
            display.vv(f"timesync: the connection has no command line to use ({exc})")
        return [], ()

    def _ssh(self, command: str) -> tuple[list[bytes | str], tuple[int, ...]]:
        """As Ansible calls ssh, but for passwords: the connection that is open already serves this one, too."""
        connection = self._connection
        program, host = connection.get_option("ssh_executable"), connection.get_option("host")
        argv = list(connection._build_command(program, "ssh", "-o", "BatchMode=yes", host, command))
        pipe: tuple[int, ...] = ()
        if os.path.basename(argv[0]) in (b"sshpass", "sshpass"):
            pipe = tuple(connection.sshpass_pipe or ())
            connection.sshpass_pipe = None
            argv = argv[argv.index(os.fsencode(program)) :]
        return argv, pipe

    def _compare(self) -> dict[str, t.Any]:
        """Judge what the hosts returned."""
        dummy_validation, args = self.validate_argument_spec(SPEC, required_if=REQUIRED_IF)
        results = {name: result for name, result in args["results"].items() if name in args["hosts"]}
        for name, result in results.items():
            if not isinstance(result, dict) or not {"clock", "time"} <= set(result):
                raise AnsibleActionFail(
                    f"The results of '{name}' are not what {MODULE} returns with state=measured; pass them unchanged."
                )
        if args["source"] and args["source"] not in args["hosts"]:
            raise AnsibleActionFail(
                f"The source of the time, '{args['source']}', is none of the hosts ({', '.join(args['hosts'])}). Set clock_source to the "
                "inventory name of one of them."
            )
        limits = Limits(args["max_skew"], args["fail_skew"])
        report = _clock_compare.compare(
            args["hosts"], _clock_compare.hosts_of(results), limits, args["source"], args["final"]
        )
        found = _clock_compare.problems(report)
        # All is well: one line, however many hosts there are.
        if report.cures or report.notes or found:
            display.display(_clock_compare.table(report))
        display.display(report.summary)
        for note in report.notes:
            display.warning(note)
        answer: dict[str, t.Any] = {
            "changed": False,
            "commands": [],
            "skew": {
                "seconds": report.skew,
                "bound": report.bound,
                "hosts": [name for name in report.pair if name],
                "reference": report.reference_name,
            },
            "cures": {name: asdict(cure) for name, cure in report.cures.items()},
            "notes": list(report.notes),
            "summary": report.summary,
            "msg": "\n".join(found) if found else report.summary,
        }
        # In check mode nothing has been cured, which is no failure of the clocks.
        if found and not (self._task.check_mode and args["final"]):
            answer["failed"] = True
        return answer
