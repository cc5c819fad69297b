# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Why a link or a launch of Weave Net fails, in one sentence with the remedy."""

from __future__ import annotations

import re
import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._weave_report import Connection, Router

# Kinds, texts of the router and of its network library (2.6.0 to 2.9.0), and what to do; %s is the other end, {port} the router's port.
LINK: tuple[tuple[str, str, str], ...] = (
    (
        "clock",
        r"clock skew of",
        "the clocks of the two hosts differ too much; bring them together (chronyc makestep, or timedatectl set-ntp true), then connect again",
    ),
    (
        "name",
        r"peer names collision",
        "two hosts have the same peer name, as clones of one machine do; give each host a name of its own (option name)",
    ),
    (
        "password-missing",
        r"password specified, but peer requested an unencrypted connection",
        "this host has a password and {peer} has none; set the same password on both",
    ),
    (
        "password-missing",
        r"no password specifi\w+, but peer requested an encrypted connection",
        "{peer} has a password and this host has none; set the same password on both",
    ),
    (
        "password-differs",
        r"Unable to decrypt TCP msg",
        "the passwords of the two hosts differ; set the same password on both",
    ),
    (
        "refused",
        r"connection refused",
        "nothing listens on tcp {port} of {peer}, or its firewall refuses it; see that the router runs there (docker ps), on the same port",
    ),
    (
        "rejected",
        r"no route to host|host is unreachable|prohibited",
        "a firewall on {peer} rejects tcp {port}, or no route leads there; open tcp {port} and udp {port}-{data} for the peers, check 'ip route get {peer}'",
    ),
    ("no-route", r"network is unreachable", "this host has no route to {peer}; check 'ip route get {peer}'"),
    (
        "timeout",
        r"i/o timeout|connection timed out",
        "no answer on tcp {port} of {peer}: a firewall drops it or the host is down; open tcp {port} and udp {port}-{data} for the peers",
    ),
    (
        "udp",
        r"UDP heartbeat|no working forwarders",
        "tcp {port} works and udp does not come through: open udp {port}-{data} between the hosts, in both directions",
    ),
    (
        "limit",
        r"Connection limit reached",
        "one of the two routers has as many links as its connection limit allows; raise connection_limit (0 is without limit)",
    ),
    (
        "seed",
        r"seeded by different peers",
        "the hosts were started with different ipalloc_init; the seed has to be the same everywhere: reset the hosts that are wrong and start them again",
    ),
    (
        "range",
        r"Incompatible IP allocation ranges",
        "the hosts have different ipalloc_range; set one range everywhere",
    ),
    (
        "owned-twice",
        r"Received update for IP range I own",
        "two hosts own the same addresses, as after a restored backup or a clone; reset one of the two and start it as an observer",
    ),
    (
        "version",
        r"version range .* is incompatible",
        "the two routers are too far apart in version; upgrade the older one",
    ),
    (
        "replaced",
        r"Found unknown remote name",
        "another router than before answers at {peer}; it is connected again by itself",
    ),
    (
        "unresolved",
        r"no such host|server misbehaving",
        "the name does not resolve on this host; give addresses as peers",
    ),
)
LAUNCH: tuple[tuple[str, str, str], ...] = (
    (
        "no-identity",
        r"All system IDs are blank",
        "this host has no machine-id to make a peer name of; set the option name, or run systemd-machine-id-setup",
    ),
    (
        "bridge",
        r"Existing bridge type|WEAVE_NO_FASTDP is|Inconsistent bridge state",
        "the bridge 'weave' is left over from another way of launching; state=reset removes it, and with it this host's addresses on the overlay",
    ),
    (
        "database",
        r"boltDB|weavedata\.db|mismatched version|invalid database",
        "the address database /weavedb/weavedata.db (in the container weavedb) is damaged or in use; "
        "end what holds it, or give it up with state=reset and reset_force=true: peers then have to take over this host's addresses",
    ),
    (
        "port",
        r"address already in use",
        "a port of the router is taken on this host; 'ss -lntup' shows by what: stop it, or choose another port",
    ),
    (
        "api",
        r"client version \S+ is too old|Minimum supported API version",
        "this Docker Engine is too new for this release of Weave Net; use image_source=rajchaudhuri and version=2.9.0, or lower min-api-version in daemon.json",
    ),
    (
        "dummy",
        r"dummy interface: operation not supported",
        "the kernel has no dummy devices (CONFIG_DUMMY), which Weave Net needs to set up its bridge; load or install that module",
    ),
    ("host-bits", r"not all zero", "ipalloc_range has host bits set; give the network address"),
    (
        "overlap",
        r"overlaps with existing route",
        "ipalloc_range overlaps a route of this host; choose another range on all hosts",
    ),
    (
        "iptables",
        r"iptables|RULE_INSERT",
        "iptables inside the image and on the host do not fit (legacy and nft); release 2.8.10 of rajchaudhuri is for legacy hosts",
    ),
    (
        "option",
        r"flag provided but not defined|invalid value|invalid argument",
        "an option in extra_args is not one of this release; 'weave launch --help' lists them",
    ),
    (
        "name",
        r"provided invalid|Invalid peer|PeerName|invalid MAC",
        "the peer name is not one the router takes; use six bytes, such as 02:00:00:00:00:01",
    ),
)


