# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The probe container of a host: what is there, what to do about it, doing it."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli, CliError
from ansible_collections.crosshost.overlay.plugins.module_utils._docker import LABEL
from ansible_collections.crosshost.overlay.plugins.module_utils._netns import NamespaceError, start_echo, stop_echo
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_image import ImageError, files_for, pack

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

MARK = "probe"
IMAGE_MARK = "probe-image"  # a container inherits the labels of its image, so the two have to differ
RUN_DIR = "/run/crosshost-overlay"
GONE_TIMEOUT = 15.0  # seconds for Docker to finish the removal of a container
ASK_TIMEOUT = (
    30.0  # seconds to describe an object; Docker does not answer while it holds one locked, as behind a dead plugin
)
PLUGIN_TIMEOUT = 60.0  # seconds to join a plugin's network; Docker itself gives a plugin that does not answer up to 30
STUCK_TIMEOUT = 15.0  # seconds for each command that takes back a container on the network of a dead plugin
BUILT_IN = ("bridge", "host", "ipvlan", "macvlan", "null", "overlay")  # drivers of networks that need no plugin
DOCKER_BRIDGE = "docker-bridge"  # in place of an address: that of Docker's own bridge, where Weave Net serves names
ABSENT = re.compile(r"no such (container|image|network|object)|network \S+ not found", re.IGNORECASE)


@dataclass(frozen=True)
class Container:
    """A container of the probe's name."""

    id: str
    ours: bool
    pid: int
    address: str | None


@dataclass(frozen=True)
class Have:
    """What is on the host. image_ours is None if there is no image; driver is that of the network."""

    network: bool
    image_ours: bool | None
    container: Container | None
    driver: str = ""


def inspect(docker: Cli, kind: str, name: str) -> dict[str, t.Any] | None:
    """Return an object as Docker describes it; None if there is none of that name."""
    rc, out, err = docker.read_full(kind, "inspect", "--format", "{{json .}}", name, ok=(0, 1), timeout=ASK_TIMEOUT)
    if rc == 0:
        return json.loads(out)
    if ABSENT.search(err):
        return None
    docker.module.fail_json(
        msg=f"Cannot ask Docker about the {kind} '{name}': {err.strip()}. Is the daemon running? Start it and run again.",
        rc=rc,
        stdout=out,
        stderr=err,
    )
    raise SystemExit(1)


def observe(docker: Cli, params: t.Mapping[str, t.Any]) -> Have:
    """Read everything the plan needs."""
    network = params["network"]
    image = inspect(docker, "image", params["image"])
    found = inspect(docker, "container", params["name"])
    container = None
    if found:
        address = ((found["NetworkSettings"].get("Networks") or {}).get(network) or {}).get("IPAddress") or None
        ours = (found["Config"].get("Labels") or {}).get(LABEL) == MARK
        container = Container(found["Id"], ours, int(found["State"].get("Pid") or 0), address)
    image_ours = None
    if image:
        image_ours = ((image.get("Config") or {}).get("Labels") or {}).get(LABEL) == IMAGE_MARK
    there = inspect(docker, "network", network) if network else None
    return Have(there is not None, image_ours, container, (there or {}).get("Driver") or "")


def bridge_address(docker: Cli) -> str | None:
    """Return the host's address on Docker's own bridge; None if there is none, as with the daemon's setting bridge=none."""
    network = inspect(docker, "network", "bridge")
    if network is None:
        return None
    for entry in (network.get("IPAM") or {}).get("Config") or []:
        gateway = str(entry.get("Gateway") or "").partition("/")[0]
        if gateway and ":" not in gateway:
            return gateway
    # Docker 20.10 leaves the gateway out until the daemon has been restarted; the link has the address all the same.
    link = (network.get("Options") or {}).get("com.docker.network.bridge.name") or "docker0"
    shown = Cli(docker.module, "ip", package="iproute2").run_raw("-json", "-4", "address", "show", "dev", link)
    addresses = [info["local"] for item in json.loads(shown.out or "[]") for info in item.get("addr_info") or []]
    return next((str(ipaddress.IPv4Address(address)) for address in addresses), None)


def plan(params: t.Mapping[str, t.Any], have: Have) -> list[list[str]]:
    """Return the docker commands for states present and absent, in order."""
    steps = []
    if have.container and have.container.ours:
        steps.append(["container", "rm", "--force", have.container.id])
    if params["state"] == "absent":
        if params["remove_image"] and have.image_ours:
            steps.append(["image", "rm", params["image"]])
        return steps
    if have.image_ours is None and params["archive"]:
        steps.append(["image", "load", "--quiet", "--input", params["archive"]])
    elif have.image_ours is None:
        steps.append(["image", "import", "--change", f"LABEL {LABEL}={IMAGE_MARK}", tar_path(params), params["image"]])
    # No pull, no capability, nothing to write to: it holds a network namespace open for a while, no more.
    run = ["run", "--detach", "--rm", "--pull", "never", "--name", params["name"], "--label", f"{LABEL}={MARK}"]
    run += ["--network", params["network"], "--read-only", "--cap-drop", "ALL"]
    for option, value in (("--hostname", "hostname"), ("--dns", "dns_server"), ("--dns-search", "dns_search")):
        run += [option, params[value]] if params[value] else []
    run += ["--security-opt", "no-new-privileges", "--log-driver", "none"]
    steps.append([*run, "--entrypoint", "sleep", params["image"], str(params["lifetime"])])
    return steps


