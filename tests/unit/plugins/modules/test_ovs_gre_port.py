# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _tunnel_apply
from ansible_collections.crosshost.overlay.plugins.module_utils._ovs import LIST_ALL
from ansible_collections.crosshost.overlay.plugins.modules import ovs_gre_port

DATABASE = "unix:/run/ovs/db.sock"
VSCTL = ("ovs-vsctl", "--timeout=15", f"--db={DATABASE}")
APPCTL = ("ovs-appctl", "-t", "ovs-vswitchd", "ofproto/list-tunnels")
MARK = "external_ids:crosshost_overlay=ovs_gre"
ADD = (
    *(*VSCTL, "--", "add-port", "br0", "t1", "protected=true", MARK),
    *("--", "set", "Interface", "t1", "type=gre", "options:remote_ip=10.0.0.1"),
)
UNDO = (*VSCTL, "--", "--if-exists", "del-port", "t1")
DEAD = 'ovs-appctl: cannot read pidfile "/run/ovs/ovs-vswitchd.pid" (No such file or directory)\n'
FILE_EXISTS = "could not add network device t1 to ofproto (File exists)"


def rows(*ports: tuple[str, str, dict[str, str], t.Any, str], bridge_ofport: t.Any = 65534) -> str:
    """What ovs-vsctl answers for the bridge br0 with these ports: name, type, options, ofport, error."""
    all_ports = [("br0", "internal", {}, bridge_ofport, ""), *ports]
    nothing: list[t.Any] = ["set", []]
    mark = ["map", [["crosshost_overlay", "ovs_gre"]]]
    uuids = ["set", [["uuid", f"p-{name}"] for name, *dummy in all_ports]]
    tables: list[dict[str, t.Any]] = [
        {"headings": ["name", "ports", "datapath_type"], "data": [["br0", uuids, ""]]},
        {
            "headings": ["_uuid", "name", "interfaces", "protected", "external_ids"],
            "data": [[["uuid", f"p-{name}"], name, ["uuid", f"i-{name}"], True, mark] for name, *dummy in all_ports],
        },
        {
            "headings": ["_uuid", "name", "type", "options", "ofport", "error"],
            "data": [
                [
                    ["uuid", f"i-{name}"],
                    name,
                    kind,
                    ["map", [*options.items()]],
                    nothing if ofport is None else ofport,
                    error or nothing,
                ]
                for name, kind, options, ofport, error in all_ports
            ],
        },
    ]
    return "".join(json.dumps(table) + "\n" for table in tables)


def live(*names: str) -> str:
    return "".join(f"port 1: {name} (gre: ::->10.0.0.1, key=0, legacy_l2, dp port=1, ttl=64)\n" for name in names)


T1 = ("t1", "gre", {"remote_ip": "10.0.0.1"}, 1, "")


@pytest.fixture
def run(fake_cli: t.Any, run_module: t.Any, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., dict[str, t.Any]]:
    """Run the module for one tunnel; nothing waits."""
    monkeypatch.setattr(_tunnel_apply, "SETTLE", 0)
    defaults = {"bridge": "br0", "database": DATABASE, "name": "t1", "remote_ip": "10.0.0.1"}
    return lambda **options: run_module(ovs_gre_port.main, **{**defaults, **options})


def observe(fake_cli: t.Any, text: str, *names: str) -> None:
    fake_cli.expect(*VSCTL, *LIST_ALL, out=text).expect(*APPCTL, out=live(*names))


def test_create(fake_cli: t.Any, run: t.Any) -> None:
    observe(fake_cli, rows())
    fake_cli.expect(*ADD)
    observe(fake_cli, rows(T1), "t1")
    answer = run()
    assert answer["changed"] is True
    assert len(answer["commands"]) == 1
    options = {"remote_ip": "10.0.0.1"}
    common = {"type": "gre", "options": options, "protected": True, "state": "up"}
    assert answer["tunnels"] == [{"name": "t1", "bridge": "br0", "ofport": 1, **common}]
    assert answer["diff"] == {"before": {}, "after": {"t1": {**common, "owner": "ovs_gre"}}}
    assert answer["purged"] == []


def test_the_run_directory_follows_the_database(fake_cli: t.Any, run: t.Any) -> None:
    observe(fake_cli, rows(T1), "t1")
    run()
    assert fake_cli.environments == [{"OVS_RUNDIR": "/run/ovs"}] * 2


def test_nothing_to_do(fake_cli: t.Any, run: t.Any) -> None:
    observe(fake_cli, rows(T1), "t1")
    answer = run()
    assert (answer["changed"], answer["commands"], answer["diff"]) == (False, [], {"before": {}, "after": {}})


