# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, stop and cut the power of the virtual machines of one lab.

usage: machines.py up STATE_DIR --image DIR --accel kvm|tcg --hosts N ...   (see --help)
       machines.py power STATE_DIR HOST cut|restore|cycle
       machines.py down STATE_DIR

A machine is a QEMU process whose arguments name its pid file, STATE_DIR/h1.pid. That is how one is found, and the only thing that is
ever ended: pid files that outlive their process, and numbers that something else now has, do no harm.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import ipaddress
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import segment

# One block of ports per lab: the first is the underlay's, the others lead to ssh on h1, h2, ...
BLOCK = 20
BLOCKS = range(20000, 32000, BLOCK)
MAX_HOSTS = BLOCK - 1
# All that can be emulated, but for what a kernel uses where it is there, although it is slower than going without: copying byte by byte
# (erms, fsrm), a fifth level of page tables, and another translation of addresses for each access to a program's memory (smap).
EMULATED = "max,erms=off,fsrm=off,la57=off,smap=off"


def fail(message: str) -> NoReturn:
    """End with a message on standard error."""
    raise SystemExit(f"lab: {message}")


@dataclasses.dataclass(frozen=True)
class Lab:
    """What is the same for all machines of a lab; kept in its directory as lab.json."""

    directory: Path
    image: str
    accel: str
    management: ipaddress.IPv4Network
    underlay: ipaddress.IPv4Network
    mtu: int
    memory: int
    cpus: int
    base_port: int

    @property
    def seed(self) -> bytes:
        """Return bytes that are this lab's own."""
        return hashlib.sha256(str(self.directory).encode()).digest()

    def segment(self) -> segment.Segment:
        """Return the wire between the hosts: an IPv4 multicast group on the loopback interface."""
        return segment.Segment(f"239.255.{self.seed[0]}.{self.seed[1]}", self.base_port)

    def save(self) -> None:
        """Write what another command needs to know."""
        text = json.dumps(dataclasses.asdict(self), default=str, indent=2) + "\n"
        # Whole or not at all, should this be interrupted.
        new = self.directory / "lab.new"
        new.write_text(text, encoding="utf-8")
        new.rename(self.directory / "lab.json")

    @classmethod
    def load(cls, directory: Path) -> Lab:
        """Return the lab that lives in a directory."""
        try:
            known = json.loads((directory / "lab.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            fail(f"There is no lab of virtual machines in {directory}. Start one with: make lab-up LAB=vm")
        return cls(
            **{
                **known,
                "directory": directory,
                "management": ipaddress.IPv4Network(known["management"]),
                "underlay": ipaddress.IPv4Network(known["underlay"]),
            }
        )


@dataclasses.dataclass(frozen=True)
class Host:
    """One virtual machine of a lab."""

    lab: Lab
    number: int

    @property
    def name(self) -> str:
        """Return its name: h1, h2, ..."""
        return f"h{self.number}"

    @property
    def port(self) -> int:
        """Return the port of 127.0.0.1 that leads to its ssh."""
        return self.lab.base_port + self.number

    @property
    def management(self) -> str:
        """Return its address on the management network."""
        return str(self.lab.management[10 + self.number])

    @property
    def underlay(self) -> str:
        """Return its address on the underlay."""
        return str(self.lab.underlay[10 + self.number])

    def path(self, suffix: str) -> Path:
        """Return the path of one of its files."""
        return self.lab.directory / f"{self.name}.{suffix}"

    def mac(self, card: int) -> str:
        """Return the MAC address of a network card."""
        return "52:54:{:02x}:{:02x}:{:02x}:{:02x}".format(*self.lab.seed[2:4], card, self.number)

    def kernel_arguments(self) -> str:
        """Return the kernel's command line. What the kernel does not know becomes the environment of lab-init."""
        management, underlay = self.lab.management, self.lab.underlay
        words = [
            "root=/dev/nvme0n1",
            "rw",
            "console=ttyS0",
            "quiet",
            "panic=10",
            "net.ifnames=0",
            "init=/usr/local/sbin/lab-init",
        ]
        # Which mitigations an emulated processor would need nobody can say; they cost it a lot.
        words += ["mitigations=off", "systemd.show_status=0"]
        # The journal would turn it on: each system call takes longer then, and nobody reads it.
        words += ["audit=0"]
        # An emulator translates code anew for each address that it runs at. At the same one in each process, programs start in a
        # third of the time.
        if self.lab.accel == "tcg":
            words += ["norandmaps"]
        public_key = (self.lab.directory / "id_ed25519.pub").read_text(encoding="ascii").strip()
        environment = {
            "LAB_HOST": self.name,
            "LAB_MANAGEMENT": f"{self.management}/{management.prefixlen}",
            "LAB_GATEWAY": management[2],
            "LAB_NAMESERVER": management[3],
            "LAB_UNDERLAY": f"{self.underlay}/{underlay.prefixlen}",
            "LAB_MTU": self.lab.mtu,
            "LAB_AUTHORIZED_KEY": f'"{public_key}"',
        }
        return " ".join(words + [f"{key}={value}" for key, value in environment.items()])

    def command(self) -> list[str]:
        """Return the command that is this machine."""
        lab = self.lab
        management = (
            f"user,id=management,ipv6=off,net={lab.management},host={lab.management[2]},dns={lab.management[3]},"
            f"dhcpstart={lab.management[9]},hostfwd=tcp:127.0.0.1:{self.port}-{self.management}:22"
        )
        return [
            "qemu-system-x86_64", "-name", f"{lab.directory.name}-{self.name}", "-pidfile", str(self.path("pid")), "-daemonize",
            "-nodefaults", "-no-user-config", "-display", "none", "-M", "pc",
            *(["-accel", "kvm", "-cpu", "host"] if lab.accel == "kvm" else ["-accel", "tcg,thread=multi", "-cpu", EMULATED]),
            "-smp", str(lab.cpus), "-m", str(lab.memory),
            "-uuid", str(uuid.uuid5(uuid.NAMESPACE_URL, str(self.path("pid")))),
            # The hardware clock runs with the machine's; after a power cut a host starts with that time again.
            "-rtc", "base=utc,clock=host",
            "-kernel", f"{lab.image}/vmlinuz", "-append", self.kernel_arguments(),
            "-drive", f"file={self.path('qcow2')},format=qcow2,if=none,id=disk,cache=unsafe,discard=unmap",
            "-device", "nvme,drive=disk,serial=lab",
            "-netdev", management, "-device", f"virtio-net-pci,netdev=management,romfile=,mac={self.mac(1)}",
            "-netdev", f"socket,id=underlay,mcast={lab.segment()},localaddr=127.0.0.1",
            "-device", f"virtio-net-pci,netdev=underlay,romfile=,mac={self.mac(2)}",
            "-device", "virtio-rng-pci", "-serial", f"file:{self.path('console')}",
        ]  # fmt: skip

    def ssh(self, *command: str, seconds: float) -> subprocess.CompletedProcess[str]:
        """Run a command on the host."""
        directory = self.lab.directory
        options = [
            f"IdentityFile={directory}/id_ed25519",
            f"UserKnownHostsFile={directory}/known_hosts",
            "StrictHostKeyChecking=yes",
        ]
        options += [
            "GlobalKnownHostsFile=/dev/null",
            "IdentitiesOnly=yes",
            "CheckHostIP=no",
            "BatchMode=yes",
            "ConnectTimeout=30",
        ]
        words = [word for option in options for word in ("-o", option)]
        line = ["ssh", "-F", "none", *words, "-p", str(self.port), "root@127.0.0.1", *command]
        return subprocess.run(
            line, capture_output=True, text=True, check=False, timeout=seconds, stdin=subprocess.DEVNULL
        )

    def console(self) -> str:
        """Return what it has written to its serial console."""
        with contextlib.suppress(FileNotFoundError):
            return self.path("console").read_text(encoding="utf-8", errors="replace")
        return ""

    def see(self) -> str:
        """Say where to look, with the last lines of the console."""
        tail = "\n".join(self.console().splitlines()[-10:])
        return f"See {self.path('console')}, whose last lines are:\n{tail}"


def running(directory: Path) -> dict[str, int]:
    """Return the machines of a lab that run, whoever started them: name and process id."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        words: list[str] = []
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        if not Path(words[0] if words else "").name.startswith("qemu-system-") or "-pidfile" not in words:
            continue
        pid_file = Path(words[words.index("-pidfile") + 1])
        if pid_file.parent == directory:
            found[pid_file.stem] = int(process.name)
    return found


def cut(directory: Path, names: set[str] | None = None) -> list[str]:
    """Cut the power of machines, of all without names; return which ones had any."""
    ended = []
    for name, pid in sorted(running(directory).items()):
        if names is not None and name not in names:
            continue
        with contextlib.suppress(ProcessLookupError):
            # From here on it is this process or none, never another one with its number.
            handle = os.pidfd_open(pid)
            try:
                if running(directory).get(name) == pid:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    ended.append(name)
                # Readable when it is gone, and its ports are free.
                if not select.select([handle], [], [], 20)[0]:
                    fail(
                        f"{name} (process {pid}) was killed and does not end within 20 s. See /proc/{pid}/status and /proc/{pid}/stack."
                    )
            finally:
                os.close(handle)
    return ended


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Start and stop machines of the labs in this directory's parent one command at a time."""
    # The directory that holds all of them: it stays when a lab is removed.
    handle = os.open(directory.parent, os.O_RDONLY)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    fail(
                        f"Another command has been starting or stopping machines for two minutes (lock on {directory.parent})."
                    )
                time.sleep(0.2)
        yield
    finally:
        os.close(handle)


def port_is_free(port: int) -> bool:
    """Tell whether nothing listens on a TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_block(directory: Path, hosts: int) -> int:
    """Return the first port of the lab's block: the one it has, or a free one; always the same as long as nobody takes it."""
    wanted = int.from_bytes(hashlib.sha256(str(directory).encode()).digest()[4:8]) % len(BLOCKS)
    if (directory / "lab.json").exists():
        wanted = BLOCKS.index(Lab.load(directory).base_port)
        if running(directory):
            return BLOCKS[wanted]
    for attempt in range(len(BLOCKS)):
        base = BLOCKS[(wanted + attempt) % len(BLOCKS)]
        if all(map(port_is_free, range(base + 1, base + 1 + hosts))) and not segment.port_in_use(base):
            return base
    fail(f"No {hosts} free ports of 127.0.0.1 next to each other between {BLOCKS[0]} and {BLOCKS[-1] + BLOCK}.")


def start(host: Host) -> bool:
    """Start a machine unless it runs; return whether it was started."""
    lab = host.lab
    started = host.name not in running(lab.directory)
    if started:
        launch(host)
    # Also of one that runs: an earlier command may have been interrupted just before.
    process = running(lab.directory).get(host.name)
    if process is None:
        fail(f"The machine {host.name} ended right after it was started. {host.see()}")
    if refused := segment.ignore_own(process, lab.segment(), host.mac(2)):
        sys.stderr.write(
            f"lab: {host.name} gets the frames it sends on eth1 back; no filter for its socket: {refused}\n"
        )
    return started


def launch(host: Host) -> None:
    """Start a machine that does not run, with the disk it has or a new one."""
    lab = host.lab
    if not port_is_free(host.port):
        fail(
            f"Port {host.port} of 127.0.0.1, which is to lead to ssh on {host.name}, is in use. 'ss -ltnp sport = :{host.port}' shows by what."
        )
    backing = f"{lab.image}/disk.raw"
    disk = host.path("qcow2")
    if not disk.exists():
        # Whole or not at all: an interrupted command leaves no disk that cannot be read.
        new = host.path("new")
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", "raw", str(new)], check=True, timeout=60
        )
        new.rename(disk)
    host.path("pid").unlink(missing_ok=True)
    command = host.command()
    host.path("command").write_text(shlex.join(command) + "\n", encoding="utf-8")
    with contextlib.suppress(FileNotFoundError):
        host.path("console").rename(host.path("console.1"))
    # QEMU's hardware clock counts whole seconds from its start: begin with one, so that it agrees with this machine's.
    time.sleep(1 - time.time() % 1)
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL)
    if run.returncode:
        fail(
            f"QEMU did not start {host.name}: {run.stderr.strip() or f'status {run.returncode}'} (its command: {host.path('command')})"
        )


