# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links, rules, counters and kernels as hosts of the lab have them."""

from __future__ import annotations

import gzip
import json
import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _info_host, _info_kernel, _info_ours, _info_rates

Text = t.Callable[[str], str]


def test_links(fixture_text: Text) -> None:
    """A host with a router of Weave Net; its own card is a veth, too."""
    links = {item["name"]: item for item in _info_host.links(fixture_text("info/address.json"))}
    assert (links["docker0"]["carrier"], links["docker0"]["operstate"]) == (False, "DOWN")
    assert (links["weave"]["carrier"], links["weave"]["kind"]) == (True, "bridge")
    assert (links["veth2345c24"]["peer_netns"], links["veth2345c24"]["link_index"]) == (True, 11)
    assert (links["vethwe-bridge"]["peer_netns"], links["vethwe-bridge"]["link_index"]) == (False, None)
    assert links["eth1"]["addresses"] == ("198.18.15.11/24",)
    assert set(links["eth1"]["statistics"]) == {
        *("rx_packets", "rx_dropped", "rx_errors"),
        *("tx_packets", "tx_dropped", "tx_errors"),
    }
    assert links["eth1"]["statistics"]["rx_packets"] > 0


def test_link_that_is_down() -> None:
    """It has no carrier to speak of."""
    row = {"ifname": "x", "flags": ["BROADCAST"], "link_type": "ether"}
    assert _info_host.links(json.dumps([row]))[0]["carrier"] is None


@pytest.mark.parametrize(
    ("rule", "policy"),
    [
        pytest.param([], False, id="the kernel's own"),
        pytest.param([{"priority": 100, "src": "10.0.0.0", "srclen": 8, "table": "100"}], True, id="another table"),
    ],
)
def test_policy_rules(fixture_text: Text, rule: list[dict[str, t.Any]], policy: bool) -> None:
    """The three that every host has do not count."""
    rules = json.loads(fixture_text("info/rule.json")) + rule
    assert bool(_info_host.policy_rules(json.dumps(rules))) is policy


def test_counters(fixture_text: Text) -> None:
    """Packets in and out."""
    found = _info_rates.counters(fixture_text("info/net_dev.txt"))
    assert found["lo"] == (346, 346)
    assert found["docker_gwbridge"] == (6, 9)
    assert "face" not in found


def test_rates() -> None:
    """Per second; a counter that began anew, and a link that came meanwhile, have none."""
    before = {"a": (100, 50), "b": (9, 9)}
    after = {"a": (200, 50), "b": (1, 9), "c": (5, 5)}
    assert _info_rates.rates(before, after, 0.5) == {"a": {"rx_pps": 200.0, "tx_pps": 0.0, "broadcast_pps": None}}


def test_memory() -> None:
    """In bytes."""
    assert _info_host.memory("MemTotal:  100 kB\nMemAvailable:   19409520 kB\n") == 19409520 * 1024
    assert _info_host.memory("") is None


def test_resources(tmp_path: pathlib.Path) -> None:
    """Only of paths that are there."""
    disks = _info_host.resources([str(tmp_path), str(tmp_path / "nosuch")])["disk"]
    assert [item["path"] for item in disks] == [str(tmp_path)]
    assert 0 < disks[0]["free_bytes"] <= disks[0]["total_bytes"]
    assert disks[0]["read_only"] is False


@pytest.fixture
def kernel(tmp_path: pathlib.Path) -> dict[str, str]:
    """A kernel with one module in each state."""
    (tmp_path / "sys" / "vxlan").mkdir(parents=True)
    (tmp_path / "lib" / "6.1.0").mkdir(parents=True)
    (tmp_path / "lib" / "6.1.0" / "modules.dep").write_text("kernel/net/ipv4/ip_gre.ko.xz: kernel/net/ipv4/gre.ko.xz\n")
    (tmp_path / "lib" / "6.1.0" / "modules.builtin").write_text("kernel/net/bridge/bridge.ko\n")
    (tmp_path / "modules").write_text("openvswitch 217088 0 - Live 0x0000000000000000\n")
    with gzip.open(tmp_path / "config.gz", "wt") as config:
        config.write("# CONFIG_DUMMY is not set\nCONFIG_VETH=y\nCONFIG_NETFILTER_XT_SET=m\n")
    return {
        "sys": str(tmp_path / "sys"),
        "lib": str(tmp_path / "lib"),
        "proc": str(tmp_path / "modules"),
        "config": str(tmp_path / "config.gz"),
        "release": "6.1.0",
    }


