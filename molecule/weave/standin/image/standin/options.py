# Stands in for Weave Net 2.9.0 in tests: the router's command line.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same 65 flags, read as the real one reads them: the first argument that is no flag ends them, a wrong one ends it with 125."""

from __future__ import annotations

import sys
import typing as t

BOOL = {
    "awsvpc": False,
    "expect-npc": False,
    "no-bridged-fastdp": False,
    "no-default-ipalloc": False,
    "no-discovery": False,
    "no-dns": False,
    "no-fastdp": False,
    "no-masq-local": False,
    "no-multicast-route": False,
    "no-rewrite-hosts": False,
    "pkt-debug": False,
    "plugin": False,
    "plugin-v2": False,
    "plugin-v2-multicast": False,
    "print-peer-name": False,
    "proxy": False,
    "resume": False,
    "rewrite-inspect": False,
    "tls": False,
    "tlsverify": False,
    "version": False,
    "without-dns": False,
}
INT = {"bufsz": 8, "conn-limit": 200, "dns-ttl": 1, "min-protocol-version": 1, "mtu": 0, "port": 6783}
TEXT = {
    "advertise-address": "",
    "datapath": "",
    "db-prefix": "/weavedb/weave",
    "dns-domain": "weave.local.",
    "dns-fallback-timeout": "",
    "dns-listen-address": "0.0.0.0:53",
    "docker-api": "unix:///var/run/docker.sock",
    "docker-bridge": "docker0",
    "host": "",
    "host-root": "",
    "hostname-from-label": "",
    "hostname-match": "(.*)",
    "hostname-replacement": "$1",
    "http-addr": "127.0.0.1:6784",
    "ipalloc-default-subnet": "",
    "ipalloc-init": "",
    "ipalloc-range": "",
    "log-level": "info",
    "metrics-addr": "",
    "name": "",
    "nickname": "",
    "password": "",
    "peer-discovery-url": "",
    "plugin-mesh-socket": "/run/docker/plugins/weavemesh.sock",
    "plugin-socket": "/run/docker/plugins/weave.sock",
    "proc-path": "/proc",
    "profile": "",
    "resolv-conf": "/etc/resolv.conf",
    "status-addr": "",
    "tlscacert": "",
    "tlscert": "",
    "tlskey": "",
    "token": "",
    "trusted-subnets": "",
    "weave-bridge": "weave",
}
TRUE, FALSE = {"1", "t", "true", "T", "TRUE", "True"}, {"0", "f", "false", "F", "FALSE", "False"}


def refuse(message: str) -> t.NoReturn:
    sys.stderr.write(f"{message}\nSee 'weave --help'.\n")
    sys.stderr.flush()
    raise SystemExit(125)


class Options(dict):
    """The flags by name, and what comes after them as peers."""

    def __init__(self, argv: list[str]) -> None:
        super().__init__({**BOOL, **INT, **TEXT, "H": []})
        self.given: dict[str, t.Any] = {}
        rest = list(argv)
        while rest and rest[0].startswith("-") and rest[0] != "-":
            argument = rest.pop(0)
            if argument == "--":
                break
            self._flag(argument, rest)
        self.peers = rest

    def _flag(self, argument: str, rest: list[str]) -> None:
        flag, equals, value = argument.partition("=")
        name = flag[2:] if flag.startswith("--") else "H" if flag == "-H" else ""
        if name not in self:
            refuse(f"flag provided but not defined: {flag}")
        if name in BOOL:
            if equals and value not in TRUE | FALSE:
                refuse(
                    f'invalid boolean value "{value}" for {flag}: strconv.ParseBool: parsing "{value}": invalid syntax'
                )
            self[name] = self.given[name] = not equals or value in TRUE
            return
        if not equals:
            if not rest:
                refuse(f"flag needs an argument: {flag}")
            value = rest.pop(0)
        if name in INT:
            try:
                self[name] = self.given[name] = int(value, 0)
            except ValueError:
                refuse(f'invalid value "{value}" for flag {flag}: strconv.ParseInt: parsing "{value}": invalid syntax')
        elif name == "H":
            self[name] = self.given[name] = [*self[name], value]
        else:
            self[name] = self.given[name] = value

    def shown(self) -> str:
        """As in the first line of the log, without secrets."""
        secret = {"password", "token"}
        pairs = [f"{key}:{'<redacted>' if key in secret else value}" for key, value in sorted(self.given.items())]
        return (
            f"map[{' '.join(pairs)}]".replace("True", "true")
            .replace("False", "false")
            .replace("['", "[")
            .replace("']", "]")
        )
