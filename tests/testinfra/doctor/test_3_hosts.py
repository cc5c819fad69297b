# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that cannot be read are reported, the rest is examined all the same, and nothing takes for ever."""

from __future__ import annotations

import contextlib
import ipaddress
import pathlib
import typing as t

import pytest
from doctor_helpers import REPORT, Diagnosis, clean, doctor, on_hosts, verify, words
from overlay_helpers import GROUP, NAMES, inventory_of, play, wait_for
from testinfra.host import Host
from weave_helpers import Links

ONE, TWO, THREE = NAMES[:3]
OVS = "ovs-vsctl --timeout=15"


@contextlib.contextmanager
def state(hosts: dict[str, Host], name: str, cause: str, undo: str) -> t.Iterator[None]:
    """A host in some state, for a while."""
    on_hosts(hosts, {name: cause})
    try:
        yield
    finally:
        on_hosts(hosts, {name: undo})


def ids(diagnosis: Diagnosis) -> dict[str, list[str]]:
    """The hosts of each finding."""
    return {item["id"]: item["hosts"] for item in diagnosis.findings}


def test_unreachable_host(hosts: dict[str, Host], tmp_path: pathlib.Path) -> None:
    """It is named first; what is wrong between the others is found nevertheless."""
    address = GROUP["hosts"][THREE]["ansible_host"]
    nobody = str(ipaddress.ip_network(f"{address}/24", strict=False)[250])
    broken = {**GROUP["hosts"], THREE: {**GROUP["hosts"][THREE], "ansible_host": nobody}}
    key = f"{OVS} set Interface gre-{TWO} options:key="
    with state(hosts, ONE, f"{key}9", f"{key}1"):
        diagnosis = doctor(
            tmp_path, "ovs_gre", "-e", "ansible_ssh_timeout=5", inventory=inventory_of(tmp_path / "broken.yml", broken)
        )
    assert diagnosis.first["id"] == "host-unreachable", diagnosis.brief()
    assert diagnosis.first["hosts"] == [THREE]
    assert sorted(ids(diagnosis)["gre-key-mismatch"]) == [ONE, TWO], diagnosis.brief()


def test_host_without_docker(hosts: dict[str, Host], tmp_path: pathlib.Path) -> None:
    """As on a machine that never had it."""
    programs = "/usr/bin/docker /usr/sbin/dockerd"
    hide = f"systemctl stop docker.socket docker; for f in {programs}; do mv $f $f.away; done"
    back = f"for f in {programs}; do mv $f.away $f; done; systemctl start docker"
    with state(hosts, TWO, hide, back):
        diagnosis = doctor(tmp_path, "ovs_gre")
    assert diagnosis.first["id"] == "docker-missing", diagnosis.brief()
    assert diagnosis.first["hosts"] == [TWO]
    assert "crosshost.overlay.site" in words(diagnosis.first)


@pytest.mark.parametrize(
    ("name", "cause", "undo", "finding"),
    [
        pytest.param(
            ONE,
            "kill -STOP $(docker inspect -f '{{.State.Pid}}' weave)",
            "kill -CONT $(docker inspect -f '{{.State.Pid}}' weave)",
            "weave-router-state",
            id="router hangs",
        ),
        pytest.param(
            TWO,
            "kill -STOP $(pidof ovs-vswitchd)",
            "kill -CONT $(pidof ovs-vswitchd)",
            "ovs-vswitchd-down",
            id="switch daemon hangs",
        ),
    ],
)
def test_what_hangs(
    hosts: dict[str, Host], tmp_path: pathlib.Path, name: str, cause: str, undo: str, finding: str
) -> None:
    """A process that does not answer: bounded, named, and the other hosts are examined."""
    backend = "weave" if "weave" in finding else "ovs_gre"
    with state(hosts, name, cause, undo):
        diagnosis = doctor(tmp_path, backend)
    assert diagnosis.first["id"] == finding, diagnosis.brief()
    assert diagnosis.first["hosts"] == [name]
    examined = {item["name"] for item in diagnosis.document["hosts"]}
    assert examined >= {other for other in NAMES if other != name}


def test_failed_verify_tells_the_cause(hosts: dict[str, Host]) -> None:
    """Not only which packets were lost."""
    key = f"{OVS} set Interface gre-{TWO} options:key="
    with state(hosts, ONE, f"{key}9", f"{key}1"):
        run = play("verify", "-e", "overlay_backend=ovs_gre", "--skip-tags=clock")
    assert run.status != 0
    text = " ".join(run.text.split())
    assert "100% loss" in text
    assert "gre-key-mismatch" in text


def test_all_is_well_in_the_end(hosts: dict[str, Host], tmp_path: pathlib.Path) -> None:
    """After all faults and remedies nothing is left of them."""
    wait_for("all routers are linked", Links(hosts).whole, 90)
    for backend in ("ovs_gre", "weave"):
        run = verify(backend)
        assert clean(run), run.text
        diagnosis = doctor(tmp_path, backend)
        assert diagnosis.findings == [], diagnosis.brief()
        assert (tmp_path / REPORT).exists()
