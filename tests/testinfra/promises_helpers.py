# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the promises have in common: runs of one backend, predictions compared with runs, and where a password must not be."""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
import tarfile
import typing as t

from doctor_helpers import QUICK, clean
from overlay_helpers import GROUP, INVENTORY, NAMES, Run, play

if t.TYPE_CHECKING:
    from testinfra.host import Host

BACKENDS = ("weave", "ovs_gre")
FIRST, SECOND, LAST = NAMES[0], NAMES[1], NAMES[-1]
USED = "h2"  # the host that molecule/promises/prepare.yml made one with a life of its own
CANARY = str(GROUP["vars"]["weave_password"])
# Neither clocks, which containers can only measure, nor packets.
BRIEF = ("--skip-tags=clock,verify",)
OVS = "ovs-vsctl --timeout=15"
ROLE = "crosshost.overlay."

# Tasks that check mode cannot foretell, and why.
NOT_FORETOLD = {
    f"{ROLE}docker_engine : Install | Install the distribution's Docker Engine": "apt knows no package while a new host's lists are empty",
    f"{ROLE}docker_engine : Install | Bring the new Docker to its settings": "foretold as a part of the task 'Bring Docker to its settings'",
    f"{ROLE}ovs_gre : Install | Install Open vSwitch": "apt knows no package while a new host's lists are empty",
    f"{ROLE}weave : Install | Remove the archive again": "check mode copies none that could be removed",
    f"{ROLE}weave : Run | Wait until it is connected to the others": "check mode starts no router to wait for",
    f"{ROLE}verify : Probe | Start a container on the overlay": "check mode sends no packets, and says so",
}
# Tasks that are foretold and find their work done by one before them.
DONE_BEFORE = {
    f"{ROLE}weave : Install | Make the folder of what is remembered": "the record of a new Docker has made it by then",
    f"{ROLE}ovs_gre : Install | Make the folder of what is remembered": "the record of a new Docker has made it by then",
}


def run(playbook: str, backend: str, *args: str, inventory: pathlib.Path = INVENTORY) -> Run:
    """Run a playbook for a backend. Whatever it prints, the password is not in it."""
    done = play(playbook, "-e", f"overlay_backend={backend}", *args, inventory=inventory)
    assert CANARY not in done.text, "the password was printed"
    return done


def quiet(backend: str) -> None:
    """Check mode has nothing to do."""
    changed = run("site", backend, "--check", *BRIEF).ok().changed
    assert changed == set(), f"{backend}: {changed}"


def proved(backend: str) -> Run:
    """A whole run, which ends well and with every pair proved."""
    done = run("site", backend, *QUICK)
    assert clean(done), done.text
    return done


def as_foretold(predicted: Run, real: Run) -> None:
    """The tasks and hosts that check mode named are those that changed, but for the tasks above."""
    unknown = {key for key in real.changed - predicted.changed if key[0] not in NOT_FORETOLD}
    assert unknown == set(), "changed, and not foretold"
    wrong = {key for key in predicted.changed - real.changed if key[0] not in DONE_BEFORE}
    assert wrong == set(), "foretold, and not changed"


def words(done: Run) -> str:
    """What it printed, as one line; a callback may have wrapped it."""
    return " ".join(done.text.split())


def extra(**values: t.Any) -> tuple[str, str]:
    """Variables for a run that are no plain texts."""
    return "-e", json.dumps(values)


def secrets_file(path: pathlib.Path, **values: str) -> tuple[str, str]:
    """Variables that do not belong on a command line."""
    path.write_text(json.dumps(values), encoding="utf-8")
    path.chmod(0o600)
    return "-e", f"@{path}"


def release(folder: pathlib.Path, version: str, damaged: bool = False) -> tuple[str, str]:
    """Variables for another release of Weave Net: the script and the images that there are, under another number."""
    script, archive = folder / "weave", folder / "images.tar"
    text = pathlib.Path(GROUP["vars"]["weave_script_file"]).read_text(encoding="utf-8")
    script.write_text(re.sub(r'(SCRIPT_VERSION="?)[0-9][0-9.]*', rf"\g<1>{version}", text), encoding="utf-8")
    with tarfile.open(GROUP["vars"]["weave_image_archive"]) as source, tarfile.open(archive, "w") as target:
        for member in source:
            content = source.extractfile(member)
            if member.name == "manifest.json" and content:
                renamed = re.sub(rb"(/weave(?:exec)?:)[0-9][0-9.]*", rf"\g<1>{version}".encode(), content.read())
                member.size, content = len(renamed), io.BytesIO(renamed)
            target.addfile(member, content)
    if damaged:
        os.truncate(archive, 1_000_000)
    return extra(weave_version=version, weave_script_file=str(script), weave_image_archive=str(archive))


# Where a password must not be


class Watch:
    """Looks at a host's process list five times a second for a password, for as long as it lasts, at most three minutes."""

    def __init__(self, host: Host, secret: str = CANARY) -> None:
        self.host, self.secret = host, secret

    def __enter__(self) -> t.Self:
        # What looks for it has it in its own arguments, and is left out by its own name.
        look = f"ps axww -o args | grep -v grep | grep -q -e {self.secret} && touch /root/seen"
        self.host.check_output(
            f"rm -f /root/seen; setsid sh -c 'for i in $(seq 900); do {look}; sleep 0.2; done' > /dev/null 2>&1 < /dev/null &"
            " echo $! > /root/watch.pid"
        )
        return self

    def __exit__(self, *dummy: object) -> None:
        self.host.run("kill -9 -- -$(cat /root/watch.pid); rm -f /root/watch.pid")

    def seen(self) -> bool:
        """Whether it was in the arguments of a process."""
        found: bool = self.host.file("/root/seen").exists
        return found


def left_lying(host: Host, secret: str = CANARY) -> list[str]:
    """Files with a password that anybody can read, and lines of the journal."""
    folders = "/etc /var /run /tmp /root /home /usr/local"
    files = host.run(f"timeout 100 runuser -u nobody -- grep -rlsI --devices=skip -e {secret} {folders}").stdout
    journal = host.run(f"journalctl --no-pager | grep -e {secret}").stdout
    return [*files.splitlines(), *journal.splitlines()]


def started(host: Host, *containers: str) -> str:
    """Identity and start of containers; they change with every restart."""
    return host.check_output(f"docker inspect -f '{{{{.Id}}}} {{{{.State.StartedAt}}}}' {' '.join(containers)}")


def main_pid(host: Host, unit: str) -> str:
    """The process of a unit; it changes with every restart."""
    return host.check_output(f"systemctl show --property=MainPID --value {unit}")


def ports(host: Host) -> set[str]:
    """The tunnels of the overlay's bridge."""
    found = host.run(f"{OVS} list-ports br-overlay").stdout.split()
    return {name for name in found if re.match(r"gre-", name)}
