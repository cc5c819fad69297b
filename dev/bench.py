#!/usr/bin/env python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the overlay in the lab, as ratios within one run: python dev/bench.py [NAME...]

The names that begin with weave_ set Weave Net up, the others Open vSwitch; without names it is those of BENCH_BACKEND.

Every figure is the median of several rounds that alternate between the two things compared, so that a slow moment of the
machine hits both. It prints: bench <name> value=<n> unit=<u> against=<what> ratio=<r>
"""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[1]
LAB = os.environ.get("BENCH_LAB", "lab")
INVENTORY = ROOT / "inventories" / "lab" / "hosts.yml"
WEAVE_VARS = ROOT / ".cache" / "weave" / "vars.yml"
ROUNDS = 5
TIMEOUT = 900  # seconds for one playbook run, the longest thing here
MEGABYTES = 100  # for one throughput round: some seconds with the userspace datapath
BUSYBOX = "/bin/busybox"
OVS = "ovs-vsctl --timeout=60"
PING = "- {hosts: %s, gather_facts: false, tasks: [{ansible.builtin.ping: }]}"
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


def on(host: str, command: str, text: str = "") -> str:
    """Run a shell command on a lab host, with text as its input."""
    argv = ["docker", "exec", "--interactive", f"{LAB}-{host}", "sh", "-c", command]
    done = subprocess.run(argv, input=text.encode(), capture_output=True, timeout=120, check=False)
    if done.returncode:
        sys.exit(f"'{command}' on {host} failed with status {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode()


def play(text: str, *options: str) -> float:
    """Run a playbook, given as text or as the name of one of ours, and return its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "play.yml")
        path.write_text(text, encoding="utf-8")
        name = text if text.startswith("crosshost.") else str(path)
        start = time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", "-i", str(INVENTORY), *options, name],
            cwd=ROOT,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        seconds = time.monotonic() - start
    if done.returncode:
        sys.exit(f"the play failed with status {done.returncode}: {done.stdout.decode()[-3000:]}")
    return seconds


