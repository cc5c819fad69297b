# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pairs of containers lose while something else is done to the overlay: 100 packets a second in each direction."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import re
import tempfile
import time
import typing as t
from dataclasses import dataclass

from hosts import BACKEND, BUSYBOX, backend_options, group, inventory_of, on, play, report

IMAGE = "outage:1"
NAME = "bench-outage"
LOG = "/root/bench-outage"
INTERVAL = 0.01  # seconds between two packets
REST = 2  # seconds before and after what is measured
LONGEST = 600  # seconds after which a stream ends by itself; its numbers begin anew after 655
UNANSWERED = 5  # packets at the end, whose answers ping does not wait for
OPTIONS = backend_options(BACKEND)
NETWORK = "weave" if BACKEND == "weave" else "overlay"
SITE = "crosshost.overlay.site"
# Clocks and proofs take time and lose nothing; the run that nobody needs is measured whole.
BRIEF = ("--skip-tags=clock,verify",)


@dataclass(frozen=True)
class Outage:
    """What was sent and lost meanwhile, and the longest time without an answer, in milliseconds."""

    name: str
    aim: str
    sent: int
    lost: int
    gap: int


class Stream:
    """Packets from a container of one host to that of another, until it is told to stop. It begins when they reach each other."""

    def __init__(self, source: str, target: str) -> None:
        self.source = source
        address = f"docker inspect -f '{{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}' {NAME}"
        enter = f"nsenter --net=/proc/$(docker inspect -f '{{{{.State.Pid}}}}' {NAME})/ns/net"
        to = on(target, f'for i in $(seq 60); do test -n "$({address})" && break; sleep 1; done; {address}').strip()
        on(
            source,
            f"for i in $(seq 60); do {enter} ping -c 1 -W 1 {to} > /dev/null 2>&1 && exit 0; sleep 1; done; exit 1",
        )
        ping = f"exec timeout {LONGEST} {enter} ping -i {INTERVAL} -W 2 {to}"
        on(source, f'setsid sh -c "{ping}" > {LOG} 2>&1 < /dev/null & sleep 0.5; pgrep -n -x ping > {LOG}.pid')

    def stop(self) -> tuple[int, list[int]]:
        """How many were sent, and the numbers of those without an answer. The last ones do not count."""
        text = on(self.source, f"kill -INT $(cat {LOG}.pid); sleep 1; cat {LOG}; rm {LOG} {LOG}.pid")
        found = re.search(r"(\d+) packets transmitted", text)
        sent = int(found[1]) - UNANSWERED if found else 0
        answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", text)}
        return sent, sorted(set(range(1, sent + 1)) - answered)


def longest_gap(lost: t.Sequence[int]) -> int:
    """Milliseconds of the longest run of numbers."""
    best = current = 0
    for before, number in zip([-1, *lost], lost, strict=False):
        current = current + 1 if number == before + 1 else 1
        best = max(best, current)
    return round(best * INTERVAL * 1000)


@contextlib.contextmanager
def containers(names: t.Sequence[str]) -> t.Iterator[None]:
    """One on the overlay of each of these hosts."""
    try:
        for name in names:
            on(name, f"docker rm -f {NAME} 2> /dev/null; tar -C / -c {BUSYBOX[1:]} | docker import - {IMAGE}")
            on(name, f"docker run -d --name {NAME} --restart always --network {NETWORK} {IMAGE} {BUSYBOX} sleep 86400")
        yield
    finally:
        for name in names:
            on(name, f"docker rm -f {NAME}; docker rmi {IMAGE} || true")


def measure(names: t.Sequence[str], name: str, aim: str, action: t.Callable[[], object]) -> Outage:
    """Do something while each of these hosts sends to the next one."""
    streams = [Stream(source, target) for source, target in zip(names, [*names[1:], names[0]], strict=True)]
    time.sleep(REST)
    action()
    time.sleep(REST)
    found = [stream.stop() for stream in streams]
    return Outage(
        name,
        aim,
        sum(sent for sent, dummy in found),
        sum(len(lost) for dummy, lost in found),
        max(longest_gap(lost) for dummy, lost in found),
    )


def peers_change(names: t.Sequence[str]) -> None:
    """The last host goes out of the inventory, and comes back into it."""
    with tempfile.TemporaryDirectory() as folder:
        play(SITE, *OPTIONS, *BRIEF, inventory=inventory_of(names, pathlib.Path(folder, "hosts.yml")))
    play(SITE, *OPTIONS, *BRIEF)


def upgrade(host: str) -> None:
    """Of one host. There is no newer release here: routers are launched anew with another option, the switch is restarted as its package does."""
    limit = ("--limit", host)
    if BACKEND == "weave":
        play("crosshost.overlay.upgrade", *OPTIONS, "-e", "weave_connection_limit=199", *limit)
        return
    play("crosshost.overlay.upgrade", *OPTIONS, "-e", "upgrade_packages=true", *limit)
    on(host, "systemctl restart openvswitch-switch")


def rotate() -> None:
    """Another password or key on all hosts."""
    new = "weave_password=bench" if BACKEND == "weave" else "ovs_gre_key=77"
    play("crosshost.overlay.rotate", *OPTIONS, "-e", new, "-e", "rotate_confirm=true")


@contextlib.contextmanager
def firewalld(host: str) -> t.Iterator[None]:
    """A host behind firewalld, with what the overlay needs open in it; without it afterwards."""
    try:
        on(
            host,
            "DEBIAN_FRONTEND=noninteractive apt-get -qq -y install firewalld > /dev/null && systemctl start firewalld",
        )
        play(SITE, *OPTIONS, *BRIEF)
        yield
    finally:
        on(
            host,
            "systemctl stop firewalld; DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge firewalld > /dev/null; systemctl reset-failed docker",
        )
        play(SITE, *OPTIONS, *BRIEF)


def outage() -> None:
    """The table of outages: what the pairs of all hosts but the last one lose."""
    *stay, last = group()["hosts"]
    leave = ("-e", f"remove_host={last}", "-e", f"remove_host_confirm={last}")
    found: list[Outage] = []
    with containers(stay):
        told = functools.partial(measure, stay)
        found.append(told("second_run", "0", lambda: play(SITE, *OPTIONS)))
        # Runs prove every pair at their end; what those packets cost the userspace switches is told by itself.
        found.append(told("proof_alone", "none", lambda: play("crosshost.overlay.verify", *OPTIONS)))
        found.append(told("host_removed", "0", lambda: play("crosshost.overlay.remove_host", *OPTIONS, *leave)))
        found.append(told("host_added", "0", lambda: play(SITE, *OPTIONS)))
        found.append(told("peers_changed", "0", lambda: peers_change(stay)))
        found.append(told("upgrade_of_another_host", "0", lambda: upgrade(last)))
        play(SITE, *OPTIONS, *BRIEF)
        found.append(told("rotation", "none", rotate))
        play(SITE, *OPTIONS, *BRIEF)
        with firewalld(stay[0]):
            found.append(told("firewalld_reload", "none", lambda: on(stay[0], "firewall-cmd --reload")))
    for item in found:
        ratio = item.lost / item.sent if item.sent else 1.0
        report(f"outage_{BACKEND}_{item.name}", item.lost, "packets", "sent", ratio, item.aim)
    print(f"\n{'during':<28} {'sent':>8} {'lost':>8} {'longest gap':>12} {'aim':>6}")
    for item in found:
        print(f"{item.name:<28} {item.sent:>8} {item.lost:>8} {item.gap:>9} ms {item.aim:>6}", flush=True)
