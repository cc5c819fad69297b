#!/usr/bin/env python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print as JSON what a host looks like to its owner: run before and after, the two must be equal.

Counters, leases, packet numbers and other things that change by themselves are left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

FILES = ("/etc", "/usr/local", "/var/lib/crosshost-overlay", "/run/crosshost-overlay")
# Written by the system on its own account.
UNSTABLE = ("/etc/mtab", "/etc/.updated", "/etc/ld.so.cache", "/etc/resolv.conf", "/etc/openvswitch/conf.db")
FEATURES = ("tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload", "generic-receive-offload")


def lines(*argv: str) -> list[str]:
    """Return the output of a command; a missing command has none."""
    if not shutil.which(argv[0]):
        return []
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    return done.stdout.decode(errors="replace").splitlines()


def links() -> dict[str, object]:
    """Links with what is set on them; devices of containers have random names and are only counted."""
    found: dict[str, object] = {}
    for item in json.loads("\n".join(lines("ip", "-json", "address", "show")) or "[]"):
        name = item["ifname"]
        if re.match(r"veth[0-9a-f]{7}$", name):
            found["veth of containers"] = int(str(found.get("veth of containers", 0))) + 1
            continue
        addresses = sorted(
            f"{entry['local']}/{entry['prefixlen']}" for entry in item["addr_info"] if entry["scope"] == "global"
        )
        features = (
            [line.strip() for line in lines("ethtool", "-k", name) if line.split(":")[0] in FEATURES]
            if name.startswith("eth")
            else []
        )
        found[name] = [item["mtu"], item.get("master"), "UP" in item["flags"], addresses, features]
    return found


def rules(*argv: str) -> list[str]:
    """Firewall rules without counters and comments of the tool."""
    return [
        re.sub(r"\[\d+:\d+\]|counter packets \d+ bytes \d+", "", line)
        for line in lines(*argv)
        if not line.startswith("#")
    ]


def native() -> list[str]:
    """Tables of nftables, without those that iptables and firewalld make."""
    found: list[str] = []
    for line in lines("nft", "list", "tables"):
        dummy, family, name = line.split()
        if name.startswith("firewalld") or (
            family in ("ip", "ip6") and name in ("filter", "nat", "mangle", "raw", "security")
        ):
            continue
        found += rules("nft", "list", "table", family, name)
    return found


def legacy() -> list[str]:
    """Rules of iptables-legacy, if its table is loaded; asking would load it."""
    if not os.path.exists("/proc/net/ip_tables_names"):
        return []
    with open("/proc/net/ip_tables_names", encoding="utf-8") as handle:
        return rules("iptables-legacy-save") if "filter" in handle.read() else []


def files() -> dict[str, str]:
    """Every file with its mode, owner and content."""
    found = {}
    for top in FILES:
        for folder, dummy, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                if path in UNSTABLE or "__pycache__" in path:
                    continue
                stat = os.lstat(path)
                if os.path.islink(path):
                    content = os.readlink(path)
                elif os.path.isfile(path):
                    with open(path, "rb") as handle:
                        content = hashlib.sha256(handle.read()).hexdigest()
                else:
                    content = "special"
                found[path] = f"{stat.st_mode:o} {stat.st_uid}:{stat.st_gid} {content}"
    return found


def main() -> None:
    """Collect and print."""
    json.dump(
        {
            "links": links(),
            "routes": sorted(lines("ip", "-4", "route", "show", "table", "all"))
            + sorted(lines("ip", "-6", "route", "show")),
            "rules": sorted(lines("ip", "rule", "show")),
            "iptables": {table: rules("iptables-save", "-t", table) for table in ("filter", "nat", "mangle", "raw")},
            "iptables legacy": legacy(),
            "firewalld": {
                name: lines("firewall-cmd", "--list-all-zones", *flags)
                for name, flags in (("live", ()), ("permanent", ("--permanent",)))
            },
            "nftables": native(),
            "nftables of others": [line for line in rules("nft", "list", "tables") if "bystander" in line],
            "openvswitch": lines(
                "ovs-vsctl", "--timeout=10", "--columns=name,datapath_type,fail_mode,external_ids", "list", "Bridge"
            )
            + sorted(
                lines("ovs-vsctl", "--timeout=10", "--columns=name,type,options,external_ids", "list", "Interface")
            ),
            "docker networks": sorted(
                lines("docker", "network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Name}} {{.Driver}}")
            ),
            "docker containers": sorted(
                lines("docker", "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}")
            ),
            "docker images": sorted(
                lines("docker", "images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}")
            ),
            # Transient ones are, among others, sessions of ssh.
            "units": sorted(
                line
                for line in lines("systemctl", "list-unit-files", "--no-legend", "--no-pager")
                if line.split()[1:2] != ["transient"]
            ),
            "failed units": sorted(
                lines("systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager")
            ),
            "packages": sorted(lines("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n")),
            "sysctl": {
                name: lines("sysctl", "-n", name)
                for name in (
                    "net.ipv4.ip_forward",
                    *(f"net/ipv4/conf/{name}/rp_filter" for name in ("all", "eth0", "eth1")),
                )
            },
            "files": files(),
        },
        sys.stdout,
        indent=1,
        sort_keys=True,
    )


if __name__ == "__main__":
    main()