def banner(port: int) -> bool:
    """Tell whether an ssh server answers on a port of 127.0.0.1."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        # An emulated machine with much to do needs a while for its first words.
        connection.settimeout(20)
        return connection.recv(4) == b"SSH-"
    return False


def wait(hosts: list[Host], seconds: float) -> list[str]:
    """Wait until hosts are up; write their host keys down; return the lines about units that failed."""
    deadline = time.monotonic() + seconds
    for host in hosts:
        while not banner(host.port):
            if host.name not in running(host.lab.directory):
                fail(f"The machine {host.name} ended while it was starting. {host.see()}")
            if time.monotonic() > deadline:
                fail(
                    f"{host.name} does not answer ssh on 127.0.0.1 port {host.port} after {seconds:.0f} s. {host.see()}"
                )
            time.sleep(0.5)
    write_known_hosts(hosts[0].lab, hosts)
    failed = []
    for host in hosts:
        left = max(deadline - time.monotonic(), 20)
        try:
            run = host.ssh("lab-ready", str(int(left)), host.management, host.underlay, "&&", "sync", seconds=left + 60)
        except subprocess.TimeoutExpired:
            fail(f"{host.name} has not finished starting after {seconds:.0f} s. {host.see()}")
        if run.returncode:
            fail(
                f"{host.name} answers ssh and is not ready: {run.stderr.strip() or f'status {run.returncode}'}\n{host.see()}"
            )
        failed += [f"{host.name}: {line}" for line in run.stdout.splitlines()[1:] if line.strip()]
    return failed


def write_known_hosts(lab: Lab, hosts: list[Host]) -> None:
    """Write the host keys down that machines have printed on their consoles, and keep those of others."""
    file = lab.directory / "known_hosts"
    known = dict(line.split(" ", 1) for line in file.read_text(encoding="ascii").splitlines()) if file.exists() else {}
    for host in hosts:
        keys = [
            line.split("lab-host-key: ")[1].strip() for line in host.console().splitlines() if "lab-host-key: " in line
        ]
        if not keys:
            fail(f"{host.name} answers ssh, but has not printed its host key on its console. {host.see()}")
        known[f"[127.0.0.1]:{host.port}"] = keys[-1]
    file.write_text("".join(f"{where} {key}\n" for where, key in sorted(known.items())), encoding="ascii")
    file.chmod(0o600)


def remove_files(directory: Path, name: str) -> list[str]:
    """Remove the files of one machine; return their names."""
    files = [file for file in directory.glob(f"{name}.*") if file.is_file()]
    for file in files:
        file.unlink()
    return [file.name for file in files]


def up(args: argparse.Namespace) -> dict[str, Any]:
    """Start what does not run, remove what the lab should no longer have, and wait until all are up."""
    directory: Path = args.directory
    with exclusive(directory):
        before = Lab.load(directory) if (directory / "lab.json").exists() else None
        if before is None:
            # Left behind by somebody who removed the directory: nobody has a key to them.
            cut(directory)
        lab = Lab(
            directory, args.image, args.accel, args.management, args.underlay, args.mtu, args.memory, args.cpus,
            choose_block(directory, args.hosts),
        )  # fmt: skip
        hosts = [Host(lab, number) for number in range(1, args.hosts + 1)]
        if before != lab:
            # Other settings are for the next start. Nothing can be kept on top of another image.
            cut(directory)
        wanted = {host.name for host in hosts} if before and before.image == lab.image else set()
        there = {file.stem for file in directory.glob("h[0-9]*.qcow2")} | set(running(directory))
        removed = sorted(there - wanted)
        cut(directory, set(removed))
        for name in removed:
            remove_files(directory, name)
        lab.save()
        started = [host.name for host in hosts if start(host)]
    failed = wait(hosts, args.timeout)
    return {
        "changed": bool(started or removed),
        "started": started,
        "removed": removed,
        "failed_units": failed,
        "hosts": [
            {"name": host.name, "port": host.port, "management": host.management, "underlay": host.underlay}
            for host in hosts
        ],
    }


def power(args: argparse.Namespace) -> dict[str, Any]:
    """Cut and restore the power of one machine."""
    lab = Lab.load(args.directory)
    names = sorted(file.stem for file in args.directory.glob("h[0-9]*.qcow2"))
    if args.host not in names:
        fail(f"This lab has no host '{args.host}'. It has: {', '.join(names) or 'none'}.")
    host = Host(lab, int(args.host[1:]))
    with exclusive(args.directory):
        was_cut = args.action != "restore" and bool(cut(args.directory, {host.name}))
        started = args.action != "cut" and start(host)
    begin = time.monotonic()
    failed = wait([host], args.timeout) if args.action != "cut" else []
    return {
        "changed": was_cut or started,
        "host": host.name,
        "power": "off" if args.action == "cut" else "on",
        "seconds": round(time.monotonic() - begin, 1),
        "failed_units": failed,
    }


def down(args: argparse.Namespace) -> dict[str, Any]:
    """End all machines of a lab and remove their files, also when its directory has been removed by somebody else."""
    if not args.directory.parent.exists():
        return {"changed": False, "removed": []}
    with exclusive(args.directory):
        ended = cut(args.directory)
        names = {file.name.split(".")[0] for file in args.directory.glob("h[0-9]*.*")} | set(ended)
        removed = sorted(name for name in names if remove_files(args.directory, name) or name in ended)
    return {"changed": bool(removed), "removed": removed}


def main() -> None:
    """Read the arguments, act, and print what was done as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for action, function in (("up", up), ("power", power), ("down", down)):
        command = commands.add_parser(action)
        command.set_defaults(function=function)
        command.add_argument("directory", type=lambda text: Path(text).absolute())
        if action != "down":
            command.add_argument("--timeout", type=float, default=600, help="seconds until every host has to be up")
        if action == "power":
            command.add_argument("host")
            command.add_argument("action", choices=["cut", "restore", "cycle"], nargs="?", default="cycle")
        if action == "up":
            command.add_argument("--image", required=True, help="directory with vmlinuz and disk.raw")
            command.add_argument("--accel", choices=["kvm", "tcg"], required=True)
            command.add_argument(
                "--hosts", type=int, choices=range(1, MAX_HOSTS + 1), metavar=f"1-{MAX_HOSTS}", required=True
            )
            command.add_argument("--management", type=ipaddress.IPv4Network, required=True)
            command.add_argument("--underlay", type=ipaddress.IPv4Network, required=True)
            command.add_argument("--mtu", type=int, required=True, help="of the underlay, in bytes")
            command.add_argument("--memory", type=int, required=True, help="of each host, in MiB")
            command.add_argument("--cpus", type=int, required=True, help="of each host")
    args = parser.parse_args()
    try:
        result = args.function(args)
    except KeyboardInterrupt:
        fail("Interrupted. The same command goes on from there.")
    except (OSError, subprocess.SubprocessError) as error:
        fail(str(error))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
