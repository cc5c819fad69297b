# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""A program of ours that systemd runs, usually after each start of Docker: installed, kept and removed."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ansible_collections.crosshost.overlay.plugins.module_utils import _files
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

UNIT_FOLDER = "/etc/systemd/system"
SCRIPT_FOLDER = "/usr/local/lib/crosshost-overlay"
# BindsTo and WantedBy: it stops and starts with Docker, also when only Docker is restarted.
UNIT = """[Unit]
Description={description}
BindsTo=docker.service
After=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={python} {script} {argument}
TimeoutStartSec={timeout}

[Install]
WantedBy=docker.service
"""


@dataclass(frozen=True)
class Program:
    """What to install: its source, the unit around it, and the unit's one argument. timeout in seconds.

    others are units of another kind to have instead of UNIT, by full name, complete.
    """

    name: str  # of the unit, without .service
    script: str  # file name below SCRIPT_FOLDER
    description: str
    source: str | bytes
    python: str
    argument: str
    timeout: int
    others: t.Mapping[str, str] = field(default_factory=dict)

    def units(self) -> dict[str, str]:
        """Every unit with its text."""
        if self.others:
            return dict(self.others)
        text = UNIT.format(
            description=self.description,
            python=self.python,
            script=os.path.join(SCRIPT_FOLDER, self.script),
            argument=self.argument,
            timeout=self.timeout,
        )
        return {f"{self.name}.service": text}

    def files(self) -> dict[str, bytes]:
        """Every file with its content."""
        source = self.source if isinstance(self.source, bytes) else self.source.encode()
        units = {os.path.join(UNIT_FOLDER, name): text.encode() for name, text in self.units().items()}
        return {os.path.join(SCRIPT_FOLDER, self.script): source, **units}


class Installer:
    """Puts a program on the host or takes it away; commands lists what was done, or would be."""

    def __init__(self, module: AnsibleModule, program: Program, timeout: float) -> None:
        self.module, self.program = module, program
        self.systemctl = Cli(module, "systemctl", timeout=timeout, package="systemd")
        self.commands = self.systemctl.commands

    def state(self, unit: str = "") -> dict[str, str]:
        """What systemd knows of a unit, if none is named of the only one."""
        names = ("LoadState", "UnitFileState", "ActiveState", "NeedDaemonReload")
        unit = unit or f"{self.program.name}.service"
        lines = self.systemctl.read("show", unit, "--property=" + ",".join(names))[1].splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def install(self) -> None:
        """Write what differs and have systemd run it."""
        written = self.write()
        states = {name: self.state(name) for name in self.program.units()}
        if written or any(now.get("NeedDaemonReload") == "yes" for now in states.values()):
            self.systemctl.write("daemon-reload")
        for name, text in self.program.units().items():
            if states[name].get("UnitFileState") != "enabled" or not _linked(name, text):
                self.systemctl.write("reenable", name)
            # Active is what makes systemd stop it with Docker, and so run it again.
            if states[name].get("ActiveState") != "active" and "RemainAfterExit=yes" in text:
                self.systemctl.write("start", name)

    def write(self) -> bool:
        """Write what differs, no more; says whether anything did."""
        written = [self._write(path, data) for path, data in self.program.files().items()]
        return any(written)

    def remove(self) -> None:
        """Take it away, as far as it is there."""
        for name in self.program.units():
            if self.state(name).get("LoadState") != "not-found":
                self.systemctl.write("disable", "--now", name)
        gone = [path for path in self.program.files() if os.path.lexists(path)]
        for path in gone:
            self.commands.append(f"rm {path}")
            if not self.module.check_mode:
                _files.remove(path)
        if gone:
            self.systemctl.write("daemon-reload")

    def _write(self, path: str, data: bytes) -> bool:
        if _files.read_bytes(path) == data:
            return False
        self.commands.append(f"write {path}")
        if not self.module.check_mode:
            try:
                _files.write_atomic(path, data)
            except OSError as exc:
                self.module.fail_json(
                    msg=f"{path} could not be written: {exc}. Free space or make the file system writable, then run again."
                )
        return True


def _linked(name: str, text: str) -> bool:
    """Whether everything that shall want the unit does; an older text of it may have named fewer."""
    wanting = [word for line in text.splitlines() if line.startswith("WantedBy=") for word in line[9:].split()]
    return all(os.path.lexists(os.path.join(UNIT_FOLDER, f"{other}.wants", name)) for other in wanting)
