# Stands in for Weave Net 2.9.0 in tests: weave attach, detach, expose, hide, ps and the names of containers.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress
import os
import re
import typing as t
import urllib.parse

from standin import client, launch, tools
from standin.settings import BRIDGE, Stop, check_running, complain, docker, is_running, say, usage

INTERFACE = "ethwe"
CIDR = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}")
EXPOSE = "weave:expose"


def take_addresses(todo: list[str]) -> list[str]:
    """The leading arguments that are addresses, without "ip:"."""
    found = []
    while todo and (todo[0] == "net:default" or CIDR.fullmatch(re.sub("^(ip|net):", "", todo[0]))):
        found.append(todo.pop(0).removeprefix("ip:"))
    return found


def allocate(ident: str, given: list[str], check_alive: bool = True) -> list[str]:
    alive = "?check-alive=true" if check_alive else ""
    cidrs = []
    for one in given or ["net:default"]:
        if one.startswith("net:"):
            part = "" if one == "net:default" else "/" + one[4:]
            try:
                cidrs.append(client.call("POST", f"/ip/{ident}{part}{alive}"))
            except Stop as error:
                if error.status == 4:
                    raise Stop(1, "IP address allocation must be enabled to use 'net:'") from error
                raise
            continue
        reason = launch.overlap(one)
        if reason:
            complain(reason)
        if is_running():
            try:
                client.call("PUT", f"/ip/{ident}/{one}{alive}")
            except Stop as error:
                if error.status != 4:
                    raise Stop(1, str(error)) from error
        cidrs.append(one)
    return cidrs


def look_up(ident: str, given: list[str]) -> tuple[list[str], list[str]]:
    """All addresses, and those that came from the allocator."""
    every, ours = [], []
    for one in given or ["net:default"]:
        if one.startswith("net:"):
            part = "" if one == "net:default" else "/" + one[4:]
            found = client.call("GET", f"/ip/{ident}{part}").split()
            every += found
            ours += found
        else:
            every.append(one)
    return every, ours


def show(cidrs: list[str]) -> None:
    say(" ".join(cidr.partition("/")[0] for cidr in cidrs))


def _container(name: str) -> dict[str, t.Any]:
    found = docker.inspect(name)
    if not found:
        raise Stop(1, f"unable to inspect container {name}: No such container: {name}")
    return found


def _pid(found: dict[str, t.Any]) -> int:
    if not found["State"]["Pid"]:
        raise Stop(1, f"container {found['Id']} not running")
    return found["State"]["Pid"]


def _name_change(method: str, ident: str, fqdn: str, cidrs: list[str], alive: bool = True) -> None:
    for cidr in cidrs:
        url = f"/name/{ident}/{cidr.partition('/')[0]}"
        form = {"fqdn": fqdn, **({"check-alive": "true"} if alive else {})}
        try:
            if method == "PUT":
                client.call("PUT", url, form)
            else:
                client.call("DELETE", f"{url}?{urllib.parse.urlencode({'fqdn': fqdn})}" if fqdn else url)
        except Stop as error:
            complain(str(error))


def _fqdn(found: dict[str, t.Any]) -> str:
    name = f"{found['Config']['Hostname']}.{found['Config'].get('Domainname') or ''}"
    return name if name.split(".")[1] else ""


def attach(argv: list[str]) -> None:
    todo = list(argv)
    given = take_addresses(todo)
    without_dns, multicast = False, True
    while todo and todo[0].startswith("--"):
        option = todo.pop(0)
        if option == "--without-dns":
            without_dns = True
        elif option == "--no-multicast-route":
            multicast = False
        elif option == "--add-host":
            todo.pop(0)
        elif option != "--rewrite-hosts" and not option.startswith("--add-host="):
            usage()
    if len(todo) != 1:
        usage()
    found = _container(todo[0])
    pid = _pid(found)
    cidrs = allocate(found["Id"], given)
    _plug(pid, cidrs, multicast)
    fqdn = _fqdn(found)
    if fqdn and not without_dns and is_running():
        _name_change("PUT", found["Id"], fqdn, cidrs)
    show(cidrs)


def _plug(pid: int, cidrs: list[str], multicast: bool) -> None:
    if not tools.link_exists(BRIDGE):
        raise Stop(1, f'unable to attach container: bridge "{BRIDGE}" not present; did you launch weave?')
    here, there = f"vethwepl{pid}", f"vethwepg{pid}"
    if not tools.attempt("ip", "link", "show", INTERFACE, pid=pid):
        with open(f"/sys/class/net/{BRIDGE}/mtu", encoding="ascii") as file:
            mtu = ("mtu", file.read().strip())
        tools.run("ip", "link", "add", here, *mtu, "type", "veth", "peer", "name", there, *mtu)
        tools.run("ip", "link", "set", here, "master", BRIDGE, "up")
        tools.run("ip", "link", "set", there, "netns", str(pid))
        tools.run("ip", "link", "set", there, "name", INTERFACE, pid=pid)
    tools.run("ip", "link", "set", INTERFACE, "up", pid=pid)
    have = [
        f"{one['local']}/{one['prefixlen']}"
        for dev in tools.show("-4", "addr", "show", "dev", INTERFACE, pid=pid)
        for one in dev.get("addr_info", [])
    ]
    for cidr in cidrs:
        if cidr not in have:
            tools.run("ip", "addr", "add", cidr, "dev", INTERFACE, pid=pid)
    if multicast:
        tools.attempt("ip", "route", "add", "224.0.0.0/4", "dev", INTERFACE, pid=pid)


