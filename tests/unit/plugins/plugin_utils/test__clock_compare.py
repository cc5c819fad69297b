# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison of all clocks: which pair counts, which clock to follow, who is brought right, when to fail."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _clock_compare
from ansible_collections.crosshost.overlay.plugins.plugin_utils._clock_compare import Host, Limits, Report

LIMITS = Limits(1.0, 60.0)


def host(name: str, offset: float, bound: float = 0.0001, **changes: t.Any) -> Host:
    """A host with chrony."""
    values = {
        "daemon": "chrony",
        "installed": ("chrony",),
        "reference": "192.0.2.1",
        "sources": ("192.0.2.1",),
        **changes,
    }
    return Host(name, offset, bound, **values)


def bare(name: str, offset: float, **changes: t.Any) -> Host:
    """A host without a time daemon."""
    return host(name, offset, daemon="", installed=(), sources=(), **changes)


def compare(*hosts: Host, **changes: t.Any) -> Report:
    return _clock_compare.compare([item.name for item in hosts], hosts, LIMITS, **changes)


def test_well() -> None:
    report = compare(host("h1", 0.0), host("h2", 0.2), host("h3", 0.1))
    assert (report.pair, report.cures, report.over) == (("h1", "h2"), {}, False)
    assert report.skew == pytest.approx(0.2)
    assert report.bound == pytest.approx(0.0002)
    assert _clock_compare.problems(report) == []
    assert report.summary == "clock: hosts=3 skew=0.200000 bound=0.000200 between=h1,h2 max_skew=1 ok"


@pytest.mark.parametrize(
    ("offsets", "right"),
    [
        ((1200.0, 0.0), 0.0),
        ((0.1, 1200.0, 0.2), 0.1),
        ((500.0, 500.1), 500.0),
        ((500.0, 500.1, 500.2, -900.0), 500.0),
        ((7.0,), 0.0),
    ],
    ids=["the controller decides", "one of three", "the controller is off", "controller and one are off", "one host"],
)
def test_clock_to_follow(offsets: tuple[float, ...], right: float) -> None:
    """One clock that is off does not move it."""
    hosts = [host(f"h{number}", offset) for number, offset in enumerate(offsets)]
    assert _clock_compare.right(hosts)[0] == right


def test_synchronised_hosts_decide() -> None:
    """Two that are alike and wrong do not outvote one that has a source."""
    report = compare(host("h1", 0.0), host("h2", 0.0), host("h3", 50.0, synchronised=True))
    assert (report.reference, report.reference_name) == (50.0, "h3")
    assert {name: cure.correction for name, cure in report.cures.items()} == {"h1": 50.0, "h2": 50.0}


def test_the_source_decides() -> None:
    """It is right by definition, and not brought right."""
    report = compare(host("h1", 300.0), host("h2", 0.0), host("h3", 0.0, synchronised=True), source="h1")
    assert sorted(report.cures) == ["h2", "h3"]
    assert report.cures["h2"].correction == 300.0


@pytest.mark.parametrize("offset", [1.1, -5.0, 1200.0, 33166.0], ids=str)
def test_within_half_of_the_limit_of_one_clock_is_enough(offset: float) -> None:
    """Somebody is brought right whenever a pair is too far apart."""
    report = compare(host("h1", 0.0), host("h2", offset), host("h3", 0.3))
    assert set(report.cures) == {"h2"}
    assert report.cures["h2"].correction == pytest.approx(report.reference - offset)


def test_spread_around_the_middle() -> None:
    """Neither is far from the middle, but they are from each other."""
    report = compare(host("h1", -0.6), host("h2", 0.6), host("h3", 0.0))
    assert sorted(report.cures) == ["h1", "h2"]


def test_measurement_too_coarse_to_tell() -> None:
    """No cure on a guess; it is said."""
    report = compare(host("h1", 0.0), host("h2", 1.1, bound=0.5))
    assert (report.cures, report.over) == ({}, False)
    assert "cannot be told" in report.notes[0]


def test_pending_settings() -> None:
    report = compare(host("h1", 0.0, pending=("write x",), configures=True), host("h2", 0.0))
    assert report.cures["h1"].correction is None
    assert "write x" in report.cures["h1"].why


