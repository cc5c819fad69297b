# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on what stops packets: firewalls, Docker's own rules, and the kernel's limits. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_causes import NO_DOCKER
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import Facts, dig, number, texts
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, rule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import RESTARTED, listed, on, quoted, site

POLICY = re.compile(r"^(-P FORWARD|:FORWARD)\b|policy drop", re.IGNORECASE)
BRIDGED = "net.bridge.bridge-nf-call-iptables"


def blocks(case: Case, host: str, hook: str) -> dict[tuple[str, str, tuple[str, ...]], list[str]]:
    """Return the rules that stop the overlay and have no opening beside them: (tool, rule, sources) to kinds of traffic."""
    firewall = case.part(host, "firewall")
    found: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for block in case.rows(host, "firewall", "blocked"):
        if block.get("opened") or (block.get("hook") == "forward") != (hook == "forward"):
            continue
        if hook == "forward" and firewall.get("bridged_packets_filtered", True) is False:
            continue
        key = (str(block.get("firewall")), str(block.get("rule")), tuple(texts(block, "sources")))
        found.setdefault(key, []).append(str(block.get("traffic")))
    return found


def _peers(case: Case, host: str) -> set[str]:
    return {address for other, address in case.addresses.items() if other != host}


def _from(case: Case, sources: t.Sequence[str]) -> str:
    names = [case.host_of(source) or source for source in sources]
    return f" from {listed(names)}" if names else ""


@rule("firewall-one-way")
def firewall_one_way(case: Case) -> t.Iterator[Finding]:
    """A rule against some of the peers only, so that one direction works and the other does not."""
    yield from _blocked(case, "firewall-one-way", True)


@rule("firewall-blocks")
def firewall_blocks(case: Case) -> t.Iterator[Finding]:
    """A rule that keeps the peers out."""
    yield from _blocked(case, "firewall-blocks", False)


def _blocked(case: Case, name: str, partial: bool) -> t.Iterator[Finding]:
    for host in case.read:
        for (tool, text, sources), traffic in blocks(case, host, "input").items():
            peers = _peers(case, host)
            some = bool(sources) and bool(peers - set(sources))
            if some != partial:
                continue
            senders = [other for source in sources if (other := case.host_of(source)) and other != host]
            yield Finding(
                name,
                "error",
                (host, *senders) if partial else (host,),
                f"a firewall on {host} stops {', '.join(traffic)}{_from(case, sources)}",
                quoted(host, [f"{tool}: {text}"]),
                f"The rule drops what {listed(senders)} send{'s' if len(senders) == 1 else ''} first, while the other direction is open. A tunnel works for a "
                "while after this host has sent something, which makes the fault come and go."
                if partial
                else "No packet that a peer sends first gets in. A tunnel works for a while after this host has sent something.",
                "Let site.yml open exactly this for the peers; the rule itself stays.",
                (site("peer_firewall"),),
                rank=20,
            )


@rule("forward-drop", unless=["docker-chains-missing"])
def forward_drop(case: Case) -> t.Iterator[Finding]:
    """The policy of FORWARD, where nobody lets the overlay through."""
    for host in case.read:
        found = [
            (tool, text)
            for (tool, text, dummy), dummy_traffic in blocks(case, host, "forward").items()
            if POLICY.search(text)
        ]
        filters = _filters(case, host)
        if not found:
            found = _policies(case, host, filters)
        if not found:
            continue
        tool = found[0][0]
        program = "iptables-legacy" if "legacy" in tool else "iptables"
        yield Finding(
            "forward-drop",
            "error",
            (host,),
            f"{host} drops packets between containers: the policy of FORWARD is DROP ({tool})",
            quoted(host, [text for dummy_tool, text in found]) + quoted(host, [f"{BRIDGED} = 1"]),
            "Packets that stay in a bridge pass the firewall, too, and no rule there accepts those of the overlay."
            + (
                " What iptables on nftables accepts, iptables-legacy drops all the same."
                if program.endswith("legacy")
                else ""
            ),
            "Let site.yml open the way for the overlay's bridge; or set the policy back, and then this host forwards whatever comes.",
            (site("peer_firewall"), *on(host, f"{program} -S FORWARD", f"{program} -P FORWARD ACCEPT")),
            rank=20,
        )


