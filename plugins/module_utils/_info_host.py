# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""A host itself: who it is, its links and routes, what is left of its disks and memory."""

from __future__ import annotations

import json
import os
import typing as t
from dataclasses import asdict

from ansible_collections.crosshost.overlay.plugins.module_utils import _host

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

Links = t.List[t.Dict[str, t.Any]]
PATHS = ("/", "/etc", "/var/lib/docker", _host.STATE_DIR)
ONLY_TABLES = ("local", "main", "default", "255", "254", "253")  # rules that lead elsewhere are somebody's policy
ROOT_ONLY = "Ansible is not root on this host (become: true), so owners of sockets, firewalls, Docker and Open vSwitch may be missing"


def system() -> dict[str, t.Any]:
    """Read distribution, kernel and init."""
    release = _host.os_release()
    return {
        "id": release.get("ID", ""),
        "like": release.get("ID_LIKE", "").split(),
        "version": release.get("VERSION_ID", ""),
        "name": release.get("PRETTY_NAME", "an unknown system"),
        "kernel": os.uname().release,
        "systemd": _host.booted_with_systemd(),
    }


def empty() -> dict[str, t.Any]:
    """What is returned where nothing can be read."""
    return {
        "uid": os.geteuid(),
        "machine_id": "",
        "system": {},
        "interfaces": [],
        "routes": [],
        "management_address": None,
        "slices": {},
        "attachment": {},
    }


def minimal(section: Section) -> None:
    """What an overlay has to know to be planned."""
    section.facts.update(
        machine_id=_host.read_text("/etc/machine-id"),
        system=system(),
        management_address=_host.ssh_server_address(os.getpid()),
        slices=_host.recorded_slices(),
        attachment=_host.recorded_attachment(),
    )
    ip = section.cli("ip", package="iproute2")
    section.facts["interfaces"] = [asdict(item) for item in _host.interfaces(ip)]
    section.facts["routes"] = [asdict(item) for item in _host.routes(ip)]


def read(section: Section) -> None:
    """The same, and what a diagnosis has to know besides."""
    with section.part():
        minimal(section)
    if section.facts["uid"]:
        section.problems.append(ROOT_ONLY)
    section.facts.update(identity=identity(section), resources=resources(), policy_routes=False)
    ip = section.cli("ip", package="iproute2")
    with section.part():
        section.facts["interfaces"] = links(ip.read("-json", "-details", "-statistics", "address", "show")[1])
    with section.part():
        answers = [ip.read("-json", family, "rule", "show")[1] for family in ("-4", "-6")]
        section.facts["policy_routes"] = any(policy_rules(answer) for answer in answers)


def links(text: str) -> Links:
    """What 'ip -json -details -statistics address show' prints, as entries of interfaces."""
    raw = json.loads(text or "[]")
    return [{**asdict(item), **_more(link)} for link, item in zip(raw, _host.parse_interfaces(raw))]


def _more(link: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What an entry has besides the fields of _host.Interface. Without IFF_UP a link tells nothing of its carrier."""
    flags = link.get("flags", [])
    counters = link.get("stats64") or link.get("stats") or {}
    received, sent = counters.get("rx", {}), counters.get("tx", {})
    return {
        "carrier": "NO-CARRIER" not in flags if "UP" in flags else None,
        "operstate": link.get("operstate", ""),
        "flags": list(flags),
        # A peer in the same namespace has a name ("link"), one elsewhere only a number.
        "peer_netns": link.get("linkinfo", {}).get("info_kind") == "veth" and "link_netnsid" in link,
        "link_index": link.get("link_index"),
        "statistics": {
            "rx_packets": received.get("packets", 0),
            "rx_dropped": received.get("dropped", 0),
            "rx_errors": received.get("errors", 0),
            "tx_packets": sent.get("packets", 0),
            "tx_dropped": sent.get("dropped", 0),
            "tx_errors": sent.get("errors", 0),
        },
    }


def policy_rules(text: str) -> list[t.Mapping[str, t.Any]]:
    """The rules in what 'ip -json rule show' prints that are not the kernel's own."""
    return [rule for rule in json.loads(text or "[]") if str(rule.get("table", "")) not in ONLY_TABLES]


# Identity


def identity(section: Section) -> dict[str, t.Any]:
    """What tells this machine from others, and its copies apart."""
    uptime = _host.read_text("/proc/uptime").split()
    return {
        "hostname": os.uname().nodename,
        "machine_id": _host.read_text("/etc/machine-id"),
        "product_uuid": _host.read_text("/sys/class/dmi/id/product_uuid"),
        "boot_id": _host.read_text("/proc/sys/kernel/random/boot_id"),
        "uptime_s": float(uptime[0]) if uptime else None,
        "virtualization": virtualization(section),
    }


def virtualization(section: Section) -> str:
    """In the words of systemd-detect-virt, also where there is none of it."""
    if section.has("systemd-detect-virt"):
        said = section.ask("systemd-detect-virt").out.strip()  # status 1 with "none"
        if said:
            return said
    for path, name in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        if os.path.exists(path):
            return name
    container = _host.environ_of(1).get("container", "")
    if container:
        return container
    vendor = _host.read_text("/sys/class/dmi/id/sys_vendor").lower()
    for word, name in (("qemu", "qemu"), ("vmware", "vmware"), ("innotek", "oracle"), ("microsoft", "microsoft")):
        if word in vendor:
            return name
    return "vm-other" if " hypervisor" in _host.read_text("/proc/cpuinfo") else "none"


# Resources


def resources(paths: t.Sequence[str] = PATHS) -> dict[str, t.Any]:
    """What is left of disks and memory; paths that are not there are left out."""
    found = []
    for path in paths:
        try:
            stat = os.statvfs(path)
        except OSError:
            continue
        found.append(
            {
                "path": path,
                "free_bytes": stat.f_bavail * stat.f_frsize,
                "total_bytes": stat.f_blocks * stat.f_frsize,
                "read_only": bool(stat.f_flag & os.ST_RDONLY),
            }
        )
    try:
        load = list(os.getloadavg())
    except OSError:
        load = []
    return {"disk": found, "memory_available_bytes": memory(_host.read_text("/proc/meminfo")), "load": load}


def memory(text: str) -> int | None:
    """The bytes that /proc/meminfo calls available."""
    for line in text.splitlines():
        name, dummy, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None
