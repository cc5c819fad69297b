# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Start the containers that Docker gave up on because the network plugin of Weave Net came up after them.

After a boot Docker brings back the containers on the network 'weave' and the router, which is that network's plugin, side by
side, and needs the plugin for the former before it has started the latter: they stay stopped. The module weave_rejoin installs
this file on the host, where a systemd unit runs it after each start of Docker. So it needs nothing but Python. It never starts
the router: Docker's restart policy does that, and two starters would race.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
import typing as t

# After a boot, and after a restart of Docker, which finds the socket of the router that has just been stopped (both from 20.10.24).
ERROR = re.compile(r'plugin "weave(mesh)?" not found|legacy plugin: .*%2Fweave(mesh)?\.sock/')
POLICIES = ("always", "unless-stopped")
BOOT_WAIT = 300.0  # seconds for Docker to start the router, and for that to serve
COMMAND = 120.0  # seconds for one call of docker; the first start after a boot may have to wait for the plugin
POLL = 2.0

Run = t.Callable[..., str]


class RejoinError(Exception):
    """Docker or the router did not do what was asked; the text says what was said."""


def docker(*words: str) -> str:
    """Run docker, bounded, and return what it printed."""
    try:
        done = subprocess.run(["docker", *words], capture_output=True, timeout=COMMAND, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise RejoinError(f"docker {' '.join(words)}: {exc}") from exc
    if done.returncode:
        raise RejoinError(f"docker {' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")


def stranded(run: Run = docker) -> list[str]:
    """The names of containers that Docker should have started and could not for want of the plugin."""
    ids = run("ps", "--all", "--quiet", "--no-trunc", "--filter", "status=exited", "--filter", "status=created").split()
    if not ids:
        return []
    found = []
    for entry in json.loads(run("container", "inspect", *ids)):
        policy = (entry["HostConfig"].get("RestartPolicy") or {}).get("Name")
        if policy in POLICIES and ERROR.search(entry["State"].get("Error") or ""):
            found.append(entry["Name"].lstrip("/"))
    return sorted(found)


def serves(address: str) -> bool:
    """Whether the router answers that it is ready, with its plugin."""
    host, _sep, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    try:
        connection.request("GET", "/status")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main(address: str, wait: float = BOOT_WAIT) -> int:
    """Wait for the router, then start what waits for it; give up after wait seconds."""
    end = time.monotonic() + wait
    while True:
        problem = f"the router of Weave Net does not serve at {address}"
        try:
            if serves(address):
                for name in stranded():
                    docker("start", name)
                    sys.stdout.write(f"started {name}\n")
                return 0
        except RejoinError as exc:
            problem = str(exc)
        if time.monotonic() >= end:
            sys.stderr.write(f"after {wait:g} s: {problem}; see 'docker logs weave' and 'docker ps -a'\n")
            return 1
        time.sleep(POLL)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
