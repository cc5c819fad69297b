# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The router's report, as a real 2.9.0 router printed it, and what is said about its links."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_faults, _weave_report, _weave_wait
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_report import Connection, Name, Owner, Peer

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "weave"


def report(name: str) -> dict[str, t.Any]:
    """A recorded report."""
    return json.loads((FIXTURES / f"report_{name}.json").read_text(encoding="utf-8"))


def test_two_routers() -> None:
    router = _weave_report.parse(report("two_h2"))
    assert (router.ready, router.version, router.name, router.nickname) == (True, "2.9.0", "02:00:00:00:00:02", "h2")
    assert (router.port, router.encryption, router.discovery) == (6783, False, True)
    assert router.targets == ("172.30.0.2",)
    assert router.peers == (Peer("02:00:00:00:00:01", "h1"), Peer("02:00:00:00:00:02", "h2"))
    assert router.connections == (
        Connection(
            "172.30.0.2:6783",
            True,
            "established",
            "sleeve 02:00:00:00:00:01(h1)",
            "sleeve",
            1438,
            False,
            "02:00:00:00:00:01",
        ),
    )
    assert router.ipam
    assert (router.ipam.range, router.ipam.status, router.ipam.primed) == (
        "10.32.0.0/12",
        "idle",
        False,
    )
    assert router.dns
    assert (router.dns.domain, router.dns.address, router.dns.entries) == (
        "weave.local.",
        "172.17.0.1:53",
        (),
    )


def test_encrypted_link() -> None:
    router = _weave_report.parse(report("encrypted"))
    link = router.connections[0]
    assert router.encryption
    assert (link.encrypted, link.mode, link.mtu, link.peer) == (True, "sleeve", 1414, "02:00:00:00:00:01")


def test_owners_that_are_gone() -> None:
    ipam = _weave_report.parse(report("fw_reject")).ipam
    assert ipam
    assert ipam.primed
    assert ipam.owners == (Owner("02:00:00:00:00:01", "", 1048576, False),)
    assert ipam.status == "all IP ranges owned by unreachable peers - use 'rmpeer' if they are dead"


@pytest.mark.parametrize(
    ("ipam", "status"),
    [
        pytest.param(
            {"Paxos": {"Elector": True, "Quorum": 2, "KnownNodes": 1}},
            "awaiting consensus (quorum: 2, known: 1)",
            id="quorum",
        ),
        pytest.param({"Paxos": {"Elector": False}}, "priming", id="observer"),
        pytest.param({"Paxos": None}, "idle", id="idle"),
        pytest.param({"Entries": [{"Peer": "a", "Size": 4, "IsKnownPeer": True}]}, "ready", id="ready"),
        pytest.param(
            {"Entries": [{"Peer": "a", "Size": 4, "IsKnownPeer": True}], "PendingAllocates": ["c"]},
            "waiting for IP(s) to become available",
            id="waiting",
        ),
    ],
)
def test_allocation_status(ipam: dict[str, t.Any], status: str) -> None:
    found = _weave_report.parse({**report("single"), "IPAM": ipam}).ipam
    assert found
    assert found.status == status


def test_shares_of_one_peer_add_up_and_dead_names_are_left_out() -> None:
    text = report("single")
    text["IPAM"]["Entries"] = [
        {"Peer": "a", "Size": 4, "IsKnownPeer": True},
        {"Peer": "a", "Size": 8, "IsKnownPeer": True},
    ]
    entry = {"Hostname": "x.weave.local.", "Address": "10.32.0.1", "Origin": "a", "ContainerID": "c1", "Tombstone": 0}
    text["DNS"]["Entries"] = [entry, {**entry, "Hostname": "old.weave.local.", "Tombstone": 1700000000}]
    router = _weave_report.parse(text)
    assert router.ipam
    assert router.ipam.owners[0].addresses == 12
    assert router.dns
    assert router.dns.entries == (Name("x.weave.local.", "10.32.0.1", "a", "c1"),)


def test_switched_off_services() -> None:
    router = _weave_report.parse({**report("single"), "IPAM": None, "DNS": None})
    assert (router.ipam, router.dns) == (None, None)


@pytest.mark.parametrize(
    ("name", "peer", "words", "remedy"),
    [
        pytest.param(
            "clock_skew", "172.31.0.2", "host clock skew of -1200s exceeds 900s limit", "bring them together", id="skew"
        ),
        pytest.param(
            "fw_reject", "172.30.0.2", "connect: no route to host", "open tcp 6783 and udp 6783-6784", id="reject"
        ),
        pytest.param(
            "pw_differs", "172.30.0.2", "Unable to decrypt TCP msg", "passwords of the two hosts differ", id="passwords"
        ),
        pytest.param(
            "pw_one_side", "172.30.0.2", "password specified, but peer requested", "172.30.0.2 has none", id="password"
        ),
        pytest.param(
            "unreachable", "172.30.0.9", "connecting for 9 s", "no answer on tcp 6783 of 172.30.0.9", id="drop"
        ),
    ],
)
def test_recorded_failures_are_explained(name: str, peer: str, words: str, remedy: str) -> None:
    problems, slow = _weave_wait.links(_weave_report.parse(report(name)), [peer], "for 9 s")
    assert len(problems) == 1
    assert not slow
    assert problems[0].startswith(f"{peer}: ")
    assert words in problems[0]
    assert remedy in problems[0]
    assert "retry: 2026" not in problems[0]


