# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Peer names and seeds: stable, unique, and never changed by who is reached."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils._weave_names import (
    WeaveHost,
    decide_inits,
    decide_names,
    derived,
    normal,
    seeds,
    shown,
)

A, B, C, D = (f"02:00:00:00:00:0{number}" for number in range(1, 5))
ALL = f"seed={A},{B},{C}"


def host(number: int, pin: str | None = None, limited: bool = False, **weave: t.Any) -> WeaveHost:
    """Host number of the group, with what weave_info says; limited hosts are not reached."""
    info = None if limited else {}
    return WeaveHost(f"h{number}", f"192.0.2.{number}", info, pin, limited, None if limited else weave)


def lives(name: str, init: str = "", primed: bool = True, **more: t.Any) -> dict[str, t.Any]:
    """A host whose router runs under that name."""
    return {
        "router": {"name": name},
        "launch": {"name": name, "ipalloc_init": init},
        "record": {"name": name, "init": init} if init else {},
        "ipam": {"primed": primed},
        "database": True,
        **more,
    }


def test_derived_name_is_the_same_in_every_run() -> None:
    """It is in the record of every network; another rule would rename all peers."""
    assert derived("h1") == "02:33:11:2e:e1:4e"
    assert derived("h2") != derived("h1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("02:00:00:00:00:0A", "02:00:00:00:00:0a", id="in-full"),
        pytest.param("::3", "00:00:00:00:00:03", id="short"),
        pytest.param("2::1f:3", "02:00:00:00:1f:03", id="short-in-the-middle"),
        pytest.param("02:00:00::", "02:00:00:00:00:00", id="short-at-the-end"),
        pytest.param("03:00:00:00:00:01", None, id="multicast"),
        pytest.param("::", None, id="all-zero"),
        pytest.param("zz", None, id="no-address"),
        pytest.param("02:00:00:00:00", None, id="five-bytes"),
        pytest.param("02:00:00:00:00:01:02", None, id="seven-bytes"),
        pytest.param("1::2::3", None, id="twice-short"),
        pytest.param("02:00:00:00:00:01 $(id)", None, id="shell"),
    ],
)
def test_normal(text: str, expected: str | None) -> None:
    """The forms the router takes, written in one way."""
    assert normal(text) == expected


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(host(1, A, **lives(A)), A, id="pinned"),
        pytest.param(host(1, **lives(B)), B, id="live"),
        pytest.param(host(1, router={"name": B}), B, id="live-without-arguments"),
        pytest.param(host(1, record={"name": B}), B, id="recorded"),
        pytest.param(host(1), derived("h1"), id="derived"),
        pytest.param(host(1, limited=True), derived("h1"), id="derived-out-of-reach"),
        pytest.param(host(1, "::1", limited=True), "00:00:00:00:00:01", id="pinned-out-of-reach"),
    ],
)
def test_name(one: WeaveHost, expected: str) -> None:
    """Pinned, else living, else made of the inventory name."""
    assert decide_names([one], False) == ({"h1": expected}, [])


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        pytest.param([host(1, A), host(2, A)], f"hosts 'h1' and 'h2' have the same peer name {A}", id="pinned-twice"),
        pytest.param([host(1, A), host(2, "2::1")], f"same peer name {A}", id="pinned-twice-in-other-words"),
        pytest.param([host(1, **lives(A)), host(2, **lives(A))], "set weave_allow_rename", id="clones-that-run"),
        pytest.param([host(1, "nonsense")], "overlay_weave_name 'nonsense' of host 'h1' is no peer name", id="bad-pin"),
        pytest.param([host(1, B, **lives(A))], f"is not the name {A} it has in the network", id="rename"),
    ],
)
def test_name_problem(hosts: list[WeaveHost], reason: str) -> None:
    """Before any router starts under it."""
    problems = decide_names(hosts, False)[1]
    assert len(problems) == 1
    assert reason in problems[0]


def test_rename_that_was_asked_for() -> None:
    """The option names it."""
    assert decide_names([host(1, B, **lives(A))], True) == ({"h1": B}, [])


