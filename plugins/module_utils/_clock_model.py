# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What there is to know of a host's clock, what it should be, and steps from one to the other. No behaviour."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

LEDGER = "/var/lib/crosshost-overlay/clock.json"
MARK = "crosshost-overlay"
HEADER = f"# {MARK}: written by crosshost.overlay.timesync and removed by its teardown.\n"
WRITE, REMOVE = "write", "rm"  # steps that are no commands


class ClockError(Exception):
    """Something cannot be done; the text is for the user and says what to do."""


@dataclass(frozen=True)
class Kind:
    """A time daemon: its unit, and where drop-in files of ours go."""

    name: str
    unit: str
    package: str
    sources: str = ""  # file for servers and pools; empty: not configured by this collection
    settings: str = ""  # file for what serves others
    main: str = ""  # its own main file, and the line that has to be in there for ours to be read
    reads: tuple[str, ...] = ()


CHRONY = Kind(
    "chrony",
    "chrony.service",
    "chrony",
    f"/etc/chrony/sources.d/{MARK}.sources",
    f"/etc/chrony/conf.d/{MARK}.conf",
    "/etc/chrony/chrony.conf",
    ("sourcedir /etc/chrony/sources.d", "confdir /etc/chrony/conf.d"),
)
TIMESYNCD = Kind(
    "systemd-timesyncd",
    "systemd-timesyncd.service",
    "systemd-timesyncd",
    f"/etc/systemd/timesyncd.conf.d/{MARK}.conf",
)
NTPSEC = Kind("ntpsec", "ntpsec.service", "ntpsec", f"/etc/ntpsec/ntp.d/{MARK}.conf")
NTP = Kind("ntp", "ntp.service", "ntp")
OPENNTPD = Kind("openntpd", "openntpd.service", "openntpd")
# In the order in which one of several that are installed, none of them running, is chosen.
KINDS = (CHRONY, TIMESYNCD, NTPSEC, NTP, OPENNTPD)


@dataclass(frozen=True)
class Daemon:
    """A time daemon that is installed."""

    kind: Kind
    active: bool
    enabled: bool
    invocation: str = ""  # systemd's number of this start: tells whether it was started since a file was written
    condition: bool = True  # false: systemd skips the unit on this machine, in a container for one


@dataclass(frozen=True)
class Tracking:
    """What a running daemon says of itself. Seconds; offset is host minus source."""

    synchronised: bool
    offset: float | None = None
    error: float | None = None  # root dispersion + half the root delay
    stratum: int | None = None
    reference: str = ""
    updated: str = ""  # changes with every update of the clock; only good for comparing
    leap: str = ""
    sources: tuple[str, ...] = ()  # as configured: names or addresses
    silent: tuple[str, ...] = ()  # those that do not answer
    unresolved: bool = False  # there are names that could not be looked up


@dataclass(frozen=True)
class Ledger:
    """What this collection did here; survives reboots."""

    zone: str = ""  # the time zone there was before ours
    zone_set: str = ""  # ours
    package: str = ""  # the package that came from us
    pending: dict[str, str] = field(
        default_factory=dict
    )  # unit -> its invocation when a file of ours was about to change
    enabled: tuple[str, ...] = ()  # units that we enabled

    def dump(self) -> str:
        """The text kept on the host; nothing worth keeping is no text."""
        return "" if self == Ledger() else json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def parse(cls, text: str | None) -> Ledger:
        """The reverse of dump()."""
        if not text:
            return cls()
        try:
            data = json.loads(text)
            return cls(
                str(data["zone"]),
                str(data["zone_set"]),
                str(data["package"]),
                {str(unit): str(value) for unit, value in data["pending"].items()},
                tuple(str(unit) for unit in data["enabled"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise ClockError(
                f"{LEDGER} is damaged ({exc!r}). It says which time zone and package were there before. Put a copy back, or remove it; "
                "then only the files of ours are left to undo."
            ) from exc


@dataclass(frozen=True)
class State:
    """A host's clock as it is."""

    daemons: tuple[Daemon, ...]
    settable: bool
    why_not_settable: str
    zone: str
    files: dict[str, str | None]  # ours, and the daemons' main files
    ledger: Ledger
    tracking: Tracking | None = None
    router: bool = False  # a router of Weave Net listens
    permitted: dict[str, bool] = field(default_factory=dict)  # peer address -> whether chrony answers it now

    @property
    def active(self) -> tuple[Daemon, ...]:
        """Those that run."""
        return tuple(item for item in self.daemons if item.active)

    @property
    def daemon(self) -> Daemon | None:
        """The one that runs, else the one that could."""
        return (self.active or self.daemons or (None,))[0]


@dataclass(frozen=True)
class Wish:
    """What is asked for. None: leave alone what is there."""

    servers: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    serve: tuple[str, ...] = ()  # addresses of the peers that take their time from this host
    stratum: int = 10
    zone: str = ""
    package: str = ""  # what will be there, for a look ahead
    announced: bool = False  # it is about to be installed
    absent: bool = False

    @property
    def configures(self) -> bool:
        """Whether a daemon has to be told something."""
        return bool(self.servers or self.pools or self.serve)


@dataclass(frozen=True)
class Step:
    """A command, or one of the two words above with a path."""

    argv: tuple[str, ...]
    text: str = ""  # content of a file to write


@dataclass(frozen=True)
class Plan:
    """How to get from what is to what shall be."""

    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    after: dict[str, str | None] = field(default_factory=dict)  # the files of ours then
    zone: str = ""
    ledger: Ledger = field(default_factory=Ledger)  # at the end
