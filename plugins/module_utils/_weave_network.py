# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Docker's network of Weave Net's plugin. A router makes it at its first launch and never looks at its subnet again."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils import _docker

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_args import Launch

NETWORK, DRIVER = "weave", "weavemesh"


@dataclass(frozen=True)
class Network:
    """The network as Docker has it; members are the containers on it. One that is stopped keeps the network's id, and could not start without it."""

    driver: str
    subnet: str
    members: tuple[str, ...]


def read(docker: Cli) -> Network | None:
    """Ask Docker; None where there is no such network, or no Docker."""
    result = docker.run_raw("network", "inspect", "--format", "{{json .}}", NETWORK)
    if result.rc != 0:
        return None
    found = json.loads(result.out)
    config = ((found.get("IPAM") or {}).get("Config") or [{}])[0]
    names = (item.name for item in _docker.containers(docker, NETWORK))
    return Network(str(found.get("Driver", "")), str(config.get("Subnet", "")), tuple(sorted(names)))


def wanted(launch: Launch) -> str:
    """The subnet a router with these arguments gives the network; empty where it decides by itself."""
    return launch.ipalloc_default_subnet or launch.ipalloc_range


def misfit(network: Network | None, launch: Launch) -> bool:
    """Whether containers that join would ask for addresses that the router does not have."""
    return network is not None and network.driver == DRIVER and wanted(launch) not in ("", network.subnet)


def steps(launch: Launch) -> tuple[tuple[str, ...], ...]:
    """The arguments of docker that make it anew, as a router does."""
    plugin = ("--driver", DRIVER, "--ipam-driver", DRIVER, "--opt", "works.weave.multicast=true")
    return (("network", "rm", NETWORK), ("network", "create", *plugin, "--subnet", wanted(launch), NETWORK))


def warning(network: Network, launch: Launch) -> str:
    """What to tell where containers are on it."""
    return (
        f"Docker's network '{NETWORK}' still has the subnet {network.subnet}, and the router gives out addresses of {wanted(launch)}: no container can "
        f"join it any more. It was not made anew because containers are on it: {', '.join(network.members)}. Disconnect them "
        f"('docker network disconnect {NETWORK} NAME'), run again, and connect them."
    )
