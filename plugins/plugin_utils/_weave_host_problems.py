# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands in Weave Net's way on one host: Docker's version, ports, other routers. Pure; private to this collection."""

from __future__ import annotations

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_versions
from ansible_collections.crosshost.overlay.plugins.plugin_utils._hosts import facts
from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_names import WeaveHost

HOLDING = ("running", "paused", "restarting")  # states of a container in which its router may hold the ports
ROUTER = "weaver"
DOCKER_BRIDGE = "docker0"  # the router answers names at its address
EVERYWHERE = ("0.0.0.0", "*", "::")


def docker_problems(host: WeaveHost, source: str, version: str) -> tuple[str, list[str]]:
    """Return the API version to set ('' for none) and whether this Docker Engine and this router understand each other."""
    docker = host.part("docker")
    lowest, highest = str(docker.get("api_min") or ""), str(docker.get("api_max") or "")
    if not lowest:
        return "", []  # no engine yet, or it does not answer
    spoken, adjustable = _weave_versions.speaks(source, version)
    speaks = ".".join(str(number) for number in spoken)
    where = f"host '{host.name}': Docker Engine {docker.get('version')}"
    if highest and _weave_versions.numbers(highest) < spoken:
        return "", [
            f"{where} understands API versions up to {highest}, and Weave Net {version} speaks {speaks}; upgrade Docker"
        ]
    if _weave_versions.engine_problem(source, version, lowest, ""):
        return "", [
            f"{where} refuses API versions below {lowest}, and {source}/weave {version} speaks {speaks} only; "
            "take the maintained one (weave_image_source rajchaudhuri, weave_version 2.9.0), or Docker Engine 24 or older"
        ]
    return _weave_versions.api_version(lowest) if adjustable else "", []


def port_problems(host: WeaveHost, port: int, http_address: str, dns: bool) -> list[str]:
    """What the router binds has to be free, unless the router itself has it."""
    container = host.part("container")
    if container.get("foreign"):
        return [
            f"host '{host.name}': the container 'weave' (image {container.get('image')}) is not a Weave Net router and stays as it is; "
            "rename or remove it there ('docker rename weave ...')"
        ]
    if container.get("state") in HOLDING:
        return []
    http = int(http_address.rpartition(":")[2])
    wanted = {("tcp", port), ("udp", port), ("udp", port + 1), ("tcp", http), ("tcp", 6782)}
    wanted |= {("tcp", 53), ("udp", 53)} if dns else set()
    problems = []
    for item in (host.weave or {}).get("listeners") or []:
        at = (item["proto"], int(item["port"]))
        # Without a process it is the kernel's: the VXLAN port of the fast datapath, which outlives the router.
        if at not in wanted or item.get("program") == ROUTER or not item.get("pid"):
            continue
        if at[1] == 53 and item.get("address") not in (*EVERYWHERE, *_addresses(host, DOCKER_BRIDGE)):
            continue  # such as a resolver on 127.0.0.53
        remedy = (
            "set weave_dns to false"
            if at[1] == 53
            else "use another weave_port"
            if at[1] in (port, port + 1)
            else "move that"
        )
        problems.append(
            f"host '{host.name}': {at[0]} port {at[1]} ({item.get('address')}) is taken by {item.get('program') or 'a program'} "
            f"(pid {item['pid']}), and Weave Net needs it; stop that program, or {remedy}"
        )
    return problems


def _addresses(host: WeaveHost, interface: str) -> list[str]:
    found = [item["addresses"] for item in facts(host).get("interfaces", []) if item["name"] == interface]
    return [address.split("/")[0] for addresses in found for address in addresses]


def host_notices(host: WeaveHost, fast_datapath: str) -> list[str]:
    """What an operator should know of a host though the run goes on."""
    notices = []
    kernel = host.part("kernel")
    missing = [name for name, there in (kernel.get("modules") or {}).items() if not there]
    if missing and fast_datapath == "auto":
        notices.append(
            f"host '{host.name}': its kernel has no {' and no '.join(missing)}, so Weave Net's links to it are sleeve, "
            "several times slower than the fast datapath; install the kernel's full set of modules, or set weave_fast_datapath to disabled"
        )
    iptables = kernel.get("iptables") or {}
    if iptables.get("backend") == "nft" and iptables.get("legacy_rules"):
        notices.append(
            f"host '{host.name}': iptables works on nftables, and iptables-legacy holds {iptables['legacy_rules']} rules that filter too "
            "and that Weave Net does not see; look at them with 'iptables-legacy-save', and remove them if nothing needs them"
        )
    if iptables.get("backend") == "legacy":
        notices.append(
            f"host '{host.name}': iptables is iptables-legacy, and Weave Net 2.9.0 and newer works on nftables; "
            "switch the host ('update-alternatives --set iptables /usr/sbin/iptables-nft'), or take weave_version 2.8.10"
        )
    slices = facts(host)["slices"]
    if slices.get("slices"):
        notices.append(
            f"host '{host.name}' has the overlay of Open vSwitch and GRE too (pool {slices.get('pool')}); it stays, and its containers are not on "
            "this one. To remove it: ansible-playbook crosshost.overlay.teardown -e overlay_backend=ovs_gre"
        )
    return notices
