# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on packets that were sent: what is left to say where no fault of a host explains the loss."""

from __future__ import annotations

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_packets
from ansible_collections.crosshost.overlay.tests.unit.plugins.plugin_utils.doctor_data import (
    Fault,
    check_complete,
    check_first,
    fires,
    found,
    pair,
    sent,
)

SWEPT = "2 of 6 pairs of containers do not answer: web (10.50.0.4) -> db (10.50.1.4)"
FIRES: list[Fault] = [
    ("address-twice", "gre", sent(pair("h1", "h2", "address_twice", "the address 10.50.0.2 is held by h1, h2")), "h1"),
    ("storm", "gre", sent(pair("h2", "h1", "storm", "1 request came back 4823 times")), "h2"),
    ("mtu-too-large", "gre", sent(pair("h2", "h1", "mtu", "packets of 1458 bytes are lost, small ones pass")), "h1"),
    (
        "weave-dns",
        "weave",
        sent(pair("h1", "h2", "name", "packets pass, but the name probe-h2.weave.local does not resolve")),
        "h1",
    ),
    ("packet-loss", "gre", sent(pair("h3", "h2", "loss", "100% loss")), "h2"),
    ("packet-loss", "gre", sent(pair("h3", "h2", "partial_loss", "20% loss of 5 requests")), "h2"),
    ("packet-duplicates", "gre", sent(pair("h3", "h2", "duplicates", "5 duplicate answers to 5 requests")), "h2"),
    ("fragments-lost", "gre", sent(pair("h3", "h2", "fragment", "a packet of 3200 bytes in fragments is lost")), "h2"),
    ("tcp-fails", "gre", sent(pair("h3", "h2", "tcp", "TCP failed: timed out")), "h2"),
    ("udp-fails", "gre", sent(pair("h3", "h2", "udp", "UDP failed: no answer")), "h2"),
    ("icmp-blocked", "gre", sent(pair("h3", "h2", "icmp_only", "100% loss, but TCP works")), "h2"),
    ("not-probed", "gre", sent(pair("h3", "h2", "not_run", "not measured")), "h2"),
    ("packet-loss", "gre", sent(pair("h3", "h2", "partial_loss", SWEPT, kind="container")), "h2"),
    ("packet-loss", "gre", sent(pair("h2", "h2", "loss", SWEPT, kind="container")), "h2"),
]


@fires(FIRES)
def test_names_the_fault_first(fault: Fault) -> None:
    check_first(*fault)


def test_existing_containers_are_told_apart_from_probes() -> None:
    lost = (pair("h1", "h2", "loss", "100% loss"), pair("h1", "h2", "loss", SWEPT, kind="container"))
    probes, containers = found("gre", sent(*lost))

    assert probes.summary == "no packet gets from h1 to h2"
    assert containers.summary == "no container of h1 gets an answer from one of h2"


def test_offloads_are_looked_at_on_the_card_of_the_underlay() -> None:
    lost = sent(pair("h1", "h2", "tcp", "TCP failed: timed out"))

    assert found("netdev", lost)[0].commands[0] == "h1$ ethtool -k br-phy | grep -E 'checksum|segmentation'"


def test_every_rule_has_a_case() -> None:
    check_complete(_doctor_packets, FIRES)
