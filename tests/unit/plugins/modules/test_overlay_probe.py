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

from ansible_collections.crosshost.overlay.plugins.module_utils import _probe_container, _probe_send
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli, Result
from ansible_collections.crosshost.overlay.plugins.module_utils._netns import NamespaceError
from ansible_collections.crosshost.overlay.plugins.modules import overlay_probe

IMAGE, NAME, NETWORK = "crosshost-overlay-probe:local", "crosshost-probe", "prbnet"
SECOND = f"{NAME}-2"
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

    def probes(self, first: bool, second: bool = False) -> None:
        """Expect a question after both probes."""
        out = [json.dumps(self.container)] if first else []
        out += [json.dumps(self.second)] if second else []
        missing = NO_CONTAINER * (2 - len(out))
        argv = ("docker", "container", "inspect", "--format", "{{json .}}", NAME, SECOND)
        self.cli.expect(*argv, rc=1 if missing else 0, out="\n".join(out) + "\n", err=missing)

    @property
    def second(self) -> dict[str, t.Any]:
        """The second probe."""
        made = json.loads(json.dumps(self.container))
        made.update(Id="2" * 64, Name=f"/{SECOND}")
        made["State"]["Pid"] += 1
        made["NetworkSettings"]["Networks"][NETWORK]["IPAddress"] = "10.78.0.3"
        return made

    def asked(self, kind: str, name: str, there: bool) -> None:
        """Expect a question after an object."""
        argv = ("docker", kind, "inspect", "--format", "{{json .}}", name)
        missing = {"image": NO_IMAGE, "network": NO_NETWORK}[kind]
        if not there:
            self.cli.expect(*argv, rc=1, out="\n", err=missing)
        elif kind == "network":
            self.cli.expect(*argv, out=self.network)
        else:
            self.cli.expect(*argv, out=self._text(f"probe/{kind}-20.10.24.json"))

    def plugin(self, driver: str) -> None:
        """Have the network belong to a plugin."""
        self.network = json.dumps({**json.loads(self.network), "Driver": driver})

    def observed(self, image: bool = True, container: bool = False, network: bool = True, second: bool = False) -> None:
        """Expect everything the plan needs."""
        self.asked("image", IMAGE, image)
        self.probes(container, second)
        self.asked("network", NETWORK, network)

    def started(self, *names: str, name: str = NAME, **answer: t.Any) -> None:
        """Expect the start of a container."""
        run = ["run", "--detach", "--rm", "--pull", "never", "--name", name, "--label", "crosshost.overlay=probe"]
        run += ["--network", NETWORK, "--read-only", "--cap-drop", "ALL", *names, "--security-opt", "no-new-privileges"]
        self.cli.expect("docker", *run, "--log-driver", "none", "--entrypoint", "sleep", IMAGE, "600", **answer)


