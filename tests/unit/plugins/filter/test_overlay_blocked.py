# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which firewall rules stop the overlay, in words."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.filter.overlay_blocked import overlay_blocked

ADDRESSES = {"h1": "192.0.2.11", "h2": "192.0.2.12"}
REJECT = "-A INPUT -j REJECT --reject-with icmp-host-prohibited"


def block(traffic: str, **changed: t.Any) -> dict[str, t.Any]:
    """An entry of firewall_info."""
    entry = {"firewall": "iptables-nft", "hook": "input", "rule": REJECT, "traffic": traffic, "opened": False}
    return {**entry, "sources": ["192.0.2.12", "192.0.2.13"], **changed}


def test_one_sentence_for_a_rule() -> None:
    """With all the traffic it stops, and hosts by name where they have one."""
    found = {"h1": {"blocked": [block("tcp 6783"), block("udp 6783-6784")]}}
    assert overlay_blocked(found, ADDRESSES) == [
        "h1 stops tcp 6783, udp 6783-6784 from h2 (192.0.2.12), 192.0.2.13. The rule, in iptables-nft: " + REJECT
    ]


def test_what_is_open_is_left_out() -> None:
    """Also frames in a bridge that the firewalls do not see."""
    found = {
        "h1": {"blocked": [block("tcp 6783", opened=True)]},
        "h2": {"blocked": [block("bridge", hook="forward", sources=[])], "bridged_packets_filtered": False},
    }
    assert overlay_blocked(found) == []


def test_traffic_without_peers() -> None:
    """Nobody is named."""
    found = {"h2": {"blocked": [block("bridge", hook="forward", sources=[])], "bridged_packets_filtered": True}}
    assert overlay_blocked(found) == [f"h2 stops bridge. The rule, in iptables-nft: {REJECT}"]


def test_many_peers_are_counted() -> None:
    """A sentence stays one that can be read."""
    many = [f"192.0.2.{number}" for number in range(20, 30)]
    (sentence,) = overlay_blocked({"h1": {"blocked": [block("gre", sources=many)]}})
    assert sentence.startswith(
        "h1 stops gre from 192.0.2.20, 192.0.2.21, 192.0.2.22, 192.0.2.23, 192.0.2.24 and 5 more."
    )
