# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner of docker_daemon; the fixtures are what Debian 12's Docker 20.10.24 and its tools print."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _docker_daemon as dd

FIXTURES = Path(__file__).parents[2] / "fixtures" / "docker_daemon"


def fixture(name):
    return (FIXTURES / name).read_text(encoding="utf-8")


def planned(have, settings, *before):
    """Apply the settings of earlier runs, then these; returns the plan."""
    ledger = dd.Ledger()
    for earlier in before:
        plan = dd.plan_file(have, earlier, ledger)
        have, ledger = plan.config, plan.final
    return dd.plan_file(have, settings, ledger)


@pytest.mark.parametrize(
    ("have", "settings", "want"),
    [
        pytest.param({}, {"icc": False}, {"icc": False}, id="empty-file"),
        pytest.param({"bip": "x"}, {"icc": False}, {"bip": "x", "icc": False}, id="foreign-key-stays"),
        pytest.param({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}, id="objects-merge"),
        pytest.param({"a": {"b": {"c": 1}}}, {"a": {"b": {"d": 2}}}, {"a": {"b": {"c": 1, "d": 2}}}, id="deep-merge"),
        pytest.param({"dns": ["1.1.1.1"]}, {"dns": ["9.9.9.9"]}, {"dns": ["9.9.9.9"]}, id="lists-are-replaced"),
        pytest.param({"a": 1, "b": 2}, {"a": None}, {"b": 2}, id="null-removes"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}, id="null-removes-inside"),
        pytest.param({}, {"a": {"b": None}}, {}, id="null-makes-no-object"),
        pytest.param({"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}, id="empty-object-takes-nothing-away"),
        pytest.param({}, {"a": {}}, {"a": {}}, id="empty-object-is-made"),
        pytest.param({"a": 1}, {}, {"a": 1}, id="nothing-to-do"),
    ],
)
def test_merge_and_give_back(have, settings, want):
    plan = planned(have, settings)
    assert plan.config == want
    assert dd.plan_file(want, settings, plan.final).config == want
    assert dd.plan_file(want, settings, plan.final).final == plan.final
    # Taking it out again leaves the file that was there.
    assert dd.plan_file(want, {}, plan.final).config == have


def test_setting_no_longer_wanted_is_given_back():
    plan = planned({"mtu": 1500}, {"icc": False}, {"icc": False, "mtu": 1400})
    assert plan.config == {"mtu": 1500, "icc": False}
    assert plan.owned == {"icc", "mtu"}
    assert [entry.name for entry in plan.final.entries] == ["icc"]


def test_first_value_is_remembered_over_several_runs():
    assert planned({"mtu": 1500}, {}, {"mtu": 1400}, {"mtu": 1300}).config == {"mtu": 1500}


def test_value_changed_by_others_stays_theirs():
    plan = planned({}, {"icc": False, "mtu": 1400})
    plan = dd.plan_file({"icc": False, "mtu": 9000}, {}, plan.final)
    assert plan.config == {"mtu": 9000}
    assert plan.foreign == ("mtu",)


def test_value_already_given_back_is_not_foreign():
    """A run that was killed after it wrote the file finds its own work."""
    plan = planned({"mtu": 1500}, {"mtu": 1400})
    assert dd.plan_file({"mtu": 1500}, {}, plan.final).foreign == ()


@pytest.mark.parametrize("first", [{"o": {"a": 1}}, {"o": {"a": 1, "b": 2}}], ids=["one", "two"])
def test_object_of_ours_goes_when_later_entries_filled_it(first):
    assert planned({}, {}, first, {"o": {"a": 1, "b": 2, "c": 3}}).config == {}


def test_foreign_empty_object_stays():
    assert planned({"o": {}}, {}, {"o": {"a": 1}}).config == {"o": {}}


def test_object_over_a_plain_value_is_refused():
    with pytest.raises(dd.ConfigError, match=r"settings has an object at .a. of a\.b, daemon\.json has 5"):
        planned({"a": 5}, {"a": {"b": 1}})


def test_ledger_round_trip():
    ledger = planned({"a": {"b": 1}}, {"a": {"b": [2], "c": None}}).interim
    ledger = dd.Ledger(ledger.entries, True, '{"a": 1}\n', "docker.io", {"text": None})
    assert dd.Ledger.parse(ledger.dump()) == ledger


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b'{\n  "icc": false,\n}\n', "line ", id="trailing-comma"),
        pytest.param(b'{"icc": false', "line 1 column 14", id="cut-short"),
        pytest.param(b"\xef\xbb\xbf{}", "UTF-8 BOM", id="bom"),
        pytest.param(b'["icc"]', "holds a JSON list", id="list"),
        pytest.param(b'{"icc": "\xff"}', "not UTF-8 text: byte 9", id="not-utf-8"),
    ],
)
def test_unusable_file(text, message):
    with pytest.raises(dd.ConfigError) as error:
        dd.parse_config(text, "/etc/docker/daemon.json")
    assert message in str(error.value)
    assert "Nothing was changed" in str(error.value)


