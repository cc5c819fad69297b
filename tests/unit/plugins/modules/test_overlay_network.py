# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""overlay_network where Docker is missing, silent or foreign; with Docker it is tested in the lab."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _host
from ansible_collections.crosshost.overlay.plugins.modules import overlay_network

OPTIONS = {
    "pool": "10.50.0.0/16",
    "slice": "10.50.1.0/24",
    "gateway": "10.50.1.1",
    "mtu": 1458,
    "slices": {"h2": "10.50.1.0/24"},
}


@pytest.fixture(autouse=True)
def state_dir(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Records go to a folder of the test's own."""
    monkeypatch.setattr(_host, "STATE_DIR", str(tmp_path))
    monkeypatch.setattr(_host, "SLICES_FILE", str(tmp_path / "slices.json"))
    monkeypatch.setattr(_host.recorded_slices, "__defaults__", (str(tmp_path / "slices.json"),))
    return tmp_path


def test_check_mode_before_docker_is_installed(fake_cli: t.Any, run_module: t.Any, state_dir: pathlib.Path) -> None:
    """It predicts the network and writes nothing."""
    fake_cli.missing.add("docker")
    result = run_module(overlay_network.main, check_mode=True, **OPTIONS)
    assert result["changed"]
    assert result["commands"][0].startswith("docker network create --driver bridge")
    assert result["diff"]["after"]["network"]["slice"] == "10.50.1.0/24"
    assert list(state_dir.iterdir()) == []


def test_missing_docker_is_an_error_with_its_package(fake_cli: t.Any, run_module: t.Any) -> None:
    """Outside check mode."""
    fake_cli.missing.add("docker")
    result = run_module(overlay_network.main, **OPTIONS)
    assert "install the package 'docker.io'" in result["msg"]


def test_nothing_to_remove_without_docker(fake_cli: t.Any, run_module: t.Any) -> None:
    """A teardown of a host that never had it."""
    fake_cli.missing.add("docker")
    assert run_module(overlay_network.main, state="absent")["changed"] is False


def test_silent_docker_is_named_before_any_record_is_written(
    fake_cli: t.Any, run_module: t.Any, state_dir: pathlib.Path
) -> None:
    """The tool's own words, and what to do."""
    words = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    fake_cli.expect("docker", "version", "--format", "{{.Server.Version}}", rc=1, err=words)
    result = run_module(overlay_network.main, **OPTIONS)
    assert words in result["msg"]
    assert "systemctl start docker" in result["msg"]
    assert list(state_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"gateway": "10.50.2.1"}, "not a host address of slice", id="gateway"),
        pytest.param({"slice": "10.50.1.1/24"}, "host bits", id="slice"),
        pytest.param({"mtu": 100}, "outside 576", id="mtu"),
    ],
)
def test_bad_input_is_refused_before_docker_is_asked(
    fake_cli: t.Any, run_module: t.Any, changes: dict, reason: str
) -> None:
    """No command is run."""
    assert reason in run_module(overlay_network.main, **{**OPTIONS, **changes})["msg"]
