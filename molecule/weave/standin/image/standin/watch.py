# Stands in for Weave Net 2.9.0 in tests: what happens to containers: names and addresses come and go with them.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.client
import time
import typing as t

from standin import log, tools
from standin.docker_api import Docker, DockerError
from standin.ipam import Allocator
from standin.names import Names

DRIVER = "weavemesh"


class Watcher:
    def __init__(self, docker: Docker, ipam: Allocator | None, names: Names | None) -> None:
        self.docker, self.ipam, self.names = docker, ipam, names
        self._ours: dict[str, bool] = {}

    def start(self) -> None:
        self._take_stock()
        tools.spawn(self._loop)

    def _take_stock(self) -> None:
        running = self.docker.running()
        containers = [found for found in map(self.docker.inspect, running) if found]
        addresses = {ip for found in containers for ip in self._addresses(found).values()}
        if self.ipam:
            self.ipam.prune(set(running), addresses)
        for found in containers:
            self._register(found)

    def _loop(self) -> None:
        while True:
            try:
                for event in self.docker.events():
                    self._happened(event.get("Action") or event.get("status", ""), event["id"])
            except (DockerError, OSError, ValueError, http.client.HTTPException) as error:
                log.warning(f"[docker] watching events: {error}")
            time.sleep(1)
            try:
                self._take_stock()
            except DockerError as error:
                log.debug(str(error))

    def _happened(self, action: str, ident: str) -> None:
        if action == "start":
            found = self.docker.inspect(ident)
            if found:
                self._register(found)
        elif action in ("die", "destroy"):
            if self.names:
                self.names.delete(container=ident)
            if self.ipam:
                (self.ipam.container_died if action == "die" else self.ipam.container_destroyed)(ident)

    def _is_ours(self, network: str) -> bool:
        if network not in self._ours:
            try:
                self._ours[network] = self.docker.call("GET", f"/networks/{network}")["Driver"] in (DRIVER, "weave")
            except DockerError:
                return False
        return self._ours[network]

    def _addresses(self, found: dict[str, t.Any]) -> dict[str, str]:
        """Alias or "" to address, for the networks of the plugin."""
        addresses = {}
        for network in (found["NetworkSettings"].get("Networks") or {}).values():
            if network["NetworkID"] and network["IPAddress"] and self._is_ours(network["NetworkID"]):
                for alias in ["", *(network.get("Aliases") or [])]:
                    addresses[alias] = network["IPAddress"]
        return addresses

    def _register(self, found: dict[str, t.Any]) -> None:
        if not self.names:
            return
        fqdn = f"{found['Config']['Hostname']}.{found['Config'].get('Domainname') or ''}"
        by_alias = self._addresses(found)
        for alias, address in by_alias.items():
            names = [alias] if alias else [fqdn, f"{found['Name'].lstrip('/')}.{self.names.domain}"]
            for name in names:
                self.names.add(name, found["Id"], address)
        if not by_alias and self.ipam:
            for cidr in self.ipam.owned.get(found["Id"], []):
                self.names.add(fqdn, found["Id"], cidr.partition("/")[0])
