# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""A host's Docker: the engine, its settings and firewall chains, networks and containers. The environment of containers is not read."""

from __future__ import annotations

import json
import os
import re
import typing as t
from dataclasses import asdict

from ansible_collections.crosshost.overlay.plugins.module_utils import _docker, _files, _host
from ansible_collections.crosshost.overlay.plugins.module_utils import _docker_daemon as dd

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli
    from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

DAEMON_JSON = "/etc/docker/daemon.json"
PID_FILES = ("/run/docker.pid", "/var/run/docker.pid")
# Only what is needed is asked for: the rest of a container's record holds its environment.
FIELDS = {
    "id": ".Id",
    "name": ".Name",
    "image": ".Config.Image",
    "labels": ".Config.Labels",
    "status": ".State.Status",
    "exit_code": ".State.ExitCode",
    "error": ".State.Error",
    "restart": ".HostConfig.RestartPolicy.Name",
    "networks": ".NetworkSettings.Networks",
}
FORM = "{" + ",".join(f'"{key}":{{{{json {path}}}}}' for key, path in FIELDS.items()) + "}"
NO_ENTRYPOINT = re.compile(r'exec: "[^"]*": .*(no such file or directory|executable file not found)')


def empty() -> dict[str, t.Any]:
    """What is returned where there is no Docker."""
    return {"installed": False, "running": False, "version": "", "error": "", "networks": [], "containers": []}


def minimal(section: Section) -> None:
    """Read version, networks and the containers on them."""
    docker = _engine(section)
    if docker is None:
        return
    section.facts["networks"] = [asdict(item) for item in _docker.networks(docker)]
    section.facts["containers"] = [asdict(item) for item in _docker.containers(docker)]


def _engine(section: Section) -> Cli | None:
    """Ask the engine for its version; None where there is none, or none that answers."""
    facts = section.facts
    if not section.has("docker"):
        return None
    facts["installed"] = section.has("dockerd")
    docker = section.cli("docker")
    version = docker.run_raw("version", "--format", "{{.Server.Version}}")
    if version.rc != 0:
        facts["error"] = version.message
        return None
    facts.update(installed=True, running=True, version=version.out.strip())
    return docker


def read(section: Section) -> None:
    """The same, and what a diagnosis has to know besides. The host's own files come first: they never hang."""
    facts = section.facts
    facts.update(
        security_options=[],
        iptables=None,
        live_restore=False,
        root_dir="",
        storage_driver="",
        tls={"enabled": False, "hosts": []},
        chains={"expected": [], "missing": []},
        firewalld_zone_ok=None,
    )
    if section.has("dockerd"):
        with section.part():
            facts.update(settings(dockerd_argv()))
    docker = _engine(section)
    if facts["error"]:
        section.problems.append(facts["error"])
    if docker is None:
        return
    with section.part():
        facts.update(engine(docker.read("info", "--format", "{{json .}}")[1]))
    with section.part():
        facts["containers"] = containers(docker)
    with section.part():
        facts["networks"] = [
            {**asdict(item), "containers": sum(item.name in entry["networks"] for entry in facts["containers"])}
            for item in _docker.networks(docker)
        ]
    if facts["iptables"]:
        with section.part():
            facts["chains"] = _chains(section)
        with section.part():
            facts["firewalld_zone_ok"] = _zone(section)


# Settings


def dockerd_argv(proc: str = "/proc", pid_files: t.Sequence[str] = PID_FILES) -> list[str]:
    """The command line of the dockerd that runs here, not of one in a container of this host; [] if none does."""
    for path in pid_files:
        pid = _host.read_text(path)
        if pid.isdigit() and _host.read_text(f"{proc}/{pid}/comm") == "dockerd":
            return [word for word in _host.read_text(f"{proc}/{pid}/cmdline").split("\0") if word]
    return []


def settings(argv: t.Sequence[str], path: str = DAEMON_JSON) -> dict[str, t.Any]:
    """What the daemon's file and command line say of its firewall and its TCP sockets."""
    flags = dd.parse_flags(argv)
    path = flags.get("config-file", [path])[-1]
    try:
        config = dd.parse_config(_files.read_bytes(path) or b"", path)
    except dd.ConfigError as exc:
        raise ValueError(str(exc)) from exc
    hosts = [*flags.get("host", []), *(config.get("hosts") or [])]
    secured = any(
        flags.get(name, ["false"])[-1].lower() in ("true", "1", "t") or config.get(name) is True
        for name in ("tls", "tlsverify")
    )
    return {
        "iptables": dd.iptables_wanted(config, flags),
        "tls": {"enabled": secured, "hosts": [host for host in hosts if host.startswith("tcp:")]},
    }


def engine(text: str) -> dict[str, t.Any]:
    """What 'docker info' says of the engine. Its proxies, which may carry a password, are left alone."""
    info = json.loads(text)
    return {
        "security_options": list(info.get("SecurityOptions") or []),
        "live_restore": bool(info.get("LiveRestoreEnabled")),
        "root_dir": info.get("DockerRootDir", ""),
        "storage_driver": info.get("Driver", ""),
    }


def _chains(section: Section) -> dict[str, list[str]]:
    iptables = section.cli("iptables", "--wait", "5", package="iptables")
    missing = dd.missing_chains(iptables.read("-t", "nat", "-S")[1], iptables.read("-S")[1])
    return {"expected": dd.missing_chains("", ""), "missing": missing}


def _zone(section: Section) -> bool | None:
    """Whether a firewalld that runs has docker0 in the zone that Docker made for it."""
    if not section.has("firewall-cmd") or not os.path.exists("/sys/class/net/docker0"):
        return None
    if section.ask("systemctl", "is-active", "--quiet", "firewalld.service").rc != 0:
        return None
    answer = section.cli("firewall-cmd").run_raw("--get-zone-of-interface=docker0")
    if answer.rc not in (0, 2):  # 2 = "no zone"
        section.problems.append(answer.message)
        return None
    return answer.out.strip() == "docker"


# Containers


def containers(docker: Cli) -> list[dict[str, t.Any]]:
    """Read all containers; one that vanishes between the two calls is left out."""
    ids = docker.read("ps", "--all", "--quiet", "--no-trunc")[1].split()
    if not ids:
        return []
    result = docker.run_raw("container", "inspect", "--format", FORM, *ids)
    if result.timed_out or (result.rc != 0 and "No such container" not in result.err):
        docker.fail(result)
    return [container(json.loads(line)) for line in result.out.splitlines() if line.strip()]


def container(entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """One container, from a line in the form of FORM."""
    networks = entry["networks"] or {}
    error = entry["error"] or ""
    return {
        "name": entry["name"].lstrip("/"),
        "running": entry["status"] in ("running", "paused", "restarting"),
        "label": (entry["labels"] or {}).get(_docker.LABEL),
        "networks": sorted(networks),
        "id": entry["id"][:12],
        "state": entry["status"],
        "exit_code": entry["exit_code"],
        "error": error,
        "image": entry["image"],
        "addresses": {
            name: item.get("IPAddress") or item.get("GlobalIPv6Address") or ""
            for name, item in sorted(networks.items())
        },
        "restart": entry["restart"] or "no",
        "entrypoint_missing": bool(NO_ENTRYPOINT.search(error)),
    }
