# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers of two hosts get through, against networks that somebody else made on the same hosts."""

from __future__ import annotations

import contextlib
import shlex
import time
import typing as t

from hosts import BUSYBOX, OVS, compare, on, report, underlay

HOSTS = ("h1", "h2")
IMAGE = "bench:1"
MEGABYTES = 100  # for one round: some seconds with the userspace datapath, or with an emulated processor
SWARM = "bench-swarm"
# On a host of its own: a port that no overlay uses.
VXLAN = "type vxlan id 77 dstport 4799 dev eth1"


def start(network: str) -> None:
    """A container on that network on each host."""
    for host in HOSTS:
        on(host, f"docker run -d --name bench-{network} --network {network} {IMAGE} {BUSYBOX} sleep 3600")


@contextlib.contextmanager
def image() -> t.Iterator[None]:
    """The host's own busybox as an image, for as long as it is needed; with it go all containers made of it."""
    try:
        for host in HOSTS:
            on(host, f"tar -C / -c {BUSYBOX[1:]} | docker import - {IMAGE}")
        yield
    finally:
        for host in HOSTS:
            on(host, f"docker ps -aq --filter ancestor={IMAGE} | xargs -r docker rm -f; docker rmi {IMAGE} || true")


def stream(receive: str, send: str, address: str) -> float:
    """Send a stream from the first host to the second, by these prefixes of commands, and return its Mbit/s."""
    # The sleep keeps the receiver's input open: nc would otherwise end the connection from its side at once.
    listen = f"{BUSYBOX} sleep 200 | {BUSYBOX} timeout 200 {BUSYBOX} nc -l -p 9001 >/dev/null"
    on(HOSTS[1], f"setsid {receive} {BUSYBOX} sh -c {shlex.quote(listen)} >/dev/null 2>&1 </dev/null & sleep 1")
    words = f"{BUSYBOX} dd if=/dev/zero bs=64k count={MEGABYTES * 16} 2>/dev/null | {BUSYBOX} nc {address} 9001"
    # Timed over there: logging in is no part of it.
    timed = f"{BUSYBOX} time -f %e timeout 200 {send} {BUSYBOX} sh -c {shlex.quote(words)} 2>&1"
    seconds = float(on(HOSTS[0], timed).split()[-1])
    time.sleep(0.5)
    return MEGABYTES * 8.388608 / seconds


def between_containers(network: str) -> float:
    """Mbit/s on that network."""
    inspect = f"docker inspect -f '{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}' bench-{network}"
    command = f"docker exec bench-{network}"
    return stream(command, command, on(HOSTS[1], inspect).strip())


def between_hosts() -> float:
    """Mbit/s on the underlay."""
    return stream("", "", underlay(HOSTS[1]))


def docker_network(host: str, number: int, mtu: int) -> None:
    """The Docker network that a guide would have people make, and its bridge hand0."""
    on(
        host,
        f"docker network create --subnet 10.77.0.0/16 --ip-range 10.77.{number}.0/24 --gateway 10.77.{number}.1"
        f" -o com.docker.network.bridge.name=hand0 -o com.docker.network.driver.mtu={mtu} hand",
    )


def gre_by_hand(host: str, other: str, number: int) -> None:
    """What a guide would tell: bridge, tunnel, Docker network, one tied to the other."""
    docker_network(host, number, 1458)
    on(
        host,
        f"{OVS} -- add-br br-hand -- set Bridge br-hand datapath_type=netdev -- add-port br-hand hand-link"
        " -- set Interface hand-link type=internal mtu_request=1458"
        f" -- add-port br-hand hand-gre -- set Interface hand-gre type=gre options:remote_ip={underlay(other)} options:key=99;"
        "ip link set hand-link master hand0 up",
    )


def vxlan_by_hand(host: str, other: str, number: int) -> None:
    """The kernel's own tunnel in the kernel's own bridge."""
    docker_network(host, number, 1450)
    on(host, f"ip link add hand-vxlan {VXLAN} remote {underlay(other)}; ip link set hand-vxlan master hand0 up")


@contextlib.contextmanager
def by_hand(make: t.Callable[[str, str, int], None]) -> t.Iterator[None]:
    """A network made by hand, for as long as it is needed."""
    try:
        make(HOSTS[0], HOSTS[1], 1)
        make(HOSTS[1], HOSTS[0], 2)
        yield
    finally:
        for host in HOSTS:
            on(
                host,
                "docker rm -f bench-hand; docker network rm hand; ip link del hand-vxlan 2>/dev/null;"
                f"{OVS} --if-exists del-br br-hand",
            )


def throughput() -> None:
    """TCP between containers of two hosts, against a bridge with a GRE tunnel made by hand on the same datapath."""
    with image(), by_hand(gre_by_hand):
        start("overlay")
        start("hand")
        value, hand = compare(lambda: between_containers("overlay"), lambda: between_containers("hand"))
    report("tcp_throughput", value, "Mbit/s", "hand_made_gre_bridge", value / hand, ">=0.97")


def swarm() -> None:
    """The same against Docker Swarm's overlay network, which the kernel carries."""
    with image():
        try:
            on(HOSTS[0], f"docker swarm init --advertise-addr {underlay(HOSTS[0])}")
            token = on(HOSTS[0], "docker swarm join-token -q worker").strip()
            on(
                HOSTS[1],
                f"docker swarm join --advertise-addr {underlay(HOSTS[1])} --token {token} {underlay(HOSTS[0])}:2377",
            )
            on(HOSTS[0], f"docker network create -d overlay --attachable --subnet 10.78.0.0/16 {SWARM}")
            start("overlay")
            start(SWARM)
            value, other = compare(lambda: between_containers("overlay"), lambda: between_containers(SWARM))
        finally:
            for host in reversed(HOSTS):
                on(host, f"docker rm -f bench-{SWARM}; docker swarm leave --force; true")
    report("tcp_swarm", value, "Mbit/s", "docker_swarm_overlay", value / other, "none")


def kernel() -> None:
    """TCP between containers over the kernel's GRE, against the underlay and against a VXLAN bridge made by hand."""
    with image(), by_hand(vxlan_by_hand):
        start("overlay")
        start("hand")
        value, hand, bare = compare(
            lambda: between_containers("overlay"), lambda: between_containers("hand"), between_hosts
        )
    report("tcp_kernel_gre", value, "Mbit/s", "underlay", value / bare, "none")
    report("tcp_kernel_gre", value, "Mbit/s", "hand_made_vxlan_bridge", value / hand, ">=1")
