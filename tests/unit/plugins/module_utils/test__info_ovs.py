# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open vSwitch's database and daemon, as a real one of 3.1.0 answered; one tunnel there is a duplicate, another has a secret."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _info_ovs, _info_vswitchd
from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

if t.TYPE_CHECKING:
    from conftest import FakeCli

Text = t.Callable[[str], str]
CANARY = "canary-psk-4711"
VSCTL = ("ovs-vsctl", "--timeout=5")
APPCTL = ("ovs-appctl", "-t", "ovs-vswitchd")


class FakeModule:
    """All tools are there."""

    def get_bin_path(self, arg: str, *dummy_args: t.Any, **dummy_kwargs: t.Any) -> str:
        """Wherever."""
        return f"/usr/bin/{arg}"


def section(read: t.Callable[[Section], None], facts: dict[str, t.Any] | None = None, **params: t.Any) -> Section:
    """A section that is not run yet."""
    return Section(t.cast(t.Any, FakeModule()), "x", read, facts, 5, params)


def test_rows(fixture_text: Text) -> None:
    """Bridges and ports."""
    found = _info_ovs.rows(fixture_text("info/ovs_rows.txt"))
    bridges = {item["name"]: item for item in found["bridges"]}
    assert bridges["br-tun"] == {
        "name": "br-tun",
        "datapath": "system",
        "fail_mode": "standalone",
        "stp": False,
        "rstp": False,
        "controller": False,
        "ports": ["br-tun", "gre-dup", "gre-h2", "gre-h3", "link0"],
        "mark": "h1",
        "flows_normal": None,
    }
    assert (bridges["br-other"]["stp"], bridges["br-other"]["controller"], bridges["br-other"]["mark"]) == (
        True,
        True,
        None,
    )
    ports = {item["name"]: item for item in found["ports"]}
    assert ports["gre-h2"] == {
        "name": "gre-h2",
        "bridge": "br-tun",
        "type": "gre",
        "options": {"key": "7", "remote_ip": "10.0.0.2"},
        "ofport": 1,
        "error": "",
        "health": "up",
        "protected": True,
        "owner": "h1",
        "link_state": "up",
        "mtu": None,
        "statistics": {"rx_bytes": 0, "rx_packets": 0, "tx_bytes": 0, "tx_packets": 0},
        "egress": None,
        "other": {},
    }
    assert ports["gre-h3"]["options"]["psk"] == "(hidden)"
    assert (ports["gre-dup"]["health"], ports["gre-dup"]["ofport"]) == ("dead", -1)
    assert ports["link0"]["mtu"] == 1500


def test_database_secrets_stay_there(fake_cli: FakeCli, fixture_text: Text) -> None:
    """They are not in what is returned, nor in the daemon's log beside it."""
    fake_cli.expect(
        "systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", "--", "openvswitch-switch", out=""
    )
    fake_cli.expect(*VSCTL, *_info_ovs.ROWS, out=fixture_text("info/ovs_rows.txt"))
    here = section(_info_ovs.read, _info_ovs.empty(), openvswitch_service="openvswitch-switch")
    here.run()
    assert here.problems == []
    live = {"log": [f"x|WARN|gre-h3 said {CANARY}"], "datapaths": CANARY}
    _info_ovs.merge(here.facts, live, here.secrets)
    assert (here.facts["database_ok"], here.facts["running"]) == (True, True)
    assert here.facts["errors"] == ["gre-dup: could not add network device gre-dup to ofproto (File exists)"]
    assert CANARY in fixture_text("info/ovs_rows.txt")
    assert CANARY not in json.dumps(here.facts)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(
            {
                "rc": 1,
                "err": "ovs-vsctl: unix:/run/openvswitch/db.sock: database connection failed (Connection refused)",
            },
            "ovs-vsctl: unix:/run/openvswitch/db.sock: database connection failed (Connection refused)",
            id="stopped",
        ),
        pytest.param({"rc": 124, "timed_out": True}, "no answer within 5 seconds", id="hangs"),
        pytest.param({"rc": -14}, "no answer within 5 seconds", id="hangs, and ovs-vsctl gave up first"),
    ],
)
def test_database_that_does_not_answer(fake_cli: FakeCli, answer: dict[str, t.Any], why: str) -> None:
    """The reason is short, and the defaults stay."""
    fake_cli.expect("systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", "--", "ovs", rc=1)
    fake_cli.expect(*VSCTL, *_info_ovs.ROWS, **answer)
    here = section(_info_ovs.read, _info_ovs.empty(), openvswitch_service="ovs")
    here.run()
    assert here.problems == [f"The database of Open vSwitch cannot be read: {why}"]
    _info_ovs.merge(here.facts, {})
    assert (here.facts["database_ok"], here.facts["bridges"], here.facts["ports"]) == (False, [], [])


FORMAT = "--showformat=${Package} ${db:Status-Status}\\n"


