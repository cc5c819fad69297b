# Stands in for Weave Net 2.9.0 in tests: the rules that weave adds to the host's firewall.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""As net/bridge.go of the real one: FORWARD rules at the top, INPUT rules at the end, nothing opened for other peers."""

from __future__ import annotations

import time

from standin import log, tools

CANARY = "WEAVE-CANARY"
TABLES = ("mangle", "nat", "filter")


def iptables(table: str, *argv: str) -> bool:
    return tools.attempt("iptables", "-w", "-t", table, *argv)


def append_unique(table: str, chain: str, *rule: str) -> None:
    if not iptables(table, "-C", chain, *rule):
        iptables(table, "-A", chain, *rule)


class Firewall:
    def __init__(self, bridge: str, docker_bridge: str, docker_ip: str, port: int, control_port: str) -> None:
        self.bridge, self.docker_bridge, self.docker_ip = bridge, docker_bridge, docker_ip
        self.port, self.control_port = port, control_port

    def reset(self) -> None:
        for table, chain in (("filter", "WEAVE-EXPOSE"), ("nat", "WEAVE")):
            if not iptables(table, "-N", chain):
                iptables(table, "-F", chain)

    def configure(self) -> None:
        docker, weave = self.docker_bridge, self.bridge
        forward: list[tuple[str, ...]] = []
        if docker:
            forward.append(("-i", docker, "-o", weave, "-j", "DROP"))
            for protocol, port in (("tcp", self.port), ("udp", self.port), ("udp", self.port + 1)):
                destination = ("-p", protocol, "--dst", self.docker_ip, "--dport", str(port))
                append_unique("filter", "INPUT", "-i", docker, *destination, "-j", "DROP")
            for protocol in ("udp", "tcp"):
                append_unique("filter", "INPUT", "-i", docker, "-p", protocol, "--dport", "53", "-j", "ACCEPT")
        if self.control_port:
            rule = f"-p tcp --dst 127.0.0.1 --dport {self.control_port} -m addrtype ! --src-type LOCAL"
            comment = ("-m", "comment", "--comment", "Block non-local access to Weave Net control port")
            state = "-m conntrack ! --ctstate RELATED,ESTABLISHED"
            append_unique("filter", "INPUT", *rule.split(), *state.split(), *comment, "-j", "DROP")
        iptables("filter", "-N", "WEAVE-EXPOSE")
        forward += [
            ("-i", weave, "-o", weave, "-j", "ACCEPT"),
            ("-o", weave, "-j", "WEAVE-EXPOSE"),
            ("-i", weave, "!", "-o", weave, "-j", "ACCEPT"),
            ("-o", weave, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"),
        ]
        for rule_ in forward:
            iptables("filter", "-D", "FORWARD", *rule_)
        for rule_ in reversed(forward):
            iptables("filter", "-I", "FORWARD", *rule_)
        iptables("nat", "-N", "WEAVE")
        append_unique("nat", "POSTROUTING", "-j", "WEAVE")

    def expose(self, cidr: str, skip_nat: bool) -> None:
        if not skip_nat:
            append_unique("nat", "WEAVE", "-d", cidr, "!", "-s", cidr, "-j", "MASQUERADE")
            append_unique("nat", "WEAVE", "-s", cidr, "!", "-d", cidr, "-j", "MASQUERADE")
        append_unique("filter", "WEAVE-EXPOSE", "-d", cidr, "-j", "ACCEPT")

    def reexpose(self) -> None:
        for entry in tools.show("-4", "addr", "show", "dev", self.bridge):
            for address in entry.get("addr_info", []):
                cidr = f"{address['local']}/{address['prefixlen']}"
                log.info(f'Re-exposing {cidr} on bridge "{self.bridge}"')
                self.expose(cidr, False)

    def watch(self) -> None:
        """A flush takes the canaries away in all tables; a single deleted rule is not noticed."""
        for table in TABLES:
            iptables(table, "-N", CANARY)
        while True:
            time.sleep(10)
            if not all(iptables(table, "-S", CANARY) for table in TABLES):
                if any(iptables(table, "-S", CANARY) for table in TABLES):
                    continue
                log.info("Re-configuring iptables")
                for table in TABLES:
                    iptables(table, "-N", CANARY)
                self.configure()
                self.reexpose()
