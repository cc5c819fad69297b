# Stands in for Weave Net 2.9.0 in tests: peer names.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from standin import log

GROUP = re.compile(r"[0-9a-fA-F]{1,2}")


def parse(text: str) -> str:
    """A name in full, six groups of two digits; a ValueError has the real one's words."""
    head, double, tail = text.partition("::")
    left = head.split(":") if head else []
    right = tail.split(":") if tail else []
    groups = left + right
    if all(GROUP.fullmatch(group) for group in groups):
        if not double and len(groups) == 6:
            return ":".join(group.lower().zfill(2) for group in groups)
        if double and 0 < len(groups) < 6:
            zeros = ["00"] * (6 - len(groups))
            return ":".join(group.lower().zfill(2) for group in [*left, *zeros, *right])
    raise ValueError(f'invalid peer name format: "{text}"')


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def name_of(given: str, bridge: str, host_root: str) -> str:
    """--name, else the address of the bridge, else one made from the machine's identity."""
    if not given:
        given = _read(Path("/sys/class/net", bridge, "address"))
    if not given:
        machine = _read(Path(host_root + "/etc/machine-id")) or _read(Path(host_root + "/var/lib/dbus/machine-id"))
        product = _read(Path("/sys/class/dmi/id/product_uuid")) or _read(Path("/sys/hypervisor/uuid"))
        if not (machine or product).strip("0-"):
            log.fatal("All system IDs are blank")
        raw = bytearray(hashlib.sha256((machine + product).encode()).digest()[:6])
        raw[0] = raw[0] & 0xFE | 0x02
        given = raw.hex(":")
    try:
        return parse(given)
    except ValueError as error:
        log.fatal(str(error))
