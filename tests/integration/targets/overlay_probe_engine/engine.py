# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three hosts on a switch, each a network namespace: what the engine says when all is well, and when it is not."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils._netns import (
    NamespaceError,
    call,
    enter,
    read_pid_file,
    start_echo,
    stop_echo,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._probe import probe
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_echo import HEADERS, PAYLOAD, Settings, Target
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_sweep import Source, sweep

PREFIX = sys.argv[1]
SWITCH = f"{PREFIX}s"
ALL = 3  # every protocol, before the bridge takes the frame (linux/if_ether.h)
ALTERED = "what came back differs from what was sent"
QUICK = Settings(count=5, interval=0.05, timeout=0.5, tcp_timeout=1.0, pause=0.2)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=10)


class Host:
    """A namespace with a process that stands for a container."""

    def __init__(self, number: int) -> None:
        self.name, self.port = f"{PREFIX}{number}", f"p{number}"
        self.address = f"10.99.0.{number}"
        ip("netns", "add", self.name)
        ip("-n", SWITCH, "link", "add", self.port, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("-n", SWITCH, "link", "set", self.port, "master", "br0", "up")
        ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        # Segments as they go over a wire; else the kernel hands on 64 KiB at once, whatever the MTU of the port.
        ip("-n", self.name, "link", "set", "eth0", "gso_max_segs", "1", "up")
        self.container = subprocess.Popen(["ip", "netns", "exec", self.name, "sleep", "100"])
        self.path = f"/run/netns/{self.name}"
        self.pid_file = os.path.join(tempfile.gettempdir(), f"{self.name}.json")

    def serve(self) -> None:
        start_echo(self.container.pid, self.address, 7, 60, self.pid_file)

    def source(self) -> Source:
        return Source(self.name, self.address, self.path)

    def end(self) -> None:
        stop_echo(self.pid_file)
        self.container.kill()
        self.container.wait()


def observe(source: Host, targets: t.Sequence[Host], settings: Settings = QUICK) -> dict[str, t.Any]:
    wanted = [Target(host.name, host.address) for host in targets]
    return call(source.path, lambda: probe(wanted, settings, source.address), 20)


def measure(source: Host, targets: t.Sequence[Host], settings: Settings = QUICK) -> list[dict[str, t.Any]]:
    return observe(source, targets, settings)["results"]


@contextlib.contextmanager
def meanwhile(namespace: str, work: t.Callable[[], None]) -> t.Iterator[None]:
    """Have a process do something in a namespace, for as long as it is needed and no longer than 20 seconds."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        enter(f"/run/netns/{namespace}")
        os.write(writer, b"x")
        work()
        os._exit(0)
    try:
        os.read(reader, 1)
        time.sleep(0.1)
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


def keep_probing(source: Host, target: Host) -> None:
    """What another host does at the same time."""
    while True:
        observe(source, [target])


def alter_datagrams(address: str) -> None:
    """An echo service for UDP that changes a byte."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 7))
        while True:
            data, source = sock.recvfrom(2000)
            sock.sendto(data[:-1] + bytes([data[-1] ^ 1]), source)


def answer_some(lost: t.Callable[[int], bool], usual: bool = True) -> None:
    """A host that answers echo requests but for those of the usual size, or all others, that lost() says, by their number from 0."""
    seen = 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        while True:
            packet, source = sock.recvfrom(9000)
            request = packet[20:]
            if request[0] != 8:
                continue
            if (len(packet) == PAYLOAD + HEADERS) == usual:
                seen += 1
                if lost(seen - 1):
                    continue
            # The kind 0 in place of 8 leaves a sum that is larger by 0x0800.
            total = int.from_bytes(request[2:4], "big") + 0x0800
            total = (total & 0xFFFF) + (total >> 16)
            sock.sendto(bytes(2) + total.to_bytes(2, "big") + request[4:], source)


def repeat_replies(origin: str, target: str) -> None:
    """A switch that hands on every echo reply twice."""
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL)) as sock,
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out,
    ):
        sock.bind((origin, ALL))
        out.bind((target, 0))
        while True:
            frame, origin_of = sock.recvfrom(2000)
            if (
                origin_of[2] != socket.PACKET_OUTGOING
                and frame[12:14] == b"\x08\0"
                and frame[23] == socket.IPPROTO_ICMP
                and frame[34] == 0
            ):
                out.send(frame)


def wait_for_namespace(host: Host) -> None:
    """Wait until 'ip netns exec' has entered the namespace; before that the process is in that of its parent."""
    for dummy in range(100):
        if os.stat(f"/proc/{host.container.pid}/ns/net").st_ino == os.stat(host.path).st_ino:
            return
        time.sleep(0.05)
    raise AssertionError(f"{host.name} did not start")


def in_namespace(host: Host, *words: str) -> None:
    ip("netns", "exec", host.name, *words)