@pytest.mark.parametrize(
    ("item", "install"),
    [
        (bare("h2", 0.0), None),
        (bare("h2", 0.0, configures=True), True),
        (bare("h2", 99.0), True),
        (bare("h2", 99.0, settable=False), False),
        (host("h2", 99.0), False),
        (host("h2", 99.0, daemon=""), False),
    ],
    ids=["well", "servers given", "off", "container", "has one", "has one that does not run"],
)
def test_install(item: Host, install: bool | None) -> None:
    """Only where there is none, and only if there is a reason."""
    cure = compare(host("h1", 0.0), item).cures.get("h2")
    assert (cure.install if cure else None) is install


def test_too_far_and_nothing_to_be_done() -> None:
    """Before the cure it is not a failure yet."""
    hosts = (host("h1", 0.0), host("h2", 1200.0))
    assert _clock_compare.problems(compare(*hosts)) == []
    (problem,) = _clock_compare.problems(compare(*hosts, final=True))
    assert "h1 and h2 are 1200.000 s apart" in problem
    assert "clock_step" in problem


def test_container_too_far() -> None:
    hosts = (host("h1", 0.0), bare("h2", 1200.0, settable=False, why_not_settable="a container"))
    (problem,) = _clock_compare.problems(compare(*hosts, final=True))
    assert "on the machine that owns it" in problem
    assert "h2" in problem


def test_apart_but_not_too_far() -> None:
    """A warning."""
    report = compare(host("h1", 0.0), host("h2", 30.0), final=True)
    assert _clock_compare.problems(report) == []
    assert "more than max_skew" in report.notes[0]
    assert report.summary.endswith("apart")


def test_problems_of_hosts() -> None:
    report = compare(host("h1", 0.0, problems=("two daemons",)), host("h2", 0.0, problems=("no such zone",)))
    assert _clock_compare.problems(report) == ["h1: two daemons.", "h2: no such zone."]


def test_sources_that_disagree() -> None:
    report = compare(host("h1", 0.0, synchronised=True), host("h2", 9.0, synchronised=True, reference="192.0.2.2"))
    assert any("h1 (by 192.0.2.1) and h2 (by 192.0.2.2)" in note for note in report.notes)


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (bare("h1", 0.0), "has no time daemon"),
        (host("h1", 0.0, daemon=""), "chrony, which does not run"),
        (host("h1", 0.0), "not synchronised to 192.0.2.1"),
        (bare("h1", 0.0, settable=False), ""),
        (host("h1", 0.0, synchronised=True), ""),
    ],
    ids=["none", "stopped", "not synchronised", "container", "well"],
)
def test_notes(item: Host, says: str) -> None:
    notes = compare(item).notes
    assert says in notes[0] if says else not notes


def result(offset: float, epoch: float) -> dict[str, t.Any]:
    """As the module and the action return it."""
    now = dict.fromkeys(("offset", "error", "stratum"))
    now.update(
        daemon="chrony", daemons=[{"name": "chrony"}], synchronised=True, reference="x", sources=["x"], settable=True
    )
    return {"clock": {"offset": offset, "bound": 0.001, "epoch": epoch}, "time": {**now, "why_not_settable": ""}}


def test_controller_set_between_two_measurements() -> None:
    """Its monotonic clock went on; the hosts are as near as they were."""
    hosts = _clock_compare.hosts_of({"h1": result(5.0, 1000.0), "h2": result(-95.0, 1100.0)})
    assert [item.offset for item in hosts] == [5.0, 5.0]


def test_table() -> None:
    """Also hosts without a measurement."""
    hosts = (host("h1", 0.0, synchronised=True, error=0.01), bare("host-two", 5.0, settable=False))
    shown = _clock_compare.table(_clock_compare.compare(["h1", "host-two", "h3"], hosts, LIMITS)).splitlines()
    assert shown[0].split() == ["host", "offset", "[s]", "+/-", "time", "daemon", "settable"]
    assert "synchronised to 192.0.2.1 within 0.010000 s" in shown[1]
    assert shown[2].split()[:2] == ["host-two", "+5.000000"]
    assert shown[3] == "h3        not measured"


def test_nobody() -> None:
    report = _clock_compare.compare(["h1"], [], LIMITS)
    assert report.missing == ("h1",)
    assert report.cures == {}
