# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""All firewalls of a host at once: what they stop, and bringing the overlay's openings to what is wished.

Used by the module firewalld_fix, and on the host itself at boot, after a restart of its firewalls, and to go back (_fw_boot.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import time
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.crosshost.overlay.plugins.module_utils import (
    _files,
    _fw_firewalld,
    _fw_iptables,
    _fw_nft,
    _fw_services,
    _fw_ufw,
    _fw_wish,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import SBIN, Result, run_bounded
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import FirewallError, Flow, LayerPlan, Run
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_wish import Wish

LOCK = "/run/crosshost-overlay/firewall.lock"
LOCK_WAIT = 120.0  # seconds that the other one may take; it is the module or the unit of this host
SETTLE = 3.0  # seconds; Docker 20.10 has its chains back 1 to 2 s after a reload of firewalld 1.3.3
ROUNDS = 4  # somebody else may change rules between reading and writing
SHOWN_LINES = 40  # of what a command reads; hundreds of peers make thousands
# In this order: what firewalld and ufw open is not opened a second time in the rules they make of it.
LAYERS: tuple[t.Any, ...] = (_fw_firewalld, _fw_ufw, _fw_iptables, _fw_nft)


@dataclass(frozen=True)
class Survey:
    """What was found, and what would be done about it."""

    flows: tuple[Flow, ...]
    firewalls: tuple[tuple[str, bool], ...]  # name, and whether it could stop anything
    plans: tuple[LayerPlan, ...]

    @property
    def pending(self) -> tuple[LayerPlan, ...]:
        """Plans with something to do."""
        return tuple(plan for plan in self.plans if plan.steps)


def runner(limit: float | None = None) -> Run:
    """Return the function that runs commands; limit overrides every command's own timeout, in seconds."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN])

    def run(argv: t.Sequence[str], stdin: str | None = None, timeout: float = 30) -> Result:
        tool = shutil.which(argv[0], path=path) or argv[0]
        return run_bounded([tool, *argv[1:]], max(limit or 0, timeout), stdin=stdin)

    return run


@contextlib.contextmanager
def locked(path: str = LOCK, wait: float = LOCK_WAIT) -> t.Iterator[None]:
    """Keep the module and the unit of this host from working at the same time."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    end = time.monotonic() + wait
    while True:
        with open(path, "w", encoding="utf-8") as handle:
            if _take(handle, path):
                yield
                return
        if time.monotonic() >= end:
            raise FirewallError(
                f"Another run has worked on this host's firewall for more than {wait:g} s (lock {path}); 'systemctl status "
                "crosshost-overlay-firewall' and 'fuser -v' on that file tell which. Nothing was changed."
            )
        time.sleep(0.2)


def _take(handle: t.IO[str], path: str) -> bool:
    """Try to lock the file, which must still be the one at that path: whoever held it may have removed it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle.fileno()), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False


def survey(run: Run, wish: Wish | None) -> Survey:
    """Read every firewall and plan; without a wish, plan the removal of all that is ours."""
    context, dns = _fw_wish.surroundings(run, wish)
    context = replace(context, ufw=_fw_ufw.active(run), firewalld=_fw_firewalld.running(run))
    flows = _fw_wish.flows(wish, dns, context.underlay) if wish else ()
    firewalls, plans = [], []
    for layer in LAYERS:
        for state in layer.observe(run, context):
            plan = layer.plan(state, flows, context, wish is not None)
            plans.append(plan)
            firewalls.append((plan.firewall, bool(state.acts)))
    return Survey(flows, tuple(firewalls), tuple(plans))


def steps_of(plans: t.Iterable[LayerPlan]) -> list[str]:
    """The commands of these plans, for people."""
    found = []
    for plan in plans:
        for step in plan.steps:
            lines = step.stdin.rstrip("\n").splitlines()
            if step.argv[0] in ("write", "rm") or not lines:
                found.append(shlex.join(step.argv))
                continue
            if len(lines) > SHOWN_LINES:
                lines = [*lines[:SHOWN_LINES], f"# ... and {len(lines) - SHOWN_LINES} more lines"]
            found.append("\n".join([f"{shlex.join(step.argv)} <<'EOF'", *lines, "EOF"]))
    return found


def apply(run: Run, plans: t.Iterable[LayerPlan]) -> None:
    """Run the steps; the first that fails ends it."""
    for plan in plans:
        for step in plan.steps:
            if step.argv[0] == "write":
                _files.write_atomic(step.argv[1], step.stdin.encode())
                continue
            if step.argv[0] == "rm":
                _files.remove(step.argv[1])
                continue
            result = run(step.argv, stdin=step.stdin or None, timeout=step.timeout)
            if result.rc != 0:
                raise FirewallError(
                    f"{plan.firewall}: {result.message}. What was done before stays as it is; correct this and run again, "
                    "or remove the overlay's openings with state=absent.",
                    result,
                )


def _switch_services(run: Run, disabled: bool) -> list[LayerPlan]:
    """Stop and mask the firewalls' services, or give them back; returns the plans that were carried out."""
    done: list[LayerPlan] = []
    for dummy in range(ROUNDS):
        plan = _fw_services.plan(_fw_services.observe(run), disabled)
        if not plan.steps:
            return done
        apply(run, [plan])
        done.append(plan)
        if plan.reloads:
            time.sleep(SETTLE)
    raise FirewallError(
        f"The services of this host's firewalls do not stay as they were put: {', '.join(plan.before)}. Something else starts or stops "
        f"them; 'journalctl -b' tells what. The last commands: {'; '.join(steps_of([plan]))}"
    )


def docker_affected(run: Run, done: t.Iterable[LayerPlan]) -> bool:
    """Whether Docker runs and may lack its chains: by what was done now, or by a run that was cut off before anybody saw to them."""
    if run(("systemctl", "is-active", "--quiet", "docker.service")).rc != 0:
        return False
    if any(plan.reloads for plan in done):
        return True
    table = run(("iptables-save", "-t", "filter"))
    return table.rc == 0 and ":DOCKER " not in table.out


def reconcile(run: Run, wish: Wish | None) -> tuple[Survey, list[LayerPlan]]:
    """Bring every firewall to the wish and read back; returns what was found last, and the plans that were carried out."""
    done = _switch_services(run, bool(wish and wish.disabled))
    seen = survey(run, wish)
    for dummy in range(ROUNDS):
        if not seen.pending:
            return seen, done
        for plan in seen.pending:
            apply(run, [plan])
            done.append(plan)
            if plan.reloads:  # which may flush what other plans were made from, and Docker puts its own back
                time.sleep(SETTLE)
                break
        seen = survey(run, wish)
    if seen.pending:
        left = ", ".join(plan.firewall for plan in seen.pending)
        raise FirewallError(
            f"The openings were made {ROUNDS} times and are not there, or not in front of what stops the overlay ({left}). Something else "
            "changes these rules at the same time; find it (a configuration management run, fail2ban, a cron job) and run again. "
            f"The last commands: {'; '.join(steps_of(seen.pending))[:600]}"
        )
    return seen, done
