# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Peer names and seeds of a Weave network: never two alike, never changed once set. Pure; private to this collection."""

from __future__ import annotations

import hashlib
import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.crosshost.overlay.plugins.plugin_utils._hosts import Host, Info

NAME = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
INIT = re.compile(r"seed=([^,=]+(?:,[^,=]+)*)|observer|consensus(?:=[1-9][0-9]*)?")
TEARDOWN = "ansible-playbook crosshost.overlay.teardown -e overlay_backend=weave --limit"


@dataclass(frozen=True)
class WeaveHost(Host):
    """A host with what weave_info returned (None: not reached); pin is its peer name, settings those that must not differ."""

    weave: Info | None = None
    settings: t.Mapping[str, str] = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether both readers have been there."""
        return self.info is not None and self.weave is not None

    def part(self, name: str) -> Info:
        """Return one part of weave_info's answer, empty when the host has none."""
        return (self.weave or {}).get(name) or {}

    @property
    def living(self) -> bool:
        """Whether the host takes or took part in a network: it has a router, or the database of one."""
        return bool(self.part("launch") or self.part("router") or (self.weave or {}).get("database"))

    def setting(self, *names: str) -> str:
        """Return what the router runs with, else what was recorded for it, as text."""
        for part in ("launch", "record"):
            for name in names:
                if self.part(part).get(name):
                    return str(self.part(part)[name])
        return ""

    @property
    def peer_name(self) -> str:
        """Return the name the host has in its network."""
        return str(self.part("router").get("name") or self.setting("name")).lower()

    @property
    def init(self) -> str:
        """Return how the host's address allocation was started; the record outlives the container."""
        return str(self.part("record").get("init") or self.setting("ipalloc_init", "init"))

    @property
    def primed(self) -> bool:
        """Whether the range has owners as far as this host knows; the database of a router that does not run may say so."""
        return bool(self.part("ipam").get("primed", (self.weave or {}).get("database")))

    @property
    def started(self) -> bool:
        """Whether it is known how the address allocation of this host was started."""
        return bool(self.init or self.part("launch"))


def derived(host: str) -> str:
    """Make a peer name of an inventory name: locally administered, unicast, the same in every run."""
    digest = hashlib.sha256(host.encode()).hexdigest()[:10]
    return ":".join(["02", *(digest[at : at + 2] for at in range(0, 10, 2))])


def normal(name: str) -> str | None:
    """Write a peer name in full ('::3' is 00:00:00:00:00:03); None when it is not the address of one station."""
    text = name.strip().lower()
    if text.count("::") == 1:
        left, right = (side.split(":") if side else [] for side in text.split("::"))
        text = ":".join(part.zfill(2) for part in [*left, *["00"] * (6 - len(left) - len(right)), *right])
    if not NAME.fullmatch(text) or int(text[:2], 16) & 1 or text == "00:00:00:00:00:00":
        return None
    return text


def decide_names(hosts: t.Sequence[WeaveHost], allow_rename: bool) -> tuple[dict[str, str], list[str]]:
    """Return every host's peer name: pinned in the inventory, else the one it has, else made of its inventory name.

    Of hosts that have one name, all but one get one made of their inventory name, where that is allowed.
    """
    names: dict[str, str] = {}
    problems: list[str] = []
    owners: dict[str, str] = {}
    twins = _twins(hosts) if allow_rename else frozenset()
    for host in hosts:
        pin = normal(host.pin) if host.pin else None
        if host.pin and pin is None:
            problems.append(
                f"overlay_weave_name '{host.pin}' of host '{host.name}' is no peer name; write six bytes in hexadecimal "
                "with an even first one, for example 02:00:00:00:00:01"
            )
        name = pin or ("" if host.name in twins else host.peer_name) or derived(host.name)
        names[host.name] = name
        if pin and host.living and host.peer_name and pin != host.peer_name and not allow_rename:
            problems.append(
                f"host '{host.name}': overlay_weave_name {pin} is not the name {host.peer_name} it has in the network, and a new name loses its part "
                f"of the address range; set overlay_weave_name to {host.peer_name}, or weave_allow_rename to true if that is meant"
            )
        other = owners.setdefault(name, host.name)
        if other != host.name:
            problems.append(
                f"hosts '{other}' and '{host.name}' have the same peer name {name}, and routers of one name never connect; "
                f"{_another(host, pin)}"
            )
    return names, problems