def storm(first: Host, second: Host) -> None:
    """Close a loop, slow enough for this machine to bear it, and open it again."""
    ip("-n", SWITCH, "link", "add", "br1", "type", "bridge")
    ip("-n", SWITCH, "link", "set", "br1", "up")
    for number in (1, 2):
        ip("-n", SWITCH, "link", "add", f"la{number}", "type", "veth", "peer", "name", f"lb{number}")
        for side, bridge in (("a", "br0"), ("b", "br1")):
            name = f"l{side}{number}"
            limit = ["rate", "2mbit", "burst", "4kb", "latency", "20ms"]
            ip("netns", "exec", SWITCH, "tc", "qdisc", "add", "dev", name, "root", "tbf", *limit)
            ip("-n", SWITCH, "link", "set", name, "master", bridge, "up")
    try:
        began = time.monotonic()
        seen = observe(first, [second])
        check(seen["broadcast"]["amplified"], "a loop is a storm", seen)
        check(seen["broadcast"]["returned"] > 5, "our own broadcasts come back", seen)
        check(time.monotonic() - began < QUICK.deadline(1) + 2, "a storm ends in time", time.monotonic() - began)
        # Also by a short look.
        later = observe(first, [second], dataclasses.replace(QUICK, count=1))
        check(later["broadcast"]["copies"] > 5, "a storm is seen again", later)
    finally:
        ip("-n", SWITCH, "link", "delete", "la1")
        ip("-n", SWITCH, "link", "delete", "la2")
    time.sleep(0.3)
    calm = observe(first, [second])
    check(not calm["broadcast"]["amplified"] and calm["results"][0]["loss"] == 0, "the storm is over", calm)


def check(condition: object, what: str, evidence: object) -> None:
    if not condition:
        raise AssertionError(f"{what}: {evidence}")
    sys.stdout.write(f"ok: {what}\n")


