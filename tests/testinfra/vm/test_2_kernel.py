# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tunnels of the kernel, and a firewall that lets the peers' through and nobody else's."""

from __future__ import annotations

import json
import time

from overlay_helpers import NAMES, UNDERLAY, App, call, play, side_by_side
from testinfra.host import Host
from vm_helpers import stranger

# What firewalld, in its default zone, answers to what it does not let in.
REJECTED = "icmp 3/13 about "
# All that the role opens on h1, so that nothing but what is missing counts as not opened.
OPTIONS = {"backend": "ovs_gre", "peers": [UNDERLAY["h2"]], "address": UNDERLAY["h1"], "ntp": True}
# Take the opening for tunnels out of the rules in force; it has to be there.
CLOSE = """rule=$(firewall-cmd --list-rich-rules | grep -F 'protocol value="gre"') && firewall-cmd --remove-rich-rule="$rule\""""


def test_datapath_is_the_kernels(apps: dict[str, App], hosts: dict[str, Host]) -> None:
    """Whoever asked for it gets it: packets of containers never enter ovs-vswitchd."""

    def check(name: str) -> None:
        shown = hosts[name].check_output("ovs-appctl --timeout=15 dpif/show")
        assert shown.startswith("system@ovs-system"), shown
        assert "br-overlay" in shown
        assert {"openvswitch", "ip_gre"} <= {line.split()[0] for line in hosts[name].check_output("lsmod").splitlines()}
        link = json.loads(hosts[name].check_output("ip -details -json link show gre_sys"))[0]
        assert link["linkinfo"]["info_kind"] == "gretap"

    side_by_side(check, NAMES)
    assert apps["h1"].reaches(apps["h2"], 20)
    flows = hosts["h1"].check_output("ovs-appctl --timeout=15 dpctl/dump-flows type=non-offloaded")
    assert UNDERLAY["h2"] in flows


def test_card_of_the_underlay_is_left_alone(hosts: dict[str, Host]) -> None:
    """Kernel tunnels need no bridge around it; its address stays where it was."""
    for name, host in hosts.items():
        link = json.loads(host.check_output("ip -json address show eth1"))[0]
        assert "master" not in link
        assert UNDERLAY[name] in [item["local"] for item in link["addr_info"]]


def test_a_stranger_gets_nowhere() -> None:
    """On the host with a firewall, neither by a tunnel nor to the time; on the other one the kernel itself answers."""
    assert [answer for answer in stranger("h1", "gre") if not answer.startswith(REJECTED)] == []
    assert stranger("h1", "udp", "123") == [f"{REJECTED}udp"]
    assert stranger("h1", "tcp", "22") == ["tcp syn-ack"]


def test_without_the_openings(apps: dict[str, App], hosts: dict[str, Host]) -> None:
    """Tunnels of the kernel are stopped by a firewall that looks on; the rule is named, and the next run opens it."""
    # By hand, and only until the next reload: that the teardown takes all of them away is for test_teardown, and firewall-cmd is slow here.
    hosts["h1"].check_output(CLOSE)
    try:
        time.sleep(3)  # one second of silence is enough, see prepare.yml
        reached = apps["h2"].reaches(apps["h1"])
        found = call("h1", "firewall_info", **OPTIONS).ok()
    finally:
        # Without the way back: converge and teardown go with it.
        run = play("site", "--tags=peer_firewall", "-e", "peer_firewall_guard=0").ok()
    assert not reached
    blocked = [(item["firewall"], item["traffic"], item["opened"]) for item in found["firewall"]["blocked"]]
    assert ("firewalld", "gre", False) in blocked
    assert run.changed
    assert {host for task, host in run.changed} == {"h1"}
    time.sleep(3)
    assert apps["h2"].reaches(apps["h1"])