def test_check_mode_records_and_predicts(fake_cli: t.Any, run: t.Any) -> None:
    observe(fake_cli, rows())
    answer = run(check_mode=True)
    assert answer["changed"] is True
    assert answer["commands"][0].startswith(f"/usr/bin/ovs-vsctl --timeout=15 --db={DATABASE} -- add-port br0 t1")
    assert (answer["tunnels"][0]["state"], answer["tunnels"][0]["ofport"]) == ("planned", None)


def test_check_mode_without_open_vswitch(fake_cli: t.Any, run: t.Any) -> None:
    fake_cli.missing.add("ovs-vsctl")
    answer = run(check_mode=True)
    assert answer["changed"] is True
    assert answer["commands"][0].startswith("ovs-vsctl -- add-port br0 t1")
    assert answer["tunnels"][0]["state"] == "planned"


def test_without_open_vswitch(fake_cli: t.Any, run: t.Any) -> None:
    fake_cli.missing.add("ovs-vsctl")
    assert "openvswitch-switch" in run()["msg"]


@pytest.mark.parametrize("check_mode", [False, True], ids=["run", "check"])
def test_missing_bridge(fake_cli: t.Any, run: t.Any, check_mode: bool) -> None:
    observe(fake_cli, rows())
    answer = run(bridge="nosuch", check_mode=check_mode)
    assert answer["changed"] is check_mode
    assert check_mode or "ovs-vsctl --may-exist add-br nosuch" in answer["msg"]


def test_absent_on_a_missing_bridge_is_done(fake_cli: t.Any, run: t.Any) -> None:
    observe(fake_cli, rows())
    assert run(bridge="nosuch", state="absent", remote_ip=None)["changed"] is False


def test_absent(fake_cli: t.Any, run: t.Any) -> None:
    observe(fake_cli, rows(T1), "t1")
    fake_cli.expect(*VSCTL, "--", "--if-exists", "del-port", "br0", "t1")
    observe(fake_cli, rows())
    answer = run(state="absent", remote_ip=None)
    assert (answer["changed"], answer["purged"], answer["tunnels"]) == (True, ["t1"], [])


def test_dead_vswitchd_is_told_before_anything_is_written(fake_cli: t.Any, run: t.Any) -> None:
    fake_cli.expect(*VSCTL, *LIST_ALL, out=rows()).expect(*APPCTL, rc=1, err=DEAD)
    answer = run()
    assert "ovs-vswitchd does not answer, so nothing was changed" in answer["msg"]
    assert (answer["rc"], answer["stderr"]) == (1, DEAD)


def test_an_old_release_without_list_tunnels(fake_cli: t.Any, run: t.Any) -> None:
    error = '"ofproto/list-tunnels" is not a valid command (use "list-commands" to see a list of valid commands)\n'
    fake_cli.expect(*VSCTL, *LIST_ALL, out=rows(T1)).expect(*APPCTL, rc=2, err=error)
    assert run()["changed"] is False


def test_dead_database(fake_cli: t.Any, run: t.Any) -> None:
    error = f"ovs-vsctl: {DATABASE}: database connection failed (No such file or directory)\n"
    fake_cli.expect(*VSCTL, *LIST_ALL, rc=1, err=error)
    answer = run()
    assert f"The Open vSwitch database at {DATABASE} cannot be read" in answer["msg"]
    assert "database connection failed" in answer["msg"]


def test_a_bridge_without_datapath(fake_cli: t.Any, run: t.Any) -> None:
    observe(fake_cli, rows(bridge_ofport=None))
    assert "load the kernel module openvswitch" in run()["msg"]


@pytest.mark.parametrize("rc", [-14, 142], ids=["signal", "shell-status"])
@pytest.mark.parametrize("written", [False, True], ids=["before-commit", "after-commit"])
def test_a_timeout_says_whether_the_rows_are_committed(fake_cli: t.Any, run: t.Any, rc: int, written: bool) -> None:
    observe(fake_cli, rows())
    fake_cli.expect(*ADD, rc=rc, err="2026-11-23T08:13:03Z|00002|fatal_signal|WARN|terminating with signal 14\n")
    fake_cli.expect(*VSCTL, *LIST_ALL, out=rows((*T1[:3], None, "")) if written else rows())
    answer = run()
    assert answer["changed"] is written
    assert ("The change is in the database" if written else "Nothing was changed") in answer["msg"]


def test_a_refused_transaction_changes_nothing(fake_cli: t.Any, run: t.Any) -> None:
    observe(fake_cli, rows())
    fake_cli.expect(*ADD, rc=1, err="ovs-vsctl: cannot create a port named t1 because one already exists\n")
    answer = run()
    assert answer["msg"].endswith("because one already exists; nothing was changed.")


