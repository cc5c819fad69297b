# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What firewalld of this host does now (live) and after its next reload (permanent). Reads only."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.crosshost.overlay.plugins.module_utils import _fw_firewalld_bus
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import STATUS_NOT_STARTED, Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import Context, FirewallError, Run

ZONE = "crosshost"  # ours: holds the overlay's own bridge and nothing else; firewalld allows 17 characters
BINDABLE = (
    "weave",
)  # bridges Docker does not know; it fails to start a network whose bridge is in a zone it did not choose

NOT_RUNNING = 252  # exit statuses of firewall-cmd, see its man page
FAILED = 251
UNKNOWN_OPTION = 2
JOURNAL = "Look at 'journalctl -u firewalld', put it right, restart it with 'systemctl restart firewalld', then run this again"

DOCKER_ZONE = "docker"
HEADER = re.compile(r"^(\S+)(?: \((.*)\))?$")
SERVICE_WORD = re.compile(r'\bservice name="([^"]+)"')
IPSET_WORD = re.compile(r'\bipset="([^"]+)"')
# What a reload takes away besides the settings of zones and policies. Docker's passthroughs are not listed by firewalld.
DIRECT = ("--get-all-chains", "--get-all-rules", "--get-all-passthroughs")


def integer(text: str) -> int:
    """A whole number, 0 for what is none."""
    return int(text) if re.match(r"^-?[0-9]+$", text) else 0


@dataclass(frozen=True)
class Section:
    """A zone or a policy, as --list-all-zones or --list-all-policies prints it."""

    name: str
    fields: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # in the order printed

    def words(self, key: str) -> tuple[str, ...]:
        """The values of a setting, () when this version of firewalld does not print it."""
        return self.fields.get(key, ())

    def one(self, key: str, default: str = "") -> str:
        """The value of a setting that has one."""
        return (self.words(key) or (default,))[0]

    def number(self, key: str) -> int:
        """The value of a priority; 0 when there is none."""
        return integer(self.one(key))

    @property
    def target(self) -> str:
        """default, ACCEPT, DROP or %%REJECT%%; of a policy also CONTINUE and REJECT."""
        return self.one("target", "default")

    @property
    def forward(self) -> bool:
        """Whether frames pass from one interface of the zone to another, or to the same."""
        return self.one("forward") == "yes"

    @property
    def rules(self) -> tuple[str, ...]:
        """Its rich rules."""
        return self.words("rich rules")


@dataclass(frozen=True)
class Side:
    """One of firewalld's two configurations."""

    zones: t.Mapping[str, Section] = field(default_factory=dict)
    policies: t.Mapping[str, Section] = field(default_factory=dict)

    def zone_of_interface(self, name: str) -> str:
        """The zone an interface is bound to, "" for none; a binding such as veth+ stands for all that begin so."""
        for zone in self.zones.values():
            if name in zone.words("interfaces"):
                return zone.name
        for zone in self.zones.values():
            if any(word[-1:] in ("+", "*") and name.startswith(word[:-1]) for word in zone.words("interfaces")):
                return zone.name
        return ""


@dataclass(frozen=True)
class State:
    """All that the plan for firewalld needs."""

    acts: bool = True
    backend: str = "nftables"
    default_zone: str = "public"
    live: Side = field(default_factory=Side)
    permanent: Side = field(default_factory=Side)
    services: t.Mapping[str, Section] = field(default_factory=dict)
    ipsets: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    links: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # interface -> its addresses with prefix
    last_rules: t.Mapping[str, str] = field(default_factory=dict)  # chain -> its last rule, verbatim
    objects: t.Mapping[str, str] = field(default_factory=dict)  # zone -> D-Bus path of its permanent settings
    unsaved: tuple[str, ...] = ()  # differences between live and permanent outside zones and policies
    docker_attached: bool = False  # its bridges are in the zone docker, or will be: a second or so after a reload
    network_manager: bool = False  # it gives interfaces back to their zones after a reload


def running(run: Run) -> str:
    """The backend of a firewalld that runs, "nftables" or "iptables"; "" when it does not run or is not installed."""
    if not _fw_firewalld_bus.is_running(run) and run(("firewall-cmd", "--state")).rc not in (0, FAILED):
        return ""
    return _fw_firewalld_bus.backend(run)


