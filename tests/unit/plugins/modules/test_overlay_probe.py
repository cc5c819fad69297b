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
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli, Result
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
        self.network: str = fixture_text("probe/network-20.10.24.json")

    def asked(self, kind: str, name: str, there: bool) -> None:
        """Expect a question after an object."""
        argv = ("docker", kind, "inspect", "--format", "{{json .}}", name)
        missing = {"image": NO_IMAGE, "container": NO_CONTAINER, "network": NO_NETWORK}[kind]
        if not there:
            self.cli.expect(*argv, rc=1, out="\n", err=missing)
        elif kind == "container":
            self.cli.expect(*argv, out=json.dumps(self.container))
        elif kind == "network":
            self.cli.expect(*argv, out=self.network)
        else:
            self.cli.expect(*argv, out=self._text(f"probe/{kind}-20.10.24.json"))

    def plugin(self, driver: str) -> None:
        """Have the network belong to a plugin."""
        self.network = json.dumps({**json.loads(self.network), "Driver": driver})

    def observed(self, image: bool = True, container: bool = False, network: bool = True) -> None:
        """Expect everything the plan needs."""
        self.asked("image", IMAGE, image)
        self.asked("container", NAME, container)
        self.asked("network", NETWORK, network)

    def started(self, *names: str, **answer: t.Any) -> None:
        """Expect the start of the container."""
        run = ["run", "--detach", "--rm", "--pull", "never", "--name", NAME, "--label", "crosshost.overlay=probe"]
        run += ["--network", NETWORK, "--read-only", "--cap-drop", "ALL", *names, "--security-opt", "no-new-privileges"]
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
        "hostname": None,
        "dns_server": None,
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


