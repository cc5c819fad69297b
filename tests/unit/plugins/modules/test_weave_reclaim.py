# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""weave_reclaim on a pretended router: addresses of the dead are taken over once, those of the living never."""

from __future__ import annotations

import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import Answer, ApiError
from ansible_collections.crosshost.overlay.plugins.modules import weave_reclaim

H1, H2, H3 = (f"02:00:00:00:00:0{number}" for number in (1, 2, 3))
DEAD = {"peers": [{"nickname": "h3", "name": H3}]}


class Router:
    """A router's API: who is known, who owns what."""

    def __init__(self) -> None:
        self.up = True
        self.peers = {H1: "h1", H2: "h2"}
        self.owned = {H1: ("h1", 100), H2: ("h2", 100), H3: ("h3", 56)}
        self.calls: list[str] = []
        self.obeys = True

    def report(self) -> dict[str, t.Any] | None:
        entries = [
            {"Peer": peer, "Nickname": nick, "Size": size, "IsKnownPeer": peer in self.peers}
            for peer, (nick, size) in self.owned.items()
        ]
        if not self.up:
            return None
        peers = [{"Name": name, "NickName": nick} for name, nick in self.peers.items()]
        return {
            "Ready": True,
            "Router": {"Name": H1, "NickName": "h1", "Peers": peers},
            "IPAM": {"Range": "10.32.0.0/24", "Entries": entries},
        }

    def delete(self, path: str) -> Answer:
        self.calls.append(path)
        peer = path.rpartition("/")[2]
        dummy_nick, size = self.owned.pop(peer) if self.obeys else ("", 0)
        return Answer(200, f"{size} IPs taken over from {peer}\n")


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Router:
    fake = Router()
    monkeypatch.setattr(weave_reclaim.Api, "report", lambda dummy_self: fake.report())
    monkeypatch.setattr(weave_reclaim.Api, "delete", lambda dummy_self, path: fake.delete(path))
    monkeypatch.setattr(weave_reclaim, "INTERVAL", 0.0)
    return fake


def test_taken_over_and_again(router: Router, run_module: t.Any) -> None:
    """The second run asks for nothing."""
    result = run_module(weave_reclaim.main, **DEAD)
    assert (result["changed"], result["owned"], result["free"], result["addresses"]) == (True, ["h3"], [], 56)
    assert router.calls == [f"/peer/{H3}"]
    again = run_module(weave_reclaim.main, **DEAD)
    assert (again["changed"], again["owned"], again["free"]) == (False, [], ["h3"])
    assert len(router.calls) == 1


def test_check_mode(router: Router, run_module: t.Any) -> None:
    """It tells who owns something, and takes nothing."""
    result = run_module(weave_reclaim.main, check_mode=True, **DEAD)
    assert (result["changed"], result["owned"]) == (True, ["h3"])
    assert router.calls == []


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(DEAD, id="by name"),
        pytest.param({"peers": [{"nickname": "h3"}]}, id="by nickname"),
        pytest.param({"peers": [{"nickname": "h3", "name": "02:00:00:00:00:99"}]}, id="other name"),
    ],
)
def test_the_living_keep_theirs(router: Router, run_module: t.Any, options: dict[str, t.Any]) -> None:
    """Whoever is known to the router is connected to some router."""
    router.peers[H3] = "h3"
    result = run_module(weave_reclaim.main, **options)
    assert "h3 is said to be dead" in result["msg"]
    assert router.calls == []


def test_this_host_is_not_dead(router: Router, run_module: t.Any) -> None:
    """It answers."""
    router.peers = {}
    assert "h1 is said to be dead" in run_module(weave_reclaim.main, peers=[{"nickname": "h1"}])["msg"]


def test_waits_until_the_loss_is_noticed(router: Router, run_module: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that was cut off a moment ago counts as connected for a while."""
    router.peers[H3] = "h3"
    monkeypatch.setattr(weave_reclaim.time, "sleep", lambda dummy_seconds: router.peers.pop(H3))
    assert run_module(weave_reclaim.main, wait_timeout=60, **DEAD)["owned"] == ["h3"]


def test_another_peer_name_of_the_same_host(router: Router, run_module: t.Any) -> None:
    """It was set up with a name that the inventory does not tell."""
    run_module(weave_reclaim.main, peers=[{"nickname": "h3", "name": "02:00:00:00:00:99"}])
    assert router.calls == [f"/peer/{H3}"]


def test_others_that_cannot_be_reached_are_named(
    router: Router, run_module: t.Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They keep what they have: nobody said that they are dead."""
    said: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda dummy_self, text: said.append(text))
    result = run_module(weave_reclaim.main, peers=[{"nickname": "h9"}])
    assert (result["changed"], result["free"]) == (False, ["h9"])
    assert "h3 (02:00:00:00:00:03) owns 56 addresses" in said[0]


def test_a_router_that_takes_nothing(router: Router, run_module: t.Any) -> None:
    """It answers 200 for a peer that it does not know."""
    router.obeys = False
    assert "took over nothing" in run_module(weave_reclaim.main, **DEAD)["msg"]


def test_no_router(router: Router, run_module: t.Any) -> None:
    """Named, with what to do."""
    router.up = False
    assert "No router answers" in run_module(weave_reclaim.main, **DEAD)["msg"]


def test_a_router_that_falls_silent(router: Router, run_module: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent is told."""

    def silent(dummy_self: t.Any, path: str) -> Answer:
        raise ApiError(f"DELETE http://127.0.0.1:6784{path}: timed out")

    monkeypatch.setattr(weave_reclaim.Api, "delete", silent)
    result = run_module(weave_reclaim.main, **DEAD)
    assert "stopped answering" in result["msg"]
    assert result["commands"] == [f"DELETE http://127.0.0.1:6784/peer/{H3}"]


def test_wait_is_bounded(router: Router, run_module: t.Any) -> None:
    """By what is asked for, within limits."""
    assert "within 0 to 600" in run_module(weave_reclaim.main, wait_timeout=601, **DEAD)["msg"]