def _twins(hosts: t.Sequence[WeaveHost]) -> frozenset[str]:
    """The hosts whose name another one has: one that is made of its inventory name keeps it, else the first one."""
    groups: dict[str, list[WeaveHost]] = {}
    for host in hosts:
        groups.setdefault((normal(host.pin) if host.pin else None) or host.peer_name or derived(host.name), []).append(
            host
        )
    found: set[str] = set()
    for name, group in groups.items():
        keeper = next((host for host in group if host.pin or name == derived(host.name)), group[0])
        found |= {host.name for host in group if host is not keeper and not host.pin}
    return frozenset(found)


def _another(host: WeaveHost, pin: str | None) -> str:
    """How two hosts of one name get different ones."""
    if pin:
        return f"give one of them another with overlay_weave_name{' and set weave_allow_rename to true' if host.living else ''}"
    return (
        "set weave_allow_rename to true, and one of them gets another, or give it one with overlay_weave_name besides"
    )


def seeds(init: str) -> frozenset[str]:
    """Return the names in 'seed=a,b', empty for the other ways to start."""
    if not init.startswith("seed="):
        return frozenset()
    return frozenset(normal(name) or name for name in init[len("seed=") :].split(",") if name)


def decide_inits(
    hosts: t.Sequence[WeaveHost], names: t.Mapping[str, str], wish: str
) -> tuple[dict[str, str], list[str]]:
    """Return how each host's address allocation starts; the first list of seeds is kept for ever."""
    if wish and not INIT.fullmatch(wish):
        return {}, [
            f"weave_ipalloc_init '{wish}' is neither seed=NAME,NAME,... nor observer nor consensus nor consensus=NUMBER"
        ]
    lists: dict[frozenset[str], str] = {}
    for host in hosts:
        if seeds(host.init):
            lists.setdefault(seeds(host.init), host.name)
    if len(lists) > 1:
        return {}, [seed_conflict(lists)]
    asked, kept = seeds(wish), next(iter(lists), frozenset())
    if asked and kept and asked != kept:
        return {}, [
            f"weave_ipalloc_init names the seeds {shown(asked)}, and the network of host '{lists[kept]}' was started with {shown(kept)}; "
            "leave weave_ipalloc_init out, the seeds of a network never change"
        ]
    living = [host for host in hosts if host.living or host.init]
    unknown = [host.name for host in hosts if host.limited]
    new = [host.name for host in hosts if host.reached and not host.living]
    if not living and unknown and new and not wish:
        return {}, [
            f"whether {', '.join(new)} join(s) a network that {', '.join(unknown)} have already is not known, because --limit leaves them out; "
            "run without --limit, or set weave_ipalloc_init (observer joins a network that exists)"
        ]
    fresh = seed_text(kept or frozenset(names.values()))
    inits = {}
    for host in hosts:
        if host.living and host.started:
            inits[host.name] = host.init  # empty when that was the router's own default
        elif wish and not (kept and asked):
            inits[host.name] = wish
        elif not living:
            inits[host.name] = fresh
        elif kept:
            other = any(item.primed for item in living if item is not host)
            inits[host.name] = "observer" if other or names[host.name] not in kept else fresh
        else:
            inits[host.name] = "observer" if any(item.primed for item in living) else living[0].init
    return inits, []


def seed_text(names: t.Iterable[str]) -> str:
    """Write seeds in one order, so that the same list is the same text everywhere."""
    return "seed=" + ",".join(sorted(names))


def shown(names: t.Iterable[str]) -> str:
    """Write seeds for a message, few enough to read."""
    listed = sorted(names)
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "")


def seed_conflict(lists: t.Mapping[frozenset[str], str]) -> str:
    """Say which hosts belong to which of several networks."""
    groups = "; ".join(f"host '{host}' by {shown(names)}" for names, host in lists.items())
    last = list(lists.values())[-1]
    return (
        f"the hosts belong to networks that were seeded by different peers and never connect: {groups}. "
        f"Reset the one to be joined anew ({TEARDOWN} {last}), then run again"
    )