def remedy_for_link(info: str, peer: str, port: int) -> str | None:
    """The remedy for the router's own text about a link; None for a text that is not known."""
    for dummy_kind, pattern, remedy in LINK:
        if re.search(pattern, info, re.IGNORECASE):
            return remedy.format(peer=peer, port=port, data=port + 1)
    return None


def kind_of_link(info: str) -> str | None:
    """What sort of trouble the router's own text about a link tells of; None for a text that is not known."""
    return next((kind for kind, pattern, dummy in LINK if re.search(pattern, info, re.IGNORECASE)), None)


def kind_of_launch(text: str) -> str | None:
    """What sort of trouble script and router tell of when a launch failed; None for a text that is not known."""
    return next((kind for kind, pattern, dummy in LAUNCH if re.search(pattern, text, re.IGNORECASE)), None)


def explain_link(connections: t.Sequence[Connection], peer: str, port: int, waited: str) -> str:
    """One sentence on a peer that is not connected: what the router says, why, what to do."""
    own = [item for item in connections if item.ip == peer]
    worst = next((item for item in own if item.state in ("failed", "retrying")), own[0] if own else None)
    if worst is None:
        return f"{peer}: the router lists no attempt to connect; 'docker logs weave' tells more"
    info = re.sub(r",? retry: (?!never).*", "", worst.info).strip()
    if worst.state == "pending":
        remedy = remedy_for_link("UDP heartbeat", peer, port)
        return f"{peer}: pending {waited}: {remedy}"
    if worst.state == "connecting":
        return f"{peer}: connecting {waited}: {remedy_for_link('i/o timeout', peer, port)}"
    remedy = (
        remedy_for_link(info, peer, port)
        or "the router's own words are all there is; 'docker logs weave' on both hosts tells more"
    )
    return f"{peer}: {worst.state}: {info}: {remedy}"


def explain_sleeve(connection: Connection, port: int) -> str:
    """One sentence on a link that fell back to the slow datapath."""
    return (
        f"{connection.ip}: established over sleeve (in user space, slow) and not over the fast datapath: open udp {port + 1} "
        "between the hosts, and see that the kernel modules openvswitch and vxlan can be loaded on both"
    )


def connected(router: Router, peer: str) -> Connection | None:
    """The established link to a peer, whoever opened it; None while there is none.

    When both ends dial, the router keeps one link and gives up the other as 'Multiple connections'.
    """
    for item in router.connections:
        if item.ip == peer and item.state == "established":
            return item
    for item in router.connections:
        double = re.search(r"Multiple connections to (\S+?)(\(.*?\))? added", item.info) if item.ip == peer else None
        if double:
            return next((c for c in router.connections if c.peer == double.group(1) and c.state == "established"), None)
    return None


def launch_remedy(text: str) -> str | None:
    """The remedy for what script and router said when a launch failed; None for a text that is not known."""
    for dummy_kind, pattern, remedy in LAUNCH:
        if re.search(pattern, text, re.IGNORECASE):
            return remedy
    return None


def last_words(logs: str) -> str:
    """The line of a router's log that tells why it gave up."""
    lines = [line.strip() for line in logs.splitlines() if line.strip()]
    for pattern in (r"^FATA|level=fatal|panic:", r"^ERRO|level=error", r"not defined|invalid|cannot|unable", r"."):
        for line in reversed(lines):
            if re.search(pattern, line):
                return line
    return ""
