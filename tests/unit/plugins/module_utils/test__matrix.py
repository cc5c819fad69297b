# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verdicts on pairs, and the text of the report."""

from __future__ import annotations

import json
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
WELL = {"ok": True, "error": None, "ms": 3.0, "bytes": 262144}
UDP_WELL = {"ok": True, "error": None, "bytes": 600, "sent": 2, "received": 2}
LARGE = {"bytes": 1350, "ok": True, "sent": 2, "received": 2, "above": {"bytes": 1351, "refused": True}}
CUT = {"bytes": 3200, "ok": True, "sent": 2, "received": 2}
CALM = {"sent": 3, "received": {}, "returned": 0, "copies": 1, "per_second": 2.0, "amplified": False}
STORM = {**CALM, "returned": 700, "copies": 700, "per_second": 1500.5, "amplified": True}


WHOLE = {"tcp": WELL, "udp": UDP_WELL, "mtu": LARGE, "fragmented": CUT, "kind": "host"}


def entry(name: str, address: str, **changes: t.Any) -> dict[str, t.Any]:
    measured = {"name": name, "address": address, "sent": 5, "received": 5, "duplicates": 0, "loss": 0.0, "note": None}
    return {**measured, "rtt_ms": {"min": 1.0, "median": 1.23, "max": 2.0}, **WHOLE, **changes}


def measured(hosts: t.Sequence[str], address: t.Mapping[str, str]) -> dict[str, t.Any]:
    return {
        host: {
            "probe": {"address": address[host]},
            "broadcast": CALM,
            "results": [entry(other, address[other]) for other in hosts if other != host],
        }
        for host in hosts
    }


def broken(**changes: t.Any) -> Report:
    """Return a report in which h1 -> h2 differs."""
    results = measured(HOSTS, ADDRESS)
    results["h1"]["results"][0].update(changes)
    return build(HOSTS, results, {})


