# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _tunnels
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnels import Invalid, Tunnel

GOOD = {"name": "t1", "remote_ip": "198.18.1.12"}


@pytest.mark.parametrize(
    ("kind", "options", "written"),
    [
        ("gre", {}, {}),
        ("gre", {"key": 0}, {"key": "0"}),
        ("gre", {"key": 2**32 - 1}, {"key": "4294967295"}),
        ("vxlan", {"key": 2**24 - 1}, {"key": "16777215"}),
        ("gre", {"in_key": 1, "out_key": 2}, {"in_key": "1", "out_key": "2"}),
        ("gre", {"csum": True, "df_default": False}, {"csum": "true", "df_default": "false"}),
        ("gre", {"ttl": "inherit", "tos": "inherit"}, {"ttl": "inherit", "tos": "inherit"}),
        ("gre", {"ttl": "255", "tos": "0x10"}, {"ttl": "255", "tos": "16"}),
        ("gre", {"tos": "252"}, {"tos": "252"}),
        ("geneve", {"dst_port": 65535}, {"dst_port": "65535"}),
        ("gre", {"local_ip": "198.18.1.11"}, {"local_ip": "198.18.1.11"}),
        ("gre", {"remote_ip": "169.254.1.2"}, {"remote_ip": "169.254.1.2"}),
        ("ip6gre", {"remote_ip": "2001:DB8:0::2"}, {"remote_ip": "2001:db8::2"}),
        ("vxlan", {"remote_ip": "fc00::2", "local_ip": "fc00::1"}, {"remote_ip": "fc00::2", "local_ip": "fc00::1"}),
    ],
    ids=str,
)
def test_good_tunnels(kind: str, options: dict[str, t.Any], written: dict[str, str]) -> None:
    want = _tunnels.check_tunnel({**GOOD, "csum": None, **options}, kind)
    assert want == Tunnel("t1", kind, {"remote_ip": "198.18.1.12", **written})


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("gre", {"remote_ip": None}, "remote_ip is missing"),
        ("gre", {"key": "abc"}, "whole number from 0 to 4294967295"),
        ("gre", {"key": "0x10"}, "whole number"),
        ("gre", {"key": True}, "whole number"),
        ("gre", {"key": -1}, "whole number"),
        ("gre", {"key": 2**32}, "a gre key has 32 bits"),
        ("vxlan", {"key": 2**24}, "a vxlan key has 24 bits"),
        ("geneve", {"in_key": 2**24}, "in_key must be"),
        ("gre", {"out_key": "flow"}, "out_key must be"),
        ("gre", {"key": 1, "in_key": 1}, "give either key"),
        ("gre", {"ttl": "0"}, "from 1 to 255"),
        ("gre", {"ttl": "999"}, "from 1 to 255"),
        ("gre", {"ttl": "6 4"}, "from 1 to 255"),
        ("gre", {"tos": "1"}, "ECN"),
        ("gre", {"tos": "2"}, "ECN"),
        ("gre", {"tos": "0x13"}, r"use 16 \(or 0x10\)"),
        ("gre", {"tos": "256"}, "from 0 to 252"),
        ("gre", {"tos": "low"}, "from 0 to 252"),
        ("gre", {"dst_port": 4789}, "gre has no ports"),
        ("vxlan", {"dst_port": 0}, "from 1 to 65535"),
        ("vxlan", {"dst_port": 65536}, "from 1 to 65535"),
        ("gre", {"remote_ip": "h2.example.org"}, "resolves no names"),
        ("gre", {"remote_ip": "flow"}, "not an IP address"),
        ("gre", {"remote_ip": "10.1"}, "not an IP address"),
        ("gre", {"remote_ip": "10.0.0.2/24"}, "not an IP address"),
        ("gre", {"remote_ip": "010.0.0.2"}, "not an IP address|leading zeros"),
        ("gre", {"remote_ip": "224.0.0.1"}, "a multicast address"),
        ("gre", {"remote_ip": "255.255.255.255"}, "the broadcast address"),
        ("gre", {"remote_ip": "240.0.0.1"}, "reserved"),
        ("gre", {"remote_ip": "0.0.0.0"}, "the unspecified address"),
        ("gre", {"local_ip": "127.0.0.1"}, "local_ip 127.0.0.1 is a loopback address"),
        ("gre", {"remote_ip": "fc00::2"}, "type ip6gre is for IPv6"),
        ("ip6gre", {}, "type gre is for IPv4"),
        ("vxlan", {"remote_ip": "::ffff:10.0.0.2"}, "write that instead"),
        ("vxlan", {"remote_ip": "fe80::2"}, "link-local"),
        ("vxlan", {"remote_ip": "fe80::2%eth0"}, "no zone|not an IP address"),
        ("vxlan", {"remote_ip": "ff02::1"}, "a multicast address"),
        ("vxlan", {"local_ip": "fc00::1"}, "different address families"),
        ("gre", {"local_ip": "198.18.1.12"}, "no tunnel to itself"),
        ("ip6gre", {"remote_ip": "fc00::2", "local_ip": "fc00:0::2"}, "no tunnel to itself"),
    ],
    ids=str,
)
def test_bad_tunnels(kind: str, options: dict[str, t.Any], reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        _tunnels.check_tunnel({**GOOD, **options}, kind)


@pytest.mark.parametrize("name", ["t1", "gre-h2", "9", "a.b_c-d", "gre", "vxlan", "x" * 64])
def test_good_names(name: str) -> None:
    assert _tunnels.check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "a b", "a/b", "--if-exists", "-", ".x", "$(reboot)", "a;b", "a\n", "\u00e4", "x" * 65),
        *("gre_sys", "ip6gre_sys", "vxlan_sys_4789", "genev_sys_6081", "erspan_sys", "gtpu_sys_2152"),
        *("ovs-system", "ovs-netdev", "gre_system"),
    ],
    ids=repr,
)
def test_bad_names(name: str) -> None:
    with pytest.raises(Invalid):
        _tunnels.check_name(name)


