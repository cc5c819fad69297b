# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Readers of Docker's networks and of who uses them. Nothing here changes anything."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

LABEL = "crosshost.overlay"  # on every Docker object this collection makes
BRIDGE_NAME = "com.docker.network.bridge.name"
MTU = "com.docker.network.driver.mtu"


@dataclass(frozen=True)
class Network:
    """A Docker network; pool, slice and gateway are those of its first IPv4 configuration."""

    name: str
    id: str
    driver: str
    pool: str
    slice: str
    gateway: str
    mtu: int | None
    bridge: str
    label: str | None
    subnets: tuple[str, ...]
    internal: bool = False


@dataclass(frozen=True)
class Container:
    """A container, running or not, with the names of its networks."""

    name: str
    running: bool
    label: str | None
    networks: tuple[str, ...]


def networks(docker: Cli) -> list[Network]:
    """Read all networks; one that vanishes between the two calls is left out."""
    ids = docker.read("network", "ls", "--no-trunc", "--quiet")[1].split()
    if not ids:
        return []
    result = docker.run_raw("network", "inspect", *ids)
    if result.timed_out or (result.rc != 0 and "No such network" not in result.err):
        docker.fail(result)
    return [parse_network(entry) for entry in json.loads(result.out or "[]")]


def parse_network(entry: t.Mapping[str, t.Any]) -> Network:
    """Turn one entry of 'docker network inspect' into a Network."""
    options = entry.get("Options") or {}
    config = (entry.get("IPAM") or {}).get("Config") or []
    first: dict[str, str] = next((item for item in config if ":" not in item.get("Subnet", ":")), {})
    mtu = options.get(MTU)
    return Network(
        name=entry["Name"],
        id=entry["Id"],
        driver=entry.get("Driver", ""),
        pool=first.get("Subnet", ""),
        slice=first.get("IPRange", "") or first.get("Subnet", ""),
        gateway=first.get("Gateway", "").split("/")[0],
        mtu=int(mtu) if mtu and mtu.isdigit() else None,
        # Docker names the bridge of a network after the first 12 digits of its id unless told otherwise.
        bridge=options.get(BRIDGE_NAME) or (f"br-{entry['Id'][:12]}" if entry.get("Driver") == "bridge" else ""),
        label=(entry.get("Labels") or {}).get(LABEL),
        subnets=tuple(item["Subnet"] for item in config if item.get("Subnet")),
        internal=bool(entry.get("Internal")),
    )


def client_or_none(module: AnsibleModule, timeout: float, optional: bool, taken_for: str) -> Cli | None:
    """Return a client of a Docker that answers.

    None where there is no Docker and that is as well (optional: there is nothing to remove, or check mode runs before it is installed),
    and in check mode where it does not answer; taken_for says what a prediction then takes the host for, "running without ...".
    """
    if optional and not module.get_bin_path("docker"):
        return None
    docker = Cli(module, "docker", timeout=timeout, package="docker.io")
    answer = docker.run_raw("version", "--format", "{{.Server.Version}}")
    if answer.rc == 0:
        return docker
    if module.check_mode:
        module.warn(f"Docker does not answer; this prediction takes it for {taken_for}.")
        return None
    return docker.fail(
        answer,
        f"Docker does not answer: {answer.message}. Start it ('systemctl start docker', 'journalctl -u docker') and run again.",
    )


def containers(docker: Cli, network: str | None = None) -> list[Container]:
    """Read all containers, also stopped ones, or those of one network."""
    only = ("--filter", f"network={network}") if network else ()
    form = '{{json .Names}}\t{{json .State}}\t{{json (.Label "' + LABEL + '")}}\t{{json .Networks}}'
    found = []
    for line in docker.read("ps", "--all", "--no-trunc", *only, "--format", form)[1].splitlines():
        names, state, label, nets = (json.loads(field) for field in line.split("\t"))
        attached = tuple(item for item in nets.split(",") if item)
        if network is None or network in attached:  # the filter also matches the start of a network's id
            found.append(
                Container(names.split(",")[0], state in ("running", "paused", "restarting"), label or None, attached)
            )
    return found
