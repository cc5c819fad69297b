# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the doctor have in common: a fault, what the doctor says of it, and its remedy as a reader would apply it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import shlex
import time
import typing as t

from overlay_helpers import INVENTORY, NAMES, Run, play, wait_for

if t.TYPE_CHECKING:
    from testinfra.host import Host

REPORT = "overlay_report.json"
PAGE = "overlay_report.html"
PAIRS = len(NAMES) * (len(NAMES) - 1)
# A pair is proved by a few packets as well as by many: every fault is followed by a verify.
QUICK = ("--skip-tags=clock", "-e", "verify_count=2", "-e", "verify_interval=0.1")
COMMAND_TIMEOUT = 120  # seconds for one command on a host
DOCTOR_LIMIT = 90  # seconds a run of doctor.yml may take, whatever hangs on the hosts; usually it takes a tenth of that


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault: how it is caused, and what the doctor has to say first.

    row is its number in the project's list of faults, 0 for one that only users have told of. cause and by_hand are shell
    commands by host. sign is a command on a host that succeeds as soon as the fault shows. finding, hosts and says
    are those of the first finding; each text of says is in its summary, cause, remedy or commands. The
    finding's own commands are run as they are printed, unless by_hand says what a person does instead, where the remedy leaves the
    choice to one. undo takes away what is left after the remedy; it may fail.
    """

    name: str
    row: int
    backend: str
    cause: t.Mapping[str, str]
    finding: str
    hosts: tuple[str, ...]
    says: tuple[str, ...]
    by_hand: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    sign: tuple[str, str] | None = None
    undo: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What a run of doctor.yml left behind, and how long it took."""

    document: dict[str, t.Any]
    run: Run
    seconds: float

    @property
    def findings(self) -> list[dict[str, t.Any]]:
        """From the most to the least important."""
        return t.cast("list[dict[str, t.Any]]", self.document["findings"])

    @property
    def first(self) -> dict[str, t.Any]:
        """The first finding, which there must be."""
        assert self.findings, f"no finding\n{self.run.text}"
        return self.findings[0]

    def brief(self) -> str:
        """All findings, a line each, for a message."""
        return "\n".join(f"{item['id']} {item['hosts']}: {item['summary']}" for item in self.findings) or "no finding"


def doctor(
    reports: pathlib.Path, backend: str, *args: str, inventory: pathlib.Path = INVENTORY, status: int = 0
) -> Diagnosis:
    """Run doctor.yml, which must end with this status, in time, and leave both files."""
    for name in (REPORT, PAGE):
        (reports / name).unlink(missing_ok=True)
    began = time.monotonic()
    run = play(
        "doctor",
        *("-e", f"doctor_report_directory={reports}", "-e", f"overlay_backend={backend}"),
        *args,
        inventory=inventory,
    )
    seconds = time.monotonic() - began
    assert run.status == status, run.text
    assert seconds < DOCTOR_LIMIT, f"{seconds:.0f} seconds\n{run.text}"
    assert (reports / PAGE).stat().st_size > 0
    return Diagnosis(json.loads((reports / REPORT).read_text(encoding="utf-8")), run, seconds)


def verify(backend: str) -> Run:
    """Run verify.yml, with few packets."""
    return play("verify", "-e", f"overlay_backend={backend}", *QUICK)


def clean(run: Run) -> bool:
    """Whether every pair of hosts is well."""
    return run.status == 0 and f"verify: hosts={len(NAMES)} pairs={PAIRS} ok={PAIRS} failed=0" in run.text


def words(finding: t.Mapping[str, t.Any]) -> str:
    """Everything a finding says in words."""
    return " ".join([finding["summary"], finding["cause"], finding["remedy"], *finding["commands"]])


def on_hosts(hosts: dict[str, Host], commands: t.Mapping[str, str]) -> None:
    """Run each host's command, which must work."""
    for name, command in commands.items():
        hosts[name].check_output(f"timeout {COMMAND_TIMEOUT} sh -c %s", command)


def follow(hosts: dict[str, Host], finding: t.Mapping[str, t.Any], backend: str) -> Run | None:
    """Run the commands of a finding one after the other, where they belong, as they are printed.

    To a playbook the reader adds the inventory and the backend, which only the reader knows. Returns the last run of a playbook.
    """
    run = None
    assert finding["commands"], finding
    for line in finding["commands"]:
        if match := re.match(rf"({'|'.join(NAMES)})\$ (.+)$", line):
            on_hosts(hosts, {match[1]: match[2]})
            continue
        argv = shlex.split(line)
        assert argv[0] == "ansible-playbook", line
        playbook = next(word for word in argv if word.startswith("crosshost.overlay."))
        args = [word for word in argv[1:] if word != playbook]
        run = play(playbook.removeprefix("crosshost.overlay."), *args, "-e", f"overlay_backend={backend}", *QUICK).ok()
    return run


def wait_for_sign(hosts: dict[str, Host], sign: tuple[str, str]) -> None:
    """Wait until the fault shows."""
    name, command = sign
    wait_for(f"{command} on {name}", lambda: hosts[name].run(command).rc == 0, 60)
