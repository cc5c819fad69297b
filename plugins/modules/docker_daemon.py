#!/usr/bin/python

# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_daemon
short_description: Settings and health of the Docker daemon
version_added: "0.1.0"
author:
  - The crosshost.overlay authors (@crosshost)
description:
  - Merges settings into C(daemon.json), makes sure that the running dockerd has loaded them, and brings Docker back when
    something else removed its iptables chains.
  - Whether to reload or restart is decided by comparing the file with what the running daemon has loaded, never by whether
    this run wrote the file. A run that was interrupted between the two is finished by the next one.
  - What the running daemon has loaded comes from a record that belongs to this very process (C(/run/crosshost-overlay/docker-daemon.json)),
    else from the file if it is older than the process, and for C(debug) and C(live-restore) from C(docker info).
  - A daemon that does not come up with the new settings gets the last file it ran with back and is started again; the module then
    fails with the reason from the journal.
  - It never installs, removes or replaces an engine and never removes a container.
requirements:
  - systemd
  - The docker command (package C(docker.io), C(docker-cli) or C(docker-ce-cli))
extends_documentation_fragment:
  - crosshost.overlay.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) merges O(settings), enables and starts Docker.
      - V(absent) takes exactly the values set by this module out of O(path) and puts back the ones they replaced, from the record in
        C(/var/lib/crosshost-overlay/docker-daemon.json). A value that someone else has changed since stays. A stopped Docker stays stopped.
    type: str
    choices: [present, absent]
    default: present
  settings:
    description:
      - What O(path) has to say, in the names dockerd uses there (C(registry-mirrors), not C(registry-mirror)).
      - Objects are merged, at any depth. Lists and all other values are replaced. A key set to null is removed.
      - Keys that are not named here stay as they are. A key set by an earlier call and no longer named gets its former value back.
      - Without this option nothing is set and nothing given back; the daemon is only made sure of.
    type: dict
  path:
    description: The configuration file of dockerd. A file that is not valid JSON is never overwritten.
    type: path
    default: /etc/docker/daemon.json
  service:
    description: The systemd unit that runs dockerd.
    type: str
    default: docker.service
  restart:
    description:
      - Whether Docker may be restarted. A reload, and the start of a stopped Docker, are always allowed.
      - With V(false) the module fails before any change if a restart is needed, and says what for and which containers it concerns.
      - When the settings turn C(live-restore) on, it is loaded by a reload before the restart, so that running containers survive it.
    type: bool
    default: true
  recover:
    description:
      - Whether Docker is restarted when its iptables chains are gone (firewalld stopped or started, C(iptables -F),
        C(nft flush ruleset)), or when firewalld was started after Docker and C(docker0) is in none of its zones.
      - The chain C(DOCKER-USER) is made without a restart if it is all that is missing. It comes back empty, as after a restart.
      - Not looked at with C(iptables) set to false or the nftables backend of Docker 29. With V(false) only a warning is given.
    type: bool
    default: true
  missing:
    description:
      - What to do on a host without an engine, with O(state=present). V(tell) only records O(package) there and returns RV(daemon.installed) as
        false, for the caller to install that package and call again.
      - One whose O(package) is being installed, or was in part, counts as a host without. apt waits for the former and completes the latter.
      - A host without C(apt-get) is an error all the same.
    type: str
    choices: [fail, tell]
    default: fail
  package:
    description:
      - The package that the caller installs when there is no engine. With O(missing=tell) it is recorded before, so that a run which is cut off
        in between does not take it for one that was there, and returned as RV(package) ever after.
    type: str
    default: docker.io
  timeout:
    description: Seconds that a reload, start or restart of Docker may take until C(docker info) answers.
    type: int
    default: 120
notes:
  - In check mode a host without Docker is taken as one where O(package) has just been installed and started.
  - The values in O(settings) appear in the diff; use C(no_log) on the task if they hold credentials, for example of a proxy.