def main() -> None:
    ip("netns", "add", SWITCH)
    ip("-n", SWITCH, "link", "add", "br0", "type", "bridge")
    ip("-n", SWITCH, "link", "set", "br0", "up")
    hosts = [Host(number) for number in (1, 2, 3)]
    first, second, third = hosts
    try:
        for host in hosts:
            wait_for_namespace(host)
            host.serve()

        seen = observe(first, [second, third])
        well = seen["results"]
        check(all(item["received"] == 5 and item["loss"] == 0 and item["tcp"]["ok"] for item in well), "all well", well)
        check(all(0 < item["rtt_ms"]["min"] < 100 for item in well), "round trips", well)
        check(not any(item["duplicates"] for item in well), "no duplicates", well)
        check(all(item["udp"]["ok"] and item["udp"]["received"] == 2 for item in well), "datagrams", well)
        whole = {"bytes": 1500, "ok": True, "sent": 2, "received": 2, "above": {"bytes": 1501, "refused": True}}
        check(all(item["mtu"] == whole for item in well), "the largest packet passes, one more byte does not", well)
        check(all(item["fragmented"]["received"] == 2 for item in well), "fragments", well)
        check(seen["broadcast"]["sent"] == 3 and not seen["broadcast"]["amplified"], "no false storm", seen)
        with meanwhile(second.name, lambda: keep_probing(second, third)):
            heard = observe(first, [second])["broadcast"]
        check(heard["received"] == {second.name: 1} and not heard["amplified"], "a probe hears others once", heard)

        # A network whose MTU is not what its interfaces have: the packet that should be too long passes.
        smaller = measure(first, [second], dataclasses.replace(QUICK, mtu=1499))[0]["mtu"]
        check(smaller["ok"] and not smaller["above"]["refused"], "interfaces too large by one byte", smaller)
        larger = measure(first, [second], dataclasses.replace(QUICK, mtu=1501))[0]["mtu"]
        check(not larger["ok"] and larger["above"]["refused"], "interfaces too small by one byte", larger)
        ip("-n", SWITCH, "link", "set", third.port, "mtu", "1499")
        short = measure(first, [second, third])
        check([item["mtu"]["received"] for item in short] == [2, 0], "a path too narrow by one byte", short)
        check(short[1]["loss"] == 0 and not short[1]["tcp"]["ok"], "TCP finds that too", short)
        ip("-n", SWITCH, "link", "set", third.port, "mtu", "1500")

        for bound in ("low", "high"):
            in_namespace(third, "sysctl", "-q", "-w", f"net.ipv4.ipfrag_{bound}_thresh={int(bound == 'high')}")
        cut = measure(first, [second, third])
        check([item["fragmented"]["ok"] for item in cut] == [True, False], "fragments that are dropped", cut)
        check(all(item["mtu"]["ok"] and item["loss"] == 0 for item in cut), "whole packets pass meanwhile", cut)
        for bound in ("high", "low"):
            in_namespace(third, "sysctl", "-q", "-w", f"net.ipv4.ipfrag_{bound}_thresh=4194304")

        with meanwhile(SWITCH, lambda: repeat_replies(second.port, first.port)):
            twice = measure(first, [second, third])
        check(twice[0]["duplicates"] > 0 == twice[1]["duplicates"], "duplicates", twice)

        in_namespace(third, "sysctl", "-q", "-w", "net.ipv4.icmp_echo_ignore_all=1")
        with meanwhile(third.name, lambda: answer_some(lambda number: number == 2)):
            chance = measure(first, [second, third])
        check([item["loss"] for item in chance] == [0, 0], "a packet lost by chance is asked for again", chance)
        check(
            [item["first"] for item in chance] == [None, {"sent": 5, "received": 4}], "it is told all the same", chance
        )
        check([item["sent"] for item in chance] == [5, 20], "twenty times", chance)
        with meanwhile(third.name, lambda: answer_some(lambda number: number < 4, usual=False)):
            large = measure(first, [third])[0]
        check(large["mtu"]["ok"] and large["fragmented"]["ok"], "so are large packets and fragments", large)
        check(large["first"] == {"sent": 5, "received": 5}, "that is told, too", large)
        with meanwhile(third.name, lambda: answer_some(lambda number: number % 5 == 2)):
            lasting = measure(first, [second, third])
        check([item["loss"] for item in lasting] == [0, 20], "a loss that lasts is none by chance", lasting)
        in_namespace(third, "sysctl", "-q", "-w", "net.ipv4.icmp_echo_ignore_all=0")

        began = time.monotonic()
        ends = [(host.name, host.name, host.address) for host in hosts]
        swept = call(first.path, lambda: sweep([host.source() for host in hosts], ends, 0.5), 20)
        check([item["answered"] for item in swept] == [2, 2, 2], "all containers to all others", swept)
        ip("-n", SWITCH, "link", "set", third.port, "down")
        swept = call(first.path, lambda: sweep([first.source(), second.source()], ends, 0.5), 20)
        check([(item["pairs"], item["answered"]) for item in swept] == [(1, 1), (1, 1), (2, 0)], "one is lost", swept)
        check(swept[2]["failed"][0]["target_address"] == third.address, "the lost one is named", swept)
        ip("-n", SWITCH, "link", "set", third.port, "up")
        check(time.monotonic() - began < 8, "a sweep ends in time", time.monotonic() - began)

        storm(first, second)

        # A switch port that drops long frames without a word: what a wrong MTU or a checksum fault looks like.
        ip("-n", SWITCH, "link", "set", third.port, "mtu", "600")
        narrow = measure(first, [second, third])
        check(narrow[0]["loss"] == 0 and narrow[0]["tcp"]["ok"], "others do not suffer from a narrow link", narrow)
        check(narrow[1]["received"] == narrow[1]["sent"], "small packets pass a narrow link", narrow)
        check(narrow[1]["mtu"]["sent"] == 2 and not narrow[1]["mtu"]["received"], "large ones do not", narrow)
        check("stalled" in str(narrow[1]["tcp"]["error"]), "TCP finds a narrow link", narrow)
        ip("-n", SWITCH, "link", "set", third.port, "mtu", "1500")

        stop_echo(third.pid_file)
        refused = measure(first, [third])
        check("refused" in refused[0]["tcp"]["error"].lower(), "no echo service", refused)
        check("port unreachable" in refused[0]["udp"]["error"], "no echo service for datagrams", refused)
        with meanwhile(third.name, lambda: alter_datagrams(third.address)):
            altered = measure(first, [second, third])
        check([item["udp"]["error"] for item in altered] == [None, ALTERED], "altered datagrams", altered)

        ip("-n", SWITCH, "link", "set", third.port, "down")
        began = time.monotonic()
        dead = measure(first, [second, third])
        check(dead[0]["loss"] == 0 and dead[1]["loss"] == 100 and not dead[1]["tcp"]["ok"], "one dead link", dead)
        check(time.monotonic() - began < QUICK.deadline(2), "a dead link ends in time", time.monotonic() - began)

        ip("-n", first.name, "link", "set", "eth0", "down")
        unreachable = measure(first, [second])
        check("unreachable" in unreachable[0]["note"], "no route", unreachable)

        second.container.kill()
        second.container.wait()
        time.sleep(2.5)
        check(read_pid_file(second.pid_file) is None, "the echo service ends with its container", second.pid_file)

        try:
            call(first.path, lambda: time.sleep(30), 0.5)
        except NamespaceError as exc:
            check("within 0.5 seconds" in str(exc), "a hang ends at the timeout", exc)
        else:
            raise AssertionError("a hang was not noticed")
    finally:
        for host in hosts:
            host.end()


main()