@pytest.mark.parametrize("text", [b"", b" \n", b"{}"], ids=["empty", "blank", "object"])
def test_empty_file(text):
    assert dd.parse_config(text, "x") == {}


@pytest.mark.parametrize(
    ("like", "want"),
    [
        (None, b'{\n  "a": {\n    "b": "\xc3\xbc"\n  }\n}\n'),
        (b'{\n\t"x": 1\n}', b'{\n\t"a": {\n\t\t"b": "\xc3\xbc"\n\t}\n}\n'),
    ],
    ids=["new", "tabs"],
)
def test_dump_keeps_indentation(like, want):
    assert dd.dump_config({"a": {"b": "\u00fc"}}, like) == want


ALL = dd.Loaded({}, True)
UNKNOWN = dd.Loaded()


@pytest.mark.parametrize(
    ("loaded", "have", "want", "owned", "pending", "action"),
    [
        pytest.param(ALL, {}, {"icc": False}, {"icc"}, ["icc"], "restart", id="restart"),
        pytest.param(ALL, {}, {"debug": True}, {"debug"}, ["debug"], "reload", id="reload"),
        pytest.param(ALL, {}, {"debug": True, "mtu": 9}, set(), ["debug", "mtu"], "restart", id="both"),
        pytest.param(ALL, {}, {"icc": True, "live-restore": False}, {"icc"}, [], "none", id="defaults"),
        pytest.param(ALL, {"icc": False}, {"icc": False}, {"icc"}, ["icc"], "restart", id="killed-before-the-restart"),
        pytest.param(ALL, {"bip": "x"}, {"bip": "x"}, {"icc"}, [], "none", id="pending-edit-of-others"),
        pytest.param(
            dd.Loaded({"icc": False}, True), {}, {"icc": False}, {"icc"}, [], "none", id="file-lost-but-loaded"
        ),
        pytest.param(UNKNOWN, {"icc": True}, {"icc": True}, {"icc"}, ["icc"], "restart", id="unknown-default"),
        pytest.param(UNKNOWN, {"icc": False}, {"icc": False}, {"icc"}, ["icc"], "restart", id="unknown"),
        pytest.param(
            UNKNOWN, {"labels": ["a"]}, {"labels": ["a"]}, {"labels"}, ["labels"], "reload", id="unknown-reload"
        ),
        pytest.param(UNKNOWN, {"bip": "x"}, {"bip": "x"}, set(), [], "none", id="unknown-but-not-ours"),
        pytest.param(
            dd.Loaded({"debug": True}, False),
            {"debug": True},
            {"debug": True},
            {"debug"},
            [],
            "none",
            id="partly-known",
        ),
        pytest.param(
            dd.Loaded({"labels": ["a"]}, True), {"labels": ["a"]}, {}, set(), ["labels"], "restart", id="unset"
        ),
        pytest.param(
            dd.Loaded({"features": {}}, True), {"features": {}}, {}, set(), ["features"], "reload", id="unset-by-reload"
        ),
        pytest.param(
            dd.Loaded({"live-restore": True}, True),
            {"live-restore": True},
            {},
            set(),
            ["live-restore"],
            "reload",
            id="unset-by-its-default",
        ),
    ],
)
def test_action(loaded, have, want, owned, pending, action):
    assert dd.pending_keys(loaded, have, want, owned) == pending
    assert dd.plan_action(pending, want) == action


def test_file_comes_back_as_it_was_written():
    """Byte by byte, once nothing of ours is left in it."""
    found = b'{ "debug":true,\n\n"labels": ["a"] }'
    ledger = dd.Ledger(original=found.decode())
    assert dd.file_text({"debug": True, "labels": ["a"]}, b"{}", ledger) == found
    assert dd.file_text({"debug": False}, b"{}", ledger) == dd.dump_config({"debug": False}, b"{}")
    assert dd.file_text({"debug": True}, None, dd.Ledger()) == dd.dump_config({"debug": True}, None)


