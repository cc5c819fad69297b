# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What has to happen to the bridges of the Open vSwitch overlay: pure planning for ovs_bridge."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils import _attach, _host
from ansible_collections.crosshost.overlay.plugins.module_utils._host import Interface, Route
from ansible_collections.crosshost.overlay.plugins.module_utils._ovs import MARK

UNIT = "crosshost-overlay.service"
UNIT_PATH = "/etc/systemd/system/" + UNIT
SCRIPT_PATH = "/usr/local/lib/crosshost-overlay/attach.py"
CONFIG_PATH = _host.ATTACH_FILE
# A restart of any of these takes the link out of Docker's bridge or the address off the underlay bridge.
FOLLOWED = ("docker.service", "openvswitch-switch.service", "ovs-vswitchd.service")


class Refusal(Exception):
    """The wish cannot be fulfilled as things are; the text says why and what to do."""


@dataclass(frozen=True)
class Wish:
    """The tunnel bridge, its link port, and for a userspace datapath the bridge that carries the underlay."""

    bridge: str
    datapath: str  # system or netdev
    link: str
    master: str
    mtu: int
    owner: str
    underlay_bridge: str = ""
    underlay_ip: str = ""


@dataclass(frozen=True)
class Bridge:
    """One row of the table Bridge with its ports."""

    name: str
    datapath: str
    fail_mode: str
    hwaddr: str
    owner: str | None
    ports: tuple[str, ...]


@dataclass(frozen=True)
class LinkPort:
    """The internal port that Docker's bridge takes as a member."""

    bridge: str
    type: str
    mtu_request: int | None
    owner: str | None


@dataclass(frozen=True)
class State:
    """All that decides: the database, the kernel's links, and how Ansible came in."""

    bridges: t.Mapping[str, Bridge]
    link: LinkPort | None
    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    management_ip: str | None = None


def find_nic(state: State, wish: Wish) -> str:
    """Return the card that carries the underlay address, also when the address is on the underlay bridge by now."""
    bridge = state.bridges.get(wish.underlay_bridge)
    if bridge and bridge.owner:
        cards = [name for name in bridge.ports if name != bridge.name]
        if cards:
            return cards[0]
    for interface in state.interfaces:
        if any(item.split("/")[0] == wish.underlay_ip for item in interface.addresses):
            return interface.name
    raise Refusal(
        f"the underlay address {wish.underlay_ip} is on no interface of this host; set overlay_underlay_ip to one it has"
    )


def check(state: State, wish: Wish, nic: str) -> None:
    """Refuse what would take a bridge, a port or a card from somebody else, or cut the way in."""
    for name in (wish.bridge, wish.underlay_bridge):
        bridge = state.bridges.get(name) if name else None
        if bridge and bridge.owner != wish.owner:
            raise Refusal(
                f"Open vSwitch bridge '{name}' exists and was not made by this collection; choose another bridge name"
            )
        if name and not bridge and any(item.name == name for item in state.interfaces):
            raise Refusal(f"a link named '{name}' exists and is no Open vSwitch bridge; choose another bridge name")
    have = state.bridges.get(wish.bridge)
    if have and have.datapath != wish.datapath:
        raise Refusal(
            f"bridge '{wish.bridge}' runs on the {have.datapath} datapath and {wish.datapath} is wanted; changing it cuts all tunnels: "
            "run the teardown first, then set up the overlay anew"
        )
    if state.link and (state.link.owner != wish.owner or state.link.bridge != wish.bridge):
        raise Refusal(
            f"port '{wish.link}' exists on bridge '{state.link.bridge}' and is not the overlay's; choose another name for the link port"
        )
    if nic:
        check_nic(state, wish, nic)


