# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What must not be shown: passwords and keys in options, arguments and log lines."""

from __future__ import annotations

import re
import typing as t

HIDDEN = "(hidden)"
SECRET_NAME = re.compile(r"(^|[_-])(psk|pass|password|passwd|passphrase|secret|token|private_key)$", re.IGNORECASE)
# "--password=x", "--password x", "WEAVE_PASSWORD=x", "psk: x"
IN_TEXT = re.compile(
    r"(?P<name>\b[\w-]*(?:psk|password|passwd|passphrase|secret|token))(?P<sign>\s*[=:]\s*|(?<=-password)\s+)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s,\]})\"']+)",
    re.IGNORECASE,
)
SHORTEST = 4  # characters; a shorter secret is only hidden where its name stands beside it


def options(values: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The options with secrets hidden."""
    return {name: HIDDEN if SECRET_NAME.search(name) and value else value for name, value in values.items()}


def secrets_of(values: t.Mapping[str, t.Any]) -> set[str]:
    """The secrets among the options."""
    return {str(value) for name, value in values.items() if SECRET_NAME.search(name) and value}


def words(argv: t.Iterable[str]) -> list[str]:
    """The words of a command line with secrets hidden, as '--password=x' and as '--password x'."""
    shown: list[str] = []
    hide_next = False
    for word in argv:
        flag, sign, value = word.partition("=")
        secret = flag.startswith("-") and bool(SECRET_NAME.search(flag.lstrip("-")))
        if hide_next:
            shown.append(HIDDEN)
        elif secret and sign and value:
            shown.append(f"{flag}={HIDDEN}")
        else:
            shown.append(word)
        hide_next = secret and not sign and not hide_next
    return shown


def text(line: str, known: t.Iterable[str] = ()) -> str:
    """A line of a log without the known secrets, and without what looks like one."""
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= SHORTEST:
            line = line.replace(secret, HIDDEN)
    return IN_TEXT.sub(lambda match: f"{match['name']}{match['sign']}{HIDDEN}", line)