# What docker 20.10.24 says of its own bridge: at first without, after a restart of the daemon with the gateway.
BRIDGE: dict[str, t.Any] = {"Driver": "bridge", "Options": {"com.docker.network.bridge.name": "docker0"}}
WITHOUT = {**BRIDGE, "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "172.17.0.0/16"}]}}
WITH = {**BRIDGE, "IPAM": {"Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]}}
LINK = [{"ifname": "docker0", "addr_info": [{"family": "inet", "local": "172.17.0.1", "prefixlen": 16}]}]
ASK_BRIDGE = ("docker", "network", "inspect", "--format", "{{json .}}", "bridge")
ASK_LINK = ("ip", "-json", "-4", "address", "show", "dev", "docker0")


@pytest.mark.parametrize("bridge", [WITHOUT, WITH], ids=["gateway of the link", "gateway of the network"])
def test_present_with_a_name(host: Host, run_module: Run, bridge: dict[str, t.Any]) -> None:
    host.observed()
    host.cli.expect(*ASK_BRIDGE, out=json.dumps(bridge))
    if bridge is WITHOUT:
        host.cli.expect(*ASK_LINK, out=json.dumps(LINK))
    host.started("--hostname", "probe-h1.weave.local", "--dns", "172.17.0.1", "--dns-search", "weave.local")
    host.observed(container=True)
    names = {"hostname": "probe-h1.weave.local", "dns_server": "docker-bridge", "dns_search": "weave.local"}
    probe = run_module(overlay_probe.main, network=NETWORK, **names)["probe"]
    assert (probe["hostname"], probe["dns_server"]) == ("probe-h1.weave.local", "172.17.0.1")


def test_no_docker_bridge(host: Host, run_module: Run) -> None:
    host.observed()
    host.cli.expect(*ASK_BRIDGE, rc=1, out="\n", err=NO_NETWORK)
    answer = run_module(overlay_probe.main, network=NETWORK, dns_server="docker-bridge")
    assert "name the address of the name server" in answer["msg"]


@pytest.mark.parametrize(
    ("driver", "remedy"), [("weavemesh", "docker logs weave"), ("other", "start what serves that plugin")]
)
def test_a_dead_plugin_is_named(host: Host, run_module: Run, driver: str, remedy: str) -> None:
    # As docker 20.10.24 said it when the router had been killed.
    refused = (
        'docker: Error response from daemon: legacy plugin: Post "http://%2Frun%2Fdocker%2Fplugins%2Fweavemesh.sock/Plugin.Activate": '
        "dial unix /run/docker/plugins/weavemesh.sock: connect: connection refused.\n"
    )
    host.plugin(driver)
    host.observed()
    host.started(rc=125, err=refused)
    host.observed()
    answer = run_module(overlay_probe.main, network=NETWORK)
    assert f"network 'prbnet' of the Docker plugin '{driver}': docker: Error response from daemon" in answer["msg"]
    assert remedy in answer["msg"]
    assert answer["rc"] == 125


@pytest.mark.parametrize(("driver", "seconds"), [("bridge", None), ("weavemesh", _probe_container.PLUGIN_TIMEOUT)])
def test_a_plugin_gets_less_time(
    host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch, driver: str, seconds: float | None
) -> None:
    times: list[float | None] = []
    run_raw = Cli.run_raw

    def timed(cli: Cli, *args: str, timeout: float | None = None) -> Result:
        times.append(timeout)
        return run_raw(cli, *args, timeout=timeout)

    monkeypatch.setattr(Cli, "run_raw", timed)
    host.plugin(driver)
    host.observed()
    host.started()
    host.observed(container=True)
    run_module(overlay_probe.main, network=NETWORK)
    assert times[3] == seconds


def test_a_plugin_that_hangs_is_not_waited_for(host: Host, run_module: Run) -> None:
    host.plugin("weavemesh")
    host.observed()
    host.started(rc=124, timed_out=True)
    mine = ("--filter", r"name=^/crosshost\-probe$", "--filter", "label=crosshost.overlay=probe")
    host.cli.expect("docker", "ps", "--all", "--no-trunc", "--quiet", *mine, out=f"{host.id}\n")
    host.cli.expect("docker", "container", "rm", "--force", host.id, rc=124, timed_out=True)
    answer = run_module(overlay_probe.main, network=NETWORK)
    assert "'docker run' did not end within" in answer["msg"]
    assert "weave_launch" in answer["msg"]


def test_names_are_looked_up_where_there_are_any(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[t.Any] = []

    def look_up(wanted: list[t.Any], server: str, timeout: float) -> list[str]:
        asked.append(([(item.fqdn, item.address) for item in wanted], server, timeout))
        return [f"found {item.fqdn}" for item in wanted]

    monkeypatch.setattr(overlay_probe, "call", lambda path, work, timeout: work())
    monkeypatch.setattr(overlay_probe, "started_at", lambda pid: "1")
    monkeypatch.setattr(overlay_probe, "look_up", look_up)
    monkeypatch.setattr(overlay_probe, "probe", lambda targets, settings: [{"name": item.name} for item in targets])
    targets = [
        {"name": "h2", "address": "10.50.2.3"},
        {"name": "h3", "address": "10.50.3.3", "fqdn": "h3.weave.local"},
    ]
    host.observed(container=True)
    answer = run_module(
        overlay_probe.main, state="probed", network=NETWORK, targets=targets, dns_server="172.17.0.1", lookup_timeout=3
    )
    assert [item["lookup"] for item in answer["results"]] == [None, "found h3.weave.local"]
    assert asked == [([("h3.weave.local", "10.50.3.3")], "172.17.0.1", 3)]
    host.observed(container=True)
    run_module(overlay_probe.main, state="probed", network=NETWORK, targets=targets[:1], dns_server="172.17.0.1")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hostname": "probe_1"}, "hostname, 'probe_1', is no host name"),
        ({"hostname": "-x"}, "hostname, '-x', is no host name"),
        ({"hostname": "a..b"}, "hostname, 'a..b'"),
        ({"hostname": "a" * 64}, "is no host name"),
        ({"hostname": f"{'a' * 40}.{'b' * 40}"}, "more than 64 characters"),
        ({"dns_search": "weave local"}, "dns_search, 'weave local'"),
        ({"dns_server": "fd00::1"}, "dns_server='fd00::1' is neither an IPv4 address nor 'docker-bridge'"),
        ({"lookup_timeout": 0}, "lookup_timeout=0"),
        ({"targets": [{"name": "h2", "address": "10.0.0.1", "fqdn": "h2"}]}, "no dns_server to ask"),
        ({"targets": [{"name": "h2", "address": "10.0.0.1", "fqdn": "h 2"}]}, "fqdn of target 'h2', 'h 2'"),
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