def tar_path(params: t.Mapping[str, t.Any]) -> str:
    """Return where the image is put together; /run is a tmpfs and empty after a reboot."""
    return f"{RUN_DIR}/probe-{params['name']}.tar"


def pid_path(params: t.Mapping[str, t.Any]) -> str:
    """Return where the echo service is noted."""
    return f"{RUN_DIR}/probe-{params['name']}.json"


def remove(docker: Cli, step: list[str], name: str) -> None:
    """Remove the container and wait until its name is free; it may be ending by itself at this very moment."""
    docker.record(*step)
    if docker.module.check_mode:
        return
    result = docker.run_raw(*step)
    end = time.monotonic() + GONE_TIMEOUT
    while inspect(docker, "container", name) is not None:
        if time.monotonic() > end:
            docker.fail(
                result,
                f"The container '{name}' is still there {GONE_TIMEOUT:g} seconds after its removal: {result.reason}",
            )
        time.sleep(0.1)


def make_image(module: AnsibleModule, path: str) -> None:
    """Write the archive that 'docker image import' reads."""
    ldd = Cli(module, "ldd", package="libc-bin (Debian) or glibc-common (Red Hat)")

    def printed(program: str) -> str:
        rc, out, err = ldd.read_full(program, ok=(0, 1))
        return out + err if rc else out

    try:
        data = pack(files_for(module.get_bin_path("sleep", required=True), printed))
    except (OSError, ImageError) as exc:
        module.fail_json(
            msg=f"Cannot make the image '{module.params['image']}': {exc}. Name an archive that holds it, made by 'docker save'."
        )
    os.makedirs(RUN_DIR, mode=0o755, exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(data)


def apply(docker: Cli, params: t.Mapping[str, t.Any], have: Have, steps: list[list[str]]) -> None:
    """Run the steps; an unfinished container of ours goes again before the module fails."""
    module = docker.module
    plugin = have.driver if have.driver not in BUILT_IN else ""
    for step in steps:
        if step[:2] == ["container", "rm"]:
            remove(docker, step, params["name"])
        elif step[:2] == ["image", "import"]:
            if not module.check_mode:
                make_image(module, tar_path(params))
            try:
                docker.write(*step)
            finally:
                if not module.check_mode and os.path.exists(tar_path(params)):
                    os.unlink(tar_path(params))
        elif step[:2] == ["image", "load"]:
            docker.write(*step)
            if not module.check_mode and inspect(docker, "image", params["image"]) is None:
                module.fail_json(
                    msg=f"The archive {params['archive']} does not hold the image '{params['image']}'; name one that does, or the image it holds."
                )
        else:
            try:
                docker.try_write(*step, timeout=PLUGIN_TIMEOUT if plugin else None)
            except CliError as exc:
                if exc.result.timed_out:
                    discard_stuck(docker, params["name"])
                else:
                    discard(docker, params)
                docker.fail(exc.result, plugin_failure(exc, params["network"], plugin) if plugin else None)


def plugin_failure(exc: CliError, network: str, plugin: str) -> str:
    """Say whose network it is: Docker's own words name a socket or an endpoint, not what has to run."""
    remedy = "start what serves that plugin, and run again"
    if plugin.startswith("weave"):
        remedy = (
            "the router of Weave Net serves that plugin: see 'docker ps --all' and 'docker logs weave' on this host, "
            "start it (crosshost.overlay.weave_launch), and run again"
        )
    result = exc.result
    said = (
        f"'docker run' did not end within {result.timeout:g} seconds" if result.timed_out else result.reason.rstrip(".")
    )
    return f"No container can join the network '{network}' of the Docker plugin '{plugin}': {said}; {remedy}."


def discard_stuck(docker: Cli, name: str) -> None:
    """Take back a probe whose start did not end. Docker may still hold it locked, so nothing here waits for it for long."""
    mine = ("--filter", f"name=^/{re.escape(name)}$", "--filter", f"label={LABEL}={MARK}")
    for found in docker.run_raw("ps", "--all", "--no-trunc", "--quiet", *mine, timeout=STUCK_TIMEOUT).out.split():
        docker.record("container", "rm", "--force", found)
        docker.run_raw("container", "rm", "--force", found, timeout=STUCK_TIMEOUT)


def discard(docker: Cli, params: t.Mapping[str, t.Any]) -> None:
    """Take back a probe that did not come up."""
    stop_echo(pid_path(params))
    left = observe(docker, params).container
    if left and left.ours:
        remove(docker, ["container", "rm", "--force", left.id], params["name"])


def serve(docker: Cli, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Start the echo service next to the new container and return the probe."""
    container = observe(docker, params).container
    problem = "it ended at once; has the image a sleep program that runs?"
    if container and container.pid:
        problem = f"it has no IPv4 address on the network '{params['network']}'"
        if container.address:
            try:
                service = start_echo(
                    container.pid, container.address, params["port"], params["lifetime"], pid_path(params)
                )
                return {
                    "container": params["name"],
                    "address": container.address,
                    "pid": container.pid,
                    "tcp_port": service["port"],
                    "hostname": params["hostname"],
                    "dns_server": params["dns_server"],
                }
            except (NamespaceError, OSError) as exc:
                problem = str(exc)
    discard(docker, params)
    docker.module.fail_json(
        msg=f"The probe container '{params['name']}' is of no use: {problem}.", commands=docker.commands
    )
    raise SystemExit(1)
