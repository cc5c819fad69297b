# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packing a sleep program and its libraries."""

from __future__ import annotations

import io
import pathlib
import tarfile
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._probe_image import (
    ImageError,
    files_for,
    interpreter,
    pack,
    parse_ldd,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("probe/ldd-glibc-2.36.txt", ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]),
        ("probe/ldd-musl-1.2.3.txt", ["/lib64/ld-linux-x86-64.so.2"]),
    ],
)
def test_parse_ldd(fixture_text: t.Callable[[str], str], name: str, expected: list[str]) -> None:
    assert parse_ldd(fixture_text(name)) == expected


@pytest.mark.parametrize(
    "text", ["\tnot a dynamic executable\n", "\tstatically linked\n", "x: Not a valid dynamic program\n"]
)
def test_static_programs_need_nothing(text: str) -> None:
    assert parse_ldd(text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\tlibselinux.so.1 => not found\n", "does not find libselinux.so.1"),
        ("", "unexpected"),
        ("usage: ldd", "usage: ldd"),
    ],
)
def test_ldd_answers_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        parse_ldd(text)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\x7fELF\x02", None),
        (b"#!/usr/bin/coreutils --coreutils-prog-shebang=sleep\n", "/usr/bin/coreutils"),
        (b"#!\n", None),
    ],
)
def test_interpreter(head: bytes, expected: str | None) -> None:
    assert interpreter(head) == expected


def test_a_link_to_one_big_program_is_followed(tmp_path: pathlib.Path) -> None:
    big, link = tmp_path / "busybox", tmp_path / "sleep"
    big.write_bytes(b"\x7fELF")
    link.symlink_to(big)
    assert files_for(str(link), lambda path: "\tstatically linked") == {"/bin/sleep": str(big)}


def test_a_script_brings_its_interpreter(tmp_path: pathlib.Path) -> None:
    program, script = tmp_path / "coreutils", tmp_path / "sleep"
    program.write_bytes(b"\x7fELF")
    script.write_text(f"#!{program} --coreutils-prog-shebang=sleep\n")
    asked: list[str] = []

    def ldd(path: str) -> str:
        asked.append(path)
        return f"\tlibc.so.6 => {program} (0x1)\n"

    assert files_for(str(script), ldd) == {"/bin/sleep": str(script), str(program): str(program)}
    assert asked == [str(program)]


def test_pack_holds_files_only_and_is_repeatable(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_bytes(b"program")
    files = {"/bin/sleep": str(tmp_path / "a")}
    data = pack(files)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (entry,) = archive.getmembers()
        assert (entry.name, entry.mode, entry.uid, entry.mtime, entry.size) == ("bin/sleep", 0o755, 0, 0, 7)
    assert pack(files) == data
