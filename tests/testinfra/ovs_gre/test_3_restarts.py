# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The overlay comes back by itself after a reboot and after restarts of what it hangs on."""

from __future__ import annotations

import typing as t

import pytest
from overlay_helpers import NAMES, App, play, wait_for
from testinfra.host import Host

FIRST, LAST = NAMES[0], NAMES[-1]


def both_ways(apps: dict[str, App]) -> bool:
    """Whether the two reach each other."""
    return apps[FIRST].reaches(apps[LAST]) and apps[LAST].reaches(apps[FIRST])


@pytest.mark.parametrize(
    "command",
    [
        pytest.param("systemctl restart docker", id="docker-restarted"),
        pytest.param("systemctl stop docker.socket docker && systemctl start docker", id="docker-stopped-and-started"),
        pytest.param("systemctl restart openvswitch-switch", id="openvswitch-restarted"),
        pytest.param("systemctl restart ovs-vswitchd", id="vswitchd-restarted"),
        pytest.param("kill -9 $(cat /run/openvswitch/ovs-vswitchd.pid)", id="vswitchd-killed"),
    ],
)
def test_comes_back(hosts: dict[str, Host], apps: dict[str, App], command: str) -> None:
    """Without Ansible; afterwards there is nothing to repair."""
    hosts[LAST].check_output(command)
    wait_for(f"the overlay works after: {command}", lambda: both_ways(apps), 60)
    assert play("site", "--check", "--skip-tags=verify").ok().changed == set()


def test_comes_back_after_a_reboot(
    hosts: dict[str, Host], apps: dict[str, App], reboot: t.Callable[[str], None]
) -> None:
    """Without Ansible; afterwards there is nothing to repair."""
    reboot(LAST)
    wait_for("the overlay works after a reboot", lambda: both_ways(apps), 120)
    assert play("site", "--check", "--skip-tags=verify").ok().changed == set()


def test_stopped_docker_is_started_by_the_next_run(hosts: dict[str, Host], apps: dict[str, App]) -> None:
    """And the overlay is whole again."""
    hosts[LAST].check_output("systemctl stop docker.socket docker")
    play("site").ok()
    assert both_ways(apps)


def test_chains_lost_by_a_run_that_was_cut_off(hosts: dict[str, Host]) -> None:
    """Docker's chains went with a firewall, and nobody saw to it: the role peer_firewall alone does, and once is enough."""
    hosts[LAST].check_output("nft delete table ip filter; nft delete table ip nat")
    task = "crosshost.overlay.peer_firewall : Docker | Bring back the chains that firewalld took away"
    assert play("site", "--tags=peer_firewall").ok().changed == {(task, LAST)}
    assert ":DOCKER " in hosts[LAST].check_output("iptables-save -t filter")
    assert play("site", "--tags=peer_firewall").ok().changed == set()


def test_exit_with_cleanup_is_repaired_by_the_next_run(hosts: dict[str, Host], apps: dict[str, App]) -> None:
    """This takes the underlay's address with it, and nothing but a run, or a restart of the unit, brings it back."""
    hosts[LAST].check_output("ovs-appctl --timeout=15 exit --cleanup; sleep 1; systemctl restart openvswitch-switch")
    play("site").ok()
    assert both_ways(apps)


def test_dead_vswitchd_is_an_error_that_ends(hosts: dict[str, Host]) -> None:
    """The run says which daemon does not answer, and leaves nothing half done."""
    hosts[LAST].check_output("systemctl stop ovs-vswitchd; systemctl mask --runtime ovs-vswitchd")
    try:
        run = play("site", "--skip-tags=verify", "--limit", LAST)
    finally:
        hosts[LAST].check_output(
            "systemctl unmask --runtime ovs-vswitchd; systemctl start openvswitch-switch ovs-vswitchd"
        )
    assert run.status != 0
    assert "vswitch" in run.text
    wait_for("the overlay works again", lambda: play("verify").status == 0, 60)
