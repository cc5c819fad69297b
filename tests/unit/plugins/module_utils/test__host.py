# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host prints, read; the outputs are those of Debian 12 with the overlay on it."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _host
from ansible_collections.crosshost.overlay.plugins.module_utils._bridge_host import parse_state
from ansible_collections.crosshost.overlay.plugins.module_utils._docker import containers, networks


class Answers:
    """A Cli that knows the answer to the one command it is asked, by its last words."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers

    def read(self, *args: str) -> tuple[int, str]:
        """Status and text."""
        return 0, self.answers[" ".join(args)]

    def run_raw(self, *args: str) -> t.Any:
        """What Cli.run_raw() returns, as far as the readers look at it."""
        answer = self.answers[" ".join(args)]
        return type("Result", (), {"out": answer, "rc": 0, "err": "", "timed_out": False})


def test_interfaces(fixture_text: t.Callable[[str], str]) -> None:
    """The underlay's address is on the bridge that took the card, with the card's hardware address."""
    found = {
        item.name: item
        for item in _host.interfaces(Answers({"-json -details address show": fixture_text("host/address.json")}))
    }
    assert found["br-phy"].addresses == ("198.18.11.12/24",)
    assert found["eth1"].addresses == ()
    assert found["br-phy"].mac == found["eth1"].mac
    assert (found["ovl-link"].master, found["ovl-link"].mtu) == ("ovl0", 1458)
    assert (found["ovl0"].kind, found["ovl0"].up, found["ovl0"].dynamic) == ("bridge", True, False)
    assert _host.carrier_of("198.18.11.12", found.values()) == "br-phy"
    assert _host.carrier_of("198.18.11.99", found.values()) is None
    assert _host.carrier_of(None, found.values()) is None


def test_leased_address_is_dynamic() -> None:
    """As a host with DHCP shows it."""
    info = {"family": "inet", "local": "192.0.2.7", "prefixlen": 24, "scope": "global", "dynamic": True}
    link = {"ifname": "ens3", "mtu": 1500, "flags": ["UP"], "link_type": "ether", "addr_info": [info]}
    assert _host.interfaces(Answers({"-json -details address show": json.dumps([link])}))[0].dynamic


def test_routes(fixture_text: t.Callable[[str], str]) -> None:
    """Networks in CIDR form, single addresses too."""
    ipv6 = json.dumps([{"dst": "fd00::1", "nexthops": [{"gateway": "fe80::1", "dev": "eth0"}]}])
    found = _host.routes(
        Answers({"-json -4 route show": fixture_text("host/route4.json"), "-json -6 route show": ipv6})
    )
    assert _host.Route("default", "eth0", "198.18.10.1") in found
    assert _host.Route("203.0.113.0/24", "br-phy", "198.18.11.1") in found
    assert found[-1] == _host.Route("fd00::1/128", "eth0", "fe80::1")


def test_os_release(tmp_path: pathlib.Path, fixture_text: t.Callable[[str], str]) -> None:
    """Quotes are not part of the values; no file is no values."""
    (tmp_path / "os-release").write_text(fixture_text("host/os-release.txt"))
    values = _host.os_release(str(tmp_path / "os-release"))
    assert (values["ID"], values["VERSION_ID"]) == ("debian", "12")
    assert values["PRETTY_NAME"] == "Debian GNU/Linux 12 (bookworm)"
    assert _host.os_release(str(tmp_path / "none")) == {}


@pytest.mark.parametrize(
    ("text", "record"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param('{"pool": "10.50.0.0/16", "slices": {}}', {"pool": "10.50.0.0/16", "slices": {}}, id="good"),
        pytest.param("{", {"damaged": "slices.json"}, id="cut-off"),
        pytest.param('["h1"]', {"damaged": "slices.json"}, id="list"),
    ],
)
def test_recorded_slices(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, text: str | None, record: dict
) -> None:
    """A damaged record is never taken for an empty one."""
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "slices.json").write_text(text)
    assert _host.recorded_slices("slices.json") == record


@pytest.mark.parametrize(
    ("text", "record"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param(
            '{"addresses": ["192.0.2.1/24"], "bridge": "br-phy", "link": "ovl-link", "nic": "eth1"}',
            {"addresses": ["192.0.2.1/24"], "bridge": "br-phy", "nic": "eth1"},
            id="userspace",
        ),
        pytest.param('{"addresses": [], "bridge": "", "link": "ovl-link", "nic": ""}', {}, id="kernel"),
        pytest.param('["br-phy"]', {}, id="list"),
        pytest.param("{", {}, id="cut-off"),
    ],
)
def test_recorded_attachment(tmp_path: pathlib.Path, text: str | None, record: dict) -> None:
    """Only the card that a bridge has taken counts."""
    path = tmp_path / "attach.json"
    if text is not None:
        path.write_text(text)
    assert _host.recorded_attachment(str(path)) == record


def test_ssh_address_is_found_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """sudo drops the variable, the shell above it has it; without ssh the search ends at process 1."""
    parents = {30: 20, 20: 10, 10: 1}
    environments = {20: {"SSH_CONNECTION": "192.0.2.1 50022 192.0.2.9 22"}}
    monkeypatch.setattr(_host, "parent_of", lambda pid: parents[pid])
    monkeypatch.setattr(_host, "environ_of", lambda pid: environments.get(pid, {}))
    assert _host.ssh_server_address(30) == "192.0.2.9"
    assert _host.ssh_server_address(10) is None


def test_docker(fixture_text: t.Callable[[str], str]) -> None:
    """Networks with pool and slice, and who is on them."""
    listed = json.loads(fixture_text("docker/network_inspect.json"))
    ids = [entry["Id"] for entry in listed]
    form = '{{json .Names}}\t{{json .State}}\t{{json (.Label "crosshost.overlay")}}\t{{json .Networks}}'
    docker = Answers(
        {
            "network ls --no-trunc --quiet": "\n".join(ids),
            f"network inspect {' '.join(ids)}": fixture_text("docker/network_inspect.json"),
            f"ps --all --no-trunc --format {form}": fixture_text("docker/ps.txt"),
        }
    )
    overlay, bystanders, default = networks(docker)
    assert (overlay.name, overlay.label, overlay.bridge, overlay.mtu) == ("overlay", "network", "ovl0", 1458)
    assert (overlay.pool, overlay.slice, overlay.gateway) == ("10.50.0.0/16", "10.50.1.0/24", "10.50.1.1")
    assert (bystanders.label, bystanders.bridge, bystanders.slice) == (None, f"br-{ids[1][:12]}", "172.30.0.0/24")
    assert default.bridge == "docker0"
    users = {item.name: item for item in containers(docker)}
    assert (users["app"].networks, users["app"].label, users["app"].running) == (("overlay",), None, True)


def test_parse_state(fixture_text: t.Callable[[str], str]) -> None:
    """The bridges of the overlay and one of somebody else."""
    bridges, link, errors = parse_state(fixture_text("ovs/list_bridges.txt"), "ovl-link")
    assert bridges["br-phy"].owner == "ovs_gre"
    assert bridges["br-phy"].ports == ("br-phy", "eth1")
    assert bridges["br-bystander"].owner is None
    assert (bridges["br-overlay"].datapath, bridges["br-overlay"].fail_mode) == ("netdev", "standalone")
    assert link
    assert (link.bridge, link.type, link.mtu_request, link.owner) == ("br-overlay", "internal", 1458, "ovs_gre")
    assert errors == {}


def test_parse_state_of_a_port_without_device(fixture_text: t.Callable[[str], str]) -> None:
    """ofport -1 or an error means that the link does not exist, whatever the exit status was."""
    rows = [json.loads(line) for line in fixture_text("ovs/list_bridges.txt").splitlines() if line]
    at = {name: rows[2]["headings"].index(name) for name in ("name", "ofport", "error")}
    for row in rows[2]["data"]:
        if row[at["name"]] == "ovl-link":
            row[at["ofport"]], row[at["error"]] = -1, "could not add network device ovl-link to ofproto"
    errors = parse_state("\n".join(json.dumps(row) for row in rows), "ovl-link")[2]
    assert errors == {"ovl-link": "could not add network device ovl-link to ofproto"}
