# Stands in for Weave Net 2.9.0 in tests: what the router tells about itself.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report, and the status pages as the real one's templates print them."""

from __future__ import annotations

import json
import re
import typing as t

if t.TYPE_CHECKING:
    from standin.router import Router

VERSION = "2.9.0"
STATES = ("established", "pending", "retrying", "failed", "connecting")


def report(router: Router) -> dict[str, t.Any]:
    with router.mesh.lock:
        whole = {
            "Ready": router.ready,
            "Version": VERSION,
            "VersionCheck": {
                "Enabled": False,
                "Success": False,
                "NewVersion": "",
                "NextCheckAt": "0001-01-01T00:00:00Z",
            },
            "Router": _router(router),
        }
        if router.ipam:
            whole["IPAM"] = router.ipam.status()
        if router.names and router.dns:
            whole["DNS"] = {
                "Domain": router.names.domain,
                "Upstream": router.dns.upstream() or None,
                "Address": router.dns.listen,
                "TTL": router.dns.ttl,
                "Entries": router.names.status(),
            }
        if router.options["proxy"]:
            whole["Proxy"] = {"Addresses": router.options["H"] or None}
        if router.options["plugin"] or router.options["plugin-v2"]:
            whole["Plugin"] = _plugin(router)
        return whole


def _router(router: Router) -> dict[str, t.Any]:
    mesh, options = router.mesh, router.options
    direct = mesh.routes(established=True)
    neighbours = [name for name, via in direct.items() if name == via]
    first = [mesh.ourself, *[peer for peer in mesh.peers.values() if peer is not mesh.ourself]]
    pcap = {"PacketsDropped": 0, "PacketsIfDropped": 0, "PacketsReceived": 0}
    return {
        "Protocol": "weave",
        "ProtocolMinVersion": options["min-protocol-version"],
        "ProtocolMaxVersion": 2,
        "Encryption": bool(mesh.password),
        "PeerDiscovery": not options["no-discovery"],
        "Name": mesh.ourself.name,
        "NickName": mesh.ourself.nick,
        "Port": options["port"],
        "Peers": [_peer(router, peer) for peer in first],
        "UnicastRoutes": [{"Dest": name, "Via": via} for name, via in direct.items()],
        "BroadcastRoutes": [{"Source": mesh.ourself.name, "Via": neighbours or None}],
        "Connections": router.maker.status() or None,
        "TerminationCount": router.maker.terminations,
        "Targets": list(router.maker.direct) or None,
        "OverlayDiagnostics": router.datapath.diagnostics(),
        "TrustedSubnets": [str(subnet) for subnet in router.trusted],
        "Interface": "datapath (via ODP)" if router.datapath.fast else "vethwe-pcap (via pcap)",
        "CaptureStats": {"FlowMisses": 0} if router.datapath.fast else pcap,
        "MACs": None,
    }


def _peer(router: Router, peer: t.Any) -> dict[str, t.Any]:
    connections = [
        {
            "Name": name,
            "NickName": router.mesh.peers[name].nick if name in router.mesh.peers else "",
            "Address": address,
            "Outbound": outbound,
            "Established": established,
        }
        for name, (address, outbound, established) in peer.connections.items()
    ]
    return {
        "Name": peer.name,
        "NickName": peer.nick,
        "UID": peer.uid,
        "ShortID": peer.short,
        "Version": peer.version,
        "Connections": connections or None,
    }


def _plugin(router: Router) -> dict[str, t.Any]:
    options = router.options
    return {
        "Config": {
            "Socket": options["plugin-socket"],
            "MeshSocket": options["plugin-mesh-socket"],
            "Enable": options["plugin"],
            "EnableV2": options["plugin-v2"],
            "EnableV2Multicast": options["plugin-v2-multicast"],
            "DNS": not options["no-dns"],
            "DefaultSubnet": str(router.ipam.subnet) if router.ipam else "",
            "ProcPath": options["proc-path"],
        },
        "DriverName": "weave",
        "MeshDriverName": "weavemesh",
    }


# Status pages


def _counts(states: list[str], order: t.Iterable[str]) -> str:
    return ", ".join(f"{states.count(state)} {state}" for state in order if state in states)


def _listed(values: list[str] | None) -> str:
    return ", ".join(values or []) or "none"


def page(name: str, whole: dict[str, t.Any]) -> str | None:
    """One page by its name below /status; None if there is none."""
    pages = {
        "": _status,
        "targets": lambda whole: "".join(f"{target}\n" for target in whole["Router"]["Targets"] or []),
        "connections": _connections,
        "peers": _peers,
        "dns": _dns,
        "ipam": _ipam,
    }
    return pages[name](whole) if name in pages else None


