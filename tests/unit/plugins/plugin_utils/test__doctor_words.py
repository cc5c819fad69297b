# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Commands and sentences as they are told."""

from __future__ import annotations

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _doctor_words as words

SITE = "ansible-playbook crosshost.overlay.site"


def test_playbooks() -> None:
    assert words.site() == SITE
    assert words.site("weave", ["h1", "h2"], weave_version="2.9.0") == (
        f"{SITE} --tags weave --limit h1,h2 -e weave_version=2.9.0"
    )
    assert words.teardown("h1", weave_reset_force="true") == (
        "ansible-playbook crosshost.overlay.teardown -e overlay_backend=weave --limit h1 -e weave_reset_force=true"
    )


def test_site_is_told_of_weave_net_and_nothing_else_is() -> None:
    assert words.for_weave(words.site("weave")) == f"{SITE} --tags weave -e overlay_backend=weave"
    assert words.for_weave("h1$ docker start weave") == "h1$ docker start weave"
    assert words.for_weave(words.teardown("h1")) == words.teardown("h1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the database /weavedb/weavedata.db is in use", "The database /weavedb/weavedata.db is in use."),
        ("set ESP free.", "Set ESP free."),
    ],
)
def test_sentence(text: str, expected: str) -> None:
    """Names in it keep their capitals."""
    assert words.sentence(text) == expected