def test_live_restore_is_taken_back_by_its_default():
    """A missing key keeps its old value over a reload, so the file to reload from has the default, and only that one."""
    want = {"log-opts": {"max-size": "7m"}}
    assert dd.staged(["features", "live-restore", "log-opts"], want) == {**want, "live-restore": False}
    assert dd.staged(["live-restore"], {"live-restore": True}) == {"live-restore": True}


def test_run_cut_off_between_reload_and_final_file_is_finished():
    """The default that stands in the file then is ours, not somebody's."""
    ledger = planned({}, {"live-restore": True}).interim
    plan = dd.plan_file({"live-restore": False}, {}, ledger)
    assert (plan.config, plan.foreign) == ({}, ())


def test_after_reload_only_what_a_reload_takes():
    loaded = dd.after_reload(
        dd.Loaded({"icc": True, "labels": ["a"], "features": {"b": True}}, True), {"icc": False, "debug": True}
    )
    assert loaded.config == {"icc": True, "labels": ["a"], "features": None, "debug": True}


@pytest.mark.parametrize(
    ("argv", "want"),
    [
        ("dockerd -H fd:// --containerd=/run/c.sock", {"host": ["fd://"], "containerd": ["/run/c.sock"]}),
        ("dockerd -D --icc=false --mtu 1400", {"debug": ["true"], "icc": ["false"], "mtu": ["1400"]}),
        (
            "dockerd -Hfd:// -H=unix:///x --live-restore --debug",
            {"host": ["fd://", "unix:///x"], "live-restore": ["true"], "debug": ["true"]},
        ),
        ("dockerd", {}),
    ],
    ids=["debian", "short", "glued", "none"],
)
def test_flags(argv, want):
    assert dd.parse_flags(argv.split()) == want


@pytest.mark.parametrize(
    ("env", "want"),
    [
        ("", []),
        ('# DOCKER_OPTS="--dns 8.8.8.8"\n', []),
        ('DOCKER_OPTS="--icc=false --mtu 1400"\n', ["--icc=false", "--mtu", "1400"]),
    ],
    ids=["empty", "comment", "flags"],
)
def test_unit_command_line(env, want):
    show = dd.parse_show(fixture("systemctl-show-docker.txt"))
    argv = dd.unit_argv(show, {"/etc/default/docker": env})
    assert argv == ["/usr/sbin/dockerd", "-H", "fd://", "--containerd=/run/containerd/containerd.sock", *want]


def test_unit_command_line_with_environment_and_braces():
    show = {"Environment": '"A=1 2" B=3', "ExecStart": "{ path=/d ; argv[]=/d --x=${A} $A $B ; flags= ; pid=1 }"}
    assert dd.unit_argv(show, {}) == ["/d", "--x=1 2", "1", "2", "3"]
    assert dd.unit_argv({}, {}) == []


@pytest.mark.parametrize(
    ("config", "argv", "found"),
    [
        ({"hosts": ["unix:///x"]}, "d -H fd://", ['hosts (file: ["unix:///x"], flag: --host fd://)']),
        ({"icc": False}, "d --icc=false", ["icc (file: false, flag: --icc false)"]),
        (
            {"log-opts": {"max-size": "1m"}},
            "d --log-opt max-size=1m",
            ['log-opts (file: {"max-size": "1m"}, flag: --log-opt max-size=1m)'],
        ),
        ({"proxies": {"http-proxy": "p"}}, "d --http-proxy q", ['http-proxy (file: "p", flag: --http-proxy q)']),
        ({"log-opts": {"debug": "x"}}, "d -D", []),
        ({"runtimes": {}}, "d --add-runtime a=b", []),
        ({"icc": False}, "d -H fd://", []),
    ],
    ids=["hosts", "icc", "map", "nested", "inside-a-map", "runtimes", "none"],
)
def test_conflicts(config, argv, found):
    assert dd.conflicts(config, dd.parse_flags(argv.split())) == found


@pytest.mark.parametrize(
    ("settings", "unknown"),
    [
        ({"icc": False, "live-restore": True, "hosts": [], "log-opts": {"max-size": "1m"}, "runtimes": {}}, []),
        ({"features": {"buildkit": True}, "registry-mirrors": [], "default-address-pools": [], "exec-opts": []}, []),
        (
            {"builder": {"gc": {"enabled": True}}, "default-ulimits": {}, "storage-opts": [], "labels": [], "dns": []},
            [],
        ),
        ({"icee": False, "proxies": {"http-proxy": "x"}}, ["http-proxy", "icee"]),  # proxies came with 23.0
    ],
    ids=["usual", "lists", "objects", "unknown"],
)
def test_unknown_keys(settings, unknown):
    assert dd.unknown_keys(settings, fixture("dockerd-help-20.10.24.txt")) == unknown


