# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on Weave Net's router itself: whether it runs, with what, and what it says when it does not. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_faults
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_causes import NO_DOCKER, ROOTS
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import Facts, dig, mapping, texts
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, rule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import (
    on,
    quoted,
    sentence,
    site,
    teardown,
)

STATES = ("exited", "dead", "created", "paused", "restarting", "removing")


def weave(case: Case, host: str) -> Facts:
    """Return what is known of Weave Net on a host, empty if it has none."""
    found = case.get(host, "weave")
    return found if isinstance(found, t.Mapping) else {}


def users(case: Case) -> list[str]:
    """The hosts that Weave Net is on, or ought to be."""
    wanted = case.expects("weave")
    return [host for host in case.read if (wanted and weave(case, host)) or weave(case, host).get("container")]


def state(case: Case, host: str) -> str:
    """Return the state of the router's container, empty without one."""
    return str(dig(weave(case, host), "container", "state") or "")


def words(case: Case, host: str) -> list[str]:
    """The router's last words, where they matter: it does not run, or does not answer."""
    router = dig(weave(case, host), "router")
    return [] if isinstance(router, t.Mapping) and router.get("ready") else texts(weave(case, host), "log")


def _said(case: Case, kind: str) -> t.Iterator[tuple[str, list[str]]]:
    for host in users(case):
        lines = [line for line in words(case, host) if _weave_faults.kind_of_launch(line) == kind]
        if lines:
            yield host, lines


@rule("weave-router-state", unless=ROOTS)
def router_state(case: Case) -> t.Iterator[Finding]:
    """There is no router, or it is held."""
    for host in users(case):
        container, now = dig(weave(case, host), "container"), state(case, host)
        router = dig(weave(case, host), "router")
        if container is None and (not case.expects("weave") or case.get(host, "docker", "running") is False):
            continue
        if container is not None and (dig(container, "foreign") or (now == "running" and router is not None)):
            continue
        what = {
            "": "does not exist",
            "running": "runs and does not answer",
            "exited": "has ended",
        }.get(now, f"is in the state '{now}'")
        hint = _weave_faults.last_words("\n".join(words(case, host)))
        remedy = _weave_faults.launch_remedy(hint) or "Start it; its addresses are in the container weavedb and stay"
        steps = {
            "paused": on(host, "docker unpause weave"),
            "exited": on(host, "docker start weave", "docker logs --tail 30 weave"),
            "running": on(
                host,
                "docker logs --tail 30 weave",
                "curl -sS -m 5 http://127.0.0.1:6784/status",
                "docker restart weave",
            ),
        }.get(now, on(host, "docker logs --tail 30 weave"))
        policy = dig(container, "restart_policy")
        yield Finding(
            "weave-router-state",
            "error",
            (host,),
            f"the router of Weave Net {what} on {host}",
            quoted(
                host,
                [
                    f"weave: state {now or 'none'}, restart policy {policy}"
                    if container
                    else "Error: No such container: weave"
                ],
            )
            + quoted(host, [hint]),
            "Containers of this host reach nobody else, and its peers keep trying. Docker restarts a router that died, not one that was stopped.",
            sentence(remedy),
            (*steps, site("weave")),
            rank=20,
        )


@rule("weave-foreign-container", unless=NO_DOCKER)
def foreign(case: Case) -> t.Iterator[Finding]:
    """Somebody else's container of that name."""
    for host in case.read:
        container = dig(weave(case, host), "container")
        if not dig(container, "foreign"):
            continue
        yield Finding(
            "weave-foreign-container",
            "error",
            (host,),
            f"the container 'weave' on {host} is not a router of Weave Net",
            quoted(host, [f"weave: image {dig(container, 'image')}, state {dig(container, 'state')}"]),
            "The router has to have that name. This collection never removes a container that is not its own.",
            "Rename that container, then run site.yml.",
            (*on(host, "docker rename weave weave-other"), site("weave", [host])),
            rank=18,
        )


@rule("weave-database-damaged", unless=NO_DOCKER)
def database(case: Case) -> t.Iterator[Finding]:
    """The record of addresses cannot be opened."""
    for host, lines in _said(case, "database"):
        yield Finding(
            "weave-database-damaged",
            "error",
            (host,),
            f"the address database of Weave Net is damaged or in use on {host}",
            quoted(host, lines, 2),
            "The router opens /weavedb/weavedata.db (in the container weavedb) when it starts, and ends if it cannot.",
            "See what else uses it, and end that. If nothing does, it is damaged: give it up with a teardown of this host, which removes "
            "the router's record of addresses, so its peers have to take them over (weave rmpeer on one of them); site.yml starts it anew.",
            (*on(host, "docker ps --all --filter volume=/weavedb", "docker logs --tail 30 weave"), *reset(host)),
            rank=18,
        )


@rule("weave-bridge-state", unless=NO_DOCKER)
def bridge(case: Case) -> t.Iterator[Finding]:
    """A bridge that is left over from another way of launching, or half made."""
    for host, lines in _said(case, "bridge"):
        yield Finding(
            "weave-bridge-state",
            "error",
            (host,),
            f"the bridge 'weave' on {host} is not as the router needs it",
            quoted(host, lines, 2),
            "It was made by another way of launching (with or without the fast datapath), or one of its links was deleted by hand.",
            "Reset this host and launch again. As no router runs that could give its addresses to the peers, they have to take them over "
            "(weave rmpeer on one of them); its containers get new ones.",
            reset(host),
            rank=18,
        )


def reset(host: str) -> tuple[str, str]:
    """Take Weave Net away from a host whose router does not run, and set it up again, with all that the teardown took back."""
    return teardown(host, weave_reset_force="true"), site(limit=[host])


@rule("weave-two-starters", unless=NO_DOCKER)
def two_starters(case: Case) -> t.Iterator[Finding]:
    """systemd and Docker both start the router."""
    for host in users(case):
        policy = str(dig(weave(case, host), "container", "restart_policy") or "no")
        unit = mapping(weave(case, host), "service")
        enabled, active = str(unit.get("enabled") or ""), str(unit.get("active") or "")
        if policy in ("no", "") or not (enabled.startswith("enabled") or active in ("active", "activating")):
            continue
        yield Finding(
            "weave-two-starters",
            "error" if state(case, host) in STATES else "warning",
            (host,),
            f"both Docker and weave.service start the router on {host}",
            quoted(
                host,
                [
                    f"weave: restart policy {policy}",
                    f"weave.service: {enabled or 'not enabled'}, {active or 'inactive'}",
                ],
            ),
            "After a boot the two race; the loser leaves the bridge half made ('Inconsistent bridge state').",
            "Leave it to Docker: disable the unit. Stopping it may stop the router, too; site.yml starts that again.",
            (*on(host, "systemctl disable --now weave.service"), site("weave", [host])),
            rank=19,
        )
