# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a router shall be against what it is: live changes, relaunches, refusals."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_report
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_args import Launch
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_plan import (
    Plan,
    Wish,
    input_problems,
    plan,
    refusals,
    without_own,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_state import (
    Container,
    Have,
    _container,
    cni_files,
)

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "weave"
NAME = "02:00:00:00:00:01"
IMAGE = "weaveworks/weave:2.9.0"
RECORD = {"name": NAME, "range": "10.32.0.0/12", "init": "", "port": 6783}
LAUNCH = Launch(ipalloc_range="10.32.0.0/12", proxy=True, plugin=True, name=NAME, fast_datapath=False)
WISH = Wish(LAUNCH, "", IMAGE, "always", peers=())


def load(kind: str, name: str) -> t.Any:
    """A recorded file."""
    return json.loads((FIXTURES / f"{kind}_{name}.json").read_text(encoding="utf-8"))


ROUTER = _weave_report.parse(load("report", "single"))
MAIN = t.cast(Container, _container(load("inspect", "single")[0]))
RUNNING = Have(MAIN, None, None, True, True, ROUTER, RECORD)
EMPTY = Have(None, None, None, False, False, None, {})


def have(main: dict[str, t.Any] | None = None, router: dict[str, t.Any] | None = None, **changes: t.Any) -> Have:
    """The running router with changes."""
    parts: dict[str, t.Any] = {"container": dataclasses.replace(MAIN, **(main or {}))}
    parts["router"] = dataclasses.replace(ROUTER, **router) if router is not None else ROUTER
    return dataclasses.replace(RUNNING, **{**parts, **changes})


def wish(launch: dict[str, t.Any] | None = None, **changes: t.Any) -> Wish:
    """The wish that fits the running router, with changes."""
    return dataclasses.replace(WISH, launch=dataclasses.replace(LAUNCH, **(launch or {})), **changes)


def primed() -> dict[str, t.Any]:
    """A router that has shared the range."""
    ipam = t.cast(_weave_report.Ipam, ROUTER.ipam)
    return {"ipam": dataclasses.replace(ipam, primed=True, owners=(_weave_report.Owner(NAME, "h1", 4, True),))}


def test_recorded_container() -> None:
    assert (MAIN.image, MAIN.status, MAIN.policy, MAIN.password, MAIN.ours) == (IMAGE, "running", "always", "", False)
    assert MAIN.router
    assert t.cast(Container, _container(load("inspect", "encrypted")[0])).password == "rightpass"


def test_same_state_needs_nothing() -> None:
    assert plan(RUNNING, WISH) == Plan()
    assert not plan(RUNNING, WISH).changes


@pytest.mark.parametrize(
    ("targets", "peers", "connect", "forget"),
    [
        pytest.param((), ("192.0.2.2",), ("192.0.2.2",), (), id="new"),
        pytest.param(("192.0.2.2",), (), (), ("192.0.2.2",), id="gone"),
        pytest.param(("192.0.2.2",), None, (), (), id="not asked for"),
        pytest.param(("192.0.2.2:6783",), ("192.0.2.2",), (), (), id="default port"),
        pytest.param(("192.0.2.2:7000",), ("192.0.2.2",), ("192.0.2.2",), ("192.0.2.2:7000",), id="other port"),
        pytest.param(("h2",), ("192.0.2.2",), ("192.0.2.2",), ("h2",), id="name for address"),
    ],
)
def test_peers_change_live(
    targets: tuple[str, ...], peers: tuple[str, ...] | None, connect: tuple[str, ...], forget: tuple[str, ...]
) -> None:
    found = plan(have(router={"targets": targets}), wish(peers=peers))
    assert (found.launch, found.connect, found.forget) == ((), connect, forget)


@pytest.mark.parametrize(
    ("state", "want", "reason"),
    [
        pytest.param(EMPTY, WISH, "no router", id="first"),
        pytest.param(have({"status": "exited"}, router=None), WISH, "the router's container is exited", id="exited"),
        pytest.param(have({"status": "created"}), WISH, "the router's container is created", id="created"),
        pytest.param(have({"status": "restarting"}), WISH, "the router's container is restarting", id="restarting"),
        pytest.param(dataclasses.replace(RUNNING, router=None), WISH, "the router does not answer", id="silent"),
        pytest.param(RUNNING, wish({"connection_limit": 300}), "connection_limit: 200 to 300", id="argument"),
        pytest.param(RUNNING, wish({"extra": (("bufsz", "16"),)}), "--bufsz: none to 16", id="extra"),
        pytest.param(RUNNING, wish(password="x"), "password: set", id="password set"),
        pytest.param(have({"password": "y"}), wish(password="x"), "password: changed", id="password changed"),
        pytest.param(have({"password": "y"}), WISH, "password: removed", id="password removed"),
        pytest.param(RUNNING, wish(image="x/weave:2.8.1"), f"image: {IMAGE} to x/weave:2.8.1", id="image"),
        pytest.param(RUNNING, wish({"name": "02:00:00:00:00:09"}), f"name: {NAME} to 02:00:00:00:00:09", id="name"),
        pytest.param(
            RUNNING, wish({"ipalloc_init": "observer"}), "ipalloc_init: none to observer", id="init before priming"
        ),
    ],
)
def test_what_takes_a_launch(state: Have, want: Wish, reason: str) -> None:
    found = plan(state, want)
    assert found.launch == (reason,)
    assert not found.connect
    assert not found.forget
    assert found.record


def test_password_is_in_no_reason() -> None:
    assert "canary" not in repr(plan(have({"password": "canary1"}), wish(password="canary2")))


def test_launch_takes_the_peers_along() -> None:
    args = plan(have(router={"targets": ("192.0.2.7",)}), wish({"connection_limit": 1}, peers=None)).args
    assert args is not None
    assert args.peers == ("192.0.2.7",)


@pytest.mark.parametrize("place", ["container", "previous"])
def test_launch_of_a_router_that_stopped_takes_its_peers_along(place: str) -> None:
    stopped = t.cast(Container, _container(load("inspect", "encrypted")[0]))
    state = dataclasses.replace(EMPTY, **{place: dataclasses.replace(stopped, status="exited")})
    args = plan(state, wish(peers=None)).args
    assert args is not None
    assert args.peers == ("172.30.0.2",)


def test_name_of_before_stays_when_none_is_asked_for() -> None:
    args = plan(have({"status": "exited"}, container=None, router=None), wish({"name": ""})).args
    assert args is not None
    assert args.name == NAME


def test_paused_router_goes_on() -> None:
    found = plan(have({"status": "paused"}, router=None), WISH)
    assert found.unpause or found.launch == ()
    paused = dataclasses.replace(have({"status": "paused"}), router=None)
    assert plan(paused, WISH) == Plan(unpause=True)
    assert plan(paused, wish({"connection_limit": 1})).launch


def test_restart_policy_changes_live() -> None:
    found = plan(RUNNING, wish(policy="no"))
    assert (found.launch, found.policy) == ((), "no")


@pytest.mark.parametrize("init", ["", "seed=a,b", "observer"])
def test_seed_never_changes_once_set(init: str) -> None:
    recorded = have(record={**RECORD, "init": "seed=a"})
    assert plan(recorded, wish({"ipalloc_init": init})).launch == ()
    assert plan(have(router=primed()), wish({"ipalloc_init": init})).launch == ()
    stopped = Have(None, None, None, True, True, None, {**RECORD, "init": "seed=a"})
    args = plan(stopped, wish({"ipalloc_init": init})).args
    assert args is not None
    assert args.ipalloc_init == "seed=a"


def test_what_else_is_recorded_is_no_difference() -> None:
    assert plan(have(record={**RECORD, "cni": True}), WISH) == Plan()


def test_files_for_kubernetes_are_found(tmp_path: pathlib.Path) -> None:
    folder, config = tmp_path / "bin", tmp_path / "10-weave.conflist"
    assert cni_files(str(folder), str(config)) == []
    folder.mkdir()
    for name in ("weave-plugin-2.9.0", "bridge", "loopback"):
        (folder / name).touch()
    (folder / "weave-net").symlink_to("weave-plugin-2.9.0")
    config.touch()
    names = [pathlib.Path(path).name for path in cni_files(str(folder), str(config))]
    assert names == ["weave-net", "weave-plugin-2.9.0", "10-weave.conflist"]


def test_missing_record_is_written() -> None:
    assert plan(have(record={}), WISH).record == RECORD


def test_leftovers_go() -> None:
    old = dataclasses.replace(MAIN, id="old")
    assert plan(have(previous=old, helper="h"), WISH).leftovers == ("h", "old")
    # With a launch ahead the router of before is what to go back to.
    assert plan(have(previous=old, helper="h"), wish(password="x")).leftovers == ("h",)


@pytest.mark.parametrize(
    ("state", "want", "words"),
    [
        pytest.param(have({"path": "/bin/sh", "image": "busybox"}), WISH, "is not a Weave Net router", id="foreign"),
        pytest.param(have(router=primed()), wish({"name": "02:00:00:00:00:09"}), "allow_rename", id="rename"),
        pytest.param(have(router=primed()), wish({"ipalloc_range": "10.0.0.0/8"}), "allow_range_change", id="range"),
        pytest.param(RUNNING, wish({"fast_datapath": True}), "fast_datapath would change", id="datapath"),
        pytest.param(
            Have(None, None, None, True, True, None, RECORD),
            wish({"name": "02:00:00:00:00:09"}),
            "allow_rename",
            id="stopped",
        ),
    ],
)
def test_refusals(state: Have, want: Wish, words: str) -> None:
    found = refusals(state, want)
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    ("state", "want"),
    [
        pytest.param(RUNNING, WISH, id="same"),
        pytest.param(EMPTY, WISH, id="first"),
        pytest.param(RUNNING, wish({"name": "02:00:00:00:00:09"}), id="rename before priming"),
        pytest.param(
            have(router=primed()), wish({"name": "02:00:00:00:00:09"}, allow_rename=True), id="allowed rename"
        ),
        pytest.param(
            have(router=primed()), wish({"ipalloc_range": "10.0.0.0/8"}, allow_range_change=True), id="allowed range"
        ),
        pytest.param(have(router=primed()), wish({"name": ""}), id="no name asked for"),
        pytest.param(dataclasses.replace(RUNNING, bridge=False), wish({"fast_datapath": True}), id="no bridge"),
    ],
)
def test_what_is_not_refused(state: Have, want: Wish) -> None:
    assert refusals(state, want) == []


