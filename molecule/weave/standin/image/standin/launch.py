# Stands in for Weave Net 2.9.0 in tests: weave launch.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import ipaddress
import os
import shlex
import socket
import time
import typing as t
import urllib.parse

from standin import client, tools
from standin.docker_api import DockerError
from standin.settings import (
    BASE_IMAGE,
    BRIDGE,
    CONTAINER,
    DATAPATH,
    DB_CONTAINER,
    DB_IMAGE,
    DOCKER_BRIDGE,
    EXEC_IMAGE,
    HOST_ROOT,
    HTTP_ADDR,
    IMAGE,
    PORT,
    STATUS_ADDR,
    VOLUMES_CONTAINER,
    VOLUMES_LABEL,
    Stop,
    check_running,
    complain,
    docker,
    say,
    usage,
    value,
)

UNIX_PROXY = "unix:///var/run/weave/weave.sock"
SPACED = ("-password", "--password", "-port", "--port", "-iprange", "--iprange", "--ipalloc-range")


def check_not_running() -> None:
    found = docker.inspect(CONTAINER)
    if not found:
        return
    state = found["State"]["Status"]
    if not found["Config"]["Image"].startswith(BASE_IMAGE):
        other = "another running" if found["State"]["Running"] else "another"
        raise Stop(2, f"Found {other} container named '{CONTAINER}'. Aborting.")
    if state == "running":
        raise Stop(3, f"{CONTAINER} is already running; you can stop it with 'weave stop'.")
    if state in ("created", "paused", "restarting"):
        raise Stop(1, f"{CONTAINER} is created, paused, or restarting; you can stop it with 'weave stop'.")
    docker.call("DELETE", f"/containers/{CONTAINER}")


class Arguments:
    """What the script takes out of the arguments itself; the rest goes to the router."""

    def __init__(self, argv: list[str]) -> None:
        self.port, self.range, self.range_given, self.restart = PORT, "", False, "always"
        self.rest: list[str] = []
        todo = list(argv)
        while todo:
            argument = todo.pop(0)
            name, equals, text = argument.partition("=")
            if argument in SPACED:
                if not todo:
                    usage()
                self._take(name.lstrip("-"), todo.pop(0))
            elif equals and name in ("--password", "--port", "--ipalloc-range"):
                self._take(name.lstrip("-"), text)
            elif argument == "--no-restart":
                self.restart = ""
            else:
                self.rest.append(argument)

    def _take(self, name: str, text: str) -> None:
        if name == "password":
            os.environ["WEAVE_PASSWORD"] = text
        elif name == "port":
            self.port = text
        else:
            self.range, self.range_given = text, True


class Proxy:
    """The proxy's part of the arguments. "-H" moves to the front."""

    def __init__(self, argv: list[str]) -> None:
        self.rest: list[str] = []
        self.args: list[str] = []
        self.volumes: list[str] = []
        host, tls, detect = "", False, True
        todo = list(argv)
        while todo:
            argument = todo.pop(0)
            name, equals, text = argument.partition("=")
            if name == "-H":
                host = text if equals else todo.pop(0)
                self._host(host)
            elif argument in ("-no-detect-tls", "--no-detect-tls"):
                detect = False
            elif argument in ("-tls", "--tls", "-tlsverify", "--tlsverify"):
                tls = True
                self.args.append(argument)
            elif name in ("--tlscacert", "--tlscert", "--tlskey"):
                path = f"/home/weave/tls/{name[5:]}.pem"
                self.volumes.append(f"{text if equals else todo.pop(0)}:{path}:ro")
                self.args += [name, path]
            else:
                self.rest.append(argument)
        if not tls and detect and not _dockerd_runs():
            complain(
                "Warning: unable to detect proxy TLS configuration. To enable TLS, launch the proxy with 'weave launch' "
                "and supply TLS options. To suppress this warning, supply the '--no-detect-tls' option."
            )
        if not host:
            client_host = value("DOCKER_CLIENT_HOST")
            self._host(UNIX_PROXY if not client_host or client_host.startswith("unix://") else "tcp://0.0.0.0:12375")

    def _host(self, host: str) -> None:
        if host.startswith("unix://"):
            if not host.startswith("unix:///"):
                raise Stop(1, "When launching the proxy, unix sockets must be specified as an absolute path.")
            self.volumes.append("/var/run/weave:/var/run/weave")
        self.args = ["-H", host, *self.args]


