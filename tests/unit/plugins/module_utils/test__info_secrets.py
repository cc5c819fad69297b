# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing that is secret is shown."""

from __future__ import annotations

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _info_secrets

CANARY = "canary4711"


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["--password=" + CANARY, "10.0.0.2"], id="joined"),
        pytest.param(["--password", CANARY, "10.0.0.2"], id="apart"),
        pytest.param(["-password", CANARY, "10.0.0.2"], id="one dash"),
        pytest.param(["--token=" + CANARY, "10.0.0.2"], id="token"),
    ],
)
def test_words(argv: list[str]) -> None:
    """The secret is hidden, the word behind it is not."""
    shown = _info_secrets.words(argv)
    assert CANARY not in " ".join(shown)
    assert shown[-1] == "10.0.0.2"


def test_words_that_are_none() -> None:
    """A flag that only sounds like one is left alone."""
    argv = ["--trusted-subnets=10.0.0.0/8", "--no-dns", "password"]
    assert _info_secrets.words(argv) == argv


def test_options() -> None:
    """By their names."""
    options = {"psk": CANARY, "key": "7", "remote_ip": "10.0.0.2", "WEAVE_PASSWORD": CANARY, "password": ""}
    assert _info_secrets.options(options) == {
        "psk": "(hidden)",
        "key": "7",
        "remote_ip": "10.0.0.2",
        "WEAVE_PASSWORD": "(hidden)",
        "password": "",
    }
    assert _info_secrets.secrets_of(options) == {CANARY}


@pytest.mark.parametrize(
    "line",
    [
        f"INFO: Command line options: map[password:{CANARY} port:6783]",
        f"WEAVE_PASSWORD={CANARY} is set",
        f"option 'psk={CANARY}' refused",
        f'{{"password": "{CANARY}"}}',
        f"weaver --password {CANARY} 10.0.0.2",
        f"something said {CANARY} in passing",
    ],
)
def test_text(line: str) -> None:
    """Known secrets anywhere, others beside their names."""
    assert CANARY not in _info_secrets.text(line, [CANARY])


@pytest.mark.parametrize(
    "line",
    [
        "no password specificed, but peer requested an encrypted connection",
        "password specified, but peer requested an unencrypted connection",
        "2026-11-27T04:47:35.811Z|00052|ofproto|WARN|br-tun: could not add port gre-dup (File exists)",
    ],
)
def test_text_that_has_none(line: str) -> None:
    """What routers say of passwords is what a diagnosis needs."""
    assert _info_secrets.text(line) == line


def test_short_secret() -> None:
    """A word of three letters is not cut out of everything."""
    assert _info_secrets.text("the router", ["the"]) == "the router"
