# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Overlay MTU arithmetic. Private to this collection.

Sizes are bytes on the wire, from RFC 2784 and RFC 2890 (GRE), RFC 7348 (VXLAN) and RFC 8926 (Geneve);
Open vSwitch builds the same headers (lib/packets.h, lib/netdev-native-tnl.c).
"""

from __future__ import annotations

INNER_ETHERNET = 14
OUTER_IP = {4: 20, 6: 40}
GRE_BASE = 4
GRE_FIELD = 4  # key, checksum and sequence number take one 32-bit word each
UDP_AND_VNI = 8 + 8  # VXLAN and Geneve without options are the same size
VLAN_TAG = 4

MINIMUM_MTU = 576  # RFC 791: what every IPv4 host must be able to receive
MAXIMUM_MTU = 65535

GRE_TYPES = ("gre", "ip6gre")
UDP_TYPES = ("vxlan", "geneve")


def overhead(
    tunnel_type: str = "gre",
    ip_version: int = 4,
    key: bool = False,
    csum: bool = False,
    seq: bool = False,
    vlan_tags: int = 0,
) -> int:
    """Return how many bytes of the underlay MTU one encapsulation takes."""
    if tunnel_type not in GRE_TYPES + UDP_TYPES:
        raise ValueError(f"tunnel type '{tunnel_type}' is not one of {', '.join(GRE_TYPES + UDP_TYPES)}")
    if ip_version not in OUTER_IP:
        raise ValueError(f"IP version '{ip_version}' is neither 4 nor 6")
    if vlan_tags not in (0, 1, 2):
        raise ValueError(f"vlan_tags is {vlan_tags}, a frame carries 0, 1 or 2")
    outer = 6 if tunnel_type == "ip6gre" else ip_version
    header = UDP_AND_VNI if tunnel_type in UDP_TYPES else GRE_BASE + GRE_FIELD * sum((bool(key), bool(csum), bool(seq)))
    return OUTER_IP[outer] + header + INNER_ETHERNET + VLAN_TAG * vlan_tags


def overlay_mtu(underlay_mtu: int, **encapsulation: object) -> int:
    """Return the largest IP packet that crosses a tunnel over an underlay of that MTU unfragmented."""
    size = int(underlay_mtu)
    if not MINIMUM_MTU <= size <= MAXIMUM_MTU:
        raise ValueError(f"underlay MTU {size} is outside {MINIMUM_MTU} to {MAXIMUM_MTU}")
    result = size - overhead(**encapsulation)  # type: ignore[arg-type]
    if result < MINIMUM_MTU:
        raise ValueError(
            f"underlay MTU {size} leaves {result} bytes for the overlay, less than the {MINIMUM_MTU} every IPv4 host must accept"
        )
    return result