LARGE_LOST = {**LARGE, "ok": False, "received": 0}
CUT_LOST = {**CUT, "ok": False, "received": 0}
UDP_LOST = {**UDP_WELL, "ok": False, "error": "no answer within 2 s", "received": 0}
LOST = {
    "received": 0,
    "loss": 100.0,
    "rtt_ms": None,
    "mtu": LARGE_LOST,
    "fragmented": CUT_LOST,
    "udp": UDP_LOST,
}
TCP_STALLED = {"ok": False, "error": "stalled: 0 of 262144 bytes came back within 5.0 s", "ms": None}
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
    ("changes", "fault", "cell", "reason", "remedy"),
    [
        pytest.param(
            {**LOST, "tcp": TCP_STALLED}, "loss", "100% LOSS", "100% loss, TCP: stalled", "key", id="nothing passes"
        ),
        pytest.param({**LOST, "tcp": None}, "loss", "100% LOSS", "100% loss", "key", id="nothing passes, no tcp test"),
        pytest.param(
            {**LOST, "note": "10.50.1.2 says: host unreachable"},
            "icmp_only",
            "100% LOSS",
            "host unreachable",
            "ICMP",
            id="note",
        ),
        pytest.param(
            LOST, "icmp_only", "100% LOSS", "100% loss, but TCP works", "ICMP is filtered", id="icmp filtered"
        ),
        pytest.param(
            {"received": 4, "loss": 20.0}, "partial_loss", "20% LOSS", "20% loss of 5 requests", "load", id="some loss"
        ),
        pytest.param({"mtu": LARGE_LOST}, "mtu", "MTU", "1350 bytes", "MTU is larger", id="mtu"),
        pytest.param(
            {"received": 2, "loss": 60.0, "mtu": LARGE_LOST},
            "partial_loss",
            "60% LOSS",
            "60% loss of 5",
            "load",
            id="any size",
        ),
        pytest.param({"duplicates": 3}, "duplicates", "3 DUP", "3 duplicate answers", "loop", id="duplicates"),
        pytest.param(
            {"duplicates": 3, "loss": 20.0},
            "duplicates",
            "3 DUP",
            "3 duplicate answers",
            "loop",
            id="duplicates and loss",
        ),
        pytest.param(
            {"tcp": TCP_STALLED}, "tcp", "TCP FAILED", "TCP failed: stalled: 0 of 262144", "offload", id="offload"
        ),
        pytest.param(
            {"tcp": {"ok": False, "error": "Connection refused"}},
            "tcp",
            "TCP FAILED",
            "refused",
            "same port",
            id="port",
        ),
        pytest.param(
            {"lookup": {**LOOKUP, "error": "no such name"}},
            "name",
            "NO NAME",
            "the name probe-h2.weave.local, asked of 172.17.0.1 on h1, does not resolve: no such name",
            "'weave status dns' on h1 and h2",
            id="no such name",
        ),
        pytest.param(
            {"lookup": {**LOOKUP, "error": "Connection refused"}},
            "name",
            "NO NAME",
            "does not resolve: Connection refused",
            "Nothing serves names at 172.17.0.1 on h1",
            id="no name server",
        ),
        pytest.param(
            {"lookup": {**LOOKUP, "addresses": ["10.9.9.9"], "error": "10.9.9.9 instead of 10.50.2.3"}},
            "name",
            "NO NAME",
            "gives 10.9.9.9 instead of 10.50.2.3",
            "Another container has that name",
            id="name of another",
        ),
        pytest.param(
            {**LOST, "lookup": {**LOOKUP, "error": "no answer"}},
            "icmp_only",
            "100% LOSS",
            "100% loss",
            "ICMP",
            id="loss before name",
        ),
        pytest.param(
            {"mtu": {**LARGE, "above": {"bytes": 1351, "refused": False}}},
            "mtu",
            "MTU",
            "1351 bytes passes",
            "another MTU",
            id="one byte too many",
        ),
        pytest.param(
            {"fragmented": CUT_LOST},
            "fragment",
            "FRAGMENTS",
            "3200 bytes, which are fragmented",
            "drops fragments",
            id="fragments",
        ),
        pytest.param(
            {"mtu": LARGE_LOST, "fragmented": CUT_LOST},
            "mtu",
            "MTU",
            "1350 bytes",
            "MTU is larger",
            id="mtu before fragments",
        ),
        pytest.param({"udp": UDP_LOST}, "udp", "UDP FAILED", "600 bytes failed: no answer", "UDP port", id="udp"),
        pytest.param(
            {"udp": {**UDP_LOST, "error": "10.50.2.3 says: port unreachable"}},
            "udp",
            "UDP FAILED",
            "port unreachable",
            "same port",
            id="udp port",
        ),
        pytest.param(
            {"tcp": TCP_STALLED, "udp": UDP_LOST}, "tcp", "TCP FAILED", "stalled", "offload", id="tcp before udp"
        ),
        pytest.param(
            {**LOST, "tcp": None, "udp": UDP_WELL},
            "icmp_only",
            "100% LOSS",
            "but UDP works",
            "ICMP is filtered",
            id="udp passes",
        ),
        pytest.param(
            {**LOST, "udp": UDP_WELL},
            "icmp_only",
            "100% LOSS",
            "but TCP and UDP work",
            "ICMP is filtered",
            id="tcp and udp pass",
        ),
    ],
)
def test_faults(changes: dict[str, t.Any], fault: str, cell: str, reason: str, remedy: str) -> None:
    report = broken(**changes)
    (pair,) = report.failed
    assert (pair.fault, pair.cell) == (fault, cell)
    assert reason in pair.reason
    assert remedy in pair.remedy
    assert pair.sentence().startswith("h1 (10.50.1.2) -> h2 (10.50.2.3): ")
    assert report.summary == "verify: hosts=3 pairs=6 ok=5 failed=1"
    assert not report.ok


@pytest.mark.parametrize("lookup", [None, {**LOOKUP, "ok": True}], ids=["not asked", "right"])
def test_names_that_are_well(lookup: dict[str, t.Any] | None) -> None:
    assert broken(lookup=lookup).ok


def test_what_was_lost_by_chance_is_told() -> None:
    """By whom and how much; it is no failure."""
    report = broken(sent=20, received=20, first={"sent": 5, "received": 4})
    assert report.ok
    told = "h1 -> h2 lost 1 of 5 requests at first, and none when asked again."
    assert text(report).splitlines()[-2:] == [told, "verify: hosts=3 pairs=6 ok=6 failed=0"]


