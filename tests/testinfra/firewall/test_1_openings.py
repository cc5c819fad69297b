# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every firewall is on, and lets in the peers, and only them, on what the overlay needs."""

from __future__ import annotations

import socket
import typing as t

import pytest
from firewall_helpers import (
    FIREWALLS,
    LISTEN,
    OUTSIDER,
    SEND,
    UDP,
    UNITS,
    each,
    everywhere,
    found_on,
    healed,
    tcp_open,
    tcp_open_from,
)
from overlay_helpers import NAMES, UNDERLAY, App, play, wait_for
from testinfra.host import Host
from weave_helpers import Routers

PAIRS = len(NAMES) * (len(NAMES) - 1)


def test_every_pair_works() -> None:
    """Through six kinds of firewall, by address and by name; a second run has nothing to do."""
    run = play("site").ok()
    assert run.changed == set()
    assert f"verify: hosts={len(NAMES)} pairs={PAIRS} ok={PAIRS} failed=0" in run.text


@pytest.fixture(scope="module")
def firewalls() -> dict[str, dict[str, t.Any]]:
    """What there is on each host, as a run has left it."""
    return found_on()


@pytest.mark.parametrize("name", NAMES)
def test_firewalls_are_on(hosts: dict[str, Host], firewalls: dict[str, dict[str, t.Any]], name: str) -> None:
    """The service runs and is started at boot, and its rules would stop the overlay but for the openings."""
    assert hosts[name].check_output(f"systemctl is-active {UNITS[name]}") == "active"
    assert hosts[name].check_output(f"systemctl is-enabled {UNITS[name]}") == "enabled"
    firewall = firewalls[name]
    assert {item["name"] for item in firewall["firewalls"] if item["acts"]} >= set(FIREWALLS[name])
    assert sorted(firewall["openings"]) == FIREWALLS[name]
    stopped = {(item["firewall"], item["traffic"]) for item in firewall["blocked"]}
    assert stopped >= {(tool, traffic) for tool in FIREWALLS[name] for traffic in ("tcp 6783", "udp 6783-6784")}
    assert all(item["opened"] for item in firewall["blocked"])


@pytest.mark.parametrize("name", NAMES)
def test_no_opening_without_a_peer(firewalls: dict[str, dict[str, t.Any]], name: str) -> None:
    """Each names its source, but for weaveDNS from the host's own containers and the overlay's bridge; 6784 of TCP is in none."""
    lines = [line for opening in firewalls[name]["openings"].values() for line in opening]
    assert lines
    peers = [UNDERLAY[other] for other in NAMES if other != name]
    for line in (line for line in lines if "6783" in line):
        # By itself, or by the chain or the set that has nothing but peers.
        assert any(word in line for word in ("CROSSHOST-PEERS", "@crosshost_peers", *peers)), line
    assert not [line for line in lines if "6784" in line and "tcp" in line]
    assert not [line for line in lines if OUTSIDER in line.split() or f"{OUTSIDER}/32" in line.split()]


@pytest.mark.parametrize("name", NAMES)
def test_outsider_gets_nothing(hosts: dict[str, Host], name: str) -> None:
    """From the same network, and no peer: no TCP port of the overlay answers; a peer gets the one it needs."""
    assert tcp_open(UNDERLAY[name]) == set()
    peer = NAMES[NAMES.index(name) - 1]
    assert tcp_open_from(hosts[peer], UNDERLAY[name]) == {6783}
    assert tcp_open(UNDERLAY[name], [22]) == {22}, "ssh was open before"


def test_datagrams(hosts: dict[str, Host], apps: dict[str, App], routers: Routers) -> None:
    """Those of a peer arrive on both ports, those of an outsider on neither. A listener takes the place of the router meanwhile."""
    senders = dict(zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True))
    everywhere(hosts, "docker stop -t 2 weave")
    try:
        ports = " ".join(map(str, UDP))
        for name in NAMES:
            hosts[name].check_output("rm -f /root/heard")
            hosts[name].check_output(
                "setsid python3 -c %s " + ports + " > /root/heard 2>&1 < /dev/null & sleep 0.5", LISTEN
            )
        for name, target in senders.items():
            hosts[name].check_output(f"python3 -c %s {','.join(map(str, UDP))} {UNDERLAY[target]}", SEND)
        send_from_here(list(UNDERLAY.values()))
        wait_for("all have stopped listening", lambda: not hosts[NAMES[-1]].run("pgrep -f '[r]ecvfrom'").stdout, 60)
        for name, target in senders.items():
            heard = set(hosts[target].check_output("cat /root/heard; rm /root/heard").splitlines())
            assert heard == {f"{UNDERLAY[name]} {port}" for port in UDP}, target
    finally:
        everywhere(hosts, "docker start weave")
    healed(apps, routers)


def send_from_here(addresses: list[str]) -> None:
    """A datagram to each port from this machine, which is no peer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((OUTSIDER, 0))
        for address in addresses:
            for port in UDP:
                one.sendto(b"x", (address, port))


def test_containers_get_nothing_on_the_host(hosts: dict[str, Host], apps: dict[str, App]) -> None:
    """The overlay's bridge is let through, and not trusted: what listens on the host does not answer containers by way of it."""
    each(dict.fromkeys(NAMES, "weave expose > /dev/null"), hosts)
    try:
        for name in NAMES:
            hosts[name].check_output(
                "cd /run/systemd; setsid timeout 30 python3 -m http.server 4711 > /dev/null 2>&1 < /dev/null & sleep 0.1"
            )
            own = hosts[name].check_output("ip -4 -brief address show dev weave").split()[2].partition("/")[0]
            read = f"import urllib.request as r; r.urlopen('http://{own}:4711/', timeout=3)"
            hosts[name].check_output(
                "for i in $(seq 50); do python3 -c %s 2> /dev/null && exit 0; sleep 0.2; done; exit 1", read
            )
            assert apps[name].run(f"wget -q -T 2 -O - http://{own}:4711/", 10)[0] != 0
    finally:
        each(dict.fromkeys(NAMES, "weave hide > /dev/null"), hosts)