@pytest.fixture
def host(
    fake_cli: t.Any, fixture_text: t.Callable[[str], str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Host:
    """A host whose echo service is pretended."""
    monkeypatch.setattr(_probe_container, "RUN_DIR", str(tmp_path))
    monkeypatch.setattr(_probe_container, "GONE_TIMEOUT", 0.0)
    monkeypatch.setattr(_probe_container, "parallel", lambda work, items: [work(item) for item in items])
    monkeypatch.setattr(
        _probe_container, "start_echo", lambda pid, address, port, seconds, path: {"pid": 1, "port": port}
    )
    return Host(fake_cli, fixture_text)


def test_present_with_image(host: Host, run_module: Run) -> None:
    host.observed()
    host.started()
    host.observed(container=True)
    answer = run_module(overlay_probe.main, same_host=False, network=NETWORK)
    assert answer["changed"] is False
    assert answer["probe"] == {
        "container": NAME,
        "address": "10.78.0.2",
        "pid": host.container["State"]["Pid"],
        "tcp_port": 7,
        "hostname": None,
        "dns_server": None,
        "same_host": None,
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
    answer = run_module(overlay_probe.main, same_host=False, network=NETWORK)
    assert answer["changed"] is True
    assert answer["diff"] == {"before": {"image": None}, "after": {"image": IMAGE}}
    assert not os.path.exists(tar)


def test_present_replaces_an_old_probe(host: Host, run_module: Run) -> None:
    host.observed(container=True)
    host.cli.expect(
        "docker", "container", "rm", "--force", host.id, rc=1, err="removal of container is already in progress"
    )
    host.probes(False)
    host.started()
    host.observed(container=True)
    assert run_module(overlay_probe.main, same_host=False, network=NETWORK)["changed"] is False


def test_a_container_that_does_not_go_is_named(host: Host, run_module: Run) -> None:
    host.observed(container=True)
    host.cli.expect("docker", "container", "rm", "--force", host.id, rc=1, err="device or resource busy")
    host.probes(True)
    answer = run_module(overlay_probe.main, same_host=False, network=NETWORK)
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
    assert "not a probe of this collection" in run_module(overlay_probe.main, same_host=False, network=NETWORK)["msg"]
    host.asked("image", IMAGE, there=True)
    host.probes(True)
    assert run_module(overlay_probe.main, state="absent")["commands"] == []


def test_present_needs_the_network(host: Host, run_module: Run) -> None:
    host.observed(network=False)
    assert "no Docker network 'prbnet'" in run_module(overlay_probe.main, same_host=False, network=NETWORK)["msg"]


def test_archive_must_be_there(host: Host, run_module: Run) -> None:
    host.observed(image=False)
    answer = run_module(overlay_probe.main, same_host=False, network=NETWORK, archive="/nonexistent.tar")
    assert "/nonexistent.tar is not on this host" in answer["msg"]


def test_archive_must_hold_the_image(host: Host, run_module: Run) -> None:
    host.observed(image=False)
    host.cli.expect("docker", "image", "load", "--quiet", "--input", __file__)
    host.asked("image", IMAGE, there=False)
    assert (
        "does not hold the image"
        in run_module(overlay_probe.main, same_host=False, network=NETWORK, archive=__file__)["msg"]
    )


def test_a_failed_start_leaves_nothing(host: Host, run_module: Run) -> None:
    host.observed()
    host.started(rc=127, err='docker: Error response from daemon: exec: "sleep": executable file not found in $PATH')
    host.observed(container=True)
    host.cli.expect("docker", "container", "rm", "--force", host.id)
    host.probes(False)
    answer = run_module(overlay_probe.main, same_host=False, network=NETWORK)
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
    host.probes(False)
    assert "Address already in use" in run_module(overlay_probe.main, same_host=False, network=NETWORK)["msg"]


def test_no_daemon_is_no_absence(host: Host, run_module: Run) -> None:
    argv = ("docker", "image", "inspect", "--format", "{{json .}}", IMAGE)
    host.cli.expect(*argv, rc=1, out="\n", err=NO_DAEMON)
    answer = run_module(overlay_probe.main, same_host=False, network=NETWORK)
    assert "Is the daemon running?" in answer["msg"]
    assert answer["stderr"] == NO_DAEMON


@pytest.mark.parametrize(("remove_image", "changed"), [(False, False), (True, True)])
def test_absent(host: Host, run_module: Run, remove_image: bool, changed: bool) -> None:
    host.asked("image", IMAGE, there=True)
    host.probes(True)
    host.cli.expect("docker", "container", "rm", "--force", host.id)
    host.probes(False)
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
    answer = run_module(overlay_probe.main, check_mode=True, same_host=False, network=NETWORK)
    assert answer["changed"] is True
    assert [command.split()[1] for command in answer["commands"]] == ["image", "run"]


def test_present_without_docker_names_the_package(host: Host, run_module: Run) -> None:
    host.cli.missing.add("docker")
    assert "docker.io" in run_module(overlay_probe.main, same_host=False, network=NETWORK)["msg"]


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

    def fake_call(path: str, work: t.Callable[[], t.Any], timeout: float) -> dict[str, t.Any]:
        seen.update(path=path, timeout=timeout)
        return {"results": ["measured"], "broadcast": {"amplified": False}}

    monkeypatch.setattr(_probe_send, "call", fake_call)
    monkeypatch.setattr(_probe_send, "started_at", lambda pid: "1")
    monkeypatch.setattr(_probe_send, "neighbour_overflows", iter([0, 4]).__next__)
    host.observed(container=True)
    answer = run_module(
        overlay_probe.main,
        state="probed",
        network=NETWORK,
        same_host=False,
        targets=[{"name": "h2", "address": "10.50.2.3"}],
    )
    assert (answer["changed"], answer["results"]) == (False, ["measured"])
    assert (answer["broadcast"], answer["containers"]) == ({"amplified": False}, None)
    assert seen == {"path": f"/proc/{host.container['State']['Pid']}/ns/net", "timeout": pytest.approx(30)}
    assert "gc_thresh3" in warnings[0]


def test_figures_of_a_container_that_ended_mean_nothing(
    host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    births: t.Iterator[str | None] = iter(["1", None])
    monkeypatch.setattr(_probe_send, "call", lambda *args: {"results": []})
    monkeypatch.setattr(_probe_send, "started_at", lambda pid: next(births))
    host.observed(container=True)
    answer = run_module(
        overlay_probe.main,
        state="probed",
        same_host=False,
        network=NETWORK,
        targets=[{"name": "h2", "address": "10.50.2.3"}],
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
    probe = run_module(overlay_probe.main, same_host=False, network=NETWORK, **names)["probe"]
    assert (probe["hostname"], probe["dns_server"]) == ("probe-h1.weave.local", "172.17.0.1")


def test_no_docker_bridge(host: Host, run_module: Run) -> None:
    host.observed()
    host.cli.expect(*ASK_BRIDGE, rc=1, out="\n", err=NO_NETWORK)
    answer = run_module(overlay_probe.main, same_host=False, network=NETWORK, dns_server="docker-bridge")
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
    answer = run_module(overlay_probe.main, same_host=False, network=NETWORK)
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
    run_module(overlay_probe.main, same_host=False, network=NETWORK)
    assert times[3] == seconds


def test_a_plugin_that_hangs_is_not_waited_for(host: Host, run_module: Run) -> None:
    host.plugin("weavemesh")
    host.observed()
    host.started(rc=124, timed_out=True)
    mine = ("--filter", r"name=^/crosshost\-probe(-2)?$", "--filter", "label=crosshost.overlay=probe")
    host.cli.expect("docker", "ps", "--all", "--no-trunc", "--quiet", *mine, out=f"{host.id}\n")
    host.cli.expect("docker", "container", "rm", "--force", host.id, rc=124, timed_out=True)
    answer = run_module(overlay_probe.main, same_host=False, network=NETWORK)
    assert "'docker run' did not end within" in answer["msg"]
    assert "weave_launch" in answer["msg"]


def test_names_are_looked_up_where_there_are_any(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[t.Any] = []

    def look_up(wanted: list[t.Any], server: str, timeout: float) -> list[str]:
        asked.append(([(item.fqdn, item.address) for item in wanted], server, timeout))
        return [f"found {item.fqdn}" for item in wanted]

    monkeypatch.setattr(_probe_send, "call", lambda path, work, timeout: work())
    monkeypatch.setattr(_probe_send, "started_at", lambda pid: "1")
    monkeypatch.setattr(_probe_send, "look_up", look_up)
    monkeypatch.setattr(
        _probe_send, "probe", lambda targets, *dummy: {"results": [{"name": item.name} for item in targets]}
    )
    targets = [
        {"name": "h2", "address": "10.50.2.3"},
        {"name": "h3", "address": "10.50.3.3", "fqdn": "h3.weave.local"},
    ]
    host.observed(container=True)
    answer = run_module(
        overlay_probe.main,
        state="probed",
        same_host=False,
        network=NETWORK,
        targets=targets,
        dns_server="172.17.0.1",
        lookup_timeout=3,
    )
    assert [item["lookup"] for item in answer["results"]] == [None, "found h3.weave.local"]
    assert asked == [([("h3.weave.local", "10.50.3.3")], "172.17.0.1", 3)]
    host.observed(container=True)
    run_module(
        overlay_probe.main,
        state="probed",
        same_host=False,
        network=NETWORK,
        targets=targets[:1],
        dns_server="172.17.0.1",
    )
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
        ({"mtu": 100}, "mtu=100 is not within 128 to 65535"),
        ({"containers": {}}, "containers selects nothing"),
        ({"endpoints": {"h2": "text"}}, "endpoints of 'h2' are no list"),
        ({"endpoints": {"h2": [{"name": "a"}]}}, "endpoints of 'h2' are no list"),
        ({"endpoints": {"h2": [{"name": "a", "address": "fd00::1"}]}}, "endpoints of 'h2' are no list"),
        ({"checks": ["tcp"]}, "value of checks must be one or more of"),
        ({"lifetime": 5}, "lifetime=5 is not within 10 to 86400"),
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


def both(host: Host) -> None:
    """Expect the start of both probes."""
    host.started()
    host.started(name=SECOND)


def test_two_probes(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[t.Any, ...]] = []
    monkeypatch.setattr(_probe_container, "start_echo", lambda *args: served.append(args))
    host.observed()
    both(host)
    host.observed(container=True, second=True)
    answer = run_module(overlay_probe.main, network=NETWORK)
    pid = host.container["State"]["Pid"]
    assert answer["probe"]["same_host"] == {"container": SECOND, "address": "10.78.0.3", "pid": pid + 1}
    assert [args[1] for args in served] == ["10.78.0.2", "10.78.0.3"]
    assert len({args[4] for args in served}) == 2
    assert len(answer["commands"]) == 2


def test_only_the_first_probe_has_the_name(host: Host, run_module: Run) -> None:
    host.observed()
    host.started("--hostname", "probe-h1.weave.local", "--dns", "172.17.0.1")
    host.started("--dns", "172.17.0.1", name=SECOND)
    host.observed(container=True, second=True)
    run_module(overlay_probe.main, network=NETWORK, hostname="probe-h1.weave.local", dns_server="172.17.0.1")


@pytest.mark.parametrize("state", ["present", "absent"])
def test_both_old_probes_go_in_one_step(host: Host, run_module: Run, state: str) -> None:
    host.asked("image", IMAGE, there=True)
    host.probes(True, True)
    if state == "present":
        host.asked("network", NETWORK, there=True)
    host.cli.expect("docker", "container", "rm", "--force", host.id, host.second["Id"])
    host.probes(False)
    if state == "present":
        both(host)
        host.observed(container=True, second=True)
    network = {"network": NETWORK} if state == "present" else {}
    assert run_module(overlay_probe.main, state=state, **network)["changed"] is False


def test_a_second_probe_that_was_left_goes_without_being_wanted(host: Host, run_module: Run) -> None:
    host.observed(second=True)
    host.cli.expect("docker", "container", "rm", "--force", host.second["Id"])
    host.probes(False)
    host.started()
    host.observed(container=True)
    run_module(overlay_probe.main, network=NETWORK, same_host=False)


def test_a_second_probe_that_does_not_start_takes_the_first_with_it(host: Host, run_module: Run) -> None:
    host.observed()
    host.started()
    host.started(name=SECOND, rc=125, err="docker: Error response from daemon: no available IPv4 addresses")
    host.observed(container=True)
    host.cli.expect("docker", "container", "rm", "--force", host.id)
    host.probes(False)
    answer = run_module(overlay_probe.main, network=NETWORK)
    assert "no available IPv4 addresses" in answer["msg"]


@pytest.mark.parametrize("same_host", [True, False])
def test_a_foreign_container_of_the_second_name(host: Host, run_module: Run, same_host: bool) -> None:
    foreign = host.second
    foreign["Config"]["Labels"] = {}
    argv = ("docker", "container", "inspect", "--format", "{{json .}}", NAME, SECOND)

    def asked() -> None:
        host.asked("image", IMAGE, there=True)
        host.cli.expect(*argv, rc=1, out=json.dumps(foreign) + "\n", err=NO_CONTAINER)
        host.asked("network", NETWORK, there=True)

    asked()
    if not same_host:
        host.started()
        host.observed(container=True)
    answer = run_module(overlay_probe.main, network=NETWORK, same_host=same_host)
    assert (f"'{SECOND}' is not a probe" in answer.get("msg", "")) is same_host


def probed(host: Host, monkeypatch: pytest.MonkeyPatch) -> list[t.Any]:
    """Pretend the sending; returns what was to be sent."""
    seen: list[t.Any] = []

    def probe(targets: t.Any, settings: t.Any, address: str) -> dict[str, t.Any]:
        seen.append((targets, settings, address))
        return {"results": [{"name": target.name} for target in targets], "broadcast": None}

    def sweep(sources: t.Any, targets: t.Any, timeout: float) -> list[t.Any]:
        seen.append((sources, targets, timeout))
        return ["swept"]

    monkeypatch.setattr(_probe_send, "call", lambda path, work, timeout: work())
    monkeypatch.setattr(_probe_send, "started_at", lambda pid: "1")
    monkeypatch.setattr(_probe_send, "probe", probe)
    monkeypatch.setattr(_probe_send, "sweep", sweep)
    return seen


@pytest.mark.parametrize(
    ("there", "options", "mtu"),
    [(None, {}, 0), ("1458", {}, 1458), ("1458", {"mtu": 1400}, 1400), ("junk", {}, 0)],
    ids=["of the interface", "of the network", "as told", "unreadable"],
)
def test_the_mtu_that_is_expected(
    host: Host,
    run_module: Run,
    monkeypatch: pytest.MonkeyPatch,
    there: str | None,
    options: dict[str, t.Any],
    mtu: int,
) -> None:
    seen = probed(host, monkeypatch)
    network = json.loads(host.network)
    network["Options"] = {"com.docker.network.driver.mtu": there} if there else None
    host.network = json.dumps(network)
    host.observed(container=True, second=True)
    answer = run_module(overlay_probe.main, state="probed", network=NETWORK, checks=["udp"], **options)
    targets, settings, address = seen[0]
    assert [(target.address, target.kind) for target in targets] == [("10.78.0.3", "same_host")]
    assert (settings.mtu, address) == (mtu, "10.78.0.2")
    assert (settings.udp, settings.largest, settings.fragmented, settings.broadcast) == (True, False, False, False)
    assert [item["name"] for item in answer["results"]] == [SECOND]


def test_a_missing_second_probe_is_told(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, warning: warnings.append(warning))
    probed(host, monkeypatch)
    host.observed(container=True)
    assert run_module(overlay_probe.main, state="probed", network=NETWORK)["results"] == []
    assert f"no second probe '{SECOND}'" in warnings[0]


def listed(host: Host, *filters: str, ids: t.Sequence[str] = ("a" * 64, "b" * 64)) -> None:
    """Expect a look for containers that are there: one on the network, a probe, one without an address."""
    words = [word for one in filters for word in ("--filter", one)]
    host.cli.expect("docker", "ps", "--quiet", "--no-trunc", *words, out="\n".join(ids) + "\n")
    items = [
        {"name": "/web", "pid": 71, "labels": {"app": "shop"}, "networks": {NETWORK: {"IPAddress": "10.78.0.9"}}},
        {
            "name": "/probe",
            "pid": 72,
            "labels": {"crosshost.overlay": "probe"},
            "networks": {NETWORK: {"IPAddress": "10.78.0.8"}},
        },
        {"name": "/none", "pid": 73, "labels": None, "networks": {NETWORK: {"IPAddress": ""}}},
        {"name": "/ended", "pid": 0, "labels": {}, "networks": {NETWORK: {"IPAddress": "10.78.0.7"}}},
        {"name": "/other", "pid": 74, "labels": {}, "networks": {"other": {"IPAddress": "10.9.0.7"}}},
    ]
    out = "\n".join(json.dumps(item) for item in items) + "\n"
    # One of them went in between.
    host.cli.expect(
        "docker", "container", "inspect", "--format", _probe_send.SHOWN, *ids, rc=1, out=out, err=NO_CONTAINER
    )


@pytest.mark.parametrize(
    ("chosen", "filters"),
    [
        ({"network": NETWORK}, [f"network={NETWORK}"]),
        ({"label": "app=shop"}, ["label=app=shop"]),
        ({"network": NETWORK, "label": "app"}, [f"network={NETWORK}", "label=app"]),
    ],
    ids=["network", "label", "both"],
)
def test_existing_containers_are_found(host: Host, run_module: Run, chosen: dict[str, str], filters: list[str]) -> None:
    host.observed()
    host.started()
    host.observed(container=True)
    listed(host, *filters)
    answer = run_module(overlay_probe.main, same_host=False, network=NETWORK, containers=chosen)
    assert answer["endpoints"] == [{"name": "web", "address": "10.78.0.9"}]


def test_existing_containers_send(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = probed(host, monkeypatch)
    ends = {"h1": [{"name": "web", "address": "10.78.0.9"}], "h2": [{"name": "db", "address": "10.78.1.9"}]}
    host.observed(container=True)
    listed(host, f"network={NETWORK}")
    answer = run_module(
        overlay_probe.main,
        state="probed",
        same_host=False,
        network=NETWORK,
        containers={"network": NETWORK},
        endpoints=ends,
    )
    assert answer["containers"] == ["swept"]
    sources, targets, timeout = seen[0]
    assert [(source.name, source.address, source.path) for source in sources] == [
        ("web", "10.78.0.9", "/proc/71/ns/net")
    ]
    assert targets == [("h1", "web", "10.78.0.9"), ("h2", "db", "10.78.1.9")]
    assert timeout == 2.0


def test_no_existing_container_is_no_failure(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    probed(host, monkeypatch)
    host.observed(container=True)
    host.cli.expect("docker", "ps", "--quiet", "--no-trunc", "--filter", "label=x", out="\n")
    answer = run_module(overlay_probe.main, state="probed", same_host=False, network=NETWORK, containers={"label": "x"})
    assert answer["containers"] == []