def _status(whole: dict[str, t.Any]) -> str:
    router = whole["Router"]
    low, high = router["ProtocolMinVersion"], router["ProtocolMaxVersion"]
    connections = router["Connections"] or []
    counts = _counts([one["State"] for one in connections], STATES)
    links = [link for peer in router["Peers"] for link in peer["Connections"] or []]
    linked = _counts(["established" if link["Established"] else "pending" for link in links], STATES)
    lines = [
        ("Version", f"{whole['Version']} (version check update disabled)"),
        None,
        ("Service", "router"),
        ("Protocol", f"{router['Protocol']} {high if low == high else f'{low}..{high}'}"),
        ("Name", f"{router['Name']}({router['NickName']})"),
        ("Encryption", "enabled" if router["Encryption"] else "disabled"),
        ("PeerDiscovery", "enabled" if router["PeerDiscovery"] else "disabled"),
        ("Targets", len(router["Targets"] or [])),
        ("Connections", f"{len(connections)}{f' ({counts})' if counts else ''}"),
        ("Peers", f"{len(router['Peers'])}{f' (with {linked} connections)' if linked else ''}"),
        ("TrustedSubnets", _listed(router["TrustedSubnets"])),
    ]
    if "IPAM" in whole:
        ipam = whole["IPAM"]
        lines += [None, ("Service", "ipam"), ("Status", ipam_status(ipam))]
        lines += [("Range", ipam["Range"]), ("DefaultSubnet", ipam["DefaultSubnet"])]
    if "DNS" in whole:
        dns = whole["DNS"]
        live = [entry for entry in dns["Entries"] or [] if not entry["Tombstone"]]
        lines += [None, ("Service", "dns"), ("Domain", dns["Domain"]), ("Upstream", _listed(dns["Upstream"]))]
        lines += [("TTL", dns["TTL"]), ("Entries", len(live))]
    if "Proxy" in whole:
        lines += [None, ("Service", "proxy"), ("Address", _listed(whole["Proxy"]["Addresses"]))]
    if "Plugin" in whole:
        if whole["Plugin"]["Config"]["EnableV2"]:
            lines += [None, ("Service", "plugin (v2)")]
        else:
            lines += [None, ("Service", "plugin (legacy)"), ("DriverName", whole["Plugin"]["DriverName"])]
    return "".join("\n" if line is None else f"{line[0]:>15}: {line[1]}\n" for line in lines)


def ipam_status(ipam: dict[str, t.Any]) -> str:
    if ipam["Entries"]:
        if not any(entry["Size"] and entry["IsKnownPeer"] for entry in ipam["Entries"]):
            return "all IP ranges owned by unreachable peers - use 'rmpeer' if they are dead"
        return "waiting for IP(s) to become available" if ipam["PendingAllocates"] else "ready"
    paxos = ipam["Paxos"]
    if not paxos:
        return "idle"
    if paxos["Elector"]:
        return f"awaiting consensus (quorum: {paxos['Quorum']}, known: {paxos['KnownNodes']})"
    return "priming"


def _go(value: t.Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _connections(whole: dict[str, t.Any]) -> str:
    lines = []
    for one in whole["Router"]["Connections"] or []:
        attrs = "".join(f"{key}={_go(value)}" for key, value in (one["Attrs"] or {}).items() if key != "name")
        arrow = "->" if one["Outbound"] else "<-"
        lines.append(f"{arrow} {one['Address']:<21} {one['State']:<11} {one['Info']} {attrs}\n")
    return "".join(lines)


def _peers(whole: dict[str, t.Any]) -> str:
    lines = []
    for peer in whole["Router"]["Peers"]:
        lines.append(f"{peer['Name']}({peer['NickName']})\n")
        for one in peer["Connections"] or []:
            full = f"{one['Name']}({one['NickName']})"
            arrow, state = "->" if one["Outbound"] else "<-", "established" if one["Established"] else "pending"
            lines.append(f"   {arrow} {one['Address']:<21} {full:<37} {state}\n")
    return "".join(lines)


def _dns(whole: dict[str, t.Any]) -> str:
    lines = []
    domain = "." + whole["DNS"]["Domain"] if "DNS" in whole else ""
    for entry in (whole.get("DNS") or {}).get("Entries") or []:
        if not entry["Tombstone"]:
            host = entry["Hostname"].removesuffix(domain)
            lines.append(f"{host:<12} {entry['Address']:<15} {entry['ContainerID'][:12]:>12} {entry['Origin']}\n")
    return "".join(lines)


def _ipam(whole: dict[str, t.Any]) -> str:
    ipam, ours = whole.get("IPAM") or {}, whole["Router"]["Name"]
    owners: dict[str, list[t.Any]] = {}
    for entry in ipam.get("Entries") or []:
        owner = owners.setdefault(entry["Peer"], [entry["Nickname"], 0, entry["IsKnownPeer"]])
        owner[1] += entry["Size"]
    lines = []
    for peer, (nick, size, reachable) in sorted(owners.items(), key=lambda item: item[0] != ours):
        info = f"({ipam['ActiveIPs']} active)" if peer == ours else "" if reachable else "- unreachable!"
        share = f"({size * 100 / ipam['RangeNumIPs']:04.1f}% of total)"
        lines.append(f"{f'{peer}({nick})':<37} {size:8d} IPs {share} {info}\n")
    return "".join(lines)


def formatted(template: str, whole: dict[str, t.Any]) -> str:
    """Of Go's templates the little that is in use: {{ .A.B }} and {{ json .A.B }}."""

    def value(match: re.Match[str]) -> str:
        found: t.Any = whole
        for part in match.group(2).split("."):
            if part:
                found = found[part]
        return json.dumps(found, separators=(",", ":")) if match.group(1) else _go(found)

    return re.sub(r"\{\{\s*(json\s+)?(\.[A-Za-z0-9_.]*)\s*\}\}", value, template)