@pytest.mark.parametrize(
    ("kind", "want", "have", "to_set", "to_remove"),
    [
        ("gre", {}, {}, {}, []),
        ("gre", {}, {"key": "0"}, {}, []),
        ("gre", {}, {"csum": "false", "df_default": "true", "tos": "0"}, {}, []),
        ("gre", {"csum": "false"}, {"csum": "yes"}, {}, []),
        ("gre", {"key": "16"}, {"key": "0x10"}, {}, []),
        ("gre", {"key": "5"}, {"in_key": "5", "out_key": "5"}, {}, []),
        ("gre", {"key": "5"}, {"key": "6"}, {"key": "5"}, []),
        ("gre", {"key": "5"}, {"key": "5", "in_key": "6"}, {}, ["in_key"]),
        ("gre", {"in_key": "5", "out_key": "6"}, {"key": "5"}, {"in_key": "5", "out_key": "6"}, ["key"]),
        ("gre", {}, {"key": "abc"}, {}, ["key"]),
        ("gre", {}, {"ttl": "999"}, {}, ["ttl"]),
        ("gre", {"ttl": "64"}, {"ttl": "64", "local_ip": "198.18.1.99"}, {}, ["local_ip"]),
        ("gre", {"csum": "true"}, {}, {"csum": "true"}, []),
        ("gre", {}, {"egress_pkt_mark": "7", "seq": "true"}, {}, []),
        ("gre", {}, {"packet_type": "legacy_l2"}, {}, []),
        ("gre", {}, {"packet_type": "legacy_l3"}, {}, ["packet_type"]),
        ("vxlan", {}, {"exts": "gbp"}, {}, ["exts"]),
        ("vxlan", {}, {"dst_port": "4789"}, {}, []),
        ("vxlan", {}, {"dst_port": "4790"}, {}, ["dst_port"]),
        ("geneve", {"dst_port": "4789"}, {}, {"dst_port": "4789"}, []),
        ("gre", {}, {"dst_port": "4789"}, {}, ["dst_port"]),
    ],
    ids=str,
)
def test_option_changes(
    kind: str, want: dict[str, str], have: dict[str, str], to_set: dict[str, str], to_remove: list[str]
) -> None:
    remote = {"remote_ip": "198.18.1.12"}
    answer = _tunnels.option_changes(Tunnel("t1", kind, {**remote, **want}), {**remote, **have})
    assert answer == (to_set, to_remove)


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ({}, {"key": "0"}, True),
        ({}, {"key": "abc"}, True),
        ({"key": "5"}, {"in_key": "5", "out_key": "6"}, True),
        ({"key": "16"}, {"key": "0x10"}, True),
        ({}, {"local_ip": "0.0.0.0"}, True),
        ({}, {"remote_ip": "::ffff:198.18.1.12"}, True),
        ({}, {"ttl": "3", "tos": "16", "csum": "true"}, True),
        ({}, {"key": "1"}, False),
        ({}, {"local_ip": "198.18.1.11"}, False),
        ({}, {"packet_type": "legacy_l3"}, False),
        ({}, {"dst_port": "4790"}, False),
        ({}, {"dst_port": "4789"}, True),
    ],
    ids=str,
)
def test_identity(one: dict[str, str], two: dict[str, str], same: bool) -> None:
    remote = {"remote_ip": "198.18.1.12"}
    first, second = (_tunnels.identity("vxlan", {**remote, **options}, "system") for options in (one, two))
    assert (first == second) is same


def test_identity_is_per_datapath_and_type() -> None:
    kinds = [("gre", "system"), ("gre", "netdev"), ("vxlan", "system"), ("geneve", "system")]
    assert len({_tunnels.identity(kind, {"remote_ip": "198.18.1.12"}, datapath) for kind, datapath in kinds}) == 4
