# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Which release of Weave Net works with which Docker Engine."""

from __future__ import annotations

import re

# API versions that the programs in the images speak. weaveworks, to its last release 2.8.1, and rajchaudhuri up to 2.8.2
# pin 1.18; from 2.8.3 on it is 1.24, or what DOCKER_API_VERSION says.
OLD, NEW = (1, 18), (1, 24)
FIRST_NEW = (2, 8, 3)


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version; () if there are none."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(item) for item in found.group().split(".")) if found else ()


def speaks(source: str, version: str) -> tuple[tuple[int, ...], bool]:
    """The API version of a release, and whether it can be told to use another."""
    if source.rstrip("/").endswith("weaveworks") or (numbers(version) and numbers(version) < FIRST_NEW):
        return OLD, False
    return NEW, True


def engine_problem(source: str, version: str, api_min: str, engine: str) -> str | None:
    """Why this release cannot talk to this engine, None if it can. api_min is the oldest API version the engine takes."""
    release, adjustable = speaks(source, version)
    if not numbers(api_min) or numbers(api_min) <= release or adjustable:
        return None
    spoken = ".".join(str(item) for item in release)
    return (
        f"Weave Net {version} of {source} speaks version {spoken} of Docker's API, and this Docker Engine {engine} takes none below {api_min}. "
        "Use image_source rajchaudhuri and version 2.9.0, which can speak a newer one."
    )


def api_version(api_min: str) -> str:
    """What DOCKER_API_VERSION has to be for a release that can be told; empty if its own is fine."""
    return api_min if numbers(api_min) > NEW else ""