def compare(one: t.Callable[[], float], other: t.Callable[[], float], rounds: int = ROUNDS) -> tuple[float, float]:
    """Return the medians of both, measured in turns after one round that does not count."""
    one(), other()
    pairs = [(one(), other()) for dummy in range(rounds)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def report(name: str, value: float, unit: str, against: str, ratio: float, aim: str) -> None:
    """Print one figure."""
    print(f"bench {name} value={value:.3g} unit={unit} against={against} ratio={ratio:.2f} aim={aim}", flush=True)


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


def bench_tunnels_50() -> None:
    """50 new tunnels on each of two hosts in one task, against a play that only pings them."""

    def ours() -> float:
        clean_bridge("h1", "h2")
        return play(PORTS % ("h1:h2", json.dumps(tunnels(50))))

    value, floor = compare(ours, lambda: play(PING % "h1:h2"))
    report("tunnels_50_new", value, "s", "one_ping_play", value / floor, "<=1.3")


def bench_tunnels_1000() -> None:
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

    value, bare = compare(lambda: timed(PORTS % ("h1", json.dumps(tunnels(1000)))), lambda: timed(BARE), 3)
    on("h1", "rm /root/bench-transaction")
    report("tunnels_1000_new", value, "s", "bare_ovs_vsctl", value / bare, "<=2")


def bench_second_run() -> None:
    """site.yml on three hosts that are as they should be, against a play that only pings them."""
    value, floor = compare(lambda: play("crosshost.overlay.site"), lambda: play(PING % "overlay"), 3)
    report("site_second_run", value, "s", "one_ping_play", value / floor, "<=12")


def throughput(network: str) -> float:
    """Send a stream between two containers on that network and return its Mbit/s."""
    address = on(
        "h2", f"docker inspect -f '{{{{.NetworkSettings.Networks.{network}.IPAddress}}}}' bench-{network}"
    ).strip()
    # The sleep keeps the receiver's input open: nc would otherwise end the connection from its side at once.
    on(
        "h2",
        f"docker exec -d bench-{network} {BUSYBOX} sh -c '{BUSYBOX} sleep 100 | {BUSYBOX} nc -l -p 9001 >/dev/null'",
    )
    time.sleep(0.5)
    send = f"{BUSYBOX} dd if=/dev/zero bs=64k count={MEGABYTES * 16} 2>/dev/null | {BUSYBOX} nc {address} 9001"
    start = time.monotonic()
    on("h1", f"timeout 100 docker exec bench-{network} {BUSYBOX} sh -c {shlex.quote(send)}")
    return MEGABYTES * 8.388608 / (time.monotonic() - start)


def hand_made(host: str, other: str, number: int) -> None:
    """Make by hand what a guide would tell: bridge, tunnel, Docker network, one tied to the other."""
    remote = on(other, "ip -4 -o addr show br-phy").split()[3].split("/")[0]
    on(
        host,
        f"{OVS} -- add-br br-hand -- set Bridge br-hand datapath_type=netdev -- add-port br-hand hand-link"
        " -- set Interface hand-link type=internal mtu_request=1458"
        f" -- add-port br-hand hand-gre -- set Interface hand-gre type=gre options:remote_ip={remote} options:key=99;"
        f"docker network create --subnet 10.77.0.0/16 --ip-range 10.77.{number}.0/24 --gateway 10.77.{number}.1"
        " -o com.docker.network.bridge.name=hand0 -o com.docker.network.driver.mtu=1458 hand;"
        "ip link set hand-link master hand0 up",
    )


def bench_throughput() -> None:
    """TCP between containers of two hosts, against a bridge with a GRE tunnel made by hand on the same datapath."""
    networks = ("overlay", "hand")
    try:
        hand_made("h1", "h2", 1)
        hand_made("h2", "h1", 2)
        for host in ("h1", "h2"):
            on(host, f"tar -C / -c {BUSYBOX[1:]} | docker import - bench:1")
            for network in networks:
                on(host, f"docker run -d --name bench-{network} --network {network} bench:1 {BUSYBOX} sleep 3600")
        value, hand = compare(lambda: throughput("overlay"), lambda: throughput("hand"))
        report("tcp_throughput", value, "Mbit/s", "hand_made_gre_bridge", value / hand, ">=0.97")
    finally:
        for host in ("h1", "h2"):
            on(
                host,
                f"docker rm -f bench-overlay bench-hand; docker rmi bench:1; docker network rm hand; {OVS} --if-exists del-br br-hand",
            )


def bench_weave_unchanged() -> None:
    """weave_launch on three routers that are as they should be, against a play that only pings them."""
    launch = json.loads(on("h1", "docker inspect weave"))[0]["Args"]
    seeds = next(word for word in launch if word.startswith("--ipalloc-init=")).partition("=")[2]
    options = {"mtu": 1376, "ipalloc_init": seeds, "peers": [f"198.18.1.{10 + number}" for number in (1, 2, 3)]}
    task = f"crosshost.overlay.weave_launch: {json.dumps(options)}"
    text = "- {hosts: overlay, gather_facts: false, tasks: [{%s, register: done, failed_when: done is changed}]}"
    value, floor = compare(lambda: play(text % task), lambda: play(PING % "overlay"))
    report("weave_unchanged", value, "s", "one_ping_play", value / floor, "<=1.5")


def bench_weave_second_run() -> None:
    """site.yml on three hosts that are as they should be, against a play that only pings them."""
    options = ("-e", "overlay_backend=weave", "-e", f"@{WEAVE_VARS}")
    value, floor = compare(lambda: play("crosshost.overlay.site", *options), lambda: play(PING % "overlay"), 3)
    report("weave_site_second_run", value, "s", "one_ping_play", value / floor, "<=15")


BENCHES = {
    "tunnels_50": bench_tunnels_50,
    "tunnels_1000": bench_tunnels_1000,
    "second_run": bench_second_run,
    "throughput": bench_throughput,
    "weave_unchanged": bench_weave_unchanged,
    "weave_second_run": bench_weave_second_run,
}


def main() -> None:
    """Set up the overlay once, then measure."""
    backend = os.environ.get("BENCH_BACKEND", "ovs_gre")
    chosen = sys.argv[1:] or [name for name in BENCHES if name.startswith("weave_") == (backend == "weave")]
    unknown = set(chosen) - set(BENCHES)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    if any(name.startswith("weave_") for name in chosen):
        subprocess.run([ROOT / "dev" / "weave_source.sh", WEAVE_VARS], timeout=TIMEOUT, check=True)
        play("crosshost.overlay.site", "-e", "overlay_backend=weave", "-e", f"@{WEAVE_VARS}")
    if any(not name.startswith("weave_") for name in chosen):
        play("crosshost.overlay.site")
    try:
        for name in chosen:
            BENCHES[name]()
    finally:
        for host in ("h1", "h2"):
            on(host, f"! command -v ovs-vsctl >/dev/null || {OVS} --if-exists del-br br-bench")


if __name__ == "__main__":
    main()
