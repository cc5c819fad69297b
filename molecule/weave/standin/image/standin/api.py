# Stands in for Weave Net 2.9.0 in tests: the HTTP API on the control address and the status address.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress
import json
import typing as t

from standin import report, tools
from standin.docker_api import DockerError
from standin.ipam import IpamError, parse_subnet
from standin.server import NOT_FOUND, Answer, Handler, Request, refused

if t.TYPE_CHECKING:
    from standin.router import Router

NOTHING = Answer(204)


def read_only(router: Router) -> Handler:
    """What the status address answers, too."""

    def handle(request: Request) -> Answer:
        if request.method != "GET":
            return refused(405, "")
        whole = report.report(router)
        if request.path == "/report":
            if "application/json" in request.accept:
                return Answer(200, json.dumps(whole, indent=4), "application/json")
            if len(request.query.get("format", [])) != 1:
                return refused(400, "error: must supply one format parameter")
            try:
                return Answer(200, report.formatted(request.query["format"][0], whole))
            except (KeyError, TypeError):
                return refused(500, "error during template execution")
        if request.path.rstrip("/") == "/status" or request.path.startswith("/status/"):
            text = report.page(request.path[len("/status/") :].rstrip("/"), whole)
            if text is not None:
                return Answer(200 if whole["Ready"] else 503, text)
        return NOT_FOUND

    return handle


def control(router: Router) -> Handler:
    """Everything, on loopback only."""
    status = read_only(router)

    def handle(request: Request) -> Answer:
        parts = [part for part in request.path.split("/") if part]
        head = parts[0] if parts else ""
        if head in ("report", "status"):
            return status(request)
        handler = HANDLERS.get((request.method, head))
        if not handler:
            return NOT_FOUND
        try:
            return handler(router, request, parts[1:])
        except IpamError as error:
            return refused(400, str(error))

    return handle


def _connect(router: Router, request: Request, parts: list[str]) -> Answer:
    errors = router.maker.initiate(request.form.get("peer", []), request.value("replace") == "true")
    router.keep_peers()
    return refused(400, "\n".join(errors)) if errors else Answer(200)


def _forget(router: Router, request: Request, parts: list[str]) -> Answer:
    router.maker.forget(request.form.get("peer", []))
    router.keep_peers()
    return Answer(200)


def _expose(router: Router, request: Request, parts: list[str]) -> Answer:
    cidr = "/".join(parts)
    try:
        ipaddress.IPv4Interface(cidr)
        if len(parts) != 2:
            raise ValueError
    except ValueError:
        return refused(400, f"unable to parse ip addr: invalid CIDR address: {cidr}")
    bridge = router.datapath.bridge
    try:
        have = [one for dev in tools.show("-4", "addr", "show", "dev", bridge) for one in dev.get("addr_info", [])]
        if cidr not in [f"{one['local']}/{one['prefixlen']}" for one in have]:
            tools.run("ip", "addr", "add", cidr, "dev", bridge)
    except tools.ToolError as error:
        return refused(500, f"unable to expose: {error}")
    router.firewall.expose(cidr, request.value("skipNAT") == "true")
    return NOTHING


def _peer(router: Router, request: Request, parts: list[str]) -> Answer:
    if not parts:
        if router.ipam:
            router.ipam.shutdown()
        return NOTHING
    taken = router.ipam.take_over(parts[0]) if router.ipam else 0
    return Answer(200, f"{taken} IPs taken over from {parts[0]}\n")


def _ring(router: Router, request: Request, parts: list[str]) -> Answer:
    if not router.ipam:
        return NOT_FOUND
    router.ipam.prime()
    return Answer(200)


def _ip(router: Router, request: Request, parts: list[str]) -> Answer:
    ipam = router.ipam
    if not ipam:
        return NOT_FOUND
    if request.method == "GET" and not parts:
        owned = [{"containerid": ident, "addrs": cidrs} for ident, cidrs in ipam.owned.items()]
        return Answer(200, json.dumps({"owned": owned or None}) + "\n", "application/json")
    ident, cidr = (parts or [""])[0], "/".join(parts[1:])
    if request.method == "DELETE":
        if cidr:
            ipam.free(ident, cidr)
        else:
            ipam.delete(ident)
        return NOTHING
    if request.method == "PUT":
        try:
            ipaddress.IPv4Interface(cidr)
        except ValueError as error:
            raise IpamError(f"invalid CIDR address: {cidr}") from error
        ipam.claim(ident, cidr)
        return NOTHING
    subnet = parse_subnet(cidr) if cidr else ipam.subnet
    if request.method == "GET":
        have = ipam.lookup(ident, subnet)
        return Answer(200, " ".join(have)) if have else NOT_FOUND
    alive = request.value("check-alive") == "true"
    return Answer(200, ipam.allocate(ident, subnet, lambda: alive and _not_running(router, ident)))


def _not_running(router: Router, ident: str) -> bool:
    try:
        return router.docker.state(ident) in ("", "exited", "dead")
    except DockerError:
        return False


def _ipinfo(router: Router, request: Request, parts: list[str]) -> Answer:
    if router.ipam and parts == ["defaultsubnet"]:
        return Answer(200, str(router.ipam.subnet))
    return Answer(200, "\n") if router.ipam and parts == ["tracker"] else NOT_FOUND


def _name(router: Router, request: Request, parts: list[str]) -> Answer:
    names = router.names
    if not names:
        return NOT_FOUND
    container, address = ([*parts, "*", "*"] if parts else ["*", "*"])[:2]
    if request.method == "DELETE":
        names.delete(request.value("fqdn") or "*", container, address)
        return NOTHING
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return refused(400, f"invalid IP address: {address}")
    names.add(request.value("fqdn"), container, address)
    if request.value("check-alive") == "true" and _not_running(router, container):
        names.delete(request.value("fqdn"), container, address)
    return NOTHING


def _names_json(router: Router, request: Request, parts: list[str]) -> Answer:
    if not router.names or parts:
        return NOT_FOUND
    return Answer(200, json.dumps(router.names.status()) + "\n", "application/json")


def _domain(router: Router, request: Request, parts: list[str]) -> Answer:
    return Answer(200, router.names.domain) if router.names else NOT_FOUND


def _dns_address(router: Router, request: Request, parts: list[str]) -> Answer:
    return Answer(200, router.dns.host) if router.dns else NOT_FOUND


def _dns_address_port(router: Router, request: Request, parts: list[str]) -> Answer:
    return Answer(200, router.dns.listen) if router.dns else NOT_FOUND


def _proxy_addresses(router: Router, request: Request, parts: list[str]) -> Answer:
    if not router.options["proxy"]:
        return NOT_FOUND
    return Answer(200, "".join(f"{address}\n" for address in router.options["H"]))


HANDLERS: dict[tuple[str, str], t.Callable[[Router, Request, list[str]], Answer]] = {
    ("POST", "connect"): _connect,
    ("POST", "forget"): _forget,
    ("POST", "expose"): _expose,
    ("DELETE", "peer"): _peer,
    ("GET", "ring"): _ring,
    ("GET", "ip"): _ip,
    ("POST", "ip"): _ip,
    ("PUT", "ip"): _ip,
    ("DELETE", "ip"): _ip,
    ("GET", "ipinfo"): _ipinfo,
    ("PUT", "name"): _name,
    ("DELETE", "name"): _name,
    ("GET", "name"): _names_json,
    ("GET", "domain"): _domain,
    ("GET", "dns-address"): _dns_address,
    ("GET", "dns-address-port"): _dns_address_port,
    ("GET", "proxyaddrs"): _proxy_addresses,
}
