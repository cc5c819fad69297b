# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What somebody changes by hand is predicted exactly, named by verify, and repaired."""

from __future__ import annotations

import itertools
import re

import pytest
from overlay_helpers import GROUP, NAMES, UNDERLAY, App, play
from testinfra.host import Host

RUN = "crosshost.overlay.ovs_gre : Run | "
TUNNELS, BRIDGE = (
    f"{RUN}Make the tunnels to the other hosts",
    f"{RUN}Make the bridge and tie it to Docker and the underlay",
)
FIRST, SECOND, LAST = NAMES[0], NAMES[1], NAMES[-1]


OVS = "ovs-vsctl --timeout=15"

# One thing on each host at a time: so each prediction is that of one drift, and three runs serve three of them.
ROUNDS = {
    "tunnels": {
        FIRST: (f"{OVS} set Interface gre-{SECOND} options:key=9", TUNNELS),
        SECOND: (f"{OVS} del-port gre-{FIRST}", TUNNELS),
        LAST: (f"{OVS} set Port gre-{FIRST} protected=false", TUNNELS),
    },
    "bridge": {
        FIRST: ("ip link set ovl-link nomaster", BRIDGE),
        SECOND: (f"{OVS} set Interface ovl-link mtu_request=1400", BRIDGE),
        LAST: ("systemctl disable crosshost-overlay.service", BRIDGE),
    },
    "others": {
        FIRST: (f"{OVS} set Interface gre-{SECOND} options:ttl=3", TUNNELS),
        SECOND: ("rm /usr/local/lib/crosshost-overlay/attach.py", BRIDGE),
        LAST: ("sysctl -qw net.ipv4.conf.eth1.rp_filter=0", BRIDGE),
    },
}


@pytest.mark.parametrize("drifts", ROUNDS.values(), ids=ROUNDS.keys())
def test_drift_is_predicted_and_repaired(
    hosts: dict[str, Host], apps: dict[str, App], drifts: dict[str, tuple[str, str]]
) -> None:
    """Check mode names exactly the tasks and hosts that the run then changes; after it all is well."""
    for name, (command, dummy_task) in drifts.items():
        hosts[name].check_output(command)
    predicted = play("site", "--check", "--diff", "--skip-tags=verify").ok().changed
    assert predicted == {(task, name) for name, (dummy_command, task) in drifts.items()}
    assert play("site", "--skip-tags=verify").ok().changed == predicted
    assert all(apps[source].reaches(apps[target]) for source, target in itertools.permutations(NAMES, 2))
    assert play("site", "--check", "--skip-tags=verify").ok().changed == set()


def test_underlay_address_that_is_gone(hosts: dict[str, Host], apps: dict[str, App]) -> None:
    """The record on the host tells what its bridge had, so that the run goes on where it would refuse an address nobody has."""
    hosts[LAST].check_output(f"ip address del {UNDERLAY[LAST]}/24 dev br-phy")
    play("site", "--skip-tags=verify").ok()
    assert f" {UNDERLAY[LAST]}/24 " in hosts[LAST].check_output("ip -o -4 address show dev br-phy")
    assert apps[LAST].reaches(apps[FIRST])


def test_option_of_others_is_kept(hosts: dict[str, Host]) -> None:
    """A key that this collection has no name for belongs to whoever set it."""
    hosts[FIRST].check_output(
        f"ovs-vsctl --timeout=15 set Interface gre-{SECOND} options:egress_pkt_mark=7 options:key=9"
    )
    play("site", "--skip-tags=verify").ok()
    options = hosts[FIRST].check_output(f"ovs-vsctl --timeout=15 get Interface gre-{SECOND} options")
    assert 'egress_pkt_mark="7"' in options
    assert 'key="1"' in options
    hosts[FIRST].check_output(f"ovs-vsctl --timeout=15 remove Interface gre-{SECOND} options egress_pkt_mark")


def test_key_mismatch_is_named(hosts: dict[str, Host]) -> None:
    """Both ends look healthy to Open vSwitch; verify says which two do not reach each other."""
    hosts[FIRST].check_output(f"ovs-vsctl --timeout=15 set Interface gre-{SECOND} options:key=9")
    run = play("verify")
    assert run.status != 0
    assert re.search(rf"{FIRST} \([\d.]+\) -> {SECOND} \([\d.]+\): 100% loss", run.text), run.text
    pairs = len(NAMES) * (len(NAMES) - 1)
    assert f"verify: hosts={len(NAMES)} pairs={pairs} ok={pairs - 2} failed=2" in run.text
    assert hosts[FIRST].run("docker ps -aq --filter label=crosshost.overlay=probe").stdout == ""
    play("site").ok()


def test_drift_that_cannot_be_is_refused_and_restored(hosts: dict[str, Host]) -> None:
    """A tunnel of somebody else with the same ends and key stands in the way: it is named, and nothing changes."""
    remote, local = (GROUP["hosts"][name]["overlay_underlay_ip"] for name in (SECOND, FIRST))
    hosts[FIRST].check_output(f"ovs-vsctl --timeout=15 del-port gre-{SECOND}")
    hosts[FIRST].check_output(
        "ovs-vsctl --timeout=15 -- --may-exist add-br br-foreign -- set Bridge br-foreign datapath_type=netdev -- add-port br-foreign foreign"
        f" -- set Interface foreign type=gre options:remote_ip={remote} options:local_ip={local} options:key=1"
    )
    run = play("site", "--skip-tags=verify")
    assert run.status != 0
    assert "foreign" in run.text
    assert "br-foreign" in run.text
    hosts[FIRST].check_output("ovs-vsctl --timeout=15 del-br br-foreign")
    play("site").ok()
