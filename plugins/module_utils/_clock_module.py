# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The part of the module timesync that runs on the host: from options to what is returned."""

from __future__ import annotations

import sys
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import (
    _cli,
    _clock_observe,
    _clock_plan,
    _files,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_cure import Cure
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_model import (
    LEDGER,
    REMOVE,
    WRITE,
    ClockError,
    Plan,
    State,
    Step,
    Wish,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


class Clock:
    """One run on one host."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.commands: list[str] = []
        self.notes: list[str] = []
        self.changed = False
        self.wish = Wish(
            servers=tuple(dict.fromkeys(self.params["servers"])),
            pools=tuple(dict.fromkeys(self.params["pools"])),
            serve=tuple(dict.fromkeys(self.params["serve"])),
            stratum=self.params["stratum"],
            zone=self.params["zone"],
            package=self.params["package"],
            announced=self.params["state"] == "announced",
            absent=self.params["state"] == "absent",
        )

    def run(self) -> dict[str, t.Any]:
        """Observe, plan, apply, cure, read back."""
        wrong = _clock_plan.input_problems(self.wish)
        if wrong:
            raise ClockError(f"{'; '.join(wrong)}. Nothing was changed.")
        before = self.observe()
        plan = self.plan(before)
        self.notes += plan.notes
        if self.params["state"] == "measured":
            return self.answer(before, before, plan, pending=self.pending(before, plan))
        if plan.problems:
            raise ClockError(f"{'. '.join(plan.problems)}. Nothing was changed.")
        cure = self.cure(before)
        expected = self.reach(before, plan, cure)
        self.apply(plan)
        if self.params["state"] == "present":
            self.bring(before, plan, cure, expected)
        self.commands += cure.commands
        self.notes += cure.notes
        self.changed = self.changed or cure.changed
        # In check mode things are as before.
        after = before if self.module.check_mode or not self.commands else self.observe()
        return self.answer(before, after, plan)

    def observe(self) -> State:
        """The host as it is."""
        return _clock_observe.observe(self.ask, self.wish.serve)

    def plan(self, state: State) -> Plan:
        """What to do; the list of time zones is the one thing besides the state it needs."""
        known = not self.wish.zone or _clock_observe.known_zone(self.wish.zone)
        return _clock_plan.make(state, self.wish, known)

    def cure(self, state: State) -> Cure:
        """With the options of this run."""
        return Cure(
            self.ask,
            state,
            threshold=self.params["max_skew"] / 2,
            allow_backwards=self.params["allow_backwards"],
            check_mode=self.module.check_mode,
            sync_timeout=self.params["sync_timeout"],
        )

    def pending(self, state: State, plan: Plan) -> list[str]:
        """What state=present would do."""
        return [_shown(step) for step in plan.steps if step.argv[-1] != LEDGER] or [_shown(step) for step in plan.steps]

    def must_sync(self, state: State, plan: Plan) -> bool:
        """Whether the daemon is about to get the given servers. A container has no daemon to wait for.

        One that has them and is not synchronised at the moment is none of it: systemd-timesyncd asks anew, and has no answer yet, whenever
        a network card comes or goes. If its clock is off, there is a correction; if not, there is a warning.
        """
        if plan.problems or not (self.wish.servers or self.wish.pools) or not (state.settable or state.active):
            return False
        return _daemon_steps(plan)

    def reach(self, state: State, plan: Plan, cure: Cure) -> float | None:
        """Ask the servers before anything is changed. How far the host is off, if that is known."""
        correction = self.params["correction"]
        wanted = [*self.wish.servers, *self.wish.pools]
        # In isolated mode the source is set up by the same run, which in check mode has not happened.
        needed = self.must_sync(state, plan) or correction is not None
        if wanted and needed and not (self.module.check_mode and self.params["isolated"]):
            return cure.servers(wanted)
        return None if correction is None else -correction

    def apply(self, plan: Plan) -> None:
        """Run the steps. A run that ends half way is completed by the next one, from the ledger."""
        for step in plan.steps:
            self.commands.append(_shown(step))
            self.changed = True
            if self.module.check_mode:
                continue
            try:
                self.do(step)
            except OSError as exc:
                raise ClockError(
                    f"{step.argv[-1]} could not be written: {exc}. Free space or make the file system writable, then run again."
                ) from exc

    def do(self, step: Step) -> None:
        """One step."""
        word, path = step.argv[0], step.argv[-1]
        if word == WRITE:
            _files.write_atomic(path, step.text.encode())
        elif word == REMOVE:
            _files.remove(path)
        else:
            result = self.ask(*step.argv)
            if result.rc != 0:
                raise CommandError(result)

    def bring(self, before: State, plan: Plan, cure: Cure, expected: float | None) -> None:
        """Bring the clock right, by the daemon if there is one that can, else by hand where that is allowed."""
        correction = self.params["correction"]
        given = self.must_sync(before, plan)
        if not given and correction is None:
            return
        if not before.settable:
            if correction is not None:
                self.notes.append(
                    f"The clock is off by {-correction:+.3f} s and not settable: {before.why_not_settable}"
                )
            if not before.active:
                return
        state = before if self.module.check_mode else self.observe()
        daemon = _clock_plan.chosen(state, self.wish)
        fresh = any(step.argv[:1] == ("systemctl",) for step in plan.steps)
        try:
            if daemon is None or not (daemon.active or self.module.check_mode or fresh):
                raise ClockError(
                    "No time daemon runs that could set the clock. Start or install one (clock_install, clock_servers), or allow step "
                    "(clock_step)."
                )
            if not self.module.check_mode:
                cure.state = state
            cure.synchronise(daemon, fresh, expected, given)
        except ClockError as exc:
            if correction is None or not self.params["step"] or not before.settable:
                if given or correction is None:
                    raise
                self.notes.append(f"The clock is off by {-correction:+.3f} s. {exc}")
                return
            self.notes.append(f"The clock is set once, because its time daemon could not: {exc}")
            cure.set_by(correction)

    def answer(self, before: State, after: State, plan: Plan, pending: list[str] | None = None) -> dict[str, t.Any]:
        """What the module returns."""
        looks = pending is not None
        shown = (_picture(before, before, None), _picture(before, after, None if looks else plan))
        result: dict[str, t.Any] = {
            "changed": self.changed,
            "commands": self.commands,
            "time": _clock_observe.describe(after),
            "notes": self.notes,
            "python": sys.executable,
            "diff": {"before": shown[0], "after": shown[1]},
        }
        if looks:
            wants = bool(self.wish.servers or self.wish.pools or self.wish.serve)
            result.update(pending=pending, problems=list(plan.problems), configures=wants)
        return result

    def ask(self, *argv: str) -> _cli.Result:
        """Start a command; never fails. A tool that is not there answers nothing."""
        path = self.module.get_bin_path(argv[0], required=False, opt_dirs=_cli.SBIN) or argv[0]
        return _cli.run_bounded([path, *argv[1:]], self.params["timeout"])


class CommandError(ClockError):
    """A command failed; carries what it said."""

    def __init__(self, result: _cli.Result) -> None:
        super().__init__(
            f"{result.message}. What is left to do is remembered on the host: when the reason is gone, run again"
        )
        self.result = result


def _daemon_steps(plan: Plan) -> bool:
    return any(step.argv[0] in ("systemctl", "chronyc") for step in plan.steps)


def _shown(step: Step) -> str:
    return " ".join(step.argv)


def _picture(before: State, after: State, plan: Plan | None) -> dict[str, t.Any]:
    """For the diff: the files of ours that are there before or after, the zone, and what runs."""
    files = plan.after if plan else {path: before.files.get(path) for path in before.files}
    ours = {path: text for path, text in files.items() if text and "crosshost-overlay" in path}
    return {
        "files": ours,
        "zone": plan.zone if plan else before.zone,
        "daemon": [item.kind.name for item in after.active],
    }


def main_of(module: AnsibleModule) -> dict[str, t.Any]:
    """Run; end the module with what is known if it fails."""
    clock = Clock(module)
    try:
        return clock.run()
    except CommandError as exc:
        module.fail_json(msg=str(exc), changed=clock.changed, commands=clock.commands, **exc.result.failure())
    except (ClockError, OSError) as exc:
        module.fail_json(msg=str(exc), changed=clock.changed, commands=clock.commands)
    raise SystemExit(1)  # fail_json() does not return; this tells the type checker