@pytest.mark.parametrize(
    ("info", "remedy"),
    [
        pytest.param(
            'local "a(x)" and remote "a(y)" peer names collision, retry: never', "name of its own", id="collision"
        ),
        pytest.param(
            "no password specificed, but peer requested an encrypted connection",
            "this host has none",
            id="password there",
        ),
        pytest.param(
            "dial tcp :0->192.0.2.1:6783: connect: connection refused", "see that the router runs there", id="refused"
        ),
        pytest.param("dial tcp :0->192.0.2.1:6783: connect: connection timed out", "firewall drops it", id="timeout"),
        pytest.param("timed out waiting for UDP heartbeat", "open udp 6783-6784", id="heartbeat"),
        pytest.param("no working forwarders to 02:00:00:00:00:01(h1)", "open udp 6783-6784", id="forwarders"),
        pytest.param("Connection limit reached (200)", "raise connection_limit", id="limit"),
        pytest.param(
            "IP allocation was seeded by different peers (received: [a], ours: [b])", "ipalloc_init", id="seed"
        ),
        pytest.param(
            "Incompatible IP allocation ranges (received: 10.1.0.0/16, ours: 10.2.0.0/16)", "one range", id="range"
        ),
        pytest.param(
            "Received update for IP range I own at 10.32.0.0 v2: incoming message says v3", "observer", id="owner"
        ),
        pytest.param(
            "dial tcp :0->192.0.2.1:6783: connect: network is unreachable", "no route to 192.0.2.1", id="network"
        ),
        pytest.param("remote version range [3,4] is incompatible with ours [1,2]", "upgrade the older", id="version"),
        pytest.param("something new", "docker logs weave", id="unknown"),
    ],
)
def test_every_known_text_has_its_remedy(info: str, remedy: str) -> None:
    link = Connection("192.0.2.1:6783", True, "failed", info, None, None, False, None)
    text = _weave_faults.explain_link([link], "192.0.2.1", 6783, "for 9 s")
    assert remedy in text
    assert info.partition(", retry")[0] in text


def test_pending_link_means_udp() -> None:
    link = Connection("192.0.2.1:7000", True, "pending", "encrypted   sleeve a(h1)", "sleeve", 65535, True, "a")
    text = _weave_faults.explain_link([link], "192.0.2.1", 7000, "for 9 s")
    assert (
        text
        == "192.0.2.1: pending for 9 s: tcp 7000 works and udp does not come through: open udp 7000-7001 between the hosts, in both directions"
    )


def test_peer_the_router_does_not_try() -> None:
    assert "lists no attempt" in _weave_faults.explain_link([], "192.0.2.1", 6783, "")


def test_link_the_other_end_opened_counts() -> None:
    router = _weave_report.parse(report("two_h2"))
    inbound = dataclasses.replace(router.connections[0], address="172.30.0.2:50881", outbound=False)
    assert _weave_wait.links(dataclasses.replace(router, connections=(inbound,)), ["172.30.0.2"], "")[0] == []


def test_second_link_to_one_peer_is_no_failure() -> None:
    router = _weave_report.parse(report("two_h2"))
    double = Connection(
        "198.51.100.7:6783",
        True,
        "failed",
        "Multiple connections to 02:00:00:00:00:01(h1) added to 02:00:00:00:00:02(h2), retry: x",
        None,
        None,
        False,
        None,
    )
    both = dataclasses.replace(router, connections=(*router.connections, double))
    assert _weave_wait.links(both, ["198.51.100.7"], "")[0] == []
    alone = dataclasses.replace(router, connections=(double,))
    assert len(_weave_wait.links(alone, ["198.51.100.7"], "")[0]) == 1


def test_slow_links_are_told_apart() -> None:
    problems, slow = _weave_wait.links(_weave_report.parse(report("two_h2")), ["172.30.0.2:6783"], "")
    assert problems == []
    assert len(slow) == 1
    assert "udp 6784" in slow[0]


@pytest.mark.parametrize(
    ("logs", "line"),
    [
        pytest.param("INFO: a\nFATA: b\nINFO: c", "FATA: b", id="fatal"),
        pytest.param("INFO: a\nERRO: b\nINFO: c", "ERRO: b", id="error"),
        pytest.param(
            "flag provided but not defined: --nosuch\nSee 'weave --help'.",
            "flag provided but not defined: --nosuch",
            id="flag",
        ),
        pytest.param("INFO: a\nINFO: b", "INFO: b", id="last"),
        pytest.param("\n", "", id="none"),
    ],
)
def test_last_words(logs: str, line: str) -> None:
    assert _weave_faults.last_words(logs) == line


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        pytest.param("All system IDs are blank", "option name", id="identity"),
        pytest.param(
            'Existing bridge type "bridge" is different than requested "bridged_fastdp"', "state=reset", id="bridge"
        ),
        pytest.param(
            "FATA: [boltDB] Unable to open /weavedb/weavedata.db: invalid database", "reset_force", id="database"
        ),
        pytest.param("listen tcp 0.0.0.0:6783: bind: address already in use", "ss -lntup", id="port"),
        pytest.param(
            "client version 1.18 is too old. Minimum supported API version is 1.24", "rajchaudhuri", id="engine"
        ),
        pytest.param("creating dummy interface: operation not supported", "CONFIG_DUMMY", id="dummy"),
        pytest.param("flag provided but not defined: --nosuch", "extra_args", id="flag"),
    ],
)
def test_launch_failures_have_a_remedy(text: str, remedy: str) -> None:
    assert remedy in (_weave_faults.launch_remedy(text) or "")
    assert _weave_faults.launch_remedy("all is well") is None
