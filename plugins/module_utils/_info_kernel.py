# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""A host's kernel as far as an overlay needs it: modules, settings, and what it complains of."""

from __future__ import annotations

import gzip
import os
import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import _host, _weave_host

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

# Module to the option it is built by, for kernels that come without a list of their modules.
MODULES = {
    "openvswitch": "CONFIG_OPENVSWITCH",
    "ip_gre": "CONFIG_NET_IPGRE",
    "gre": "CONFIG_NET_IPGRE_DEMUX",
    "vxlan": "CONFIG_VXLAN",
    "geneve": "CONFIG_GENEVE",
    "br_netfilter": "CONFIG_BRIDGE_NETFILTER",
    "nf_conntrack": "CONFIG_NF_CONNTRACK",
    "dummy": "CONFIG_DUMMY",
    "veth": "CONFIG_VETH",
    "bridge": "CONFIG_BRIDGE",
    "iptable_raw": "CONFIG_IP_NF_RAW",
    "xt_set": "CONFIG_NETFILTER_XT_SET",
}
SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.bridge.bridge-nf-call-iptables",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.neigh.default.gc_thresh3",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_count",
)
COMPLAINT = re.compile(r"neighbou?r.*table overflow|nf_conntrack: .*table full|received packet on \S+ with own address")
LOG_LINES = 20


def read(section: Section) -> None:
    """Fill the section of overlay_info."""
    release = os.uname().release
    section.facts.update(release=release, modules=modules(), sysctls=sysctls(), table_fulls=None, log=[])
    # In a network namespace other than the first there is no such table.
    section.facts["table_fulls"] = table_fulls(_host.read_text("/proc/net/stat/arp_cache"))
    if not section.has("dmesg"):
        section.problems.append("The command 'dmesg' is not on this host, so the kernel's complaints are not known")
        return
    answer = section.ask("dmesg")
    if answer.rc != 0:
        section.problems.append(answer.message)
    section.facts["log"] = complaints(answer.out)


def modules(
    sys: str = "/sys/module",
    lib: str = "/lib/modules",
    proc: str = "/proc/modules",
    config: str = "/proc/config.gz",
    release: str = "",
) -> dict[str, str]:
    """Say of each module whether it is 'loaded', 'builtin', 'available' or 'absent'."""
    folder = os.path.join(lib, release or os.uname().release)
    loaded = {line.split()[0] for line in _host.read_text(proc).splitlines()}
    builtin = _weave_host.modules_in(os.path.join(folder, "modules.builtin"))
    available = _weave_host.modules_in(os.path.join(folder, "modules.dep"))
    options = {} if os.path.isdir(folder) else kernel_config(config)
    found = {}
    for name, option in MODULES.items():
        if name in loaded:
            found[name] = "loaded"
        elif name in builtin or os.path.isdir(os.path.join(sys, name)) or options.get(option) == "y":
            found[name] = "builtin"
        else:
            found[name] = "available" if name in available else "absent"
    return found


def kernel_config(path: str) -> dict[str, str]:
    """The options a kernel says it was built with; empty where it does not."""
    try:
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as handle:
            return dict(line.strip().split("=", 1) for line in handle if line.startswith("CONFIG_"))
    except (OSError, ValueError, EOFError):
        return {}


def sysctls(root: str = "/proc/sys") -> dict[str, str | None]:
    """The settings as they are, null for those this kernel does not have; rp_filter also of each interface."""
    found = {name: _sysctl(name.replace(".", "/"), root) for name in SYSCTLS}
    folder = "net/ipv4/conf"
    try:
        names = sorted(os.listdir(os.path.join(root, folder)))
    except OSError:
        names = []
    for name in names:  # the name of an interface may have dots
        if name not in ("all", "default", "lo"):
            found[f"net.ipv4.conf.{name}.rp_filter"] = _sysctl(f"{folder}/{name}/rp_filter", root)
    return found


def only_of(found: t.Mapping[str, str | None], interfaces: t.Container[str]) -> dict[str, str | None]:
    """The settings without those of other interfaces than these."""
    prefix, suffix = "net.ipv4.conf.", ".rp_filter"
    return {
        name: value
        for name, value in found.items()
        if not name.startswith(prefix)
        or name[len(prefix) : -len(suffix)] == "all"
        or name[len(prefix) : -len(suffix)] in interfaces
    }


def _sysctl(path: str, root: str) -> str | None:
    return _host.read_text(os.path.join(root, path)) or None


def table_fulls(text: str) -> int | None:
    """How often the table of neighbours was full, over all processors, from /proc/net/stat/arp_cache (hexadecimal)."""
    lines = [line.split() for line in text.splitlines()]
    if not lines or "table_fulls" not in lines[0]:
        return None
    column = lines[0].index("table_fulls")
    return sum(int(row[column], 16) for row in lines[1:] if len(row) > column)


def complaints(text: str) -> list[str]:
    """The last lines of the kernel that speak of a full table or of a loop."""
    return [line for line in text.splitlines() if COMPLAINT.search(line)][-LOG_LINES:]
