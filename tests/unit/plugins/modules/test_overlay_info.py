# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""overlay_info as a whole; what its sections make of the tools' answers is tested beside them (test__info_*.py)."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _info_ours, _info_sections
from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section
from ansible_collections.crosshost.overlay.plugins.modules import overlay_info

if t.TYPE_CHECKING:
    from conftest import FakeCli

Run = t.Callable[..., t.Dict[str, t.Any]]
SHOW = ("systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", "--", "openvswitch-switch")
LINKS = ("ip", "-json", "-details", "address", "show")
DOCKER = ("docker", "version", "--format", "{{.Server.Version}}")
MINIMAL = {
    *(
        "uid",
        "machine_id",
        "system",
        "interfaces",
        "routes",
        "management_address",
        "docker",
        "openvswitch",
        "slices",
        "attachment",
    ),
    "errors",
}


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the sections one after another, as a script of commands needs it."""

    def run_all(sections: t.Sequence[Section], dummy_limit: float) -> dict[str, str]:
        for item in sections:
            item.run()
        return {item.name: "; ".join(item.problems) for item in sections if item.problems}

    monkeypatch.setattr(overlay_info, "run_all", run_all)


@pytest.fixture
def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that has none of the tools."""
    monkeypatch.setattr(AnsibleModule, "get_bin_path", lambda *dummy_args, **dummy_kwargs: None)


def network(fake_cli: FakeCli, fixture_text: t.Callable[[str], str]) -> None:
    """What ip says."""
    fake_cli.expect(*LINKS, out=fixture_text("host/address.json"))
    fake_cli.expect("ip", "-json", "-4", "route", "show", out=fixture_text("host/route4.json"))
    fake_cli.expect("ip", "-json", "-6", "route", "show", out="[]")


@pytest.mark.usefixtures("one_by_one")
def test_minimum(fake_cli: FakeCli, fixture_text: t.Callable[[str], str], run_module: Run) -> None:
    """As few commands as there can be: it is read before every run of a role."""
    fake_cli.missing |= {"systemctl"}
    network(fake_cli, fixture_text)
    fake_cli.expect(*DOCKER, rc=1, err="Cannot connect to the Docker daemon")
    fake_cli.expect(
        *("ovs-vsctl", "--timeout=20", "--format=json", "--columns=name,datapath_type", "list", "Bridge"),
        *("--", "get", "Open_vSwitch", ".", "ovs_version"),
        out='{"data":[["br0",""],["br-phy","netdev"]],"headings":["name","datapath_type"]}\n"3.1.0"\n',
    )
    overlay = run_module(overlay_info.main, subsets=["minimal"])["overlay"]
    assert set(overlay) == MINIMAL
    assert overlay["openvswitch"]["bridges"] == [
        {"name": "br0", "datapath": "system"},
        {"name": "br-phy", "datapath": "netdev"},
    ]
    assert overlay["openvswitch"]["version"] == "3.1.0"
    assert set(overlay["interfaces"][0]) == {
        *("name", "mtu", "mac", "kind", "master", "up", "addresses", "dynamic"),
    }
    assert "Cannot connect to the Docker daemon" in overlay["docker"]["error"]
    assert overlay["errors"] == {"docker": overlay["docker"]["error"]}


@pytest.mark.usefixtures("one_by_one")
def test_minimum_that_cannot_be_read(fake_cli: FakeCli, fixture_text: t.Callable[[str], str], run_module: Run) -> None:
    """A role must not plan as if a host had no networks because they could not be listed."""
    fake_cli.missing |= {"ovs-vsctl"}
    network(fake_cli, fixture_text)
    fake_cli.expect(*DOCKER, out="20.10.24\n")
    fake_cli.expect("docker", "network", "ls", "--no-trunc", "--quiet", rc=124, timed_out=True)
    answer = run_module(overlay_info.main, subsets=["minimal"])
    assert answer["failed"]
    assert "docker network ls" in answer["msg"]


