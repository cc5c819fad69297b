# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Open vSwitch as it is: the database rows and the live tunnels, read into frozen dataclasses."""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli, Result

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

MARK = "crosshost_overlay"
PACKAGE = "openvswitch-switch (Debian, Ubuntu) or openvswitch (RHEL family, SUSE)"
RC_ALARM = (-14, 142)  # ovs-vsctl ends itself with SIGALRM when --timeout is over
BACKSTOP = 5  # seconds a tool gets beyond its own --timeout before it is stopped from outside
LIST_ALL = (
    "--format=json",
    *("--", "--columns=name,ports,datapath_type", "list", "Bridge"),
    *("--", "--columns=_uuid,name,interfaces,protected,external_ids", "list", "Port"),
    *("--", "--columns=_uuid,name,type,options,ofport,error", "list", "Interface"),
)
# "port 1: t1 (gre: ::->10.0.0.2, key=0x5, legacy_l2, dp port=1, ttl=64)"
LIVE_TUNNEL = re.compile(r"^port \d+: (?P<name>.+) \((?P<type>[a-z0-9_]+): ", re.MULTILINE)


class OvsError(Exception):
    """Open vSwitch cannot be read; carries the command that showed it."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True)
class Interface:
    """One row of the table Interface; ofport is None until ovs-vswitchd has dealt with the row."""

    name: str
    type: str = ""
    options: t.Mapping[str, str] = field(default_factory=dict)
    ofport: int | None = None
    error: str = ""


@dataclass(frozen=True)
class Port:
    """One row of the table Port, with the interfaces that belong to it."""

    name: str
    bridge: str
    interfaces: tuple[Interface, ...] = ()
    protected: bool = False
    external_ids: t.Mapping[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> str | None:
        """The value of the mark of this collection, None when somebody else made the port."""
        return self.external_ids.get(MARK)

    @property
    def interface(self) -> Interface:
        """The only interface of a port that is no bond."""
        return self.interfaces[0] if self.interfaces else Interface(self.name)


@dataclass(frozen=True)
class Switch:
    """All bridges (name to datapath type), all ports, and the names of the tunnels ovs-vswitchd really runs.

    live is None when that could not be asked, with the reason in live_error, or is unknown to this release.
    """

    bridges: t.Mapping[str, str] = field(default_factory=dict)
    ports: t.Mapping[str, Port] = field(default_factory=dict)
    live: frozenset[str] | None = None
    live_error: Result | None = None

    def health(self, port: Port) -> str:
        """'up', 'pending' (ovs-vswitchd has not dealt with the row) or 'dead'.

        An ofport and no error are not enough: a duplicate made by 'set' has both and carries nothing.
        """
        interface = port.interface
        if interface.ofport is None and not interface.error:
            return "pending"
        if interface.error or interface.ofport is None or interface.ofport <= 0:
            return "dead"
        if self.live is not None and port.name not in self.live:
            return "dead"
        return "up"


class Ovs:
    """The two tools, bound to one database and the ovs-vswitchd that serves it."""

    def __init__(self, module: AnsibleModule, database: str | None, vswitchd_ctl: str | None, timeout: int) -> None:
        env = {}
        where = []
        if database:
            where = [f"--db={database}"]
            if database.startswith("unix:"):  # the pid file that ovs-appctl looks for lies beside the socket
                env = {"OVS_RUNDIR": database[len("unix:") :].rpartition("/")[0]}
        self.database = database or "the default socket"
        self.timeout = timeout
        self.vsctl = Cli(
            module, "ovs-vsctl", f"--timeout={timeout}", *where, timeout=timeout + BACKSTOP, env=env, package=PACKAGE
        )
        self.appctl = Cli(
            module, "ovs-appctl", "-t", vswitchd_ctl or "ovs-vswitchd", timeout=timeout, env=env, package=PACKAGE
        )

    def read_rows(self) -> tuple[dict[str, str], dict[str, Port]]:
        """Read bridges and ports from the database, with one process."""
        result = self.vsctl.run_raw(*LIST_ALL)
        if result.rc != 0:
            raise OvsError(
                f"The Open vSwitch database at {self.database} cannot be read: {result.message}. "
                "Start ovsdb-server (systemctl restart openvswitch-switch, or openvswitch), or correct the option database.",
                result,
            )
        return parse_rows(result.out)

    def observe(self) -> Switch:
        """Read everything, with two processes."""
        bridges, ports = self.read_rows()
        answer = self.appctl.run_raw("ofproto/list-tunnels")
        if answer.rc == 0:
            return Switch(bridges, ports, parse_live(answer.out))
        if "is not a valid command" in answer.err:  # an old release; its own answer shows that it lives
            return Switch(bridges, ports)
        return Switch(bridges, ports, None, answer)


def parse_live(text: str) -> frozenset[str]:
    """The names in the answer of 'ovs-appctl ofproto/list-tunnels'."""
    return frozenset(match.group("name") for match in LIVE_TUNNEL.finditer(text))


def parse_value(value: t.Any) -> t.Any:
    """One cell of ovs-vsctl's JSON: a uuid as a string, a set as a list, a map as a dict, any other atom as it is."""
    if isinstance(value, list) and len(value) == 2:
        kind, content = value
        if kind in ("uuid", "named-uuid"):
            return content
        if kind == "set":
            return [parse_value(item) for item in content]
        if kind == "map":
            return {parse_value(key): parse_value(item) for key, item in content}
    return value


def as_list(value: t.Any) -> list[t.Any]:
    """A set of exactly one element is written as the bare element; undo that."""
    return value if isinstance(value, list) else [value]


def parse_table(text: str) -> list[dict[str, t.Any]]:
    """One JSON table as a list of rows, each by column name."""
    table = json.loads(text)
    return [dict(zip(table["headings"], map(parse_value, row))) for row in table["data"]]


def parse_rows(text: str) -> tuple[dict[str, str], dict[str, Port]]:
    """The bridges with their datapath types and the ports by name, from the answer to LIST_ALL."""
    bridge_rows, port_rows, interface_rows = (parse_table(line) for line in text.splitlines() if line.strip())
    interfaces = {row["_uuid"]: _interface(row) for row in interface_rows}
    home = {uuid: row["name"] for row in bridge_rows for uuid in as_list(row["ports"])}
    ports = {}
    for row in port_rows:
        members = tuple(interfaces[uuid] for uuid in as_list(row["interfaces"]) if uuid in interfaces)
        ports[row["name"]] = Port(
            row["name"], home.get(row["_uuid"], ""), members, row["protected"] is True, row["external_ids"]
        )
    return {row["name"]: row["datapath_type"] or "system" for row in bridge_rows}, ports


def _interface(row: dict[str, t.Any]) -> Interface:
    ofport = as_list(row["ofport"])
    error = as_list(row["error"])
    return Interface(
        row["name"], row["type"], row["options"], ofport[0] if ofport else None, "; ".join(str(line) for line in error)
    )
