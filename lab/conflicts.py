# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print what stands in the way of a lab, one line each: names and subnets the Docker Engine has given to somebody else.

usage: conflicts.py LAB_NAME --subnets SUBNET... --names NAME...
"""

from __future__ import annotations

import argparse
import ipaddress
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator

LABEL = "crosshost.overlay.lab"


def docker(*args: str) -> subprocess.CompletedProcess[str]:
    """Run a docker command."""
    return subprocess.run(["docker", *args], capture_output=True, text=True, check=False, timeout=60)


def ids(kind: str, *options: str) -> list[str]:
    """Return the identifiers of all objects of a kind."""
    run = docker(kind, "ls", "--quiet", *(["--all"] if kind == "container" else []), *options)
    if run.returncode:
        raise SystemExit(f"'docker {kind} ls' failed with status {run.returncode}: {run.stderr.strip()}")
    return run.stdout.split()


def foreign(kind: str, lab: str) -> list[dict]:
    """Return the inspected objects of a kind that do not carry the label of this lab."""
    ours = ids(kind, "--filter", f"label={LABEL}={lab}")
    others = [ident for ident in ids(kind) if ident not in ours]
    # The status says that one of them has gone since, which is no conflict; the answer holds the rest.
    return json.loads(docker(kind, "inspect", *others).stdout or "[]") if others else []


def conflicts(lab: str, subnets: list[str], names: list[str]) -> Iterator[str]:
    """Yield one sentence for every name or subnet that is taken."""
    for kind in ("container", "volume", "network"):
        for it in foreign(kind, lab):
            name = it["Name"].lstrip("/")
            if name in names:
                yield f"There is a {kind} '{name}' without the label {LABEL}={lab}."
            taken = [config["Subnet"] for config in (it.get("IPAM") or {}).get("Config") or [] if config.get("Subnet")]
            for mine, theirs in itertools.product(subnets, taken):
                if ipaddress.ip_network(mine).overlaps(ipaddress.ip_network(theirs)):
                    yield f"The subnet {mine} overlaps {theirs} of the Docker network '{name}'."


def main() -> None:
    """Read the arguments and print the sentences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lab")
    parser.add_argument("--subnets", nargs="+", default=[])
    parser.add_argument("--names", nargs="+", default=[])
    args = parser.parse_args()
    sys.stdout.writelines(f"{line}\n" for line in conflicts(args.lab, args.subnets, args.names))


if __name__ == "__main__":
    main()