def observe(run: Run, context: Context) -> tuple[State, ...]:
    """Firewalld's state, () when it does not run here. FirewallError when it runs but cannot be trusted or read."""
    if not _acts(run):
        return ()
    live = Side(_sections(run, "--list-all-zones"), _policies(run))
    permanent = Side(_sections(run, "--permanent", "--list-all-zones"), _policies(run, "--permanent"))
    default_zone = _fw_firewalld_bus.default_zone(run) or _ask(run, "--get-default-zone").strip()
    backend = _fw_firewalld_bus.backend(run)
    used = _used(live, default_zone) + _used(permanent, default_zone)
    links = _links(run)
    may_reload = any(name in BINDABLE for name in context.bridges) or ZONE in live.zones or ZONE in permanent.zones
    return (
        State(
            backend=backend,
            default_zone=default_zone,
            live=live,
            permanent=permanent,
            services=_services(run, used),
            ipsets=_ipsets(run, used),
            links=links,
            last_rules=_last_rules(run, backend),
            objects=_fw_firewalld_bus.objects(
                run, {section.name for section in used if section.name in permanent.zones}
            ),
            unsaved=_unsaved(run) if may_reload else (),
            docker_attached=_fw_firewalld_bus.has(run, "dockerd"),
            network_manager=run(("systemctl", "is-active", "NetworkManager")).rc == 0,
        ),
    )


def _acts(run: Run) -> bool:
    """Whether firewalld runs as it should."""
    if _fw_firewalld_bus.is_running(run):
        return True
    shown = run(("systemctl", "show", "firewalld", "--property=LoadState,ActiveState,UnitFileState,SubState"))
    unit = dict(line.split("=", 1) for line in shown.out.splitlines() if "=" in line)
    active = unit.get("ActiveState", "inactive")
    state = run(("firewall-cmd", "--state"))
    if state.rc == 0 and not state.timed_out:
        return True
    said = _said(state)
    if state.rc == FAILED:
        checked = run(("firewall-cmd", "--check-config"))
        why = _said(checked) if checked.rc != 0 else said
        raise FirewallError(
            f"firewalld runs in state FAILED: it could not load its configuration and filters with built-in settings instead: {why}. "
            f"Nothing was changed. {JOURNAL}.",
            state,
        )
    if active == "failed":
        raise FirewallError(
            f"The service firewalld has failed, and rules of it may still be in force: {said}. Nothing was changed. {JOURNAL}; "
            "or, if it shall not run here, 'systemctl disable firewalld' and 'systemctl reset-failed firewalld'.",
            state,
        )
    if active == "inactive" and (
        state.rc in (NOT_RUNNING, STATUS_NOT_STARTED) or unit.get("UnitFileState") != "enabled"
    ):
        return False
    raise FirewallError(
        f"firewalld is installed and {'enabled' if active == 'inactive' else active}, but does not answer: {said}. Nothing was changed. "
        f"It needs D-Bus ('systemctl status dbus'). {JOURNAL}.",
        state,
    )


def _said(result: Result) -> str:
    """A tool's own words, on one line."""
    if result.timed_out:
        return result.message
    words = " ".join(line.strip() for line in (result.err + "\n" + result.out).splitlines() if line.strip())
    return f"'{result.cmd}' ended with status {result.rc} and said: {(words or 'nothing')[-600:].rstrip('.')}"


def _ask(run: Run, *args: str) -> str:
    return _checked(run(("firewall-cmd", *args)))


def _checked(result: Result) -> str:
    if result.rc != 0:
        raise FirewallError(
            f"firewalld runs, but could not be read: {_said(result)}. Nothing was changed. {JOURNAL}.", result
        )
    return result.out


def _sections(run: Run, *args: str) -> dict[str, Section]:
    return parse_sections(_ask(run, *args))


def _policies(run: Run, *args: str) -> dict[str, Section]:
    result = run(("firewall-cmd", *args, "--list-all-policies"))
    if result.rc == UNKNOWN_OPTION:  # before 0.9 there are none
        return {}
    return parse_sections(_checked(result))


