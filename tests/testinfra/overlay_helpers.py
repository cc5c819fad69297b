# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbook runs and applications for the tests of a living overlay.

OVERLAY_INVENTORY names the inventory of hosts that site.yml was run on. OVERLAY_LAB names the lab they belong to; without
it they are taken for real machines and rebooted as such. OVERLAY_NETWORK is the Docker network of the overlay. The tests
change the overlay, so never use hosts that matter.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import logging
import os
import pathlib
import random
import re
import subprocess
import time
import typing as t

import yaml
from testinfra.host import Host

INVENTORY = pathlib.Path(os.environ.get("OVERLAY_INVENTORY", "inventories/lab/hosts.yml"))
LAB = os.environ.get("OVERLAY_LAB", "")
NETWORK = os.environ.get("OVERLAY_NETWORK", "overlay")
ROOT = pathlib.Path(__file__).resolve().parents[2]
GROUP = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))["overlay"]
NAMES = sorted(GROUP["hosts"])
UNDERLAY = {name: values["overlay_underlay_ip"] for name, values in GROUP["hosts"].items()}
BUSYBOX = "/bin/busybox"
LOG = logging.getLogger("refused")
# What a run does by chance, it does again with the same seed.
SEED = int(os.environ.get("OVERLAY_SEED", random.randrange(10**6)))
CALL_TIMEOUT = 600  # seconds for one call of a module; a launch on an emulated CPU takes one minute
PLAY_TIMEOUT = 900  # seconds; a run takes about 20, and installing packages on slow hosts some minutes


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a playbook: its exit status, its text, and what each task did on each host."""

    status: int
    text: str

    @property
    def tasks(self) -> dict[tuple[str, str], str]:
        """(task, host) -> changed, ok, skipping, failed or fatal."""
        found, task = {}, ""
        for line in self.text.splitlines():
            if match := re.match(r"TASK \[(.+)\] \**$", line):
                task = match[1]
            elif match := re.match(r"(changed|ok|skipping|failed|fatal): \[([^\]]+)\]", line):
                found[task, match[2]] = match[1]
        return found

    @property
    def changed(self) -> set[tuple[str, str]]:
        """What changed, as (task, host)."""
        return {key for key, status in self.tasks.items() if status == "changed"}

    def ok(self) -> Run:
        """The run itself, which must have ended well."""
        assert self.status == 0, self.text
        return self


def command_of(
    playbook: str | pathlib.Path, *args: str, inventory: pathlib.Path = INVENTORY
) -> tuple[list[str], dict[str, str]]:
    """The command that runs a playbook, named one of the collection or another by its path, and its environment."""
    name = str(playbook) if isinstance(playbook, pathlib.Path) else f"crosshost.overlay.{playbook}"
    env = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_SSH_PIPELINING": "1",
        "ANSIBLE_FORKS": "10",
        "COLUMNS": "200",
    }
    return ["ansible-playbook", f"--inventory={inventory}", name, *args], env


def play(playbook: str | pathlib.Path, *args: str, inventory: pathlib.Path = INVENTORY) -> Run:
    """Run a playbook, of the collection or another, bounded."""
    argv, env = command_of(playbook, *args, inventory=inventory)
    done = subprocess.run(
        argv,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=PLAY_TIMEOUT,
        check=False,
    )
    return Run(done.returncode, done.stdout.decode(errors="replace"))


@dataclasses.dataclass(frozen=True)
class Call:
    """What a module returned on one host, and all that Ansible printed."""

    failed: bool
    result: dict[str, t.Any]
    text: str

    def ok(self) -> dict[str, t.Any]:
        """The result of a call that must have worked."""
        assert not self.failed, self.result.get("msg", self.text)
        return self.result

    def refused(self) -> str:
        """The message of a call that must have failed."""
        assert self.failed, f"it worked: {self.result.get('commands')} {self.text[-1000:]}"
        LOG.info("%s", self.result["msg"])  # shown with: -o log_cli=true -o log_cli_level=INFO
        return str(self.result["msg"])


def side_by_side(check: t.Callable[[str], t.Any], names: t.Iterable[str]) -> None:
    """Check these hosts at once; the first that fails is named."""
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for name, done in [(name, pool.submit(check, name)) for name in names]:
            try:
                done.result()
            except AssertionError as exc:
                raise AssertionError(f"on {name}: {exc}") from exc


def call(target: str, module: str, /, *args: str, **options: t.Any) -> Call:
    """Call a module of the collection on one host, with further arguments for Ansible."""
    return next(iter(calls(target, module, *args, **options).values()))


def calls_each(module: str, options: t.Mapping[str, t.Mapping[str, t.Any]], /, *args: str) -> dict[str, Call]:
    """Call a module on these hosts at once, each with options of its own; all have the same names of options.

    One Ansible for all of them: starting it takes longer than most modules.
    """
    first = next(iter(options.values()))
    assert all(set(mine) == set(first) for mine in options.values()), options
    merged = {}
    for key, value in first.items():
        own = {host: mine[key] for host, mine in options.items()}
        same = all(other == value for other in own.values())
        merged[key] = value if same else f"{{{{ {json.dumps(own)}[inventory_hostname] }}}}"
    found = calls(",".join(options), module, *args, **merged)
    assert set(found) == set(options), "not every host has answered"
    return found


def calls(target: str, module: str, /, *args: str, **options: t.Any) -> dict[str, Call]:
    """Call a module on all hosts of a group at once, with the same options."""
    argv = ["ansible", f"--inventory={INVENTORY}", target, "-m", f"crosshost.overlay.{module}"]
    argv += ["-a", json.dumps(options)] if options else []  # an empty object is taken for a free-form argument
    # Molecule's own configuration has results printed as YAML.
    plain = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    env = {**os.environ, **plain, "ANSIBLE_SSH_PIPELINING": "1", "ANSIBLE_FORKS": "10"}
    done = subprocess.run(
        [*argv, *args],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=CALL_TIMEOUT,
        check=False,
    )
    text = done.stdout.decode(errors="replace")
    found = {}
    for match in re.finditer(r"^(\S+) \| (SUCCESS|CHANGED|FAILED!?|UNREACHABLE!) => (?=\{)", text, re.MULTILINE):
        result, _end = json.JSONDecoder().raw_decode(text, match.end())
        found[match[1]] = Call(match[2].startswith(("FAILED", "UNREACHABLE")), result, text)
    assert found, text
    return found


def inventory_of(path: pathlib.Path, hosts: t.Mapping[str, t.Mapping[str, t.Any]]) -> pathlib.Path:
    """Write an inventory with these hosts and the variables of the real one."""
    path.write_text(yaml.safe_dump({"overlay": {"hosts": dict(hosts), "vars": GROUP["vars"]}}), encoding="utf-8")
    return path


def wait_for(what: str, condition: t.Callable[[], bool], seconds: float = 90) -> None:
    """Wait until it holds, bounded."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} seconds: {what}"
        time.sleep(1)