def test_large_packets_lost_by_chance_are_told() -> None:
    report = broken(sent=20, received=20, first={"sent": 5, "received": 5})
    assert report.ok
    assert "h1 -> h2 lost large packets, fragments or datagrams at first, and none when asked again." in text(report)
    lasting = broken(sent=20, received=20, mtu=LARGE_LOST, first={"sent": 5, "received": 5})
    assert [pair.fault for pair in lasting.failed] == ["mtu"]
    assert "at first" not in text(lasting)


def test_a_loss_that_lasts_is_told_with_the_first() -> None:
    report = broken(sent=20, received=16, loss=20.0, first={"sent": 5, "received": 4})
    (pair,) = report.failed
    assert pair.reason == "20% loss of 20 requests, and 1 of 5 lost before"
    assert "at first" not in text(report)
    results = measured(HOSTS, ADDRESS)
    results["h1"]["results"][0].update(sent=20, received=16, loss=20.0, first={"sent": 5, "received": 4})
    allowed = build(HOSTS, results, {}, 20.0)
    assert allowed.ok
    assert "when asked again" not in text(allowed)


@pytest.mark.parametrize(("max_loss", "ok"), [(0.0, False), (19.9, False), (20.0, True), (100.0, True)])
def test_max_loss(max_loss: float, ok: bool) -> None:
    results = measured(HOSTS, ADDRESS)
    results["h1"]["results"][0].update(received=4, loss=20.0)
    assert build(HOSTS, results, {}, max_loss).ok is ok


def test_all_may_be_lost_if_asked_for() -> None:
    results = measured(HOSTS, ADDRESS)
    results["h1"]["results"][0].update({**LOST, "udp": UDP_WELL})
    assert build(HOSTS, results, {}, 100.0).ok


@pytest.mark.parametrize("kind", ["tcp", "udp", "mtu", "fragmented"])
def test_what_was_not_looked_at_is_well(kind: str) -> None:
    assert broken(**{kind: None}).ok


def test_no_size_above_is_no_fault() -> None:
    assert broken(mtu={**LARGE, "above": None}).ok


def test_a_storm_explains_all_else() -> None:
    results = measured(HOSTS, ADDRESS)
    results["h1"]["broadcast"] = STORM
    results["h1"]["results"][0].update(LOST)
    report = build(HOSTS, results, {})
    assert [(pair.source, pair.fault, pair.cell) for pair in report.failed] == [("h1", "storm", "STORM")] * 2
    assert "700 copies of one broadcast reached the probe on h1, 1500.5 a second" in report.failed[0].reason
    assert "Break the loop" in report.failed[0].remedy
    assert report.failed[0].measured["broadcast"] == STORM
    assert "STORM" in table(report)


def with_local(**changes: t.Any) -> Report:
    """Return a report with second probes, in which the way within h1 differs."""
    results = measured(HOSTS, ADDRESS)
    for host in HOSTS:
        results[host]["results"].append(entry("crosshost-probe-2", "10.50.9.9", kind="same_host"))
    results["h1"]["results"][-1].update(changes)
    return build(HOSTS, results, {})


def test_pairs_within_a_host() -> None:
    report = with_local()
    assert report.ok
    assert report.summary == "verify: hosts=3 pairs=6 ok=6 failed=0"
    assert [(pair.source, pair.target, pair.kind) for pair in report.local] == [
        (host, host, "same_host") for host in HOSTS
    ]
    assert table(report) == table(build(HOSTS, measured(HOSTS, ADDRESS), {}))


def test_a_pair_within_a_host_that_fails() -> None:
    report = with_local(**LOST, tcp=TCP_STALLED)
    assert not report.ok
    assert report.failed == []
    assert report.summary == "verify: hosts=3 pairs=6 ok=6 failed=0 local_failed=1"
    assert table(report).splitlines()[1].split() == ["h1", "100%", "LOSS", "0%", "1.2ms", "0%", "1.2ms"]
    assert "h1 (10.50.1.2) -> h1 (10.50.9.9): 100% loss" in text(report)
    assert "Nothing passes between two containers of h1: look at its bridge" in text(report)