def test_flag_names_as_keys():
    assert dd.misnamed({"registry-mirror": [], "icc": True}) == [
        "'registry-mirror' (a flag; the key in the file is 'registry-mirrors')"
    ]


@pytest.mark.parametrize(
    ("config", "argv", "want"),
    [
        ({}, "d", True),
        ({"iptables": False}, "d", False),
        ({}, "d --iptables=false", False),
        ({"firewall-backend": "nftables"}, "d", False),
        ({}, "d --firewall-backend nftables", False),
    ],
)
def test_iptables_wanted(config, argv, want):
    assert dd.iptables_wanted(config, dd.parse_flags(argv.split())) is want


NAT, FILTER = fixture("iptables-nat-20.10.24.txt"), fixture("iptables-filter-20.10.24.txt")
FLUSHED = "\n".join(line for line in FILTER.splitlines() if not line.startswith("-A"))
NOT_USER = "\n".join(line for line in FILTER.splitlines() if "DOCKER-USER" not in line)
RELOADED = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
USER = [dd.USER_CHAIN, dd.USER_JUMP]
FORWARD = "filter: jump from FORWARD to Docker"
GONE = ["filter: chain DOCKER", FORWARD, *USER]


@pytest.mark.parametrize(
    ("nat", "filtering", "missing"),
    [
        pytest.param(NAT, FILTER, [], id="whole"),
        pytest.param(NAT, FLUSHED, [FORWARD, dd.USER_JUMP], id="iptables-F"),
        pytest.param(NAT, NOT_USER, USER, id="restart-with-live-restore"),
        pytest.param(NAT, FILTER.replace("ISOLATION-STAGE-1", "FORWARD"), [], id="docker-28"),
        pytest.param(NAT, RELOADED, GONE, id="filter-emptied"),
        pytest.param(
            "-P PREROUTING ACCEPT\n",
            FILTER,
            ["nat: chain DOCKER", "nat: jump from PREROUTING to DOCKER"],
            id="nat-emptied",
        ),
        pytest.param("-N DOCKER_OUTPUT\n" + NAT, "-N DOCKER-X\n" + FILTER, [], id="others-of-like-names"),
        pytest.param(
            NAT.replace("DOCKER\n", "DOCKER_OUTPUT\n"),
            FILTER,
            ["nat: chain DOCKER", "nat: jump from PREROUTING to DOCKER"],
            id="only-likes",
        ),
    ],
)
def test_missing_chains(nat, filtering, missing):
    assert dd.missing_chains(nat, filtering) == missing


MAKE_CHAIN = [["-N", "DOCKER-USER"], ["-A", "DOCKER-USER", "-j", "RETURN"]]
MAKE_JUMP = [["-I", "FORWARD", "-j", "DOCKER-USER"]]


@pytest.mark.parametrize(
    ("gone", "rules"),
    [
        ([], []),
        (USER, MAKE_CHAIN + MAKE_JUMP),
        ([dd.USER_JUMP], MAKE_JUMP),
        (GONE, None),
    ],
    ids=["nothing", "chain", "jump", "more"],
)
def test_what_takes_no_restart(gone, rules):
    assert dd.user_chain_rules(gone) == rules


@pytest.mark.parametrize(
    ("policy", "auto_remove", "kept", "want"),
    [
        ("always", False, False, "restarted"),
        ("unless-stopped", False, False, "restarted"),
        ("on-failure", False, False, "stopped"),
        ("no", False, False, "stopped"),
        ("no", True, False, "removed"),
        ("no", True, True, "removed"),
        ("no", False, True, "kept"),
    ],
)
def test_what_becomes_of_containers(policy, auto_remove, kept, want):
    assert dd.Container("c", policy, auto_remove).outcome(kept) == want


def test_start_time_with_a_strange_name():
    fields = " ".join(str(number) for number in range(4, 53))
    assert dd.start_ticks(f"509 (a) b (c) S {fields}") == 22


def test_journal():
    lines = ["level=info starting", "failed to start daemon: no such driver ", "Failed with result 'exit-code'."]
    assert dd.failure_reason(lines) == "failed to start daemon: no such driver"
    assert dd.failure_reason(["level=info all is well"]) == ""
    assert dd.gist(lines) == lines[1:]