def snapshot(host: Host) -> dict[str, t.Any]:
    """What the host looks like now."""
    source = (ROOT / "tests" / "snapshot.py").read_text(encoding="utf-8")
    return t.cast("dict[str, t.Any]", json.loads(host.check_output("python3 -c %s", source)))


def differences(one: t.Any, other: t.Any, path: str = "") -> list[str]:
    """What differs, by its path; pytest's own diff of a whole host is too long to read."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [text for key in {*one, *other} for text in differences(one.get(key), other.get(key), f"{path}/{key}")]
    return [] if one == other else [f"{path}: {one!r} became {other!r}"]


class App:
    """A container on the overlay, as an operator would start one."""

    def __init__(self, host: Host, name: str, options: str = "") -> None:
        self.host = host
        self.name = name
        self.options = options

    def start(self) -> None:
        """Run it from an image made of the host's busybox; options are those of docker run."""
        self.host.check_output(
            f"docker image inspect app:1 >/dev/null 2>&1 || tar -C / -c {BUSYBOX[1:]} | docker import - app:1"
        )
        self.host.check_output(
            f"docker run -d --name app --restart always --network {NETWORK} {self.options} app:1 {BUSYBOX} sleep 99999"
        )

    def stop(self) -> None:
        """Remove it and its image; both may be gone."""
        self.host.run("docker rm -f app; docker rmi app:1")

    @property
    def address(self) -> str:
        """Its address on the overlay."""
        return self.host.check_output(f"docker inspect -f '{{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}' app")

    def run(self, command: str, timeout: int = 60) -> tuple[int, str]:
        """Run busybox in it, bounded; status and all output."""
        done = self.host.run(f"timeout {timeout} docker exec app {BUSYBOX} {command} 2>&1")
        return done.rc, done.stdout

    def inside(self, command: str, timeout: int = 60) -> tuple[int, str]:
        """Run a command of the host in its network namespace, bounded; status and all output."""
        pid = self.host.check_output("docker inspect -f '{{.State.Pid}}' app")
        done = self.host.run(f"timeout {timeout} nsenter --net=/proc/{pid}/ns/net {command} 2>&1")
        return done.rc, done.stdout

    def reaches(self, other: App, count: int = 3) -> bool:
        """Whether every one of its echo requests is answered by the other."""
        status, text = self.run(f"ping -c {count} -W 2 {other.address}")
        return status == 0 and f"{count} packets received" in text


class Pinger:
    """Pings ten times a second from one application to another, until it is told to stop."""

    def __init__(self, source: App, target: App) -> None:
        self.source = source
        source.host.check_output("rm -f /root/ping.log")
        pid = source.host.check_output("docker inspect -f '{{.State.Pid}}' app")
        # Ends by itself after ten minutes, should the test die.
        ping = f"timeout 600 nsenter --net=/proc/{pid}/ns/net ping -i 0.1 -W 2 {target.address}"
        source.host.check_output(
            f"setsid sh -c 'exec {ping}' > /root/ping.log 2>&1 < /dev/null & sleep 1; pgrep -n -x ping > /root/ping.pid"
        )

    def stop(self) -> tuple[int, list[int]]:
        """Return how many requests were sent and the numbers of those without an answer.

        The last request does not count: ping ends without waiting for its answer.
        """
        self.source.host.check_output("kill -INT $(cat /root/ping.pid); sleep 1")
        text = self.source.host.check_output("cat /root/ping.log; rm /root/ping.log /root/ping.pid")
        match = re.search(r"(\d+) packets transmitted", text)
        assert match, text[-500:]
        answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ttl=", text)}
        sent = int(match[1]) - 1
        return sent, sorted(set(range(1, sent + 1)) - answered)
