# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The ids of findings that explain many others: what a rule names in "unless". Pure."""

from __future__ import annotations

GONE = ("host-unreachable", "host-not-read")
NO_DOCKER = ("docker-stopped", "docker-hangs", "docker-missing", "overlay-absent", "host-not-read")
DEAD = ("ovs-vswitchd-down", "ovs-database-down", "ovs-missing", *GONE)
WALLS = ("firewall-blocks", "firewall-one-way")
# Why a router of Weave Net does not run, and with those: nothing can be said of its links.
ROOTS = (
    *NO_DOCKER,
    "weave-foreign-container",
    "weave-database-damaged",
    "weave-bridge-state",
    "weave-api-version",
    "weave-two-starters",
    "port-taken",
)
DOWN = (*GONE, *ROOTS, "weave-router-state")
