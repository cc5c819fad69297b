# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that are killed: when, how, and what has to hold afterwards.

OVERLAY_KILLS kills of site.yml for each backend, spread over its length: each of as many equal parts of it is hit once, at a random
moment, in random order. Most find hosts on which something was changed by hand just before, so that there is something to be cut off.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import subprocess
import time
import typing as t

from overlay_helpers import INVENTORY, LAB, NAMES, PLAY_TIMEOUT, SEED, UNDERLAY, Run, command_of
from promises_helpers import BRIEF, CANARY, OVS, proved, quiet

if t.TYPE_CHECKING:
    from testinfra.host import Host

# For each backend. With the number given it is whole runs that are killed, clocks and packets included.
KILLS = int(os.environ.get("OVERLAY_KILLS", "6"))
CUT = () if "OVERLAY_KILLS" in os.environ else BRIEF
EVERY = 5  # kills, after which a whole run has to end well
# Ends Ansible's modules on a host, and not the tools that they have started: every Python below an ssh connection.
END_MODULES = """
import os
parent, name = {}, {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open(f"/proc/{pid}/stat") as handle:
            text = handle.read()
    except OSError:
        continue
    head, _, rest = text.rpartition(")")
    name[int(pid)], parent[int(pid)] = head.partition("(")[2], int(rest.split()[1])
for pid, program in name.items():
    above = parent[pid]
    while above in name and name[above] != "sshd":
        above = parent[above]
    if program.startswith("python") and name.get(above) == "sshd":
        try:
            os.kill(pid, 9)
        except OSError:
            pass
"""
ASK = "import urllib.request as r; r.urlopen(r.Request('http://127.0.0.1:6784/forget', b'peer=%s'), timeout=5)"
# What somebody changes by hand. {other} is another host, {address} where it is.
DRIFTS = {
    "ovs_gre": (
        f"{OVS} set Interface gre-{{other}} options:key=9",
        f"{OVS} --if-exists del-port gre-{{other}}",
        f"{OVS} --if-exists del-br br-overlay",
        "ip link set ovl-link nomaster",
        "docker network rm overlay",
        "rm -f /usr/local/lib/crosshost-overlay/attach.py",
        "systemctl disable crosshost-overlay.service",
    ),
    "weave": (
        "docker rm -f weave",
        "docker stop -t 2 weave && docker rename weave weave-previous",
        "docker update --restart no weave && docker kill weave",
        "docker pause weave",
        'python3 -c "' + ASK.replace("%s", "{address}") + '"',
        "rm -f /usr/local/bin/weave",
        "docker rmi -f $(docker image ls --format '{{{{.Repository}}}}:{{{{.Tag}}}}' | grep /weaveexec:)",
    ),
}


def drift(hosts: dict[str, Host], backend: str, rng: random.Random) -> list[str]:
    """Change one thing on each host, or none on some; what is not there any more cannot be changed."""
    done = []
    for name in NAMES:
        other = rng.choice([item for item in NAMES if item != name])
        command = rng.choice(DRIFTS[backend]).format(other=other, address=UNDERLAY[other])
        if rng.random() < 0.8:
            hosts[name].run("timeout 60 sh -c %s", command)
            done.append(f"{name}$ {command}")
    return done


def _stat(pid: str) -> tuple[int, int] | None:
    """Process and parent."""
    with contextlib.suppress(OSError, ValueError):
        text = pathlib.Path("/proc", pid, "stat").read_text(encoding="utf-8", errors="replace")
        return int(pid), int(text.rpartition(")")[2].split()[1])
    return None


def kill_tree(root: int) -> None:
    """SIGKILL to a process and to all below it. Ansible's workers leave its process group, so that alone would not do."""
    os.kill(root, signal.SIGSTOP)  # it starts no more of them
    for dummy in range(5):
        parents = dict(filter(None, (_stat(pid) for pid in os.listdir("/proc") if pid.isdigit())))
        below = {root}
        while more := {pid for pid, parent in parents.items() if parent in below} - below:
            below |= more
        for pid in below - {root}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if below == {root}:
            break
    os.kill(root, signal.SIGKILL)