def test_a_target_named_like_a_second_probe_keeps_its_address() -> None:
    hosts = ["h1", "crosshost-probe-2"]
    results = measured(hosts, {"h1": "10.50.1.2", "crosshost-probe-2": "10.50.2.3"})
    results["h1"]["results"].append(entry("crosshost-probe-2", "10.50.9.9", kind="same_host"))
    results["h1"]["results"].reverse()
    report = build(hosts, results, {})
    assert (report.pairs[0].target_address, report.pairs[0].measured["address"]) == ("10.50.2.3", "10.50.2.3")
    del results["crosshost-probe-2"]
    assert build(hosts, results, {}).pairs[0].target_address == "10.50.2.3"


def swept(target: str, **changes: t.Any) -> dict[str, t.Any]:
    found = {"name": target, "kind": "container", "sources": 30, "targets": 30, "pairs": 900, "answered": 900}
    return {**found, "loss": 0.0, "rtt_ms": {"min": 0.1, "median": 0.44, "max": 9.0}, "failed": [], **changes}


def with_containers(**changes: t.Any) -> Report:
    results = measured(HOSTS, ADDRESS)
    results["h1"]["containers"] = [swept("h1", pairs=870, answered=870), swept("h2", **changes)]
    results["h2"]["containers"] = []
    results["h3"]["containers"] = None
    return build(HOSTS, results, {})


def test_existing_containers() -> None:
    report = with_containers()
    assert report.ok
    assert report.summary == "verify: hosts=3 pairs=6 ok=6 failed=0"
    assert [(pair.target, pair.cell, pair.rtt_ms) for pair in report.containers] == [
        ("h1", "870 0.4ms", 0.44),
        ("h2", "900 0.4ms", 0.44),
    ]
    assert "Of 1770 pairs of existing containers 1770 answered." in table(report)


@pytest.mark.parametrize(("answered", "fault", "more"), [(880, "partial_loss", "17"), (0, "loss", "897")])
def test_existing_containers_that_do_not_answer(answered: int, fault: str, more: str) -> None:
    ends = {"source_address": "10.50.1.9", "target_address": "10.50.2.9", "note": "Network is unreachable"}
    failed = [{"source": f"a{number}", "target": f"b{number}", **ends} for number in range(20)]
    report = with_containers(answered=answered, loss=2.2, failed=failed)
    assert not report.ok
    assert report.summary.endswith(f" failed=0 containers_failed={900 - answered}")
    (pair,) = report.all_failed
    assert (pair.kind, pair.fault, pair.measured["failed"]) == ("container", fault, failed)
    assert "h1 (30 containers) -> h2 (30 containers)" in pair.sentence()
    assert "a0 (10.50.1.9) -> b0 (10.50.2.9) (Network is unreachable), a1" in pair.reason
    assert pair.reason.endswith(f"and {more} more")


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(build(HOSTS, measured(HOSTS, ADDRESS), {}), id="well"),
        pytest.param(build(HOSTS, measured(["h1", "h2"], ADDRESS), {"h3": "no Docker"}), id="host missing"),
        pytest.param(with_local(**LOST), id="within a host"),
        pytest.param(with_containers(answered=3), id="containers"),
    ],
)
def test_there_and_back_again(report: Report) -> None:
    found = json.loads(json.dumps(report.as_dict()))
    assert found["summary"] == report.summary
    again = Report.from_dict(found)
    assert again == report
    assert text(again) == text(report)


def test_a_dictionary_without_what_was_added_later() -> None:
    assert Report.from_dict({"hosts": ["h1"], "pairs": []}) == Report(("h1",), (), {})


def test_host_that_never_started() -> None:
    results = measured(["h1", "h2"], ADDRESS)
    report = build(HOSTS, results, {"h3": "there is no Docker"})
    assert report.summary == "verify: hosts=3 pairs=6 ok=2 failed=4"
    assert "h3 took no part: there is no Docker" in text(report)
    assert "h1 (10.50.1.2) -> h3 (no address): not measured, h3 took no part. Solve what kept h3 out" in text(report)
    assert {(pair.cell, pair.fault) for pair in report.failed} == {("NOT RUN", "not_run")}


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
    assert {(pair.cell, pair.fault) for pair in report.failed} == {("TWICE", "address_twice")}
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
