# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker's engine, settings and containers, as 20.10.24 shows them."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _info_docker, _info_firewall
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_services import Service

Text = t.Callable[[str], str]


def test_containers(fixture_text: Text) -> None:
    """On a host with a router of Weave Net."""
    lines = fixture_text("info/container_inspect.txt").splitlines()
    found = {item["name"]: item for item in (_info_docker.container(json.loads(line)) for line in lines)}
    assert found["app"] == {
        "name": "app",
        "running": True,
        "label": None,
        "networks": ["weave"],
        "id": "788cbfb7f414",
        "state": "running",
        "exit_code": 0,
        "error": "",
        "image": "app:1",
        "addresses": {"weave": "10.32.0.1"},
        "restart": "always",
        "entrypoint_missing": False,
    }
    assert found["weave"]["label"] == "weave"
    assert (found["weavedb"]["state"], found["weavedb"]["running"], found["weavedb"]["restart"]) == (
        "created",
        False,
        "no",
    )


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        pytest.param(
            "OCI runtime create failed: container_linux.go:380: starting container process caused: "
            'exec: "/w/w": stat /w/w: no such file or directory: unknown',
            True,
            id="left by Weave Net",
        ),
        pytest.param(
            'failed to create shim task: exec: "nosuch": executable file not found in $PATH: unknown',
            True,
            id="not in the image",
        ),
        pytest.param("legacy plugin weave: not found", False, id="network without its plugin"),
    ],
)
def test_entrypoint(fixture_text: Text, error: str, missing: bool) -> None:
    """What Docker could not find to start."""
    entry = json.loads(fixture_text("info/container_inspect.txt").splitlines()[0])
    found = _info_docker.container({**entry, "error": error, "status": "created"})
    assert found["entrypoint_missing"] is missing


def test_environment_is_not_asked_for() -> None:
    """It never leaves Docker."""
    assert "Env" not in _info_docker.FORM
    assert "Args" not in _info_docker.FORM


def test_engine(fixture_text: Text) -> None:
    """Of docker info."""
    assert _info_docker.engine(fixture_text("info/docker_info.json")) == {
        "security_options": ["name=seccomp,profile=default"],
        "live_restore": False,
        "root_dir": "/var/lib/docker",
        "storage_driver": "overlay2",
    }


@pytest.mark.parametrize(
    ("argv", "text", "expected"),
    [
        pytest.param(["dockerd"], None, (True, False, []), id="nothing set"),
        pytest.param(
            ["dockerd", "-H", "fd://"],
            '{"iptables": false, "hosts": ["tcp://0.0.0.0:2375"]}',
            (False, False, ["tcp://0.0.0.0:2375"]),
            id="file",
        ),
        pytest.param(
            ["dockerd", "--tlsverify", "-H", "tcp://0.0.0.0:2376", "--iptables=false"],
            "{}",
            (False, True, ["tcp://0.0.0.0:2376"]),
            id="flags",
        ),
    ],
)
def test_settings(
    tmp_path: pathlib.Path, argv: list[str], text: str | None, expected: tuple[bool, bool, list[str]]
) -> None:
    """From the file and the command line of the daemon."""
    path = tmp_path / "daemon.json"
    if text is not None:
        path.write_text(text)
    found = _info_docker.settings(argv, str(path))
    assert (found["iptables"], found["tls"]["enabled"], found["tls"]["hosts"]) == expected


def test_damaged_settings(tmp_path: pathlib.Path) -> None:
    """The reason names the file."""
    (tmp_path / "daemon.json").write_text("{")
    with pytest.raises(ValueError, match=r"daemon\.json"):
        _info_docker.settings([], str(tmp_path / "daemon.json"))


def test_running_daemon(tmp_path: pathlib.Path) -> None:
    """The one of this host, by its file; a number that somebody else has now is no dockerd."""
    for pid, comm in ((7, "dockerd"), (8, "sleep")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "comm").write_text(comm + "\n")
        (tmp_path / str(pid) / "cmdline").write_bytes(b"/usr/sbin/dockerd\0-H\0fd://\0")
        (tmp_path / f"pid{pid}").write_text(str(pid))
    assert _info_docker.dockerd_argv(str(tmp_path), ["/nonexistent", str(tmp_path / "pid7")]) == [
        "/usr/sbin/dockerd",
        "-H",
        "fd://",
    ]
    assert _info_docker.dockerd_argv(str(tmp_path), [str(tmp_path / "pid8")]) == []


# Firewalls in a few words


def test_forward_policy(fixture_text: Text) -> None:
    """As saved."""
    assert _info_firewall.forward_policy(fixture_text("firewall/iptables_docker.txt")) == "DROP"
    assert _info_firewall.forward_policy("") is None


def test_number_of_rules(fixture_text: Text) -> None:
    """In both forms."""
    text = fixture_text("firewall/nft/docker.json")
    assert _info_firewall.count_rules(text) == text.count('{"rule": {')
    assert _info_firewall.count_rules("") == 0
    saved = fixture_text("firewall/iptables_docker.txt")
    assert _info_firewall.count_saved(saved) == saved.count("\n-A ")


def test_services() -> None:
    """One word each; ufw has a switch of its own."""
    found = [
        Service("firewalld", active=False, enabled=True, masked=False),
        Service("ufw", active=True, enabled=True, masked=False, switched_on=False),
        Service("nftables", active=True, enabled=True, masked=False),
    ]
    assert _info_firewall.services(found) == {"firewalld": "stopped", "ufw": "inactive", "nftables_service": "active"}
