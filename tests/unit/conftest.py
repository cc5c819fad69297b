# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures for all unit tests: a scripted stand-in for the tools on a host, and main() run with options."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli, Result

FIXTURES = pathlib.Path(__file__).parent / "fixtures"


class FakeCli:
    """A script of commands and their answers.

    Commands must come exactly as scripted: the same words in the same order, none missing, none besides.
    The first word is the name of the tool, without a path.
    """

    def __init__(self) -> None:
        self.script: list[tuple[tuple[str, ...], Result]] = []
        self.environments: list[dict[str, str]] = []
        self.missing: set[str] = set()

    def expect(self, *argv: str, rc: int = 0, out: str = "", err: str = "", timed_out: bool = False) -> FakeCli:
        """Add a command with its answer; returns the script, for chaining."""
        self.script.append((argv, Result(argv, rc, out, err, timed_out, 1)))
        return self

    def answer(self, cli: Cli, *args: str, timeout: float | None = None) -> Result:
        """What Cli.run_raw() returns instead of starting a process."""
        argv = (cli._base[0].rpartition("/")[2], *cli._base[1:], *args)
        if not self.script:
            pytest.fail(f"unexpected command: {argv}")
        expected, result = self.script.pop(0)
        assert argv == expected
        self.environments.append(dict(cli._env))
        return result


@pytest.fixture
def fake_cli(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[FakeCli]:
    """Replace every process the modules would start by a script, all of which has to be used."""
    fake = FakeCli()

    def get_bin_path(dummy_self: AnsibleModule, arg: str, *dummy_args: t.Any, **dummy_kwargs: t.Any) -> str | None:
        return None if arg in fake.missing else f"/usr/bin/{arg}"

    monkeypatch.setattr(Cli, "run_raw", lambda self, *args, timeout=None: fake.answer(self, *args, timeout=timeout))
    monkeypatch.setattr(AnsibleModule, "get_bin_path", get_bin_path)
    yield fake
    assert not fake.script, f"commands that were not run: {[argv for argv, dummy in fake.script]}"


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str]) -> t.Callable[..., dict[str, t.Any]]:
    """Return a function that calls a module's main() with options and returns its answer."""

    def run(main: t.Callable[[], None], check_mode: bool = False, **options: t.Any) -> dict[str, t.Any]:
        with patch_module_args({**options, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as caught:
            main()
        answer = json.loads(capsys.readouterr().out)
        assert bool(answer.get("failed")) == bool(caught.value.code)
        return answer

    return run


@pytest.fixture
def fixture_text() -> t.Callable[[str], str]:
    """Return a function that reads a recorded answer of a real tool."""
    return lambda name: (FIXTURES / name).read_text(encoding="utf-8")