@pytest.mark.parametrize(
    ("launch", "peers", "words"),
    [
        pytest.param({"name": "zz"}, [], "name 'zz'", id="name"),
        pytest.param({"name": "03:00:00:00:00:01"}, [], "unicast", id="multicast name"),
        pytest.param({"name": "00:00:00:00:00:00"}, [], "unicast", id="zero name"),
        pytest.param({"ipalloc_range": "10.0.0.1/33"}, [], "ipalloc_range '10.0.0.1/33'", id="range"),
        pytest.param({"ipalloc_range": "10.0.0.1/16"}, [], "has host bits set", id="host bits"),
        pytest.param({"ipalloc_range": "10.0.0.0/31"}, [], "smaller than 4", id="small range"),
        pytest.param({"ipalloc_default_subnet": "10.0.0.0/24"}, [], "not inside", id="subnet"),
        pytest.param({"ipalloc_init": "seed="}, [], "ipalloc_init", id="init"),
        pytest.param({"trusted_subnets": ("x",)}, [], "trusted_subnets 'x'", id="trusted"),
        pytest.param({"port": 0}, [], "port 0", id="port"),
        pytest.param({}, ["fc00::2"], "IPv4 only", id="IPv6"),
        pytest.param({}, ["h2"], "peer 'h2'", id="host name"),
        pytest.param({}, ["192.0.2.1:99999"], "no port", id="peer port"),
        pytest.param({}, ["--help"], "peer '--help'", id="option as peer"),
    ],
)
def test_bad_input(launch: dict[str, t.Any], peers: list[str], words: str) -> None:
    found = input_problems(dataclasses.replace(LAUNCH, **launch), peers)
    assert len(found) == 1
    assert words in found[0]


def test_good_input() -> None:
    launch = dataclasses.replace(LAUNCH, ipalloc_init="consensus=3", ipalloc_default_subnet="10.32.1.0/24")
    assert input_problems(launch, ["192.0.2.1", "192.0.2.2:6783"]) == []
    assert input_problems(dataclasses.replace(LAUNCH, ipalloc_range=""), []) == []


def test_own_addresses_are_no_peers() -> None:
    assert without_own(["192.0.2.1", "192.0.2.2:6783", "192.0.2.3", "192.0.2.3"], {"192.0.2.2"}) == (
        "192.0.2.1",
        "192.0.2.3",
    )
