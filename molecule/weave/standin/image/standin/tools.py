# Stands in for Weave Net 2.9.0 in tests: starting programs, here and in a container's network namespace.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess
import threading
import typing as t

from standin import log


class ToolError(Exception):
    """A program failed; its own words."""


def run(*argv: str, pid: int = 0) -> str:
    """Run a program to its end, in the network namespace of a process if one is given."""
    if pid:
        argv = ("busybox", "nsenter", "-t", str(pid), "-n", f"/sbin/{argv[0]}", *argv[1:])
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"{' '.join(argv)}: {error}") from error
    if done.returncode:
        raise ToolError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def attempt(*argv: str, pid: int = 0) -> bool:
    """Run a program that may fail."""
    try:
        run(*argv, pid=pid)
    except ToolError as error:
        log.debug(str(error))
        return False
    return True


def show(*argv: str, pid: int = 0) -> list[dict[str, t.Any]]:
    """What "ip -j ..." says."""
    return json.loads(run("ip", "-j", *argv, pid=pid) or "[]")


def link_exists(name: str) -> bool:
    return os.path.exists(f"/sys/class/net/{name}")


def spawn(function: t.Callable[..., None], *args: t.Any) -> None:
    """A thread that ends the process if it ends by an error: no half-dead router."""

    def guarded() -> None:
        try:
            function(*args)
        except Exception as error:
            log.fatal(f"{function.__qualname__}: {type(error).__name__}: {error}")

    threading.Thread(target=guarded, daemon=True, name=function.__qualname__).start()
