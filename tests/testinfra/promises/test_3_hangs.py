# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""With a daemon that hangs, a run ends within the limits that its options state, and says which one it is.

Each is stopped with SIGSTOP on a host of its own, and that host gets a run of its own; three at a time, because most of it is waiting.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import re
import time

import pytest
from overlay_helpers import Run, side_by_side, wait_for
from promises_bystanders import Bystanders
from promises_helpers import BRIEF, FIRST, LAST, SECOND, run
from testinfra.host import Host
from weave_helpers import Links

DOCKER_TIMEOUT = 10  # docker_engine_timeout of these runs
READ = 20  # overlay_info, weave_info: a section of what is read
CALL = 15  # docker_daemon: one call of docker; ovs_gre_timeout
BACKSTOP = 5  # what a tool of Open vSwitch gets beyond its own limit
API, STOP, LAUNCH, READY = (
    10,
    10,
    180,
    60,
)  # weave_launch: an answer, the end of a router, weave_launch_timeout, weave_wait_timeout
RUN = 60  # the rest of a run, which takes a sixth of that on a machine with nothing else to do


@dataclasses.dataclass(frozen=True)
class Hang:
    """A daemon of a host. limit is the sum of the stated ones, in seconds. says is what the error has to say, empty where the run cures it."""

    host: str
    backend: str
    process: str  # a command that prints its process id
    limit: int
    says: str


# Each in one of two rounds, none on a host twice in a round. Docker on the second host has the bystanders.
ROUNDS: tuple[dict[str, Hang], ...] = (
    {
        "docker": Hang(
            FIRST,
            "ovs_gre",
            "pidof dockerd",
            READ + DOCKER_TIMEOUT + CALL,
            "docker.service is active, but Docker did not answer",
        ),
        "ovs-vswitchd": Hang(SECOND, "ovs_gre", "pidof ovs-vswitchd", CALL + BACKSTOP, "ovs-vswitchd does not answer"),
        # Docker asks containerd, so it is Docker that does not answer.
        "containerd": Hang(
            LAST,
            "weave",
            "pidof containerd",
            2 * READ + DOCKER_TIMEOUT + CALL,
            "containerd|docker.service is active, but Docker did not answer",
        ),
    },
    {
        "ovsdb-server": Hang(
            FIRST, "ovs_gre", "pidof ovsdb-server", READ + CALL + BACKSTOP, "Open vSwitch does not answer"
        ),
        "weave": Hang(SECOND, "weave", "docker inspect -f '{{.State.Pid}}' weave", 3 * API + STOP + LAUNCH + READY, ""),
        "docker of routers": Hang(
            LAST,
            "weave",
            "pidof dockerd",
            2 * READ + DOCKER_TIMEOUT + CALL,
            "docker.service is active, but Docker did not answer",
        ),
    },
)
HANGS = {name: hang for chosen in ROUNDS for name, hang in chosen.items()}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended, and after how many seconds."""

    run: Run
    seconds: float


def hung(hosts: dict[str, Host], chosen: dict[str, Hang]) -> dict[str, Outcome]:
    """Stop these daemons, run site.yml on each of their hosts, and let them go on whatever happens."""
    pids = {name: hosts[hang.host].check_output(hang.process) for name, hang in chosen.items()}

    def one(name: str) -> Outcome:
        hang = chosen[name]
        began = time.monotonic()
        done = run("site", hang.backend, *BRIEF, "--limit", hang.host, "-e", f"docker_engine_timeout={DOCKER_TIMEOUT}")
        return Outcome(done, time.monotonic() - began)

    try:
        for name, hang in chosen.items():
            hosts[hang.host].check_output(f"kill -STOP {pids[name]}")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return dict(zip(chosen, pool.map(one, chosen), strict=True))
    finally:
        for name, hang in chosen.items():
            hosts[hang.host].run(f"kill -CONT {pids[name]}")  # one that the run has cured is gone
        side_by_side(lambda name: awake(hosts[chosen[name].host]), chosen)


def awake(host: Host) -> None:
    """Wait until Docker and Open vSwitch answer."""
    alive = "timeout 10 docker info > /dev/null && timeout 10 ovs-appctl version > /dev/null && ovs-vsctl --timeout=10 show > /dev/null"
    wait_for("all daemons answer", lambda: bool(host.run(alive).rc == 0), 60)


@pytest.fixture(scope="module")
def outcomes(hosts: dict[str, Host]) -> dict[str, Outcome]:
    """What became of all of them."""
    found: dict[str, Outcome] = {}
    for chosen in ROUNDS:
        found |= hung(hosts, chosen)
    return found


@pytest.mark.parametrize("name", HANGS)
def test_what_hangs_is_named_in_time(hosts: dict[str, Host], outcomes: dict[str, Outcome], name: str) -> None:
    """Or cured, where a run can: a router that does not answer is launched anew."""
    hang, outcome = HANGS[name], outcomes[name]
    assert outcome.seconds < hang.limit + RUN, f"{outcome.seconds:.0f} seconds\n{outcome.run.text}"
    if hang.says:
        assert outcome.run.status != 0, outcome.run.text
        assert re.search(hang.says, " ".join(outcome.run.text.split())), outcome.run.text
    else:
        outcome.run.ok()
        assert Links(hosts).api(hang.host, "/status")[0] == 0


@pytest.mark.usefixtures("outcomes")
def test_they_go_on_as_if_nothing_had_been(hosts: dict[str, Host], bystanders: Bystanders) -> None:
    """Nobody restarted what hung, and a run on each host finds what it left."""
    Links(hosts).settle()
    for backend in ("ovs_gre", "weave"):
        run("site", backend, *BRIEF).ok()
    bystanders.check()
