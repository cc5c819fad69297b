# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""timesync on a pretended host: chrony with its files, systemd and the time zone; a run that is killed anywhere is completed."""

from __future__ import annotations

import os
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import (
    _cli,
    _clock_cure,
    _clock_model,
    _clock_observe,
    _files,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_model import CHRONY, LEDGER
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_sntp import Answer
from ansible_collections.crosshost.overlay.plugins.modules import timesync

Run = t.Callable[..., t.Dict[str, t.Any]]
SERVER = "192.0.2.1"


class Killed(BaseException):
    """The machine is switched off here."""


class Host:
    """A host with chrony. Its clock is off by so many seconds; chronyd knows when it has measured."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {CHRONY.main: "\n".join(CHRONY.reads)}
        self.settable, self.running, self.others = True, True, ""
        self.invocation, self.loaded, self.permitted = 1, "", ""
        self.off = self.known = 0.0
        self.updates = 0
        self.zone = "Etc/UTC"
        self.router = False
        self.reachable = True
        self.package = "installed"
        self.log: list[str] = []
        self.kill_at = -1

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def write(self, path: str, data: bytes, mode: int = 0) -> None:
        self.step(f"write {path}")
        self.files[path] = data.decode()

    def remove(self, path: str) -> None:
        self.step(f"rm {path}")
        self.files.pop(path, None)

    def step(self, what: str) -> None:
        if len(self.log) == self.kill_at:
            raise Killed
        self.log.append(what)

    def run(self, argv: t.Sequence[str], timeout: float) -> Result:
        words = " ".join([os.path.basename(argv[0]), *argv[1:]])
        return Result(tuple(argv), 0, self.say(words), "", False, timeout)

    def say(self, words: str) -> str:
        synchronised = self.reachable and SERVER in self.loaded
        if words.startswith("systemctl show"):
            return self.units()
        if words == "chronyc -n -c tracking":
            refid = "C0000201,192.0.2.1" if synchronised else "00000000,"
            leap = "Normal" if synchronised else "Not synchronised"
            return f"{refid},3,{self.updates}.0,{-self.known:.9f},0,0,0,0,0,0.01,0.002,64.2,{leap}\n"
        if words.endswith("-c sources"):
            state = "*" if synchronised else "?"
            return f"^,{state},{SERVER},2,6,{'17' if synchronised else '0'},2,0,0,0\n" if SERVER in self.loaded else ""
        if words.startswith("chronyc accheck"):
            return "208 Access allowed" if words.split()[-1] in self.permitted else "209 Access denied"
        if words == "chronyc -c activity":
            return "1,0,0,0,0\n"
        if words.startswith("dpkg-query"):
            return f"chrony {self.package}\n" if words.endswith(" chrony") else ""
        self.step(words)
        if words in ("chronyc reload sources", "systemctl restart chrony.service"):
            self.loaded = self.files.get(CHRONY.sources, "")
        if words == "systemctl restart chrony.service":
            self.invocation += 1
            self.permitted = self.files.get(CHRONY.settings, "")
        if words == "chronyc burst 4/4":
            self.updates, self.known = self.updates + 1, self.off
        if words == "chronyc makestep":
            self.off = self.known = 0.0
        if words.startswith("timedatectl set-timezone"):
            self.zone = words.split()[-1]
        return ""

    def units(self) -> str:
        shown = [("chrony.service", "active" if self.running else "inactive")]
        shown += [(self.others, "active")] if self.others else []
        return "\n\n".join(
            f"Id={unit}\nLoadState=loaded\nActiveState={state}\nUnitFileState=enabled\nConditionResult=yes\nInvocationID={self.invocation}"
            for unit, state in shown
        )

    def ask(self, names: t.Sequence[str], timeout: float) -> list[Answer]:
        good = [Answer(name, -self.off, 0.001, 2) for name in names]
        return (
            good if self.reachable else [Answer(name, problem="it does not answer on UDP port 123") for name in names]
        )


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """Put the pretended host in place of this one."""
    made = Host()
    monkeypatch.setattr(_files, "read", made.read)
    monkeypatch.setattr(_files, "write_atomic", made.write)
    monkeypatch.setattr(_files, "remove", made.remove)
    monkeypatch.setattr(_cli, "run_bounded", made.run)
    monkeypatch.setattr(
        _clock_observe, "can_set", lambda status, uid_map: (made.settable, "" if made.settable else "a container")
    )
    monkeypatch.setattr(_clock_observe, "zone", lambda: made.zone)
    monkeypatch.setattr(_clock_observe, "known_zone", lambda name: name != "Mars/Phobos")
    monkeypatch.setattr(_clock_observe, "listens", lambda table, port: made.router)
    monkeypatch.setattr(_clock_cure._clock_sntp, "ask", made.ask)
    monkeypatch.setattr(_clock_cure.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(_clock_cure.time, "clock_gettime", lambda clock: 0.0)
    monkeypatch.setattr(_clock_cure.time, "clock_settime", lambda clock, value: setattr(made, "off", made.off + value))
    return made


def call(run_module: Run, **options: t.Any) -> dict[str, t.Any]:
    values = {"state": "present", "sync_timeout": 0, **options}
    return run_module(timesync.main, **values)


def test_healthy_host_is_left_alone(host: Host, run_module: Run) -> None:
    for state in ("measured", "present", "absent"):
        answer = call(run_module, state=state)
        assert (answer["changed"], answer["commands"], host.log) == (False, [], [])
    assert answer["time"]["daemon"] == "chrony"


def test_servers_are_given(host: Host, run_module: Run) -> None:
    """Looked at, predicted, done, done again."""
    found = call(run_module, state="measured", servers=[SERVER])
    assert found["pending"] == [f"write {CHRONY.sources}", "chronyc reload sources"]
    predicted = call(run_module, check_mode=True, servers=[SERVER])
    assert (predicted["changed"], host.log) == (True, [])
    done = call(run_module, servers=[SERVER])
    assert done["commands"][:-1] == predicted["commands"][:-1]
    assert done["diff"] == predicted["diff"]
    assert (done["time"]["synchronised"], done["changed"], LEDGER in host.files) == (True, True, False)
    again = call(run_module, servers=[SERVER])
    assert (again["changed"], again["commands"]) == (False, [])
    assert call(run_module, state="measured", servers=[SERVER])["pending"] == []


def test_clock_that_is_ahead(host: Host, run_module: Run) -> None:
    """chrony steps it."""
    host.files[CHRONY.sources] = host.loaded = f"{_clock_model.HEADER}server {SERVER} iburst\n"
    host.off = 1200.0
    answer = call(run_module, servers=[SERVER], correction=-1200.0)
    assert answer["commands"] == ["chronyc burst 4/4", "chronyc makestep"]
    assert (answer["changed"], host.off) == (True, 0.0)


def test_servers_that_do_not_answer(host: Host, run_module: Run) -> None:
    """Named, and nothing is touched."""
    host.reachable, host.off = False, 1200.0
    answer = call(run_module, servers=[SERVER], correction=-1200.0)
    assert answer["failed"]
    assert f"{SERVER}: it does not answer" in answer["msg"]
    assert (host.log, host.off) == ([], 1200.0)


def test_servers_that_stopped_answering(host: Host, run_module: Run) -> None:
    """Nothing to do as long as the clock is right; the comparison warns. When it is off, they are asked first, and named."""
    call(run_module, servers=[SERVER])
    host.reachable = False
    measured = call(run_module, state="measured", servers=[SERVER])
    assert (measured["pending"], measured["time"]["synchronised"]) == ([], False)
    assert call(run_module, servers=[SERVER])["changed"] is False
    assert "does not answer" in call(run_module, servers=[SERVER], correction=-1200.0)["msg"]


@pytest.mark.parametrize("at", range(5))
def test_killed_anywhere(host: Host, run_module: Run, at: int) -> None:
    """The next run completes it: what the daemon runs with is what its files say."""
    options: dict[str, t.Any] = {"servers": [SERVER], "serve": ["10.0.0.2"], "zone": "Europe/Berlin"}
    host.kill_at = at
    with pytest.raises(Killed):
        call(run_module, **options)
    host.kill_at = -1
    call(run_module, **options)
    assert host.loaded == host.files[CHRONY.sources]
    assert host.permitted == host.files[CHRONY.settings]
    assert call(run_module, **options)["changed"] is False
    call(run_module, state="absent")
    assert (host.zone, host.loaded, host.permitted) == ("Etc/UTC", "", "")
    assert list(host.files) == [CHRONY.main]


@pytest.mark.parametrize("at", range(5))
def test_teardown_killed_anywhere(host: Host, run_module: Run, at: int) -> None:
    call(run_module, servers=[SERVER], serve=["10.0.0.2"], zone="Europe/Berlin")
    host.log.clear()
    host.kill_at = at
    with pytest.raises(Killed):
        call(run_module, state="absent")
    host.kill_at = -1
    call(run_module, state="absent")
    assert (host.zone, host.loaded, host.permitted) == ("Etc/UTC", "", "")
    assert list(host.files) == [CHRONY.main]
    assert call(run_module, state="absent")["changed"] is False


@pytest.mark.parametrize("step", [True, False], ids=["allowed", "not allowed"])
def test_no_daemon_can(host: Host, run_module: Run, step: bool) -> None:
    """By hand only where that is allowed; otherwise it is said, and the comparison judges."""
    host.off = 1200.0
    answer = call(run_module, correction=-1200.0, step=step)
    assert not answer.get("failed")
    assert (host.off == 0.0) is answer["changed"] is step
    assert "no server to ask" in answer["notes"][0]


def test_stopped_daemon_and_no_servers(host: Host, run_module: Run) -> None:
    host.running = False
    answer = call(run_module, correction=5.0)
    assert "No time daemon runs" in answer["notes"][0]
    assert not answer["changed"]


def test_container(host: Host, run_module: Run) -> None:
    """Said, not failed, with and without servers."""
    host.settable = host.running = False
    answer = call(run_module, correction=-1200.0, servers=[SERVER], step=True)
    assert (answer["changed"], host.log) == (False, [])
    assert any("not settable: a container" in note for note in answer["notes"])


def test_package_that_is_not_ready(host: Host, run_module: Run) -> None:
    """What a killed run has left to apt, which goes on: it is waited for by the next, and what there is of it is not started."""
    host.running, host.package = False, "unpacked"
    assert call(run_module, state="measured")["time"]["daemons"] == []
    host.package = "installed"
    assert call(run_module, state="measured")["time"]["daemons"] == [
        {"name": "chrony", "active": False, "enabled": True}
    ]


def test_package_that_is_about_to_be_installed(host: Host, run_module: Run) -> None:
    """It is remembered before, so that a run that is cut off does not lose it."""
    host.running, host.package = False, "unpacked"
    announce = {"state": "announced", "package": "chrony"}
    assert call(run_module, **announce)["changed"]
    assert not call(run_module, **announce)["changed"]
    host.running, host.package = True, "installed"
    assert call(run_module, state="absent", check_mode=True)["time"]["package"] == "chrony"
    assert "package is ''" in call(run_module, state="announced")["msg"]


def test_backwards_under_a_router(host: Host, run_module: Run) -> None:
    host.files[CHRONY.sources] = host.loaded = f"{_clock_model.HEADER}server {SERVER} iburst\n"
    host.off, host.router = 1200.0, True
    refused = call(run_module, servers=[SERVER], correction=-1200.0, allow_backwards=False, step=True)
    assert host.off == 1200.0
    assert "allow_backwards" in str(refused)
    done = call(run_module, servers=[SERVER], correction=-1200.0)
    assert host.off == 0.0
    assert any("while a router of Weave Net runs" in note for note in done["notes"])


def test_two_daemons(host: Host, run_module: Run) -> None:
    host.others = "systemd-timesyncd.service"
    assert "run at the same time" in call(run_module, state="measured")["problems"][0]
    answer = call(run_module, servers=[SERVER])
    assert answer["failed"]
    assert "systemctl disable --now systemd-timesyncd.service" in answer["msg"]
    assert host.log == []


def test_full_disk(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, data: bytes, mode: int = 0) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files, "write_atomic", full)
    assert "No space left on device" in call(run_module, servers=[SERVER])["msg"]


def test_command_that_fails(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it said."""

    def broken(argv: t.Sequence[str], timeout: float) -> Result:
        if "reload" in argv:
            return Result(tuple(argv), 1, "", "506 Cannot talk to daemon", False, 1)
        return host.run(argv, timeout)

    monkeypatch.setattr(_cli, "run_bounded", broken)
    answer = call(run_module, servers=[SERVER])
    assert (answer["rc"], answer["stderr"]) == (1, "506 Cannot talk to daemon")
    assert LEDGER in host.files  # and the next run goes on from there


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"servers": ["a b"]}, "neither a host name"),
        ({"zone": "Mars/Phobos"}, "does not know the time zone"),
        ({"state": "compared", "hosts": [], "results": {}}, "runs on the controller"),
    ],
    ids=["server", "zone", "compared"],
)
def test_bad_input(host: Host, run_module: Run, options: dict[str, t.Any], says: str) -> None:
    assert says in call(run_module, **options)["msg"]
    assert host.log == []