def detach(argv: list[str]) -> None:
    todo = list(argv)
    given = take_addresses(todo)
    if len(todo) != 1:
        usage()
    found = _container(todo[0])
    every, ours = look_up(found["Id"], given)
    pid = _pid(found)
    for cidr in every:
        tools.attempt("ip", "addr", "del", cidr, "dev", INTERFACE, pid=pid)
    devices = tools.show("-4", "addr", "show", "dev", INTERFACE, pid=pid)
    if not any(dev.get("addr_info") for dev in devices):
        tools.attempt("ip", "link", "del", INTERFACE, pid=pid)
    fqdn = _fqdn(found)
    if fqdn and is_running():
        _name_change("DELETE", found["Id"], fqdn, every)
    for cidr in ours:
        client.call("DELETE", f"/ip/{found['Id']}/{cidr.partition('/')[0]}")
    show(every)


def expose(argv: list[str]) -> None:
    todo = list(argv)
    given = take_addresses(todo)
    query, fqdn = "", ""
    while todo:
        option = todo.pop(0)
        if option == "-h" and todo and not fqdn:
            fqdn = todo.pop(0)
        elif option == "--without-masquerade":
            query = "?skipNAT=true"
        else:
            usage()
    cidrs = allocate(EXPOSE, given, check_alive=False)
    for cidr in cidrs:
        client.call("POST", f"/expose/{cidr}{query}")
    if fqdn:
        _name_change("PUT", EXPOSE, fqdn, cidrs, alive=False)
    show(cidrs)


def hide(argv: list[str]) -> None:
    todo = list(argv)
    every, ours = look_up(EXPOSE, take_addresses(todo))
    for cidr in every:
        if tools.attempt("ip", "addr", "del", cidr, "dev", BRIDGE):
            iptables = ("iptables", "-w", "-t")
            tools.attempt(*iptables, "nat", "-D", "WEAVE", "-d", cidr, "!", "-s", cidr, "-j", "MASQUERADE")
            tools.attempt(*iptables, "nat", "-D", "WEAVE", "-s", cidr, "!", "-d", cidr, "-j", "MASQUERADE")
            tools.attempt(*iptables, "filter", "-D", "WEAVE-EXPOSE", "-d", cidr, "-j", "ACCEPT")
            if is_running():
                _name_change("DELETE", EXPOSE, "", [cidr])
    for cidr in ours:
        client.call("DELETE", f"/ip/{EXPOSE}/{cidr.partition('/')[0]}")
    show(every)


def dns_change(add: bool, argv: list[str]) -> None:
    todo = list(argv)
    addresses = []
    while todo and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", todo[0]):
        addresses.append(todo.pop(0))
    name = todo.pop(0) if todo and todo[0] != "-h" else ""
    fqdn = ""
    if len(todo) == 2 and todo[0] == "-h":
        fqdn, todo = todo[1], []
    if todo or not (name or (addresses and fqdn)):
        usage()
    check_running()
    ident = "weave:extern"
    if name:
        check_running(name)
        found = _container(name)
        ident = found["Id"]
        fqdn = fqdn or _fqdn(found)
        addresses = addresses or [cidr.partition("/")[0] for line in _devices(found) for cidr in line[1]]
    if fqdn or not add:
        _name_change("PUT" if add else "DELETE", ident, fqdn, addresses, alive=bool(name))


# weave ps


def _devices(found: dict[str, t.Any]) -> list[tuple[str, list[str]]]:
    """Address and addresses of a container's interfaces on the bridge."""
    pid = found["State"]["Pid"]
    if not pid or os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/1/ns/net").st_ino:
        return []
    slaves = {link.get("link_index") for link in tools.show("link", "show", "master", BRIDGE)}
    return [
        (dev["address"], [f"{one['local']}/{one['prefixlen']}" for one in dev["addr_info"] if one["family"] == "inet"])
        for dev in tools.show("addr", "show", pid=pid)
        if dev["ifindex"] in slaves and dev.get("link_type") == "ether"
    ]


def ps(argv: list[str]) -> None:
    if not tools.link_exists(BRIDGE):
        return
    for ident in argv or [EXPOSE, *docker.running()]:
        if ident == EXPOSE:
            device = tools.show("addr", "show", "dev", BRIDGE)[0]
            inet = [one for one in device["addr_info"] if one["family"] == "inet"]
            lines = [(device["address"], [f"{one['local']}/{one['prefixlen']}" for one in inet])]
        else:
            found = docker.inspect(ident)
            lines = _devices(found) if found else []
        for mac, cidrs in lines:
            say(" ".join([ident[:12], mac, *[str(ipaddress.IPv4Interface(cidr)) for cidr in cidrs]]))
