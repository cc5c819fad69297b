# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes of a living overlay, each by its playbook: asked for by name, killed once, completed by the next run, with nothing left to do."""

from __future__ import annotations

import json
import pathlib
import random
import subprocess
import typing as t

import pytest
from doctor_helpers import QUICK, clean
from overlay_helpers import LAB, NAMES, NETWORK, SEED, UNDERLAY, App, Pinger, Run, call, wait_for
from promises_bystanders import Bystanders
from promises_helpers import (
    BRIEF,
    CANARY,
    FIRST,
    LAST,
    SECOND,
    Watch,
    left_lying,
    ports,
    proved,
    quiet,
    release,
    run,
    secrets_file,
    started,
    words,
)
from promises_kills import cut_off
from testinfra.host import Host
from weave_helpers import Links

REST = [name for name in NAMES if name != LAST]
NEWER = "2.99.1"
LEAVES = ("-e", f"remove_host={LAST}")
SURE = (*LEAVES, "-e", f"remove_host_confirm={LAST}")


def killed(folder: pathlib.Path, playbook: str, backend: str, *args: str) -> str:
    """Kill a run somewhere; returns when that was, for a message."""
    moment = random.Random(f"{SEED} {playbook} {backend}").uniform(2, 20)
    done = cut_off(folder / "killed.log", moment, True, playbook, "-e", f"overlay_backend={backend}", *args)
    return f"OVERLAY_SEED={SEED}, {playbook} {'killed' if done.killed else 'ended'} after {done.seconds:.2f} s"


def well(done: Run, told: str) -> Run:
    """It ended well."""
    assert done.status == 0, f"{told}\n{done.text}"
    return done


def refused(done: Run, option: str) -> None:
    """Before the first change, and with the option that allows it."""
    assert done.status != 0, done.text
    assert option in words(done), done.text
    assert done.changed == set()


def address(app: App, network: str) -> str:
    """Where an application is on a network."""
    return app.host.check_output(
        f"docker inspect -f '{{{{with index .NetworkSettings.Networks \"{network}\"}}}}{{{{.IPAddress}}}}{{{{end}}}}' app"
    )


def reaches(apps: dict[str, App], network: str) -> bool:
    """Whether the applications of two hosts reach each other there."""
    return apps[FIRST].run(f"ping -c 3 -W 2 {address(apps[SECOND], network)}")[0] == 0


@pytest.fixture
def linked(hosts: dict[str, Host]) -> None:
    """All routers have their links."""
    Links(hosts).settle()


@pytest.mark.usefixtures("linked")
def test_upgrade_of_routers(
    hosts: dict[str, Host], apps: dict[str, App], bystanders: Bystanders, tmp_path: pathlib.Path
) -> None:
    """One host: the others lose nothing. Killed among all hosts, the next run brings the rest; containers keep their addresses."""
    newer = release(tmp_path, NEWER)
    addresses = {name: app.address for name, app in apps.items()}
    try:
        pinger = Pinger(apps[FIRST], apps[SECOND])
        one = run("upgrade", "weave", *newer, *QUICK, "--limit", LAST)
        sent, lost = pinger.stop()
        one.ok()
        assert sent > 50
        assert lost == []
        assert NEWER in hosts[LAST].check_output("docker inspect -f '{{.Config.Image}}' weave")
        assert NEWER not in hosts[FIRST].check_output("docker inspect -f '{{.Config.Image}}' weave")
        told = killed(tmp_path, "upgrade", "weave", "-e", "upgrade_serial=1", *newer, *QUICK)
        # Few moments leave a host without its router, and whose it is, is chance as well.
        without = random.Random(f"{SEED} without").choice(NAMES)
        hosts[without].check_output("docker rm -f weave")
        told += f", and no router on {without}"
        well(run("upgrade", "weave", "-e", "upgrade_serial=1", *newer, *QUICK), told)
        for host in hosts.values():
            assert NEWER in host.check_output("docker inspect -f '{{.Config.Image}}' weave")
        assert {name: app.address for name, app in apps.items()} == addresses
        assert run("upgrade", "weave", *newer, *QUICK).ok().changed == set()
        bystanders.check()
    finally:
        # Back to what the inventory says; a teardown removes the images of that.
        run("site", "weave", *BRIEF)
        for host in hosts.values():
            host.run(
                f"docker rm -f weavevolumes-{NEWER}; docker images --format '{{{{.Repository}}}}:{{{{.Tag}}}}' | grep :{NEWER}$ | xargs -r docker rmi"
            )


