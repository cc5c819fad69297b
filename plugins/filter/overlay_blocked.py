# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: overlay_blocked
short_description: Say in words which firewall rules stop the overlay
version_added: "0.1.0"
description:
  - Turns what M(crosshost.overlay.firewall_info) found on each host into one sentence for each rule, with the traffic and the hosts it stops.
  - Rules whose traffic has an opening are left out.
positional: _input, addresses
options:
  _input:
    description: Host name to RV(crosshost.overlay.firewall_info#module:firewall) of that host.
    type: dict
    required: true
  addresses:
    description: Host name to underlay address, so that hosts can be named.
    type: dict
    default: {}
author:
  - The crosshost.overlay authors (@crosshost)
"""

EXAMPLES = r"""
- name: Show what stops the overlay
  ansible.builtin.debug:
    msg: "{{ {inventory_hostname: found.firewall} | crosshost.overlay.overlay_blocked({'h2': '192.0.2.12'}) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each rule.
  type: list
  elements: str
  sample:
    - "h1 stops tcp 6783 from h2 (192.0.2.12). The rule, in iptables-nft: -A INPUT -j REJECT --reject-with icmp-host-prohibited"
"""

import typing as t

SHOWN = 5  # hosts that one sentence names


def overlay_blocked(
    found: t.Mapping[str, t.Mapping[str, t.Any]], addresses: t.Mapping[str, str] | None = None
) -> list[str]:
    """Return the sentences, in the order of the hosts."""
    names = {address: host for host, address in (addresses or {}).items()}
    return [sentence for host, firewall in found.items() for sentence in _sentences(host, firewall, names)]


def _sentences(host: str, firewall: t.Mapping[str, t.Any], names: t.Mapping[str, str]) -> list[str]:
    rules: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for block in firewall.get("blocked", []):
        if block["opened"] or (block["hook"] == "forward" and not firewall.get("bridged_packets_filtered", True)):
            continue
        rules.setdefault((block["firewall"], block["rule"], tuple(block["sources"])), []).append(block["traffic"])
    return [
        f"{host} stops {', '.join(traffic)}{_from(sources, names)}. The rule, in {tool}: {rule}"
        for (tool, rule, sources), traffic in rules.items()
    ]


def _from(sources: t.Sequence[str], names: t.Mapping[str, str]) -> str:
    shown = [f"{names[source]} ({source})" if source in names else source for source in sources[:SHOWN]]
    more = f" and {len(sources) - SHOWN} more" if len(sources) > SHOWN else ""
    return f" from {', '.join(shown)}{more}" if shown else ""


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Map names to functions."""
        return {"overlay_blocked": overlay_blocked}
