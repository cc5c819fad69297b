# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the report says about one host. Fields are chosen one by one: what is not named here, a secret say, cannot get in. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._report_model import (
    CaseLike,
    Map,
    mapping,
    mappings,
    maybe_text,
    number,
    text,
    truth,
)

UP, PENDING, FAILED = "up", "pending", "failed"
HEALTH = {"up": UP, "pending": PENDING, "dead": FAILED}  # what overlay_info calls a tunnel
STATES = {"established": UP, "failed": FAILED, "retrying": FAILED}  # what Weave Net calls a connection


def hosts(case: CaseLike) -> list[dict[str, t.Any]]:
    """Return what is known of every host, in the order of the inventory."""
    return [host(case, name) for name in case.hosts]


def host(case: CaseLike, name: str) -> dict[str, t.Any]:
    """Return what is known of one host; of one that was not read, why."""
    info = mapping(case.infos.get(name))
    reason = text(case.unreachable.get(name) or (info.get("failed") and (info.get("msg") or info["failed"])) or "")
    read = bool(info) and not reason
    if not read:
        info, reason = {}, reason or "it was not read"
    system, identity = mapping(info.get("system")), mapping(info.get("identity"))
    return {
        "name": name,
        "read": read,
        "reason": reason,
        "hostname": maybe_text(identity.get("hostname")),
        "system": maybe_text(system.get("name")),
        "kernel": maybe_text(system.get("kernel")),
        "virtualization": maybe_text(identity.get("virtualization")),
        "underlay": underlay(info, text(case.addresses.get(name))),
        "docker": engine(info.get("docker")),
        "openvswitch": openvswitch(info.get("openvswitch"), names_of(case.addresses)),
        "weave": weave(info.get("weave"), names_of(case.addresses)),
        "clock": clock(mapping(case.clocks.get(name)), mapping(info.get("time"))),
        "firewalls": firewalls(info),
        "errors": {text(section): text(why) for section, why in mapping(info.get("errors")).items()},
    }


def names_of(addresses: t.Mapping[str, str]) -> dict[str, str]:
    """Return host names by underlay address."""
    return {address: name for name, address in addresses.items()}


def underlay(info: Map, address: str) -> dict[str, t.Any]:
    """Return the address between the hosts, and the interface that holds it."""
    for interface in mappings(info.get("interfaces")):
        if any(text(item).split("/")[0] == address for item in interface.get("addresses") or ()):
            mtu = number(interface.get("mtu"))
            return {"address": address, "interface": maybe_text(interface.get("name")), "mtu": mtu}
    return {"address": address or None, "interface": None, "mtu": None}


def engine(value: t.Any) -> dict[str, t.Any] | None:
    """Return version and state of a daemon; Docker's and Open vSwitch's look alike."""
    have = mapping(value)
    if not have:
        return None
    return {
        "installed": truth(have.get("installed")),
        "running": truth(have.get("running")),
        "version": maybe_text(have.get("version")),
        "error": maybe_text(have.get("error")),
    }


def openvswitch(value: t.Any, names: t.Mapping[str, str]) -> dict[str, t.Any] | None:
    """Return Open vSwitch and its tunnels: every port with another end. Keys of tunnels are left out."""
    have, shown = mapping(value), engine(value)
    if shown is None:
        return None
    tunnels = []
    for port in mappings(have.get("ports")):
        remote = mapping(port.get("options")).get("remote_ip")
        if remote:
            tunnels.append(
                {
                    "name": text(port.get("name")),
                    "bridge": text(port.get("bridge")),
                    "type": text(port.get("type")),
                    "remote": text(remote),
                    "peer": names.get(text(remote)),
                    "state": HEALTH.get(text(port.get("health")), PENDING),
                    "error": maybe_text(port.get("error")),
                }
            )
    return {**shown, "tunnels": sorted(tunnels, key=lambda item: (item["bridge"], item["name"]))}


def weave(value: t.Any, names: t.Mapping[str, str]) -> dict[str, t.Any] | None:
    """Return the router and its connections."""
    have = mapping(value)
    if not have:
        return None
    router, container = mapping(have.get("router")), mapping(have.get("container"))
    connections = [
        {
            "address": text(item.get("address")),
            "peer": names.get(text(item.get("address")).rpartition(":")[0].strip("[]")),
            "state": STATES.get(text(item.get("state")), PENDING),
            "mode": maybe_text(item.get("mode")),
            "encrypted": truth(item.get("encrypted")),
            "mtu": number(item.get("mtu")),
            "info": text(item.get("info")),
        }
        for item in mappings(router.get("connections"))
        # Weave Net tries its own address too, and says so; nothing is wrong with that.
        if "connect to ourself" not in text(item.get("info"))
    ]
    return {
        "container": maybe_text(container.get("state")),
        "ready": truth(router.get("ready")),
        "version": maybe_text(router.get("version")),
        "peer_name": maybe_text(router.get("name")),
        "error": maybe_text(have.get("error")),
        "connections": sorted(connections, key=lambda item: text(item["address"])),
    }


def clock(measured: Map, time: Map) -> dict[str, t.Any] | None:
    """Return the clock as measured from the controller, and what the host's time daemon says."""
    value, time = mapping(measured.get("clock")), mapping(measured.get("time")) or time
    if not value and not time:
        return None
    return {
        "offset_seconds": number(value.get("offset")),
        "bound_seconds": number(value.get("bound")),
        "daemon": maybe_text(time.get("daemon")),
        "synchronised": truth(time.get("synchronised")),
    }


def firewalls(info: Map) -> list[dict[str, t.Any]]:
    """Return the firewalls of a host; acts says whether any of their rules could stop a packet, None if that was not judged."""
    judged = mappings(mapping(info.get("firewall")).get("firewalls"))
    found = [{"name": text(item.get("name")), "acts": truth(item.get("acts"))} for item in judged]
    known = {item["name"] for item in found}
    filters = mapping(info.get("filters"))
    for name, state in (("firewalld", "running"), ("ufw", "active")):
        if name not in known and filters.get(name) == state:
            found.append({"name": name, "acts": None})
    return found


def links(described: t.Sequence[Map]) -> list[dict[str, t.Any]]:
    """Return the tunnels and connections between the hosts of the report, as each end sees them."""
    found = []
    for one in described:
        for tunnel in (one["openvswitch"] or {}).get("tunnels", ()):
            found.append(_link(one, tunnel, tunnel["type"], tunnel["name"], tunnel["error"] or ""))
        for connection in (one["weave"] or {}).get("connections", ()):
            kind = " ".join(word for word in ("weave", connection["mode"]) if word)
            found.append(_link(one, connection, kind, connection["address"], connection["info"]))
    return [item for item in found if item["target"] and item["target"] != item["source"]]


def _link(one: Map, end: Map, kind: str, name: str, detail: str) -> dict[str, t.Any]:
    return {
        "source": one["name"],
        "target": end["peer"],
        "type": kind,
        "name": name,
        "state": end["state"],
        "detail": "" if end["state"] == UP else detail,
    }
