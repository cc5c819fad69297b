# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the overlay asks of firewalls: options checked, traffic derived, the record read back."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _fw_wish
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import FirewallError
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_wish import Wish, WishError

OWN = "192.0.2.11"
PEERS = ("192.0.2.12", "192.0.2.13")


def traffic(wish: Wish) -> list[tuple[str, tuple[int, int] | None]]:
    """Protocol and ports of what comes from peers."""
    return [(flow.protocol, flow.ports) for flow in _fw_wish.flows(wish, "", "eth1") if flow.hook == "input"]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        pytest.param(Wish("weave", PEERS), [("tcp", (6783, 6783)), ("udp", (6783, 6784))], id="weave"),
        pytest.param(Wish("weave", PEERS, port=7000), [("tcp", (7000, 7000)), ("udp", (7000, 7001))], id="other port"),
        pytest.param(
            Wish("weave", PEERS, encrypted=True),
            [("tcp", (6783, 6783)), ("udp", (6783, 6784)), ("esp", None)],
            id="encrypted",
        ),
        pytest.param(Wish("ovs_gre", PEERS), [("gre", None)], id="gre"),
        pytest.param(Wish("ovs_gre", PEERS, tunnel_type="vxlan"), [("udp", (4789, 4789))], id="vxlan"),
        pytest.param(Wish("ovs_gre", PEERS, tunnel_type="geneve"), [("udp", (6081, 6081))], id="geneve"),
        pytest.param(Wish("ovs_gre", PEERS, userspace=True), [], id="userspace datapath"),
        pytest.param(Wish("weave"), [], id="no peers"),
        pytest.param(
            Wish("ovs_gre", PEERS, also=("weave",)),
            [("tcp", (6783, 6783)), ("udp", (6783, 6784)), ("gre", None)],
            id="both",
        ),
        pytest.param(
            Wish("weave", PEERS, also=("ovs_gre",), userspace=True),
            [("tcp", (6783, 6783)), ("udp", (6783, 6784))],
            id="both, userspace datapath",
        ),
    ],
)
def test_traffic(wish: Wish, expected: list[tuple[str, tuple[int, int] | None]]) -> None:
    """Never tcp 6784, the control port."""
    assert traffic(wish) == expected


def test_flows_of_weave() -> None:
    """Peers to the host's own address; names from containers alone; frames within the bridge."""
    found = _fw_wish.flows(Wish("weave", PEERS, OWN, bridges=("weave",)), "172.17.0.1", "eth1")
    assert [(flow.label, flow.sources, flow.destination, flow.iif, flow.oif) for flow in found] == [
        ("tcp 6783", PEERS, OWN, "", ""),
        ("udp 6783-6784", PEERS, OWN, "", ""),
        ("dns (udp 53) from docker0", (), "172.17.0.1", "docker0", ""),
        ("dns (tcp 53) from docker0", (), "172.17.0.1", "docker0", ""),
        ("dns (udp 53) from docker_gwbridge", (), "172.17.0.1", "docker_gwbridge", ""),
        ("dns (tcp 53) from docker_gwbridge", (), "172.17.0.1", "docker_gwbridge", ""),
        ("containers on bridge weave", (), "", "weave", "weave"),
    ]
    assert {flow.via for flow in found if flow.sources} == {"eth1"}


@pytest.mark.parametrize(
    "wish",
    [
        pytest.param(Wish("weave", PEERS, dns=False), id="weave without dns"),
        pytest.param(Wish("ovs_gre", PEERS), id="ovs"),
    ],
)
def test_names_are_not_opened_where_nobody_answers_them(wish: Wish) -> None:
    """No other port of docker0 either."""
    assert not [flow for flow in _fw_wish.flows(wish, "172.17.0.1", "") if flow.iif == "docker0"]


@pytest.mark.parametrize("userspace", [False, True])
def test_peers_that_take_their_time_from_the_host(userspace: bool) -> None:
    """Ask it on port 123, whatever carries the overlay; without peers nobody does."""
    found = _fw_wish.flows(Wish("ovs_gre", PEERS, OWN, ntp=True, userspace=userspace), "", "eth1")
    assert [(flow.label, flow.sources, flow.via) for flow in found if flow.protocol == "udp"] == [
        ("udp 123", PEERS, "eth1")
    ]
    assert not _fw_wish.flows(Wish("ovs_gre", ntp=True), "", "eth1")


def test_families_are_apart() -> None:
    """Peers of both go to flows of their own."""
    found = _fw_wish.flows(Wish("ovs_gre", ("192.0.2.12", "2001:db8::2"), tunnel_type="vxlan"), "", "")
    assert [(flow.family, flow.sources) for flow in found] == [(4, ("192.0.2.12",)), (6, ("2001:db8::2",))]