def _policies(case: Case, host: str, filters: t.Any) -> list[tuple[str, str]]:
    """Policies that nobody judged: without Docker, which sets one itself, and with bridged packets filtered."""
    if str(case.get(host, "kernel", "sysctls", BRIDGED)) != "1":
        return []
    judged = bool(case.get(host, "firewall", "firewalls"))
    docker = case.get(host, "docker", "installed") is not False
    found = []
    for name, tool in (("nft", "iptables"), ("legacy", "iptables-legacy")):
        if dig(filters, "forward_policy", name) == "DROP" and not judged and (not docker or name == "legacy"):
            found.append((tool, "-P FORWARD DROP"))
    return found


@rule("bridge-filtered", unless=["forward-drop"])
def bridge_filtered(case: Case) -> t.Iterator[Finding]:
    """A rule in FORWARD meets packets that only pass a bridge."""
    for host in case.read:
        for (tool, text, dummy_sources), traffic in blocks(case, host, "forward").items():
            if POLICY.search(text):
                continue
            yield Finding(
                "bridge-filtered",
                "error",
                (host,),
                f"a rule of {tool} on {host} stops {', '.join(traffic)} inside the bridge",
                quoted(host, [f"{tool}: {text}", f"{BRIDGED} = 1"]),
                f"With {BRIDGED}=1 packets between containers pass the rules for forwarding though they never leave the bridge.",
                "Let site.yml open the way for the overlay's bridge; the rule itself stays.",
                (site("peer_firewall"),),
                rank=21,
            )


@rule("docker-chains-missing", unless=NO_DOCKER)
def chains_missing(case: Case) -> t.Iterator[Finding]:
    """Another program took Docker's rules away."""
    for host in case.read:
        missing = texts(case.info(host), "docker", "chains", "missing")
        if (
            not missing
            or case.get(host, "docker", "running") is not True
            or case.get(host, "docker", "iptables") is False
        ):
            continue
        yield Finding(
            "docker-chains-missing",
            "error",
            (host,),
            f"Docker's firewall chains are gone on {host}: {', '.join(missing)}",
            quoted(host, [f"iptables: No chain/target/match by that name: {chain}" for chain in missing]),
            "A firewall was started, reloaded or flushed after Docker and took them away. Published ports, the way out of containers and new "
            "containers fail.",
            f"Have Docker make them again; a restart does so. {RESTARTED}",
            (*on(host, "systemctl restart docker"), site("docker_engine,peer_firewall", [host])),
            rank=17,
        )


@rule("docker-firewalld-zone", unless=[*NO_DOCKER, "docker-chains-missing"])
def firewalld_zone(case: Case) -> t.Iterator[Finding]:
    """firewalld came after Docker."""
    for host in case.read:
        if (
            case.get(host, "docker", "firewalld_zone_ok") is not False
            or case.get(host, "docker", "running") is not True
        ):
            continue
        yield Finding(
            "docker-firewalld-zone",
            case.grave(host),
            (host,),
            f"firewalld on {host} does not know Docker's bridges",
            quoted(host, ["firewall-cmd --get-zone-of-interface=docker0: no zone"]),
            "firewalld was started after Docker, which put nothing into its zone 'docker'; firewalld refuses what comes from containers.",
            f"Restart Docker, which then tells firewalld of its bridges. {RESTARTED}",
            on(host, "systemctl restart docker", "firewall-cmd --get-active-zones"),
            rank=37,
        )


def _filters(case: Case, host: str) -> Facts:
    return case.part(host, "firewall", "filters") or case.part(host, "filters")


@rule("legacy-and-nft", unless=["forward-drop", "firewall-blocks", "firewall-one-way"])
def legacy_and_nft(case: Case) -> t.Iterator[Finding]:
    """Two generations of iptables, each with rules of its own."""
    for host in case.read:
        filters = _filters(case, host)
        nft, legacy = number(filters, "backends", "nft_rules"), number(filters, "backends", "legacy_rules")
        if not nft or not legacy:
            continue
        yield Finding(
            "legacy-and-nft",
            case.grave(host),
            (host,),
            f"{host} has rules in iptables-legacy ({legacy:.0f}) and in nftables ({nft:.0f})",
            quoted(host, [f"iptables-legacy-save: {legacy:.0f} rules", f"iptables-nft-save: {nft:.0f} rules"]),
            "Packets have to pass both. An accept in one does not spare the other, and most tools show one of them only.",
            "Look at the legacy rules, and remove them if nothing needs them.",
            on(host, "iptables-legacy-save", "update-alternatives --display iptables"),
            rank=45,
        )