def _dockerd_runs() -> bool:
    """The real one looks at the command line of a process called dockerd."""
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                with open(f"/proc/{entry}/comm", encoding="ascii", errors="replace") as file:
                    if file.read().strip() in ("dockerd", "docker"):
                        return True
            except OSError:
                continue
    complain("cannot locate running docker daemon")
    return False


def overlap(cidr: str) -> str:
    """Why an address range is not free on this host."""
    try:
        interface = ipaddress.IPv4Interface(cidr)
        if "/" not in cidr:
            raise ValueError
    except ValueError:
        return f"invalid CIDR address: {cidr}"
    network = interface.network
    whole = interface.ip == network.network_address
    for route in tools.show("-4", "route"):
        if route["dst"] == "default" or route.get("dev") == BRIDGE:
            continue
        other = ipaddress.IPv4Network(route["dst"])
        if whole and network.overlaps(other):
            return f"Network {network} overlaps with existing route {other} on host"
        if not whole and interface.ip in other:
            return f"Address {interface.ip} overlaps with existing route {other} on host"
    return ""


def check_range(arguments: Arguments) -> str:
    if not arguments.range_given:
        default = "10.32.0.0/12"
        reason = overlap(default)
        if reason:
            complain(reason)
            complain(f"ERROR: Default --ipalloc-range {default} overlaps with existing route on host.")
            raise Stop(1, "You must pick another range and set it on all hosts.")
        return default
    reason = overlap(arguments.range) if arguments.range else ""
    if reason:
        complain(reason)
        complain(f"WARNING: Specified --ipalloc-range {arguments.range} overlaps with existing route on host.")
        complain("Unless this is deliberate, you must pick another range and set it on all hosts.")
    return arguments.range


def check_bridge() -> None:
    have = tools.link_exists(BRIDGE)
    mark = tools.link_exists(DATAPATH)
    if have and not mark and not value("WEAVE_NO_FASTDP"):
        complain("WEAVE_NO_FASTDP is not set, but there is already a bridge present of")
        raise Stop(1, "the wrong type for fast datapath.  Please do 'weave reset' to remove\nthe bridge first.")
    if have and mark and value("WEAVE_NO_FASTDP"):
        complain("WEAVE_NO_FASTDP is set, but there is already a weave fast datapath")
        raise Stop(1, "bridge present.  Please do 'weave reset' to remove the bridge first.")


def bridge_options() -> list[str]:
    mtu = value("WEAVE_MTU")
    options = ["--docker-bridge", DOCKER_BRIDGE, "--weave-bridge", BRIDGE, "--datapath", DATAPATH]
    options += ["--mtu", mtu] if mtu else []
    options += ["--no-fastdp"] if value("WEAVE_NO_FASTDP") else []
    return options + (["--no-bridged-fastdp"] if value("WEAVE_NO_BRIDGED_FASTDP") else [])


def bridge_ip() -> str:
    for entry in tools.show("-4", "addr", "show", "dev", DOCKER_BRIDGE):
        for address in entry.get("addr_info", []):
            return address["local"]
    raise Stop(1, f"no IPv4 address on bridge {DOCKER_BRIDGE}")


def data_container(name: str, image: str, volumes: t.Sequence[str]) -> None:
    if docker.inspect(name):
        return
    forget_sockets()
    body = {
        "Image": image,
        "Entrypoint": ["data-only"],
        "Labels": {VOLUMES_LABEL: ""},
        "Volumes": {volume: {} for volume in volumes},
    }
    docker.call("POST", f"/containers/create?name={name}", body)


def forget_sockets() -> None:
    """So that Docker does not try to talk to a plugin that is not there."""
    for name in ("weave", "weavemesh"):
        with contextlib.suppress(OSError):
            os.unlink(f"{HOST_ROOT}/run/docker/plugins/{name}.sock")


def environment(names: t.Iterable[str]) -> list[str]:
    """As "-e NAME" means it for the real weaveutil: with the value if there is one, else the bare name."""
    return [f"{name}={os.environ[name]}" if os.environ.get(name) else name for name in names]


