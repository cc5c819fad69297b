# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sections that are read side by side: what one of them meets does not touch the others, and takes no longer than it may."""

from __future__ import annotations

import time
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _cli
from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section, run_all


class FakeModule:
    """A host with a shell, and a module that must not be ended."""

    def get_bin_path(self, arg: str, required: bool = False, opt_dirs: t.Sequence[str] = ()) -> str | None:
        """Only the shell is there."""
        return "/bin/sh" if arg == "sh" and not required else None

    def fail_json(self, **dummy_facts: t.Any) -> t.NoReturn:
        """Never called."""
        pytest.fail("the module itself was ended")


def section(name: str, read: t.Callable[[Section], None], timeout: float = 5) -> Section:
    """A section on that host."""
    return Section(t.cast(t.Any, FakeModule()), name, read, {"kept": 1}, timeout)


def good(here: Section) -> None:
    """Read something."""
    here.facts["found"] = here.cli("sh", "-c").read("echo yes")[1].strip()


def refused(here: Section) -> None:
    """End as a module would."""
    here.facts["before"] = True
    here.module.fail_json(msg="It is not there.", rc=1)


def broken(here: Section) -> None:
    """Meet something that nobody thought of."""
    here.facts["odd"] = {}["name"]


def hanging(here: Section) -> None:
    """Ask a daemon that hangs several times."""
    for dummy in range(5):
        here.cli("sh", "-c").run_raw("sleep 30")
    here.cli("sh", "-c").read("sleep 30")


def test_sections_fail_for_themselves() -> None:
    """What is read is returned, also of a section that fails half way."""
    sections = [section("good", good), section("refused", refused), section("broken", broken)]
    errors = run_all(sections, 5)
    assert errors == {"refused": "It is not there.", "broken": "KeyError: 'name'"}
    assert [item.facts for item in sections] == [
        {"kept": 1, "found": "yes"},
        {"kept": 1, "before": True},
        {"kept": 1},
    ]


def test_hanging_daemons_cost_one_timeout() -> None:
    """Neither questions to one daemon nor daemons add up."""
    start = time.monotonic()
    errors = run_all([section("one", hanging, 1), section("two", hanging, 1), section("good", good, 1)], 1)
    assert time.monotonic() - start < 4
    assert errors == dict.fromkeys(
        ("one", "two"), "'/bin/sh -c 'sleep 30'' was not started: the commands before it took all the time"
    )


def test_what_is_no_command_cannot_hold_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file on a server that is gone, for one."""
    monkeypatch.setattr("ansible_collections.crosshost.overlay.plugins.module_utils._info_sections.GRACE", 0)
    errors = run_all([section("stuck", lambda dummy: time.sleep(20)), section("good", good)], 0.1)
    assert errors == {"stuck": "it was not read within 0.1 seconds"}


def test_missing_tool() -> None:
    """It is a reason, not the end."""
    errors = run_all([section("x", lambda here: here.module.get_bin_path("nosuch", required=True) and None)], 5)
    assert errors == {"x": "The command 'nosuch' is not on this host"}
    here = section("x", good)
    assert not here.has("nosuch")
    assert here.ask("nosuch").rc == _cli.STATUS_NOT_STARTED


def test_limit_ends_with_the_block() -> None:
    """Commands outside of it have their own time again."""
    with _cli.limited(0):
        assert _cli.run_bounded(["true"], 5).timed_out
    assert _cli.run_bounded(["true"], 5).rc == 0