@pytest.mark.usefixtures("no_tools")
def test_minimum_without_ip(run_module: Run) -> None:
    """The one tool that has to be there."""
    answer = run_module(overlay_info.main, subsets=["minimal"])
    assert answer["failed"]
    assert "iproute2" in answer["msg"]


@pytest.mark.usefixtures("no_tools")
def test_host_without_anything(run_module: Run) -> None:
    """All is returned that is documented; what is not there is empty, and errors says why."""
    wish = {"backend": "weave", "peers": ["192.0.2.12"]}
    overlay = run_module(overlay_info.main, sample=0, firewall=wish, weave_script="/nonexistent")["overlay"]
    documented = yaml.safe_load(overlay_info.RETURN)["overlay"]["contains"]
    assert set(overlay) == set(documented)
    assert overlay["interfaces"] == []
    assert "iproute2" in overlay["errors"]["host"]
    assert overlay["docker"]["installed"] is False
    assert overlay["openvswitch"]["installed"] is False
    assert overlay["openvswitch"]["ports"] == []
    assert overlay["firewall"]["filters"]["firewalld"] == "absent"
    assert overlay["time"]["daemons"] == []
    assert overlay["identity"]["boot_id"]
    assert overlay["rates"] == {}


@pytest.mark.usefixtures("no_tools")
def test_one_subset(run_module: Run) -> None:
    """The others are empty."""
    overlay = run_module(overlay_info.main, subsets=["minimal", "kernel"])["overlay"]
    assert overlay["kernel"]["release"] == overlay["system"]["kernel"]
    assert (overlay["weave"], overlay["firewall"], overlay["time"], overlay["rates"]) == ({}, {}, {}, {})


@pytest.mark.parametrize("options", [{"timeout": 0}, {"sample": -1}, {"sample": 3600}, {"subsets": ["nosuch"]}])
def test_odd_options(run_module: Run, options: dict[str, t.Any]) -> None:
    """Refused before anything is read."""
    assert run_module(overlay_info.main, **options)["failed"]


def test_options_are_those_of_the_firewall_module() -> None:
    """It is the same wish."""
    from ansible_collections.crosshost.overlay.plugins.module_utils._fw_module import WISH_SPEC

    ours = {
        name: {key: value for key, value in spec.items() if key != "required"}
        for name, spec in overlay_info.FIREWALL_SPEC.items()
    }
    assert ours == {name: spec for name, spec in WISH_SPEC.items() if name != "timeout"}


# A service


class FakeModule:
    """A host with systemd, or without."""

    def __init__(self, *tools: str) -> None:
        self.tools = tools

    def get_bin_path(self, arg: str, *dummy_args: t.Any, **dummy_kwargs: t.Any) -> str | None:
        """Only these tools are there."""
        return f"/usr/bin/{arg}" if arg in self.tools else None


def service(*tools: str) -> dict[str, str]:
    """What is said of Open vSwitch's unit."""
    section = _info_sections.Section(t.cast(t.Any, FakeModule(*tools)), "x", lambda dummy: None, timeout=5)
    return _info_ours.service(section, "openvswitch-switch")


@pytest.mark.parametrize(
    ("rc", "out", "expected"),
    [
        pytest.param(
            0, "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n", ("active", "enabled"), id="runs"
        ),
        pytest.param(
            0, "LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n", ("inactive", "disabled"), id="off"
        ),
        pytest.param(0, "LoadState=not-found\nActiveState=inactive\nUnitFileState=\n", ("", ""), id="no such unit"),
        pytest.param(1, "", ("", ""), id="systemd does not answer"),
    ],
)
def test_service(fake_cli: FakeCli, rc: int, out: str, expected: tuple[str, str]) -> None:
    """Empty where systemd does not know it."""
    fake_cli.expect(*SHOW, rc=rc, out=out)
    assert tuple(service("systemctl").values()) == expected


def test_host_without_systemd() -> None:
    """Nothing is asked."""
    assert service() == {"active": "", "enabled": ""}
