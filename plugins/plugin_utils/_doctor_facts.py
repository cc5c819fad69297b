# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""Reading facts that may be missing, or of another shape than expected. Pure."""

from __future__ import annotations

import re
import typing as t

Facts = t.Mapping[str, t.Any]


def dig(value: t.Any, *path: str) -> t.Any:
    """Follow keys as far as they lead, else None."""
    for key in path:
        value = value.get(key) if isinstance(value, t.Mapping) else None
    return value


def mapping(value: t.Any, *path: str) -> Facts:
    """Return a mapping, empty when there is none."""
    found = dig(value, *path)
    return found if isinstance(found, t.Mapping) else {}


def rows(value: t.Any, *path: str) -> list[Facts]:
    """Return the mappings in a list, empty when there is none."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, t.Mapping)] if isinstance(found, (list, tuple)) else []


def texts(value: t.Any, *path: str) -> list[str]:
    """Return a list of texts (a text of several lines counts as one), empty when there is none."""
    found = dig(value, *path)
    if isinstance(found, str):
        return found.splitlines()
    return [str(item) for item in found] if isinstance(found, (list, tuple)) else []


def number(value: t.Any, *path: str) -> float | None:
    """Return a number, also one written as a text; None for anything else."""
    found = dig(value, *path)
    try:
        return None if found is None or isinstance(found, bool) else float(found)
    except (TypeError, ValueError):
        return None


def matching(pattern: re.Pattern[str], value: t.Any, *path: str) -> list[str]:
    """Return the lines of a list of texts, such as a log, in which a pattern is found."""
    return [line for line in texts(value, *path) if pattern.search(line)]


def bare(address: t.Any) -> str:
    """Return an address without the length of its prefix."""
    return str(address).partition("/")[0]


def addresses(interface: t.Any) -> list[str]:
    """Return the addresses of an interface, without the lengths of their prefixes."""
    return [bare(text) for text in texts(interface, "addresses")]
