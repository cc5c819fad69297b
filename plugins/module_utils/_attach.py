# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The kernel's side of the Open vSwitch overlay: what no database brings back.

The module ovs_bridge imports this file, and also installs it on the host, where a systemd unit runs it after boot and
after each start of Docker or Open vSwitch. So it needs nothing but Python and the commands ip, ethtool and sysctl, and
starts its processes itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import typing as t
from dataclasses import dataclass, field, replace

COMMAND_TIMEOUT = 10.0  # seconds; ip and ethtool answer in milliseconds
BOOT_WAIT = 60.0  # seconds for Docker and Open vSwitch to bring up their links after a boot
POLL = 0.5
STRICT = "1"  # of rp_filter: a packet is dropped where the way back to its source is another device

# What a userspace datapath reads from the card must be frames as they were on the wire.
FEATURES = {
    "gro": "generic-receive-offload",
    "lro": "large-receive-offload",
    "tso": "tcp-segmentation-offload",
    "gso": "generic-segmentation-offload",
    "tx": "tx-checksumming",
}

Run = t.Callable[[t.List[str]], t.Tuple[int, str, str]]
Steps = t.List[t.List[str]]


class AttachError(Exception):
    """A command failed or a link did not appear; the text says which."""


@dataclass(frozen=True)
class Config:
    """What has to hold: the link port is a member of Docker's bridge; the card's addresses are on the underlay bridge.

    addresses (CIDR) and routes (arguments of 'ip route') are the last ones seen on the card, for the case that neither
    the card nor the bridge has them any more. features are those that were on before this collection turned them off,
    rp_filter is what the card had before, empty when it is not known.
    """

    link: str
    master: str
    bridge: str = ""
    nic: str = ""
    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    rp_filter: str = ""


@dataclass(frozen=True)
class Link:
    """A link as the kernel shows it."""

    master: str
    up: bool
    addresses: tuple[str, ...]
    dynamic: bool


@dataclass(frozen=True)
class State:
    """Links by name, routes by device; of the card the features that are on and can be turned off, and rp_filter."""

    links: t.Mapping[str, Link] = field(default_factory=dict)
    routes: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    rp_filter: str = ""


def observe(run: Run, config: Config) -> State:
    """Read the links, and for a userspace datapath also the routes and offloads of the card."""
    links = {}
    for item in json.loads(_read(run, ["ip", "-json", "address", "show"]) or "[]"):
        info = [entry for entry in item.get("addr_info", []) if entry.get("scope") == "global" and entry.get("local")]
        links[item["ifname"]] = Link(
            item.get("master", ""),
            "UP" in item.get("flags", []),
            tuple(f"{entry['local']}/{entry['prefixlen']}" for entry in info),
            any(entry.get("dynamic") for entry in info),
        )
    routes = {}
    for device in (config.nic, config.bridge):
        if device in links:
            routes[device] = _routes(run, device)
    if config.nic not in links:
        return State(links, routes)
    features = parse_features(_read(run, ["ethtool", "-k", config.nic]))
    return State(links, routes, features, _read(run, ["sysctl", "-n", rp_filter_of(config.nic)]).strip())


def rp_filter_of(card: str) -> str:
    """The setting's name; with slashes, because a card's own name may have dots."""
    return f"net/ipv4/conf/{card}/rp_filter"


def parse_features(text: str) -> tuple[str, ...]:
    """Return the short names of the offloads that 'ethtool -k' shows as on and not as fixed."""
    shown = dict(line.strip().split(": ", 1) for line in text.splitlines() if ": " in line)
    return tuple(short for short, name in FEATURES.items() if shown.get(name, "").strip() == "on")


def missing_links(state: State, config: Config) -> list[str]:
    """Return the links that have to exist first; others make them."""
    needed = [config.link, config.master] + ([config.bridge, config.nic] if config.bridge else [])
    return [name for name in needed if name not in state.links]


def plan(state: State, config: Config) -> Steps:
    """Return the commands that make things hold, for the links that exist."""
    steps: Steps = []
    if config.bridge in state.links and config.nic in state.links:
        steps += _plan_underlay(state, config)
    link, master = state.links.get(config.link), state.links.get(config.master)
    if link and master and link.master != config.master:
        steps.append(["ip", "link", "set", config.link, "master", config.master])
    if link and not link.up:
        steps.append(["ip", "link", "set", config.link, "up"])
    return steps