@pytest.mark.parametrize("rc", [0, 65], ids=["before-3.6", "since-3.6"])
@pytest.mark.parametrize(
    ("row", "names", "reason"),
    [
        ((-1, FILE_EXISTS), [], FILE_EXISTS),
        ((-1, ""), [], "no port number and no error"),
        ((1, ""), [], "does not have it"),
        ((None, ""), [], "has not dealt with it"),
        ((-1, "could not add network device t1 to ofproto (Address family not supported by protocol)"), [], "ip_gre"),
    ],
    ids=["error", "reserved", "not-listed", "pending", "kernel"],
)
def test_a_tunnel_that_does_not_come_up_is_taken_back(
    fake_cli: t.Any, run: t.Any, rc: int, row: tuple[t.Any, str], names: list[str], reason: str
) -> None:
    observe(fake_cli, rows())
    fake_cli.expect(*ADD, rc=rc)
    observe(fake_cli, rows((*T1[:3], *row)), *names)
    fake_cli.expect(*UNDO)
    observe(fake_cli, rows())
    answer = run()
    assert answer["msg"].startswith("1 of 1 tunnels on bridge br0 did not come up (t1: ")
    assert answer["msg"].endswith("; what was there before is restored.")
    assert reason in answer["dead"]["t1"]
    assert len(answer["commands"]) == 2


def test_a_failing_restoration_is_told(fake_cli: t.Any, run: t.Any) -> None:
    observe(fake_cli, rows())
    fake_cli.expect(*ADD)
    observe(fake_cli, rows((*T1[:3], -1, FILE_EXISTS)))
    fake_cli.expect(*UNDO, rc=1, err="ovs-vsctl: no port named t1\n")
    assert "putting back what was there before failed too" in run()["msg"]


def test_a_foreign_tunnel_that_was_brought_down_is_told(fake_cli: t.Any, run: t.Any) -> None:
    other = ("other", "gre", {"remote_ip": "10.0.0.2"}, 2, "")
    down = (*other[:3], -1, "why")
    observe(fake_cli, rows(other), "other")
    fake_cli.expect(*ADD)
    observe(fake_cli, rows((*T1[:3], -1, FILE_EXISTS), down))
    fake_cli.expect(*UNDO)
    observe(fake_cli, rows(down))
    assert "is restored, but these ports, which worked, do not come up: other." in run()["msg"]


def test_all_bad_options_are_told_at_once_and_nothing_is_run(run_module: t.Any, fake_cli: t.Any) -> None:
    tunnels = [
        {"name": "gre_sys", "remote_ip": "10.0.0.1"},
        {"name": "a", "remote_ip": "10.0.0.1", "ttl": "999"},
        {"name": "b", "remote_ip": "10.0.0.2"},
        {"name": "b", "remote_ip": "10.0.0.3"},
    ]
    answer = run_module(ovs_gre_port.main, bridge="br0", database="db.sock", owner="a b", timeout=0, tunnels=tunnels)
    assert [reason.split()[0] for reason in answer["reasons"]] == ["the", "gre_sys:", "a:", "b:", "database", "timeout"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"name": "t1", "tunnels": []}, "mutually exclusive"),
        ({"remote_ip": "10.0.0.1", "tunnels": []}, "mutually exclusive"),
        ({}, "one of the following is required: tunnels, name"),
        ({"tunnels": [{"name": "t1", "remote_ip": "10.0.0.1", "vni": 3}]}, "Unsupported parameters"),
        ({"tunnels": [{"name": "t1", "remote_ip": "10.0.0.1", "key": "abc"}]}, "unable to convert to int"),
        ({"tunnels": [{"name": "t1", "remote_ip": "10.0.0.1", "csum": "perhaps"}]}, "not a valid boolean"),
        ({"name": "t1", "type": "erspan"}, "must be one of: gre, ip6gre, vxlan, geneve"),
    ],
    ids=["name-and-list", "address-and-list", "neither", "unknown-option", "key", "csum", "type"],
)
def test_option_rules(run_module: t.Any, fake_cli: t.Any, options: dict[str, t.Any], reason: str) -> None:
    assert reason in run_module(ovs_gre_port.main, bridge="br0", **options)["msg"]


def test_too_many_tunnels_for_one_command_line(fake_cli: t.Any, run: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tunnel_apply, "ARG_RESERVE", 2**40)
    observe(fake_cli, rows())
    assert "give the tunnels in several calls" in run()["msg"]
