# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""What the doctor's rules get (a case), give (findings), and how they are run. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import Facts, addresses, bare, dig, rows
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import for_weave

SEVERITIES = ("error", "warning", "note")
ANYTHING = "*"  # whatever keeps packets from arriving
DEEP = 50  # rank; what is beyond is seen in packets only
BESIDE = ("clock-skew", "machine-id-clone")  # errors that keep no packet from arriving


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where, how it shows, why, and what cures it."""

    id: str
    severity: str  # error, warning or note
    hosts: tuple[str, ...]  # the hosts to act on, first things first
    summary: str
    evidence: tuple[str, ...]  # lines as the tools printed them, each behind "<host>: "
    cause: str
    remedy: str
    commands: tuple[str, ...] = ()  # "h2$ ..." for a shell on h2, else for the controller
    rank: int = 40  # lower is nearer to the root of the trouble


@dataclass(frozen=True)
class Limits:
    """Seconds that clocks may be apart before it is a warning, and an error."""

    max_skew: float = 1.0
    fail_skew: float = 60.0


@dataclass(frozen=True)
class Case:
    """All that is known of all hosts. Any part of it may be missing, for the hosts are ill."""

    hosts: tuple[str, ...] = ()
    infos: t.Mapping[str, Facts] = field(default_factory=dict)  # overlay_info's answer, or {"failed": why}
    unreachable: t.Mapping[str, str] = field(default_factory=dict)
    clocks: t.Mapping[str, Facts] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    report: t.Any = None  # of the packets sent (_matrix.Report), None if none were
    addresses: t.Mapping[str, str] = field(default_factory=dict)  # of the underlay
    backend: str | None = None
    wish: Facts = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # hosts of the overlay that this run did not look at

    @property
    def read(self) -> list[str]:
        """The hosts of which something is known."""
        return [host for host in self.hosts if self.info(host)]

    def info(self, host: str) -> Facts:
        """Return what is known of a host, empty if nothing."""
        found = self.infos.get(host)
        return found if isinstance(found, t.Mapping) and not found.get("failed") else {}

    def get(self, host: str, *path: str) -> t.Any:
        """Return one fact of a host, None if it is not known."""
        return dig(self.info(host), *path)

    def part(self, host: str, *path: str) -> Facts:
        """Return a mapping of a host's facts, empty if there is none."""
        found = self.get(host, *path)
        return found if isinstance(found, t.Mapping) else {}

    def rows(self, host: str, *path: str) -> list[Facts]:
        """Return a list of a host's facts, without what has not the shape of one."""
        return rows(self.info(host), *path)

    @property
    def pairs(self) -> list[t.Any]:
        """All directions that were tried, between hosts, within a host, and of containers."""
        found: list[t.Any] = []
        for part in ("pairs", "local", "containers"):
            found += list(getattr(self.report, part, None) or ())
        return found

    def failing(self, *hosts: str) -> bool:
        """Say whether packets from or to one of these hosts were lost."""
        return any(getattr(pair, "reason", "") and {pair.source, pair.target} & set(hosts) for pair in self.pairs)

    def grave(self, *hosts: str) -> str:
        """The severity of what may go well: an error where packets are lost, else a warning."""
        return "error" if self.failing(*hosts) else "warning"

    def expects(self, backend: str) -> bool:
        """Say whether this overlay is to be there: it was asked for, or a host has what the collection puts there."""
        if self.backend:
            return self.backend == backend
        return any(self.marked(host, backend) for host in self.read)

    def marked(self, host: str, backend: str) -> bool:
        """Say whether a host carries this backend's marks of ours."""
        if backend == "weave":
            return bool(self.get(host, "weave", "container") or self.get(host, "weave", "record"))
        networks = any(net.get("label") for net in self.rows(host, "docker", "networks") if net.get("name") != "weave")
        return networks or bool(self.our_bridges(host)) or bool(self.get(host, "slices", "slices"))

    def our_bridges(self, host: str) -> list[Facts]:
        """Return the bridges of Open vSwitch on a host that this collection made."""
        return [bridge for bridge in self.rows(host, "openvswitch", "bridges") if bridge.get("mark")]

    def interface(self, host: str, name: str) -> Facts | None:
        """Return an interface of a host, None if there is none of that name."""
        return next((item for item in self.rows(host, "interfaces") if item.get("name") == name), None)

    def holders(self, address: str) -> list[str]:
        """Return the hosts that have an address on one of their interfaces."""
        return [host for host in self.read if any(address in addresses(item) for item in self.rows(host, "interfaces"))]

    def host_of(self, address: str) -> str | None:
        """Return the host that has an address, None when none or several do."""
        plain = bare(address)
        owners = [host for host, given in self.addresses.items() if given == plain] or self.holders(plain)
        return owners[0] if len(owners) == 1 else None

    def carrier(self, host: str) -> Facts:
        """Return the interface with the underlay address of a host, empty if there is none."""
        address = self.addresses.get(host)
        for interface in self.rows(host, "interfaces"):
            if address and address in addresses(interface):
                return interface
        return {}


Check = t.Callable[[Case], t.Iterable[Finding]]


@dataclass(frozen=True)
class Rule:
    """A check under the id of its findings. unless: ids of causes that explain them on the same host, or ANYTHING that does."""

    id: str
    check: Check
    unless: tuple[str, ...] = ()


RULES: list[Rule] = []


def rule(name: str, unless: t.Sequence[str] = ()) -> t.Callable[[Check], Check]:
    """Register a check. Several may share one id, and one may yield that id only."""

    def add(check: Check) -> Check:
        RULES.append(Rule(name, check, tuple(unless)))
        return check

    return add


def diagnose(case: Case, rules: t.Sequence[Rule] | None = None) -> tuple[Finding, ...]:
    """Run all rules; the root of the trouble comes first, and what follows from it is left out."""
    found: list[tuple[Rule, Finding]] = []
    for each in RULES if rules is None else rules:
        try:
            found += [(each, finding) for finding in each.check(case)]
        except Exception as exc:  # a rule that is wrong itself must not hide what the others see
            found.append((each, _broken(each, exc)))
    kept = [finding for each, finding in found if not _explained(each, finding, [other for dummy, other in found])]
    if case.expects("weave") and not case.expects("ovs_gre"):
        kept = [replace(finding, commands=tuple(map(for_weave, finding.commands))) for finding in kept]
    unique = {(finding.id, finding.hosts, finding.summary): finding for finding in kept}
    return tuple(sorted(unique.values(), key=order))


def order(finding: Finding) -> tuple[t.Any, ...]:
    """Where a finding stands among others."""
    known = SEVERITIES.index(finding.severity) if finding.severity in SEVERITIES else len(SEVERITIES)
    return known, finding.rank, finding.id, finding.hosts, finding.summary


def _explained(each: Rule, finding: Finding, others: t.Sequence[Finding]) -> bool:
    return any(
        _causes(each, finding, other) and (not finding.hosts or bool(set(other.hosts) & set(finding.hosts)))
        for other in others
    )


def _causes(each: Rule, finding: Finding, other: Finding) -> bool:
    if ANYTHING in each.unless:
        return other.severity == "error" and other.rank < DEEP and other.id not in BESIDE
    return other.id in each.unless and other.id != finding.id


def _broken(each: Rule, exc: Exception) -> Finding:
    return Finding(
        "rule-broken",
        "note",
        (),
        f"the rule {each.id} could not be applied",
        (f"controller: {type(exc).__name__}: {exc}",),
        "It met facts of a shape that it does not know, which is a fault of this collection.",
        "Report it, with overlay_report.json; the other findings stand.",
        rank=99,
    )