def _plan_underlay(state: State, config: Config) -> Steps:
    bridge, nic = state.links[config.bridge], state.links[config.nic]
    wanted = nic.addresses or (config.addresses if not bridge.addresses else ())
    steps: Steps = [["ethtool", "-K", config.nic, feature, "off"] for feature in state.features]
    # The kernel still reads what arrives at the card, besides the datapath, which hands it over through the bridge: UDP for
    # this host would come twice. No address is left on the card, so that strict source validation drops the first of both.
    if state.rp_filter != STRICT:
        steps.append(["sysctl", "-q", "-w", f"{rp_filter_of(config.nic)}={STRICT}"])
    if not nic.up:
        steps.append(["ip", "link", "set", config.nic, "up"])
    if not bridge.up:
        steps.append(["ip", "link", "set", config.bridge, "up"])
    steps += [["ip", "address", "add", cidr, "dev", config.bridge] for cidr in wanted if cidr not in bridge.addresses]
    routes = state.routes.get(config.nic, ()) if nic.addresses else (config.routes if wanted else ())
    # The address leaves the card before its routes are set on the bridge: two connected routes would compete.
    steps += [["ip", "address", "del", cidr, "dev", config.nic] for cidr in nic.addresses]
    present = state.routes.get(config.bridge, ())
    steps += [
        ["ip", "route", "replace", *route.split(), "dev", config.bridge] for route in routes if route not in present
    ]
    return steps


def plan_back(state: State, config: Config) -> Steps:
    """Return the commands that give the card its addresses, routes and offloads back; the bridge is deleted before."""
    if config.nic not in state.links:
        return []
    nic = state.links[config.nic]
    addresses = config.addresses
    steps: Steps = [
        ["ip", "address", "add", cidr, "dev", config.nic] for cidr in addresses if cidr not in nic.addresses
    ]
    present = state.routes.get(config.nic, ())
    steps += [
        ["ip", "route", "replace", *route.split(), "dev", config.nic] for route in config.routes if route not in present
    ]
    steps += [
        ["ethtool", "-K", config.nic, feature, "on"] for feature in config.features if feature not in state.features
    ]
    if config.rp_filter not in ("", state.rp_filter) and state.rp_filter == STRICT:
        steps.append(["sysctl", "-q", "-w", f"{rp_filter_of(config.nic)}={config.rp_filter}"])
    return steps


def learned(state: State, config: Config) -> Config:
    """Return the config with the addresses, routes and offloads that are to be remembered."""
    if not config.bridge or config.nic not in state.links:
        return config
    holder = config.nic if state.links[config.nic].addresses else config.bridge
    seen = state.links.get(holder)
    addresses = seen.addresses if seen and seen.addresses else config.addresses
    routes = state.routes.get(holder, ()) if seen and seen.addresses else config.routes
    features = tuple(name for name in FEATURES if name in config.features or name in state.features)
    rp_filter = config.rp_filter or state.rp_filter
    return Config(config.link, config.master, config.bridge, config.nic, addresses, routes, features, rp_filter)


def remembering(config: Config, old: Config) -> Config:
    """Return the config with what an earlier run has learned of the same card."""
    if old.nic != config.nic:
        return config
    return replace(old, link=config.link, master=config.master, bridge=config.bridge)


def load(text: str) -> Config:
    """Read a Config from its JSON form."""
    values: dict[str, t.Any] = {}
    for key, value in json.loads(text).items():
        values[key] = tuple(value) if isinstance(value, list) else value
    return Config(**values)


def dump(config: Config) -> str:
    """Write a Config in its JSON form."""
    return json.dumps(config.__dict__, indent=1, sort_keys=True) + "\n"


def _routes(run: Run, device: str) -> tuple[str, ...]:
    # proto kernel is what the kernel adds by itself together with an address
    lines = _read(run, ["ip", "-4", "route", "show", "dev", device]).splitlines()
    lines += _read(run, ["ip", "-6", "route", "show", "dev", device]).splitlines()
    automatic = ("proto kernel", "proto ra", "fe80::")
    return tuple(" ".join(_settable(line)) for line in lines if not any(mark in line for mark in automatic))


def _settable(line: str) -> list[str]:
    words = [word for word in line.split() if word not in ("linkdown", "dead")]
    if "expires" in words:
        at = words.index("expires")
        del words[at : at + 2]
    return words


def _read(run: Run, argv: list[str]) -> str:
    status, out, err = run(argv)
    if status != 0:
        raise AttachError(
            f"'{' '.join(argv)}' failed with status {status}: {err.strip() or out.strip() or 'no output'}"
        )
    return out


def run_command(argv: list[str]) -> tuple[int, str, str]:
    """Run one command, bounded; the only caller of this file that starts processes."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer within {COMMAND_TIMEOUT:g} seconds"
    except OSError as exc:
        return 126, "", str(exc)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def main(path: str, run: Run = run_command, wait: float = BOOT_WAIT) -> int:
    """Make things hold as soon as each link appears; give up after wait seconds."""
    with open(path, encoding="utf-8") as handle:
        config = load(handle.read())
    end = time.monotonic() + wait
    while True:
        state = observe(run, config)
        config = learned(state, config)
        for step in plan(state, config):
            sys.stdout.write(" ".join(step) + "\n")
            _read(run, step)
        state = observe(run, config)
        missing = missing_links(state, config)
        if not missing and not plan(state, config):
            return 0
        if time.monotonic() > end:
            sys.stderr.write(
                f"after {wait:g} s there is still no link {', '.join(missing) or 'that stays as it was set'}; see docker and openvswitch-switch\n"
            )
            return 1
        time.sleep(POLL)


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1]))
    except AttachError as problem:
        raise SystemExit(str(problem)) from problem
