# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bridges of the overlay: one transaction, and a card that must never be moved."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._bridge import (
    Bridge,
    LinkPort,
    Refusal,
    State,
    Wish,
    check,
    find_nic,
    plan,
    plan_absent,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._host import Interface, Route

MAC = "02:42:c6:12:01:0b"
KERNEL = Wish("br-overlay", "system", "ovl-link", "ovl0", 1458, "ovs_gre")
NETDEV = dataclasses.replace(KERNEL, datapath="netdev", underlay_bridge="br-phy", underlay_ip="192.0.2.1")
TUNNELS = Bridge("br-overlay", "netdev", "standalone", "", "ovs_gre", ("br-overlay", "ovl-link"))
PHY = Bridge("br-phy", "netdev", "standalone", MAC, "ovs_gre", ("br-phy", "eth1"))
LINK = LinkPort("br-overlay", "internal", 1458, "ovs_gre")
ETH0 = Interface("eth0", 1500, "02:00:00:00:00:01", "ether", None, True, ("198.51.100.1/24",), False)
ETH1 = Interface("eth1", 1500, MAC, "ether", None, True, ("192.0.2.1/24",), False)
BARE = State({}, None, (ETH0, ETH1), (Route("default", "eth0", "198.51.100.254"),), "198.51.100.1")
DONE = dataclasses.replace(BARE, bridges={"br-overlay": TUNNELS, "br-phy": PHY}, link=LINK)


def words(*steps: str) -> list[str]:
    """The arguments of a transaction, one step a text."""
    return [word for step in steps for word in ("--", *step.split())]


@pytest.mark.parametrize(
    ("state", "wish", "nic", "steps"),
    [
        pytest.param(
            BARE,
            KERNEL,
            "",
            words(
                "add-br br-overlay",
                "set Bridge br-overlay datapath_type=system fail_mode=standalone external_ids:crosshost_overlay=ovs_gre",
                "add-port br-overlay ovl-link",
                "set Interface ovl-link type=internal mtu_request=1458 external_ids:crosshost_overlay=ovs_gre",
            ),
            id="kernel-datapath",
        ),
        pytest.param(
            BARE,
            NETDEV,
            "eth1",
            words(
                "add-br br-overlay",
                "set Bridge br-overlay datapath_type=netdev fail_mode=standalone external_ids:crosshost_overlay=ovs_gre",
                "add-port br-overlay ovl-link",
                "set Interface ovl-link type=internal mtu_request=1458 external_ids:crosshost_overlay=ovs_gre",
                "add-br br-phy",
                "set Bridge br-phy datapath_type=netdev fail_mode=standalone "
                f'other_config:hwaddr="{MAC}" external_ids:crosshost_overlay=ovs_gre',
                "add-port br-phy eth1",
            ),
            id="userspace-datapath",
        ),
        pytest.param(DONE, NETDEV, "eth1", [], id="nothing-to-do"),
        pytest.param(
            dataclasses.replace(DONE, link=dataclasses.replace(LINK, mtu_request=None)),
            NETDEV,
            "eth1",
            words("set Interface ovl-link type=internal mtu_request=1458 external_ids:crosshost_overlay=ovs_gre"),
            id="mtu-was-changed",
        ),
        pytest.param(
            dataclasses.replace(
                DONE, bridges={"br-overlay": TUNNELS, "br-phy": dataclasses.replace(PHY, ports=("br-phy",))}
            ),
            NETDEV,
            "eth1",
            words("add-port br-phy eth1"),
            id="card-was-taken-out",
        ),
        pytest.param(
            dataclasses.replace(
                DONE, bridges={"br-overlay": dataclasses.replace(TUNNELS, fail_mode="secure"), "br-phy": PHY}
            ),
            NETDEV,
            "eth1",
            words("set Bridge br-overlay fail_mode=standalone"),
            id="fail-mode-was-changed",
        ),
    ],
)
def test_plan(state: State, wish: Wish, nic: str, steps: list[str]) -> None:
    """One transaction from what is to what shall be."""
    check(state, wish, nic)
    assert plan(state, wish, nic) == steps


def moved(**changes: t.Any) -> State:
    """A bare host whose underlay card differs."""
    return dataclasses.replace(BARE, interfaces=(ETH0, dataclasses.replace(ETH1, **changes)))


FOREIGN = Bridge("br-overlay", "netdev", "", "", None, ("br-overlay",))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        pytest.param(
            dataclasses.replace(BARE, management_ip="192.0.2.1"),
            "the one Ansible is connected through",
            id="management",
        ),
        pytest.param(
            dataclasses.replace(BARE, routes=(Route("default", "eth1", "192.0.2.254"),)),
            "carries the default route",
            id="default-route",
        ),
        pytest.param(moved(dynamic=True), "DHCP", id="dhcp"),
        pytest.param(moved(master="bond0"), "already a member of 'bond0'", id="bond-member"),
        pytest.param(
            dataclasses.replace(BARE, bridges={"br-x": Bridge("br-x", "system", "", "", None, ("br-x", "eth1"))}),
            "port of .*'br-x'",
            id="other-bridge",
        ),
        pytest.param(
            dataclasses.replace(BARE, bridges={"br-overlay": FOREIGN}),
            "was not made by this collection",
            id="foreign-bridge",
        ),
        pytest.param(
            dataclasses.replace(BARE, interfaces=(ETH0, ETH1, dataclasses.replace(ETH0, name="br-overlay"))),
            "is no Open vSwitch",
            id="foreign-link",
        ),
        pytest.param(
            dataclasses.replace(BARE, bridges={"br-overlay": dataclasses.replace(TUNNELS, datapath="system")}),
            "system datapath",
            id="other-datapath",
        ),
        pytest.param(
            dataclasses.replace(BARE, link=dataclasses.replace(LINK, owner=None)),
            "is not the overlay's",
            id="foreign-port",
        ),
    ],
)
def test_refused(state: State, reason: str) -> None:
    """Neither the way in nor anything of others is taken."""
    with pytest.raises(Refusal, match=reason):
        check(state, NETDEV, "eth1")


def test_card_in_our_bridge_is_not_judged_again() -> None:
    """After the move the address and maybe routes are on the bridge; that is no reason to refuse."""
    check(dataclasses.replace(DONE, management_ip="192.0.2.1"), NETDEV, "eth1")


def test_find_nic() -> None:
    """By its address, or after the move by the bridge that holds it."""
    assert find_nic(BARE, NETDEV) == "eth1"
    assert find_nic(dataclasses.replace(DONE, interfaces=()), NETDEV) == "eth1"
    with pytest.raises(Refusal, match=r"192\.0\.2\.77 is on no interface"):
        find_nic(BARE, dataclasses.replace(NETDEV, underlay_ip="192.0.2.77"))


def test_plan_absent_leaves_bridges_of_others() -> None:
    """The mark decides, not the name."""
    state = dataclasses.replace(DONE, bridges={"br-overlay": FOREIGN, "br-phy": PHY})
    assert plan_absent(state, ("br-overlay", "br-phy"), "ovs_gre") == ["--", "--if-exists", "del-br", "br-phy"]
