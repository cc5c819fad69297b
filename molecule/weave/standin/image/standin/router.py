# Stands in for Weave Net 2.9.0 in tests: the parts of the router, put together.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import threading
import typing as t

from standin import api, log, proxy, server, tools
from standin.datapath import Datapath
from standin.dns import Dns
from standin.docker_api import Docker, DockerError
from standin.firewall import Firewall
from standin.ipam import Allocator
from standin.link import Link
from standin.maker import Maker
from standin.mesh import LinkError, Mesh
from standin.names import Names
from standin.options import Options
from standin.overlay import Overlay
from standin.plugin import Plugin
from standin.store import Store
from standin.watch import Watcher

# In the container's own file system: it is there after a restart of the container, not after a new launch.
SENTINEL = "/home/weave/restart.sentinel"


class Router:
    def __init__(self, options: Options, name: str) -> None:
        self.options, self.ready = options, False
        self.docker = Docker(options["docker-api"])
        nick = options["nickname"] or socket.gethostname()
        self.trusted = trusted_subnets(options["trusted-subnets"])
        docker_ip = address_of(options["docker-bridge"])
        control = options["http-addr"].rpartition(":")[2]
        self.firewall = Firewall(options["weave-bridge"], options["docker-bridge"], docker_ip, options["port"], control)
        self.datapath = Datapath(name, options)
        self.firewall.reset()
        self.datapath.ensure()
        self.firewall.configure()
        self.firewall.reexpose()
        password = password_of(options)
        self.store = Store(options["db-prefix"])
        self.mesh = Mesh(name, nick, limit=options["conn-limit"], password=password)
        log.info(f"Our name is {self.mesh.ourself.full}")
        self.maker = Maker(self.mesh, options["host"], options["port"], not options["no-discovery"], self._serve)
        self.ipam = None
        if options["ipalloc-range"]:
            self.ipam = Allocator(self.mesh, self.store, options, self._active_targets)
            self.mesh.parts["ipam"] = self.ipam
        elif options["ipalloc-default-subnet"]:
            log.fatal("--ipalloc-default-subnet specified without --ipalloc-range.")
        elif options["ipalloc-init"]:
            log.fatal("--ipalloc-init specified without --ipalloc-range.")
        self.names, self.dns = None, None
        if not options["no-dns"]:
            self.names = Names(self.mesh, options["dns-domain"])
            self.mesh.parts["dns"] = self.names
            self.dns = Dns(self.names, options["dns-listen-address"], options["resolv-conf"], options["dns-ttl"])
        self.overlay = Overlay(self.mesh, self.datapath, options["host"], options["port"])

    def start(self, peers: list[str]) -> None:
        options = self.options
        if options["proxy"]:
            proxy.start(options["H"], self.docker.path)
        Watcher(self.docker, self.ipam, self.names).start()
        for part in (self.ipam, self.dns):
            if part:
                part.start()
        self._listen()
        self.mesh.start()
        self.overlay.start()
        self.maker.start()
        errors = self.maker.initiate(peers, False)
        if errors:
            log.fatal("\n".join(errors))
        self.keep_peers()
        with open(SENTINEL, "w", encoding="ascii"):
            pass
        if options["http-addr"]:
            server.serve(options["http-addr"], api.control(self))
            log.info(f"Listening for HTTP control messages on {options['http-addr']}")
        for flag in ("status-addr", "metrics-addr"):
            if options[flag]:
                server.serve(options[flag], api.read_only(self))
                log.info(f"Listening for {flag.partition('-')[0]}+metrics requests on {options[flag]}")
        tools.spawn(self.firewall.watch)
        tools.spawn(self._become_ready)

    def _become_ready(self) -> None:
        if self.options["plugin"]:
            try:
                plugin = Plugin(self.datapath.bridge, self.ipam, self.docker)
                plugin.start(self.options["plugin-socket"], self.options["plugin-mesh-socket"])
            except DockerError as error:
                log.fatal(str(error))
        self.ready = True

    def keep_peers(self) -> None:
        with self.mesh.lock:
            self.store.save("directPeers", list(self.maker.direct))

    def _active_targets(self) -> int:
        """How many peers we were told of and have not found to be ourselves."""
        maker = self.maker
        never = {address for address, target in maker.targets.items() if target.after is None}
        return sum(f"{ip}:{port or maker.port}" not in never for ip, port in maker.direct.values())

    # Connections

    def _listen(self) -> None:
        host, port = self.options["host"], self.options["port"]
        try:
            listener = socket.create_server((host, port), backlog=64)
        except OSError as error:
            reason = (error.strerror or "").lower()
            log.fatal(f"listen tcp4 {host}:{port}: bind: {reason}")
        tools.spawn(self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            sock, remote = listener.accept()
            address = f"{remote[0]}:{remote[1]}"
            log.info(f"->[{address}] connection accepted")
            tools.spawn(self._serve, Link(self.mesh, sock, address, False, True))

    def _serve(self, link: Link) -> None:
        """One connection from its handshake to its end."""
        features = {"Overlays": " ".join(self.overlay.names), "Port": self.options["port"]}
        error = LinkError("EOF")
        try:
            link.introduce(features, self.trusted)
            self.overlay.prepare(link)
            self.mesh.add(link)
            self.maker.created(link)
            self.overlay.confirm(link)
            link.serve(self._handle)
        except LinkError as reason:
            error = reason
        except (ValueError, KeyError, TypeError, struct.error) as reason:
            # Somebody who speaks something else.
            error = LinkError(f"invalid message: {reason}")
        if link.remote.name:
            link.log(f"connection shutting down due to error: {error}")
        else:
            log.info(f"->[{link.address}] connection shutting down due to error during handshake: {error}")
        link.close()
        self.mesh.remove(link)
        self.overlay.finish(link)
        self.maker.terminated(link, error)

    def _handle(self, link: Link, message: dict[str, t.Any]) -> None:
        if message["t"] == "ack":
            self.overlay.acknowledged(link, message["way"])
        elif message["t"] != "heartbeat":
            self.mesh.receive(link, message)


def stop(router: Router) -> None:
    """The bridge stays for this host's containers."""
    router.datapath.stop()
    threading.Timer(0.05, os._exit, [0]).start()


def trusted_subnets(text: str) -> list[ipaddress.IPv4Network]:
    try:
        return [ipaddress.IPv4Network(part, strict=False) for part in text.split(",") if part]
    except ValueError as error:
        log.fatal(f"Unable to parse trusted subnets: invalid CIDR address: {str(error).split()[0]}")


def address_of(bridge: str) -> str:
    try:
        for entry in tools.show("-4", "addr", "show", "dev", bridge):
            for address in entry.get("addr_info", []):
                return address["local"]
    except tools.ToolError as error:
        log.debug(str(error))
    return log.fatal(f"Bridge {bridge} has no IP address")


def password_of(options: Options) -> bytes | None:
    password = options["password"] or os.environ.get("WEAVE_PASSWORD") or ""
    if not password:
        log.info("Communication between peers is unencrypted.")
        return None
    log.info("Communication between peers via untrusted networks is encrypted.")
    return password.encode()
