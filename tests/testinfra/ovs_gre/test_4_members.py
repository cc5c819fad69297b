# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts leave and join without a lost packet between the others; what cannot be is refused beforehand."""

from __future__ import annotations

import ipaddress
import pathlib
import re
import typing as t

import pytest
from overlay_helpers import GROUP, NAMES, App, Pinger, inventory_of, play
from testinfra.host import Host

FIRST, SECOND, LAST = NAMES[0], NAMES[1], NAMES[-1]
TUNNELS = "crosshost.overlay.ovs_gre : Run | Make the tunnels to the other hosts"
REST = {name: values for name, values in GROUP["hosts"].items() if name != LAST}


def test_a_host_leaves_and_comes_back(hosts: dict[str, Host], apps: dict[str, App], tmp_path: pathlib.Path) -> None:
    """Its tunnels go and come; the others do not lose a single ping."""
    smaller = inventory_of(tmp_path / "smaller.yml", REST)
    pinger = Pinger(apps[FIRST], apps[SECOND])
    gone = play("site", inventory=smaller)
    ports = {name: hosts[name].check_output("ovs-vsctl --timeout=15 list-ports br-overlay").split() for name in REST}
    back = play("site", "--skip-tags=verify")
    sent, lost = pinger.stop()
    assert gone.ok().changed == {(TUNNELS, name) for name in REST}
    assert all(f"gre-{LAST}" not in found for found in ports.values()), ports
    assert back.ok().changed == gone.changed
    assert lost == []
    assert sent > 50
    assert apps[FIRST].reaches(apps[LAST])


def test_star_and_back(hosts: dict[str, Host]) -> None:
    """With a hub the others have one tunnel each and reach each other through it; the mesh comes back as it was."""
    star = play("site", "-e", "ovs_gre_topology=hub", "-e", f"ovs_gre_hub={FIRST}").ok()
    pairs = len(NAMES) * (len(NAMES) - 1)
    assert f"verify: hosts={len(NAMES)} pairs={pairs} ok={pairs} failed=0" in star.text
    ports = hosts[LAST].check_output("ovs-vsctl --timeout=15 list-ports br-overlay").split()
    assert [port for port in ports if port.startswith("gre-")] == [f"gre-{FIRST}"]
    mesh = play("site").ok()
    assert mesh.changed == star.changed == {(TUNNELS, name) for name in NAMES}
    assert f"verify: hosts={len(NAMES)} pairs={pairs} ok={pairs} failed=0" in mesh.text


def test_limit_keeps_the_whole_list_of_peers(hosts: dict[str, Host]) -> None:
    """A run on one host changes nothing, forgets nobody, and names those it left out."""
    run = play("site", "--limit", FIRST).ok()
    assert run.changed == set()
    assert "not reached in this run" in run.text
    assert set(hosts[FIRST].check_output("ovs-vsctl --timeout=15 list-ports br-overlay").split()) >= {
        f"gre-{name}" for name in NAMES[1:]
    }


def test_unreachable_host_is_named_and_stays_a_peer(hosts: dict[str, Host], tmp_path: pathlib.Path) -> None:
    """The others are left as they are."""
    address = GROUP["hosts"][LAST]["ansible_host"]
    nobody = str(ipaddress.ip_network(f"{address}/24", strict=False)[250])
    broken = inventory_of(
        tmp_path / "broken.yml", {**GROUP["hosts"], LAST: {**GROUP["hosts"][LAST], "ansible_host": nobody}}
    )
    run = play("site", "--skip-tags=verify", "-e", "ansible_ssh_timeout=5", inventory=broken)
    assert run.status == 4, run.text  # Ansible's status for unreachable hosts
    assert re.search(rf"{LAST} .*unreachable=1", run.text)
    assert run.changed == set()
    assert f"gre-{LAST}" in hosts[FIRST].check_output("ovs-vsctl --timeout=15 list-ports br-overlay").split()


@pytest.mark.parametrize(
    ("inventory", "options", "reason"),
    [
        pytest.param({FIRST: GROUP["hosts"][FIRST]}, [], "an overlay joins at least 2 hosts", id="one-host"),
        pytest.param(
            {**GROUP["hosts"], "alias": GROUP["hosts"][FIRST]},
            [],
            "have the same underlay address",
            id="one-machine-twice",
        ),
        pytest.param(GROUP["hosts"], ["overlay_pool=10.60.0.0/16"], "and containers use it: app", id="pool-in-use"),
        pytest.param(GROUP["hosts"], ["overlay_pool=198.18.0.0/15"], "overlaps its route", id="pool-is-routed"),
        pytest.param(GROUP["hosts"], ["overlay_pool=10.50.0.1/16"], "host bits set", id="pool-with-host-bits"),
        pytest.param(GROUP["hosts"], ["overlay_mtu=1459"], "overlay_mtu 1459 is too large", id="mtu-too-large"),
        pytest.param(GROUP["hosts"], ["overlay_backend=swarm"], "the backends are", id="unknown-backend"),
        pytest.param(
            {**GROUP["hosts"], SECOND: {**GROUP["hosts"][SECOND], "overlay_underlay_ip": "nosuch.invalid"}},
            [],
            "nosuch.invalid",
            id="no-such-name",
        ),
    ],
)
def test_refused_before_the_first_change(
    tmp_path: pathlib.Path, inventory: dict[str, t.Any], options: list[str], reason: str
) -> None:
    """One sentence, and no task has changed anything."""
    run = play(
        "site",
        *[arg for option in options for arg in ("-e", option)],
        inventory=inventory_of(tmp_path / "hosts.yml", inventory),
    )
    assert run.status != 0
    assert reason in " ".join(run.text.split()), run.text
    assert run.changed == set()


def test_kernel_without_the_module_is_an_error_with_a_way_out() -> None:
    """The lab's kernel has no Open vSwitch datapath; the userspace one is never taken without being asked for."""
    run = play("site", "--check", "--skip-tags=verify", "-e", "ovs_gre_datapath=auto")
    assert run.status != 0
    assert "has no Open vSwitch datapath" in " ".join(run.text.split()), run.text
    assert "ovs_gre_datapath to netdev" in " ".join(run.text.split())


def test_card_of_the_management_is_never_moved(
    apps: dict[str, App], hosts: dict[str, Host], tmp_path: pathlib.Path
) -> None:
    """The underlay on the card that Ansible comes in through: refused for the userspace datapath, on the module itself."""
    values = {name: {**entry, "overlay_underlay_ip": entry["ansible_host"]} for name, entry in GROUP["hosts"].items()}
    options = {"ovs_gre_bridge": "br-other", "ovs_gre_link": "other-link", "ovs_gre_underlay_bridge": "br-management"}
    args = [arg for key, value in options.items() for arg in ("-e", f"{key}={value}")]
    run = play("site", "--check", "--skip-tags=verify", *args, inventory=inventory_of(tmp_path / "hosts.yml", values))
    assert run.status != 0
    assert "is never moved into a bridge" in " ".join(run.text.split()), run.text
