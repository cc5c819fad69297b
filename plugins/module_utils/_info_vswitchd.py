# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What ovs-vswitchd of a host really runs, in its own words."""

from __future__ import annotations

import os
import re
import time
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import _info_rates, _info_secrets, _ovs

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

LOG = "/var/log/openvswitch"  # unless OVS_LOGDIR says otherwise
LOG_LINES = 40
LOG_BYTES = 128 * 1024  # of the end of the log that are looked at
MOST_BRIDGES = 32  # whose flows and counters are read; each costs three commands
TROUBLE = re.compile(r"\|(WARN|ERR|EMER)\|")
PORT_COUNTERS = re.compile(
    r'^\s*port\s+(?P<name>".*"|\S+): rx pkts=(?P<rx>\d+),.*\n\s*tx pkts=(?P<tx>\d+)', re.MULTILINE
)
FEATURES = {  # of 'ethtool -k', as they are called there and, behind the sign, here
    "rx-checksumming": "rx-checksumming",
    "tx-checksumming": "tx-checksumming",
    "tcp-segmentation-offload": "tso",
    "generic-segmentation-offload": "gso",
    "generic-receive-offload": "gro",
    "large-receive-offload": "lro",
}
MOST_NICS = 64  # whose offloads are read


def read(section: Section) -> None:
    """Ask ovs-vswitchd what really runs. It answers from one thread: when that hangs, nothing more is asked."""
    facts = section.facts
    facts.update(vswitchd_ok=None, live_tunnels=None, datapaths="", log=[], flows={}, rates={})
    if not section.has("ovs-appctl"):
        return
    folder = os.environ.get("OVS_LOGDIR") or LOG
    facts["log"] = trouble(tail(os.path.join(folder, "ovs-vswitchd.log")))
    appctl = section.cli("ovs-appctl", "-t", "ovs-vswitchd")
    shown = appctl.run_raw("dpif/show")
    facts["vswitchd_ok"] = shown.rc == 0
    if shown.rc != 0:
        section.problems.append(shown.message)
        return
    facts["datapaths"] = shown.out.strip()
    tunnels = appctl.run_raw("ofproto/list-tunnels")
    if tunnels.rc == 0:
        facts["live_tunnels"] = sorted(_ovs.parse_live(tunnels.out))
    bridges = appctl.run_raw("ofproto/list").out.split()[:MOST_BRIDGES]
    if not section.has("ovs-ofctl"):
        return
    start, before = time.monotonic(), _counters(section, bridges)
    facts["flows"] = {name: _only_normal(section, name) for name in bridges}
    sample = section.params["sample"]
    if sample:
        time.sleep(max(sample - (time.monotonic() - start), 0))
        facts["rates"] = _info_rates.rates(before, _counters(section, bridges), time.monotonic() - start)


def _counters(section: Section, bridges: t.Iterable[str]) -> _info_rates.Counters:
    found = {}
    ofctl = section.cli("ovs-ofctl", "--names")
    for name in bridges:
        found.update(port_counters(ofctl.run_raw("dump-ports", name).out, name))
    return found


def port_counters(text: str, bridge: str) -> _info_rates.Counters:
    """Packets received and sent by port, from 'ovs-ofctl --names dump-ports'; LOCAL is the bridge's own."""
    found = {}
    for match in PORT_COUNTERS.finditer(text):
        name = match["name"].strip('"')
        found[bridge if name == "LOCAL" else name] = (int(match["rx"]), int(match["tx"]))
    return found


def _only_normal(section: Section, bridge: str) -> bool | None:
    """Whether a bridge learns like any other: its only flow is the one it starts with. Thousands are counted, not read."""
    ofctl = section.cli("ovs-ofctl")
    counted = re.search(r"\bflow_count=(\d+)", ofctl.run_raw("dump-aggregate", bridge).out)
    if not counted:
        return None
    if counted.group(1) != "1":
        return False
    flows = ofctl.run_raw("dump-flows", bridge)
    return only_normal(flows.out) if flows.rc == 0 else None


def only_normal(text: str) -> bool:
    """Whether 'ovs-ofctl dump-flows' shows the one flow that a bridge starts with."""
    flows = [line for line in text.splitlines() if "actions=" in line]
    return len(flows) == 1 and bool(re.search(r"\bpriority=0 actions=NORMAL\s*$", flows[0]))


def tail(path: str, size: int = LOG_BYTES) -> str:
    """The end of a file; empty when it cannot be read."""
    try:
        with open(path, "rb") as handle:
            handle.seek(0, os.SEEK_END)
            handle.seek(max(handle.tell() - size, 0))
            return handle.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def trouble(text: str) -> list[str]:
    """The last warnings and errors of a log of Open vSwitch, as printed."""
    return [_info_secrets.text(line) for line in text.splitlines() if TROUBLE.search(line)][-LOG_LINES:]


# Offloads


def read_offloads(section: Section) -> None:
    """Read the offloads of the links that a userspace datapath takes frames from."""
    if section.has("ethtool"):
        ethtool = section.cli("ethtool")
        for name in section.params["names"][:MOST_NICS]:
            section.facts[name] = offloads(ethtool.run_raw("-k", name).out)


def offload_names(facts: t.Mapping[str, t.Any], interfaces: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """The cards in bridges of the userspace datapath, and the veths of Linux bridges that are linked to one."""
    userspace = {bridge["name"] for bridge in facts["bridges"] if bridge["datapath"] == "netdev"}
    inside = {port["name"]: port["type"] for port in facts.get("ports", []) if port["bridge"] in userspace}
    linked = {item["master"] for item in interfaces if item["name"] in inside and item["master"]}
    return [
        item["name"]
        for item in interfaces
        if inside.get(item["name"]) in ("", "system") or (item["kind"] == "veth" and item["master"] in linked)
    ]


def offloads(text: str) -> dict[str, bool]:
    """The features of 'ethtool -k' that change what frames look like."""
    shown = dict(line.strip().split(": ", 1) for line in text.splitlines() if ": " in line)
    return {short: shown[name].startswith("on") for name, short in FEATURES.items() if name in shown}
