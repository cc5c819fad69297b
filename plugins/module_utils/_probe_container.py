# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The probe container of a host: what is there, what to do about it, doing it."""

from __future__ import annotations

import concurrent.futures
import ipaddress
import json
import os
import re
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli, Result
from ansible_collections.crosshost.overlay.plugins.module_utils._docker import LABEL, MTU
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
PLUGIN_TIMEOUT = 150.0  # seconds to join a plugin's network; Docker gives a plugin that does not answer up to 30, an emulated CPU took 60
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
    """What is on the host. image_ours is None if there is no image; driver and mtu (0: not set) are those of the network."""

    network: bool
    image_ours: bool | None
    container: Container | None
    second: Container | None = None
    driver: str = ""
    mtu: int = 0

    @property
    def ours(self) -> list[Container]:
        """The probe containers of this collection."""
        return [one for one in (self.container, self.second) if one and one.ours]


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


def inspect_containers(docker: Cli, *names: str) -> dict[str, dict[str, t.Any]]:
    """Return those containers that are there as Docker describes them, by name; one process for all."""
    ask = ("container", "inspect", "--format", "{{json .}}", *names)
    rc, out, err = docker.read_full(*ask, ok=(0, 1), timeout=ASK_TIMEOUT)
    if rc and not all(ABSENT.search(line) for line in err.splitlines() if line.strip()):
        docker.module.fail_json(
            msg=f"Cannot ask Docker about the container '{names[0]}': {err.strip()}. Is the daemon running? Start it and run again.",
            rc=rc,
            stdout=out,
            stderr=err,
        )
    found = [json.loads(line) for line in out.splitlines() if line.strip()]
    return {str(item["Name"]).lstrip("/"): item for item in found}


def second_name(name: str) -> str:
    """Return the name of the second probe of a host, which the first one measures the host's own bridge with."""
    return f"{name}-2"


def observe(docker: Cli, params: t.Mapping[str, t.Any]) -> Have:
    """Read everything the plan needs."""
    network = params["network"]
    names = (params["name"], second_name(params["name"]))
    image = inspect(docker, "image", params["image"])
    found = inspect_containers(docker, *names)
    first, second = (container_of(found[name], network) if name in found else None for name in names)
    image_ours = None
    if image:
        image_ours = ((image.get("Config") or {}).get("Labels") or {}).get(LABEL) == IMAGE_MARK
    there = inspect(docker, "network", network) if network else None
    mtu = str(((there or {}).get("Options") or {}).get(MTU) or "")
    driver = (there or {}).get("Driver") or ""
    return Have(there is not None, image_ours, first, second, driver, int(mtu) if mtu.isdigit() else 0)


def container_of(found: t.Mapping[str, t.Any], network: str | None) -> Container:
    """Read what Docker says of a container."""
    address = ((found["NetworkSettings"].get("Networks") or {}).get(network) or {}).get("IPAddress") or None
    ours = (found["Config"].get("Labels") or {}).get(LABEL) == MARK
    return Container(found["Id"], ours, int(found["State"].get("Pid") or 0), address)


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
    if have.ours:
        steps.append(["container", "rm", "--force", *(one.id for one in have.ours)])
    if params["state"] == "absent":
        if params["remove_image"] and have.image_ours:
            steps.append(["image", "rm", params["image"]])
        return steps
    if have.image_ours is None and params["archive"]:
        steps.append(["image", "load", "--quiet", "--input", params["archive"]])
    elif have.image_ours is None:
        steps.append(["image", "import", "--change", f"LABEL {LABEL}={IMAGE_MARK}", tar_path(params), params["image"]])
    steps.append(start(params, params["name"], params["hostname"]))
    if params["same_host"]:
        # Without the host name: two containers of one name would make that name lead to both.
        steps.append(start(params, second_name(params["name"]), None))
    return steps


def start(params: t.Mapping[str, t.Any], name: str, hostname: str | None) -> list[str]:
    """Return the command that starts a container; it holds a network namespace open for a while, no more."""
    # No pull, no capability, nothing to write to.
    run = ["run", "--detach", "--rm", "--pull", "never", "--name", name, "--label", f"{LABEL}={MARK}"]
    run += ["--network", params["network"], "--read-only", "--cap-drop", "ALL"]
    for option, value in (
        ("--hostname", hostname),
        ("--dns", params["dns_server"]),
        ("--dns-search", params["dns_search"]),
    ):
        run += [option, value] if value else []
    run += ["--security-opt", "no-new-privileges", "--log-driver", "none"]
    return [*run, "--entrypoint", "sleep", params["image"], str(params["lifetime"])]


def tar_path(params: t.Mapping[str, t.Any]) -> str:
    """Return where the image is put together; /run is a tmpfs and empty after a reboot."""
    return f"{RUN_DIR}/probe-{params['name']}.tar"


def pid_path(name: str) -> str:
    """Return where the echo service of a probe is noted."""
    return f"{RUN_DIR}/probe-{name}.json"


def stop_services(params: t.Mapping[str, t.Any]) -> None:
    """Stop the echo services of both probes."""
    for name in (params["name"], second_name(params["name"])):
        stop_echo(pid_path(name))


