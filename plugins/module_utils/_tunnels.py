# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What a tunnel of Open vSwitch is: its options, checked strictly and compared by meaning. Pure.

Open vSwitch takes nearly anything and says nothing: key=abc becomes key 0, ttl=999 becomes 231. Hence the strictness.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass, field

UDP_PORTS = {"vxlan": 4789, "geneve": 6081}  # IANA, and the defaults of Open vSwitch
KEY_BITS = {"gre": 32, "ip6gre": 32, "vxlan": 24, "geneve": 24}
FAMILY = {"gre": 4, "ip6gre": 6}
TYPES = tuple(KEY_BITS)
KEYS = ("key", "in_key", "out_key")
MANAGED = ("remote_ip", "local_ip", *KEYS, "csum", "df_default", "tos", "ttl", "dst_port")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NAME_MAX = 64  # tunnel ports are no network devices, so the kernel's 15 do not apply; this keeps listings readable
# netdev_is_reserved_name() of Open vSwitch refuses these prefixes with ofport -1 and an empty error.
RESERVED = re.compile(
    r"((gre|ip6gre|vxlan|genev|erspan|ip6erspan|lisp|stt|gtpu|bareudp|srv6)_sys|ovs-(system|netdev|dummy|netlink)).*"
)

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


class Invalid(ValueError):
    """A wanted tunnel cannot be right."""


@dataclass(frozen=True)
class Tunnel:
    """One wanted tunnel; options holds what Open vSwitch is to be told, in its own spelling."""

    name: str
    type: str
    options: t.Mapping[str, str] = field(default_factory=dict)


def check_name(name: str, what: str = "name") -> str:
    """Refuse what a shell, a log or Open vSwitch would misread."""
    if not NAME.fullmatch(name) or len(name) > NAME_MAX:
        raise Invalid(
            f"the {what} {name!r} must be letters, digits, '.', '_' or '-', start with a letter or digit, and have at most {NAME_MAX} characters"
        )
    if RESERVED.fullmatch(name):
        raise Invalid(
            f"the {what} {name!r} is reserved by Open vSwitch, which would leave the port dead without an error"
        )
    return name


def check_tunnel(raw: t.Mapping[str, t.Any], kind: str) -> Tunnel:
    """Turn one item of the module's list into a tunnel; options that are None are left to Open vSwitch's defaults."""
    given = {key: value for key, value in raw.items() if value is not None}
    name = check_name(given["name"])
    if "remote_ip" not in given:
        raise Invalid("remote_ip is missing")
    remote = _address(given["remote_ip"], "remote_ip", kind)
    options = {"remote_ip": str(remote)}
    if "local_ip" in given:
        local = _address(given["local_ip"], "local_ip", kind)
        if local == remote:
            raise Invalid(f"local_ip and remote_ip are both {remote}: a host needs no tunnel to itself")
        if local.version != remote.version:
            raise Invalid(f"local_ip {local} and remote_ip {remote} are of different address families")
        options["local_ip"] = str(local)
    for key in KEYS:
        if key in given:
            options[key] = _number(
                given[key], key, 0, 2 ** KEY_BITS[kind] - 1, f"a {kind} key has {KEY_BITS[kind]} bits"
            )
    if "key" in options and ("in_key" in options or "out_key" in options):
        raise Invalid("key sets both directions: give either key, or in_key and out_key")
    for key in ("csum", "df_default"):
        if key in given:
            options[key] = "true" if given[key] else "false"
    if "tos" in given:
        options["tos"] = _tos(str(given["tos"]))
    if "ttl" in given:
        options["ttl"] = (
            "inherit" if given["ttl"] == "inherit" else _number(given["ttl"], "ttl", 1, 255, "or 'inherit'")
        )
    if "dst_port" in given:
        if kind not in UDP_PORTS:
            raise Invalid(f"dst_port is for {' and '.join(UDP_PORTS)} only: {kind} has no ports")
        options["dst_port"] = _number(given["dst_port"], "dst_port", 1, 65535, f"default {UDP_PORTS[kind]}")
    return Tunnel(name, kind, options)


def meaning(kind: str, options: t.Mapping[str, str]) -> dict[str, t.Any]:
    """What Open vSwitch makes of the options, so that 'key=0x10' equals 'key=16' and an absent csum equals 'csum=false'."""
    key = options.get("key", "0")
    udp_port = UDP_PORTS.get(kind)
    return {
        "remote_ip": _canonical(options.get("remote_ip")),
        "local_ip": _canonical(options.get("local_ip")),
        "in_key": _loose(options.get("in_key", key)),
        "out_key": _loose(options.get("out_key", key)),
        "csum": options.get("csum") == "true",
        "df_default": options.get("df_default") != "false",
        "tos": _loose(options.get("tos", "0")),
        "ttl": _loose(options.get("ttl", "0")),
        "dst_port": _loose(options["dst_port"]) if "dst_port" in options else udp_port,
    }


