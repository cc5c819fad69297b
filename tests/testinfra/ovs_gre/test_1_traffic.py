# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Applications on different hosts reach each other, and nothing circles."""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import json
import time

import pytest
from overlay_helpers import BUSYBOX, GROUP, NAMES, App
from testinfra.host import Host

# Bytes that the encapsulation takes over IPv4 (with a key), and how tcpdump finds and shows it.
OVERHEAD, FILTER, SEEN = {
    "gre": (42, "ip proto 47", "GREv0, key=0x1"),
    "vxlan": (50, "udp port 4789", "VXLAN"),
    "geneve": (50, "udp port 6081", "Geneve"),
}[GROUP["vars"].get("ovs_gre_type", "gre")]
POOL = ipaddress.ip_network(GROUP["vars"].get("overlay_pool", "10.50.0.0/16"))
PAIRS = list(itertools.permutations(NAMES, 2))
MESSAGE = b"overlay\n" * 625000  # 5 MB: enough for full-sized segments and retransmissions to show


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_ping(apps: dict[str, App], source: str, target: str) -> None:
    """Every echo request is answered."""
    assert apps[source].reaches(apps[target])


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_tcp_carries_every_byte(apps: dict[str, App], source: str, target: str) -> None:
    """Full-sized segments arrive; a datapath that meddles with checksums passes pings and stops here."""
    receiver, sender = apps[target], apps[source]
    # The sleep keeps the receiver's input open: nc would otherwise end the connection from its side at once.
    listen = f"{BUSYBOX} sleep 30 | {BUSYBOX} nc -l -p 9000 | {BUSYBOX} md5sum > /sum"
    receiver.host.check_output(f"docker exec -d app {BUSYBOX} sh -c '{listen}'")
    time.sleep(0.5)
    status, text = sender.run(
        f"sh -c '{BUSYBOX} yes overlay | {BUSYBOX} head -c {len(MESSAGE)} | {BUSYBOX} nc {receiver.address} 9000'",
        40,
    )
    assert status == 0, text
    time.sleep(0.5)
    assert hashlib.md5(MESSAGE).hexdigest() in receiver.run("cat /sum")[1]


def test_largest_packet_is_the_computed_mtu(apps: dict[str, App], hosts: dict[str, Host]) -> None:
    """A packet of the MTU passes unfragmented; one byte more does not."""
    source, target = apps[NAMES[0]], apps[NAMES[1]]
    mtu = int(
        hosts[NAMES[0]].check_output(
            "docker network inspect -f '{{index .Options \"com.docker.network.driver.mtu\"}}' overlay"
        )
    )
    underlay = GROUP["hosts"][NAMES[0]]["overlay_underlay_ip"]
    links = json.loads(hosts[NAMES[0]].check_output("ip -json address show"))
    carrier = next(link for link in links if any(entry.get("local") == underlay for entry in link["addr_info"]))
    assert mtu == carrier["mtu"] - OVERHEAD
    assert source.inside(f"ping -M do -c 2 -W 2 -s {mtu - 28} {target.address}")[0] == 0
    status, text = source.inside(f"ping -M do -c 2 -W 2 -s {mtu - 27} {target.address}")
    assert status != 0, text


def test_tunnels_are_what_crosses_the_underlay(apps: dict[str, App], hosts: dict[str, Host]) -> None:
    """Seen on the card, between the underlay addresses."""
    one, other = NAMES[:2]
    remote = GROUP["hosts"][one]["overlay_underlay_ip"]
    apps[one].host.check_output(f"docker exec -d app {BUSYBOX} ping -c 8 {apps[other].address}")
    seen = hosts[other].run(f"timeout 15 tcpdump -n -i eth1 -c 3 '{FILTER} and src host {remote}'")
    assert SEEN in seen.stdout, seen.stderr


def received(app: App) -> int:
    """Packets that the container has received."""
    return int(app.inside("cat /proc/net/dev")[1].split("eth0:")[1].split()[1])


def test_a_broadcast_arrives_once_and_never_circles(apps: dict[str, App]) -> None:
    """A loop shows as thousands of packets a second in every container."""
    before = {name: received(app) for name, app in apps.items()}
    status, text = apps[NAMES[0]].inside(f"ping -b -c 5 -i 0.2 -W 1 {POOL.broadcast_address}")
    assert "5 packets transmitted" in text, (status, text)
    time.sleep(2)
    after = {name: received(app) for name, app in apps.items()}
    for name in NAMES[1:]:
        assert 5 <= after[name] - before[name] <= 25, (before, after)


def test_container_uses_its_hosts_slice(apps: dict[str, App], hosts: dict[str, Host]) -> None:
    """Addresses come from slices that no two hosts share, and every host has written all of them down."""
    records = {
        name: json.loads(host.check_output("cat /var/lib/crosshost-overlay/slices.json"))
        for name, host in hosts.items()
    }
    assert len({json.dumps(record) for record in records.values()}) == 1
    slices = records[NAMES[0]]["slices"]
    assert len(set(slices.values())) == len(NAMES)
    for name, app in apps.items():
        assert ipaddress.ip_address(app.address) in ipaddress.ip_network(slices[name])
