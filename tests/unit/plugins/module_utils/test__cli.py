# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import time
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli, CliError, Result


class Failed(Exception):
    """Stands for the end of the module."""


class FakeModule:
    """The few things Cli needs of AnsibleModule."""

    def __init__(self, check_mode: bool = False) -> None:
        self.check_mode = check_mode
        self.failure: dict[str, t.Any] = {}

    def get_bin_path(self, arg: str, required: bool = False, opt_dirs: t.Sequence[str] = ()) -> str | None:
        return f"/bin/{arg}" if os.path.exists(f"/bin/{arg}") else None

    def fail_json(self, **facts: t.Any) -> t.NoReturn:
        self.failure = facts
        raise Failed


def shell(module: t.Any, **options: t.Any) -> Cli:
    return Cli(module, "sh", "-c", **options)


def test_read_returns_status_and_output() -> None:
    assert shell(FakeModule(check_mode=True)).read("echo out; exit 3", ok=(0, 3)) == (3, "out\n")


def test_read_full_returns_standard_error_too() -> None:
    assert shell(FakeModule()).read_full("echo out; echo err >&2") == (0, "out\n", "err\n")


def test_arguments_reach_the_tool_without_a_shell(tmp_path: pathlib.Path) -> None:
    canary = tmp_path / "canary"
    words = [f"$(touch {canary})", "a b", "--", f"; touch {canary}"]
    out = Cli(FakeModule(), "printf", "%s\n").read(*words)[1]
    assert out.splitlines() == words
    assert not canary.exists()


def test_the_locale_is_c_and_the_environment_is_passed_on() -> None:
    cli = shell(FakeModule(), env={"EXTRA": "x"})
    assert cli.read("echo $LC_ALL $LANGUAGE $EXTRA $PATH")[1].strip() == f"C C x {os.environ['PATH']}"


def test_failure_says_command_status_and_reason() -> None:
    module = FakeModule()
    with pytest.raises(Failed):
        shell(module).read("echo; echo ' the reason ' >&2; echo more >&2; exit 7")
    assert module.failure["msg"].endswith("failed with status 7: the reason")
    assert module.failure["rc"] == 7
    assert module.failure["stderr"] == " the reason \nmore\n"
    assert module.failure["cmd"].startswith("/bin/sh -c 'echo;")


def test_a_missing_tool_is_named_with_its_package() -> None:
    module = FakeModule()
    with pytest.raises(Failed):
        Cli(module, "no-such-tool", package="the-package")
    assert "'no-such-tool'" in module.failure["msg"]
    assert "'the-package'" in module.failure["msg"]


@pytest.mark.parametrize("check_mode", [False, True], ids=["run", "check"])
def test_write_is_recorded_always_and_run_outside_check_mode(tmp_path: pathlib.Path, check_mode: bool) -> None:
    canary = tmp_path / "canary"
    cli = Cli(FakeModule(check_mode), "touch")
    cli.write(str(canary), f"{canary} 2")
    assert cli.commands == [f"/bin/touch {canary} '{canary} 2'"]
    assert canary.exists() is not check_mode


@pytest.mark.parametrize("check_mode", [False, True], ids=["run", "check"])
def test_try_write_raises_so_that_the_caller_can_put_things_back(check_mode: bool) -> None:
    cli = shell(FakeModule(check_mode))
    if check_mode:
        cli.try_write("exit 9")
    else:
        with pytest.raises(CliError, match="status 9") as caught:
            cli.try_write("exit 9")
        assert caught.value.result.rc == 9
    assert cli.commands == ["/bin/sh -c 'exit 9'"]


def test_a_timeout_stops_the_children_too(tmp_path: pathlib.Path) -> None:
    pid_file = tmp_path / "pid"
    begin = time.monotonic()
    result = shell(FakeModule()).run_raw(f"echo first; sleep 60 & echo $! > {pid_file}; wait", timeout=0.5)
    assert time.monotonic() - begin < 5
    assert result.timed_out
    assert result.out == "first\n"
    assert "did not end within 0.5 seconds" in result.message
    stat = pathlib.Path("/proc", pid_file.read_text(encoding="utf-8").strip(), "stat")
    end = time.monotonic() + 5
    while stat.exists() and ") Z " not in stat.read_text(encoding="utf-8") and time.monotonic() < end:
        time.sleep(0.05)
    assert not stat.exists() or ") Z " in stat.read_text(encoding="utf-8")


def test_a_timeout_fails_the_module() -> None:
    module = FakeModule()
    with pytest.raises(Failed):
        shell(module, timeout=0.2).read("sleep 60", ok=(0, 124))
    assert "did not end within 0.2 seconds" in module.failure["msg"]


def test_a_command_line_that_is_too_long_is_a_failure_not_a_crash() -> None:
    result = shell(FakeModule()).run_raw("x" * 200_000)
    assert result.rc == 126
    assert "Argument list too long" in result.reason


@pytest.mark.parametrize(
    ("out", "err", "reason"),
    [
        ("", "", "no output"),
        ("from out\n", "", "from out"),
        ("from out\n", "\n  from err\nmore\n", "from err"),
    ],
    ids=["nothing", "only-out", "err-first"],
)
def test_reason(out: str, err: str, reason: str) -> None:
    assert Result(("tool",), 1, out, err).reason == reason


def test_a_long_command_is_cut_in_the_message_only() -> None:
    result = Result(("tool", "x" * 1000), 1, "", "why")
    assert len(result.message) < 400
    assert len(result.failure()["cmd"]) > 1000
