# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done to the overlay's Docker network, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._docker import Network
from ansible_collections.crosshost.overlay.plugins.module_utils._network import (
    Refusal,
    State,
    User,
    Wish,
    create,
    invalid,
    parse_users,
    plan_absent,
    plan_present,
)

WISH = Wish("overlay", "10.50.0.0/16", "10.50.1.0/24", "10.50.1.1", 1458, "ovl0")
NET = Network(
    "overlay",
    "f" * 64,
    "bridge",
    "10.50.0.0/16",
    "10.50.1.0/24",
    "10.50.1.1",
    1458,
    "ovl0",
    "network",
    ("10.50.0.0/16",),
)
WEB = User("web", "10.50.1.7", ("www",))
GOOD = State(NET, (), (), (), True, "")


def state(**changes: t.Any) -> State:
    """The good state with changes; those that start with net_ change the network."""
    net = {key[4:]: value for key, value in changes.items() if key.startswith("net_")}
    rest = {key: value for key, value in changes.items() if not key.startswith("net_")}
    return dataclasses.replace(GOOD, **{"network": dataclasses.replace(NET, **net), **rest})


BACK = ["network", "connect", "--ip", "10.50.1.7", "--alias", "www", "overlay", "web"]


@pytest.mark.parametrize(
    ("have", "recreate", "steps"),
    [
        pytest.param(GOOD, False, [], id="nothing-to-do"),
        pytest.param(state(users=(WEB,)), True, [], id="nothing-to-do-in-use"),
        pytest.param(State(None, (), (), (), False, ""), False, [create(WISH)], id="new"),
        pytest.param(
            state(net_mtu=1500), False, [["network", "rm", "overlay"], create(WISH)], id="unused-is-made-anew"
        ),
        pytest.param(
            state(bridge_exists=False), False, [["network", "rm", "overlay"], create(WISH)], id="link-is-gone"
        ),
        pytest.param(
            state(net_mtu=1500, probes=("crosshost-probe",)),
            False,
            [["rm", "--force", "crosshost-probe"], ["network", "rm", "overlay"], create(WISH)],
            id="own-probe-is-no-user",
        ),
        pytest.param(
            state(net_mtu=1500, users=(WEB,)),
            True,
            [["network", "disconnect", "--force", "overlay", "web"], ["network", "rm", "overlay"], create(WISH), BACK],
            id="recreate-keeps-address-and-alias",
        ),
        pytest.param(
            state(net_slice="10.50.9.0/24", users=(User("web", "10.50.9.7", ()),)),
            True,
            [
                ["network", "disconnect", "--force", "overlay", "web"],
                ["network", "rm", "overlay"],
                create(WISH),
                ["network", "connect", "overlay", "web"],
            ],
            id="recreate-elsewhere-gives-a-new-address",
        ),
        pytest.param(state(pending=(WEB,)), False, [BACK], id="interrupted-recreate-is-completed"),
        pytest.param(
            State(None, (), (), (WEB,), False, ""), False, [create(WISH), BACK], id="interrupted-before-the-new-network"
        ),
    ],
)
def test_plan_present(have: State, recreate: bool, steps: list[list[str]]) -> None:
    """From what is to what shall be."""
    assert plan_present(have, WISH, recreate) == steps


@pytest.mark.parametrize(
    ("have", "reason"),
    [
        pytest.param(state(net_mtu=1500, users=(WEB,)), r"mtu 1500 to 1458\), and containers use it: web", id="in-use"),
        pytest.param(state(net_label=None), "was not made by this collection", id="foreign-network"),
        pytest.param(State(None, (), (), (), True, ""), "is not one of Docker's", id="foreign-link"),
        pytest.param(
            State(None, (), (), (), True, "apps"), "belongs to Docker network 'apps'", id="link-of-another-network"
        ),
    ],
)
def test_plan_present_refused(have: State, reason: str) -> None:
    """Nothing of others is touched."""
    with pytest.raises(Refusal, match=reason):
        plan_present(have, WISH, False)


def test_plan_absent() -> None:
    """Users keep it, unless the operator says otherwise; it may be gone already."""
    assert plan_absent(State(None, (), (), (), False, ""), "overlay", False) == []
    assert plan_absent(GOOD, "overlay", False) == [["network", "rm", "overlay"]]
    with pytest.raises(Refusal, match="used by containers: web"):
        plan_absent(state(users=(WEB,)), "overlay", False)
    assert plan_absent(state(users=(WEB,)), "overlay", True)[0] == [
        "network",
        "disconnect",
        "--force",
        "overlay",
        "web",
    ]
    with pytest.raises(Refusal, match="was not made by this collection"):
        plan_absent(state(net_label=None), "overlay", True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, None, id="good"),
        pytest.param({"pool": "10.50.0.1/16"}, "host bits", id="host-bits"),
        pytest.param({"slice": "10.51.0.0/24"}, "not inside pool", id="slice-outside"),
        pytest.param({"slice": "10.0.0.0/8"}, "not inside pool", id="slice-larger"),
        pytest.param({"gateway": "10.50.2.1"}, "not a host address of slice", id="gateway-outside"),
        pytest.param({"slice": "10.50.0.0/24", "gateway": "10.50.0.0"}, "not a host address", id="gateway-is-the-pool"),
        pytest.param({"gateway": "router"}, "IPv4", id="gateway-is-a-word"),
        pytest.param({"mtu": 70000}, "outside 576", id="mtu"),
    ],
)
def test_invalid(changes: dict[str, t.Any], reason: str | None) -> None:
    """Input is refused before Docker sees it."""
    problem = invalid(dataclasses.replace(WISH, **changes))
    assert (problem is None) if reason is None else (reason in (problem or ""))


def test_parse_users_reads_what_a_reconnect_needs() -> None:
    """The short id that Docker adds as an alias is not the operator's."""
    ends = {
        "overlay": {"IPAMConfig": {"IPv4Address": "10.50.1.9"}, "Aliases": ["www", "0123456789ab"], "IPAddress": ""},
        "bridge": {},
    }
    stopped = {"Id": "0123456789abcdef", "Name": "/web", "NetworkSettings": {"Networks": ends}}
    other = {"Id": "ff", "Name": "/other", "NetworkSettings": {"Networks": {"bridge": {}}}}
    assert parse_users(json.dumps([stopped, other]), "overlay") == [User("web", "10.50.1.9", ("www",))]
