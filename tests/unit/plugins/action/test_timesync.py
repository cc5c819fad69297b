# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action timesync: which way it measures on each kind of connection, and the comparison."""

from __future__ import annotations

import os
import sys
import types
import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader

from ansible_collections.crosshost.overlay.plugins.action import timesync

NOW = {
    "daemon": "chrony",
    "daemons": [{"name": "chrony", "active": True, "enabled": True}],
    "synchronised": True,
    "reference": "192.0.2.1",
    "error": 0.01,
    "sources": ["192.0.2.1"],
    "settable": True,
    "why_not_settable": "",
}
Result = dict[str, t.Any]


class Connection:
    """A connection of some kind to this machine."""

    def __init__(self, kind: str, argv: list[bytes] | None = None) -> None:
        self.ansible_name, self.transport = kind, kind
        self._shell = types.SimpleNamespace(tmpdir="none is made")
        self.argv = argv or []
        self.asked: list[t.Any] = []
        self.sshpass_pipe: tuple[int, int] | None = None

    def get_option(self, name: str) -> str:
        return {"ssh_executable": "ssh", "host": "192.0.2.11"}[name]

    def _connect(self) -> None:
        self.asked.append("connect")

    def _build_exec_cmd(self, command: list[str]) -> list[str]:
        self.asked.append(command[:2])
        return command

    def _build_command(self, program: str, kind: str, *args: str) -> list[bytes]:
        self.asked.append([program, kind, *args[:3]])
        return [*self.argv, b"/bin/sh", b"-c", args[-1].encode()]


def action(connection: t.Any, answer: Result | None = None, check_mode: bool = False, **args: t.Any) -> t.Any:
    """The action with a module that answers this."""
    task = types.SimpleNamespace(action=timesync.MODULE, args=args, check_mode=check_mode, async_val=0, diff=False)
    made = timesync.ActionModule(task, connection, None, DataLoader(), None, None)
    made._execute_module = lambda **kwargs: dict(answer or {"changed": False, "python": sys.executable, "notes": []})
    return made


@pytest.mark.parametrize("kind", ["ansible.builtin.ssh", "community.docker.docker", "local"])
def test_channel(kind: str) -> None:
    """Over the connection plugin's own command line."""
    connection = Connection(kind)
    clock = action(connection).run(None, {})["clock"]
    assert (clock["method"], clock["round_trips"]) == ("channel", 20)
    assert abs(clock["offset"]) <= clock["bound"]
    if kind == "ansible.builtin.ssh":
        assert connection.asked == [["ssh", "ssh", "-o", "BatchMode=yes", "192.0.2.11"]]


def test_password_by_sshpass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The open connection serves the channel, so no password is given; the pipe for it does not leak."""
    connection = Connection("ssh", [b"sshpass", b"-d9", b"ssh"])
    connection.sshpass_pipe = os.pipe()
    pipe = connection.sshpass_pipe
    argv, taken = action(connection)._ssh("true")
    assert argv[0] == b"ssh"
    assert (taken, connection.sshpass_pipe) == (pipe, None)
    connection.sshpass_pipe = pipe
    monkeypatch.setattr(timesync._clock_channel, "over_channel", lambda argv, count: "measured")
    assert action(connection)._measure(sys.executable, 1) == "measured"
    for descriptor in pipe:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


@pytest.mark.parametrize(
    "connection",
    [
        Connection("paramiko_ssh"),
        Connection("ssh", [b"/bin/false"]),
        types.SimpleNamespace(ansible_name="docker", transport="docker"),
    ],
    ids=["another kind", "refused", "another version of the plugin"],
)
def test_separate_calls(connection: t.Any) -> None:
    made = action(connection)
    calls: list[str] = []

    def call(command: str, sudoable: bool) -> Result:
        calls.append(command)
        assert sudoable is False
        return {"stdout": os.popen(command).read()}

    made._low_level_execute_command = call
    clock = made._measure(sys.executable, 20)
    assert (clock.method, clock.round_trips, len(calls)) == ("calls", 5, 5)
    assert abs(clock.offset) <= clock.bound


def test_not_measured_at_all() -> None:
    made = action(Connection("paramiko_ssh"))
    made._low_level_execute_command = lambda command, sudoable: {"stdout": ""}
    result = made.run(None, {})
    assert result["failed"] is True
    assert "could not be measured" in result["msg"]


@pytest.mark.parametrize(
    ("answer", "state"),
    [({"failed": True, "msg": "no"}, "present"), ({"changed": True, "python": "x"}, "absent")],
    ids=["failed", "absent"],
)
def test_nothing_to_measure(answer: Result, state: str) -> None:
    assert action(Connection("local"), answer, state=state).run(None, {}) == answer


def compare(offset: float, check_mode: bool = False, **args: t.Any) -> Result:
    """Compare two hosts, one of them off."""
    clocks = [{"offset": item, "bound": 0.001, "epoch": 1.0} for item in (0.0, offset)]
    results = {name: {"clock": clock, "time": NOW} for name, clock in zip(("h1", "h2"), clocks, strict=True)}
    made = action(
        Connection("ssh"), check_mode=check_mode, state="compared", hosts=["h1", "h2", "h3"], results=results, **args
    )
    return t.cast("Result", made.run(None, {}))


def test_compared() -> None:
    result = compare(0.2)
    assert (result["changed"], result.get("failed", False), result["cures"]) == (False, False, {})
    assert result["skew"] == {"seconds": 0.2, "bound": 0.002, "hosts": ["h1", "h2"], "reference": "h1"}


def test_compared_before_and_after() -> None:
    """Before the cure it is planned; after it, it is a failure, but for check mode."""
    before = compare(1200.0, source="h1")
    assert before["cures"] == {"h2": {"why": "1200.000 s from h1", "correction": -1200.0, "install": False}}
    assert not before.get("failed")
    assert compare(1200.0, final=True)["failed"] is True
    assert not compare(1200.0, final=True, check_mode=True).get("failed")
    assert not compare(1200.0, final=True, fail_skew=2000).get("failed")


def test_options_of_other_states_do_no_harm() -> None:
    """The role gives the same options to all of its tasks."""
    assert not compare(0.0, servers=["192.0.2.1"], round_trips=5).get("failed")


def test_results_of_something_else() -> None:
    with pytest.raises(AnsibleError, match="results of 'h1' are not what"):
        action(Connection("ssh"), state="compared", hosts=["h1"], results={"h1": {"changed": False}}).run(None, {})
