# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The services that load firewalls at boot: stopped and masked on request, and given back as they were."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils import _files
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import FirewallError, LayerPlan, Run, Step

LEDGER = "/var/lib/crosshost-overlay/firewall-disabled.json"
# netfilter-persistent: Debian's iptables-persistent; iptables, ip6tables: iptables-services of Red Hat.
UNITS = ("firewalld", "ufw", "nftables", "iptables", "ip6tables", "netfilter-persistent")
NAME = "services"


@dataclass(frozen=True)
class Service:
    """One unit: whether it runs, is started at boot, is masked. ufw's own switch is apart from its unit's."""

    name: str
    active: bool
    enabled: bool
    masked: bool
    switched_on: bool = True


@dataclass(frozen=True)
class State:
    """The units that are installed, and what the ledger says of those this collection stopped."""

    services: tuple[Service, ...]
    ledger: tuple[Service, ...]


def observe(run: Run, ledger: str = LEDGER) -> State:
    """Read units and ledger."""
    found = []
    names = [f"{name}.service" for name in UNITS]
    result = run(["systemctl", "show", *names, "--property=Id,LoadState,ActiveState,UnitFileState"])
    for block in result.out.split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name = unit.get("Id", "").rpartition(".")[0]
        if name not in UNITS or unit.get("LoadState") == "not-found":
            continue
        masked = unit.get("LoadState") == "masked" or unit.get("UnitFileState", "").startswith("masked")
        active = unit.get("ActiveState") in ("active", "reloading")
        switched_on = True
        if name == "ufw":
            switched_on = "ENABLED=yes" in (_files.read("/etc/ufw/ufw.conf") or "")
        found.append(Service(name, active, unit.get("UnitFileState") == "enabled", masked, switched_on))
    return State(tuple(found), _read_ledger(_files.read(ledger), ledger))


def _read_ledger(text: str | None, path: str) -> tuple[Service, ...]:
    if not text:
        return ()
    try:
        return tuple(Service(**entry) for entry in json.loads(text))
    except (ValueError, TypeError) as exc:
        raise FirewallError(
            f"{path} is damaged ({exc}), so it is not known which firewall services were stopped here. Start and enable those you "
            "want yourself (systemctl unmask, enable --now), remove that file, and run again."
        ) from exc


def plan(state: State, disabled: bool, ledger: str = LEDGER) -> LayerPlan:
    """Stop and mask what loads rules, or give back what was stopped here before."""
    return _disable(state, ledger) if disabled else _restore(state, ledger)


def _disable(state: State, ledger: str) -> LayerPlan:
    known = {service.name for service in state.ledger}
    # The ones that are masked already and not by us are off, and stay somebody else's.
    chosen = [item for item in state.services if not item.masked and (item.active or item.enabled)]
    record = [*state.ledger, *(item for item in chosen if item.name not in known)]
    steps = []
    if chosen and tuple(record) != state.ledger:
        steps.append(Step(("write", ledger), json.dumps([vars(item) for item in record], indent=1) + "\n"))
    for item in chosen:
        if item.name == "ufw" and item.switched_on:
            steps.append(Step(("ufw", "disable")))  # its own switch also takes its rules away
        steps.append(Step(("systemctl", "disable", "--now", f"{item.name}.service")))
        steps.append(Step(("systemctl", "mask", f"{item.name}.service")))
    return LayerPlan(
        NAME,
        before=tuple(_line(item) for item in state.services),
        after=tuple(f"{item.name}: masked" for item in state.services),
        steps=tuple(steps),
        reloads=bool(chosen),
    )


def _restore(state: State, ledger: str) -> LayerPlan:
    """What is not back yet; the ledger goes when nothing of it is left to do."""
    steps = []
    now = {item.name: item for item in state.services}
    for item in state.ledger:
        have = now.get(item.name)
        if have is None:
            continue  # uninstalled since
        unit = f"{item.name}.service"
        if have.masked:
            steps.append(Step(("systemctl", "unmask", unit)))
        if item.enabled and not have.enabled:
            steps.append(Step(("systemctl", "enable", unit)))
        if item.name == "ufw" and item.switched_on and not have.switched_on:
            steps.append(Step(("ufw", "--force", "enable")))
        if item.active and not have.active:
            steps.append(Step(("systemctl", "start", unit), timeout=120))
    reloads = bool(steps)
    if state.ledger and not steps:
        steps.append(Step(("rm", ledger)))
    return LayerPlan(
        NAME,
        before=tuple(_line(item) for item in state.services) if reloads else (),
        after=tuple(_line(item) for item in state.ledger) if reloads else (),
        steps=tuple(steps),
        reloads=reloads,
    )


def _line(item: Service) -> str:
    words = (
        ["masked"]
        if item.masked
        else ["active" if item.active else "inactive", "enabled" if item.enabled else "disabled"]
    )
    return f"{item.name}: {', '.join(words)}"
