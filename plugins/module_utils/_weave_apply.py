# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Carries out a plan for a Weave Net router, and puts the router of before back if the new one does not come up."""

from __future__ import annotations

import json
import os
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils import _files, _weave_args, _weave_faults, _weave_state
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli, Result
from ansible_collections.crosshost.overlay.plugins.module_utils._docker import LABEL
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import ApiError, loopback_works
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_state import (
    DATABASE,
    GATEWAY,
    HELPER,
    PREVIOUS,
    RECORD,
    ROUTER,
    Have,
    observe,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_versions import api_version, engine_problem

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import Api
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_plan import Plan, Wish

STOP_TIMEOUT = 10  # seconds a router gets to end by itself; what the script gives it, too
API_TIMEOUT = 60.0  # seconds for a router that was started again to answer
LOG_LINES = 30


@dataclass(frozen=True)
class Release:
    """Which Weave Net: the script on the host, and source and version of the images."""

    script: str
    source: str
    version: str

    @property
    def images(self) -> tuple[str, ...]:
        """Everything a launch needs."""
        return (
            f"{self.source}/weave:{self.version}",
            f"{self.source}/weaveexec:{self.version}",
            f"{self.source}/weavedb:latest",
        )


class Router:
    """The router of this host, for changes. timeout: seconds for a launch."""

    def __init__(self, module: AnsibleModule, docker: Cli, api: Api, release: Release, timeout: float) -> None:
        self.module, self.docker, self.api, self.release, self.timeout = module, docker, api, release, timeout
        self.commands = docker.commands  # one list, in the order of what was done

    def apply(self, have: Have, plan: Plan, wish: Wish) -> None:
        """Do what the plan says; in check mode only record it."""
        # What was not there before the first launch goes with a reset.
        new = {"cni": not _weave_state.cni_files(), "gateway": not _weave_state.bridge_there(GATEWAY)}
        kept = {key: True for key in new if (have.record.get(key) if have.record else new[key])}
        if plan.launch:
            self.check_launch(have)
        for ident in plan.leftovers:
            self.docker.write("container", "rm", "--force", ident)
        if plan.launch:
            self.launch(have, plan, wish)
        if plan.unpause:
            self.docker.write("container", "unpause", ROUTER)
        if plan.policy:
            self.docker.write("container", "update", "--restart", plan.policy, ROUTER)
        # First connect, then forget: a peer that only changes its spelling keeps its link.
        self.call("/connect", plan.connect)
        self.call("/forget", plan.forget)
        if plan.record:
            self.write_record({**plan.record, **kept})

    def call(self, path: str, peers: t.Sequence[str]) -> None:
        """Have the router connect to peers, or forget them."""
        if not peers:
            return
        self.commands.append(f"POST http://{self.api.address}{path} peer={' peer='.join(peers)}")
        if self.module.check_mode:
            return
        try:
            answer = self.api.post(path, [("peer", peer) for peer in peers])
        except ApiError as exc:
            self.module.fail_json(
                msg=f"The router stopped answering: {exc}. 'docker logs weave' tells more; run again."
            )
            raise SystemExit(1) from exc
        if not answer.ok:
            self.module.fail_json(msg=f"The router refuses {path} for {', '.join(peers)}: {answer.text.strip()}.")

    def write_record(self, record: t.Mapping[str, t.Any]) -> None:
        """Write down what must not change unasked, for the time when no router runs."""
        self.commands.append(f"write {RECORD}")
        if not self.module.check_mode:
            _files.write_atomic(RECORD, (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())

    def check_launch(self, have: Have) -> None:
        """Fail while the old router still runs if the new one could not be started."""
        if self.module.check_mode:
            return
        release = self.release
        if not os.access(release.script, os.X_OK):
            self.module.fail_json(
                msg=f"There is no weave script at {release.script} (option script); install it there, mode 0755. Nothing was changed."
            )
        missing = self.missing_images()
        if missing:
            self.module.fail_json(
                msg=f"The image(s) {', '.join(missing)} are not on this host, and the router that runs is not stopped without them. "
                "Pull or load them (module weave_images, 'docker pull', 'docker load'), or choose another image_source or version."
            )
        low, engine = self.engine()
        problem = engine_problem(release.source, release.version, low, engine)
        if problem:
            self.module.fail_json(msg=f"{problem} Nothing was changed.")
        if not loopback_works():
            self.module.fail_json(
                msg="This host's firewall drops its own connections to 127.0.0.1, so nothing could talk to the router and 'weave launch' would "
                "never end. Accept the interface lo first ('iptables -I INPUT -i lo -j ACCEPT') and run again. Nothing was changed."
            )

    def missing_images(self) -> list[str]:
        """The images of the release that are not on the host."""
        result = self.docker.run_raw("image", "inspect", "--format", "{{json .RepoTags}}", *self.release.images)
        tags = [tag for line in result.out.splitlines() if line.strip() for tag in json.loads(line) or ()]
        return [image for image in self.release.images if image not in tags]

    def engine(self) -> tuple[str, str]:
        """The oldest API version and the version of the Docker Engine."""
        server = json.loads(self.docker.read("version", "--format", "{{json .Server}}")[1])
        return str(server.get("MinAPIVersion", "")), str(server.get("Version", ""))

    def launch(self, have: Have, plan: Plan, wish: Wish) -> None:
        """Set the old router aside, start the new one, and take the old one back if that fails."""
        aside = self.set_aside(have)
        script = self.script(plan, wish)
        args = plan.args or wish.launch
        words = ["launch", *([] if wish.policy == "always" else ["--no-restart"])]
        words += _weave_args.arguments(args, wish.detect_tls)
        script.record(*words)
        self.commands.append(script.commands[-1])
        if not self.module.check_mode:
            result = script.run_raw(*words, timeout=self.timeout)
            now = observe(self.docker, self.api, _weave_state.bridge_there())
            if result.rc != 0 or not (now.container and now.container.running and now.router):
                self.give_up(have, result, aside)
        if aside:
            self.docker.write("container", "rm", "--force", aside)

    def set_aside(self, have: Have) -> str | None:
        """Stop the old router and free its name. Returns its id, None if there was none.

        A router of before that an interrupted run left aside stays the one to go back to.
        """
        main, previous = have.container, have.previous
        if main and previous:
            self.docker.write("container", "rm", "--force", main.id)  # what the interrupted run began
            main = None
        if main is None:
            if previous and previous.running:
                self.docker.write("container", "stop", "--time", str(STOP_TIMEOUT), previous.id)
            return previous.id if previous else None
        if main.status in ("dead", "removing"):
            self.docker.write("container", "rm", "--force", main.id)
            return None
        if main.status == "paused":
            self.docker.write("container", "unpause", main.id)
        if main.status in ("running", "paused", "restarting"):
            self.docker.write("container", "stop", "--time", str(STOP_TIMEOUT), main.id)
        self.docker.write("container", "rename", main.id, PREVIOUS)
        return main.id

    def script(self, plan: Plan | None = None, wish: Wish | None = None) -> Cli:
        """The weave script with the environment it needs; the password is nowhere else."""
        env = {
            "DOCKERHUB_USER": self.release.source,
            "WEAVE_VERSION": self.release.version,
            "CHECKPOINT_DISABLE": "1",
            "WEAVE_HTTP_ADDR": self.api.address,
            "WEAVEEXEC_DOCKER_ARGS": f"--name {HELPER} --label {LABEL}=weave-exec",
        }
        docker_args = f"-l {LABEL}=weave"
        version = "" if self.module.check_mode else api_version(self.engine()[0])
        if version:
            env["DOCKER_API_VERSION"] = version
            docker_args += f" -e DOCKER_API_VERSION={version}"
        env["WEAVE_DOCKER_ARGS"] = docker_args
        if plan and plan.args and wish:
            env.update(_weave_args.environment(plan.args))
            env["WEAVE_PASSWORD"] = wish.password
        if self.module.check_mode and not os.path.exists(self.release.script):
            return Cli(self.module, "true", self.release.script, timeout=self.timeout, env=env)
        return Cli(self.module, self.release.script, timeout=self.timeout, env=env)

    def give_up(self, have: Have, result: Result, aside: str | None) -> t.NoReturn:
        """Take the failed router away, bring the old one back, and tell why."""
        self.remove_helper()
        logs = self.docker.run_raw("logs", "--tail", str(LOG_LINES), ROUTER)
        text = (logs.out + logs.err).strip() if logs.rc == 0 else ""
        self.docker.run_raw("container", "rm", "--force", ROUTER)
        said = _weave_faults.last_words(text) if text else ""
        why = (
            f"it did not answer within {self.timeout:g} seconds"
            if result.timed_out
            else (result.out + result.err).strip()
        )
        remedy = _weave_faults.launch_remedy(f"{text}\n{result.out}\n{result.err}")
        if result.timed_out and not remedy:
            remedy = (
                "the router started and its API on loopback stayed silent; a firewall in front of lo, a locked database in the container "
                "weavedb or a host that is too slow (option launch_timeout) do that"
            )
        parts = [f"Weave Net could not be launched: {why.rstrip('.') or f'status {result.rc}'}."]
        parts += [f"Its log says: {said.rstrip('.')}."] if said else []
        parts += [f"Remedy: {remedy}."] if remedy else []
        parts.append(self.restore(have, aside))
        self.module.fail_json(msg=" ".join(parts), log=text.splitlines(), commands=self.commands, **result.failure())
        raise SystemExit(1)

    def remove_helper(self) -> None:
        """End the script's container, which outlives its client."""
        self.docker.run_raw("container", "rm", "--force", HELPER)

    def restore(self, have: Have, aside: str | None) -> str:
        """Put the router of before back under its name and, if it served, start it. Says how that went."""
        if not aside:
            return "There was no router before, and none is left behind."
        renamed = self.docker.run_raw("container", "rename", aside, ROUTER)
        if renamed.rc != 0:
            return f"The router of before is still set aside as '{PREVIOUS}': {renamed.message}; run again."
        served = have.router is not None or (have.container is None and have.previous is not None)
        if not served:
            return "The container of before is back under its name; it did not serve before either."
        started = self.docker.run_raw("container", "start", ROUTER)
        if started.rc == 0 and self.answers(API_TIMEOUT):
            return "The router of before runs again with its former arguments."
        return f"The router of before did not come back: {started.message if started.rc else 'it does not answer'}; see 'docker logs weave'."

    def answers(self, timeout: float) -> bool:
        """Wait until the router serves."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            report = self.api.report()
            if report and report.get("Ready"):
                return True
            time.sleep(0.2)
        return False

    def stop(self, have: Have) -> None:
        """Take the router away for good, so that no restart of Docker revives it; the database stays."""
        for container in (have.container, have.previous):
            if container is None:
                continue
            if container.status in ("running", "paused", "restarting"):
                self.docker.write("container", "stop", "--time", str(STOP_TIMEOUT), container.id)
            self.docker.write("container", "rm", "--force", container.id)
        if have.helper:
            self.docker.write("container", "rm", "--force", have.helper)

    def reset(self, have: Have, force: bool) -> None:
        """Have the script give addresses back and remove everything; then look whether it did."""
        for ident in (have.helper, have.previous.id if have.previous else None):
            if ident:
                self.docker.write("container", "rm", "--force", ident)
        script = self.script()
        words = ["reset", *(["--force"] if force else [])]
        script.record(*words)
        self.commands.append(script.commands[-1])
        if not self.module.check_mode:
            result = script.run_raw(*words, timeout=self.timeout)
            if result.timed_out:
                self.remove_helper()
            now = observe(self.docker, self.api, _weave_state.bridge_there())
            left = [
                name
                for name, there in ((ROUTER, now.container), (DATABASE, now.database), ("bridge weave", now.bridge))
                if there
            ]
            if result.rc != 0 or left:
                self.docker.fail(
                    result,
                    f"The reset is not complete, {', '.join(left) or 'nothing'} is left: {result.reason}. Run it again; "
                    "if it stays, 'docker logs weave' and 'ip link show weave' tell more.",
                )
        # The launch put them there and the script leaves them; those that were there before the first launch stay.
        for path in _weave_state.cni_files() if have.record.get("cni") else ():
            self.commands.append(f"remove {path}")
            if not self.module.check_mode:
                _files.remove(path)
        if have.record.get("gateway") and _weave_state.bridge_there(GATEWAY):
            self.remove_gateway()
        if have.record:
            self.commands.append(f"remove {RECORD}")
            if not self.module.check_mode:
                _files.remove(RECORD)

    def remove_gateway(self) -> None:
        """Remove the bridge that Docker made for containers of the overlay, unless containers use it, of Swarm for example."""
        # 1: a bridge of that name which is none of Docker's. Without any answer the record has to stay.
        rc, used = self.docker.read("network", "inspect", "--format", "{{len .Containers}}", GATEWAY, ok=(0, 1))
        if rc or used.strip() != "0":
            return
        self.docker.write("network", "rm", GATEWAY)
        if not self.module.check_mode and _weave_state.bridge_there(GATEWAY):
            self.module.warn(
                f"Docker removed its network {GATEWAY} and left the bridge: 'ip link delete {GATEWAY}' removes it."
            )
