# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""weave_expose on a pretended host: a router that keeps addresses and names, a bridge, rules and systemd.

The router's answers follow Weave Net 2.9.0 (ipam/http.go, nameserver/http.go, net/expose.go); the rules are as iptables 1.8.9 prints them.
"""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _host, _weave_expose, _weave_expose_host
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli, Result
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import Answer, ApiError
from ansible_collections.crosshost.overlay.plugins.modules import weave_expose

Run = t.Callable[..., t.Dict[str, t.Any]]
CIDR, NET, PEER = "10.32.0.1/12", "10.32.0.0/12", "02:00:00:00:00:01"
NAT = [f"-A WEAVE ! -s {NET} -d {NET} -j MASQUERADE", f"-A WEAVE -s {NET} ! -d {NET} -j MASQUERADE"]
ACCEPT = f"-A WEAVE-EXPOSE -d {NET} -j ACCEPT"


class Host:
    """What there is on the host; changes are made as router and tools would make them."""

    def __init__(self) -> None:
        self.up = True
        self.allocated: list[str] = []
        self.bridge: list[str] | None = []
        self.rules: dict[str, list[str]] = {"nat": ["-N WEAVE"], "filter": ["-N WEAVE-EXPOSE"]}
        self.names: list[dict[str, t.Any]] = []
        self.unit = {"LoadState": "not-found", "UnitFileState": "", "ActiveState": "inactive", "NeedDaemonReload": "no"}
        self.missing: set[str] = set()
        self.refuse: dict[str, Answer | ApiError] = {}
        self.ipam: dict[str, t.Any] | None = {"Range": "10.32.0.0/12", "DefaultSubnet": "10.32.0.0/12"}
        self.dns = True
        self.log: list[str] = []

    # -- the router

    def request(self, method: str, path: str, form: t.Sequence[tuple[str, str]] = (), timeout: t.Any = None) -> Answer:
        if not self.up:
            raise ApiError(f"{method} http://127.0.0.1:6784{path}: [Errno 111] Connection refused")
        if method != "GET":
            self.log.append(f"{method} {path}")
        said = self.refuse.get(f"{method} {path}")
        if isinstance(said, ApiError):
            raise said
        return said or self._do(method, path.partition("?")[0], path.partition("?")[2], dict(form))

    def _do(self, method: str, path: str, query: str, form: dict[str, str]) -> Answer:
        if path == "/report":
            dns = {"Domain": "weave.local.", "Address": "172.17.0.1:53", "Entries": self.names or None}
            router = {"Name": PEER, "NickName": "h1", "Port": 6783}
            return Answer(
                200, json.dumps({"Ready": True, "Router": router, "IPAM": self.ipam, "DNS": dns if self.dns else None})
            )
        if (method, path) == ("POST", "/ip/weave:expose"):
            self.allocated = self.allocated or [CIDR]
            return Answer(200, self.allocated[0])
        if (method, path) == ("GET", "/ip/weave:expose"):
            return Answer(200, " ".join(self.allocated))
        if method == "POST" and path.startswith("/expose/"):
            self.bridge = [*(self.bridge or []), *([CIDR] if CIDR not in (self.bridge or []) else [])]
            for table, rules in (("nat", [] if query else NAT), ("filter", [ACCEPT])):
                self.rules[table] += [rule for rule in rules if rule not in self.rules[table]]
        elif method == "PUT":
            self.names.append(self.entry(form["fqdn"] + "."))
        elif path.startswith("/name/"):
            gone = query.partition("=")[2]
            self.names = [item for item in self.names if gone and item["Hostname"] != gone + "."]
        elif path.startswith("/ip/"):
            self.allocated = []
        return Answer(204 if method != "GET" else 200, "")

    @staticmethod
    def entry(name: str, address: str = "10.32.0.1") -> dict[str, t.Any]:
        return {"Hostname": name, "Address": address, "Origin": PEER, "ContainerID": "weave:expose", "Tombstone": 0}

    # -- the tools

    def tool(self, cli: Cli, *args: str, timeout: float | None = None) -> Result:
        name = cli._base[0].rpartition("/")[2]
        out, rc = "", 0
        if name == "ip" and args[0] == "-json":
            info = [
                {"family": "inet", "local": item.partition("/")[0], "prefixlen": int(item.partition("/")[2])}
                for item in self.bridge or []
            ]
            links = [{"ifname": "lo", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]}]
            out = json.dumps(links + ([{"ifname": "weave", "addr_info": info}] if self.bridge is not None else []))
        elif name == "iptables" and args[4] == "-S":
            rc = 0 if args[3] in self.rules else 1
            out = "\n".join(self.rules.get(args[3], []))
        elif name == "systemctl" and args[0] == "show":
            out = "\n".join(f"{key}={value}" for key, value in self.unit.items())
        else:
            self.log.append(" ".join([name, *args]))
            self._change(name, args)
        return Result((name, *args), rc, out, "" if rc == 0 else "No chain/target/match by that name.", False, 1)

    def _change(self, name: str, args: tuple[str, ...]) -> None:
        if name == "ip" and self.bridge:
            self.bridge.remove(args[2])
        elif name == "iptables":
            self.rules[args[3]].remove(" ".join(["-A", *args[5:]]))
        elif args[0] == "daemon-reload":
            there = pathlib.Path(_weave_expose_host.UNIT_PATH).exists()
            self.unit.update(LoadState="loaded" if there else "not-found", NeedDaemonReload="no")
        elif args[0] == "enable":
            self.unit["UnitFileState"] = "enabled"
        elif args[0] == "start":
            self.unit["ActiveState"] = "active"
        elif args[0] == "disable":
            self.unit.update(UnitFileState="disabled", ActiveState="inactive")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Host:
    fake = Host()
    for name, path in (("UNIT_PATH", "unit/x.service"), ("SCRIPT_PATH", "lib/x.py"), ("RECORD_PATH", "etc/x.json")):
        monkeypatch.setattr(_weave_expose_host, name, str(tmp_path / path))
        monkeypatch.setattr(_weave_expose, name, str(tmp_path / path))
    (tmp_path / "unit").mkdir()
    (tmp_path / "unit" / "other.service").touch()
    monkeypatch.setattr(_weave_expose_host, "POLL", 0.0)
    monkeypatch.setattr(_host, "booted_with_systemd", lambda: True)
    monkeypatch.setattr(_weave_expose_host.Api, "request", lambda self, *args, **kwargs: fake.request(*args, **kwargs))
    monkeypatch.setattr(Cli, "run_raw", lambda self, *args, timeout=None: fake.tool(self, *args, timeout=timeout))
    paths = {name: f"/usr/sbin/{name}" for name in ("ip", "iptables", "systemctl")}
    monkeypatch.setattr(
        AnsibleModule,
        "get_bin_path",
        lambda self, arg, *args, **kwargs: None if arg in fake.missing else paths.get(arg),
    )
    return fake


def exists() -> list[bool]:
    """Whether unit, program and record are there."""
    paths = (_weave_expose_host.UNIT_PATH, _weave_expose_host.SCRIPT_PATH, _weave_expose_host.RECORD_PATH)
    return [pathlib.Path(path).exists() for path in paths]


def test_present_and_again(host: Host, run_module: Run) -> None:
    foreseen = run_module(weave_expose.main, check_mode=True, fqdn="h1.weave.local")
    assert (foreseen["changed"], host.log, exists()) == (True, [], [False] * 3)
    answer = run_module(weave_expose.main, fqdn="h1.weave.local")
    assert answer["exposed"] == {"address": CIDR, "fqdn": "h1.weave.local", "masquerade": True, "boot": True}
    assert answer["diff"]["before"] == {"address": None, "fqdn": None, "masquerade": None, "boot": False}
    assert host.bridge == [CIDR]
    assert host.unit == {
        "LoadState": "loaded",
        "UnitFileState": "enabled",
        "ActiveState": "active",
        "NeedDaemonReload": "no",
    }
    # What survives a power cut comes before the address does.
    assert answer["commands"][:3] == [
        f"write {path}" for path in (_weave_expose.RECORD_PATH, _weave_expose.SCRIPT_PATH, _weave_expose.UNIT_PATH)
    ]
    assert answer["commands"][3] == "POST http://127.0.0.1:6784/ip/weave:expose"
    assert [line.replace("<address>/<prefix length>", CIDR) for line in foreseen["commands"][3:5]] == answer[
        "commands"
    ][3:5]
    assert json.loads(pathlib.Path(_weave_expose.RECORD_PATH).read_text())["address"] == CIDR
    before = list(host.log)
    for check_mode in (False, True):
        again = run_module(weave_expose.main, check_mode=check_mode, fqdn="h1.weave.local")
        assert (again["changed"], again["commands"], host.log) == (False, [], before)


@pytest.mark.parametrize(
    "drift",
    [
        pytest.param(lambda host: host.bridge.clear(), id="address gone"),
        pytest.param(lambda host: host.rules["filter"].pop(), id="accept rule gone"),
        pytest.param(lambda host: host.rules["nat"].pop(), id="masquerade rule gone"),
        pytest.param(lambda host: host.names.clear(), id="name gone"),
        pytest.param(lambda host: host.unit.update(ActiveState="failed"), id="unit failed"),
        pytest.param(lambda host: host.unit.update(UnitFileState="disabled"), id="unit disabled"),
        pytest.param(lambda host: pathlib.Path(_weave_expose.SCRIPT_PATH).write_text("x"), id="program changed"),
        pytest.param(lambda host: pathlib.Path(_weave_expose.RECORD_PATH).unlink(), id="record gone"),
    ],
)
def test_drift_is_put_right(host: Host, run_module: Run, drift: t.Callable[[Host], t.Any]) -> None:
    wanted = run_module(weave_expose.main, fqdn="h1.weave.local")["exposed"]
    drift(host)
    answer = run_module(weave_expose.main, fqdn="h1.weave.local")
    assert (answer["changed"], answer["exposed"]) == (True, wanted)
    assert run_module(weave_expose.main, fqdn="h1.weave.local")["changed"] is False


def test_options_that_change(host: Host, run_module: Run) -> None:
    run_module(weave_expose.main, fqdn="h1.weave.local")
    answer = run_module(weave_expose.main, fqdn="a.weave.local", masquerade=False)
    assert answer["exposed"] == {"address": CIDR, "fqdn": "a.weave.local", "masquerade": False, "boot": True}
    assert [item["Hostname"] for item in host.names] == ["a.weave.local."]
    assert host.rules == {"nat": ["-N WEAVE"], "filter": ["-N WEAVE-EXPOSE", ACCEPT]}
    # The record of the old name stays until the name is gone, so that a run that is cut off does not leave it behind.
    assert "DELETE" in answer["commands"][0]
    answer = run_module(weave_expose.main, boot=False)
    assert answer["exposed"] == {"address": CIDR, "fqdn": None, "masquerade": True, "boot": False}
    assert (host.names, exists(), host.unit["LoadState"]) == ([], [False, False, True], "not-found")
    assert run_module(weave_expose.main, boot=False)["changed"] is False


def test_the_same_name_of_another_holder_is_not_ours(host: Host, run_module: Run) -> None:
    host.names = [{**host.entry("h1.weave.local."), "ContainerID": "weave:extern"}]
    host.names += [{**host.entry("h1.weave.local."), "Origin": "02:00:00:00:00:02"}]
    assert run_module(weave_expose.main, fqdn="h1.weave.local")["exposed"]["fqdn"] == "h1.weave.local"
    assert host.names[2] == host.entry("h1.weave.local.")


def test_rules_that_cannot_be_read_are_left(host: Host, run_module: Run) -> None:
    host.missing.add("iptables")
    answer = run_module(weave_expose.main)
    assert answer["exposed"]["masquerade"] is None
    assert run_module(weave_expose.main)["changed"] is False


def test_absent_and_again(host: Host, run_module: Run) -> None:
    run_module(weave_expose.main, fqdn="h1.weave.local")
    host.rules["nat"].insert(1, f"-A WEAVE -s {NET} -d 224.0.0.0/4 -j RETURN")
    before = list(host.log)
    foreseen = run_module(weave_expose.main, check_mode=True, state="absent")
    assert host.log == before
    answer = run_module(weave_expose.main, state="absent")
    assert answer["commands"] == foreseen["commands"]
    assert answer["diff"]["before"]["address"] == CIDR
    assert (host.bridge, host.allocated, host.names, exists()) == ([], [], [], [False] * 3)
    assert host.rules == {"nat": ["-N WEAVE"], "filter": ["-N WEAVE-EXPOSE"]}
    # Given back only when nothing uses it any more.
    assert host.log[-1] == "DELETE /ip/weave:expose/10.32.0.1"
    assert run_module(weave_expose.main, state="absent")["commands"] == []


def test_absent_leaves_what_others_gave(host: Host, run_module: Run) -> None:
    host.allocated, host.bridge = [CIDR], [CIDR]
    answer = run_module(weave_expose.main, state="absent")
    assert (answer["changed"], host.bridge, host.log) == (False, [CIDR], [])


def test_rules_that_another_address_needs_stay(host: Host, run_module: Run) -> None:
    run_module(weave_expose.main)
    host.bridge = [CIDR, "10.33.0.9/12"]
    run_module(weave_expose.main, state="absent")
    assert (host.bridge, host.rules["nat"]) == (["10.33.0.9/12"], ["-N WEAVE", *NAT])


def test_absent_without_a_router_is_completed_later(
    host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda self, warning: warnings.append(warning))
    run_module(weave_expose.main)
    host.up = False
    answer = run_module(weave_expose.main, state="absent")
    assert (answer["changed"], host.bridge, host.allocated) == (True, [], [CIDR])
    assert "still counts the address 10.32.0.1/12" in warnings[0]
    host.up = True
    assert run_module(weave_expose.main, state="absent")["changed"] is True
    assert (host.allocated, exists()) == ([], [False] * 3)


def test_absent_after_a_reset(host: Host, run_module: Run) -> None:
    run_module(weave_expose.main)
    host.up, host.bridge = False, None
    host.rules.clear()
    assert run_module(weave_expose.main, state="absent")["changed"] is True
    assert exists() == [False] * 3
    assert run_module(weave_expose.main, state="absent")["changed"] is False


def test_absent_where_the_router_allocates_no_more(host: Host, run_module: Run) -> None:
    run_module(weave_expose.main)
    _no_ipam(host)
    assert run_module(weave_expose.main, state="absent")["changed"] is True
    assert (host.bridge, exists()) == ([], [False] * 3)


def _no_ipam(host: Host) -> None:
    host.ipam = None


def _no_dns(host: Host) -> None:
    host.dns = False


def _down(host: Host) -> None:
    host.up = False


def _no_quorum(host: Host) -> None:
    host.ipam = {"Range": NET, "DefaultSubnet": NET, "Paxos": {"Elector": True, "KnownNodes": 1, "Quorum": 2}}
    host.refuse["POST /ip/weave:expose"] = ApiError("POST http://127.0.0.1:6784/ip/weave:expose: timed out")


def _no_bridge(host: Host) -> None:
    host.refuse[f"POST /expose/{CIDR}"] = Answer(500, "unable to expose: addBridgeIPAddr finding bridge\n")


def _no_effect(host: Host) -> None:
    host.refuse[f"POST /expose/{CIDR}"] = Answer(204, "")


def _damaged(host: Host) -> None:
    path = pathlib.Path(_weave_expose.RECORD_PATH)
    path.parent.mkdir()
    path.write_text("{")


@pytest.mark.parametrize(
    ("fault", "options", "message"),
    [
        pytest.param(
            _down, {"wait_timeout": 1}, "not ready after 1 seconds: GET http://127.0.0.1:6784/status", id="down"
        ),
        pytest.param(_no_ipam, {}, "allocates no addresses", id="no allocation"),
        pytest.param(_no_dns, {"fqdn": "h1.weave.local"}, "runs without names", id="no names"),
        pytest.param(None, {"fqdn": "h1.example.com"}, "use one that ends in '.weave.local'", id="other domain"),
        pytest.param(_no_quorum, {}, "awaiting consensus (quorum: 2, known: 1)", id="no quorum"),
        pytest.param(_no_bridge, {}, "500 unable to expose: addBridgeIPAddr", id="refused"),
        pytest.param(_no_effect, {}, "this is still to do: POST", id="no effect"),
        pytest.param(_damaged, {}, "is damaged", id="damaged record"),
        pytest.param(None, {"fqdn": "h1"}, "fqdn='h1' is no host name with a domain", id="fqdn"),
        pytest.param(None, {"bridge": "a b"}, "bridge='a b'", id="bridge"),
        pytest.param(None, {"http_address": "6784"}, "http_address='6784'", id="address"),
        pytest.param(None, {"wait_timeout": 0}, "wait_timeout=0", id="time"),
    ],
)
def test_failures(
    host: Host,
    run_module: Run,
    monkeypatch: pytest.MonkeyPatch,
    fault: t.Callable[[Host], None] | None,
    options: dict[str, t.Any],
    message: str,
) -> None:
    if fault:
        fault(host)
    answer = run_module(weave_expose.main, **options)
    assert message in answer["msg"]
    assert "commands" in answer


def test_a_run_that_was_cut_off_is_completed(host: Host, run_module: Run) -> None:
    _no_bridge(host)
    run_module(weave_expose.main, fqdn="h1.weave.local")
    assert exists() == [True] * 3
    host.refuse.clear()
    answer = run_module(weave_expose.main, fqdn="h1.weave.local")
    assert answer["exposed"]["address"] == CIDR
    assert run_module(weave_expose.main, fqdn="h1.weave.local")["changed"] is False


def test_no_systemd(host: Host, run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_host, "booted_with_systemd", lambda: False)
    assert "set boot to false" in run_module(weave_expose.main)["msg"]
    assert run_module(weave_expose.main, boot=False)["exposed"]["address"] == CIDR


def test_check_mode_before_there_is_a_router(host: Host, run_module: Run) -> None:
    host.up, host.bridge = False, None
    answer = run_module(weave_expose.main, check_mode=True)
    assert (answer["changed"], answer["exposed"]["address"]) == (True, "given by the router")


def test_the_unit_never_starts_the_router() -> None:
    text = _weave_expose.unit_text("/usr/bin/python3")
    assert "BindsTo=docker.service" in text
    assert "After=docker.service" in text
    assert "WantedBy=docker.service" in text
    assert "ExecStart=/usr/bin/python3 /usr/local/lib/crosshost-overlay/weave_expose.py" in text
    assert "docker start" not in text
    assert "weave launch" not in text
