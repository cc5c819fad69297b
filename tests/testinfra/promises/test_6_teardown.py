# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is removed is what came from here, and no more than was asked for; hosts are left as they were found."""

from __future__ import annotations

import json
import os
import pathlib
import random
import re
import typing as t

from firewall_helpers import firewall_differences
from overlay_helpers import NAMES, SEED, differences, side_by_side, snapshot
from promises_bystanders import Bystanders
from promises_helpers import USED, run
from promises_kills import cut_off
from testinfra.host import Host

SNAPSHOTS = pathlib.Path(os.environ.get("OVERLAY_SNAPSHOTS", "."))
BARE = [name for name in NAMES if name != USED]
FIREWALLS = ("firewalld", "iptables", "iptables legacy", "nftables")
# What Docker and Open vSwitch leave of themselves and of what they needed when their packages are removed, whoever does that.
PACKAGES = re.compile(r"docker|containerd|openvswitch|ovs|ubuntu-fan|uuidd")


def installed(host: Host) -> set[str]:
    """Packages of ours and images that are on a host."""
    packages = host.check_output(
        "dpkg-query -W -f '${Package} ${db:Status-Status}\\n' docker.io openvswitch-switch 2> /dev/null || true"
    )
    return {line.split()[0] for line in packages.splitlines() if line.endswith(" installed")}


def test_teardown_of_weave(hosts: dict[str, Host], bystanders: Bystanders) -> None:
    """It is foretold; images stay, because nobody asked for more. So does the other overlay."""
    for host in hosts.values():
        host.run("docker rm -f app; docker rmi app:1")
    images = "docker images --format '{{.Repository}}:{{.Tag}}' | grep -c /weave || true"
    before = {name: host.check_output(images) for name, host in hosts.items()}
    predicted = run("teardown", "weave", "--check", "--diff").ok()
    assert run("teardown", "weave").ok().changed == predicted.changed
    assert {name: host.check_output(images) for name, host in hosts.items()} == before
    bystanders.check()


def test_killed_teardown(hosts: dict[str, Host], bystanders: Bystanders, tmp_path: pathlib.Path) -> None:
    """The next one completes it; packages stay, because nobody asked for more."""
    moment = random.Random(f"{SEED} teardown").uniform(1, 10)
    cut_off(tmp_path / "killed.log", moment, True, "teardown", "-e", "overlay_backend=ovs_gre")
    told = f"OVERLAY_SEED={SEED}, killed after {moment:.2f} s"
    done = run("teardown", "ovs_gre")
    assert done.status == 0, f"{told}\n{done.text}"
    assert run("teardown", "ovs_gre").ok().changed == set(), told
    for name, host in hosts.items():
        assert installed(host) == {"docker.io", "openvswitch-switch"}, name
    bystanders.check()


def test_hosts_are_left_as_they_were_found(hosts: dict[str, Host], bystanders: Bystanders) -> None:
    """With both overlays and everything that came with them gone: nothing of ours, and everything of others."""
    bystanders.check()
    run("teardown", "weave", "-e", "weave_remove_images=true").ok()
    everything = ("-e", "docker_engine_remove=true", "-e", "ovs_gre_remove_packages=true")
    run("teardown", "ovs_gre", *everything).ok()
    assert run("teardown", "ovs_gre", *everything).ok().changed == set()
    bystanders.check()
    bystanders.stop()
    side_by_side(lambda name: compare(name, hosts[name]), NAMES)


def compare(name: str, host: Host) -> None:
    """A host in use is as it was in every respect; on a bare one only the packages' own leftovers differ."""
    then = json.loads((SNAPSHOTS / f"snapshot-{name}.json").read_text(encoding="utf-8"))
    now = snapshot(host)
    assert firewall_differences(then, now) == []
    first, second = (comparable(found, name in BARE) for found in (then, now))
    assert differences(first, second) == []
    assert not [path for path in now["files"] if "crosshost" in path]
    assert not [line for line in now["units"] if "crosshost" in line]
    assert name not in BARE or installed(host) == set()


def comparable(found: dict[str, t.Any], bare: bool) -> dict[str, t.Any]:
    """A snapshot without firewalls, which are compared by themselves, and for a bare host without what packages leave."""
    rest = {key: value for key, value in found.items() if key not in FIREWALLS}
    if not bare:
        return rest
    # Docker turns forwarding on, and nobody off; what apt knows of packages is not what is installed.
    sysctl = {key: value for key, value in found["sysctl"].items() if key != "net.ipv4.ip_forward"}
    return {
        **{
            key: rest[key]
            for key in ("rules", "openvswitch", "docker networks", "docker containers", "docker images", "failed units")
        },
        "links": {key: value for key, value in found["links"].items() if key != "docker0"},
        "routes": [line for line in found["routes"] if "docker0" not in line],
        "sysctl": sysctl,
        "units": [line for line in found["units"] if not PACKAGES.search(line)],
    }
