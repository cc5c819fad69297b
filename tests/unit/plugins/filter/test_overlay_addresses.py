# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Underlay addresses of an inventory's hosts."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.crosshost.overlay.plugins.filter.overlay_addresses import overlay_addresses

HOSTVARS = {
    "h1": {"ansible_host": "198.51.100.1", "overlay_underlay_ip": "192.0.2.11"},
    "h2": {"ansible_host": "192.0.2.12"},
    "localhost": {},
}


def test_order_and_choice() -> None:
    """The underlay's address first, then where Ansible reaches the host, then its name."""
    assert overlay_addresses(["h2", "h1"], HOSTVARS) == ["192.0.2.12", "192.0.2.11"]
    assert overlay_addresses(["localhost"], HOSTVARS)[0] in ("127.0.0.1", "::1")


def test_name_that_cannot_be_looked_up() -> None:
    """The host and the name are told, and what to set."""
    with pytest.raises(AnsibleFilterError, match=r"'nowhere\.invalid' of host 'h9' .* set overlay_underlay_ip"):
        overlay_addresses(["h1", "h9"], {**HOSTVARS, "h9": {"ansible_host": "nowhere.invalid"}})