def identity(kind: str, options: t.Mapping[str, str], datapath: str) -> tuple[t.Any, ...]:
    """What Open vSwitch tells tunnels apart by; of two equal ones only the first carries traffic.

    Numbers Open vSwitch cannot read count as 0, as they do for Open vSwitch.
    """
    value = meaning(kind, options)
    key = value["in_key"] if isinstance(value["in_key"], int) or value["in_key"] == "flow" else 0
    shape = options.get("packet_type", "legacy_l2")
    return (datapath, kind, value["dst_port"], value["local_ip"], value["remote_ip"], key, shape)


def option_changes(want: Tunnel, have: t.Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The options to set and the ones to remove; what is right already, and what is not ours, stays untouched."""
    now, then = meaning(want.type, have), meaning(want.type, want.options)
    wrong = {key for key in now if now[key] != then[key]}
    if wrong & {"in_key", "out_key"}:  # 'key' is the fallback of both, so the three are set together
        wrong |= set(KEYS)
    to_set = {key: value for key, value in want.options.items() if key in wrong and have.get(key) != value}
    to_remove = [key for key in MANAGED if key in wrong and key in have and key not in want.options]
    # Options that change what is on the wire, which the other end would not understand.
    if have.get("packet_type", "legacy_l2") != "legacy_l2":
        to_remove.append("packet_type")
    if "exts" in have:
        to_remove.append("exts")
    return to_set, to_remove


def _address(text: str, what: str, kind: str) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Invalid(
            f"{what} {text!r} is not an IP address; Open vSwitch resolves no names and takes no prefix or port"
        ) from None
    if "%" in text or (address.version == 4 and str(address) != text):
        raise Invalid(f"{what} {text!r} is not written as Open vSwitch reads it: no zone, no leading zeros")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        raise Invalid(f"{what} {text} would be taken for the IPv4 address {address.ipv4_mapped}: write that instead")
    family = FAMILY.get(kind)
    if family and address.version != family:
        other = "ip6gre" if family == 4 else "gre"
        raise Invalid(
            f"{what} {text} is an IPv{address.version} address, but type {kind} runs over IPv{family}; type {other} is for IPv{address.version}"
        )
    unusable = (
        ("a multicast address", address.is_multicast),
        ("the unspecified address", address.is_unspecified),
        ("a loopback address", address.is_loopback),
        ("the broadcast address", text == "255.255.255.255"),
        ("reserved", address.version == 4 and address.is_reserved),
        ("a link-local address, which means nothing without a zone", address.version == 6 and address.is_link_local),
    )
    for reason, applies in unusable:
        if applies:
            raise Invalid(f"{what} {text} is {reason}; a tunnel needs the unicast address of one host")
    return address


def _number(value: t.Any, what: str, low: int, high: int, note: str) -> str:
    text = str(value)
    if not re.fullmatch(r"\d{1,12}", text, re.ASCII) or not low <= int(text) <= high:
        raise Invalid(f"{what} must be a whole number from {low} to {high} ({note}), not {text!r}")
    return str(int(text))


def _tos(text: str) -> str:
    if text == "inherit":
        return text
    if (
        not re.fullmatch(r"\d{1,3}|0[xX][0-9a-fA-F]{1,2}", text, re.ASCII)
        or int(text, 16 if text[:2].lower() == "0x" else 10) > 255
    ):
        raise Invalid(f"tos must be 'inherit' or a number from 0 to 252, not {text!r}")
    value = int(text, 16 if text[:2].lower() == "0x" else 10)
    if value & 3:
        raise Invalid(
            f"tos {text} sets the two ECN bits, which Open vSwitch always takes from the inner packet; use {value & ~3} (or {hex(value & ~3)})"
        )
    return str(value)


def _canonical(text: str | None) -> str | None:
    """An address as Open vSwitch takes it: the unspecified one is none, a mapped one is IPv4."""
    try:
        address = ipaddress.ip_address(text or "::")
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return None if address.is_unspecified else str(address)


def _loose(text: str) -> int | str:
    """A number as C's strtoull(text, 0) reads it; other text is returned as it is."""
    if re.fullmatch(r"0[0-7]+", text):
        return int(text, 8)
    if re.fullmatch(r"\d+|0[xX][0-9a-fA-F]+", text):
        return int(text, 0)
    return text
