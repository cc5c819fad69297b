# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Weave Net's images on a host: which there are, and the commands that bring the others. Pure but for the one reader."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli

ABSENT = re.compile(r"no such image", re.IGNORECASE)


@dataclass(frozen=True)
class Image:
    """An image under one name; digests are those a registry gave it, without the repository."""

    name: str
    id: str
    digests: tuple[str, ...]

    def is_a(self, expected: str | None) -> bool:
        """Whether this is the expected one, by its own id or a registry's digest; any is right without expectation."""
        return not expected or expected.lower() in (self.id, *self.digests)


def names(source: str, version: str) -> list[str]:
    """Return the images a router of that version needs, as the script names them."""
    return [f"{source}/weave:{version}", f"{source}/weaveexec:{version}", f"{source}/weavedb:latest"]


def observe(docker: Cli, wanted: t.Sequence[str]) -> dict[str, Image]:
    """Read those of the wanted images that the host has."""
    result = docker.run_raw("image", "inspect", *wanted)
    if result.timed_out or (result.rc != 0 and not ABSENT.search(result.err)):
        docker.fail(result)
    found = {}
    for entry in json.loads(result.out or "[]"):
        digests = tuple(digest.rpartition("@")[2] for digest in entry.get("RepoDigests") or [])
        for name in entry.get("RepoTags") or []:
            if name in wanted:
                found[name] = Image(name, entry["Id"], digests)
    return found


def wrong(have: t.Mapping[str, Image], wanted: t.Sequence[str], expected: t.Mapping[str, str]) -> list[str]:
    """Return the wanted images that are missing, or there under that name and not the expected ones."""
    return [name for name in wanted if name not in have or not have[name].is_a(expected.get(name))]


def plan_present(missing: t.Sequence[str], archive: str | None, registry: str) -> list[list[str]]:
    """Return the docker commands that bring the missing images."""
    if not missing:
        return []
    if archive:
        return [["image", "load", "--quiet", "--input", archive]]
    if not registry:
        return [["image", "pull", "--quiet", name] for name in missing]
    steps = []
    for name in missing:
        mirrored = f"{registry.rstrip('/')}/{name}"
        # The mirror's own name goes again: only the names that the script uses stay on the host.
        steps += [["image", "pull", "--quiet", mirrored], ["image", "tag", mirrored, name], ["image", "rm", mirrored]]
    return steps


def plan_absent(have: t.Mapping[str, Image]) -> list[list[str]]:
    """Return the docker commands that remove the images that are there."""
    return [["image", "rm", name] for name in sorted(have)]


def by_hand(wanted: t.Sequence[str]) -> str:
    """Say how the images get to a host without a way to a registry."""
    return (
        f"On a machine that has the images: docker save --output weave.tar {' '.join(wanted)}; "
        "then give that file as archive (role weave: weave_image_archive), or set registry (weave_registry) to a mirror"
    )
