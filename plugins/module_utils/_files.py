# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Files on the target, written whole or not at all."""

from __future__ import annotations

import os
import shutil


def write_atomic(path: str, data: bytes, mode: int = 0o644) -> None:
    """Replace a file at once; an existing one keeps mode, owner and labels. OSError leaves it untouched."""
    folder, name = os.path.split(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    temp = os.path.join(
        folder, f".{name}.crosshost-overlay"
    )  # one fixed name: a killed run leaves one file, and the next takes it
    try:
        if os.path.lexists(temp):
            os.unlink(temp)
        with os.fdopen(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(data)
            out.flush()
            if os.path.exists(path):
                old = os.stat(path)
                os.fchown(out.fileno(), old.st_uid, old.st_gid)
                shutil.copystat(path, temp)  # mode, SELinux label, ACL
                os.utime(temp)  # but not its time, which tells when a daemon's copy is out of date
            else:
                os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        os.replace(temp, path)
    except BaseException:
        if os.path.lexists(temp):
            os.unlink(temp)
        raise


def read(path: str) -> str | None:
    """Return a file's text, None when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def read_bytes(path: str) -> bytes | None:
    """Return a file's content, None when there is none."""
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def remove(path: str) -> None:
    """Remove a file and, when it was the last one in there, its folder; both may be gone."""
    if os.path.lexists(path):
        os.unlink(path)
    folder = os.path.dirname(path)
    if os.path.isdir(folder) and not os.listdir(folder):
        os.rmdir(folder)
