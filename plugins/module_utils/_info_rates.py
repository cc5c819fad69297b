# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Packets per second on the links of a host, from two looks at the kernel's counters."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import _host

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

Counters = t.Dict[str, t.Tuple[int, int]]


def counters(text: str) -> Counters:
    """Packets received and sent by interface, from /proc/net/dev."""
    found = {}
    for line in text.splitlines():
        name, sign, rest = line.rpartition(":")
        fields = rest.split()
        if sign and len(fields) >= 16:
            found[name.strip()] = (int(fields[1]), int(fields[9]))
    return found


def rates(before: Counters, after: Counters, seconds: float) -> dict[str, dict[str, t.Any]]:
    """Packets per second. The kernel does not count broadcasts apart."""
    return {
        name: {
            "rx_pps": round((after[name][0] - before[name][0]) / seconds, 1),
            "tx_pps": round((after[name][1] - before[name][1]) / seconds, 1),
            "broadcast_pps": None,
        }
        for name in after
        if name in before and after[name][0] >= before[name][0] and after[name][1] >= before[name][1]
    }


def read(section: Section) -> None:
    """Take two samples of all counters."""
    sample = section.params["sample"]
    start = time.monotonic()
    before = counters(_host.read_text("/proc/net/dev"))
    time.sleep(sample)
    after = counters(_host.read_text("/proc/net/dev"))
    section.facts.update(rates(before, after, time.monotonic() - start))