@pytest.mark.usefixtures("linked")
def test_upgrade_without_images_stops_nothing(hosts: dict[str, Host], tmp_path: pathlib.Path) -> None:
    """They are brought to all hosts before the first router stops."""
    before = {name: started(host, "weave") for name, host in hosts.items()}
    done = run("upgrade", "weave", *release(tmp_path, "2.99.2", damaged=True), *QUICK)
    assert done.status != 0
    assert "could not be loaded" in words(done), done.text
    assert {name: started(host, "weave") for name, host in hosts.items()} == before


def test_upgrade_of_open_vswitch(hosts: dict[str, Host]) -> None:
    """Without the option that has packages upgraded it only looks; a switch that does not run is brought back before."""
    hosts[LAST].check_output("systemctl stop openvswitch-switch")
    done = run("upgrade", "ovs_gre", "-e", "upgrade_serial=1", *QUICK).ok()
    assert {host for dummy, host in done.changed} == {LAST}
    assert clean(done), done.text
    quiet("ovs_gre")


@pytest.mark.parametrize("backend", ["weave", "ovs_gre"])
def test_rotate(hosts: dict[str, Host], bystanders: Bystanders, tmp_path: pathlib.Path, backend: str) -> None:
    """Another password or key: not unasked, complete after a kill, shown nowhere, and nothing to do afterwards."""
    secret = f"neu-{CANARY}"
    new = secrets_file(
        tmp_path / "new.json", **({"weave_password": secret} if backend == "weave" else {"ovs_gre_key": "77"})
    )
    refused(run("rotate", backend, *new), "rotate_confirm")
    try:
        told = killed(tmp_path, "rotate", backend, *new, "-e", "rotate_confirm=true", *QUICK)
        with Watch(hosts[FIRST], secret) as watch:
            done = well(run("rotate", backend, *new, "-e", "rotate_confirm=true", *QUICK, "-vvv", "--diff"), told)
        assert not watch.seen(), "the password was in the process list"
        assert secret not in done.text
        assert clean(done), done.text
        assert left_lying(hosts[FIRST], secret) == []
        assert run("site", backend, *new, "--check", *BRIEF).ok().changed == set()
        bystanders.check()
    finally:
        run("site", backend, *BRIEF)
    proved(backend)


def test_host_leaves(hosts: dict[str, Host], bystanders: Bystanders, tmp_path: pathlib.Path) -> None:
    """Not unasked. Killed, the next run completes it; the others have no tunnel to it, and the host nothing of the overlay. Then it joins again."""
    refused(run("remove_host", "ovs_gre", *LEAVES), "remove_host_confirm")
    refused(run("remove_host", "ovs_gre", *LEAVES, "-e", f"remove_host_confirm={FIRST}"), "remove_host_confirm")
    try:
        told = killed(tmp_path, "remove_host", "ovs_gre", *SURE, *QUICK)
        well(run("remove_host", "ovs_gre", *SURE, *QUICK), told)
        for name in REST:
            assert ports(hosts[name]) == {f"gre-{other}" for other in REST if other != name}
        assert ports(hosts[LAST]) == set()
        assert not hosts[LAST].file("/var/lib/crosshost-overlay/slices.json").exists
        assert "overlay" not in hosts[LAST].check_output("docker network ls --format '{{.Name}}'").split()
        assert run("remove_host", "ovs_gre", *SURE, *QUICK).ok().changed == set()
        bystanders.check()
    finally:
        run("site", "ovs_gre", *BRIEF)
    proved("ovs_gre")
    quiet("ovs_gre")


