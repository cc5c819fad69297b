# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verdicts on pairs, and the text of the report."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._matrix import (
    SHOWN,
    TABLE_HOSTS,
    Report,
    build,
    failures_text,
    table,
    text,
)

HOSTS = ["h1", "h2", "h3"]
ADDRESS = {"h1": "10.50.1.2", "h2": "10.50.2.3", "h3": "10.50.3.4"}
WELL = {"ok": True, "error": None, "ms": 3.0}


def entry(name: str, address: str, **changes: t.Any) -> dict[str, t.Any]:
    measured = {"name": name, "address": address, "sent": 5, "received": 5, "duplicates": 0, "loss": 0.0, "note": None}
    return {**measured, "rtt_ms": {"min": 1.0, "median": 1.23, "max": 2.0}, "tcp": WELL, **changes}


def measured(hosts: t.Sequence[str], address: t.Mapping[str, str]) -> dict[str, t.Any]:
    return {
        host: {
            "probe": {"address": address[host]},
            "results": [entry(other, address[other]) for other in hosts if other != host],
        }
        for host in hosts
    }


def broken(**changes: t.Any) -> Report:
    """Return a report in which h1 -> h2 differs."""
    results = measured(HOSTS, ADDRESS)
    results["h1"]["results"][0].update(changes)
    return build(HOSTS, results, {})


LOST = {"received": 0, "loss": 100.0, "rtt_ms": None}
LARGE_LOST = {"bytes": 1350, "sent": 2, "received": 0}
TCP_STALLED = {"ok": False, "error": "stalled: 0 of 65536 bytes came back within 5.0 s", "ms": None}
LOOKUP = {"fqdn": "probe-h2.weave.local", "server": "172.17.0.1", "ok": False, "addresses": [], "tries": 20, "ms": None}


def test_all_well() -> None:
    report = build(HOSTS, measured(HOSTS, ADDRESS), {})
    assert report.ok
    assert text(report).splitlines() == [
        "from \\ to  h1        h2        h3",
        "h1         -         0% 1.2ms  0% 1.2ms",
        "h2         0% 1.2ms  -         0% 1.2ms",
        "h3         0% 1.2ms  0% 1.2ms  -",
        "Median round trips of 6 pairs: 1.2 to 1.2 ms, middle 1.2 ms.",
        "verify: hosts=3 pairs=6 ok=6 failed=0",
    ]


@pytest.mark.parametrize(
    ("changes", "cell", "reason", "remedy"),
    [
        pytest.param({**LOST, "tcp": TCP_STALLED}, "100% LOSS", "100% loss, TCP: stalled", "key", id="nothing passes"),
        pytest.param({**LOST, "tcp": None}, "100% LOSS", "100% loss", "key", id="nothing passes, no tcp test"),
        pytest.param(
            {**LOST, "note": "10.50.1.2 says: host unreachable"}, "100% LOSS", "host unreachable", "ICMP", id="note"
        ),
        pytest.param(LOST, "100% LOSS", "100% loss, but TCP works", "ICMP is filtered", id="icmp filtered"),
        pytest.param({"received": 4, "loss": 20.0}, "20% LOSS", "20% loss of 5 requests", "load", id="some loss"),
        pytest.param(
            {"received": 3, "loss": 40.0, "full_size": LARGE_LOST}, "MTU", "1350 bytes", "MTU is larger", id="mtu"
        ),
        pytest.param(
            {"received": 2, "loss": 60.0, "full_size": LARGE_LOST}, "60% LOSS", "60% loss of 5", "load", id="any size"
        ),
        pytest.param({"duplicates": 3}, "3 DUP", "3 duplicate answers", "loop", id="duplicates"),
        pytest.param({"duplicates": 3, "loss": 20.0}, "3 DUP", "3 duplicate answers", "loop", id="duplicates and loss"),
        pytest.param({"tcp": TCP_STALLED}, "TCP FAILED", "TCP failed: stalled: 0 of 65536", "offload", id="offload"),
        pytest.param(
            {"tcp": {"ok": False, "error": "Connection refused"}}, "TCP FAILED", "refused", "same port", id="port"
        ),
        pytest.param(
            {"lookup": {**LOOKUP, "error": "no such name"}},
            "NO NAME",
            "the name probe-h2.weave.local, asked of 172.17.0.1 on h1, does not resolve: no such name",
            "'weave status dns' on h1 and h2",
            id="no such name",
        ),
        pytest.param(
            {"lookup": {**LOOKUP, "error": "Connection refused"}},
            "NO NAME",
            "does not resolve: Connection refused",
            "Nothing serves names at 172.17.0.1 on h1",
            id="no name server",
        ),
        pytest.param(
            {"lookup": {**LOOKUP, "addresses": ["10.9.9.9"], "error": "10.9.9.9 instead of 10.50.2.3"}},
            "NO NAME",
            "gives 10.9.9.9 instead of 10.50.2.3",
            "Another container has that name",
            id="name of another",
        ),
        pytest.param(
            {**LOST, "lookup": {**LOOKUP, "error": "no answer"}},
            "100% LOSS",
            "100% loss",
            "ICMP",
            id="loss before name",
        ),
    ],
)
def test_faults(changes: dict[str, t.Any], cell: str, reason: str, remedy: str) -> None:
    report = broken(**changes)
    (pair,) = report.failed
    assert pair.cell == cell
    assert reason in pair.reason
    assert remedy in pair.remedy
    assert pair.sentence().startswith("h1 (10.50.1.2) -> h2 (10.50.2.3): ")
    assert report.summary == "verify: hosts=3 pairs=6 ok=5 failed=1"
    assert not report.ok


