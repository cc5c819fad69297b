# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The one place where the modules start a process: bounded, without a shell, in the C locale."""

from __future__ import annotations

import contextlib
import math
import os
import shlex
import signal
import subprocess
import threading
import time
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

SBIN = ["/usr/local/sbin", "/usr/sbin", "/sbin"]  # a service user's PATH often lacks these
GRACE = 5.0  # seconds a killed process group gets to close its pipes
STATUS_TIMEOUT = 124  # what timeout(1) uses
STATUS_NOT_STARTED = 126
_limits = threading.local()  # end: when the commands of this thread have to be over, by time.monotonic()


class CliError(Exception):
    """A command failed; carries what fail_json() needs, so that a caller can put things back first."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.message)
        self.result = result


@dataclass(frozen=True)
class Result:
    """What one command did."""

    argv: tuple[str, ...]
    rc: int
    out: str
    err: str
    timed_out: bool = False
    timeout: float = 0

    @property
    def cmd(self) -> str:
        """The command as it would be typed into a shell."""
        return shlex.join(self.argv)

    @property
    def reason(self) -> str:
        """The first line that says something, standard error first."""
        for line in (self.err + "\n" + self.out).splitlines():
            if line.strip():
                return line.strip()
        return "no output"

    @property
    def message(self) -> str:
        """One sentence: command, status, reason."""
        shown = self.cmd if len(self.cmd) <= 300 else self.cmd[:297] + "..."
        if self.timed_out and self.timeout <= 0:
            return f"'{shown}' was not started: {self.reason}"
        if self.timed_out:
            return f"'{shown}' did not end within {self.timeout:g} seconds and was stopped: {self.reason}"
        return f"'{shown}' failed with status {self.rc}: {self.reason}"

    def failure(self) -> dict[str, t.Any]:
        """The facts fail_json() gets beside msg."""
        return {"cmd": self.cmd, "rc": self.rc, "stdout": self.out, "stderr": self.err}


class Cli:
    """One tool on the target: reads always run, writes respect check mode.

    timeout is in seconds, for each command. package names what to install when the tool is missing.
    """

    def __init__(
        self,
        module: AnsibleModule,
        tool: str,
        *global_args: str,
        timeout: float = 30,
        env: t.Mapping[str, str] | None = None,
        package: str | None = None,
    ) -> None:
        self.module = module
        self.timeout = timeout
        self.commands: list[str] = []
        self._env = dict(env or {})
        path = module.get_bin_path(tool, required=False, opt_dirs=SBIN)
        if not path:
            remedy = f"install the package '{package}' there" if package else "install it there"
            module.fail_json(
                msg=f"The command '{tool}' is not on this host; {remedy}, or put it on the PATH of the user Ansible runs as."
            )
        self._base = [str(path), *global_args]

    def read(self, *args: str, ok: t.Container[int] = (0,), timeout: float | None = None) -> tuple[int, str]:
        """Run a command that changes nothing; fail unless its status is in ok. Returns status and output."""
        result = self._checked(args, ok, timeout)
        return result.rc, result.out

    def read_full(self, *args: str, ok: t.Container[int] = (0,), timeout: float | None = None) -> tuple[int, str, str]:
        """Like read(), with standard error as the third value."""
        result = self._checked(args, ok, timeout)
        return result.rc, result.out, result.err

    def write(self, *args: str, timeout: float | None = None) -> None:
        """Record a change and, outside check mode, make it; fail if that does not work."""
        self.record(*args)
        if not self.module.check_mode:
            self._checked(args, (0,), timeout)

    def try_write(self, *args: str, timeout: float | None = None) -> None:
        """Like write(), but raise CliError, for callers that have something to put back first."""
        self.record(*args)
        if self.module.check_mode:
            return
        result = self.run_raw(*args, timeout=timeout)
        if result.rc != 0:
            raise CliError(result)

    def record(self, *args: str) -> None:
        """Add a command to what the module reports, without running it."""
        self.commands.append(shlex.join([*self._base, *args]))

    def fail(self, result: Result, msg: str | None = None) -> t.NoReturn:
        """End the module with what the command said; msg replaces the standard sentence."""
        self.module.fail_json(msg=msg or result.message, **result.failure())
        raise SystemExit(1)  # fail_json() does not return; this tells the type checker

    def run_raw(self, *args: str, timeout: float | None = None) -> Result:
        """Run a command whatever the mode and return what happened; never fails."""
        limit = self.timeout if timeout is None else timeout
        return run_bounded([*self._base, *args], limit, env=self._env)

    def _checked(self, args: t.Sequence[str], ok: t.Container[int], timeout: float | None) -> Result:
        result = self.run_raw(*args, timeout=timeout)
        if result.timed_out or result.rc not in ok:
            self.fail(result)
        return result


@contextlib.contextmanager
def limited(seconds: float) -> t.Iterator[None]:
    """Give all commands that this thread starts within the block so many seconds together.

    Whoever asks a daemon that hangs several questions waits for it once: those that come after are not started.
    """
    _limits.end = time.monotonic() + seconds
    try:
        yield
    finally:
        _limits.end = None


def run_bounded(
    argv: t.Sequence[str],
    timeout: float,
    *,
    env: t.Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> Result:
    """Run one command and return what happened; never fails. timeout in seconds, stdin is text for it to read."""
    end = getattr(_limits, "end", None)
    if end is not None:
        timeout = min(timeout, math.ceil(end - time.monotonic()))  # in whole seconds, for people
        if timeout <= 0:
            return Result(tuple(argv), STATUS_TIMEOUT, "", "the commands before it took all the time", True, timeout)
    try:
        # A session of its own, so that a timeout stops the children of the tool as well.
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {}), "LANGUAGE": "C", "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError as exc:
        return Result(tuple(argv), STATUS_NOT_STARTED, "", str(exc), False, timeout)
    try:
        out, err = process.communicate(None if stdin is None else stdin.encode(), timeout=timeout)
        return Result(tuple(argv), process.returncode, _text(out), _text(err), False, timeout)
    except subprocess.TimeoutExpired:
        _kill_group(process)
    try:
        out, err = process.communicate(timeout=GRACE)
    except subprocess.TimeoutExpired:  # a child left the group and holds the pipes open
        out, err = b"", b""
    return Result(tuple(argv), STATUS_TIMEOUT, _text(out), _text(err), True, timeout)


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Stop the process and all its children; they may be gone already."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