def check_nic(state: State, wish: Wish, nic: str) -> None:
    """Refuse a card that Ansible or the rest of the world comes in through, or that others manage."""
    bridge = state.bridges.get(wish.underlay_bridge)
    if bridge and nic in bridge.ports:
        return
    interface = next((item for item in state.interfaces if item.name == nic), None)
    if interface is None:
        raise Refusal(f"interface '{nic}' is not on this host")
    remedy = "give the overlay an underlay on a card of its own (overlay_underlay_ip), or use the kernel datapath"
    addresses = [item.split("/")[0] for item in interface.addresses]
    if state.management_ip in addresses:
        raise Refusal(
            f"interface '{nic}' is the one Ansible is connected through ({state.management_ip}) and is never moved into a bridge; {remedy}"
        )
    if any(route.dst == "default" and route.dev == nic for route in state.routes):
        raise Refusal(
            f"interface '{nic}' carries the default route of this host and is never moved into a bridge; {remedy}"
        )
    if interface.dynamic:
        raise Refusal(
            f"interface '{nic}' gets its address by DHCP or router advertisement, which would not follow it into a bridge; "
            f"make the address static, or {remedy}"
        )
    if interface.master:
        raise Refusal(f"interface '{nic}' is already a member of '{interface.master}'; {remedy}")
    for other in state.bridges.values():
        if nic in other.ports:
            raise Refusal(f"interface '{nic}' is already a port of Open vSwitch bridge '{other.name}'; {remedy}")


def plan(state: State, wish: Wish, nic: str) -> list[str]:
    """Return the arguments of the one transaction that makes bridges and ports as wished; empty when they are."""
    steps = _plan_bridge(state, wish.bridge, wish, "")
    link = LinkPort(wish.bridge, "internal", wish.mtu, wish.owner)
    if state.link != link:
        if state.link is None:
            steps.append(["add-port", wish.bridge, wish.link])
        steps.append(
            [
                "set",
                "Interface",
                wish.link,
                "type=internal",
                f"mtu_request={wish.mtu}",
                f"external_ids:{MARK}={wish.owner}",
            ]
        )
    if nic:
        mac = next((item.mac for item in state.interfaces if item.name == nic), "")
        steps += _plan_bridge(state, wish.underlay_bridge, wish, mac)
        bridge = state.bridges.get(wish.underlay_bridge)
        if not bridge or nic not in bridge.ports:
            steps.append(["add-port", wish.underlay_bridge, nic])
    return [arg for step in steps for arg in ("--", *step)]


def _plan_bridge(state: State, name: str, wish: Wish, hwaddr: str) -> list[list[str]]:
    have = state.bridges.get(name)
    steps = [] if have else [["add-br", name]]
    sets = []
    if not have or have.datapath != wish.datapath:
        sets.append(f"datapath_type={wish.datapath}")
    if not have or have.fail_mode != "standalone":
        sets.append("fail_mode=standalone")
    if hwaddr and (not have or have.hwaddr != hwaddr):
        sets.append(f'other_config:hwaddr="{hwaddr}"')
    if not have or have.owner != wish.owner:
        sets.append(f"external_ids:{MARK}={wish.owner}")
    if sets:
        steps.append(["set", "Bridge", name, *sets])
    return steps


def plan_absent(state: State, names: t.Iterable[str], owner: str) -> list[str]:
    """Return the arguments of the one transaction that deletes our bridges; those of others stay."""
    ours = [name for name in names if name in state.bridges and state.bridges[name].owner == owner]
    return [arg for name in ours for arg in ("--", "--if-exists", "del-br", name)]


def unit_text(python: str) -> str:
    """Return the systemd unit that attaches the overlay after a boot and after each restart of what it hangs on."""
    followed = " ".join(FOLLOWED)
    return f"""# Made by crosshost.overlay; the next run replaces changes.
[Unit]
Description=Attach Docker's bridge to the Open vSwitch overlay
Documentation=https://github.com/crosshost/overlay
After={followed} network.target
PartOf={followed}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={python} {SCRIPT_PATH} {CONFIG_PATH}
TimeoutStartSec={int(_attach.BOOT_WAIT) + 30}

[Install]
WantedBy=multi-user.target {followed}
"""