@pytest.mark.parametrize(("status", "installed"), [("unpacked", False), ("installed", True)])
def test_a_package_that_is_not_ready_counts_as_none(fake_cli: FakeCli, status: str, installed: bool) -> None:
    """A killed run has left apt to itself; the next one waits for it, instead of working with half a package."""
    fake_cli.expect("systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", "--", "ovs", rc=1)
    words = ("--format=json", "--columns=name,datapath_type", "list", "Bridge", "--", "get", "Open_vSwitch", ".")
    fake_cli.expect(*VSCTL, *words, "ovs_version", rc=1, err="ovs-vsctl: unix:/run/openvswitch/db.sock: no such file")
    fake_cli.expect("dpkg-query", "--show", FORMAT, "openvswitch-switch", out=f"openvswitch-switch {status}\n")
    here = section(_info_ovs.minimal, _info_ovs.empty(), openvswitch_service="ovs")
    here.run()
    assert here.facts["installed"] is installed
    assert bool(here.facts["error"]) is installed


def test_a_tunnel_the_daemon_does_not_know_is_dead(fixture_text: Text) -> None:
    """The database calls it well; a port that is no tunnel is never in the list of tunnels."""
    facts = _info_ovs.rows(fixture_text("info/ovs_rows.txt"))
    _info_ovs.merge(facts, {"live_tunnels": ["gre-h3"], "flows": {"br-tun": True}})
    health = {port["name"]: port["health"] for port in facts["ports"]}
    assert health == {
        "gre-h2": "dead",
        "gre-h3": "up",
        "gre-dup": "dead",
        "link0": "up",
        "br-tun": "up",
        "br-other": "up",
        "missing0": "up",
    }
    assert [bridge["flows_normal"] for bridge in facts["bridges"]] == [None, True]


def test_daemon(fake_cli: FakeCli, fixture_text: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything it is asked, with no second look at the counters."""
    monkeypatch.setenv("OVS_LOGDIR", "/nonexistent")
    fake_cli.expect(*APPCTL, "dpif/show", out=fixture_text("info/dpif_show.txt"))
    fake_cli.expect(*APPCTL, "ofproto/list-tunnels", out=fixture_text("ovs/list_tunnels.txt"))
    fake_cli.expect(*APPCTL, "ofproto/list", out="br-tun\n")
    fake_cli.expect("ovs-ofctl", "--names", "dump-ports", "br-tun", out=fixture_text("info/dump_ports.txt"))
    fake_cli.expect("ovs-ofctl", "dump-aggregate", "br-tun", out=fixture_text("info/dump_aggregate.txt"))
    fake_cli.expect("ovs-ofctl", "dump-flows", "br-tun", out=fixture_text("info/dump_flows_normal.txt"))
    here = section(_info_vswitchd.read, None, sample=0)
    here.run()
    assert here.problems == []
    assert here.facts["vswitchd_ok"] is True
    assert here.facts["flows"] == {"br-tun": True}
    assert here.facts["datapaths"].startswith("system@ovs-system")


def test_daemon_that_hangs_is_asked_once(fake_cli: FakeCli) -> None:
    """It answers from one thread."""
    fake_cli.expect(*APPCTL, "dpif/show", rc=124, timed_out=True)
    here = section(_info_vswitchd.read, None, sample=0.5)
    here.run()
    assert here.facts["vswitchd_ok"] is False
    assert "did not end within" in here.problems[0]


@pytest.mark.parametrize(("name", "normal"), [("normal", True), ("drop", False), ("none", False)])
def test_flows(fixture_text: Text, name: str, normal: bool) -> None:
    """Only a bridge with its first flow alone learns like any other."""
    assert _info_vswitchd.only_normal(fixture_text(f"info/dump_flows_{name}.txt")) is normal


def test_port_counters(fixture_text: Text) -> None:
    """Ports by their names, with quotes or without; LOCAL is the bridge."""
    assert _info_vswitchd.port_counters(fixture_text("info/dump_ports.txt"), "br-tun") == {
        "br-tun": (0, 0),
        "gre-h2": (0, 0),
        "gre-h3": (0, 0),
        "link0": (0, 0),
    }


def test_log(fixture_text: Text) -> None:
    """Warnings only, as printed."""
    lines = _info_vswitchd.trouble(fixture_text("info/ovs-vswitchd.log"))
    assert lines
    assert all("|WARN|" in line for line in lines)
    assert "2026-11-27T04:47:35.811Z|00052|ofproto|WARN|br-tun: could not add port gre-dup (File exists)" in lines


def test_offloads(fixture_text: Text) -> None:
    """What changes the look of frames."""
    assert _info_vswitchd.offloads(fixture_text("info/ethtool.txt")) == {
        "rx-checksumming": True,
        "tx-checksumming": True,
        "tso": True,
        "gso": True,
        "gro": False,
        "lro": False,
    }


def test_whose_offloads() -> None:
    """The card in a bridge of the userspace datapath, and the veths beside its link."""
    facts = {
        "bridges": [{"name": "br-phy", "datapath": "netdev"}, {"name": "br-x", "datapath": "system"}],
        "ports": [
            {"name": "eth1", "type": "", "bridge": "br-phy"},
            {"name": "link0", "type": "internal", "bridge": "br-phy"},
            {"name": "eth2", "type": "", "bridge": "br-x"},
        ],
    }
    rows = [
        ("eth1", "ether", None),
        ("eth2", "ether", None),
        ("link0", "tun", "ovl0"),
        ("veth1", "veth", "ovl0"),
        ("veth2", "veth", "docker0"),
    ]
    interfaces = [{"name": name, "kind": kind, "master": master} for name, kind, master in rows]
    assert _info_vswitchd.offload_names(facts, interfaces) == ["eth1", "veth1"]
