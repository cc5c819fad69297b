# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""A host's Docker Engine under systemd: what it is like, and the few ways to change it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import time
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import _docker_daemon as dd
from ansible_collections.crosshost.overlay.plugins.module_utils import _files, _packages
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

STATE_FILE = "/var/lib/crosshost-overlay/docker-daemon.json"
RUN_FILE = "/run/crosshost-overlay/docker-daemon.json"
SYSTEMD = "/run/systemd/system"  # sd_booted(3)
PROC = "/proc"
SYS_NET = "/sys/class/net"
CLOCK_SLACK = (
    0.5  # seconds; dockerd reads its file well within its first half second, so an equally old file counts as newer
)
POLL = 0.5
SHOW = (
    "LoadState,ActiveState,UnitFileState,MainPID,ExecStart,Environment,EnvironmentFiles,ActiveEnterTimestampMonotonic"
)


@dataclasses.dataclass(frozen=True)
class Host:
    """Everything that was read before the first change."""

    installed: bool
    active: bool
    enabled: str
    ticks: int  # start of the running dockerd, in clock ticks since boot
    flags: dict[str, list[str]]
    raw: bytes | None
    config: dd.Config
    info: dict[str, t.Any]
    loaded: dd.Loaded
    containers: tuple[dd.Container, ...]
    ledger: dd.Ledger
    unfinished: bool = False  # its package is being installed, or the installation was cut off


def read_file(path: str) -> bytes | None:
    """Return the content; None if there is no such file."""
    try:
        with open(path, "rb") as source:
            return source.read()
    except FileNotFoundError:
        return None


def read_text(path: str) -> str:
    """Return the content; empty if there is no such file."""
    return (read_file(path) or b"").decode("utf-8", errors="replace")


