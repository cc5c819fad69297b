# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What dpkg has to say of a package. Nothing here changes anything."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result

# dpkg(1): its files are there, in part or all of them, and its maintainer scripts have not said that it is ready.
UNFINISHED = ("half-installed", "unpacked", "half-configured")


def unfinished(dpkg_query: t.Callable[..., Result], *packages: str) -> list[str]:
    """Those of these packages that are being installed at this moment, or whose installation was cut off.

    dpkg_query(*args) starts dpkg-query and never fails. A run that is killed leaves apt-get to itself, which goes
    on for a while. Programs and units that the next one sees may belong to a package that is not ready. apt waits for
    the other one, and completes what is left.
    """
    # It tells of those it knows, and ends with status 1 if it does not know one of them.
    answer = dpkg_query("--show", "--showformat=${Package} ${db:Status-Status}\\n", *packages)
    rows = [line.split() for line in answer.out.splitlines()]
    return [row[0] for row in rows if len(row) == 2 and row[1] in UNFINISHED]
