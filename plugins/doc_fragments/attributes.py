# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module of this collection says about check mode, diff mode and repetition."""

from __future__ import annotations


class ModuleDocFragment:
    """The texts, once."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what would change, without changing it.
  diff_mode:
    description: Returns what was and what is, or would be, different, when in diff mode.
  idempotent:
    description:
      - Run again with the same options, it changes nothing.
      - What it does follows from the state it finds, so a run that was cut short is completed by the next one.
"""
