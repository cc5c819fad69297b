# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Waits until a Weave Net router is connected, or tells why it is not."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_report
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_faults import (
    connected,
    explain_link,
    explain_sleeve,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import ApiError

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import Api
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_report import Router

INTERVAL = 0.5  # seconds between two looks
NUDGE = 5.0  # seconds between two requests to try a failed peer again at once, instead of after up to six minutes


@dataclass(frozen=True)
class Outcome:
    """problems: why it is not there yet, one sentence each; degraded: links that work and should be faster; primed: GET /ring was sent."""

    problems: list[str]
    degraded: list[str]
    primed: bool = False


def links(router: Router, peers: t.Sequence[str], waited: str) -> tuple[list[str], list[str]]:
    """One sentence for each peer without a link, and one for each link in user space."""
    problems, slow = [], []
    for peer in peers:
        host = peer.partition(":")[0]
        link = connected(router, host)
        if link is None:
            problems.append(explain_link(router.connections, host, router.port or 6783, waited))
        elif link.mode == "sleeve":
            slow.append(explain_sleeve(link, router.port or 6783))
    return problems, slow


def wait(api: Api, peers: t.Sequence[str], timeout: float, fast: str, ready: bool) -> Outcome:
    """Wait for links to all peers and, with ready, for the allocation of addresses. timeout in seconds.

    fast: 'required' counts a link in user space as a problem, 'auto' as degraded, 'disabled' as well.
    """
    start = time.monotonic()
    nudged = start - NUDGE
    while True:
        report = api.report()
        problems = ["the router does not answer; see 'docker logs weave'"]
        slow: list[str] = []
        router = _weave_report.parse(report) if report else None
        passed = time.monotonic() - start
        if router:
            problems, slow = links(router, peers, f"for {passed:.0f} s")
            if fast == "required":
                problems, slow = problems + slow, []
            if not problems and router.ready:
                break
        # Not at once: a cause that has been cured shows only after another try.
        if passed >= timeout or (passed > NUDGE and router and hopeless(router, peers, problems)):
            return Outcome(problems or ["the router is not ready yet; raise wait_timeout"], slow)
        if router and time.monotonic() - nudged >= NUDGE:
            nudged = time.monotonic()
            nudge(api, router, peers)
        time.sleep(INTERVAL)
    if not ready:
        return Outcome([], slow if fast == "auto" else [])
    problem, primed = prime(api, max(1.0, timeout - (time.monotonic() - start)))
    return Outcome([problem] if problem else [], slow if fast == "auto" else [], primed)


def hopeless(router: Router, peers: t.Sequence[str], problems: t.Sequence[str]) -> bool:
    """Whether the router itself has given up on each peer that is missing."""
    hosts = [peer.partition(":")[0] for peer in peers if connected(router, peer.partition(":")[0]) is None]
    given_up = {item.ip for item in router.connections if item.for_ever}
    return bool(problems and hosts) and given_up.issuperset(hosts)


def nudge(api: Api, router: Router, peers: t.Sequence[str]) -> None:
    """Have the router try failed peers again now; it changes nothing else, because they are its targets already."""
    failed = {item.ip for item in router.connections if item.state in ("failed", "retrying")}
    again = [item for item in router.targets if item.partition(":")[0] in failed]
    if again:
        try:
            api.post("/connect", [("peer", item) for item in again])
        except ApiError:
            return  # the next look tells


def prime(api: Api, timeout: float) -> tuple[str | None, bool]:
    """See that addresses can be given out; the first such request makes the routers share the range."""
    report = api.report()
    router = _weave_report.parse(report) if report else None
    if router is None:
        return "the router stopped answering; see 'docker logs weave'", False
    if router.ipam is None or router.ipam.status == "ready":
        return None, False
    if router.ipam.primed:
        return f"addresses cannot be given out: {router.ipam.status}", False
    try:
        if api.get("/ring", timeout=timeout).ok:
            return None, True
    except ApiError:
        pass
    report = api.report()
    status = _weave_report.parse(report).ipam if report else None
    return (
        f"addresses cannot be given out yet: {status.status if status else 'no answer'}; start the router on more hosts, "
        "or give all hosts the same ipalloc_init (seed=NAMES, or consensus=COUNT)"
    ), False