seealso:
  - name: dockerd reference
    description: All settings, and which of them a reload loads.
    link: https://docs.docker.com/reference/cli/dockerd/
"""

EXAMPLES = r"""
- name: Forbid traffic on docker0 and keep containers running over restarts of Docker
  crosshost.overlay.docker_daemon:
    settings:
      icc: false
      live-restore: true
      log-opts:
        max-size: 10m

- name: Only bring Docker back if its iptables chains are gone
  crosshost.overlay.docker_daemon:

- name: Take our settings out again
  crosshost.overlay.docker_daemon:
    state: absent
"""

RETURN = r"""
daemon:
  description: The engine after the run, in check mode as far as it can be told before.
  returned: success
  type: dict
  contains:
    action:
      description: What loaded the settings or brought Docker back.
      type: str
      choices: [none, start, reload, restart]
    config:
      description: The content of O(path).
      type: dict
    installed:
      description: Whether there is an engine, that is dockerd or its unit.
      type: bool
    path:
      description: The file.
      type: str
    pending:
      description: The top-level keys that the running daemon had not loaded.
      type: list
      elements: str
    running:
      description: Whether Docker answers.
      type: bool
    version:
      description: The version of the running engine, empty if none runs.
      type: str
  sample:
    action: restart
    config: {icc: false, live-restore: true}
    installed: true
    path: /etc/docker/daemon.json
    pending: [icc, live-restore]
    running: true
    version: 20.10.24+dfsg1
recovered:
  description: What was gone and is back, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: ["nat: chain DOCKER", "filter: jump from FORWARD to DOCKER-USER"]
containers:
  description: The containers that ran before a restart, and what it does to them.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the container.
      type: str
    policy:
      description: Its restart policy.
      type: str
    outcome:
      description: V(kept) by live-restore, V(restarted) or V(stopped) by its restart policy, or V(removed) if it was started with C(--rm).
      type: str
kept:
  description: Values set by this module once, changed by someone else since, and therefore left alone.
  returned: success
  type: list
  elements: str
package:
  description: The package that came from this collection, empty if the engine was there before.
  returned: success
  type: str
commands:
  description: The commands that changed something, in check mode those that would.
  returned: always
  type: list
  elements: str
  sample: [/usr/bin/systemctl reset-failed docker.service, /usr/bin/systemctl restart docker.service]
journal:
  description: The last lines of Docker's journal.
  returned: when Docker does not come up
  type: list
  elements: str
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _docker_daemon as dd
from ansible_collections.crosshost.overlay.plugins.module_utils._docker_engine import Engine, Host


def choose(engine: Engine, host: Host, plan: dd.FilePlan, present: bool) -> tuple[list[str], list[str], str]:
    """Return the pending keys, what is gone, and the action."""
    params = engine.module.params
    pending = dd.pending_keys(host.loaded, host.config, plan.config, plan.owned)
    # A key someone else has just put into the file counts too: rules that the next start will not make are not missed.
    gone = engine.missing(host, {**host.config, **host.loaded.config}) if present and host.active else []
    if not host.installed:
        return pending, [], dd.plan_action(pending, plan.config) if present else "none"
    if not host.active:
        return pending, [], "start" if present else "none"
    action = dd.plan_action(pending, plan.config)
    if gone and not params["recover"]:
        engine.module.warn(
            f"Docker's firewall rules are incomplete ({', '.join(gone)}), and recover is false: "
            "publishing ports and creating networks may fail until Docker is restarted."
        )
        gone = []
    return pending, gone, action if dd.user_chain_rules(gone) is not None else "restart"


