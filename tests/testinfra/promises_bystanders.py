# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What somebody else has on a host: two TCP connections that last, and things that nobody but their owner may change."""

from __future__ import annotations

import socket
import threading
import time
import typing as t

from overlay_helpers import BUSYBOX, GROUP, NAMES, differences
from promises_helpers import OVS, USED

if t.TYPE_CHECKING:
    from testinfra.host import Host

INSIDE, OUTSIDE = 7007, 7008
NAMES_OF = ("talker-inside", "listener-inside", "talker-outside")
PATIENCE = 10  # seconds for the next lines to come
# Numbers, ten a second. Whoever is connected first gets them, and nobody after that: a second connection cannot hide the end of the first.
TALK = f"i=0; while :; do echo $i; i=$((i+1)); {BUSYBOX} sleep 0.1; done | {BUSYBOX} nc -l -p %d"
# The sleep keeps the input open: nc would otherwise end the connection from its side at once.
LISTEN = f"{BUSYBOX} sleep 99999 | {BUSYBOX} nc %s %d > /heard"
OWN = {
    "network": "docker network inspect -f '{{.Id}} {{.IPAM.Config}}' bystanders",
    "bridge of Docker": "ip -brief link show type bridge | awk '{print $1}' | grep ^br- | grep -v overlay | sort",
    "iptables": "iptables -S INPUT | grep bystander",
    "nftables": "nft list table inet bystander",
    "daemon.json": "python3 -c \"import json; print(json.load(open('/etc/docker/daemon.json'))['log-opts'])\"",
    "bridge of Open vSwitch": f"{OVS} list-ports br-bystander; {OVS} get Interface by-gre options",
    "route": "ip route show 203.0.113.0/24 | awk '{print $1, $2, $3}'",
    "containers": "docker inspect -f '{{.Id}} {{.State.StartedAt}}' bystander bystander-default",
    "Docker": "systemctl show --property=MainPID --value docker",
}


class Bystanders:
    """Containers with a network of their own, one connection between two of them and one from outside by a published port."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.lines: list[str] = []
        self._rest = b""
        self._ended = ""
        self._socket: socket.socket | None = None
        self._own: dict[str, str] = {}

    def start(self) -> None:
        """Connect, once and for all."""
        self._run("talker-inside", "", TALK % INSIDE)
        self._run("talker-outside", f"-p {OUTSIDE}:{OUTSIDE}", TALK % OUTSIDE)
        address = self.host.check_output(
            "docker inspect -f '{{.NetworkSettings.Networks.bystanders.IPAddress}}' talker-inside"
        )
        time.sleep(1)
        self._run("listener-inside", "", LISTEN % (address, INSIDE))
        self._socket = socket.create_connection((GROUP["hosts"][USED]["ansible_host"], OUTSIDE), timeout=10)
        self._socket.settimeout(None)
        threading.Thread(target=self._listen, args=(self._socket,), daemon=True).start()
        self._own = self._belongings()
        self.check()

    def stop(self) -> None:
        """Take all of it away, whatever became of it."""
        if self._socket:
            self._socket.close()
        self.host.run(f"docker rm -f {' '.join(NAMES_OF)}")

    def check(self) -> None:
        """Both connections go on without a gap, and what is not ours is as it was."""
        before = len(self.lines), len(self._inside())
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not (len(self.lines) > before[0] + 5 and len(self._inside()) > before[1] + 5):
            time.sleep(0.5)
        assert not self._ended, f"the connection from outside ended: {self._ended}"
        for what, lines, then in (
            ("from outside", list(self.lines), before[0]),
            ("between two containers", self._inside(), before[1]),
        ):
            assert lines == [str(number) for number in range(len(lines))], f"bytes are missing on the connection {what}"
            assert len(lines) > then + 5, f"nothing came on the connection {what} for {PATIENCE} seconds"
        assert differences(self._own, self._belongings()) == []

    def _run(self, name: str, options: str, words: str) -> None:
        self.host.check_output(
            f"docker rm -f {name} 2> /dev/null; docker run -d --name {name} --network bystanders {options} bystander:1 {BUSYBOX} sh -c '{words}'"
        )

    def _inside(self) -> list[str]:
        text = self.host.check_output(f"docker exec listener-inside {BUSYBOX} cat /heard")
        return text[: text.rfind("\n") + 1].split()

    def _listen(self, source: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                *lines, self._rest = (self._rest + data).split(b"\n")
                self.lines += [line.decode() for line in lines]
            self._ended = "the other side closed it"
        except OSError as exc:
            self._ended = str(exc)

    def _belongings(self) -> dict[str, str]:
        return {what: self.host.run(command).stdout for what, command in OWN.items()}


def there() -> bool:
    """Whether this inventory has the host that bystanders are on."""
    return USED in NAMES
