# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""A program of ours that systemd runs, usually after each start of Docker: installed, kept and removed."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

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

    unit_text is a unit of another kind than UNIT, complete.
    """

    name: str  # of the unit, without .service
    script: str  # file name below SCRIPT_FOLDER
    description: str
    source: str | bytes
    python: str
    argument: str
    timeout: int
    unit_text: str = ""

    @property
    def unit(self) -> str:
        """The unit's full name."""
        return f"{self.name}.service"

    def files(self) -> dict[str, bytes]:
        """Every file with its content."""
        script = os.path.join(SCRIPT_FOLDER, self.script)
        text = self.unit_text or UNIT.format(
            description=self.description,
            python=self.python,
            script=script,
            argument=self.argument,
            timeout=self.timeout,
        )
        source = self.source if isinstance(self.source, bytes) else self.source.encode()
        return {script: source, os.path.join(UNIT_FOLDER, self.unit): text.encode()}


class Installer:
    """Puts a program on the host or takes it away; commands lists what was done, or would be."""

    def __init__(self, module: AnsibleModule, program: Program, timeout: float) -> None:
        self.module, self.program = module, program
        self.systemctl = Cli(module, "systemctl", timeout=timeout, package="systemd")
        self.commands = self.systemctl.commands

    def state(self) -> dict[str, str]:
        """What systemd knows of the unit."""
        names = ("LoadState", "UnitFileState", "ActiveState", "NeedDaemonReload")
        lines = self.systemctl.read("show", self.program.unit, "--property=" + ",".join(names))[1].splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def install(self) -> None:
        """Write what differs and have systemd run it."""
        written = self.write()
        now = self.state()
        if written or now.get("NeedDaemonReload") == "yes":
            self.systemctl.write("daemon-reload")
        if now.get("UnitFileState") != "enabled":
            self.systemctl.write("enable", self.program.unit)
        # Active is what makes systemd stop it with Docker, and so run it again.
        if now.get("ActiveState") != "active":
            self.systemctl.write("start", self.program.unit)

    def write(self) -> bool:
        """Write what differs, no more; says whether anything did."""
        return any([self._write(path, data) for path, data in self.program.files().items()])

    def remove(self) -> None:
        """Take it away, as far as it is there."""
        if self.state().get("LoadState") != "not-found":
            self.systemctl.write("disable", "--now", self.program.unit)
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
