# Stands in for Weave Net 2.9.0 in tests: the router's start and end.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import sys
import threading

from standin import identity, log
from standin.options import Options
from standin.report import VERSION
from standin.router import SENTINEL, Router, stop


def initial_peers(router: Router, options: Options) -> list[str]:
    """A restart of the container goes on with what it had, a launch takes what it is given."""
    if os.path.exists(SENTINEL) or options["resume"]:
        stored = router.store.load("directPeers") or []
        log.info(f"Restart/resume detected - using persisted peer list: [{' '.join(stored)}]")
        return stored
    log.info(f"Launch detected - using supplied peer list: [{' '.join(options.peers)}]")
    return options.peers


def main(argv: list[str]) -> None:
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write("weaver")
    options = Options(argv)
    if options["version"]:
        sys.stdout.write(f"weave {VERSION}\n")
        return
    name = identity.name_of(options["name"], options["weave-bridge"], options["host-root"])
    if options["print-peer-name"]:
        sys.stdout.write(f"{name}\n")
        return
    if options["resume"] and options.peers:
        log.fatal("You must not specify an initial peer list in conjunction with --resume")
    log.set_level(options["log-level"])
    log.info(f"Command line options: {options.shown()}")
    log.info(f"weave  {VERSION}")
    log.info("This is the stand-in for tests, not Weave Net.")

    router = Router(options, name)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *dummy: ended.set())
    router.start(initial_peers(router, options))
    while not ended.wait(1):
        pass
    log.info("=== received SIGINT/SIGTERM ===\n*** exiting")
    stop(router)


main(sys.argv[1:])