@pytest.mark.parametrize(
    ("hosts", "names"),
    [
        pytest.param([host(1, **lives(A)), host(2, **lives(A))], {"h1": A, "h2": derived("h2")}, id="clones"),
        pytest.param(
            [host(1, **lives(derived("h2"))), host(2, **lives(derived("h2")))],
            {"h1": derived("h1"), "h2": derived("h2")},
            id="the-first-took-the-name-of-the-second",
        ),
        pytest.param(
            [host(1), host(3, **lives(derived("h1")))],
            {"h1": derived("h1"), "h3": derived("h3")},
            id="the-other-is-not-reached",
        ),
        pytest.param([host(1, **lives(A)), host(2, A)], {"h1": derived("h1"), "h2": A}, id="one-is-pinned"),
    ],
)
def test_twins_are_told_apart_where_that_is_allowed(hosts: list[WeaveHost], names: dict[str, str]) -> None:
    """One keeps the name, without a change of the inventory."""
    assert decide_names(hosts, True) == (names, [])


NEW = [host(1, A), host(2, B), host(3, C)]


@pytest.mark.parametrize(
    ("hosts", "wish", "expected"),
    [
        pytest.param(NEW, "", {"h1": ALL, "h2": ALL, "h3": ALL}, id="new-network"),
        pytest.param(NEW, "consensus=3", dict.fromkeys(("h1", "h2", "h3"), "consensus=3"), id="asked-for"),
        pytest.param(
            [host(1, A, **lives(A, ALL)), host(2, B, **lives(B, ALL)), host(3, C, **lives(C, ALL)), host(4, D)],
            "",
            {"h1": ALL, "h2": ALL, "h3": ALL, "h4": "observer"},
            id="joins-later",
        ),
        pytest.param(
            [host(1, A, **lives(A, ALL, primed=False)), host(2, B), host(3, C)],
            "",
            {"h1": ALL, "h2": ALL, "h3": ALL},
            id="first-run-was-cut-off",
        ),
        pytest.param(
            [host(1, A, **lives(A, ALL)), host(2, B, **lives(B, ALL)), host(3, C)],
            "",
            {"h1": ALL, "h2": ALL, "h3": "observer"},
            id="seed-lost-its-database",
        ),
        pytest.param(
            [host(1, A, record={"name": A, "init": ALL}, database=True), host(3, C)],
            "",
            {"h1": ALL, "h3": "observer"},
            id="seed-lost-its-database-while-the-others-are-stopped",
        ),
        pytest.param(
            [host(1, A, **lives(A, ALL)), host(4, D, **lives(D, "observer")), host(2, B, limited=True)],
            "",
            {"h1": ALL, "h4": "observer", "h2": "observer"},
            id="observers-stay-observers",
        ),
        pytest.param(
            [host(1, A, record={"name": A, "init": ALL}), host(2, B)],
            "",
            {"h1": ALL, "h2": ALL},
            id="record-without-database",
        ),
        pytest.param(
            [host(1, A, database=True), host(2, B, **lives(B, ALL))],
            "",
            {"h1": "observer", "h2": ALL},
            id="database-without-record-or-router",
        ),
        pytest.param(
            [host(1, A, **lives(A)), host(2, B)], "", {"h1": "", "h2": "observer"}, id="joins-a-network-made-by-hand"
        ),
        pytest.param(
            [host(1, A, **lives(A, primed=False)), host(2, B, **lives(B)), host(3, C)],
            "",
            {"h1": "", "h2": "", "h3": "observer"},
            id="joins-a-network-of-which-one-host-knows",
        ),
        pytest.param(
            [host(1, A, launch={"name": A, "ipalloc_init": ALL}), host(2, B, limited=True), host(4, D)],
            "",
            {"h1": ALL, "h2": ALL, "h4": "observer"},
            id="router-without-database",
        ),
        pytest.param(
            [host(1, A, router={"name": A}, database=False), host(2, B, limited=True)],
            "",
            {"h1": "", "h2": ""},
            id="router-without-arguments",
        ),
        pytest.param(
            [host(1, A, **lives(A, ALL)), host(4, D)],
            "consensus=2",
            {"h1": ALL, "h4": "consensus=2"},
            id="told-to-join",
        ),
        pytest.param(
            [host(1, A, **lives(A, ALL)), host(4, D)], ALL, {"h1": ALL, "h4": "observer"}, id="same-seeds-asked-for"
        ),
        pytest.param(
            [host(1, A, **lives(A, "consensus=2", primed=False)), host(2, B)],
            "",
            {"h1": "consensus=2", "h2": "consensus=2"},
            id="consensus-not-reached-yet",
        ),
        pytest.param(
            [host(1, A, limited=True), host(2, B)],
            "observer",
            {"h1": "observer", "h2": "observer"},
            id="limit-and-told",
        ),
        pytest.param(
            [host(1, A, limited=True), host(2, B, **lives(B, ALL)), host(4, D)],
            "",
            {"h1": "observer", "h2": ALL, "h4": "observer"},
            id="limit-and-one-that-knows",
        ),
    ],
)
def test_inits(hosts: list[WeaveHost], wish: str, expected: dict[str, str]) -> None:
    """The first list of seeds is kept for ever, whoever joins, leaves or loses its data."""
    names = decide_names(hosts, False)[0]
    assert decide_inits(hosts, names, wish) == (expected, [])