def test_checked() -> None:
    """One form for each address, in their order, without this host."""
    given = Wish("weave", ("192.0.2.100", "192.0.2.12", OWN, "192.0.2.12"), OWN)
    assert _fw_wish.checked(given).peers == ("192.0.2.12", "192.0.2.100")
    assert _fw_wish.checked(Wish("ovs_gre", ("2001:DB8:0::2",))).peers == ("2001:db8::2",)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        pytest.param(Wish("weave", ("h2",)), "peers has 'h2', which is not an IP address", id="name"),
        pytest.param(Wish("weave", ("0.0.0.0/0",)), "not an IP address", id="everybody"),
        pytest.param(Wish("weave", ("0.0.0.0",)), "no address that a host can be reached at", id="unspecified"),
        pytest.param(Wish("weave", ("224.0.0.1",)), "no address that a host can be reached at", id="multicast"),
        pytest.param(Wish("weave", ("127.0.0.1",)), "no address that a host can be reached at", id="loopback"),
        pytest.param(Wish("weave", PEERS, "2001:db8::1"), "other address family", id="families"),
        pytest.param(Wish("weave", PEERS, port=0), "from 1 to 65534", id="port 0"),
        pytest.param(Wish("weave", PEERS, port=65535), "from 1 to 65534", id="port 65535"),
        pytest.param(Wish("weave", PEERS, bridges=("a" * 16,)), "not the name of a network interface", id="long name"),
        pytest.param(Wish("weave", PEERS, bridges=("we+",)), "not the name of a network interface", id="wildcard"),
        pytest.param(Wish("weave", PEERS, bridges=("",)), "not the name of a network interface", id="empty name"),
    ],
)
def test_what_cannot_be_right(wish: Wish, words: str) -> None:
    """Said before anything is read."""
    with pytest.raises(WishError, match=words):
        _fw_wish.checked(wish)


def test_record() -> None:
    """Written and read back; a field of a later release is passed over."""
    wish = Wish("weave", PEERS, OWN, bridges=("weave",), encrypted=True)
    assert _fw_wish.parse(wish.text()) == wish
    assert _fw_wish.parse(json.dumps({**json.loads(wish.text()), "later": 1})) == wish


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_damaged_record(text: str) -> None:
    """It is named, with what to do."""
    with pytest.raises(FirewallError, match=r"firewall\.json is damaged .* run the role peer_firewall again"):
        _fw_wish.parse(text)


ADDRESSES = json.dumps(
    [
        {"ifname": "eth1", "addr_info": [{"family": "inet", "local": OWN}]},
        {
            "ifname": "docker0",
            "addr_info": [{"family": "inet", "local": "172.17.0.1"}, {"family": "inet6", "local": "fe80::1"}],
        },
    ]
)


def shell(**answers: tuple[int, str]) -> t.Callable[..., Result]:
    """Answers to ip by its subcommand."""

    def run(argv: t.Sequence[str], stdin: str | None = None, timeout: float = 30) -> Result:
        status, text = answers[argv[2]]
        return Result(tuple(argv), status, text, "" if status == 0 else "Cannot open netlink socket")

    return run


def test_surroundings() -> None:
    """The card of the underlay address, and docker0's address."""
    context, dns = _fw_wish.surroundings(shell(address=(0, ADDRESSES)), Wish("weave", PEERS, OWN, bridges=("weave",)))
    assert (context.underlay, context.bridges, dns) == ("eth1", ("weave", "docker0", "docker_gwbridge"), "172.17.0.1")


@pytest.mark.parametrize(
    ("answer", "card"),
    [((0, '[{"dev": "eth7"}]'), "eth7"), ((2, ""), ""), ((0, "[]"), "")],
    ids=["route", "none", "empty"],
)
def test_card_without_an_address(answer: tuple[int, str], card: str) -> None:
    """Then it is the one that leads to a peer, if there is any."""
    context, dummy = _fw_wish.surroundings(shell(address=(0, ADDRESSES), route=answer), Wish("weave", PEERS))
    assert context.underlay == card


def test_address_that_is_elsewhere() -> None:
    """Openings for it would help nobody."""
    with pytest.raises(FirewallError, match="on no interface of this host"):
        _fw_wish.surroundings(shell(address=(0, ADDRESSES)), Wish("weave", PEERS, "192.0.2.99"))


def test_addresses_that_cannot_be_read() -> None:
    """The tool's own words."""
    with pytest.raises(FirewallError, match=r"Cannot open netlink socket.*Nothing was changed"):
        _fw_wish.surroundings(shell(address=(1, "")), None)