def docker_arguments(body: dict[str, t.Any], text: str) -> None:
    """WEAVE_DOCKER_ARGS: the few options that the real weaveutil knows."""
    words = shlex.split(text)
    while words:
        word = words.pop(0)
        if word == "--privileged":
            continue
        if word in ("-e", "--env"):
            body["Env"] += environment([words.pop(0)])
        elif word in ("-l", "--label"):
            name, dummy, label = words.pop(0).partition("=")
            body["Labels"][name] = label
        elif word in ("-v", "--volume"):
            volume = words.pop(0)
            if volume not in body["HostConfig"]["Binds"]:
                body["HostConfig"]["Binds"].append(volume)
        elif word == "--volumes-from":
            body["HostConfig"]["VolumesFrom"].append(words.pop(0))
        elif word == "--restart":
            body["HostConfig"]["RestartPolicy"] = {"Name": words.pop(0)}
        elif word in ("--name", "--net", "--pid"):
            words.pop(0)
        else:
            # There the real one takes the word for the image, and creating the container fails.
            raise Stop(1, f"unable to create container: no such image: {word}")


def container(arguments: Arguments, range_: str, proxy: Proxy) -> dict[str, t.Any]:
    resolv = os.path.realpath(f"{HOST_ROOT}/etc/resolv.conf") if HOST_ROOT else "/etc/resolv.conf"
    resolv = resolv.removeprefix(HOST_ROOT) or "/etc/resolv.conf"
    binds = ["/var/run/docker.sock:/var/run/docker.sock", *proxy.volumes, "/var/run/weave:/var/run/weave"]
    binds += [f"{os.path.dirname(resolv)}:/var/run/weave/etc", "/run/docker/plugins:/run/docker/plugins"]
    binds += ["/etc:/host/etc", "/var/lib/dbus:/host/var/lib/dbus"]
    argv = ["--port", arguments.port, "--nickname", socket.gethostname(), "--host-root=/host", *bridge_options()]
    argv += ["--ipalloc-range", range_, "--dns-listen-address", f"{bridge_ip()}:53"]
    argv += ["--http-addr", HTTP_ADDR, "--status-addr", STATUS_ADDR]
    argv += ["--resolv-conf", f"/var/run/weave/etc/{os.path.basename(resolv)}"]
    passed = environment(["DOCKER_BRIDGE", "WEAVE_DEBUG", "WEAVE_HTTP_ADDR", "WEAVE_PASSWORD"])
    passed += [f"EXEC_IMAGE={EXEC_IMAGE}", *environment(["CHECKPOINT_DISABLE", "IPTABLES_BACKEND"])]
    body = {
        "Image": IMAGE,
        "Cmd": [*argv, *proxy.args, *proxy.rest],
        "Env": passed,
        "Labels": {},
        "HostConfig": {
            "Binds": list(dict.fromkeys(binds)),
            "NetworkMode": "host",
            "PidMode": "host",
            "Privileged": True,
            "VolumesFrom": [DB_CONTAINER, VOLUMES_CONTAINER],
            "RestartPolicy": {"Name": arguments.restart},
        },
    }
    docker_arguments(body, value("WEAVE_DOCKER_ARGS"))
    return body


def wait_for_status() -> None:
    """Without limit, as the real one: only the container's end ends it."""
    while not client.ready():
        try:
            check_running()
        except Stop as stop:
            with contextlib.suppress(DockerError):
                docker.call("POST", f"/containers/{CONTAINER}/kill?signal=KILL")
            message = f"The {CONTAINER} container has died. Consult the container logs for further details."
            raise Stop(1, message) from stop
        time.sleep(0.1)


def launch(argv: list[str]) -> None:
    check_not_running()
    if client.ready():
        raise Stop(1, "Weave Net is already running")
    arguments = Arguments(["--plugin", "--proxy", *argv])
    check_bridge()
    range_ = check_range(arguments)
    proxy = Proxy(arguments.rest)
    data_container(DB_CONTAINER, DB_IMAGE, ["/weavedb"])
    data_container(VOLUMES_CONTAINER, EXEC_IMAGE, ["/w", "/w-noop", "/w-nomcast"])
    body = container(arguments, range_, proxy)
    made = docker.call("POST", f"/containers/create?name={urllib.parse.quote(CONTAINER)}", body)["Id"]
    docker.call("POST", f"/containers/{made}/start")
    wait_for_status()
    say(made)
