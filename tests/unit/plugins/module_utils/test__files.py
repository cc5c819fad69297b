# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import pathlib

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._files import read, remove, write_atomic


def test_new_file_gets_its_folder_and_mode(tmp_path: pathlib.Path) -> None:
    """Folders are made on the way."""
    path = tmp_path / "a" / "b.json"
    write_atomic(str(path), b"one", 0o600)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one", 0o600)


def test_existing_file_keeps_its_mode(tmp_path: pathlib.Path) -> None:
    """What an operator set stays."""
    path = tmp_path / "b.json"
    path.write_bytes(b"one")
    path.chmod(0o640)
    os.utime(path, (1, 1))
    write_atomic(str(path), b"two", 0o600)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o640)
    assert path.stat().st_mtime > 1  # by which it is told whether a daemon has read it


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=["disk-full", "read-only"])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failure_leaves_the_old_file_and_no_draft(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """A full disk shows when the data goes to it, a read-only one when the name is changed."""
    path = tmp_path / "b.json"
    path.write_bytes(b"one")

    def fail(*dummy_args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_atomic(str(path), b"two", 0o600)
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["b.json"]


def test_draft_of_a_killed_run_is_taken_over(tmp_path: pathlib.Path) -> None:
    """One fixed name: runs that were killed do not fill the folder."""
    (tmp_path / ".b.json.crosshost-overlay").symlink_to("/etc/passwd")
    write_atomic(str(tmp_path / "b.json"), b"two", 0o600)
    assert os.listdir(tmp_path) == ["b.json"]


def test_remove_takes_the_empty_folder_along(tmp_path: pathlib.Path) -> None:
    """But not one in which others have something."""
    for name in ("one", "two"):
        write_atomic(str(tmp_path / "folder" / name), b"", 0o600)
    remove(str(tmp_path / "folder" / "one"))
    assert read(str(tmp_path / "folder" / "two")) == ""
    remove(str(tmp_path / "folder" / "two"))
    remove(str(tmp_path / "folder" / "two"))
    assert read(str(tmp_path / "folder" / "two")) is None
    assert os.listdir(tmp_path) == []
