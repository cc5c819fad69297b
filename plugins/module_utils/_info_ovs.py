# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""A host's Open vSwitch: what its database wants. What ovs-vswitchd makes of it is read by _info_vswitchd.py at the same time; either may hang."""

from __future__ import annotations

import json
import os
import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import (
    _info_ours,
    _info_secrets,
    _ovs,
    _packages,
)

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

PACKAGE = "openvswitch-switch"  # Debian's, with daemons and units
ROWS = (
    "--format=json",
    *("--", "--columns=ovs_version", "list", "Open_vSwitch"),
    *(
        "--",
        "--columns=name,ports,datapath_type,fail_mode,stp_enable,rstp_enable,controller,external_ids",
        "list",
        "Bridge",
    ),
    *("--", "--columns=_uuid,name,interfaces,protected,external_ids", "list", "Port"),
    *("--", "--columns=_uuid,name,type,options,ofport,error,link_state,mtu,statistics,status", "list", "Interface"),
)
# Not those of queues, or of one kind of card.
COUNTER = re.compile(r"(rx|tx)_(packets|bytes|dropped|errors)$|(rx_(crc|frame|over)_err|collisions)$")
EGRESS = "tunnel_egress_iface"
TUNNELS = frozenset(["gre", "ip6gre", "vxlan", "geneve", "erspan", "ip6erspan", "gtpu", "bareudp", "lisp", "stt"])


def empty() -> dict[str, t.Any]:
    """What is returned where there is no Open vSwitch."""
    return {"installed": False, "running": False, "version": "", "error": "", "bridges": []}


def minimal(section: Section) -> None:
    """Read version and bridges."""
    facts = section.facts
    facts["kernel_module"] = os.path.isdir("/sys/module/openvswitch")
    if not section.has("ovs-vsctl"):
        return
    facts["installed"] = True
    facts["service"] = _info_ours.service(section, section.params["openvswitch_service"])
    ovs = section.cli("ovs-vsctl", f"--timeout={section.timeout:g}")
    words = ("--format=json", "--columns=name,datapath_type", "list", "Bridge", "--", "get", "Open_vSwitch", ".")
    bridges = ovs.run_raw(*words, "ovs_version")
    if bridges.rc != 0:
        if section.has("dpkg-query") and _packages.unfinished(section.cli("dpkg-query").run_raw, PACKAGE):
            facts["installed"] = False  # apt is at it, and the caller may wait for it
        else:
            facts["error"] = bridges.message
        return
    table, sep, version = bridges.out.strip().rpartition("\n")
    rows = json.loads(table)["data"] if sep else []
    facts.update(
        running=True,
        version=version.strip('"'),
        bridges=[{"name": name, "datapath": kind or "system"} for name, kind in rows],
    )


# The database


def read(section: Section) -> None:
    """Read all of the database that a diagnosis needs, with one process."""
    facts = section.facts
    facts.update(
        kernel_module=os.path.isdir("/sys/module/openvswitch"),
        database_ok=False,
        ports=[],
        errors=[],
    )
    if not section.has("ovs-vsctl"):
        return
    facts["installed"] = True
    facts["service"] = _info_ours.service(section, section.params["openvswitch_service"])
    answer = section.cli("ovs-vsctl", f"--timeout={section.timeout:g}").run_raw(*ROWS)
    if answer.rc != 0:
        # Without the command: it is longer than all the rest.
        late = answer.timed_out or answer.rc in _ovs.RC_ALARM
        why = f"no answer within {section.timeout:g} seconds" if late else answer.reason
        facts["error"] = f"The database of Open vSwitch cannot be read: {why}"
        section.problems.append(facts["error"])
        return
    facts.update(rows(answer.out), running=True, database_ok=True)
    for row in _ovs.parse_table(answer.out.strip().splitlines()[-1]):
        section.secrets |= _info_secrets.secrets_of(row["options"])


def rows(text: str) -> dict[str, t.Any]:
    """Version, bridges and ports from the answer to ROWS. Secrets of IPsec are hidden."""
    switch, *tables = (line for line in text.splitlines() if line.strip())
    version = _ovs.as_list(_ovs.parse_table(switch)[0]["ovs_version"])
    bridges, ports = _ovs.parse_rows("\n".join(tables))
    raw_bridges, dummy_ports, raw_interfaces = (_ovs.parse_table(table) for table in tables)
    interfaces = {row["name"]: row for row in raw_interfaces}
    return {
        "version": version[0] if version else "",
        "bridges": [_bridge(row, bridges[row["name"]], ports.values()) for row in raw_bridges],
        "ports": [_port(port, interfaces.get(port.interface.name, {})) for port in ports.values()],
    }


def _bridge(row: t.Mapping[str, t.Any], datapath: str, ports: t.Iterable[_ovs.Port]) -> dict[str, t.Any]:
    return {
        "name": row["name"],
        "datapath": datapath,
        "fail_mode": "".join(_ovs.as_list(row["fail_mode"])),
        "stp": row["stp_enable"] is True,
        "rstp": row["rstp_enable"] is True,
        "controller": bool(_ovs.as_list(row["controller"])),
        "ports": sorted(port.name for port in ports if port.bridge == row["name"]),
        "mark": row["external_ids"].get(_ovs.MARK),
        "flows_normal": None,
    }


def _port(port: _ovs.Port, row: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    interface = port.interface
    status = dict(row.get("status", {}))
    mtu = _ovs.as_list(row.get("mtu", []))
    return {
        "name": port.name,
        "bridge": port.bridge,
        "type": interface.type,
        "options": _info_secrets.options(interface.options),
        "ofport": interface.ofport,
        "error": interface.error,
        "health": _ovs.Switch().health(port),
        "protected": port.protected,
        "owner": port.owner,
        "link_state": "".join(_ovs.as_list(row.get("link_state", []))),
        "mtu": mtu[0] if mtu else None,
        "statistics": {key: value for key, value in row.get("statistics", {}).items() if COUNTER.match(key)},
        "egress": status.pop(EGRESS, None),
        "other": status,
    }


# Both


def merge(facts: dict[str, t.Any], live: dict[str, t.Any], secrets: t.Collection[str] = ()) -> None:
    """Put what ovs-vswitchd said to what the database has; its log must not show secrets of the database."""
    names = live.get("live_tunnels")
    switch = _ovs.Switch(live=None if names is None else frozenset(names))
    for port in facts.get("ports", []):
        row = _ovs.Interface(port["name"], port["type"], {}, port["ofport"], port["error"])
        if row.type in TUNNELS:
            port["health"] = switch.health(_ovs.Port(port["name"], port["bridge"], (row,)))
    for bridge in facts["bridges"]:
        bridge["flows_normal"] = live.get("flows", {}).get(bridge["name"])
    facts.update({key: live.get(key) for key in ("vswitchd_ok", "live_tunnels")})
    facts["datapaths"] = _info_secrets.text(live.get("datapaths", ""), secrets)
    facts["log"] = [_info_secrets.text(line, secrets) for line in live.get("log", [])]
    facts["errors"] = [f"{port['name']}: {port['error']}" for port in facts.get("ports", []) if port["error"]]
