# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The program that keeps the openings on the host, its unit, and the guard that goes back when nobody confirms a change."""

from __future__ import annotations

import inspect
import io
import json
import sys
import typing as t
import zipfile

from ansible_collections.crosshost.overlay.plugins.module_utils import _files
from ansible_collections.crosshost.overlay.plugins.module_utils._boot_unit import SCRIPT_FOLDER, Installer, Program
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_boot import GUARD_PATH
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_services import UNITS

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

PACKAGE = "ansible_collections.crosshost.overlay.plugins.module_utils"
SCRIPT = "firewall.pyz"
NAME = "crosshost-overlay-firewall"
GUARD = NAME + "-guard"
TIMEOUT = 300  # seconds for one run on the host; hundreds of peers in ufw take the longest
NOT_THERE = ("_fw_install", "_fw_module")  # what needs Ansible
MAIN = f"import sys\nfrom {PACKAGE}._fw_boot import main\nsys.exit(main(sys.argv[1:]))\n"
RELOAD = NAME + "-reload"
# After Docker, whose chains and whose policy of FORWARD are part of what is judged. Wanted by the services of firewalls, and inactive as
# soon as it is done: so each start and restart of one of them runs it. PartOf would do that as well, but firewalld conflicts with some of
# the others, and could no longer be restarted: the one job would have to start this unit, the other to stop it.
UNIT = """[Unit]
Description=Openings of the container overlay in this host's firewalls
ConditionPathExists=/etc/crosshost-overlay/firewall.json
After=docker.service {units}

[Service]
Type=oneshot
ExecStart={python} {script} apply
TimeoutStartSec={timeout}

[Install]
WantedBy=multi-user.target {units}
"""
# Only an active unit is told of the reload of another one.
RELOAD_UNIT = """[Unit]
Description=Openings of the container overlay, after a reload of this host's firewalls
After={units}
ReloadPropagatedFrom={units}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecReload={python} {script} apply
TimeoutStartSec={timeout}

[Install]
WantedBy=multi-user.target
"""


def archive() -> bytes:
    """Everything the program needs, as one file that Python runs; the same bytes for the same sources."""
    sources = {"__main__.py": MAIN}
    parts = PACKAGE.split(".")
    # Real packages, not namespaces: Ansible may be installed on the host, too, and would be found first.
    for depth in range(1, len(parts) + 1):
        sources["/".join([*parts[:depth], "__init__.py"])] = ""
    for name, module in sorted(sys.modules.items()):
        folder, _dot, leaf = name.rpartition(".")
        if folder == PACKAGE and (leaf in ("_cli", "_files") or leaf.startswith("_fw_")) and leaf not in NOT_THERE:
            sources["/".join([*parts, leaf + ".py"])] = inspect.getsource(module)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as bundle:
        for path, source in sorted(sources.items()):
            bundle.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), source)
    return content.getvalue()


def installer(module: AnsibleModule, services: t.Sequence[str]) -> Installer:
    """What puts the program on the host and takes it away; services are others that load rules, without .service."""
    words = {
        "units": " ".join(f"{name}.service" for name in [*UNITS, *services]),
        "python": sys.executable,
        "script": f"{SCRIPT_FOLDER}/{SCRIPT}",
        "timeout": TIMEOUT,
    }
    program = Program(
        name=NAME,
        script=SCRIPT,
        description="",
        source=archive(),
        python=sys.executable,
        argument="apply",
        timeout=TIMEOUT,
        others={f"{NAME}.service": UNIT.format(**words), f"{RELOAD}.service": RELOAD_UNIT.format(**words)},
    )
    return Installer(module, program, TIMEOUT + 60)


def pending() -> bool:
    """Whether a change waits to be confirmed."""
    return _files.read(GUARD_PATH) is not None


def arm(module: AnsibleModule, previous: str | None, seconds: int) -> None:
    """Have the host go back to the previous wish by itself after so many seconds.

    A change that was not confirmed yet is not what to go back to: then the one before it stays that.
    """
    if not pending():
        _files.write_atomic(GUARD_PATH, json.dumps({"previous": previous}).encode(), mode=0o600)
    stop_timer(module)
    run = Cli(module, "systemd-run", timeout=30, package="systemd")
    run.read(
        "--quiet",
        "--collect",
        f"--unit={GUARD}",
        f"--on-active={seconds}",
        "--timer-property=AccuracySec=1s",
        sys.executable,
        f"{SCRIPT_FOLDER}/{SCRIPT}",
        "rollback",
    )


def stop_timer(module: AnsibleModule) -> None:
    """End the timer; it may have ended already."""
    systemctl = Cli(module, "systemctl", timeout=60, package="systemd")
    for unit in (f"{GUARD}.timer", f"{GUARD}.service"):
        systemctl.run_raw("stop", unit)  # 5: not loaded
        systemctl.run_raw("reset-failed", unit)


def confirm(module: AnsibleModule) -> bool:
    """End the wait; False if the host has gone back already."""
    if not pending():
        return False
    _files.remove(GUARD_PATH)
    stop_timer(module)
    return True