def test_hosts_out_of_reach_are_seeds_of_a_new_network() -> None:
    """They are down, not left out: their names are known, and they join with the same list."""
    down = WeaveHost("h3", "192.0.2.3", None, C)
    assert decide_inits([host(1, A), host(2, B), down], {"h1": A, "h2": B, "h3": C}, "")[0]["h1"] == ALL


@pytest.mark.parametrize(
    ("hosts", "wish", "reason"),
    [
        pytest.param(NEW, "seed", "weave_ipalloc_init 'seed' is neither", id="no-seed"),
        pytest.param(NEW, "consensus=0", "is neither", id="no-quorum"),
        pytest.param(NEW, "observer --help", "is neither", id="more-words"),
        pytest.param(
            [host(1, A, **lives(A, f"seed={A},{B}")), host(2, B, **lives(B, f"seed={A},{C}"))],
            "",
            f"host 'h1' by {A}, {B}; host 'h2' by {A}, {C}. Reset the one",
            id="two-networks",
        ),
        pytest.param(
            [host(1, A, **lives(A, f"seed={A},{B}")), host(2, B)],
            f"seed={B},{C}",
            f"the network of host 'h1' was started with {A}, {B}",
            id="other-seeds-asked-for",
        ),
        pytest.param(
            [host(1, A, limited=True), host(2, B)], "", "whether h2 join(s) a network that h1 have", id="limit"
        ),
    ],
)
def test_init_problem(hosts: list[WeaveHost], wish: str, reason: str) -> None:
    """Networks seeded by different peers never connect, so none is started."""
    inits, problems = decide_inits(hosts, decide_names(hosts, False)[0], wish)
    assert inits == {}
    assert reason in problems[0]


def test_only_one_of_the_two_readers_got_through() -> None:
    """Then the host counts as not reached."""
    assert not WeaveHost("h1", "192.0.2.1", {}).reached
    assert not WeaveHost("h1", "192.0.2.1", None, weave={}).reached
    assert WeaveHost("h1", "192.0.2.1", {}, weave={}).reached


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        pytest.param(4, "a, b, c, d", id="all"),
        pytest.param(6, "a, b, c, d and 2 more", id="some"),
    ],
)
def test_shown(count: int, expected: str) -> None:
    """Few enough to read."""
    assert shown(reversed("abcdef"[:count])) == expected


def test_the_order_of_seeds_means_nothing() -> None:
    """Nor does the way a name is written."""
    assert seeds(f"seed={B},2::1") == seeds(f"seed={A},{B}")
    assert seeds("observer") == frozenset()