def owners(name: str) -> dict[str, int]:
    """How many addresses each host owns, as a router has it."""
    ipam = t.cast("dict[str, t.Any]", call(name, "weave_info").ok()["weave"]["ipam"])
    found: dict[str, int] = {}
    for item in ipam["owners"]:
        found[item["nickname"]] = found.get(item["nickname"], 0) + int(item["addresses"])
    return found


@pytest.mark.skipif(not LAB, reason="needs a way to switch a host off")
@pytest.mark.usefixtures("linked")
def test_dead_host_is_forgotten(hosts: dict[str, Host], apps: dict[str, App]) -> None:
    """Not while it lives. Its part of the range goes to one of the others, once; the others have no link to it."""
    before = owners(FIRST)
    dead = (*SURE, "-e", "remove_host_dead=true", *QUICK)
    alive = run("remove_host", "weave", *dead, "-e", "remove_host_wait=5")
    assert alive.status != 0, "a living host was taken for dead"
    assert owners(FIRST) == before
    # Or it would claim its old part when it is back.
    hosts[LAST].check_output("docker rm -f app; docker update --restart no weave")
    subprocess.run(["docker", "stop", "--time=20", f"{LAB}-{LAST}"], stdout=subprocess.DEVNULL, timeout=90, check=True)
    try:
        run("remove_host", "weave", *dead).ok()
        for name in REST:
            after = owners(name)
            assert set(after) <= set(REST), after
            assert sum(after.values()) == sum(before.values())
            status, text = Links(hosts).api(name, "/report")
            assert status == 0, text
            assert UNDERLAY[LAST] not in json.loads(text)["Router"]["Targets"]
        assert reaches(apps, NETWORK)
    finally:
        subprocess.run(["docker", "start", f"{LAB}-{LAST}"], stdout=subprocess.DEVNULL, timeout=60, check=True)
        wait_for(f"{LAST} answers", lambda: up(hosts[LAST]), 120)
        run("teardown", "weave", "--limit", LAST, "-e", "weave_reset_force=true", *BRIEF)
        run("site", "weave", *BRIEF)
        apps[LAST].start()
    proved("weave")


def up(host: Host) -> bool:
    """Whether a host that was switched on has its Docker."""
    try:
        return bool(host.run("timeout 10 docker info > /dev/null").rc == 0)
    except RuntimeError:  # testinfra's way to say that ssh does not answer
        return False


@pytest.mark.usefixtures("linked")
def test_switch_of_the_backend(
    hosts: dict[str, Host], apps: dict[str, App], bystanders: Bystanders, tmp_path: pathlib.Path
) -> None:
    """Side by side nothing is lost; the old one goes only by its name; in the end the containers reach each other on the new one."""
    there = ("-e", "switch_to=ovs_gre")
    pinger = Pinger(apps[FIRST], apps[SECOND])
    both = run("switch_backend", "ovs_gre", *there, *QUICK)
    sent, lost = pinger.stop()
    both.ok()
    assert sent > 50
    assert lost == []
    assert reaches(apps, "weave")
    assert reaches(apps, "overlay")
    assert run("switch_backend", "ovs_gre", *there, *QUICK).ok().changed == set()
    old = (*there, "-e", "switch_phase=remove_old")
    refused(run("switch_backend", "ovs_gre", *old), "switch_confirm")
    refused(run("switch_backend", "ovs_gre", *old, "-e", "switch_confirm=ovs_gre"), "switch_confirm")
    sure = (*old, "-e", "switch_confirm=weave", *QUICK)
    told = killed(tmp_path, "switch_backend", "ovs_gre", *sure)
    well(run("switch_backend", "ovs_gre", *sure), told)
    assert reaches(apps, "overlay")
    for host in hosts.values():
        assert "weave" not in host.check_output("docker ps -a --format '{{.Names}}'").split()
        assert not host.interface("weave").exists
    assert run("switch_backend", "ovs_gre", *sure).ok().changed == set()
    quiet("ovs_gre")
    bystanders.check()
