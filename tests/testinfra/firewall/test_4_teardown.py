# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The teardown leaves firewalls as they were found, rule by rule and file by file."""

from __future__ import annotations

import json
import os
import pathlib

import pytest
from overlay_helpers import NAMES, App, differences, play, snapshot
from testinfra.host import Host

SNAPSHOTS = pathlib.Path(os.environ.get("OVERLAY_SNAPSHOTS", "."))
OPTIONS = ("-e", "docker_engine_remove=true", "-e", "weave_remove_images=true")
FIREWALLS = ("/etc/firewalld", "/etc/ufw", "/etc/default/ufw", "/etc/nftables.conf", "/etc/iptables", "/etc/crosshost")


@pytest.fixture(scope="module", autouse=True)
def torn_down(apps: dict[str, App]) -> None:
    """Nobody uses the overlay any more, and it is removed; check mode knew what would change."""
    for app in apps.values():
        app.stop()
    predicted = play("teardown", "--check", *OPTIONS).ok().changed
    assert play("teardown", *OPTIONS).ok().changed == predicted
    assert play("teardown", *OPTIONS).ok().changed == set()


@pytest.mark.parametrize("name", NAMES)
def test_rules_and_zones(hosts: dict[str, Host], name: str) -> None:
    """Byte by byte, but for what Docker leaves behind."""
    then = json.loads((SNAPSHOTS / f"snapshot-{name}.json").read_text(encoding="utf-8"))
    # Docker leaves its rules and its zone where they are; without it they go with the firewall's next start.
    hosts[name].check_output("systemctl restart firewalld netfilter-persistent 2> /dev/null || true")
    now = snapshot(hosts[name])
    for key in ("firewalld", "nftables", "iptables legacy"):
        assert differences(without_docker(then[key]), without_docker(now[key])) == [], key
    assert differences(of_others(then["iptables"]), of_others(now["iptables"])) == []
    # Docker sets this policy to DROP, and does not take it back when it is removed.
    assert forward_policy(now["iptables"]) in (forward_policy(then["iptables"]), ":FORWARD DROP")
    # firewalld makes a copy of a zone of its own when a rule comes and goes; what is in it has just been compared.
    files = {
        path: text for path, text in now["files"].items() if path in then["files"] or "/firewalld/zones/" not in path
    }
    assert differences(configuration(then["files"]), configuration(files)) == []
    assert not [path for path in now["files"] if "crosshost" in path]
    assert not [line for line in now["units"] if "crosshost" in line]


def configuration(files: dict[str, str]) -> dict[str, str]:
    """The files of firewalls, without those that Docker writes."""
    return {path: text for path, text in files.items() if path.startswith(FIREWALLS) and "docker" not in path}


def without_docker(found: object) -> object:
    """Zones but for Docker's own, as text."""
    if isinstance(found, dict):
        return {key: without_docker(value) for key, value in found.items()}
    return [zone for zone in "\n".join(found).split("\n\n") if not zone.startswith("docker")]  # type: ignore[arg-type]


def forward_policy(tables: dict[str, list[str]]) -> str:
    """The line of iptables-save about it; as long as there is no table, packets are accepted."""
    return next((line.strip() for line in tables["filter"] if line.startswith(":FORWARD")), ":FORWARD ACCEPT")


def of_others(tables: dict[str, list[str]]) -> list[str]:
    """Rules of the filter table that neither Docker nor Weave Net made; their chains stay empty until the next start."""
    made = ("DOCKER", "WEAVE", "docker", ":FORWARD")
    return [line for line in tables["filter"] if not any(word in line for word in made)]
