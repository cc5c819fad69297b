# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Runs on the host: keeps the overlay's openings, and goes back to the former ones when nobody confirmed the new.

firewall.py apply      after a boot and after each start of a firewall's service (crosshost-overlay-firewall.service)
firewall.py rollback   by a timer, unless the control node has come back after a change (crosshost-overlay-firewall-guard)
"""

from __future__ import annotations

import json
import os
import sys
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import _files, _fw_host, _fw_wish
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import FirewallError, Run
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_wish import WISH_PATH

# Lost by a reboot, which also ends the timer: the wish of the last run then counts as it stands.
GUARD_PATH = "/run/crosshost-overlay/firewall-guard.json"


def apply(run: Run, wish_path: str = WISH_PATH) -> list[str]:
    """Bring the firewalls to the recorded wish; returns what was run."""
    text = _files.read(wish_path)
    if text is None:
        return []
    with _fw_host.locked():
        dummy, done = _fw_host.reconcile(run, _fw_wish.parse(text, wish_path))
    return _fw_host.steps_of(done)


def rollback(run: Run, guard_path: str = GUARD_PATH, wish_path: str = WISH_PATH) -> list[str]:
    """Go back to the last wish that was confirmed; returns what was run."""
    with _fw_host.locked():
        text = _files.read(guard_path)
        if text is None:
            return []  # confirmed meanwhile
        previous = json.loads(text)["previous"]
        if previous is None:
            _files.remove(wish_path)
        else:
            _files.write_atomic(wish_path, previous.encode())
        dummy, done = _fw_host.reconcile(run, None if previous is None else _fw_wish.parse(previous, guard_path))
        os.unlink(guard_path)
    return _fw_host.steps_of(done)


def main(argv: t.Sequence[str]) -> int:
    """Do what the only argument says."""
    actions: dict[str, t.Callable[[Run], list[str]]] = {"apply": apply, "rollback": rollback}
    if len(argv) != 1 or argv[0] not in actions:
        sys.stderr.write("usage: firewall.py apply|rollback\n")
        return 2
    try:
        for line in actions[argv[0]](_fw_host.runner()):
            sys.stdout.write(line + "\n")
    except (FirewallError, OSError, ValueError) as exc:
        sys.stderr.write(f"crosshost.overlay: {exc}\n")
        return 1
    return 0
