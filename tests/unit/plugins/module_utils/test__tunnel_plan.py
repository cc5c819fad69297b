# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import shlex
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._ovs import MARK, Interface, Port, Switch
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnel_plan import Plan, make_plan, make_undo
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnel_wish import Refused, Wish
from ansible_collections.crosshost.overlay.plugins.module_utils._tunnels import Tunnel


def port(name: str, remote: str | None = None, bridge: str = "br0", **changes: t.Any) -> Port:
    """A port as this collection makes it, but for the changes; further options are given as options={...}."""
    options = {**({"remote_ip": remote} if remote else {}), **changes.get("options", {})}
    interface = Interface(
        changes.get("interface", name),
        changes.get("type", "gre"),
        options,
        changes.get("ofport", 1),
        changes.get("error", ""),
    )
    owner = changes.get("owner", "ovs_gre")
    return Port(name, bridge, (interface,), changes.get("protected", True), {MARK: owner} if owner else {})


def switch(*ports: Port, dead: t.Container[str] = ()) -> Switch:
    names = frozenset(one.name for one in ports if one.name not in dead)
    return Switch({"br0": "system", "br1": "system", "brn": "netdev"}, {one.name: one for one in ports}, names)


def want(name: str, remote: str, kind: str = "gre", **options: str) -> Tunnel:
    return Tunnel(name, kind, {"remote_ip": remote, **options})


def commands(plan: Plan) -> list[str]:
    return [shlex.join(words) for words in plan.transactions]


ADD_T1 = (
    "-- add-port br0 t1 protected=true external_ids:crosshost_overlay=ovs_gre "
    "-- set Interface t1 type=gre options:remote_ip=10.0.0.1"
)


@pytest.mark.parametrize(
    ("have", "wants", "transactions"),
    [
        ([], [want("t1", "10.0.0.1")], [ADD_T1]),
        ([port("t1", "10.0.0.1")], [want("t1", "10.0.0.1")], []),
        (
            [port("t1", "10.0.0.9", options={"ttl": "3", "egress_pkt_mark": "7"})],
            [want("t1", "10.0.0.1", key="5")],
            [
                "-- set Interface t1 options:remote_ip=10.0.0.1 options:key=5 -- remove Interface t1 options ttl",
            ],
        ),
        ([port("t1", "10.0.0.1", protected=False)], [want("t1", "10.0.0.1")], ["-- set Port t1 protected=true"]),
        (
            [port("t1", "10.0.0.1", type="vxlan")],
            [want("t1", "10.0.0.1")],
            ["-- set Interface t1 type=gre"],
        ),
        (
            [port("a", "10.0.0.1"), port("b", "10.0.0.2")],
            [want("a", "10.0.0.2"), want("b", "10.0.0.1")],
            ["-- set Interface a options:remote_ip=10.0.0.2 -- set Interface b options:remote_ip=10.0.0.1"],
        ),
        (
            [port("a", "10.0.0.1")],
            [want("a", "10.0.0.2"), want("t1", "10.0.0.1")],
            [
                "-- remove Interface a options remote_ip",
                "-- set Interface a options:remote_ip=10.0.0.2 " + ADD_T1,
            ],
        ),
        (
            [port("t1", "10.0.0.1", ofport=-1, error="could not add network device t1 to ofproto (File exists)")],
            [want("t1", "10.0.0.1")],
            ["-- remove Interface t1 options remote_ip", "-- set Interface t1 options:remote_ip=10.0.0.1"],
        ),
        ([port("t1")], [want("t1", "10.0.0.1")], ["-- set Interface t1 options:remote_ip=10.0.0.1"]),
    ],
    ids=[
        "create",
        "nothing-to-do",
        "drift-touches-only-what-differs",
        "protected",
        "type-in-place",
        "swap-in-one-transaction",
        "hand-over-needs-two",
        "dead-port-is-revived",
        "parked-by-an-interrupted-run",
    ],
)
def test_present(have: list[Port], wants: list[Tunnel], transactions: list[str]) -> None:
    assert commands(make_plan(switch(*have), Wish("br0", tuple(wants)))) == transactions


