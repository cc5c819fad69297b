# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What dpkg has to say of a package. Nothing here changes anything."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli

# dpkg(1): its files are there, in part or all of them, and its maintainer scripts have not said that it is ready.
UNFINISHED = ("half-installed", "unpacked", "half-configured")


def unfinished(dpkg_query: Cli, package: str) -> bool:
    """Whether a package is being installed at this moment, or its installation was cut off.

    A run that is killed leaves apt-get to itself, which goes on for a while. Programs and units that the next one sees may belong to a
    package that is not ready. apt waits for the other one, and completes what is left.
    """
    answer = dpkg_query.run_raw("--show", "--showformat=${db:Status-Status}", package)
    return answer.rc == 0 and answer.out.strip() in UNFINISHED
