# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""A Weave Net router as it is on a host: its containers, what it reports, what was recorded. Nothing here changes anything."""

from __future__ import annotations

import glob
import json
import os
import re
import typing as t
from dataclasses import asdict, dataclass, replace

from ansible_collections.crosshost.overlay.plugins.module_utils import (
    _files,
    _host,
    _info_secrets,
    _weave_args,
    _weave_report,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._docker import LABEL

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_args import Launch
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import Api
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_report import Router

ROUTER = "weave"
PREVIOUS = "weave-previous"  # the router of before, while a new one is being launched
DATABASE = "weavedb"
HELPER = "crosshost-weave-exec"  # the script's own container, named so that it can be stopped after a timeout
PROGRAM = "/home/weave/weaver"  # the entry point of every release of the image
RECORD = _host.STATE_DIR + "/weave.json"
BRIDGE = "weave"
# Docker's own: it makes this bridge for the first container on a network of a plugin, which leads to no gateway, and never removes it.
GATEWAY = "docker_gwbridge"
# What every launch puts there for Kubernetes, on any host; a reset by the script leaves it.
CNI_FOLDER, CNI_CONFIG = "/opt/cni/bin", "/etc/cni/net.d/10-weave.conflist"


@dataclass(frozen=True)
class Container:
    """A container with one of the names above."""

    id: str
    path: str
    image: str
    argv: tuple[str, ...]
    password: str
    status: str
    policy: str
    ours: bool

    @property
    def router(self) -> bool:
        """Whether it is a Weave Net router, and not something else of that name."""
        return self.path == PROGRAM

    @property
    def running(self) -> bool:
        """Whether it runs and is not held."""
        return self.status == "running"


@dataclass(frozen=True)
class Have:
    """What is on the host. record is what was written down at the last launch, {} if nothing."""

    container: Container | None
    previous: Container | None
    helper: str | None
    database: bool
    bridge: bool
    router: Router | None
    record: t.Mapping[str, t.Any]

    @property
    def launch(self) -> Launch | None:
        """The arguments of the router, or of the one set aside, with the name it really has."""
        source = self.container or self.previous
        if source is None or not source.router:
            return None
        launch = _weave_args.parse(source.argv)
        if self.router is None:
            return launch
        return replace(launch, name=self.router.name, nickname=self.router.nickname or launch.nickname)

    @property
    def primed(self) -> bool:
        """Whether the address database matters; without a router to ask, a database counts as one that does."""
        if self.router is None or self.router.ipam is None:
            return self.database
        return self.router.ipam.primed

    def known(self, key: str, option: str) -> str:
        """A value the router has or had: live, as recorded, or of a stopped container."""
        live = self.launch if self.router is not None else None
        found = getattr(live, option) if live else self.record.get(key) or getattr(self.launch, option, "")
        return str(found or "")


def observe(docker: Cli, api: Api, bridge: bool) -> Have:
    """Read everything a plan needs, with one call of docker and one of the router."""
    names = (ROUTER, PREVIOUS, HELPER, DATABASE)
    result = docker.run_raw("container", "inspect", *names)
    others = [line for line in result.err.splitlines() if line.strip() and "No such container" not in line]
    if result.timed_out or (result.rc != 0 and others):
        docker.fail(
            result,
            f"Cannot ask Docker about the router: {others[0] if others else result.message}. "
            "Is the Docker Engine running ('systemctl status docker')? Start it and run again.",
        )
    found = {entry["Name"].lstrip("/"): entry for entry in json.loads(result.out or "[]")}
    main = _container(found.get(ROUTER))
    report = api.report() if main and main.running else None
    return Have(
        container=main,
        previous=_container(found.get(PREVIOUS)),
        helper=found[HELPER]["Id"] if HELPER in found else None,
        database=DATABASE in found,
        bridge=bridge,
        router=_weave_report.parse(report) if report else None,
        record=read_record(),
    )


def _container(entry: t.Mapping[str, t.Any] | None) -> Container | None:
    if entry is None:
        return None
    env = dict(item.split("=", 1) for item in entry["Config"].get("Env") or () if "=" in item)
    labels = entry["Config"].get("Labels") or {}
    return Container(
        id=entry["Id"],
        path=entry.get("Path", ""),
        image=entry["Config"].get("Image", ""),
        argv=tuple(entry.get("Args") or ()),
        password=env.get("WEAVE_PASSWORD", ""),
        status=entry["State"].get("Status", ""),
        policy=(entry["HostConfig"].get("RestartPolicy") or {}).get("Name") or "no",
        ours=LABEL in labels,
    )


def read_record(path: str = RECORD) -> dict[str, t.Any]:
    """What the last launch wrote down; {} when there is nothing or it cannot be read."""
    try:
        found = json.loads(_files.read(path) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def cni_files(folder: str = CNI_FOLDER, config: str = CNI_CONFIG) -> list[str]:
    """The files of Weave Net's plugin for Kubernetes, links first."""
    found = sorted(glob.glob(os.path.join(folder, "weave-*")), key=lambda path: (not os.path.islink(path), path))
    return [*found, *([config] if os.path.lexists(config) else [])]


def bridge_there(name: str = BRIDGE) -> bool:
    """Whether a bridge exists; that of the overlay outlives the router."""
    return bool(_host.read_text(f"/sys/class/net/{name}/ifindex"))


def holders(docker: Cli, api: Api, router: Router | None) -> list[str]:
    """The containers that have an address of the overlay, as 'name (address)': those on its Docker network, and those attached to it.

    An attached one is known to the router only, a stopped one on the network has no address now and wants one later.
    """
    network = docker.run_raw("network", "inspect", "--format", "{{json .Containers}}", ROUTER)
    members = json.loads(network.out or "null") if network.rc == 0 else None
    found = {item["Name"]: f" ({item.get('IPv4Address', '')})" for item in (members or {}).values()}
    form = "{{.ID}}\t{{.Names}}\t{{.Networks}}"
    for line in docker.read("ps", "--all", "--no-trunc", "--format", form)[1].splitlines():
        ident, name, networks = line.split("\t")
        if ROUTER in networks.split(","):
            found.setdefault(name, "")
        elif router is not None and name not in (ROUTER, PREVIOUS, DATABASE):
            answer = api.get(f"/ip/{ident}", timeout=5)
            if answer.ok and re.match(r"[0-9]", answer.text):
                found[name] = f" ({answer.text.strip()})"
    return sorted(name + address for name, address in found.items())


def describe(have: Have) -> dict[str, t.Any]:
    """What the modules return about the router; the password stays out of it."""
    main, launch, router = have.container, have.launch, have.router
    shown = asdict(router) if router else None
    if main is not None:
        argv = _info_secrets.words(main.argv)
    return {
        "container": None
        if main is None
        else {
            "state": main.status,
            "image": main.image,
            "args": argv,
            "restart_policy": main.policy,
            "ours": main.ours,
            "foreign": not main.router,
        },
        "launch": None
        if main is None or launch is None
        else {
            **asdict(launch),
            "extra": _info_secrets.options(dict(launch.extra)),
            "password_set": bool(main.password or dict(launch.extra).get("password")),
        },
        "record": dict(have.record),
        "router": {key: value for key, value in shown.items() if key not in ("ipam", "dns")} if shown else None,
        "ipam": shown["ipam"] if shown else None,
        "dns": shown["dns"] if shown else None,
        "database": have.database,
    }
