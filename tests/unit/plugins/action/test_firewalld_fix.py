# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""firewalld_fix comes back on a new connection after a change, and says what happens when it cannot."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.crosshost.overlay.plugins.action import firewalld_fix


class Host:
    """What the action calls on the host, in order."""

    def __init__(self, *answers: t.Any) -> None:
        self.answers = list(answers)
        self.calls: list[t.Any] = []

    def reset(self) -> None:
        """The connection is closed."""
        self.calls.append("reset")

    def execute(self, module_name: str, module_args: dict[str, t.Any], task_vars: t.Any) -> dict[str, t.Any]:
        """A module is run."""
        assert module_name == "crosshost.overlay.firewalld_fix"
        self.calls.append(module_args.get("state"))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return t.cast("dict[str, t.Any]", answer)


def run(host: Host, state: str = "present") -> dict[str, t.Any]:
    """Run the action with this host behind it."""
    action = firewalld_fix.ActionModule.__new__(firewalld_fix.ActionModule)
    args = {"state": state, "guard": 20}
    action._task = type("Task", (), {"args": args, "async_val": 0, "check_mode": False, "diff": False})()
    shell = type("Shell", (), {"tmpdir": None})()
    action._connection = type("Connection", (), {"_shell": shell, "reset": lambda self: host.reset()})()
    action._execute_module = host.execute
    return action.run(task_vars={})


@pytest.mark.parametrize(
    "answer",
    [{"changed": False, "guarded": False}, {"failed": True, "guarded": True, "msg": "no"}],
    ids=["nothing to confirm", "failed"],
)
def test_nothing_to_confirm(answer: dict[str, t.Any]) -> None:
    """One call; a change that failed half way is left to be taken back."""
    host = Host(answer)
    assert run(host) == answer
    assert host.calls == ["present"]


def test_confirmed_on_a_new_connection() -> None:
    """An old one would outlive the rule that shuts us out."""
    host = Host({"changed": True, "guarded": True}, {"changed": False, "guarded": False})
    assert run(host) == {"changed": True, "guarded": False}
    assert host.calls == ["present", "reset", "confirmed"]


def test_too_late() -> None:
    """The host has gone back already; that is a failure of this task, which has changed something."""
    host = Host({"changed": True, "guarded": True}, {"failed": True, "msg": "gone back by itself"})
    result = run(host)
    assert (result["failed"], result["changed"], result["msg"]) == (True, True, "gone back by itself")


def test_shut_out() -> None:
    """Unreachable, with what happens next."""
    host = Host({"changed": True, "guarded": True}, AnsibleConnectionFailure("timed out"))
    with pytest.raises(AnsibleConnectionFailure, match=r"timed out.*by itself, 20 s after"):
        run(host)
