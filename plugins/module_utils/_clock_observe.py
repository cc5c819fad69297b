# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Readers of a host's clock and time daemons. Nothing here changes anything."""

from __future__ import annotations

import csv
import functools
import os
import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import _cli, _files, _packages
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_model import (
    CHRONY,
    KINDS,
    LEDGER,
    NTPSEC,
    TIMESYNCD,
    Daemon,
    Ledger,
    State,
    Tracking,
)

Run = t.Callable[..., _cli.Result]
PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,InvocationID,ConditionResult"
CAP_SYS_TIME = 25
ROUTER_PORT = 6784  # Weave Net's control API, on loopback of the host
LISTEN = "0A"
# Reference IDs of chrony that are no source: none yet, and its own clock (local stratum).
NO_REFERENCE = ("", "00000000", "7F7F0101")
LOCALTIME, TIMEZONE = "/etc/localtime", "/etc/timezone"
ZONEINFO = "/usr/share/zoneinfo"


def observe(run: Run, peers: t.Sequence[str] = ()) -> State:
    """Read everything. run(argv) starts a command and never fails."""
    found = daemons(run("systemctl", "show", *(kind.unit for kind in KINDS), f"--property={PROPERTIES}").out)
    # One that runs is ready for use, or will be in a moment: its package is being upgraded.
    idle = [item.kind.package for item in found if not item.active]
    unready = _packages.unfinished(functools.partial(run, "dpkg-query"), *idle) if idle else []
    found = tuple(item for item in found if item.active or item.kind.package not in unready)
    settable, why = can_set(_files.read("/proc/self/status") or "", _files.read("/proc/self/uid_map") or "")
    active = [item for item in found if item.active]
    paths = [path for kind in KINDS for path in (kind.sources, kind.settings, kind.main) if path]
    return State(
        daemons=found,
        settable=settable,
        why_not_settable=why,
        zone=zone(),
        files={path: _files.read(path) for path in paths},
        ledger=Ledger.parse(_files.read(LEDGER)),
        tracking=tracking(run, active[0]) if len(active) == 1 else None,
        router=any(listens(_files.read(f"/proc/net/{name}") or "", ROUTER_PORT) for name in ("tcp", "tcp6")),
        permitted=permitted(run, peers) if any(item.kind == CHRONY for item in active) else {},
    )


def describe(state: State) -> dict[str, t.Any]:
    """The clock and its daemons as they are."""
    tracking = state.tracking
    return {
        "settable": state.settable,
        "why_not_settable": state.why_not_settable,
        "zone": state.zone,
        "router": state.router,
        "daemons": [{"name": item.kind.name, "active": item.active, "enabled": item.enabled} for item in state.daemons],
        "daemon": state.active[0].kind.name if len(state.active) == 1 else "",
        "synchronised": bool(tracking and tracking.synchronised),
        "offset": tracking.offset if tracking else None,
        "error": tracking.error if tracking else None,
        "stratum": tracking.stratum if tracking else None,
        "reference": tracking.reference if tracking else "",
        "leap": tracking.leap if tracking else "",
        "sources": list(tracking.sources) if tracking else [],
        "silent": list(tracking.silent) if tracking else [],
        "package": state.ledger.package,
    }


def daemons(shown: str) -> tuple[Daemon, ...]:
    """The daemons that are installed, from what systemctl show prints."""
    by_unit = {}
    for block in shown.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        by_unit[values.get("Id", "")] = values
    found = []
    for kind in KINDS:
        unit = by_unit.get(kind.unit, {})
        if unit.get("LoadState") in ("loaded", "masked") and unit.get("UnitFileState") != "masked":
            found.append(
                Daemon(
                    kind,
                    active=unit.get("ActiveState") in ("active", "activating", "reloading"),
                    enabled=unit.get("UnitFileState") in ("enabled", "enabled-runtime"),
                    invocation=unit.get("InvocationID", ""),
                    condition=unit.get("ActiveState") == "active" or unit.get("ConditionResult") != "no",
                )
            )
    # ntp.service is another name of ntpsec.service where that is installed.
    names = {item.kind.name for item in found}
    return tuple(item for item in found if not (item.kind.name == "ntp" and "ntpsec" in names))


def can_set(status: str, uid_map: str) -> tuple[bool, str]:
    """Whether this process may set the clock, and why not."""
    masks = dict(re.findall(r"^(CapEff|CapBnd):\s*([0-9a-f]+)", status, re.MULTILINE))
    if not int(masks.get("CapBnd", "0"), 16) >> CAP_SYS_TIME & 1:
        return False, "this host is a container or otherwise lacks CAP_SYS_TIME"
    if uid_map.split() not in ([], ["0", "0", "4294967295"]):
        return False, "this host is a container with a user namespace of its own"
    if not int(masks.get("CapEff", "0"), 16) >> CAP_SYS_TIME & 1:
        return False, "Ansible is not root on this host (become: true)"
    return True, ""


def zone() -> str:
    """The time zone's name; empty if there is no telling."""
    try:
        target = os.path.realpath(LOCALTIME) if not os.path.islink(LOCALTIME) else os.readlink(LOCALTIME)
    except OSError:
        return ""
    if "zoneinfo/" in target:
        return target.split("zoneinfo/", 1)[1]
    if not os.path.exists(LOCALTIME):
        return "UTC"  # what the C library and timedatectl make of a missing file
    return (_files.read(TIMEZONE) or "").strip()