@pytest.mark.parametrize("lookup", [None, {**LOOKUP, "ok": True}], ids=["not asked", "right"])
def test_names_that_are_well(lookup: dict[str, t.Any] | None) -> None:
    assert broken(lookup=lookup).ok


@pytest.mark.parametrize(("max_loss", "ok"), [(0.0, False), (19.9, False), (20.0, True), (100.0, True)])
def test_max_loss(max_loss: float, ok: bool) -> None:
    results = measured(HOSTS, ADDRESS)
    results["h1"]["results"][0].update(received=4, loss=20.0)
    assert build(HOSTS, results, {}, max_loss).ok is ok


def test_host_that_never_started() -> None:
    results = measured(["h1", "h2"], ADDRESS)
    report = build(HOSTS, results, {"h3": "there is no Docker"})
    assert report.summary == "verify: hosts=3 pairs=6 ok=2 failed=4"
    assert "h3 took no part: there is no Docker" in text(report)
    assert "h1 (10.50.1.2) -> h3 (no address): not measured, h3 took no part. Solve what kept h3 out" in text(report)
    assert {pair.cell for pair in report.failed} == {"NOT RUN"}


def test_host_lost_after_its_probe_started() -> None:
    results = measured(HOSTS, ADDRESS)
    results["h3"] = {"unreachable": True, "msg": "timed out"}
    report = build(HOSTS, results, {})
    assert report.summary == "verify: hosts=3 pairs=6 ok=4 failed=2"
    assert "h3 took no part: timed out" in text(report)
    assert "h3 (10.50.3.4) -> h1 (10.50.1.2): not measured" in text(report)


def test_one_address_on_two_hosts_is_no_success() -> None:
    same = {**ADDRESS, "h2": ADDRESS["h1"]}
    report = build(HOSTS, measured(HOSTS, same), {})
    assert report.summary == "verify: hosts=3 pairs=6 ok=2 failed=4"
    assert {pair.cell for pair in report.failed} == {"TWICE"}
    assert "held by h1, h2" in text(report)


@pytest.mark.parametrize("hosts", [[], ["h1"]], ids=["none", "one"])
def test_no_pair_is_no_failure(hosts: list[str]) -> None:
    report = build(hosts, measured(hosts, ADDRESS), {})
    assert report.ok
    assert "no pair" in text(report)
    assert text(report).splitlines()[-1] == f"verify: hosts={len(hosts)} pairs=0 ok=0 failed=0"


def test_the_only_host_failed() -> None:
    report = build(["h1"], {}, {"h1": "there is no Docker"})
    assert not report.ok
    assert "h1 took no part: there is no Docker" in text(report)


def many(count: int) -> tuple[list[str], dict[str, t.Any]]:
    hosts = [f"n{number}" for number in range(count)]
    return hosts, measured(hosts, {host: f"10.50.0.{number}" for number, host in enumerate(hosts)})


def test_many_hosts_give_figures_and_failures_only() -> None:
    hosts, results = many(TABLE_HOSTS + 1)
    assert table(build(hosts, results, {})).splitlines() == [
        "Median round trips of 156 pairs: 1.2 to 1.2 ms, middle 1.2 ms."
    ]
    results["n0"]["results"][0].update(LOST)
    assert table(build(hosts, results, {})).splitlines()[0] == "n0 -> n1: 100% LOSS"


def test_text_stays_short_whatever_fails() -> None:
    hosts, results = many(90)
    for result in results.values():
        for item in result["results"]:
            item.update(LOST)
    report = build(hosts, results, {})
    assert report.summary == "verify: hosts=90 pairs=8010 ok=0 failed=8010"
    assert len(failures_text(report).splitlines()) == SHOWN + 1
    assert f"... and {8010 - SHOWN} more pairs" in failures_text(report)
    assert len(text(report).splitlines()) < 60
    lost = build(hosts, {}, {})
    assert f"... and {90 - SHOWN} more hosts" in failures_text(lost)


def test_measured_failures_come_before_those_of_absent_hosts() -> None:
    hosts, results = many(9)
    del results["n0"]
    results["n7"]["results"][-1].update(LOST)
    assert "n7 (10.50.0.7) -> n8" in failures_text(build(hosts, results, {})).splitlines()[1]