def test_silently_dead_port_is_revived() -> None:
    have = switch(port("t1", "10.0.0.1"), dead={"t1"})
    plan = make_plan(have, Wish("br0", (want("t1", "10.0.0.1"),)))
    assert len(plan.transactions) == 2
    assert plan.changed == ("t1",)


def test_the_whole_list_is_one_transaction() -> None:
    have = switch(port("gone", "10.0.9.9"), port("drift", "10.0.0.1", options={"csum": "true"}))
    wish = Wish("br0", (want("drift", "10.0.0.1"), want("t1", "10.0.0.2"), want("t2", "10.0.0.3")), purge=True)
    plan = make_plan(have, wish)
    assert len(plan.transactions) == 1
    assert (plan.created, plan.changed, plan.removed) == (("t1", "t2"), ("drift",), ("gone",))


@pytest.mark.parametrize("kind", ["gre", "vxlan"], ids=["same-identity", "another-identity"])
def test_a_removed_identity_is_taken_over_in_a_second_transaction(kind: str) -> None:
    wish = Wish("br0", (want("new", "10.0.0.1", kind),), purge=True)
    plan = make_plan(switch(port("old", "10.0.0.1")), wish)
    assert len(plan.transactions) == (2 if kind == "gre" else 1)
    assert shlex.join(plan.transactions[0]).startswith("-- --if-exists del-port br0 old")


@pytest.mark.parametrize(
    ("wish", "removed"),
    [
        (Wish("br0", (), purge=True), ["a", "b"]),
        (Wish("br0", (want("a", "10.0.0.1"),), purge=True), ["b"]),
        (Wish("br0", (want("a", "10.0.0.1"),)), []),
        (Wish("br0", (), absent=frozenset({"a"})), ["a"]),
        (Wish("br0", (), absent=frozenset({"a"}), purge=True), ["a", "b"]),
        (Wish("br0", (), absent=frozenset({"nosuch", "elsewhere"})), []),
        (Wish("br0", (), owner="other", purge=True), ["other"]),
        (Wish("br0", (), absent=frozenset({"by-hand"}), adopt=True), ["by-hand"]),
    ],
    ids=["all", "unlisted", "not-asked", "absent", "absent-and-purge", "gone-already", "owner", "adopt"],
)
def test_removal_touches_only_marked_tunnels_of_the_bridge(wish: Wish, removed: list[str]) -> None:
    have = switch(
        port("a", "10.0.0.1"),
        port("b", "10.0.0.2"),
        port("other", "10.0.0.3", owner="other"),
        port("by-hand", "10.0.0.4", owner=None),
        port("link", type="internal"),
        port("elsewhere", "10.0.0.5", bridge="br1"),
    )
    plan = make_plan(have, wish)
    assert list(plan.removed) == removed
    assert sum(words.count("del-port") for words in plan.transactions) == len(removed)


@pytest.mark.parametrize(
    ("have", "wish", "reason"),
    [
        (port("t1", "10.0.0.1", bridge="br1"), {}, "on bridge br1"),
        (port("t1", type="internal"), {}, "of type 'internal', not a tunnel"),
        (port("t1", type="internal"), {"adopt": True}, "of type 'internal', not a tunnel"),
        (port("t1", type=""), {}, "of type 'system'"),
        (port("t1", interface="else"), {}, "not a tunnel"),
        (port("bond", interface="t1"), {}, "member of port bond on bridge br0"),
        (port("t1", "10.0.0.1", owner=None), {}, "does not carry the mark"),
        (port("t1", "10.0.0.1", owner="other"), {}, "belongs to the owner 'other'"),
        (port("x", "10.0.0.1", owner=None), {}, "port x on bridge br0 already is the gre tunnel"),
        (port("x", "10.0.0.1", bridge="br1"), {"purge": True}, "port x on bridge br1 already is"),
        (port("x", "10.0.0.1", options={"key": "abc"}), {}, "port x on bridge br0 already is"),
        (port("x", "10.0.0.1", ofport=-1, error="dead"), {}, "port x on bridge br0 already is"),
    ],
    ids=str,
)
def test_refusals(have: Port, wish: dict[str, t.Any], reason: str) -> None:
    with pytest.raises(Refused) as caught:
        make_plan(switch(have), Wish("br0", (want("t1", "10.0.0.1"),), **wish))
    assert reason in "; ".join(caught.value.args[0])


