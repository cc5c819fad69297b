# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Three hosts on a switch, each a network namespace: what the engine says when all is well, and when it is not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils._netns import (
    NamespaceError,
    call,
    read_pid_file,
    start_echo,
    stop_echo,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._probe import Settings, Target, probe

PREFIX = sys.argv[1]
SWITCH = f"{PREFIX}s"
QUICK = Settings(count=5, interval=0.05, timeout=0.5, tcp_timeout=1.0)


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

    def end(self) -> None:
        stop_echo(self.pid_file)
        self.container.kill()
        self.container.wait()


def measure(source: Host, targets: t.Sequence[Host], settings: Settings = QUICK) -> list[dict[str, t.Any]]:
    wanted = [Target(host.name, host.address) for host in targets]
    return call(source.path, lambda: probe(wanted, settings), 20)


def wait_for_namespace(host: Host) -> None:
    """Wait until 'ip netns exec' has entered the namespace; before that the process is in that of its parent."""
    for dummy in range(100):
        if os.stat(f"/proc/{host.container.pid}/ns/net").st_ino == os.stat(host.path).st_ino:
            return
        time.sleep(0.05)
    raise AssertionError(f"{host.name} did not start")


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

        well = measure(first, [second, third])
        check(all(item["received"] == 5 and item["loss"] == 0 and item["tcp"]["ok"] for item in well), "all well", well)
        check(all(0 < item["rtt_ms"]["min"] < 100 for item in well), "round trips", well)
        check(not any(item["duplicates"] for item in well), "no duplicates", well)

        # A switch port that drops long frames without a word: what a wrong MTU or a checksum fault looks like.
        ip("-n", SWITCH, "link", "set", third.port, "mtu", "600")
        narrow = measure(first, [second, third])
        check(narrow[0]["loss"] == 0 and narrow[0]["tcp"]["ok"], "others do not suffer from a narrow link", narrow)
        check(narrow[1]["received"] == 3, "small packets pass a narrow link", narrow)
        check(narrow[1]["full_size"] == {"bytes": 1500, "sent": 2, "received": 0}, "large ones do not", narrow)
        check("stalled" in str(narrow[1]["tcp"]["error"]), "TCP finds a narrow link", narrow)
        ip("-n", SWITCH, "link", "set", third.port, "mtu", "1500")

        stop_echo(third.pid_file)
        refused = measure(first, [third])
        check("refused" in refused[0]["tcp"]["error"].lower(), "no echo service", refused)

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
