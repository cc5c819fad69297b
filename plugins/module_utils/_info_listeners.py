# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Who listens on the ports of a host."""

from __future__ import annotations

import re
import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli
    from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

SOCKET = re.compile(
    r"(?P<proto>tcp|udp)\s+\S+\s+\d+\s+\d+\s+(?P<address>\S+):(?P<port>\d+)\s+\S+(?:\s+users:\(\((?P<users>.*)\)\))?"
)
# Weave Net: policy controller, status, control, API and data, proxy; names; Docker by TCP; time.
PORTS = (6781, 6782, 6783, 6784, 12375, 53, 2375, 2376, 123)


def listeners(ss: Cli, wanted: t.Container[int]) -> list[dict[str, t.Any]]:
    """Read who listens on these ports."""
    return parse_listeners(ss.read("-H", "-l", "-n", "-t", "-u", "-p")[1], wanted)


def parse_listeners(text: str, wanted: t.Container[int]) -> list[dict[str, t.Any]]:
    """Turn what 'ss -Hlntup' prints into entries; a socket of the kernel (vxlan) has no program."""
    found = []
    for line in text.splitlines():
        match = SOCKET.match(line)
        if not match or int(match["port"]) not in wanted:
            continue
        user = re.match(r'"(?P<program>[^"]*)",pid=(?P<pid>\d+)', match["users"] or "")
        found.append(
            {
                "proto": match["proto"],
                "address": match["address"].strip("[]").partition("%")[0],
                "port": int(match["port"]),
                "pid": int(user["pid"]) if user else None,
                "program": user["program"] if user else None,
            }
        )
    return found


def read(section: Section) -> None:
    """Fill the list that overlay_info returns."""
    section.facts["listeners"] = listeners(section.cli("ss", package="iproute2"), PORTS)