def remove(docker: Cli, step: list[str], name: str) -> None:
    """Remove containers and wait until their names are free; they may be ending by themselves at this very moment."""
    docker.record(*step)
    if docker.module.check_mode:
        return
    result = docker.run_raw(*step)
    end = time.monotonic() + GONE_TIMEOUT
    while True:
        found = inspect_containers(docker, name, second_name(name))
        left = [left for left, item in found.items() if item["Id"] in step]
        if not left:
            return
        if time.monotonic() > end:
            docker.fail(
                result,
                f"The container '{left[0]}' is still there {GONE_TIMEOUT:g} seconds after its removal: {result.reason}",
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
    starts = [step for step in steps if step[0] == "run"]
    for step in steps[: len(steps) - len(starts)]:
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
        else:
            docker.write(*step)
            loaded = step[:2] == ["image", "load"]
            if loaded and not module.check_mode and inspect(docker, "image", params["image"]) is None:
                module.fail_json(
                    msg=f"The archive {params['archive']} does not hold the image '{params['image']}'; name one that does, or the image it holds."
                )
    for step in starts:
        docker.record(*step)
    if not module.check_mode:
        start_all(docker, params, starts, plugin)


def start_all(docker: Cli, params: t.Mapping[str, t.Any], starts: list[list[str]], plugin: str) -> None:
    """Start all containers at once; if one does not come up, none of them stays."""
    timeout = PLUGIN_TIMEOUT if plugin else None
    results = parallel(lambda step: docker.run_raw(*step, timeout=timeout), starts)
    stuck = [result for result in results if result.timed_out]
    failed = stuck + [result for result in results if result.rc != 0]
    if not failed:
        return
    if stuck:
        discard_stuck(docker, params["name"])
    else:
        discard(docker, params)
    docker.fail(failed[0], plugin_failure(failed[0], params["network"], plugin) if plugin else None)


def parallel(work: t.Callable[[list[str]], Result], items: t.Sequence[list[str]]) -> list[Result]:
    """Return work(item) for every item; starting a container takes seconds on a slow host, mostly of waiting."""
    with concurrent.futures.ThreadPoolExecutor(max(len(items), 1)) as pool:
        return list(pool.map(work, items))


def plugin_failure(result: Result, network: str, plugin: str) -> str:
    """Say whose network it is: Docker's own words name a socket or an endpoint, not what has to run."""
    remedy = "start what serves that plugin, and run again"
    if plugin.startswith("weave"):
        remedy = (
            "the router of Weave Net serves that plugin: see 'docker ps --all' and 'docker logs weave' on this host, "
            "start it (crosshost.overlay.weave_launch), and run again"
        )
    said = (
        f"'docker run' did not end within {result.timeout:g} seconds" if result.timed_out else result.reason.rstrip(".")
    )
    return f"No container can join the network '{network}' of the Docker plugin '{plugin}': {said}; {remedy}."


def discard_stuck(docker: Cli, name: str) -> None:
    """Take back probes whose start did not end. Docker may still hold one locked, so nothing here waits for it for long."""
    mine = ("--filter", f"name=^/{re.escape(name)}(-2)?$", "--filter", f"label={LABEL}={MARK}")
    found = docker.run_raw("ps", "--all", "--no-trunc", "--quiet", *mine, timeout=STUCK_TIMEOUT).out.split()
    if found:
        docker.record("container", "rm", "--force", *found)
        docker.run_raw("container", "rm", "--force", *found, timeout=STUCK_TIMEOUT)


def discard(docker: Cli, params: t.Mapping[str, t.Any]) -> None:
    """Take back probes that did not come up."""
    stop_services(params)
    left = observe(docker, params).ours
    if left:
        remove(docker, ["container", "rm", "--force", *(one.id for one in left)], params["name"])


def serve(docker: Cli, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Start the echo services next to the new containers and return the probe."""
    have = observe(docker, params)
    wanted = [(params["name"], have.container)]
    wanted += [(second_name(params["name"]), have.second)] if params["same_host"] else []
    running: list[dict[str, t.Any]] = []
    for name, container in wanted:
        problem = serve_one(params, name, container)
        if problem or container is None:
            discard(docker, params)
            docker.module.fail_json(
                msg=f"The probe container '{name}' is of no use: {problem}.", commands=docker.commands
            )
            raise SystemExit(1)
        running.append({"container": name, "address": container.address, "pid": container.pid})
    return {
        **running[0],
        "tcp_port": params["port"],
        "hostname": params["hostname"],
        "dns_server": params["dns_server"],
        "same_host": running[1] if len(running) > 1 else None,
    }


def serve_one(params: t.Mapping[str, t.Any], name: str, container: Container | None) -> str | None:
    """Start the echo service of one container; returns why it is of no use, or None."""
    if container is None or not container.pid:
        return "it ended at once; has the image a sleep program that runs?"
    if not container.address:
        return f"it has no IPv4 address on the network '{params['network']}'"
    try:
        start_echo(container.pid, container.address, params["port"], params["lifetime"], pid_path(name))
    except (NamespaceError, OSError) as exc:
        return str(exc)
    return None
