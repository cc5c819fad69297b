# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Readers of a host's own network state and identity. Nothing here changes anything."""

from __future__ import annotations

import json
import os
import shlex
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli

STATE_DIR = "/var/lib/crosshost-overlay"
SLICES_FILE = STATE_DIR + "/slices.json"
ATTACH_FILE = "/etc/crosshost-overlay/attach.json"


@dataclass(frozen=True)
class Interface:
    """A network interface; addresses are in CIDR form, IPv4 first."""

    name: str
    mtu: int
    mac: str
    kind: str
    master: str | None
    up: bool
    addresses: tuple[str, ...]
    dynamic: bool  # an address has a lease or a lifetime, so something renews it


@dataclass(frozen=True)
class Route:
    """A route of the main table; dst is a network in CIDR form or 'default'."""

    dst: str
    dev: str | None
    via: str | None


def interfaces(ip: Cli) -> list[Interface]:
    """Read all interfaces with their global addresses."""
    return parse_interfaces(json.loads(ip.read("-json", "-details", "address", "show")[1] or "[]"))


def parse_interfaces(links: t.Iterable[t.Mapping[str, t.Any]]) -> list[Interface]:
    """Turn what 'ip -json -details address show' prints into interfaces."""
    found = []
    for link in links:
        info = [item for item in link.get("addr_info", []) if item.get("scope") == "global" and item.get("local")]
        found.append(
            Interface(
                name=link["ifname"],
                mtu=int(link.get("mtu", 0)),
                mac=link.get("address", ""),
                kind=link.get("linkinfo", {}).get("info_kind", "") or link.get("link_type", ""),
                master=link.get("master"),
                up="UP" in link.get("flags", []),
                addresses=tuple(
                    f"{item['local']}/{item['prefixlen']}" for item in sorted(info, key=lambda item: item["family"])
                ),
                dynamic=any(item.get("dynamic") for item in info),
            )
        )
    return found


def routes(ip: Cli) -> list[Route]:
    """Read the main routing tables of both families; a multipath route counts with its first hop."""
    found = []
    for family, bits in (("-4", "32"), ("-6", "128")):
        for entry in json.loads(ip.read("-json", family, "route", "show")[1] or "[]"):
            hop = (entry.get("nexthops") or [{}])[0]
            dst = entry.get("dst", "")
            if dst != "default" and "/" not in dst:
                dst = f"{dst}/{bits}"
            via = entry.get("gateway") or hop.get("gateway") or entry.get("via", {}).get("host")
            found.append(Route(dst, entry.get("dev") or hop.get("dev"), via))
    return found


def ssh_server_address(pid: int) -> str | None:
    """Return the address of this host that the ssh session came in through, None without ssh.

    sudo drops SSH_CONNECTION from the environment, so the parents are asked as well.
    """
    while pid > 1:
        fields = environ_of(pid).get("SSH_CONNECTION", "").split()
        if len(fields) == 4:
            return fields[2].split("%")[0]
        pid = parent_of(pid)
    return None


def parent_of(pid: int) -> int:
    """Return the parent's process id, 0 when there is none to read."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            return int(handle.read().rsplit(")", 1)[1].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def environ_of(pid: int) -> dict[str, str]:
    """Return a process's environment, empty when it cannot be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as handle:
            text = handle.read().decode("utf-8", errors="replace")
    except OSError:
        return {}
    return dict(item.split("=", 1) for item in text.split("\0") if "=" in item)


def carrier_of(address: str | None, found: t.Iterable[Interface]) -> str | None:
    """Return the name of the interface that holds the address."""
    for interface in found:
        if address and any(item.split("/")[0] == address for item in interface.addresses):
            return interface.name
    return None


def os_release(path: str = "/etc/os-release") -> dict[str, str]:
    """Parse os-release(5); empty when there is none."""
    values = {}
    for line in read_text(path).splitlines():
        name, sign, value = line.partition("=")
        if sign and not name.startswith("#"):
            values[name.strip()] = " ".join(shlex.split(value))
    return values


def read_text(path: str) -> str:
    """Return a file's text, empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read().strip()
    except OSError:
        return ""


def recorded_slices(path: str = SLICES_FILE) -> dict[str, t.Any]:
    """Return the record {'pool': ..., 'slices': {host: slice}} kept on this host; empty when there is none."""
    text = read_text(path)
    if not text:
        return {}
    try:
        record = json.loads(text)
    except ValueError:
        return {"damaged": path}
    if not isinstance(record, dict) or not isinstance(record.get("slices"), dict):
        return {"damaged": path}
    return record


def recorded_attachment(path: str = ATTACH_FILE) -> dict[str, t.Any]:
    """Return {'bridge': ..., 'nic': ..., 'addresses': [CIDR]} of the card that the userspace datapath has taken; empty without one."""
    try:
        record = json.loads(read_text(path) or "{}")
    except ValueError:
        return {}
    if not isinstance(record, dict) or not record.get("bridge"):
        return {}
    return {key: record.get(key) for key in ("bridge", "nic", "addresses")}


def booted_with_systemd() -> bool:
    """sd_booted(3): this directory exists if and only if systemd is the init process."""
    return os.path.isdir("/run/systemd/system")
