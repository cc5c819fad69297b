# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that say which Open vSwitch is meant."""

from __future__ import annotations


class ModuleDocFragment:
    """The texts, once."""

    DOCUMENTATION = r"""
options:
  database:
    description:
      - Where ovsdb-server listens, in the form C(ovs-vsctl --db) takes, for example V(unix:/run/openvswitch/db.sock).
      - By default the one that C(ovs-vsctl) finds itself.
    type: str
  vswitchd_ctl:
    description:
      - The control socket of ovs-vswitchd.
      - By default it is found through the pid file C(ovs-vswitchd.pid) in the directory of the socket in O(database),
        or in the run directory Open vSwitch was built with.
    type: path
  timeout:
    description:
      - How many seconds each call of C(ovs-vsctl) and C(ovs-appctl) may take.
      - A dead or hanging daemon is reported after this time at the latest.
    type: int
    default: 15
"""
