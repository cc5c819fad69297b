# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What has to happen so that a host itself has an address of a Weave network, or none: pure planning for weave_expose."""

from __future__ import annotations

import ipaddress
import json
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_expose_boot
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_expose_boot import HOLDER

UNIT = "crosshost-weave-expose.service"
UNIT_PATH = "/etc/systemd/system/" + UNIT
SCRIPT_PATH = "/usr/local/lib/crosshost-overlay/weave_expose.py"
RECORD_PATH = "/etc/crosshost-overlay/weave-expose.json"  # says that the address is ours; read at boot
UNKNOWN = "<address>/<prefix length>"  # in check mode, before the router has given one
MULTICAST = "224.0.0.0/4"
CHAINS = (("nat", "WEAVE"), ("filter", "WEAVE-EXPOSE"))

Rules = t.Mapping[str, t.Optional[t.Tuple[str, ...]]]


class Refusal(Exception):
    """The wish cannot be fulfilled as things are; the text says why and what to do."""


@dataclass(frozen=True)
class Record:
    """What was asked for last; address is in CIDR form, empty until it is known."""

    http_address: str
    bridge: str
    masquerade: bool = True
    fqdn: str = ""
    address: str = ""


@dataclass(frozen=True)
class State:
    """What is there. rules: by table, the rules of Weave's chain as iptables prints them, None where they cannot be read."""

    answers: bool
    allocates: bool
    allocated: tuple[str, ...]
    bridge: bool
    on_bridge: tuple[str, ...]
    rules: Rules
    names: tuple[tuple[str, str], ...]  # host name without the dot at its end, address
    domain: str | None

    @property
    def cidr(self) -> str | None:
        """The address of the host: the one on the bridge, should the router have given out several."""
        held = [cidr for cidr in self.allocated if cidr in self.on_bridge]
        return next(iter(held or self.allocated), None)


@dataclass(frozen=True)
class Step:
    """One change: tool is 'api' with method, path and form, or a command with its words."""

    tool: str
    words: tuple[str, ...]
    form: tuple[tuple[str, str], ...] = ()


def check(state: State, wish: Record) -> None:
    """Refuse what the router cannot give, and a name it would silently ignore."""
    if state.answers and not state.allocates:
        raise Refusal(
            "the router allocates no addresses (--ipalloc-range is empty), so it has none for the host; launch it with a range"
        )
    if not wish.fqdn or not state.answers:
        return
    if state.domain is None:
        raise Refusal("the router runs without names (--no-dns), so the host can have none; leave fqdn out")
    domain = plain(state.domain)
    if not plain(wish.fqdn).endswith("." + domain):
        raise Refusal(
            f"the name '{wish.fqdn}' is not in the router's domain '{domain}'; use one that ends in '.{domain}'"
        )


def plain(name: str) -> str:
    """Return a host name as names are compared."""
    return name.rstrip(".").lower()


def network_of(cidr: str) -> str:
    """Return the network of an address; rules name that."""
    return str(ipaddress.IPv4Interface(cidr).network)


def masquerading(cidr: str) -> tuple[str, str]:
    """Return the two rules that hide the overlay behind the host and the host's other networks behind its overlay address."""
    net = network_of(cidr)
    return (f"-A WEAVE ! -s {net} -d {net} -j MASQUERADE", f"-A WEAVE -s {net} ! -d {net} -j MASQUERADE")


def accepting(cidr: str) -> str:
    """Return the rule that lets packets from elsewhere to the overlay pass."""
    return f"-A WEAVE-EXPOSE -d {network_of(cidr)} -j ACCEPT"


def plan(state: State, wish: Record) -> list[Step]:
    """Return the steps to the wish. Without an address only its allocation: what follows depends on what the router gives."""
    if state.cidr is None:
        return [Step("api", ("POST", f"/ip/{HOLDER}"))]
    cidr = state.cidr
    steps = []
    nat, accept = state.rules.get("nat"), state.rules.get("filter")
    lost = accept is not None and accepting(cidr) not in accept
    if wish.masquerade and nat is not None:
        lost = lost or any(rule not in nat for rule in masquerading(cidr))
    if cidr not in state.on_bridge or lost:
        steps.append(expose(cidr, wish))
    # The router never takes these away, and sets them itself whenever it starts and finds the address there.
    if not wish.masquerade and nat is not None:
        steps += [_delete("nat", rule) for rule in masquerading(cidr) if rule in nat]
    address = cidr.partition("/")[0]
    if wish.fqdn and (plain(wish.fqdn), address) not in state.names:
        steps.append(name(address, wish.fqdn))
    return steps


