# Stands in for Weave Net 2.9.0 in tests: the commands of the script.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
import urllib.parse

from standin import attach, client, launch, remove, tools
from standin.docker_api import DockerError
from standin.settings import Stop, complain, say, usage, value


def version(argv: list[str]) -> None:
    if argv:
        usage()
    query = urllib.parse.urlencode({"format": "{{ .Version }}"})
    try:
        say(f"weave {client.request('GET', f'/report?{query}')[1]}")
    except OSError:
        say("weave 2.9.0")


def status(argv: list[str]) -> None:
    if not argv:
        say("")
    try:
        say(client.call("GET", "/".join(["/status", *argv])), end="")
        stop = None
    except Stop as error:
        stop = error
        if error.status == 4:
            complain(f"Invalid 'weave status' sub-command: {' '.join(argv)}")
            usage()
        if str(error):
            complain(str(error))
    if not argv:
        say("")
    if stop:
        raise Stop(1)


def report(argv: list[str]) -> None:
    if not argv:
        say(client.call("GET", "/report", accept="application/json"), end="")
    elif len(argv) == 2 and argv[0] == "-f":
        say(client.call("GET", f"/report?{urllib.parse.urlencode({'format': argv[1]})}"), end="")
    else:
        usage()


def connect(argv: list[str]) -> None:
    if not argv:
        usage()
    replace = argv[0] == "--replace"
    form = {"peer": argv[1:] if replace else argv, **({"replace": "true"} if replace else {})}
    say(client.call("POST", "/connect", form), end="")


def forget(argv: list[str]) -> None:
    if not argv:
        usage()
    say(client.call("POST", "/forget", {"peer": argv}), end="")


def env(argv: list[str]) -> None:
    address = client.call("GET", "/proxyaddrs").replace("0.0.0.0", value("PROXY_HOST")).split("\n")[0]
    host = value("DOCKER_CLIENT_HOST")
    restore = "" if address == host else f"ORIG_DOCKER_HOST={host}"
    if address:
        say(f"export DOCKER_HOST={address} {restore}")


def config(argv: list[str]) -> None:
    address = client.call("GET", "/proxyaddrs").replace("0.0.0.0", value("PROXY_HOST")).split("\n")[0]
    say(f"-H={address}")


def dns_args(argv: list[str]) -> None:
    try:
        domain = client.call("GET", "/domain")
        address = client.call("GET", "/dns-address")
    except Stop as error:
        if error.status == 4:
            return
        domain, address = "weave.local.", ""
    say(f"--dns={address} --dns-search={domain}", end="")


def dns_lookup(argv: list[str]) -> None:
    if len(argv) != 1:
        usage()
    domain = client.call("GET", "/domain")
    name = f"{argv[0]}." if argv[0].endswith(domain.rstrip(".")) else f"{argv[0]}.{domain}"
    for address in attach_lookup(name):
        say(address)


def attach_lookup(name: str) -> list[str]:
    import json

    entries = json.loads(client.call("GET", "/name", accept="application/json")) or []
    return sorted({one["Address"] for one in entries if one["Hostname"] == name and not one["Tombstone"]})


def rmpeer(argv: list[str]) -> None:
    if not argv:
        usage()
    failed = False
    for peer in argv:
        try:
            say(client.call("DELETE", f"/peer/{peer}"), end="")
        except Stop as error:
            complain(str(error))
            failed = True
    if failed:
        raise Stop(1)


def prime(argv: list[str]) -> None:
    say(client.call("GET", "/ring"), end="")


def stop(argv: list[str]) -> None:
    if argv:
        usage()
    remove.stop()


def reset(argv: list[str]) -> None:
    if argv not in ([], ["--force"]):
        usage()
    remove.reset(force=bool(argv))


def bridge_type(argv: list[str]) -> None:
    kind = tools.link_exists("weave") and ("bridged_fastdp" if tools.link_exists("datapath") else "bridge")
    if not kind:
        raise Stop(1)
    say(kind)


COMMANDS = {
    "setup": lambda argv: None,
    "version": version,
    "bridge-type": bridge_type,
    "launch": launch.launch,
    "env": env,
    "config": config,
    "connect": connect,
    "forget": forget,
    "status": status,
    "report": report,
    "dns-args": dns_args,
    "docker-bridge-ip": lambda argv: say(launch.bridge_ip()),
    "attach": attach.attach,
    "detach": attach.detach,
    "dns-add": lambda argv: attach.dns_change(True, argv),
    "dns-remove": lambda argv: attach.dns_change(False, argv),
    "dns-lookup": dns_lookup,
    "expose": attach.expose,
    "hide": attach.hide,
    "ps": attach.ps,
    "stop": stop,
    "reset": reset,
    "rmpeer": rmpeer,
    "prime": prime,
}


def main(argv: list[str]) -> None:
    if argv[:1] == ["--local"]:
        argv = argv[1:]
    try:
        if not argv:
            usage()
        if argv[0] not in COMMANDS:
            complain(f"Unknown weave command '{argv[0]}'")
            usage()
        COMMANDS[argv[0]](argv[1:])
    except Stop as error:
        if str(error):
            complain(str(error))
        sys.exit(error.status)
    except (DockerError, tools.ToolError) as error:
        complain(str(error))
        sys.exit(1)


main(sys.argv[1:])
