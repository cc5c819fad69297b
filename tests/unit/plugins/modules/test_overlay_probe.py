# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What overlay_probe asks Docker and tells it to do. The packets themselves: test__probe.py, and the lab."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _probe_container
from ansible_collections.crosshost.overlay.plugins.module_utils._netns import NamespaceError
from ansible_collections.crosshost.overlay.plugins.modules import overlay_probe

IMAGE, NAME, NETWORK = "crosshost-overlay-probe:local", "crosshost-probe", "prbnet"
# What docker 28.2 says with a daemon 20.10.24.
NO_IMAGE = "Error response from daemon: no such image: x: No such image: x:latest\n"
NO_CONTAINER = "Error response from daemon: No such container: x\n"
NO_NETWORK = "Error response from daemon: network x not found\n"
NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n"

Run = t.Callable[..., t.Dict[str, t.Any]]


class Host:
    """A scripted host; the answers are recorded ones."""

    def __init__(self, fake_cli: t.Any, fixture_text: t.Callable[[str], str]) -> None:
        self.cli = fake_cli
        self._text = fixture_text
        self.container = json.loads(fixture_text("probe/container-20.10.24.json"))
        self.id: str = self.container["Id"]

    def asked(self, kind: str, name: str, there: bool) -> None:
        """Expect a question after an object."""
        argv = ("docker", kind, "inspect", "--format", "{{json .}}", name)
        missing = {"image": NO_IMAGE, "container": NO_CONTAINER, "network": NO_NETWORK}[kind]
        if not there:
            self.cli.expect(*argv, rc=1, out="\n", err=missing)
        elif kind == "container":
            self.cli.expect(*argv, out=json.dumps(self.container))
        else:
            self.cli.expect(*argv, out=self._text(f"probe/{kind}-20.10.24.json"))

    def observed(self, image: bool = True, container: bool = False, network: bool = True) -> None:
        """Expect everything the plan needs."""
        self.asked("image", IMAGE, image)
        self.asked("container", NAME, container)
        self.asked("network", NETWORK, network)

    def started(self, **answer: t.Any) -> None:
        """Expect the start of the container."""
        run = ["run", "--detach", "--rm", "--pull", "never", "--name", NAME, "--label", "crosshost.overlay=probe"]
        run += ["--network", NETWORK, "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        self.cli.expect("docker", *run, "--log-driver", "none", "--entrypoint", "sleep", IMAGE, "600", **answer)


@pytest.fixture
def host(
    fake_cli: t.Any, fixture_text: t.Callable[[str], str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Host:
    """A host whose echo service is pretended."""
    monkeypatch.setattr(_probe_container, "RUN_DIR", str(tmp_path))
    monkeypatch.setattr(_probe_container, "GONE_TIMEOUT", 0.0)
    monkeypatch.setattr(
        _probe_container, "start_echo", lambda pid, address, port, seconds, path: {"pid": 1, "port": port}
    )
    return Host(fake_cli, fixture_text)


def test_present_with_image(host: Host, run_module: Run) -> None:
    host.observed()
    host.started()
    host.observed(container=True)
    answer = run_module(overlay_probe.main, network=NETWORK)
    assert answer["changed"] is False
    assert answer["probe"] == {
        "container": NAME,
        "address": "10.78.0.2",
        "pid": host.container["State"]["Pid"],
        "tcp_port": 7,
    }
    assert len(answer["commands"]) == 1


def test_present_makes_the_image(
    host: Host, run_module: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = str(tmp_path / f"probe-{NAME}.tar")
    monkeypatch.setattr(_probe_container, "files_for", lambda program, ldd: {"/bin/sleep": __file__})
    host.observed(image=False)
    host.cli.expect("docker", "image", "import", "--change", "LABEL crosshost.overlay=probe-image", tar, IMAGE)
    host.started()
    host.observed(container=True)
    answer = run_module(overlay_probe.main, network=NETWORK)
    assert answer["changed"] is True
    assert answer["diff"] == {"before": {"image": None}, "after": {"image": IMAGE}}
    assert not os.path.exists(tar)


def test_present_replaces_an_old_probe(host: Host, run_module: Run) -> None:
    host.observed(container=True)
    host.cli.expect(
        "docker", "container", "rm", "--force", host.id, rc=1, err="removal of container is already in progress"
    )
    host.asked("container", NAME, there=False)
    host.started()
    host.observed(container=True)
    assert run_module(overlay_probe.main, network=NETWORK)["changed"] is False


def test_a_container_that_does_not_go_is_named(host: Host, run_module: Run) -> None:
    host.observed(container=True)
    host.cli.expect("docker", "container", "rm", "--force", host.id, rc=1, err="device or resource busy")
    host.asked("container", NAME, there=True)
    answer = run_module(overlay_probe.main, network=NETWORK)
    assert "still there" in answer["msg"]
    assert "device or resource busy" in answer["msg"]


@pytest.mark.parametrize(
    "labels", [{}, None, {"crosshost.overlay": "probe-image"}], ids=["none", "null", "of the image"]
)
def test_a_foreign_container_is_refused_and_survives_absent(
    host: Host, run_module: Run, labels: dict[str, str] | None
) -> None:
    host.container["Config"]["Labels"] = labels
    host.observed(container=True)
    assert "not a probe of this collection" in run_module(overlay_probe.main, network=NETWORK)["msg"]
    host.asked("image", IMAGE, there=True)
    host.asked("container", NAME, there=True)
    assert run_module(overlay_probe.main, state="absent")["commands"] == []


def test_present_needs_the_network(host: Host, run_module: Run) -> None:
    host.observed(network=False)
    assert "no Docker network 'prbnet'" in run_module(overlay_probe.main, network=NETWORK)["msg"]


def test_archive_must_be_there(host: Host, run_module: Run) -> None:
    host.observed(image=False)
    answer = run_module(overlay_probe.main, network=NETWORK, archive="/nonexistent.tar")
    assert "/nonexistent.tar is not on this host" in answer["msg"]


def test_archive_must_hold_the_image(host: Host, run_module: Run) -> None:
    host.observed(image=False)
    host.cli.expect("docker", "image", "load", "--quiet", "--input", __file__)
    host.asked("image", IMAGE, there=False)
    assert "does not hold the image" in run_module(overlay_probe.main, network=NETWORK, archive=__file__)["msg"]


def test_a_failed_start_leaves_nothing(host: Host, run_module: Run) -> None:
    host.observed()
    host.started(rc=127, err='docker: Error response from daemon: exec: "sleep": executable file not found in $PATH')
    host.observed(container=True)
    host.cli.expect("docker", "container", "rm", "--force", host.id)
    host.asked("container", NAME, there=False)
    answer = run_module(overlay_probe.main, network=NETWORK)
    assert "executable file not found" in answer["msg"]
    assert answer["rc"] == 127


def test_an_echo_service_that_does_not_start_takes_the_container_with_it(
    host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*dummy_args: t.Any) -> None:
        raise NamespaceError("Address already in use")

    monkeypatch.setattr(_probe_container, "start_echo", fail)
    host.observed()
    host.started()
    host.observed(container=True)
    host.observed(container=True)
    host.cli.expect("docker", "container", "rm", "--force", host.id)
    host.asked("container", NAME, there=False)
    assert "Address already in use" in run_module(overlay_probe.main, network=NETWORK)["msg"]


def test_no_daemon_is_no_absence(host: Host, run_module: Run) -> None:
    argv = ("docker", "image", "inspect", "--format", "{{json .}}", IMAGE)
    host.cli.expect(*argv, rc=1, out="\n", err=NO_DAEMON)
    answer = run_module(overlay_probe.main, network=NETWORK)
    assert "Is the daemon running?" in answer["msg"]
    assert answer["stderr"] == NO_DAEMON


@pytest.mark.parametrize(("remove_image", "changed"), [(False, False), (True, True)])
def test_absent(host: Host, run_module: Run, remove_image: bool, changed: bool) -> None:
    host.asked("image", IMAGE, there=True)
    host.asked("container", NAME, there=True)
    host.cli.expect("docker", "container", "rm", "--force", host.id)
    host.asked("container", NAME, there=False)
    if remove_image:
        host.cli.expect("docker", "image", "rm", IMAGE)
    answer = run_module(overlay_probe.main, state="absent", remove_image=remove_image)
    assert answer["changed"] is changed
    assert answer["diff"]["after"] == {"image": None if remove_image else IMAGE}


@pytest.mark.parametrize(("state", "changed"), [("present", True), ("absent", False)])
def test_check_mode_without_docker(host: Host, run_module: Run, state: str, changed: bool) -> None:
    host.cli.missing.add("docker")
    answer = run_module(overlay_probe.main, check_mode=True, state=state, network=NETWORK)
    assert (answer["changed"], answer["commands"]) == (changed, [])


def test_check_mode_predicts_before_the_network_exists(host: Host, run_module: Run) -> None:
    host.observed(image=False, network=False)
    answer = run_module(overlay_probe.main, check_mode=True, network=NETWORK)
    assert answer["changed"] is True
    assert [command.split()[1] for command in answer["commands"]] == ["image", "run"]


def test_present_without_docker_names_the_package(host: Host, run_module: Run) -> None:
    host.cli.missing.add("docker")
    assert "docker.io" in run_module(overlay_probe.main, network=NETWORK)["msg"]


def test_check_mode_sends_nothing(host: Host, run_module: Run) -> None:
    answer = run_module(overlay_probe.main, check_mode=True, state="probed", network=NETWORK)
    assert answer["skipped"] is True


def test_probed_needs_a_probe(host: Host, run_module: Run) -> None:
    host.observed()
    assert "start it with state=present" in run_module(overlay_probe.main, state="probed", network=NETWORK)["msg"]


def test_probed_returns_what_was_measured(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, t.Any] = {}
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, warning: warnings.append(warning))

    def fake_call(path: str, work: t.Callable[[], t.Any], timeout: float) -> list[str]:
        seen.update(path=path, timeout=timeout)
        return ["measured"]

    monkeypatch.setattr(overlay_probe, "call", fake_call)
    monkeypatch.setattr(overlay_probe, "started_at", lambda pid: "1")
    monkeypatch.setattr(overlay_probe, "neighbour_overflows", iter([0, 4]).__next__)
    host.observed(container=True)
    answer = run_module(
        overlay_probe.main, state="probed", network=NETWORK, targets=[{"name": "h2", "address": "10.50.2.3"}]
    )
    assert (answer["changed"], answer["results"]) == (False, ["measured"])
    assert seen == {"path": f"/proc/{host.container['State']['Pid']}/ns/net", "timeout": pytest.approx(19)}
    assert "gc_thresh3" in warnings[0]


def test_figures_of_a_container_that_ended_mean_nothing(
    host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    births: t.Iterator[str | None] = iter(["1", None])
    monkeypatch.setattr(overlay_probe, "call", lambda *args: [])
    monkeypatch.setattr(overlay_probe, "started_at", lambda pid: next(births))
    host.observed(container=True)
    answer = run_module(
        overlay_probe.main, state="probed", network=NETWORK, targets=[{"name": "h2", "address": "10.50.2.3"}]
    )
    assert "raise lifetime" in answer["msg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lifetime": 5}, "lifetime=5 is not within 10 to 3600"),
        ({"count": 0}, "count=0"),
        ({"interval": "nan"}, "interval=nan"),
        ({"port": 70000}, "port=70000"),
        ({"name": "-x"}, "name='-x'"),
        ({"network": "a b"}, "network='a b'"),
        ({"targets": [{"name": "h2", "address": "fd00::1"}]}, "target 'h2' is no IPv4 address"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_input_is_refused_first(host: Host, run_module: Run, options: dict[str, t.Any], message: str) -> None:
    assert message in run_module(overlay_probe.main, **{"network": NETWORK, **options})["msg"]