def plan_rename(state: State, wish: Record, before: Record | None) -> list[Step]:
    """Return the steps that take back the name of an earlier run; they come before the record of it is replaced."""
    address = (state.cidr or "").partition("/")[0]
    if not before or plain(before.fqdn) == plain(wish.fqdn) or (plain(before.fqdn), address) not in state.names:
        return []
    return [Step("api", ("DELETE", f"/name/{HOLDER}/{address}?fqdn={before.fqdn}"))]


def expose(cidr: str, wish: Record) -> Step:
    """Return the request that puts the address on the bridge and sets the rules; again does no harm."""
    return Step("api", ("POST", f"/expose/{cidr}{'' if wish.masquerade else '?skipNAT=true'}"))


def name(address: str, fqdn: str) -> Step:
    """Return the request that makes a name of the host known."""
    return Step("api", ("PUT", f"/name/{HOLDER}/{address}"), (("fqdn", fqdn),))


def _delete(table: str, rule: str) -> Step:
    return Step("iptables", ("-w", "5", "-t", table, "-D", *rule.split()[1:]))


def shown(state: State, fqdn: str, boot: bool, recorded: str = "") -> dict[str, t.Any]:
    """Return the state as the module shows it; the recorded address counts where no router can be asked."""
    cidr = next((held for held in (state.cidr, recorded) if held in state.on_bridge), None)
    nat = state.rules.get("nat")
    address = (cidr or "").partition("/")[0]
    return {
        "address": cidr,
        "fqdn": fqdn if fqdn and (plain(fqdn), address) in state.names else None,
        "masquerade": None if cidr is None or nat is None else all(rule in nat for rule in masquerading(cidr)),
        "boot": boot,
    }


def predicted(wish: Record) -> list[Step]:
    """Return the steps on a host without an address, for check mode."""
    steps = [Step("api", ("POST", f"/ip/{HOLDER}")), expose(UNKNOWN, wish)]
    return steps + ([name(UNKNOWN.partition("/")[0], wish.fqdn)] if wish.fqdn else [])


def plan_absent(state: State, record: Record) -> list[Step]:
    """Return the steps that take the address back. It is given back to the router last: until then it is known to be in use."""
    cidrs = [record.address] if record.address else list(state.allocated)
    steps = []
    for cidr in cidrs:
        address = cidr.partition("/")[0]
        others = [other for other in state.on_bridge if other != cidr and network_of(other) == network_of(cidr)]
        if cidr in state.on_bridge:
            steps.append(Step("ip", ("address", "del", cidr, "dev", record.bridge)))
        if not others:  # another address in the same network needs the same rules
            steps += [_delete("nat", rule) for rule in _nat_rules(cidr) if rule in (state.rules.get("nat") or ())]
            if accepting(cidr) in (state.rules.get("filter") or ()):
                steps.append(_delete("filter", accepting(cidr)))
        if any(held == address for dummy_name, held in state.names):
            steps.append(Step("api", ("DELETE", f"/name/{HOLDER}/{address}")))
        if cidr in state.allocated:
            steps.append(Step("api", ("DELETE", f"/ip/{HOLDER}/{address}")))
    return steps


def _nat_rules(cidr: str) -> tuple[str, ...]:
    return (f"-A WEAVE -s {network_of(cidr)} -d {MULTICAST} -j RETURN", *masquerading(cidr))


def load(text: str) -> Record:
    """Read a record; Refusal if it is damaged."""
    try:
        return Record(**json.loads(text))
    except (ValueError, TypeError) as exc:
        raise Refusal(
            f"the record {RECORD_PATH} is damaged ({exc}); remove it, and run with state=present to have it written again"
        ) from exc


def dump(record: Record) -> str:
    """Write a record."""
    return json.dumps(asdict(record), indent=1, sort_keys=True) + "\n"


def unit_text(python: str) -> str:
    """Return the systemd unit that asks the router for the address again after a boot. It never starts the router: Docker does."""
    return f"""# Made by crosshost.overlay; the next run replaces changes.
[Unit]
Description=Give this host its address on the Weave network again
Documentation=https://github.com/crosshost/overlay
BindsTo=docker.service
After=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={python} {SCRIPT_PATH} {RECORD_PATH}
TimeoutStartSec={int(_weave_expose_boot.BOOT_WAIT) + 60}

[Install]
WantedBy=docker.service
"""