def check_restart(
    engine: Engine, host: Host, plan: dd.FilePlan, pending: t.Sequence[str], gone: t.Sequence[str]
) -> tuple[bool, list[dict[str, str]]]:
    """Tell what a restart does to the containers, and refuse it if it is not allowed.

    The first value says that live-restore is to be loaded before, by a reload, so that they survive.
    """
    now, then = (
        bool(config.get("live-restore")) or "live-restore" in host.flags for config in (host.loaded.config, plan.config)
    )
    first = then and not now and bool(host.containers)
    containers = [{"name": c.name, "policy": c.policy, "outcome": c.outcome(then)} for c in host.containers]
    hit = [f"{c['name']} ({c['outcome']}, restart policy {c['policy']})" for c in containers if c["outcome"] != "kept"]
    reasons = (("load", pending), ("bring back", gone))
    why = " and ".join(f"to {verb} {', '.join(things)}" for verb, things in reasons if things)
    if not engine.module.params["restart"]:
        engine.fail(
            f"Docker has to be restarted {why}, and restart is false. Nothing was changed. "
            f"Containers concerned: {', '.join(hit) or 'none'}. Allow it with restart: true (role: docker_engine_restart: true).",
            pending=list(pending),
            containers=containers,
        )
    if hit:
        engine.module.warn(f"Restarting Docker {why} interrupts containers: {', '.join(hit)}.")
    held = sorted(dd.BRIDGE_KEYS.intersection(pending))
    if held and then and containers:
        engine.module.warn(
            f"docker0 keeps its old {', '.join(held)} as long as containers run over restarts of Docker (live-restore). "
            "To change it, stop them and restart Docker."
        )
    return first, containers


def check_missing(engine: Engine, unfinished: bool) -> None:
    """Refuse to go on without an engine, unless this is only a prediction and one can be installed."""
    package = engine.module.params["package"]
    if unfinished and not engine.module.check_mode and engine.module.params["missing"] == "fail":
        engine.fail(
            f"The package {package} is being installed, or its installation was cut off ('dpkg --status {package}' tells how far it is). "
            "Nothing was changed. Run again when it is done; 'dpkg --configure --pending' completes one that was cut off."
        )
    where = f"There is no Docker Engine on this host: neither dockerd nor {engine.service}"
    if not engine.module.get_bin_path("apt-get"):
        engine.fail(
            f"{where}, and no apt-get to install {package} with. Install an engine by your own means; it is used as it is."
        )
    if not engine.module.check_mode and engine.module.params["missing"] == "fail":
        engine.fail(f"{where}. Install one first, for example with 'apt-get install {package}'.")


