# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The tunnels of all hosts as the doctor sees them: which belongs to which at the other end, and the ways frames can take. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import Facts
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case

TUNNELS = ("gre", "ip6gre", "vxlan", "geneve", "stt", "erspan", "ip6erspan", "lisp", "gtpu")


@dataclass(frozen=True)
class Tunnel:
    """One tunnel port of Open vSwitch. peer: the host its remote address belongs to, None if none that is known."""

    host: str
    name: str
    bridge: str
    type: str
    options: t.Mapping[str, str]
    health: str
    error: str
    protected: bool
    owner: str | None
    egress: str | None
    peer: str | None
    row: Facts = field(compare=False, hash=False, repr=False)

    @property
    def remote(self) -> str:
        """The address at the other end."""
        return str(self.options.get("remote_ip") or "")

    @property
    def local(self) -> str:
        """The address at this end, empty if the host's routing decides."""
        return str(self.options.get("local_ip") or "")

    def key(self, way: str) -> str:
        """The key of one way (in, out), as Open vSwitch takes it: none is 0, what is no number is 0, too."""
        text = str(self.options.get(f"{way}_key") or self.options.get("key") or "0").strip().strip('"')
        if text == "flow":
            return text
        try:
            return str(int(text, 0))
        except ValueError:
            return "0"

    @property
    def identity(self) -> tuple[str, ...]:
        """What no two tunnels of a host may have in common."""
        return self.type, self.remote, self.local, self.key("in")

    def line(self) -> str:
        """The options as 'ovs-vsctl get Interface NAME options' prints them."""
        shown = ", ".join(f'{key}="{value}"' for key, value in sorted(self.options.items()))
        return f"{self.host}: {self.name} on {self.bridge}: type {self.type}, options {{{shown}}}, protected {str(self.protected).lower()}"

    def answers(self, other: Tunnel) -> bool:
        """Say whether the two ends take each other's packets for their own."""
        return self.type == other.type and self.keys_fit(other) and self.ends_fit(other) and other.ends_fit(self)

    def keys_fit(self, other: Tunnel) -> bool:
        """Say whether what one sends under a key the other takes."""
        pairs = ((self.key("out"), other.key("in")), (other.key("out"), self.key("in")))
        return all(one == two or "flow" in (one, two) for one, two in pairs)

    def ends_fit(self, other: Tunnel) -> bool:
        """Say whether the address this end sends to is the one the other sends from, as far as that is fixed."""
        return not other.local or other.local in (self.remote, "flow") or self.remote == "flow"


def tunnels(case: Case) -> list[Tunnel]:
    """Return all tunnels of all hosts that can be read."""
    found = []
    for host in case.read:
        for port in case.rows(host, "openvswitch", "ports"):
            if port.get("type") not in TUNNELS or not isinstance(port.get("options"), t.Mapping):
                continue
            remote = str(port["options"].get("remote_ip") or "")
            found.append(
                Tunnel(
                    host,
                    str(port.get("name")),
                    str(port.get("bridge")),
                    str(port.get("type")),
                    port["options"],
                    str(port.get("health") or ""),
                    str(port.get("error") or ""),
                    port.get("protected") is True,
                    port.get("owner"),
                    str(port["egress"]) if port.get("egress") else None,
                    case.host_of(remote) if remote and remote != "flow" else None,
                    port,
                )
            )
    return found


def readable(case: Case, host: str | None) -> bool:
    """Say whether the tunnels of a host are known, so that a missing one is missing."""
    if host is None or not case.info(host):
        return False
    ovs = case.part(host, "openvswitch")
    return (
        ovs.get("database_ok", ovs.get("running")) is not False and ovs.get("installed") is not False and "ports" in ovs
    )


def bridge_of(case: Case, tunnel: Tunnel) -> Facts:
    """Return the bridge a tunnel is on."""
    for bridge in case.rows(tunnel.host, "openvswitch", "bridges"):
        if bridge.get("name") == tunnel.bridge:
            return bridge
    return {}


def partners(tunnel: Tunnel, found: t.Sequence[Tunnel]) -> list[Tunnel]:
    """Return the tunnels at the other end that lead back to this host."""
    return [other for other in found if other.host == tunnel.peer and other.peer == tunnel.host]


def passes(case: Case, tunnel: Tunnel) -> bool:
    """Say whether the bridge hands frames from this tunnel on as a plain switch does."""
    bridge = bridge_of(case, tunnel)
    # Spanning tree keeps loops open; with rules of somebody's own, who knows.
    return not (bridge.get("stp") or bridge.get("rstp") or bridge.get("flows_normal") is False)


def circle(case: Case, found: t.Sequence[Tunnel]) -> list[Tunnel]:
    """Return the tunnels of a circle that a broadcast runs through for ever, empty when there is none.

    A step is to leave one host through a tunnel and arrive at the other end of it. What arrives through a tunnel goes on through
    every other tunnel of that bridge, unless both are protected.
    """
    alive = [tunnel for tunnel in found if tunnel.health in ("up", "")]
    arrives = {
        (tunnel.host, tunnel.name): end
        for tunnel in alive
        for end in [next((other for other in partners(tunnel, alive) if tunnel.answers(other)), None)]
        if end
    }
    leaving: dict[tuple[str, str], list[Tunnel]] = {}
    for tunnel in alive:
        leaving.setdefault((tunnel.host, tunnel.bridge), []).append(tunnel)

    def onward(tunnel: Tunnel) -> list[Tunnel]:
        end = arrives.get((tunnel.host, tunnel.name))
        if end is None or not passes(case, end):
            return []
        ways = leaving[(end.host, end.bridge)]
        return [way for way in ways if way.name != end.name and not (way.protected and end.protected)]

    done: set[tuple[str, str]] = set()
    for start in alive:
        path, ways = [start], [iter(onward(start))]
        while path:
            way = next(ways[-1], None)
            if way is None:
                done.add((path[-1].host, path[-1].name))
                path.pop()
                ways.pop()
            elif way in path:
                return _shortest(way, onward)
            elif (way.host, way.name) not in done:
                path.append(way)
                ways.append(iter(onward(way)))
        done.add((start.host, start.name))
    return []


def _shortest(start: Tunnel, onward: t.Callable[[Tunnel], list[Tunnel]]) -> list[Tunnel]:
    """Return the shortest way that leads from a tunnel back to it, which there is."""
    came: dict[tuple[str, str], list[Tunnel]] = {}
    queue = [[start]]
    while queue:
        path = queue.pop(0)
        for way in onward(path[-1]):
            if way == start:
                return path
            if (way.host, way.name) not in came:
                came[(way.host, way.name)] = path
                queue.append([*path, way])
    return [start]
