# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""main() against a small model of a host: a dockerd that loads a file when it starts, and chains that can get lost."""

from __future__ import annotations

import json
import os
import time
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _docker_engine
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli, Result
from ansible_collections.crosshost.overlay.plugins.modules import docker_daemon

FIXTURES = Path(__file__).parents[2] / "fixtures" / "docker_daemon"
RESTART = ["/bin/systemctl reset-failed docker.service", "/bin/systemctl restart docker.service"]
START = ["/bin/systemctl reset-failed docker.service", "/bin/systemctl start docker.service"]
RELOAD = ["/bin/systemctl reload docker.service"]
MAKE_USER_CHAIN = [
    "/bin/iptables --wait 5 -N DOCKER-USER",
    "/bin/iptables --wait 5 -A DOCKER-USER -j RETURN",
    "/bin/iptables --wait 5 -I FORWARD -j DOCKER-USER",
]
PID = 509


class Killed(BaseException):
    """Ends the module where kill -9 would."""


class FakeHost:
    """The parts of a host that the module sees."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "etc/daemon.json"
        self.state = root / "var/docker-daemon.json"
        self.record = root / "run/docker-daemon.json"
        self.ticks = 0
        self.loaded: dict[str, t.Any] | None = None
        self.enabled = "enabled"
        self.options = ""
        self.usage = (FIXTURES / "dockerd-help-20.10.24.txt").read_text(encoding="utf-8")
        self.chains = False
        self.chains_come_back = True
        self.user_chain = True
        self.user_chain_comes_back = True
        self.containers: dict[str, str] = {}
        self.tools = {"systemctl", "docker", "dockerd", "iptables", "journalctl", "apt-get"}
        self.journal = ""
        self.reloads = True
        self.swarm = "inactive"
        self.kill_at = ""
        self.warnings: list[str] = []
        self.firewalld_since = 1
        self.zone = "docker"
        self.zone_comes_back = True
        self.package = "installed"
        self.start()

    def read(self) -> dict[str, t.Any]:
        return json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}

    def write(self, config: dict[str, t.Any] | str) -> None:
        """Write daemon.json as someone else would."""
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")

    def start(self) -> bool:
        config = self.read()
        if config.get("storage-driver") == "nonsense":
            self.loaded, self.journal = (
                None,
                "failed to start daemon: error initializing graphdriver: driver not supported",
            )
            return False
        self.loaded, self.chains = config, self.chains or self.chains_come_back
        self.user_chain = self.user_chain or self.user_chain_comes_back
        # Far apart, so that each start is newer than any file.
        hertz = os.sysconf("SC_CLK_TCK")
        self.ticks = max(self.ticks + hertz, int((time.clock_gettime(time.CLOCK_BOOTTIME) + 5) * hertz))
        stat = self.root / f"proc/{PID}/stat"
        stat.parent.mkdir(parents=True, exist_ok=True)
        stat.write_text(f"{PID} (dockerd) " + " ".join(["S", *(["0"] * 18), str(self.ticks)]), encoding="utf-8")
        return True

    def answer(self, tool: str, args: tuple[str, ...]) -> tuple[int, str]:
        if self.kill_at and self.kill_at in args:
            raise Killed
        return getattr(self, "do_" + tool.replace("-", "_"))(*args)

    def do_systemctl(self, verb: str, *args: str) -> tuple[int, str]:
        if verb == "show" and args[-1] == "firewalld.service":
            return 0, f"ActiveState=active\nActiveEnterTimestampMonotonic={self.firewalld_since}\n"
        if verb == "show":
            active = "active" if self.loaded is not None else "inactive"
            show = (FIXTURES / "systemctl-show-docker.txt").read_text(encoding="utf-8")
            show = show.replace("ActiveState=active", f"ActiveState={active}").replace("$DOCKER_OPTS", self.options)
            show = show.replace("UnitFileState=enabled", f"UnitFileState={self.enabled}")
            return 0, show if "dockerd" in self.tools else "LoadState=not-found\nActiveState=inactive\n"
        if verb == "enable":
            self.enabled = "enabled"
        elif verb in ("start", "restart"):
            self.zone, self.firewalld_since = "docker" if self.zone_comes_back else "", 1
            return (0, "") if self.start() else (1, "Job for docker.service failed")
        elif verb == "reload" and self.loaded is not None:
            if self.reloads:
                self.loaded = {
                    **self.loaded,
                    **{key: self.read()[key] for key in ("debug", "live-restore") if key in self.read()},
                }
            else:
                self.journal = "Error reconfiguring the daemon: bad mirror"
        return 0, ""

    def do_docker(self, dummy_option: str, dummy_host: str, verb: str, *args: str) -> tuple[int, str]:
        if self.loaded is None:
            return 1, ""
        if verb == "info":
            return 0, json.dumps(
                {
                    "ServerVersion": "20.10.24",
                    "Debug": self.loaded.get("debug", False),
                    "LiveRestoreEnabled": self.loaded.get("live-restore", False),
                    "ContainersRunning": len(self.containers),
                    "Swarm": {"LocalNodeState": self.swarm},
                }
            )
        if verb == "events":
            return 0, "reload" if self.reloads else ""
        if verb == "ps":
            return 0, "\n".join(self.containers)
        host = '{"RestartPolicy": {"Name": "%s"}, "AutoRemove": false}'
        return 0, "\n".join(f'"/{name}" {host % policy}' for name, policy in self.containers.items())

    def do_iptables(self, *args: str) -> tuple[int, str]:
        if "-S" not in args:
            self.user_chain = True
            return 0, ""
        if not self.chains:
            return 0, "-P FORWARD ACCEPT\n"
        table = "nat" if "nat" in args else "filter"
        lines = (FIXTURES / f"iptables-{table}-20.10.24.txt").read_text(encoding="utf-8").splitlines()
        return 0, "\n".join(line for line in lines if self.user_chain or "DOCKER-USER" not in line)

    def do_dockerd(self, *args: str) -> tuple[int, str]:
        if args == ("--help",):
            return 0, self.usage
        config = json.loads(Path(args[-1]).read_text(encoding="utf-8"))
        return (1, "unable to configure: unknown directive") if "icee" in config else (0, "configuration OK")

    def do_firewall_cmd(self, *dummy_args: str) -> tuple[int, str]:
        return (0, self.zone) if self.zone else (2, "")

    def do_dpkg_query(self, *args: str) -> tuple[int, str]:
        assert args == ("--show", "--showformat=${Package} ${db:Status-Status}\\n", "docker.io")
        return (0, f"docker.io {self.package}\n") if self.package else (1, "")

    def do_journalctl(self, *dummy_args: str) -> tuple[int, str]:
        return 0, self.journal


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = FakeHost(tmp_path)
    (tmp_path / "systemd").mkdir()

    def run_raw(self: Cli, *args: str, timeout: float | None = None) -> Result:
        argv = (*self._base, *args)
        rc, out = fake.answer(self._base[0].rpartition("/")[2], argv[1:])
        return Result(argv, rc, out, "", False, timeout or 0)

    monkeypatch.setattr(Cli, "run_raw", run_raw)
    monkeypatch.setattr(
        AnsibleModule, "get_bin_path", lambda dummy, tool, *a, **k: f"/bin/{tool}" if tool in fake.tools else None
    )
    monkeypatch.setattr(AnsibleModule, "tmpdir", str(tmp_path))
    monkeypatch.setattr(AnsibleModule, "warn", lambda dummy, text: fake.warnings.append(text))
    monkeypatch.setattr(_docker_engine, "STATE_FILE", str(fake.state))
    monkeypatch.setattr(_docker_engine, "RUN_FILE", str(fake.record))
    monkeypatch.setattr(_docker_engine, "SYSTEMD", str(tmp_path / "systemd"))
    monkeypatch.setattr(_docker_engine, "PROC", str(tmp_path / "proc"))
    monkeypatch.setattr(_docker_engine, "SYS_NET", str(tmp_path / "net"))
    monkeypatch.setattr(_docker_engine, "POLL", 0)
    return fake


@pytest.fixture
def daemon(host: FakeHost, run_module: t.Callable[..., dict[str, t.Any]]) -> t.Callable[..., dict[str, t.Any]]:
    """Return a function that runs the module on the model."""

    def run(check_mode: bool = False, **options: t.Any) -> dict[str, t.Any]:
        return run_module(docker_daemon.main, check_mode=check_mode, path=str(host.file), timeout=1, **options)

    return run


def test_restart_once_then_nothing(host, daemon):
    check = daemon(check_mode=True, settings={"icc": False})
    assert not host.file.exists()
    assert not host.state.exists()
    assert not host.record.exists()
    first = daemon(settings={"icc": False})
    assert first["commands"] == check["commands"] == RESTART
    assert first["changed"]
    assert check["changed"]
    assert first["diff"] == check["diff"]
    assert first["diff"]["after"] == '{\n  "icc": false\n}\n'
    assert host.loaded == {"icc": False}
    second = daemon(settings={"icc": False})
    assert (second["changed"], second["commands"], second["daemon"]["action"]) == (False, [], "none")


def test_reload_is_enough(host, daemon):
    assert daemon(settings={"live-restore": True})["commands"] == RELOAD
    assert host.loaded == {"live-restore": True}
    assert not daemon(settings={"live-restore": True})["changed"]


def test_nothing_wanted_changes_nothing(host, daemon):
    host.write({"bip": "10.0.0.1/24"})
    assert not daemon()["changed"]
    assert not host.state.exists()


@pytest.mark.parametrize("kill_at", ["reset-failed", "restart"])
def test_killed_before_the_restart(host, daemon, kill_at):
    host.kill_at = kill_at
    with pytest.raises(Killed):
        daemon(settings={"icc": False})
    assert host.read() == {"icc": False}
    assert host.loaded == {}
    host.kill_at = ""
    assert daemon(settings={"icc": False})["commands"] == RESTART
    assert not daemon(settings={"icc": False})["changed"]


def test_killed_before_the_restart_and_after_a_reboot_of_the_record(host, daemon):
    """Without the record a file newer than the process counts as not loaded."""
    host.kill_at = "restart"
    with pytest.raises(Killed):
        daemon(settings={"icc": False})
    host.kill_at = ""
    host.record.unlink()
    later = time.time() + 60
    os.utime(host.file, (later, later))
    assert daemon(settings={"icc": False})["daemon"]["action"] == "restart"


def test_file_older_than_dockerd_is_what_it_has_loaded(host, daemon):
    host.write({"icc": False})
    host.start()
    assert not daemon(settings={"icc": False})["changed"]


def test_restart_by_others_makes_the_record_void(host, daemon):
    daemon(settings={"icc": False})
    host.write({"icc": True})
    host.start()
    assert daemon(settings={"icc": False})["commands"] == RESTART


def test_killed_teardown_is_finished(host, daemon):
    host.write({"icc": True, "bip": "x"})
    host.start()
    daemon(settings={"icc": False})
    host.kill_at = "restart"
    with pytest.raises(Killed):
        daemon(state="absent")
    host.kill_at = ""
    assert host.loaded == {"icc": False, "bip": "x"}
    assert daemon(state="absent")["commands"] == RESTART
    assert host.loaded == {"icc": True, "bip": "x"}
    assert not daemon(state="absent")["changed"]
    assert not host.state.exists()
    assert not host.record.exists()


def test_teardown_removes_the_file_we_made(host, daemon):
    daemon(settings={"icc": False})
    result = daemon(state="absent")
    assert result["commands"] == RESTART
    assert not host.file.exists()
    assert not host.state.parent.exists()
    assert not host.record.parent.exists()


def test_teardown_keeps_what_others_changed(host, daemon):
    daemon(settings={"icc": False, "mtu": 1400})
    host.write({"icc": False, "mtu": 9000})
    result = daemon(state="absent")
    assert result["kept"] == ["mtu"]
    assert host.read() == {"mtu": 9000}


def test_teardown_of_a_stopped_docker_does_not_start_it(host, daemon):
    daemon(settings={"icc": False})
    host.loaded = None
    assert daemon(state="absent")["commands"] == []
    assert host.loaded is None


def test_package_is_remembered_before_it_is_installed(host, daemon):
    """A run that is cut off while it installs is followed by one that finds Docker there."""
    tools, loaded = set(host.tools), host.loaded
    host.tools -= {"dockerd", "docker"}
    host.loaded = None
    assert daemon(missing="tell")["package"] == "docker.io"
    host.tools |= tools
    host.loaded = loaded
    assert daemon(settings={"icc": False})["package"] == "docker.io"
    assert daemon(state="absent")["package"] == "docker.io"
    host.tools.remove("dockerd")
    host.loaded = None
    daemon(state="absent")
    assert not host.state.exists()


@pytest.mark.parametrize("before", [None, {"icc": True}], ids=["no-file", "file"])
def test_docker_that_does_not_come_up_gets_its_file_back(host, daemon, before):
    if before is not None:
        host.write(before)
        host.start()
    result = daemon(settings={"storage-driver": "nonsense"})
    assert "error initializing graphdriver" in result["msg"]
    assert "is back. Docker runs with it." in result["msg"]
    assert result["journal"] == [host.journal]
    assert result["commands"] == RESTART + START
    assert host.loaded == (before or {})
    assert host.file.exists() == (before is not None)
    assert not daemon()["changed"]


@pytest.mark.parametrize("more", [{}, {"mtu": 1400}], ids=["same-settings", "other-settings"])
def test_killed_while_docker_does_not_come_up(host, daemon, more):
    """The next run still knows the last file that worked."""
    host.write({"icc": True})
    host.start()
    host.kill_at = "restart"
    with pytest.raises(Killed):
        daemon(settings={"storage-driver": "nonsense"})
    host.kill_at = ""
    host.start()  # systemd tries again, in vain
    assert "is back. Docker runs with it." in daemon(settings={"storage-driver": "nonsense", **more})["msg"]
    assert host.loaded == {"icc": True}


def test_broken_docker_that_we_did_not_change(host, daemon):
    host.write({"storage-driver": "nonsense"})
    host.loaded = None
    result = daemon()
    assert "was not changed by this run" in result["msg"]
    assert host.read() == {"storage-driver": "nonsense"}


def test_reload_that_is_rejected(host, daemon):
    host.reloads = False
    result = daemon(settings={"registry-mirrors": ["bad"]})
    assert "bad mirror" in result["msg"]
    assert not host.file.exists()


def test_lost_chains_come_back(host, daemon):
    daemon(settings={"icc": False})
    host.chains = False
    result = daemon(settings={"icc": False})
    assert result["commands"] == RESTART
    assert "nat: chain DOCKER" in result["recovered"]
    assert host.chains
    assert daemon(settings={"icc": False})["recovered"] == []


def test_user_chain_alone_takes_no_restart(host, daemon):
    daemon(settings={"icc": False})
    host.user_chain = False
    for check_mode in (True, False):
        result = daemon(check_mode=check_mode, settings={"icc": False}, restart=False)
        assert result["commands"] == MAKE_USER_CHAIN
        assert result["changed"]
    assert not daemon(settings={"icc": False})["changed"]


def test_user_chain_that_a_restart_with_live_restore_leaves_out(host, daemon):
    host.chains = host.user_chain = host.user_chain_comes_back = False
    assert daemon()["commands"] == RESTART + MAKE_USER_CHAIN
    assert not daemon()["changed"]


@pytest.mark.parametrize("off", [{"iptables": False}, {"firewall-backend": "nftables"}], ids=["off", "nftables"])
def test_chains_nobody_wants_are_not_missed(host, daemon, off):
    host.write(off)
    host.start()
    host.chains = False
    assert not daemon()["changed"]


def test_lost_chains_with_recover_off(host, daemon):
    host.chains = False
    result = daemon(recover=False)
    assert not result["changed"]
    assert "recover is false" in host.warnings[0]


@pytest.mark.parametrize(
    ("zone", "since", "recovered"),
    [
        pytest.param("", 2_000_000_000, ["firewalld: zone of docker0"], id="started-after-docker"),
        pytest.param("", 1, [], id="started-before-docker"),  # a restart would not help, so none is made, on any run
        pytest.param("docker", 2_000_000_000, [], id="in-its-zone"),
        pytest.param("trusted", 2_000_000_000, [], id="moved-by-the-administrator"),
    ],
)
def test_firewalld_that_docker_does_not_know(host, daemon, zone, since, recovered):
    (host.root / "net/docker0").mkdir(parents=True)
    host.tools.add("firewall-cmd")
    host.zone, host.firewalld_since = zone, since
    result = daemon()
    assert result["recovered"] == recovered
    assert result["commands"] == (RESTART if recovered else [])
    assert daemon()["recovered"] == []


def test_chains_that_stay_away(host, daemon):
    host.chains = host.chains_come_back = False
    assert "still incomplete: nat: chain DOCKER" in daemon()["msg"]


def test_restart_that_is_not_allowed(host, daemon):
    host.containers = {"web": "always", "job": "no"}
    result = daemon(settings={"icc": False, "debug": True}, restart=False)
    assert "to load debug, icc, and restart is false" in result["msg"]
    assert "web (restarted, restart policy always)" in result["msg"]
    assert [container["name"] for container in result["containers"]] == ["job", "web"]
    assert not host.file.exists()
    host.chains = False
    assert "to bring back nat: chain DOCKER" in daemon(restart=False)["msg"]
    host.chains = True
    assert daemon(settings={"debug": True}, restart=False)["commands"] == RELOAD


def test_containers_are_named_before_they_are_stopped(host, daemon):
    host.containers = {"job": "no"}
    result = daemon(settings={"icc": False})
    assert result["containers"] == [{"name": "job", "policy": "no", "outcome": "stopped"}]
    assert "interrupts containers: job (stopped, restart policy no)" in host.warnings[0]


def test_live_restore_is_loaded_before_the_restart(host, daemon):
    host.containers = {"job": "no"}
    result = daemon(settings={"icc": False, "live-restore": True})
    assert result["commands"] == RELOAD + RESTART
    assert result["containers"][0]["outcome"] == "kept"
    assert "docker0 keeps its old icc" in host.warnings[0]


def test_stopped_and_disabled_docker(host, daemon):
    host.loaded, host.enabled, host.chains = None, "disabled", False
    result = daemon(restart=False)
    assert result["commands"] == ["/bin/systemctl enable docker.service", *START]
    assert (host.enabled, host.loaded) == ("enabled", {})
    assert result["daemon"]["running"]


@pytest.mark.parametrize(
    ("settings", "prepare", "message"),
    [
        pytest.param({"icee": 1}, {}, "knows no setting named icee", id="unknown"),
        pytest.param({"icee": 1}, {"usage": "--validate"}, "does not accept the new", id="validate"),
        pytest.param({"label": []}, {}, "the key in the file is 'labels'", id="flag-name"),
        pytest.param({"hosts": []}, {}, "hosts (file: [], flag: --host fd://)", id="flag-in-the-unit"),
        pytest.param({"icc": False}, {"options": "--icc=true"}, "icc (file: false, flag: --icc true)", id="flag"),
        pytest.param({"icc": False}, {"options": "--config-file=/x"}, "Set the option path to /x", id="other-file"),
        pytest.param({"live-restore": True}, {"swarm": "active"}, "part of a swarm", id="swarm"),
    ],
)
def test_refused_before_any_change(host, daemon, settings, prepare, message):
    for name, value in prepare.items():
        setattr(host, name, value)
    result = daemon(settings=settings)
    assert message in result["msg"]
    assert result["commands"] == []
    assert not host.file.exists()


def test_unreadable_file_is_never_overwritten(host, daemon):
    host.write("{,}")
    for state in ("present", "absent"):
        assert "is not valid JSON" in daemon(state=state)["msg"]
    assert host.file.read_text(encoding="utf-8") == "{,}"


def test_full_disk(host, daemon, monkeypatch):
    def full(dummy_fd):
        raise OSError(28, "No space left on device")

    host.write({"bip": "x"})
    host.start()
    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device. The file is as it was." in daemon(settings={"icc": False})["msg"]
    assert host.read() == {"bip": "x"}


def test_host_without_docker(host, daemon):
    host.tools -= {"dockerd", "docker"}
    host.loaded = None
    assert "apt-get install docker.io" in daemon(settings={"icc": False})["msg"]
    check = daemon(check_mode=True, settings={"icc": False})
    assert check["changed"]
    assert check["commands"] == RESTART
    assert not check["daemon"]["installed"]
    assert not daemon(state="absent")["changed"]
    told = daemon(settings={"icc": False}, missing="tell")
    assert (told["changed"], told["commands"], told["daemon"]["installed"]) == (True, [], False)
    assert not daemon(settings={"icc": False}, missing="tell")["changed"]
    assert daemon(check_mode=True, settings={"icc": False}, missing="tell")["commands"] == RESTART
    host.tools.remove("apt-get")
    assert "no apt-get to install docker.io" in daemon(check_mode=True)["msg"]
    assert "no apt-get to install docker.io" in daemon(missing="tell")["msg"]


@pytest.mark.parametrize("status", ["half-installed", "unpacked", "half-configured"])
def test_package_that_is_not_ready(host, daemon, status):
    """What a killed run has left to itself: apt goes on, and what there is of Docker must not be touched meanwhile."""
    host.tools.add("dpkg-query")
    host.package = status
    assert daemon(settings={"icc": False})["daemon"]["installed"]  # an upgrade: the service runs
    host.loaded = None
    told = daemon(settings={"mtu": 1400}, missing="tell")
    assert (told["commands"], told["daemon"]["installed"], told["package"]) == ([], False, "docker.io")
    assert host.read() == {"icc": False}
    refused = daemon(settings={"mtu": 1400})["msg"]
    assert "is being installed, or its installation was cut off" in refused
    assert "dpkg --configure --pending" in refused
    host.package = "installed"
    assert daemon(settings={"mtu": 1400})["daemon"]["action"] == "start"


@pytest.mark.parametrize("status", ["installed", "config-files", ""])
def test_packages_of_others_do_not_matter(host, daemon, status):
    """Docker may be there by other means."""
    host.tools.add("dpkg-query")
    host.package = status
    host.loaded = None
    assert daemon(settings={"icc": False})["daemon"]["action"] == "start"


def test_host_without_systemd(host, daemon):
    (host.root / "systemd").rmdir()
    assert "needs a host that systemd runs" in daemon()["msg"]


def test_damaged_records(host, daemon):
    daemon(settings={"icc": False})
    host.record.write_text("{", encoding="utf-8")
    assert not daemon(settings={"icc": False}).get("failed")
    assert "is ignored" in host.warnings[0]
    host.state.write_text("[]", encoding="utf-8")
    assert "is damaged" in daemon(settings={"icc": False})["msg"]


def test_without_settings_nothing_is_given_back(host: FakeHost, daemon: t.Callable[..., dict[str, t.Any]]) -> None:
    """What another call set stays, and lost chains are brought back all the same."""
    settings = {"icc": False, "log-opts": {"max-size": "10m"}, "mtu": None}
    daemon(settings=settings)
    assert not daemon()["changed"]
    host.chains = False
    assert daemon()["commands"] == RESTART
    assert not daemon(settings=settings)["changed"]
