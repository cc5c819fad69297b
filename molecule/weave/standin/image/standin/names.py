# Stands in for Weave Net 2.9.0 in tests: names of containers, known on every host.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from standin import clock, log
from standin.mesh import LinkError, Mesh

TOMBSTONE_TIMEOUT = 1800
WINDOW = 900

Key = tuple[str, str, str, str]  # host name, origin, container, address


class Names:
    """As in the real nameserver: whoever registered an entry owns it, the higher version wins, deleted ones stay as tombstones."""

    def __init__(self, mesh: Mesh, domain: str) -> None:
        self.mesh = mesh
        self.domain = domain.lower().rstrip(".") + "."
        self.entries: dict[Key, list[int]] = {}  # version, tombstone

    def complete(self) -> dict | None:
        return {"entries": [[*key, *value] for key, value in self.entries.items()]}

    def receive(self, message: dict, sender: str) -> bool:
        skew = int(message["now"]) - int(clock.now())
        if abs(skew) > WINDOW:
            raise LinkError(f"host clock skew of {skew}s exceeds {WINDOW}s limit")
        news = False
        for *fields, version, tombstone in message["entries"]:
            key = t.cast(Key, tuple(fields))
            ours = self.entries.get(key)
            if key[1] == self.mesh.ourself.name:
                # An earlier life's: only we know whether it still holds.
                if ours and version > ours[0]:
                    ours[0] = version + 1
                    news = True
                elif not ours and not tombstone:
                    self.entries[key] = [version + 1, int(clock.now())]
                    news = True
            elif key[1] in self.mesh.peers and (not ours or version > ours[0]):
                self.entries[key] = [version, tombstone]
                news = True
        return news

    def peer_gone(self, name: str) -> None:
        self.entries = {key: value for key, value in self.entries.items() if key[1] != name}

    def add(self, fqdn: str, container: str, address: str) -> None:
        host = fqdn.lower().rstrip(".") + "."
        if not host.endswith("." + self.domain):
            log.info(
                f"[nameserver {self.mesh.ourself.name}] Ignoring registration {host} {address} {container} "
                f"(not a subdomain of {self.domain})"
            )
            return
        key = (host, self.mesh.ourself.name, container, address)
        with self.mesh.lock:
            version, tombstone = self.entries.get(key, [-1, 1])
            if tombstone:
                self.entries[key] = [version + 1, 0]
                self.mesh.broadcast("dns")

    def delete(self, fqdn: str = "*", container: str = "*", address: str = "*") -> None:
        host = fqdn if fqdn == "*" else fqdn.lower().rstrip(".") + "."
        now = int(clock.now())
        with self.mesh.lock:
            changed = False
            for key, value in list(self.entries.items()):
                if value[1] and now - value[1] > TOMBSTONE_TIMEOUT:
                    del self.entries[key]
                    continue
                wanted = host in ("*", key[0]) and container in ("*", key[2]) and address in ("*", key[3])
                if wanted and not value[1] and key[1] == self.mesh.ourself.name:
                    self.entries[key] = [value[0] + 1, now]
                    changed = True
            if changed:
                self.mesh.broadcast("dns")

    def lookup(self, host: str) -> list[str]:
        with self.mesh.lock:
            live = (key for key, value in self.entries.items() if not value[1])
            return sorted({key[3] for key in live if key[0] == host})

    def reverse(self, address: str) -> str:
        with self.mesh.lock:
            return next((key[0] for key, value in self.entries.items() if key[3] == address and not value[1]), "")

    def status(self) -> list[dict[str, t.Any]] | None:
        with self.mesh.lock:
            shown = [
                {
                    "Hostname": host,
                    "Origin": origin,
                    "ContainerID": container,
                    "Address": address,
                    "Version": version,
                    "Tombstone": tombstone,
                }
                for (host, origin, container, address), (version, tombstone) in sorted(self.entries.items())
            ]
        return shown or None
