# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the capabilities this lab host lacks out of the request in runc's arguments (create, run: --bundle; exec: --process)."""

from __future__ import annotations

import json
import pathlib
import sys


def available() -> set[str]:
    """Return the names of the capabilities in this process's bounding set."""
    listed = pathlib.Path(__file__).with_name("capabilities.txt").read_text(encoding="ascii").splitlines()
    for line in pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapBnd:"):
            mask = int(line.split()[1], 16)
            return {f"CAP_{name}" for number, name in enumerate(listed[1:]) if mask >> number & 1}
    raise SystemExit("no CapBnd line in /proc/self/status")


def option(args: list[str], *names: str) -> str | None:
    """Return the value of an option written as "--name value" or "--name=value"."""
    for index, arg in enumerate(args):
        if arg in names and index + 1 < len(args):
            return args[index + 1]
        name, equals, value = arg.partition("=")
        if equals and name in names:
            return value
    return None


def main(args: list[str]) -> None:
    """Rewrite the file that holds the request, if it asks for too much."""
    process_file = option(args, "--process", "-p")
    path = pathlib.Path(process_file or pathlib.Path(option(args, "--bundle", "-b") or ".", "config.json"))
    if not path.is_file():
        return
    spec = json.loads(path.read_text(encoding="utf-8"))
    wanted = (spec if process_file else spec["process"]).get("capabilities") or {}
    have = available()
    limited = {kind: [name for name in names if name in have] for kind, names in wanted.items()}
    if limited != wanted:
        wanted.update(limited)
        path.write_text(json.dumps(spec), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
