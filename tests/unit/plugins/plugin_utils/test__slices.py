# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Slices: stable, pinnable, never handed out twice."""

from __future__ import annotations

import itertools

import netaddr
import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.crosshost.overlay.plugins.filter.overlay_slices import FilterModule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._slices import SliceError, allocate, gateway, network

POOL = "10.50.0.0/16"


def test_lowest_free_in_inventory_order() -> None:
    """A new overlay counts from the start of the pool."""
    assert allocate(POOL, 24, ["h2", "h1"], {}, {}) == {"h2": "10.50.0.0/24", "h1": "10.50.1.0/24"}


def test_known_hosts_keep_theirs_when_others_come_and_go() -> None:
    """Neither a host put in front nor one taken out moves the others."""
    first = allocate(POOL, 24, ["h1", "h2", "h3"], {}, {})
    second = allocate(POOL, 24, ["h0", "h2", "h3"], {}, first)
    assert (second["h2"], second["h3"]) == (first["h2"], first["h3"])
    assert second["h0"] == "10.50.3.0/24"  # the slice of h1, which left, rests


def test_slice_of_a_host_that_left_is_used_last() -> None:
    """It comes back only when nothing else is free."""
    known = {"gone": "10.50.0.0/25"}
    assert allocate("10.50.0.0/24", 25, ["a"], {}, known) == {"a": "10.50.0.128/25"}
    assert allocate("10.50.0.0/24", 25, ["a", "b"], {}, known) == {"a": "10.50.0.128/25", "b": "10.50.0.0/25"}


def test_pin_moves_the_others_out_of_its_way() -> None:
    """New hosts step over a pinned slice, whatever its size."""
    result = allocate(POOL, 24, ["h1", "h2", "h3"], {"h3": "10.50.1.0/26", "h1": "10.50.0.0/24"}, {})
    assert result == {"h1": "10.50.0.0/24", "h2": "10.50.2.0/24", "h3": "10.50.1.0/26"}


def test_pin_beats_what_was_recorded() -> None:
    """The operator's word is the last one."""
    assert allocate(POOL, 24, ["h1"], {"h1": "10.50.7.0/24"}, {"h1": "10.50.0.0/24"}) == {"h1": "10.50.7.0/24"}


def test_five_hundred_hosts_share_no_address() -> None:
    """The property that matters, at the size that is promised, with pins and memories mixed in."""
    names = [f"h{number}" for number in range(500)]
    pins = {"h7": "10.50.0.0/23", "h400": "10.50.255.0/26"}
    known = {"h9": "10.50.9.0/26", "gone": "10.50.3.0/24"}
    slices = [netaddr.IPNetwork(text) for text in allocate(POOL, 26, names, pins, known).values()]
    assert len(slices) == 500
    for one, other in itertools.pairwise(sorted(slices)):
        assert one.last < other.first


@pytest.mark.parametrize(
    ("pool", "prefix", "names", "pins", "known", "reason"),
    [
        pytest.param("10.50.0.1/16", 24, ["a"], {}, {}, "host bits set; the network is 10.50.0.0/16", id="host-bits"),
        pytest.param("10.50.0.0/33", 24, ["a"], {}, {}, "not a network in CIDR form", id="prefix-33"),
        pytest.param("10.50.0.0", 24, ["a"], {}, {}, "no prefix length", id="no-prefix"),
        pytest.param("fc00::/64", 24, ["a"], {}, {}, "is IPv6", id="ipv6"),
        pytest.param("10.50.0.0/31", 31, ["a"], {}, {}, "fewer than 8", id="too-small"),
        pytest.param("0.0.0.0/0", 24, ["a"], {}, {}, "larger than a /8", id="everything"),
        pytest.param("overlay", 24, ["a"], {}, {}, "no prefix length", id="word"),
        pytest.param("over/lay", 24, ["a"], {}, {}, "not a network", id="words"),
        pytest.param(POOL, 12, ["a"], {}, {}, "does not fit", id="slice-larger-than-pool"),
        pytest.param(POOL, 30, ["a"], {}, {}, "does not fit", id="slice-too-small"),
        pytest.param("10.50.0.0/24", 25, ["a", "b", "c"], {}, {}, "no free /25 left", id="used-up"),
        pytest.param(POOL, 24, ["a"], {"a": "10.51.0.0/24"}, {}, "host 'a' is 10.51.0.0/24, outside", id="pin-outside"),
        pytest.param(
            POOL, 24, ["a", "b"], {"a": "10.50.0.0/24", "b": "10.50.0.128/25"}, {}, "'a' .* and 'b'", id="pins-overlap"
        ),
        pytest.param(
            POOL,
            24,
            ["a", "b"],
            {"a": "10.50.4.0/24"},
            {"b": "10.50.4.0/24"},
            "change overlay_slice of a",
            id="pin-taken",
        ),
        pytest.param(
            POOL, 24, ["a", "b"], {}, {"a": "10.50.4.0/24", "b": "10.50.4.0/24"}, "share addresses", id="held-twice"
        ),
    ],
)
def test_refused(
    pool: str, prefix: int, names: list[str], pins: dict[str, str], known: dict[str, str], reason: str
) -> None:
    """The filter names hosts and remedy."""
    with pytest.raises(AnsibleFilterError, match=reason):
        FilterModule().filters()["overlay_slices"](names, pool, prefix, pins, known)


def test_gateway_leaves_the_first_address_alone() -> None:
    """Docker hands out the first address of every slice but the pool's own."""
    assert gateway(network("10.50.2.0/24", "slice")) == "10.50.2.1"
    with pytest.raises(SliceError):
        network("10.50.2.0/24x", "slice")
