# Stands in for Weave Net 2.9.0 in tests: Docker's network and address driver weavemesh (and weave, without addresses).
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress
import json
import typing as t

from standin import log, server, tools
from standin.docker_api import Docker, DockerError
from standin.ipam import NO_CONTAINER, Allocator, IpamError

MESH_DRIVER, NETWORK = "weavemesh", "weave"


class PluginError(Exception):
    """Shown by Docker to whoever started the container."""


def veths(endpoint: str) -> tuple[str, str]:
    """This end and the container's."""
    return f"vethwl{endpoint[:9]}", f"vethwg{endpoint[:9]}"


class Plugin:
    def __init__(self, bridge: str, ipam: Allocator | None, docker: Docker) -> None:
        self.bridge, self.ipam, self.docker = bridge, ipam, docker

    def start(self, socket: str, mesh_socket: str) -> None:
        for address, scope, with_ipam in ((socket, "global", False), (mesh_socket, "local", True)):
            if address:
                server.serve(address, self._handler(scope, with_ipam))
                log.info(f"Listening on {address} for {scope} scope")
        if mesh_socket:
            self._ensure_network()

    def _ensure_network(self) -> None:
        log.info(f'Creating default "{NETWORK}" network')
        try:
            have = self.docker.call("GET", f"/networks/{NETWORK}")
            if have["Driver"] != MESH_DRIVER:
                log.fatal(f'Existing network "{NETWORK}" has driver "{have["Driver"]}", not "{MESH_DRIVER}"')
            return
        except DockerError as error:
            if error.status != 404:
                raise
        subnet = str(self.ipam.subnet) if self.ipam else ""
        self.docker.call(
            "POST",
            "/networks/create",
            {
                "Name": NETWORK,
                "CheckDuplicate": True,
                "Driver": MESH_DRIVER,
                "IPAM": {"Driver": MESH_DRIVER, "Config": [{"Subnet": subnet}] if subnet else []},
                "Options": {"works.weave.multicast": "true"},
            },
        )

    def _handler(self, scope: str, with_ipam: bool) -> server.Handler:
        def handle(request: server.Request) -> server.Answer:
            what = request.path.strip("/")
            body = json.loads(request.body or b"{}") or {}
            log.debug(f"[plugin] {what} {body}")
            try:
                if what == "Plugin.Activate":
                    answer: t.Any = {"Implements": ["NetworkDriver", *(["IpamDriver"] if with_ipam else [])]}
                elif what == "NetworkDriver.GetCapabilities":
                    answer = {"Scope": scope}
                else:
                    answer = CALLS[what](self, body) or {}
            except KeyError:
                return server.NOT_FOUND
            except (PluginError, IpamError, tools.ToolError) as error:
                log.error(f"[plugin] {what}: {error}")
                return server.Answer(400, json.dumps({"Err": str(error)}), "application/json")
            return server.Answer(200, json.dumps(answer), "application/vnd.docker.plugins.v1.1+json")

        return handle

    # Network driver

    def nothing(self, body: dict) -> None:
        """Nothing to be done for this call."""

    def endpoint_info(self, body: dict) -> dict:
        return {"Value": {}}

    def create_endpoint(self, body: dict) -> dict:
        here, there = veths(body["EndpointID"])
        with open(f"/sys/class/net/{self.bridge}/mtu", encoding="ascii") as file:
            mtu = ("mtu", file.read().strip())
        tools.attempt("ip", "link", "del", here)
        tools.run("ip", "link", "add", here, *mtu, "type", "veth", "peer", "name", there, *mtu)
        tools.run("ip", "link", "set", here, "master", self.bridge, "up")
        return {"Interface": {"MacAddress": tools.show("link", "show", there)[0]["address"]}}

    def delete_endpoint(self, body: dict) -> None:
        tools.attempt("ip", "link", "del", veths(body["EndpointID"])[0])

    def join(self, body: dict) -> dict:
        log.info(f"[net] JoinEndpoint {body['NetworkID']}:{body['EndpointID']} to {body['SandboxKey']}")
        return {
            "InterfaceName": {"SrcName": veths(body["EndpointID"])[1], "DstPrefix": "ethwe"},
            "StaticRoutes": [{"Destination": "224.0.0.0/4", "RouteType": 1}],
        }

    # Address driver

    def _allocator(self) -> Allocator:
        if not self.ipam:
            raise PluginError("IP address allocation is not enabled")
        return self.ipam

    def ipam_capabilities(self, body: dict) -> dict:
        return {"RequiresMACAddress": False, "RequiresRequestReplay": False}

    def address_spaces(self, body: dict) -> dict:
        return {"LocalDefaultAddressSpace": "weavelocal", "GlobalDefaultAddressSpace": "weaveglobal"}

    def request_pool(self, body: dict) -> dict:
        subnet = ipaddress.ip_network(body.get("Pool") or self._allocator().subnet, strict=False)
        part = ipaddress.ip_network(body.get("SubPool") or subnet, strict=False)
        data = {"com.docker.network.gateway": str(subnet)}
        return {"PoolID": f"weave-{subnet}-{part}", "Pool": str(subnet), "Data": data}

    def request_address(self, body: dict) -> dict:
        dummy, subnet, part = body["PoolID"].split("-")
        prefix = subnet.partition("/")[2]
        if body.get("Address"):
            cidr = f"{body['Address']}/{prefix}"
            self._allocator().claim(NO_CONTAINER, cidr)
        else:
            found = self._allocator().allocate(NO_CONTAINER, ipaddress.IPv4Network(part), lambda: False)
            cidr = f"{found.partition('/')[0]}/{prefix}"
        return {"Address": cidr, "Data": {}}

    def release_address(self, body: dict) -> None:
        address = body["Address"]
        if address != body["PoolID"].split("-")[1].partition("/")[0]:
            self._allocator().delete(address)


CALLS: dict[str, t.Callable[[Plugin, dict], dict | None]] = {
    "NetworkDriver.CreateNetwork": Plugin.nothing,
    "NetworkDriver.DeleteNetwork": Plugin.nothing,
    "NetworkDriver.AllocateNetwork": Plugin.nothing,
    "NetworkDriver.FreeNetwork": Plugin.nothing,
    "NetworkDriver.CreateEndpoint": Plugin.create_endpoint,
    "NetworkDriver.DeleteEndpoint": Plugin.delete_endpoint,
    "NetworkDriver.EndpointOperInfo": Plugin.endpoint_info,
    "NetworkDriver.Join": Plugin.join,
    "NetworkDriver.Leave": Plugin.nothing,
    "NetworkDriver.DiscoverNew": Plugin.nothing,
    "NetworkDriver.DiscoverDelete": Plugin.nothing,
    "NetworkDriver.ProgramExternalConnectivity": Plugin.nothing,
    "NetworkDriver.RevokeExternalConnectivity": Plugin.nothing,
    "IpamDriver.GetCapabilities": Plugin.ipam_capabilities,
    "IpamDriver.GetDefaultAddressSpaces": Plugin.address_spaces,
    "IpamDriver.RequestPool": Plugin.request_pool,
    "IpamDriver.ReleasePool": Plugin.nothing,
    "IpamDriver.RequestAddress": Plugin.request_address,
    "IpamDriver.ReleaseAddress": Plugin.release_address,
}
