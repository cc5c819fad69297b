# Stands in for Weave Net 2.9.0 in tests: weave stop and weave reset.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
import os
import time
import urllib.parse

from standin import client, launch, tools
from standin.docker_api import DockerError
from standin.settings import (
    BRIDGE,
    CONTAINER,
    DATAPATH,
    DOCKER_BRIDGE,
    HOST_ROOT,
    PORT,
    VOLUMES_LABEL,
    Stop,
    check_running,
    complain,
    docker,
    say,
    value,
)

STILL_ATTACHED = """WARNING: the following containers are still attached to network "{}":
{}
Docker operations involving those containers may pause or fail
while Weave is not running"""


def remove_network(name: str) -> None:
    try:
        docker.call("DELETE", f"/networks/{name}")
    except DockerError as error:
        if error.status == 404:
            return
        try:
            attached = docker.call("GET", f"/networks/{name}")["Containers"]
        except DockerError:
            attached = {}
        if attached:
            complain(STILL_ATTACHED.format(name, "".join(f"  {ident[:12]} " for ident in attached)))
        else:
            complain(f"unable to remove network: {error}")


def stop() -> None:
    remove_network("weave")
    try:
        proxy = client.request("GET", "/proxyaddrs")[1].split("\n")[0]
    except OSError:
        proxy = ""
    if proxy and proxy == value("DOCKER_CLIENT_HOST"):
        say(
            "WARNING: It appears that your environment is configured to use the Weave Docker API proxy. Stopping it "
            "will break this and subsequent docker invocations. To restore your environment, run "
            "'eval $(weave env --restore)'."
        )
    found = docker.inspect(CONTAINER)
    if found and found["State"]["Running"]:
        docker.call("POST", f"/containers/{CONTAINER}/stop?t=10")
    else:
        complain("Weave is not running (ignore on Kubernetes).")


def reset(force: bool) -> None:
    if not force:
        try:
            check_running()
        except Stop as error:
            if error.status == 2:
                complain("ERROR: weave is not running; unable to remove from cluster.")
                raise Stop(1, "Re-launch weave before reset or use --force to override.") from error
        else:
            with contextlib.suppress(Stop):
                client.call("DELETE", "/peer")
            time.sleep(0.5)
    stop()
    _remove_containers([CONTAINER], "force=1")
    launch.forget_sockets()
    filters = urllib.parse.quote(json.dumps({"label": [VOLUMES_LABEL]}))
    found = docker.call("GET", f"/containers/json?all=1&filters={filters}")
    _remove_containers([one["Id"] for one in found], "v=1")
    for name in ("weave-netdata.db", "weavedata.db"):
        with contextlib.suppress(OSError):
            os.unlink(f"{HOST_ROOT}/var/lib/weave/{name}")
    _destroy_devices()
    _destroy_rules()


def _remove_containers(names: list[str], query: str) -> None:
    for name in names:
        with contextlib.suppress(DockerError):
            docker.call("DELETE", f"/containers/{name}?{query}")


def _destroy_devices() -> None:
    for name in (BRIDGE, DATAPATH, f"vxlan-{int(PORT) + 1}"):
        if tools.link_exists(name):
            tools.attempt("ip", "link", "del", name)
    for name in os.listdir("/sys/class/net"):
        if name.startswith("vethwe"):
            tools.attempt("ip", "link", "del", name)


def _delete(table: str, chain: str, rule: str, *last: str) -> None:
    tools.attempt("iptables", "-w", "-t", table, "-D", chain, *rule.split(), *last)


def _destroy_rules() -> None:
    ip = launch.bridge_ip()
    local = "-d 127.0.0.1/32 -p tcp --dport 6784 -m addrtype ! --src-type LOCAL -m conntrack ! --ctstate {}"
    comment = ("-m", "comment", "--comment", "Block non-local access to Weave Net control port", "-j", "DROP")
    _delete("filter", "FORWARD", f"-i {DOCKER_BRIDGE} -o {BRIDGE} -j DROP")
    _delete("filter", "INPUT", local.format("RELATED,ESTABLISHED"), *comment)
    for protocol in ("udp", "tcp"):
        _delete("filter", "INPUT", f"-i {DOCKER_BRIDGE} -p {protocol} --dport 53 -j ACCEPT")
    for protocol, port in (("tcp", int(PORT)), ("udp", int(PORT)), ("udp", int(PORT) + 1)):
        _delete("filter", "INPUT", f"-i {DOCKER_BRIDGE} -p {protocol} --dst {ip} --dport {port} -j DROP")
    _delete("filter", "FORWARD", f"-i {BRIDGE} ! -o {BRIDGE} -j ACCEPT")
    _delete("filter", "FORWARD", f"-o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
    _delete("filter", "FORWARD", f"-i {BRIDGE} -o {BRIDGE} -j ACCEPT")
    _delete("filter", "FORWARD", f"-o {BRIDGE} -j WEAVE-EXPOSE")
    _delete("nat", "POSTROUTING", "-j WEAVE")
    _delete("nat", "POSTROUTING", f"-o {BRIDGE} -j ACCEPT")
    for table, chain in (("filter", "WEAVE-EXPOSE"), ("nat", "WEAVE")):
        for action in ("-F", "-X"):
            tools.attempt("iptables", "-w", "-t", table, action, chain)
