# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Make the file system of a probe image from this host's own sleep program: no registry, any CPU architecture."""

from __future__ import annotations

import io
import os
import re
import tarfile
import typing as t

LIBRARY = re.compile(r"(?:^|=>)\s*(/\S+)(?:\s+\(0x[0-9a-f]+\))?\s*$", re.MULTILINE)
MISSING = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)
NOT_DYNAMIC = ("not a dynamic executable", "statically linked", "not a valid dynamic program", "not a dynamic program")


class ImageError(Exception):
    """The program cannot be packed; the text says why."""


def parse_ldd(text: str) -> list[str]:
    """Return the paths of the libraries in what ldd printed (glibc or musl); empty for a static program."""
    missing = MISSING.findall(text)
    if missing:
        raise ImageError(f"ldd does not find {', '.join(missing)}")
    paths = LIBRARY.findall(text)
    if not paths and not any(words in text.lower() for words in NOT_DYNAMIC):
        raise ImageError(f"ldd printed something unexpected: {text.strip()[:200]!r}")
    return sorted(set(paths))


def interpreter(head: bytes) -> str | None:
    """Return the program a '#!' line names; sleep is such a script where coreutils is one single program."""
    if not head.startswith(b"#!"):
        return None
    words = head[2:].split(b"\n", 1)[0].split()
    return words[0].decode() if words else None


def files_for(program: str, ldd: t.Callable[[str], str]) -> dict[str, str]:
    """Return path in the image -> path on the host for a sleep program; ldd(path) returns what the tool prints."""
    real = os.path.realpath(program)
    with open(real, "rb") as stream:
        through = interpreter(stream.read(256))
    files = {"/bin/sleep": real}
    binary = real
    if through:
        binary = os.path.realpath(through)
        files[through] = binary
    for path in parse_ldd(ldd(binary)):
        files[path] = os.path.realpath(path)
    return files


def pack(files: t.Mapping[str, str]) -> bytes:
    """Return a tar archive; the same files always give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for inside in sorted(files):
            entry = tarfile.TarInfo(inside.lstrip("/"))
            entry.mode = 0o755
            with open(files[inside], "rb") as stream:
                data = stream.read()
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
