# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The words that findings are made of: hosts in a sentence, evidence, commands to copy. Pure."""

from __future__ import annotations

import typing as t

PLAYBOOK = "ansible-playbook crosshost.overlay"
WEAVE = "-e overlay_backend=weave"
# What some cures cost.
RESTARTED = (
    "Where live-restore is off that stops all containers of the host, and those without a restart policy stay down."
)
MADE_ANEW = "Containers lose their connections while their network is made anew."


def quoted(host: str, lines: t.Iterable[str], most: int = 5) -> tuple[str, ...]:
    """Put the host in front of each line, for the evidence; of many lines the last ones."""
    return tuple(f"{host}: {line.strip()}" for line in [line for line in lines if line.strip()][-most:])


def listed(hosts: t.Sequence[str], most: int = 6) -> str:
    """Name hosts in a sentence."""
    names = list(hosts)
    if len(names) > most:
        return ", ".join(names[:most]) + f" and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def on(host: str, *commands: str) -> tuple[str, ...]:
    """Write shell commands for a host."""
    return tuple(f"{host}$ {command}" for command in commands)


def site(tags: str = "", limit: t.Sequence[str] = (), **options: str) -> str:
    """Write the call of the playbook that repairs."""
    words = [f"{PLAYBOOK}.site", f"--tags {tags}" if tags else "", f"--limit {','.join(limit)}" if limit else ""]
    return " ".join([word for word in words if word] + [f"-e {key}={value}" for key, value in options.items()])


def teardown(host: str, **options: str) -> str:
    """Write the call of the playbook that takes Weave Net away from one host."""
    return " ".join(
        [f"{PLAYBOOK}.teardown {WEAVE} --limit {host}"] + [f"-e {key}={value}" for key, value in options.items()]
    )


def for_weave(command: str) -> str:
    """Have the playbook that repairs know that it is about Weave Net: unless it is told, it is about Open vSwitch."""
    return f"{command} {WEAVE}" if command.startswith(f"{PLAYBOOK}.site") else command


def sentence(text: str) -> str:
    """Make a sentence of a remedy as the modules name it, in the middle of theirs."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