def parse_sections(text: str) -> dict[str, Section]:
    """Zones, policies or services as firewall-cmd prints them: a name, settings below it, longer lists line by line."""
    found: dict[str, dict[str, list[str]]] = {}
    fields: dict[str, list[str]] = {}
    values: list[str] = []
    for line in text.splitlines():
        if line.startswith("\t"):
            values.append(line.strip())
        elif line.startswith("  ") and ":" in line:
            key, rest = line.strip().split(":", 1)
            values = fields.setdefault(key, [])
            values.extend(rest.split())
        else:
            header = HEADER.match(line)
            if header:
                fields = found.setdefault(header.group(1), {})
    return {name: Section(name, {key: tuple(value) for key, value in got.items()}) for name, got in found.items()}


def _used(side: Side, default_zone: str) -> list[Section]:
    """The sections that may judge a packet."""
    zones = [
        zone
        for zone in side.zones.values()
        if zone.name == default_zone or zone.words("interfaces") or zone.words("sources")
    ]
    return [*zones, *side.policies.values()]


def _services(run: Run, used: t.Iterable[Section]) -> dict[str, Section]:
    """Definitions of the services those sections let in, and of those they include."""
    wanted = {
        name
        for section in used
        for name in (*section.words("services"), *SERVICE_WORD.findall("\n".join(section.rules)))
    }
    found: dict[str, Section] = {}
    while wanted:
        name = wanted.pop()
        found[name] = _service(run, name)
        wanted.update(word for word in found[name].words("includes") if word not in found)
    return found


def _service(run: Run, name: str) -> Section:
    """The definition of a service; one that firewalld does not know is empty."""
    fields = _fw_firewalld_bus.service(run, name)
    if fields is not None:
        return Section(name, fields)
    return parse_sections(run(("firewall-cmd", f"--info-service={name}")).out).get(name, Section(name))


def _ipsets(run: Run, used: t.Iterable[Section]) -> dict[str, tuple[str, ...]]:
    """Entries of the address sets those sections name."""
    names: set[str] = set()
    for section in used:
        names.update(word[len("ipset:") :] for word in section.words("sources") if word.startswith("ipset:"))
        names.update(IPSET_WORD.findall("\n".join(section.rules)))
    return {
        name: tuple(run(("firewall-cmd", f"--ipset={name}", "--get-entries")).out.split()) for name in sorted(names)
    }


def _links(run: Run) -> dict[str, tuple[str, ...]]:
    """Interfaces and their addresses: 'eth1@if695 UP 198.18.31.11/24'."""
    links = {}
    for line in run(("ip", "-br", "address", "show")).out.splitlines():
        words = line.split()
        if words:
            links[words[0].split("@")[0]] = tuple(word for word in words[2:] if "/" in word)
    return links


def _last_rules(run: Run, backend: str) -> dict[str, str]:
    """The last rule of every chain of firewalld, to show what a zone does with all that it does not let in."""
    if backend == "iptables":
        lines = [line for line in run(("iptables", "-w", "10", "-S")).out.splitlines() if line.startswith("-A ")]
        return {line.split()[1]: line for line in lines}
    found: dict[str, str] = {}
    chain = ""
    for line in run(("nft", "list", "table", "inet", "firewalld")).out.splitlines():
        words = line.split()
        if words[:1] == ["chain"]:
            chain = words[1]
        elif words and words[0] not in ("}", "type", "table"):
            found[chain] = line.strip()
    return found


def _unsaved(run: Run) -> tuple[str, ...]:
    """Direct rules and address sets that differ between live and permanent: a reload would drop or add them."""
    found: list[str] = []
    if not _fw_firewalld_bus.direct_is_saved(run):
        for option in DIRECT:
            live = set(_ask(run, "--direct", option).splitlines())
            permanent = set(_ask(run, "--permanent", "--direct", option).splitlines())
            found.extend(f"direct: {line}" for line in sorted(live ^ permanent))
    for name in _fw_firewalld_bus.ipsets(run):
        entries = set(_ask(run, f"--ipset={name}", "--get-entries").split())
        if entries != set(run(("firewall-cmd", "--permanent", f"--ipset={name}", "--get-entries")).out.split()):
            found.append(f"ipset {name}: entries")
    return tuple(found)
