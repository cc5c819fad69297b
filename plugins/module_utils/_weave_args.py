# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What a Weave Net router was started with: its command line, read and compared."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, fields

# Flags of weaver (2.6.0 to 2.9.0 have the same) that take no value.
SWITCHES = frozenset(
    (
        *("awsvpc", "expect-npc", "no-bridged-fastdp", "no-default-ipalloc", "no-discovery", "no-dns", "no-fastdp"),
        *(
            "no-masq-local",
            "no-multicast-route",
            "no-rewrite-hosts",
            "pkt-debug",
            "plugin",
            "plugin-v2",
            "plugin-v2-multicast",
        ),
        *("print-peer-name", "proxy", "resume", "rewrite-inspect", "tls", "tlsverify", "version", "without-dns"),
    )
)
# Flags the script adds by itself, for this host; they are nobody's wish.
BY_SCRIPT = frozenset(
    ["host-root", "docker-bridge", "weave-bridge", "datapath", "dns-listen-address", "status-addr", "resolv-conf", "H"]
)
TLS = frozenset(["tls", "tlsverify", "tlscacert", "tlscert", "tlskey"])
# Typed options by flag; "no-" ones are kept the positive way round.
TYPED = {
    "port": "port",
    "nickname": "nickname",
    "name": "name",
    "ipalloc-range": "ipalloc_range",
    "ipalloc-init": "ipalloc_init",
    "ipalloc-default-subnet": "ipalloc_default_subnet",
    "host": "host",
    "no-discovery": "discovery",
    "conn-limit": "connection_limit",
    "no-dns": "dns",
    "dns-domain": "dns_domain",
    "no-fastdp": "fast_datapath",
    "mtu": "mtu",
    "proxy": "proxy",
    "plugin": "plugin",
    "log-level": "log_level",
    "trusted-subnets": "trusted_subnets",
    "http-addr": "http_address",
}
NEGATIVE = frozenset(flag for flag in TYPED if flag.startswith("no-"))


@dataclass(frozen=True)
class Launch:
    """What an operator sets. Empty nickname, name and ipalloc_init: left to the router. extra: other flags and values."""

    port: int = 6783
    nickname: str = ""
    name: str = ""
    ipalloc_range: str = ""
    ipalloc_init: str = ""
    ipalloc_default_subnet: str = ""
    host: str = ""
    discovery: bool = True
    connection_limit: int = 200
    dns: bool = True
    dns_domain: str = "weave.local."
    fast_datapath: bool = True
    mtu: int = 0
    proxy: bool = False
    plugin: bool = False
    log_level: str = "info"
    trusted_subnets: tuple[str, ...] = ()
    http_address: str = "127.0.0.1:6784"
    extra: tuple[tuple[str, str], ...] = ()
    peers: tuple[str, ...] = ()


def parse(argv: t.Sequence[str]) -> Launch:
    """Read the arguments of a router's container; of a flag given twice the last one counts, as for the router."""
    values: dict[str, t.Any] = {}
    extra: dict[str, str] = {}
    for flag, value in split(argv)[0]:
        option = TYPED.get(flag)
        if option:
            values[option] = _typed(option, value, flag in NEGATIVE)
        elif flag not in BY_SCRIPT:
            extra[flag] = value
    return Launch(**values, extra=tuple(sorted(extra.items())), peers=tuple(split(argv)[1]))


def split(argv: t.Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Separate flags with their values from the peers behind them."""
    flags: list[tuple[str, str]] = []
    words = list(argv)
    while words:
        if not words[0].startswith("-") or words[0] == "-":
            break
        word = words.pop(0)
        if word == "--":
            break
        name, sign, value = word.lstrip("-").partition("=")
        if not sign:
            value = "true" if name in SWITCHES else (words.pop(0) if words else "")
        flags.append((name, value))
    return flags, words


def _typed(option: str, value: str, negative: bool) -> t.Any:
    default = getattr(Launch(), option)
    if isinstance(default, bool):
        given = value.lower() in ("true", "1", "t")
        return not given if negative else given
    if isinstance(default, int):
        return int(value) if value.lstrip("-").isdigit() else default
    if isinstance(default, tuple):
        return tuple(item for item in value.split(",") if item)
    return value


def arguments(want: Launch, detect_tls: bool) -> list[str]:
    """The words behind 'weave launch' for a wish; what equals the router's own default is left out."""
    words: list[str] = []
    usual = Launch()
    for flag, option in TYPED.items():
        value, default = getattr(want, option), getattr(usual, option)
        if option in ("proxy", "plugin"):
            words += [] if value else [f"--{flag}=false"]  # the script turns both on
        elif option == "ipalloc_range":
            words += [f"--{flag}={value}"]  # always, or the script refuses its own default where a route overlaps it
        elif option in ("fast_datapath", "mtu", "http_address"):
            continue  # by environment, because the script itself has to know
        elif value == default:
            continue
        elif isinstance(value, bool):
            words.append(f"--{flag}")
        else:
            words.append(f"--{flag}={','.join(value) if isinstance(value, tuple) else value}")
    if not detect_tls:
        words.append("--no-detect-tls")
    words += [f"--{flag}={value}" if len(flag) > 1 else f"-{flag}={value}" for flag, value in want.extra]
    return [*words, *want.peers]


def environment(want: Launch) -> dict[str, str]:
    """What the script takes from its environment only, or has to know itself."""
    env = {"WEAVE_HTTP_ADDR": want.http_address}
    if not want.fast_datapath:
        env["WEAVE_NO_FASTDP"] = "1"
    if want.mtu:
        env["WEAVE_MTU"] = str(want.mtu)
    return env


def differences(have: Launch, want: Launch, detect_tls: bool) -> dict[str, tuple[t.Any, t.Any]]:
    """Options that differ, as (is, shall be). Peers are not compared: they change live.

    A name, nickname or seed that is not asked for is left as it is.
    """
    found: dict[str, tuple[t.Any, t.Any]] = {}
    for field in fields(Launch):
        if field.name in ("peers", "extra"):
            continue
        is_, shall = getattr(have, field.name), getattr(want, field.name)
        if field.name in ("name", "nickname", "ipalloc_init") and not shall:
            continue
        if field.name == "ipalloc_default_subnet" and not shall and is_ == have.ipalloc_range:
            continue
        if isinstance(shall, tuple):
            is_, shall = tuple(sorted(is_)), tuple(sorted(shall))
        if is_ != shall:
            found[field.name] = (is_, shall)
    is_extra = {flag: value for flag, value in have.extra if not (detect_tls and flag in TLS)}
    shall_extra = {flag: value for flag, value in want.extra if flag not in BY_SCRIPT}
    for flag in sorted({*is_extra, *shall_extra}):
        if is_extra.get(flag) != shall_extra.get(flag):
            found[f"--{flag}"] = (is_extra.get(flag), shall_extra.get(flag))
    return found
