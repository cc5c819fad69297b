# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import stat

import pytest
from ansible.errors import AnsibleActionFail

from ansible_collections.crosshost.overlay.plugins.plugin_utils._write import write


def test_write_makes_folders_and_replaces(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write("new/folder/report.html", "one")
    assert path == str(tmp_path / "new/folder/report.html")
    assert write("new/folder/report.html", "zwei ä \ud800") == path
    assert pathlib.Path(path).read_bytes() == "zwei ä \\ud800".encode()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644
    assert os.listdir(tmp_path / "new/folder") == ["report.html"]


def test_nothing_but_the_home_is_expanded(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert write("~/a", "x") == str(tmp_path / "a")
    assert write("~/$HOME $(id) *", "x") == str(tmp_path / "$HOME $(id) *")


def test_a_link_is_replaced_not_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").write_text("untouched", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    write(str(tmp_path / "link"), "x")
    assert (tmp_path / "other").read_text(encoding="utf-8") == "untouched"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("path", ["file/report.html", "folder"])
def test_failure_says_what_to_do_and_leaves_nothing(tmp_path: pathlib.Path, path: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(AnsibleActionFail, match=r"Cannot write the report to /.*Choose another report_html"):
        write(str(tmp_path / path), "x", "report_html")
    assert sorted(os.listdir(tmp_path)) == before


def test_failure_while_writing_leaves_the_old_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(str(tmp_path / "report"), "old")

    def full(*dummy_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(AnsibleActionFail, match="No space left on device"):
        write(path, "new")
    assert pathlib.Path(path).read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["report"]