class Engine:
    """The host's Docker: readers, and the few ways to change it."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.service: str = module.params["service"]
        self.path: str = os.path.realpath(module.params["path"])  # a link stays, its target changes
        self.timeout: int = module.params["timeout"]
        if not os.path.isdir(SYSTEMD):
            module.fail_json(
                msg=f"docker_daemon needs a host that systemd runs, and this one has no {SYSTEMD}. "
                "Configure and start dockerd there by hand.",
                commands=[],
            )
        self.systemctl = Cli(module, "systemctl", timeout=self.timeout, package="systemd")
        self.docker: Cli | None = None

    def fail(self, msg: str, **facts: t.Any) -> t.NoReturn:
        """End the module; commands tells what was already done."""
        self.module.fail_json(msg=msg, commands=self.systemctl.commands, **facts)
        raise SystemExit(1)  # fail_json() does not return; this tells the type checker

    # Readers

    def show(self, unit: str) -> dict[str, str]:
        """Read the state of a unit; an unknown one has LoadState=not-found."""
        return dd.parse_show(self.systemctl.read("show", "--property=" + SHOW, unit, timeout=30)[1])

    def observe(self) -> Host:
        """Read everything a decision needs."""
        show = self.show(self.service)
        unit = show.get("LoadState") not in ("not-found", None)
        dockerd = self.module.get_bin_path("dockerd")
        active = show.get("ActiveState") in ("active", "reloading")
        unfinished = bool(dockerd or unit) and not active and self.unfinished()
        if self.module.params["state"] == "present" and not unfinished:
            if dockerd and not unit:
                self.fail(
                    f"There is {dockerd}, but no {self.service} that runs it. Name its unit in the option service."
                )
            if show.get("LoadState") == "masked":
                self.fail(
                    f"{self.service} is masked and cannot start. If it should, run 'systemctl unmask {self.service}'."
                )
        env_files = {
            name: read_text(name) for name in re.findall(r"(/\S+) \(ignore_errors", show.get("EnvironmentFiles", ""))
        }
        flags = dd.parse_flags(dd.unit_argv(show, env_files))
        try:
            raw = read_file(self.path)
            config = dd.parse_config(raw or b"", self.path)
        except dd.ConfigError as exc:
            self.fail(str(exc))
        except OSError as exc:
            self.fail(f"Cannot read {self.path}: {exc.strerror}.")
        info: dict[str, t.Any] = {}
        ticks, loaded = 0, dd.Loaded({}, True)
        if active:
            ticks = self.read_ticks(show)
            info = self.wait_ready(flags, config)
            live = {"debug": bool(info.get("Debug")), "live-restore": bool(info.get("LiveRestoreEnabled"))}
            loaded = self.read_loaded(ticks, config).with_values(live)
        return Host(
            installed=bool(unit) and not unfinished,
            active=active,
            enabled=show.get("UnitFileState", ""),
            ticks=ticks,
            flags=flags,
            raw=raw,
            config=config,
            info=info,
            loaded=loaded,
            containers=self.read_containers(info),
            ledger=self.read_ledger(),
            unfinished=unfinished,
        )

    def unfinished(self) -> bool:
        """Whether what is there of Docker belongs to a package that is not ready. One that runs is."""
        if not self.module.get_bin_path("dpkg-query"):
            return False
        dpkg_query = Cli(self.module, "dpkg-query", timeout=20)
        return bool(_packages.unfinished(dpkg_query.run_raw, self.module.params["package"]))

    def read_ticks(self, show: t.Mapping[str, str]) -> int:
        """Read when the main process of the unit started."""
        stat = read_text(f"{PROC}/{show.get('MainPID', '0')}/stat")
        return dd.start_ticks(stat) if stat else 0

    def read_loaded(self, ticks: int, config: dd.Config) -> dd.Loaded:
        """Find out what this very dockerd process has read."""
        try:
            record = json.loads(read_text(RUN_FILE) or "{}")
            if ticks and record.get("ticks") == ticks and record.get("path") == self.path:
                return dd.Loaded(dict(record["config"]), bool(record["complete"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            self.module.warn(f"{RUN_FILE} is not readable as a record and is ignored.")
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return dd.Loaded({}, True)
        started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
        # The change time as well: a file moved into place keeps its old modification time.
        if ticks and max(status.st_mtime, status.st_ctime) + CLOCK_SLACK < started:
            return dd.Loaded(config, True)
        return dd.Loaded()

    def read_ledger(self) -> dd.Ledger:
        """Read what earlier runs did."""
        text = read_text(STATE_FILE)
        try:
            return dd.Ledger.parse(text) if text else dd.Ledger()
        except (ValueError, KeyError, TypeError) as exc:
            self.fail(
                f"{STATE_FILE}, the record of what was changed in {self.path}, is damaged ({exc}). "
                "Move it away to go on; the settings made so far then count as someone else's."
            )

    def wait_ready(self, flags: t.Mapping[str, t.Sequence[str]], config: dd.Config) -> dict[str, t.Any]:
        """Wait until dockerd answers and return docker info."""
        hosts = [host for host in [*flags.get("host", []), *config.get("hosts", [])] if host.startswith("unix://")]
        socket = hosts[0] if hosts else dd.DEFAULT_SOCKET
        # The option, as DOCKER_HOST or a context of root may point elsewhere.
        self.docker = Cli(self.module, "docker", "--host", socket, timeout=15, package="docker-cli")
        deadline = time.monotonic() + self.timeout
        while True:
            result = self.docker.run_raw("info", "--format", "{{json .}}")
            info = json.loads(result.out) if result.rc == 0 and result.out.startswith("{") else {}
            if info.get("ServerVersion"):
                return info
            if time.monotonic() > deadline:
                reason = "; ".join(info.get("ServerErrors") or []) or result.reason
                self.fail(
                    f"{self.service} is active, but Docker did not answer within {self.timeout} seconds: {reason}. "
                    f"'journalctl -u {self.service}' may tell why; 'systemctl restart {self.service}' often helps.",
                    journal=dd.gist(self.journal()),
                    **result.failure(),
                )
            time.sleep(POLL)

    def read_containers(self, info: t.Mapping[str, t.Any]) -> tuple[dd.Container, ...]:
        """Read the running containers."""
        if not self.docker or not info.get("ContainersRunning", 0) + info.get("ContainersPaused", 0):
            return ()
        names = self.docker.read("ps", "--quiet", "--no-trunc")[1].split()
        # One that ends meanwhile makes inspect return 1, with the answer for the others.
        text = (
            self.docker.read("inspect", "--format", "{{json .Name}} {{json .HostConfig}}", *names, ok=(0, 1))[1]
            if names
            else ""
        )
        found = []
        for line in text.splitlines():
            name, mark, rest = line.partition(" ")
            host = json.loads(rest) if mark else {}
            policy = host.get("RestartPolicy", {}).get("Name") or "no"
            found.append(dd.Container(json.loads(name).lstrip("/"), policy, bool(host.get("AutoRemove"))))
        return tuple(sorted(found, key=lambda container: container.name))

    def iptables(self) -> Cli:
        """Return iptables as Docker calls it; what it changes is reported like the rest."""
        cli = Cli(self.module, "iptables", "--wait", "5", timeout=20, package="iptables")
        cli.commands = self.systemctl.commands
        return cli

    def missing(self, host: Host, config: dd.Config) -> list[str]:
        """Name what Docker's firewall rules lack; nothing if Docker keeps none."""
        if not dd.iptables_wanted(config, host.flags):
            return []
        iptables = self.iptables()
        gone = dd.missing_chains(iptables.read("-t", "nat", "-S")[1], iptables.read("-S")[1])
        zone = self.missing_zone()
        return gone + ([zone] if zone else [])

    def missing_zone(self) -> str:
        """Say that firewalld does not know docker0. Only if it started later: else another restart of Docker would not help."""
        if not self.module.get_bin_path("firewall-cmd") or not os.path.exists(f"{SYS_NET}/docker0"):
            return ""
        firewalld, docker = self.show("firewalld.service"), self.show(self.service)
        since = [int(unit.get("ActiveEnterTimestampMonotonic") or 0) for unit in (firewalld, docker)]
        if firewalld.get("ActiveState") != "active" or since[0] <= since[1]:
            return ""
        result = Cli(self.module, "firewall-cmd").run_raw("--get-zone-of-interface=docker0")
        return "firewalld: zone of docker0" if result.rc == 2 else ""  # 2 = "no zone"

    def journal(self, since: float = 0) -> list[str]:
        """Read the end of dockerd's journal; long enough for the few attempts systemd makes at once."""
        if not self.module.get_bin_path("journalctl"):
            return []
        args = ["--unit", self.service, "--lines", "200", "--no-pager", "--output", "cat"]
        args += [f"--since=@{int(since)}"] if since else []
        return Cli(self.module, "journalctl").run_raw(*args).out.splitlines()

    # Checks that need no change

    def validate(self, host: Host, plan: dd.FilePlan, settings: dd.Config) -> None:
        """Refuse settings with which dockerd would not start."""
        named = host.flags.get("config-file", [""])[-1]
        if named and os.path.realpath(named) != self.path:
            self.fail(
                f"{self.service} starts dockerd with --config-file={named}, so {self.path} is not read. Set the option path to {named}."
            )
        wrong = dd.misnamed(settings)
        if wrong:
            self.fail(f"dockerd would ignore these names in {self.path}: {', '.join(wrong)}. Nothing was changed.")
        both = dd.conflicts(plan.config, host.flags)
        if both:
            self.fail(
                f"dockerd does not start when a setting is both in {self.path} and on its command line: {'; '.join(both)}. Nothing was changed. "
                f"Remove the flag from {self.service} ('systemctl cat {self.service}' shows where it is set) or leave the key out."
            )
        if host.info.get("Swarm", {}).get("LocalNodeState") == "active" and plan.config.get("live-restore"):
            self.fail(
                "This engine is part of a swarm, and Docker does not start with live-restore there. "
                "Nothing was changed. Leave live-restore out."
            )
        if not self.module.get_bin_path("dockerd") or plan.config == host.config:
            return
        dockerd = Cli(self.module, "dockerd", timeout=30)
        usage = dockerd.read("--help")[1]
        if "--validate" not in usage:  # added in 23.0
            unknown = dd.unknown_keys(settings, usage)
            if unknown:
                self.fail(
                    f"This dockerd knows no setting named {', '.join(unknown)} and would not start with it. Nothing was changed."
                )
            return
        temp = os.path.join(self.module.tmpdir, "daemon.json")
        with open(temp, "wb") as out:
            out.write(dd.dump_config(plan.config, None))
        result = dockerd.run_raw("--validate", "--config-file", temp)
        if result.rc:
            self.fail(
                f"dockerd does not accept the new {self.path}: {result.reason}. Nothing was changed.",
                **result.failure(),
            )

    # Changes

    def save(self, path: str, data: bytes | None, mode: int, what: str) -> None:
        """Write or (None) remove a file, outside check mode."""
        if self.module.check_mode:
            return
        try:
            if data is not None:
                _files.write_atomic(path, data, mode)
            elif os.path.lexists(path):
                os.unlink(path)
        except OSError as exc:
            self.fail(
                f"Cannot write {path}, {what}: {exc.strerror}. The file is as it was. "
                "Make room, or make its file system writable, then run again."
            )

    def save_ledger(self, ledger: dd.Ledger) -> None:
        """Keep or forget what is ours."""
        data = None if ledger == dd.Ledger() else ledger.dump().encode()
        if read_file(STATE_FILE) != data:
            self.save(STATE_FILE, data, 0o600, "the record of our settings")

    def save_loaded(self, ticks: int, loaded: dd.Loaded) -> None:
        """Keep what this dockerd process has read. It may hold credentials, hence the mode."""
        record = {"ticks": ticks, "path": self.path, "config": loaded.config, "complete": loaded.complete}
        data = (json.dumps(record, indent=2) + "\n").encode()
        if read_file(RUN_FILE) != data:
            self.save(RUN_FILE, data, 0o600, "the record of what dockerd has loaded")

    def forget(self) -> None:
        """Remove the folders of the records when they are empty."""
        if self.module.check_mode or os.path.lexists(STATE_FILE):
            return
        self.save(RUN_FILE, None, 0o600, "the record of what dockerd has loaded")
        for folder in (os.path.dirname(STATE_FILE), os.path.dirname(RUN_FILE)):
            try:
                os.rmdir(folder)
            except OSError:  # not there, or others keep something in it
                continue

    def reload(self, host: Host) -> str:
        """Make dockerd read its file again; returns why it did not, if so."""
        since = time.time()
        self.systemctl.record("reload", self.service)
        if self.module.check_mode or not self.docker:
            return ""
        result = self.systemctl.run_raw("reload", self.service)
        if result.rc:
            return result.message
        deadline = time.monotonic() + min(self.timeout, 30)
        while time.monotonic() < deadline:
            # dockerd logs this event once it has taken the new values over; a rejected file only shows in its journal.
            span = (f"--since={since:.6f}", f"--until={time.time():.6f}")
            if self.docker.run_raw("events", *span, "--filter=type=daemon", "--filter=event=reload").out.strip():
                return ""
            reason = dd.failure_reason(self.journal(since))
            if reason:
                return reason
            time.sleep(POLL)
        return f"no sign of a reload within {min(self.timeout, 30)} seconds"

    def start(self, verb: str) -> str:
        """Start or restart dockerd; returns why that failed, if so."""
        # Five quick restarts hit the start limit of the unit, which would refuse a sixth.
        self.systemctl.record("reset-failed", self.service)
        self.systemctl.record(verb, self.service)
        if self.module.check_mode:
            return ""
        since = time.time()
        self.systemctl.run_raw("reset-failed", self.service)
        result = self.systemctl.run_raw(verb, self.service)
        if result.rc == 0 and self.show(self.service).get("ActiveState") == "active":
            return ""
        if result.timed_out:
            return result.message
        for dummy in range(5):  # the journal is written a moment later
            reason = dd.failure_reason(self.journal(since))
            if reason:
                return reason
            time.sleep(POLL)
        return result.reason

    def repair(self, gone: t.Sequence[str]) -> bool:
        """Bring back what takes no restart; says whether that was all."""
        rules = dd.user_chain_rules(gone)
        for rule in rules or []:
            self.iptables().write(*rule)
        return rules is not None

    def undo(self, reason: str, what: str, undo: dict[str, t.Any] | None, before: dd.Ledger) -> t.NoReturn:
        """Put the last file back that Docker ran with, start it again and fail."""
        journal = dd.gist(self.journal())
        if undo is None:
            self.fail(
                f"Docker did not {what}: {reason}. {self.path} was not changed by this run; correct what the journal names.",
                journal=journal,
            )
        text = undo["text"]
        self.save(self.path, None if text is None else text.encode(), 0o644, "which Docker does not take")
        self.save_ledger(dataclasses.replace(before, undo=None))
        again = self.start("start")
        state = f"Docker still does not run: {again}" if again else "Docker runs with it"
        if not again and not self.module.check_mode:
            config = dd.parse_config((text or "").encode(), self.path)
            self.save_loaded(self.read_ticks(self.show(self.service)), dd.Loaded(config, True))
        self.fail(
            f"Docker did not {what} with the new settings: {reason}. The former {self.path} is back. {state}.",
            journal=journal,
        )
