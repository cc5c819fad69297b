# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moving the underlay's address, and what a boot brings back."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _attach
from ansible_collections.crosshost.overlay.plugins.module_utils._attach import (
    Config,
    Link,
    State,
    learned,
    plan,
    plan_back,
)

CONFIG = Config(
    "ovl-link", "ovl0", "br-phy", "eth1", ("192.0.2.1/24",), ("203.0.113.0/24 via 192.0.2.254",), ("gro", "tx"), "2"
)
UP = Link("", True, (), False)
CARD = Link("", True, ("192.0.2.1/24",), False)
MEMBER = Link("ovl0", True, (), False)
ROUTE = ("203.0.113.0/24 via 192.0.2.254",)
DONE = State({"ovl-link": MEMBER, "ovl0": UP, "br-phy": CARD, "eth1": UP}, {"br-phy": ROUTE, "eth1": ()}, (), "1")


def state(**links: Link) -> State:
    """The finished state with other links; names have underscores for dashes."""
    return State(
        {**DONE.links, **{name.replace("_", "-"): link for name, link in links.items()}},
        DONE.routes,
        DONE.features,
        DONE.rp_filter,
    )


@pytest.mark.parametrize(
    ("have", "steps"),
    [
        pytest.param(DONE, [], id="nothing-to-do"),
        pytest.param(
            State(
                {**DONE.links, "br-phy": Link("", False, (), False), "eth1": CARD},
                {"eth1": ROUTE, "br-phy": ()},
                ("gro", "tx"),
                "2",
            ),
            [
                "ethtool -K eth1 gro off",
                "ethtool -K eth1 tx off",
                "sysctl -q -w net/ipv4/conf/eth1/rp_filter=1",
                "ip link set br-phy up",
                "ip address add 192.0.2.1/24 dev br-phy",
                "ip address del 192.0.2.1/24 dev eth1",
                "ip route replace 203.0.113.0/24 via 192.0.2.254 dev br-phy",
            ],
            id="first-run",
        ),
        pytest.param(
            State({**DONE.links, "eth1": CARD}, DONE.routes, (), "1"),
            ["ip address del 192.0.2.1/24 dev eth1"],
            id="cut-off-before-the-address-left",
        ),
        pytest.param(
            State({**DONE.links, "br-phy": UP}, {"br-phy": (), "eth1": ()}, (), "1"),
            ["ip address add 192.0.2.1/24 dev br-phy", "ip route replace 203.0.113.0/24 via 192.0.2.254 dev br-phy"],
            id="both-lost-it",
        ),
        pytest.param(state(ovl_link=UP), ["ip link set ovl-link master ovl0"], id="link-left-the-bridge"),
        pytest.param(
            state(ovl_link=Link("", False, (), False)),
            ["ip link set ovl-link master ovl0", "ip link set ovl-link up"],
            id="link-is-new",
        ),
    ],
)
def test_plan(have: State, steps: list[str]) -> None:
    """From what is to what shall be."""
    assert [" ".join(step) for step in plan(have, CONFIG)] == steps


def test_kernel_datapath_leaves_every_card_alone() -> None:
    """Without an underlay bridge there is only the link."""
    have = State({"ovl-link": UP, "ovl0": UP, "eth1": CARD}, {}, ("gro",))
    assert plan(have, Config("ovl-link", "ovl0")) == [["ip", "link", "set", "ovl-link", "master", "ovl0"]]


def test_plan_back_restores_addresses_routes_and_offloads() -> None:
    """What a teardown needs after the bridge is deleted."""
    have = State({"eth1": UP}, {"eth1": ()}, ("tx",), "1")
    assert [" ".join(step) for step in plan_back(have, CONFIG)] == [
        "ip address add 192.0.2.1/24 dev eth1",
        "ip route replace 203.0.113.0/24 via 192.0.2.254 dev eth1",
        "ethtool -K eth1 gro on",
        "sysctl -q -w net/ipv4/conf/eth1/rp_filter=2",
    ]


@pytest.mark.parametrize(("before", "now"), [("", "1"), ("1", "1"), ("2", "0")], ids=["unknown", "same", "theirs"])
def test_plan_back_leaves_a_filter_that_is_not_ours(before: str, now: str) -> None:
    """What was not recorded, what was so before, and what somebody has set since."""
    done = State({"eth1": CARD}, {"eth1": ROUTE}, ("gro", "tx"), now)
    assert plan_back(done, dataclasses.replace(CONFIG, rp_filter=before)) == []


def test_learned_follows_an_address_that_was_changed() -> None:
    """The card's new address counts, and an offload once found on is remembered."""
    have = State(
        {**DONE.links, "eth1": Link("", True, ("192.0.2.9/24",), False)}, {"eth1": (), "br-phy": ROUTE}, ("tso",), "1"
    )
    assert learned(have, CONFIG) == Config(
        "ovl-link", "ovl0", "br-phy", "eth1", ("192.0.2.9/24",), (), ("gro", "tso", "tx"), "2"
    )


def test_a_later_run_remembers_everything_of_the_card() -> None:
    """What the card had before the first run is not what it has before the second."""
    fresh = Config("ovl-link", "ovl1", "br-phy", "eth1")
    assert _attach.remembering(fresh, CONFIG) == dataclasses.replace(CONFIG, master="ovl1")
    assert learned(DONE, _attach.remembering(fresh, CONFIG)).rp_filter == "2"
    other = Config("ovl-link", "ovl0", "br-phy", "eth2")
    assert _attach.remembering(other, CONFIG) == other


def test_config_survives_its_file() -> None:
    """What is written is what is read."""
    assert _attach.load(_attach.dump(CONFIG)) == CONFIG


def test_parse_features() -> None:
    """Fixed ones cannot be turned off, so they are not listed."""
    text = "Features for eth1:\nrx-checksumming: on\ntx-checksumming: on\n\ttx-checksum-ipv4: off [fixed]\ngeneric-receive-offload: off\n"
    text += (
        "large-receive-offload: off [fixed]\ntcp-segmentation-offload: on\ngeneric-segmentation-offload: on [fixed]\n"
    )
    assert _attach.parse_features(text) == ("tso", "tx")


def test_boot_waits_for_late_links_and_is_bounded(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Docker's bridge shows up at the third look; without it the run ends by itself and says what is missing."""
    path = tmp_path / "attach.json"
    path.write_text(_attach.dump(Config("ovl-link", "ovl0")))
    monkeypatch.setattr(_attach, "POLL", 0.001)
    looks, done = [], []

    def run(argv: list[str], appears: int) -> tuple[int, str, str]:
        if argv[1] != "-json":
            done.append(argv)
            return 0, "", ""
        looks.append(1)
        names = ["ovl-link", "ovl0"] if len(looks) >= appears else ["ovl-link"]
        master = {"master": "ovl0"} if done else {}
        return (
            0,
            json.dumps([{"ifname": name, "flags": ["UP"], **(master if name == "ovl-link" else {})} for name in names]),
            "",
        )

    assert _attach.main(str(path), lambda argv: run(argv, 3), wait=5) == 0
    assert done == [["ip", "link", "set", "ovl-link", "master", "ovl0"]]
    assert _attach.main(str(path), lambda argv: run(argv, 10**9), wait=0.01) == 1
    assert "no link ovl0" in capsys.readouterr().err