def test_modules(kernel: dict[str, str]) -> None:
    """A kernel that lists its modules is believed."""
    found = _info_kernel.modules(**kernel)
    states = ("openvswitch", "vxlan", "bridge", "ip_gre", "veth", "dummy")
    assert [found[name] for name in states] == ["loaded", "builtin", "builtin", "available", "absent", "absent"]


def test_modules_of_a_kernel_without_a_list(kernel: dict[str, str]) -> None:
    """What it was built with tells, what it could load is not there to be loaded."""
    found = _info_kernel.modules(**{**kernel, "release": "x"})
    assert (found["veth"], found["xt_set"], found["dummy"], found["ip_gre"]) == (
        "builtin",
        "absent",
        "absent",
        "absent",
    )


def test_sysctls(tmp_path: pathlib.Path) -> None:
    """Null for those that are not there; of the interfaces only those that are asked for, also with a dot in the name."""
    for name in ("all", "default", "eth0", "eth0.5", "docker0"):
        (tmp_path / "net/ipv4/conf" / name).mkdir(parents=True)
        (tmp_path / "net/ipv4/conf" / name / "rp_filter").write_text("2\n")
    (tmp_path / "net/ipv4/ip_forward").write_text("1\n")
    found = _info_kernel.only_of(_info_kernel.sysctls(str(tmp_path)), {"eth0.5"})
    assert found["net.ipv4.ip_forward"] == "1"
    assert found["net.bridge.bridge-nf-call-iptables"] is None
    assert [name for name in found if name.endswith("rp_filter")] == [
        "net.ipv4.conf.all.rp_filter",
        "net.ipv4.conf.eth0.5.rp_filter",
    ]


def test_table_fulls(fixture_text: Text) -> None:
    """Over all processors; a container has no such file."""
    text = fixture_text("info/arp_cache.txt")
    assert _info_kernel.table_fulls(text) == 0
    assert _info_kernel.table_fulls(text.rstrip()[:-2] + "1f\n") == 31
    assert _info_kernel.table_fulls("") is None


def test_complaints() -> None:
    """Lines that kernels print by these format strings: net/core/neighbour.c, net/netfilter/nf_conntrack_core.c, net/bridge/br_fdb.c."""
    said = [
        "[  12.1] neighbour: arp_cache: neighbor table overflow!",
        "[  13.1] nf_conntrack: nf_conntrack: table full, dropping packet",
        "[  14.1] ovl0: received packet on link0 with own address as source address (addr:02:00:00:00:00:01, vlan:0)",
    ]
    assert _info_kernel.complaints("\n".join(["[ 1.0] Linux version 6.1.0", *said])) == said
    assert len(_info_kernel.complaints("\n".join(said * 20))) == 20


def test_units(fixture_text: Text) -> None:
    """As systemd of a host of the lab shows them."""
    assert _info_ours.units(fixture_text("info/systemctl_show.txt")) == {
        "crosshost-overlay-firewall.service": {"active": "inactive", "enabled": "enabled", "result": "success"},
        "crosshost-weave-rejoin.service": {"active": "active", "enabled": "enabled", "result": "success"},
    }


def test_files(tmp_path: pathlib.Path) -> None:
    """Paths only."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "slices.json").write_text("secret")
    (tmp_path / "crosshost-x.service").write_text("")
    found = _info_ours.files([str(tmp_path / "ours"), "/nonexistent"], [], str(tmp_path / "crosshost-*"))
    assert found == [str(tmp_path / "crosshost-x.service"), str(tmp_path / "ours" / "slices.json")]
