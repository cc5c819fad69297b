# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep what Python compiles of modules in zip archives, as it does by itself with modules in folders.

Ansible sends each of its modules as an archive of about a hundred sources. Python compiles all of them at every call, and each of them twice,
which is half of what a call costs; an emulated processor takes seconds for it. Every Python of the host imports this file at its start
(lab_bytecode.pth).
"""

from __future__ import annotations

import _imp
import marshal
import os
import sys
import types
import zipimport

STORE = "/var/cache/lab-bytecode"
SIZE = 8  # bytes of a digest

compile_source = zipimport._compile_source  # type: ignore[attr-defined]
seen: dict[tuple[str, bytes], types.CodeType] = {}


def digest(data: bytes) -> bytes:
    """Return a hash that is another one for another kind of bytecode."""
    # Not at the start, where it would cost programs that need none of this.
    from importlib.util import source_hash

    return source_hash(data)


def load(path: str, key: bytes) -> types.CodeType | None:
    """Return what was kept, None if there is nothing of use: when the power was cut, it may have been written in part."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        return marshal.loads(data[SIZE:]) if data[:SIZE] == digest(key + data[SIZE:]) else None
    except (OSError, EOFError, TypeError, ValueError):
        return None


def keep(path: str, key: bytes, code: types.CodeType) -> None:
    """Write it down, whole or not at all; without room, or the right to do so, it is compiled again the next time."""
    data = marshal.dumps(code)
    new = f"{path}.{os.getpid()}-{id(code)}"
    try:
        with open(new, "wb") as file:
            file.write(digest(key + data) + data)
        os.replace(new, path)
    except OSError:
        return


def compiled(name: str, source: bytes) -> types.CodeType:
    """Return the code of a source; name is where tracebacks say it comes from."""
    key = digest(source)
    code = seen.get((name, key))
    if code is None:
        path = f"{STORE}/{key.hex()}"
        code = load(path, key)
        if code is None:
            code = compile_source(name, source)
            keep(path, key, code)
        # The archive of an earlier call was in another folder.
        _imp._fix_co_filename(code, name)  # type: ignore[attr-defined]
        seen[name, key] = code
    return code


if not sys.flags.optimize:
    zipimport._compile_source = compiled  # type: ignore[attr-defined]
