# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts need Weave Net's script, and whether the controller has to fetch it. Private to this collection."""

from __future__ import annotations

import hashlib
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_names import WeaveHost


@dataclass(frozen=True)
class Script:
    """fetch: the controller has none that will do. hosts: those that get it. sha256: what it has to be, '' if that is open."""

    fetch: bool
    hosts: list[str]
    sha256: str


@dataclass(frozen=True)
class Local:
    """A script on the controller. sha256 is empty when it cannot be read, version when it says none."""

    sha256: str = ""
    version: str = ""


def read(path: str) -> Local:
    """Read a script's checksum and version."""
    try:
        with open(path, "rb") as handle:
            content = handle.read()
    except OSError:
        return Local()
    found = re.search(rb'^SCRIPT_VERSION="?([0-9][^"\s]*)"?', content, re.MULTILINE)
    return Local(hashlib.sha256(content).hexdigest(), found.group(1).decode() if found else "")


def decide_script(
    hosts: t.Sequence[WeaveHost], version: str, local: Local, given: bool, checksum: str
) -> tuple[Script, list[str]]:
    """Compare the hosts' scripts with the controller's (given: the operator named it) or the pinned one.

    Without either, the hosts have to agree on one of the right version, or it is fetched.
    """
    pinned = checksum.rpartition(":")[2].strip().lower()
    if given and not local.sha256:
        return Script(False, [], ""), [
            "weave_script_file names a file that the controller cannot read; correct the path"
        ]
    if given and local.version and local.version != version:
        return Script(False, [], ""), [
            f"weave_script_file is the script of {local.version}, and weave_version is {version}; give both for one version"
        ]
    if given and pinned and local.sha256 != pinned:
        return Script(False, [], ""), [
            f"weave_script_file has the SHA-256 {local.sha256}, and weave_script_checksum is {pinned}; one of the two is not what you meant"
        ]
    wanted = pinned or local.sha256
    have = {host.name: host.part("script") for host in hosts if host.reached}
    foreign = [
        f"host '{name}': {script.get('path')} is something else than Weave Net's script and stays as it is; move it, or set weave_script_path"
        for name, script in have.items()
        if script.get("sha256") and not script.get("version")
    ]
    if foreign:
        return Script(False, [], ""), foreign
    if wanted:
        outdated = [name for name, script in have.items() if script.get("sha256") != wanted]
        return Script(bool(outdated) and local.sha256 != wanted, outdated, wanted), []
    right = [script for script in have.values() if script.get("sha256") and script.get("version") == version]
    if have and len(right) == len(have) and len({script["sha256"] for script in right}) == 1:
        return Script(False, [], right[0]["sha256"]), []
    return Script(bool(have), list(have), ""), []