def test_all_refusals_are_told_at_once() -> None:
    have = switch(port("t1", type="internal"), port("t2", "10.0.0.2", owner=None))
    with pytest.raises(Refused) as caught:
        make_plan(have, Wish("br0", (want("t1", "10.0.0.1"), want("t2", "10.0.0.2"), want("t3", "10.0.0.1"))))
    assert [reason.partition(":")[0] for reason in caught.value.args[0]] == ["t1", "t2", "t3"]


@pytest.mark.parametrize(
    "have",
    [port("by-hand", "10.0.0.1", owner=None), port("by-hand", type="internal")],
    ids=["not-ours", "no-tunnel"],
)
def test_absent_refuses_what_is_not_ours(have: Port) -> None:
    with pytest.raises(Refused):
        make_plan(switch(have), Wish("br0", (), absent=frozenset({"by-hand"})))


def test_adopt_sets_the_mark_and_corrects_the_rest() -> None:
    have = switch(port("t1", "10.0.0.1", owner=None, protected=False))
    plan = make_plan(have, Wish("br0", (want("t1", "10.0.0.1"),), adopt=True))
    assert commands(plan) == ["-- set Port t1 protected=true external_ids:crosshost_overlay=ovs_gre"]


def test_the_same_identity_on_another_datapath_is_no_duplicate() -> None:
    have = switch(port("x", "10.0.0.1", bridge="brn"))
    assert make_plan(have, Wish("br0", (want("t1", "10.0.0.1"),))).created == ("t1",)


def test_duplicates_within_the_list() -> None:
    with pytest.raises(Refused, match="the listed tunnel t1"):
        make_plan(switch(), Wish("br0", (want("t1", "10.0.0.1"), want("t2", "10.0.0.1", key="0"))))


def test_undo_brings_back_rows_and_quotes_what_needs_it() -> None:
    old = port("old", "10.0.0.1", protected=False)
    old = dataclasses.replace(old, external_ids={**old.external_ids, "note": 'a, "b"'})
    have = switch(old, port("drift", "10.0.0.2", options={"ttl": "3"}))
    wish = Wish("br0", (want("drift", "10.0.0.2"), want("new", "10.0.0.3")), purge=True)
    first, second = (shlex.join(words) for words in make_undo(have, make_plan(have, wish)))
    assert first == "-- --if-exists del-port new -- remove Interface drift options remote_ip"
    assert second == (
        "-- --may-exist add-port br0 old "
        "-- clear Interface old options -- set Interface old type=gre options:remote_ip=10.0.0.1 "
        "-- clear Port old external_ids -- set Port old protected=false external_ids:crosshost_overlay=ovs_gre "
        """'external_ids:note="a, \\"b\\""' """
        "-- clear Interface drift options -- set Interface drift type=gre options:remote_ip=10.0.0.2 options:ttl=3 "
        "-- clear Port drift external_ids -- set Port drift protected=true external_ids:crosshost_overlay=ovs_gre"
    )


def test_planning_is_linear() -> None:
    wants = tuple(want(f"t{number}", f"10.1.{number // 250}.{number % 250 + 1}") for number in range(5000))
    have = switch(*(port(one.name, one.options["remote_ip"], protected=False) for one in wants))
    plan = make_plan(have, Wish("br0", wants))
    assert len(plan.changed) == 5000