def nothing_there(engine: Engine, ledger: dd.Ledger) -> dict[str, t.Any]:
    """What is returned of a host on which an engine has to be installed first, which is written down before it is done."""
    package = engine.module.params["package"]
    engine.save_ledger(dataclasses.replace(ledger, package=package))
    daemon = {"action": "none", "config": {}, "installed": False, "path": engine.path, "pending": [], "running": False}
    return {
        "changed": ledger.package != package,
        "commands": [],
        "containers": [],
        "daemon": {**daemon, "version": ""},
        "kept": [],
        "package": package,
        "recovered": [],
    }


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Observe, plan, apply, read back."""
    engine = Engine(module)
    present = module.params["state"] == "present"
    host = engine.observe()
    settings = module.params["settings"] if present else {}
    if settings is None:
        settings = dd.recorded(host.ledger)
    if not host.installed and present:
        check_missing(engine, host.unfinished)
        if not module.check_mode:
            return nothing_there(engine, host.ledger)
    before = host.ledger
    if host.raw is None and not before.entries:
        before = dataclasses.replace(before, created=True)
    if host.raw is not None and not before.entries:
        before = dataclasses.replace(before, original=host.raw.decode("utf-8"))
    try:
        plan = dd.plan_file(host.config, settings, before)
    except dd.ConfigError as exc:
        engine.fail(f"{exc} Nothing was changed.")
    if present:
        engine.validate(host, plan, settings)
    pending, gone, action = choose(engine, host, plan, present)
    first = False
    containers: list[dict[str, str]] = []
    if action == "restart" and host.active:
        first, containers = check_restart(engine, host, plan, pending, gone)

    remove = not present and before.created and not plan.config
    write = plan.config != host.config or (remove and host.raw is not None)
    data = None if remove else dd.file_text(plan.config, host.raw, before) if write else host.raw
    final = plan.final if plan.final.entries else dataclasses.replace(plan.final, created=False, original="")
    if not present and not host.installed:
        final = dataclasses.replace(final, package="")
    enable = present and host.enabled == "disabled"

    # From here on things change. Each record is written before what it describes, so that a killed run can be finished.
    if host.active:
        engine.save_loaded(host.ticks, host.loaded)
    undo = before.undo
    if write:
        text = None if host.raw is None else host.raw.decode("utf-8")
        undo = undo or {"text": text}
        engine.save_ledger(dataclasses.replace(plan.interim, undo=undo))
    loading = dd.staged(pending, plan.config) if action == "reload" else plan.config
    if loading != plan.config:
        engine.save(engine.path, dd.dump_config(loading, host.raw), 0o644, "the configuration of dockerd")
    elif write:
        engine.save(engine.path, data, 0o644, "the configuration of dockerd")
    if enable:
        engine.systemctl.write("enable", engine.service)
    reason = ""
    if action == "reload" or first:
        reason = engine.reload(host)
        if reason:
            engine.undo(reason, "reload", undo, host.ledger)
    if action in ("start", "restart"):
        reason = engine.start(action)
        if reason:
            engine.undo(reason, action, undo, host.ledger)

    if module.check_mode:
        after = host
        engine.repair(gone)
    else:
        after = read_back(engine, host, plan, action, loading)
        if loading != plan.config:
            engine.save(engine.path, data, 0o644, "the configuration of dockerd")
        engine.save_ledger(final)
        if not present:
            engine.forget()
    header = {"before_header": engine.path, "after_header": engine.path}
    return {
        "changed": bool(write or enable or gone or action != "none" or (present and not host.installed)),
        "commands": engine.systemctl.commands,
        "containers": containers,
        "daemon": {
            "action": action,
            "config": plan.config,
            "installed": host.installed,
            "path": engine.path,
            "pending": pending,
            "running": after.active,
            "version": after.info.get("ServerVersion", ""),
        },
        "diff": {"before": (host.raw or b"").decode("utf-8"), "after": (data or b"").decode("utf-8"), **header},
        "kept": list(plan.foreign),
        "package": before.package,
        "recovered": gone,
    }


def read_back(engine: Engine, host: Host, plan: dd.FilePlan, action: str, loading: dd.Config) -> Host:
    """Make sure that Docker is what the plan wanted, and record what it has loaded."""
    after = host
    if action != "none":
        ticks = engine.read_ticks(engine.show(engine.service))
        info = engine.wait_ready(host.flags, plan.config)
        loaded = dd.after_reload(host.loaded, loading) if action == "reload" else dd.Loaded(plan.config, True)
        engine.save_loaded(ticks, loaded)
        after = dataclasses.replace(host, active=True, info=info, ticks=ticks, loaded=loaded)
    if not after.active or engine.module.params["state"] == "absent" or not engine.module.params["recover"]:
        return after
    rules = {**plan.config, **after.loaded.config}
    still = engine.missing(host, rules)
    if still and engine.repair(still):
        still = engine.missing(host, rules)
    if still:
        engine.fail(
            f"Docker was restarted, but its firewall rules are still incomplete: {', '.join(still)}. Something keeps "
            "removing them, or Docker uses another iptables ('update-alternatives --display iptables' shows which).",
            journal=dd.gist(engine.journal()),
        )
    return after


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "settings": {"type": "dict"},
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "service": {"type": "str", "default": "docker.service"},
            "restart": {"type": "bool", "default": True},
            "recover": {"type": "bool", "default": True},
            "missing": {"type": "str", "choices": ["fail", "tell"], "default": "fail"},
            "package": {"type": "str", "default": "docker.io"},
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    module.exit_json(**run(module))


if __name__ == "__main__":
    main()
