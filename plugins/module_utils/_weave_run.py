# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The steps of weave_launch: start, reset, wait, and what its diff shows."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, replace

from ansible_collections.crosshost.overlay.plugins.module_utils import (
    _info_secrets,
    _weave_network,
    _weave_plan,
    _weave_state,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_wait import wait

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_apply import Router
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_plan import Wish
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_state import Have


def start(module: AnsibleModule, router: Router, have: Have, wish: Wish) -> dict[str, t.Any]:
    """Bring the router to what is declared."""
    problems = _weave_plan.refusals(have, wish)
    if problems:
        there = have.container is not None and have.container.router
        held = _weave_state.holders(router.docker, router.api, have.router) if there else []
        who = f" Containers with addresses here: {', '.join(held)}." if held else ""
        module.fail_json(
            msg=f"Nothing was changed: {'; '.join(problems)}.{who}", weave=_weave_state.describe(have), affected=held
        )
    plan = _weave_plan.plan(have, wish)
    router.apply(have, plan, wish)
    after = have
    if plan.changes and not module.check_mode:
        after = look(router)
        if plan.unpause:  # only a running router can tell its peers
            router.answers(wish_timeout(module))
            after = look(router)
        again = _weave_plan.plan(after, wish)
        if plan.unpause or plan.launch:
            router.apply(after, replace(again, launch=()), wish)
            after = look(router)
        if again.launch:
            module.fail_json(
                msg=f"The router runs and is still not as declared: {'; '.join(again.launch)}. 'docker inspect weave' shows its arguments.",
                commands=router.commands,
                weave=_weave_state.describe(after),
            )
    fitted = fit_network(module, router, wish)
    return {"changed": plan.changes or fitted, "reasons": list(plan.launch), "after": after, "plan": plan}


def fit_network(module: AnsibleModule, router: Router, wish: Wish) -> bool:
    """Make Docker's network anew where its subnet is not the router's any more. Says whether that was, or would be, done."""
    network = _weave_network.read(router.docker)
    if network is None or not _weave_network.misfit(network, wish.launch):
        return False
    if network.members:
        module.warn(_weave_network.warning(network, wish.launch))
        return False
    for step in _weave_network.steps(wish.launch):
        router.docker.write(*step)
    now = None if module.check_mode else _weave_network.read(router.docker)
    if not module.check_mode and (now is None or _weave_network.misfit(now, wish.launch)):
        module.fail_json(
            msg=f"Docker was told to make its network '{_weave_network.NETWORK}' anew with the subnet {_weave_network.wanted(wish.launch)}, and it "
            f"{'is not there' if now is None else f'has {now.subnet}'}. See 'docker network inspect weave' and 'docker logs weave'; run again.",
            commands=router.commands,
        )
    return True


def wish_timeout(module: AnsibleModule) -> float:
    """Seconds a router that exists already gets to answer."""
    return float(min(module.params["wait_timeout"], 60))


def look(router: Router) -> Have:
    """Read the state again."""
    return _weave_state.observe(router.docker, router.api, _weave_state.bridge_there())


def leave(module: AnsibleModule, router: Router, have: Have, wish: Wish) -> list[str]:
    """Reset the host, if that is what may happen. Returns the containers that lose their addresses."""
    params = module.params
    if have.container is None and not (have.database or have.bridge or have.previous or have.helper or have.record):
        return []
    if have.container is not None and not have.container.router:
        module.fail_json(msg=f"Nothing was changed: {_weave_plan.refusals(have, wish)[0]}.")
    held = _weave_state.holders(router.docker, router.api, have.router)
    if held and not params["allow_attached"]:
        module.fail_json(
            msg=f"Nothing was changed: containers have addresses of the overlay and would lose them: {', '.join(held)}. "
            "Remove or disconnect them ('docker network disconnect weave NAME'), or set allow_attached to true (role weave: weave_teardown_attached).",
            affected=held,
        )
    if have.router is None and have.database and not params["reset_force"]:
        module.fail_json(
            msg="Nothing was changed: no router runs that could give this host's addresses to the peers, so they would stay lost. "
            "Start it first (state=started), or set reset_force to true (role weave: weave_reset_force) "
            "and run 'weave rmpeer' with this host's name on one of the peers."
        )
    router.reset(have, params["reset_force"])
    return held


def await_peers(module: AnsibleModule, router: Router, wish: Wish, result: dict[str, t.Any], after: Have) -> Have:
    """Wait as asked, and fail with one sentence per peer that is not connected."""
    params = module.params
    peers = wish.peers if wish.peers is not None else (after.router.targets if after.router else ())
    if params["wait_peers"] is not None:
        chosen = {item.partition(":")[0] for item in params["wait_peers"]}
        peers = tuple(item for item in peers if item.partition(":")[0] in chosen)
    outcome = wait(router.api, peers, params["wait_timeout"], params["fast_datapath"], params["wait_for"] == "ready")
    after = look(router)
    for text in outcome.degraded:
        module.warn(text)
    if outcome.problems:
        module.fail_json(
            msg=f"Weave Net is not {params['wait_for']}: {'. '.join(outcome.problems)}.",
            problems=outcome.problems,
            commands=router.commands,
            weave=_weave_state.describe(after),
            changed=result["changed"],
        )
    if outcome.primed:
        router.commands.append(f"GET http://{router.api.address}/ring")
        result["changed"] = True
    return after


def shown(have: Have) -> dict[str, t.Any]:
    """The part of the state that a diff shows."""
    main, launch = have.container, have.launch
    if main is None or launch is None:
        return {"router": None, "database": have.database}
    options = {key: value for key, value in asdict(launch).items() if key != "peers"}
    return {
        "router": {
            **options,
            "extra": _info_secrets.options(dict(launch.extra)),
            "image": main.image,
            "restart_policy": main.policy,
            "state": main.status,
        },
        "password": "set" if main.password else "none",
        "peers": list(have.router.targets) if have.router else None,
        "database": have.database,
    }


def predicted(have: Have, wish: Wish, plan: _weave_plan.Plan | None, state: str) -> dict[str, t.Any]:
    """The same for what would be."""
    before = shown(have)
    if plan is None:
        return {"router": None, "database": have.database and state == "stopped"}
    if not plan.changes:
        return before
    args = plan.args or have.launch or wish.launch
    options = {key: value for key, value in asdict(args).items() if key != "peers"}
    peers = wish.peers if wish.peers is not None else (have.router.targets if have.router else ())
    return {
        "router": {
            **options,
            "extra": _info_secrets.options(dict(args.extra)),
            "image": wish.image,
            "restart_policy": wish.policy,
            "state": "running",
        },
        "password": "set" if wish.password else "none",
        "peers": sorted(peers),
        "database": True,
    }
