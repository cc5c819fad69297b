# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run costs, against a play that only pings the hosts or against the raw tool."""

from __future__ import annotations

import json
import typing as t

from hosts import OVS, PING, WEAVE_VARS, compare, group, on, play, report, underlay

PORTS = """
- hosts: %s
  gather_facts: false
  tasks:
    - crosshost.overlay.ovs_gre_port:
        bridge: br-bench
        owner: bench
        timeout: 60
        tunnels: %s
"""
BARE = """
- hosts: h1
  gather_facts: false
  tasks:
    - ansible.builtin.command: sh /root/bench-transaction
"""


def tunnels(count: int) -> list[dict[str, t.Any]]:
    """Tunnels to addresses that nobody has; the key tells them apart."""
    return [
        {"name": f"bench{number}", "remote_ip": f"203.0.113.{1 + number % 250}", "key": 1000 + number}
        for number in range(count)
    ]


def clean_bridge(*hosts: str) -> None:
    """Make an empty bridge for tunnels that carry nothing."""
    for host in hosts:
        on(host, f"{OVS} -- --if-exists del-br br-bench -- add-br br-bench -- set Bridge br-bench datapath_type=netdev")


def no_bridge() -> None:
    """Remove it again."""
    for host in ("h1", "h2"):
        on(host, f"! command -v ovs-vsctl >/dev/null || {OVS} --if-exists del-br br-bench")


def tunnels_50() -> None:
    """50 new tunnels on each of two hosts in one task, against a play that only pings them."""

    def ours() -> float:
        clean_bridge("h1", "h2")
        return play(PORTS % ("h1:h2", json.dumps(tunnels(50))))

    value, floor = compare(ours, lambda: play(PING % "h1:h2"))
    no_bridge()
    report("tunnels_50_new", value, "s", "one_ping_play", value / floor, "<=1.3")


def tunnels_1000() -> None:
    """1,000 new tunnels in one call, against the same transaction given to ovs-vsctl by a command task."""
    steps = "".join(
        f" -- add-port br-bench {tunnel['name']} -- set Interface {tunnel['name']} type=gre options:remote_ip={tunnel['remote_ip']}"
        f" options:key={tunnel['key']} -- set Port {tunnel['name']} protected=true"
        for tunnel in tunnels(1000)
    )
    on("h1", "cat > /root/bench-transaction", OVS + steps)

    def timed(text: str) -> float:
        clean_bridge("h1")
        return play(text)

    value, bare = compare(lambda: timed(PORTS % ("h1", json.dumps(tunnels(1000)))), lambda: timed(BARE), rounds=3)
    on("h1", "rm /root/bench-transaction")
    no_bridge()
    report("tunnels_1000_new", value, "s", "bare_ovs_vsctl", value / bare, "<=2")


def second_run() -> None:
    """site.yml on hosts that are as they should be, against a play that only pings them."""
    value, floor = compare(lambda: play("crosshost.overlay.site"), lambda: play(PING % "overlay"), rounds=3)
    report("site_second_run", value, "s", "one_ping_play", value / floor, "<=12")


def weave_unchanged() -> None:
    """weave_launch on routers that are as they should be, against a play that only pings them."""
    launch = json.loads(on("h1", "docker inspect weave"))[0]["Args"]
    seeds = next(word for word in launch if word.startswith("--ipalloc-init=")).partition("=")[2]
    options = {"mtu": 1376, "ipalloc_init": seeds, "peers": [underlay(host) for host in group()["hosts"]]}
    task = f"crosshost.overlay.weave_launch: {json.dumps(options)}"
    text = "- {hosts: overlay, gather_facts: false, tasks: [{%s, register: done, failed_when: done is changed}]}"
    value, floor = compare(lambda: play(text % task), lambda: play(PING % "overlay"))
    report("weave_unchanged", value, "s", "one_ping_play", value / floor, "<=1.5")


def weave_second_run() -> None:
    """site.yml on hosts that are as they should be, against a play that only pings them."""
    options = ("-e", "overlay_backend=weave", "-e", f"@{WEAVE_VARS}")
    value, floor = compare(lambda: play("crosshost.overlay.site", *options), lambda: play(PING % "overlay"), rounds=3)
    report("weave_site_second_run", value, "s", "one_ping_play", value / floor, "<=15")
