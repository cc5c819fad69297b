# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What this collection has put on a host, and how systemd finds it."""

from __future__ import annotations

import glob
import os
import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

UNITS = "/etc/systemd/system/crosshost-*"
FOLDERS = (
    "/etc/crosshost-overlay",
    "/usr/local/lib/crosshost-overlay",
    "/var/lib/crosshost-overlay",
    "/run/crosshost-overlay",
)
OTHERS = ("/etc/profile.d/crosshost-weave.sh",)
PROPERTIES = "Id,LoadState,ActiveState,UnitFileState,Result"
MOST = 200  # files; more is nothing this collection makes


def read(section: Section) -> None:
    """Fill the section of overlay_info."""
    section.facts.update(units={}, files=files())
    names = sorted(os.path.basename(path) for path in glob.glob(UNITS) if os.path.splitext(path)[1])
    if names and section.has("systemctl"):
        answer = section.ask("systemctl", "show", f"--property={PROPERTIES}", "--", *names)
        if answer.rc != 0:
            section.problems.append(answer.message)
        section.facts["units"] = units(answer.out)


def units(text: str) -> dict[str, dict[str, str]]:
    """What 'systemctl show' prints of several units."""
    found = {}
    for block in text.split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if shown.get("Id"):
            found[shown["Id"]] = {
                "active": shown.get("ActiveState", ""),
                "enabled": shown.get("UnitFileState", ""),
                "result": shown.get("Result", ""),
            }
    return found


def files(folders: t.Sequence[str] = FOLDERS, others: t.Sequence[str] = OTHERS, unit_files: str = UNITS) -> list[str]:
    """The paths of our files; what is in them is not read."""
    found = [path for path in (*others, *glob.glob(unit_files)) if os.path.lexists(path)]
    for folder in folders:
        for parent, dummy, names in os.walk(folder):
            found += [os.path.join(parent, name) for name in names]
    return sorted(found)[:MOST]


def service(section: Section, name: str) -> dict[str, str]:
    """Read what systemd knows of a unit; empty where it does not know it."""
    facts = {"active": "", "enabled": ""}
    if not section.has("systemctl"):
        return facts
    answer = section.cli("systemctl").run_raw("show", "--property=LoadState,ActiveState,UnitFileState", "--", name)
    shown = dict(line.split("=", 1) for line in answer.out.splitlines() if "=" in line)
    if answer.rc == 0 and shown.get("LoadState") == "loaded":
        facts.update(active=shown.get("ActiveState", ""), enabled=shown.get("UnitFileState", ""))
    return facts