def known_zone(name: str, folder: str = ZONEINFO) -> bool:
    """Whether the host has this time zone."""
    if not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", name):
        return False
    try:
        with open(os.path.join(folder, name), "rb") as handle:
            return handle.read(4) == b"TZif"
    except OSError:
        return False


def listens(table: str, port: int) -> bool:
    """Whether /proc/net/tcp has a listener on this port."""
    rows = (line.split() for line in table.splitlines()[1:])
    return any(len(row) > 3 and row[3] == LISTEN and int(row[1].rpartition(":")[2], 16) == port for row in rows)


def permitted(run: Run, peers: t.Sequence[str]) -> dict[str, bool]:
    """Whether chrony gives its time to these addresses now."""
    return {peer: "208" in run("chronyc", "accheck", peer).out for peer in peers}


def tracking(run: Run, daemon: Daemon) -> Tracking | None:
    """What the daemon says; None if it does not, or is of a kind that is not asked."""
    if daemon.kind == CHRONY:
        said = [run("chronyc", *words).out for words in CHRONY_QUESTIONS]
        return chrony(*said)
    if daemon.kind == TIMESYNCD:
        status = run("timedatectl", "show", "--property=NTPSynchronized").out
        return timesyncd(run("timedatectl", "show-timesync").out, status)
    if daemon.kind == NTPSEC:
        return ntpsec(run("ntpq", "-c", "rv 0").out, run("ntpq", "-pn").out)
    return None


CHRONY_QUESTIONS = (
    ("-n", "-c", "tracking"),
    ("-n", "-c", "sources"),
    ("-N", "-c", "sources"),
    ("-c", "activity"),
)


def chrony(tracked: str, numeric: str, named: str, activity: str) -> Tracking | None:
    """chronyc's four answers, comma separated. Its "system time" is what it still has to add to the clock."""
    row = next(csv.reader(tracked.splitlines()), [])
    if len(row) < 14:
        return None
    rows = [source for source in csv.reader(numeric.splitlines()) if len(source) > 5]
    names = [source[2] for source in csv.reader(named.splitlines()) if len(source) > 5]
    counts = next(csv.reader(activity.splitlines()), [])
    # After its sources are taken away, chronyd goes on calling itself synchronised.
    selected = any(source[1] == "*" for source in rows)
    return Tracking(
        synchronised=selected and row[0] not in NO_REFERENCE and row[13] != "Not synchronised",
        offset=-float(row[4]),
        error=float(row[11]) + float(row[10]) / 2,
        stratum=int(row[2]),
        reference=row[1] or row[0],
        updated=row[3],
        leap=row[13],
        sources=tuple(dict.fromkeys(names)),
        silent=tuple(dict.fromkeys(name for source, name in zip(rows, names) if int(source[5] or "0", 8) == 0)),
        unresolved=len(counts) > 4 and counts[4] != "0",
    )


def timesyncd(shown: str, status: str) -> Tracking | None:
    """timedatectl show-timesync. Offset, delay and dispersion come from the last answer."""
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if not values:
        return None
    message = dict(re.findall(r"(\w+)=([^,}]*)", values.get("NTPMessage", "")))
    servers = tuple(
        name
        for key in ("SystemNTPServers", "LinkNTPServers", "RuntimeNTPServers")
        for name in values.get(key, "").split()
    )
    answered = bool(message) and message.get("Spike") != "yes" and message.get("Ignored") != "yes"
    error = None
    if answered:
        error = _span(message.get("RootDispersion", "")) + _span(message.get("RootDelay", "")) / 2
    return Tracking(
        synchronised=answered and status.strip() == "NTPSynchronized=yes",
        error=error,
        stratum=int(message["Stratum"]) if message.get("Stratum", "").isdigit() else None,
        reference=values.get("ServerName", "") or values.get("ServerAddress", ""),
        updated=message.get("PacketCount", ""),
        leap=message.get("Leap", ""),
        sources=servers,
        silent=() if answered else servers,
    )


UNITS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2629800.0,
    "y": 31557600.0,
}


def _span(text: str) -> float:
    """Seconds of a time span as systemd prints it: 1min 3.5s."""
    return sum(float(number) * UNITS.get(unit, 0.0) for number, unit in re.findall(r"(-?[0-9.]+)\s*([a-z]+)", text))


def ntpsec(variables: str, peers: str) -> Tracking | None:
    """ntpq's system variables (milliseconds) and its table of peers."""
    values = dict(re.findall(r"(\w+)=(\"[^\"]*\"|[^,\s]+)", variables))
    if "stratum" not in values:
        return None
    rows = [line for line in peers.splitlines()[2:] if line.strip()]
    table = [(line[0], line[1:].split()) for line in rows if len(line[1:].split()) >= 9]
    chosen = [row[0] for tally, row in table if tally in "*o"]
    try:
        offset = float(values.get("offset", "0")) / 1000
        error = (float(values.get("rootdisp", "0")) + float(values.get("rootdelay", "0")) / 2) / 1000
        stratum = int(values["stratum"])
    except ValueError:
        return None
    return Tracking(
        synchronised=bool(chosen) and values.get("leap", "3") not in ("3", "11"),
        offset=-offset,
        error=error,
        stratum=stratum,
        reference=chosen[0] if chosen else values.get("refid", ""),
        updated=values.get("reftime", ""),
        leap=values.get("leap", ""),
        sources=tuple(row[0] for dummy, row in table),
        silent=tuple(row[0] for dummy, row in table if row[6] == "0" and row[1] != ".POOL."),
    )