def end_modules() -> None:
    """SIGKILL to Ansible's modules on all hosts, by a way that is no ssh."""

    def end(name: str) -> None:
        argv = ["docker", "exec", "-i", f"{LAB}-{name}", "python3", "-"]
        subprocess.run(argv, input=END_MODULES.encode(), timeout=60, check=True)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(end, NAMES))


@dataclasses.dataclass(frozen=True)
class Cut:
    """A run that was to be killed. killed is false if it ended before; then it ended well."""

    killed: bool
    seconds: float


def cut_off(
    log: pathlib.Path, moment: float, modules: bool, playbook: str, *args: str, inventory: pathlib.Path = INVENTORY
) -> Cut:
    """Start a playbook and kill it after so many seconds, with its modules on the hosts or without them, which then go on."""
    argv, env = command_of(playbook, *args, inventory=inventory)
    env["ANSIBLE_LOCAL_TEMP"] = str(log.parent / "ansible")  # it cannot tidy up behind itself
    began = time.monotonic()
    with (
        log.open("wb") as output,
        subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            kill_tree(process.pid)
            process.wait(30)
    seconds = time.monotonic() - began
    text = log.read_text(encoding="utf-8", errors="replace")
    assert CANARY not in text, "the password was printed"
    if process.returncode == -signal.SIGKILL:
        if modules and LAB:
            end_modules()
        return Cut(True, seconds)
    Run(process.returncode, text).ok()
    return Cut(False, seconds)


@dataclasses.dataclass
class Chain:
    """Kill after kill, each run starting from what the one before left."""

    hosts: dict[str, Host]
    backend: str
    folder: pathlib.Path
    length: float  # seconds that a run takes, measured
    name: str = ""
    story: list[str] = dataclasses.field(default_factory=list)

    def run(self, count: int, drifting: bool = True) -> None:
        """So many kills; after every fifth and the last one a whole run ends well, proves every pair, and leaves nothing to do."""
        rng = random.Random(f"{SEED} {self.backend} {self.name}")
        parts = list(range(count))
        rng.shuffle(parts)
        for number, part in enumerate(parts, 1):
            self._kill(rng, self.length * (part + rng.random()) / count, drifting)
            if number % EVERY == 0 or number == count:
                self.converged()

    def converged(self) -> None:
        """A whole run ends well, and afterwards there is nothing to do."""
        try:
            proved(self.backend)
            quiet(self.backend)
        except AssertionError as exc:
            raise AssertionError(f"{self.told()}\n{exc}") from exc
        self.story.append("a whole run")

    def told(self) -> str:
        """What was done, for a message."""
        return "\n".join([f"OVERLAY_SEED={SEED}", *self.story])

    def _kill(self, rng: random.Random, moment: float, drifting: bool) -> None:
        """One kill. A run that has ended by then is repeated, and killed within the time that it took."""
        end = time.monotonic() + PLAY_TIMEOUT
        while True:
            self.story += drift(self.hosts, self.backend, rng) if drifting else []
            modules = rng.random() < 0.5
            self.story.append(
                f"killed after {moment:.2f} s, {'with' if modules else 'without'} the modules on the hosts"
            )
            try:
                args = ("-e", f"overlay_backend={self.backend}", *CUT)
                done = cut_off(self.folder / "killed.log", moment, modules, "site", *args)
            except AssertionError as exc:
                raise AssertionError(f"{self.told()}\n{exc}") from exc
            if done.killed:
                return
            self.story[-1] = f"ended after {done.seconds:.2f} s"
            assert time.monotonic() < end, self.told()
            moment = rng.uniform(0.2, done.seconds)
