# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Parts of overlay_info that are read at the same time, each for itself: what one of them runs into does not end the others."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import (
    GRACE,
    SBIN,
    Cli,
    CliError,
    Result,
    limited,
    run_bounded,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# What a reader meets on a host that is not as it should be: text that is cut off or of another shape, files it may not read.
ODD = (OSError, ValueError, LookupError, TypeError, AttributeError)


class SectionError(Exception):
    """A section, or a part of it, could not be read; the text says why."""


class Section:
    """What is read of one area, and why the rest of it is not.

    To the readers it is the module: it has all they ask of one, but its fail_json() raises SectionError instead of ending the module.
    """

    check_mode = True  # nothing is changed here, whoever is asked

    def __init__(
        self,
        module: AnsibleModule,
        name: str,
        read: t.Callable[[Section], None],
        facts: dict[str, t.Any] | None = None,
        timeout: float = 20,
        params: t.Mapping[str, t.Any] | None = None,
    ) -> None:
        self._module, self.name, self.timeout = module, name, timeout
        self._read = read
        self.facts: dict[str, t.Any] = {} if facts is None else facts
        self.params = dict(params or {})
        self.problems: list[str] = []
        self.secrets: set[str] = set()  # met on the way, to be hidden in what other sections read

    @property
    def module(self) -> AnsibleModule:
        """This object, for readers that take a module."""
        return t.cast("AnsibleModule", self)

    # What readers ask of a module

    def get_bin_path(self, arg: str, required: bool = False, opt_dirs: t.Sequence[str] | None = None) -> str | None:
        """As the module's, but never the end of it."""
        found: str | None = self._module.get_bin_path(arg, required=False, opt_dirs=list(opt_dirs or SBIN))
        if required and not found:
            raise SectionError(f"The command '{arg}' is not on this host")
        return found

    def sha256(self, path: str) -> str | None:
        """The checksum of a file."""
        found: str | None = self._module.sha256(path)
        return found

    def fail_json(self, msg: str, **dummy_facts: t.Any) -> t.NoReturn:
        """End the part that is being read."""
        raise SectionError(msg)

    def warn(self, warning: str) -> None:
        """Keep what a module would warn of."""
        self.problems.append(warning)

    # What readers start

    def has(self, tool: str) -> bool:
        """Whether a command is there."""
        return self.get_bin_path(tool) is not None

    def cli(self, tool: str, *global_args: str, package: str | None = None) -> Cli:
        """A tool whose read() raises SectionError."""
        return Cli(self.module, tool, *global_args, timeout=self.timeout, package=package)

    def ask(self, *argv: str) -> Result:
        """Start a command; never fails. A tool that is not there answers nothing."""
        return run_bounded([self.get_bin_path(argv[0]) or argv[0], *argv[1:]], self.timeout)

    @contextlib.contextmanager
    def part(self) -> t.Iterator[None]:
        """Note why a part cannot be read, and go on behind it."""
        try:
            yield
        except (SectionError, CliError) as exc:
            self.problems.append(str(exc))
        except ODD as exc:
            self.problems.append(f"{type(exc).__name__}: {exc}")

    def run(self) -> None:
        """Read, within the time there is."""
        with limited(self.timeout), self.part():
            self._read(self)


def run_all(sections: t.Sequence[Section], limit: float) -> dict[str, str]:
    """Read all sections at the same time and return why some could not be read.

    Commands are bounded anyway. limit, in seconds, is for what else can hang: a file on a server that is gone, an answer that trickles.
    """
    threads = {item.name: threading.Thread(target=item.run, name=item.name, daemon=True) for item in sections}
    for thread in threads.values():
        thread.start()
    end = time.monotonic() + limit + GRACE + 1
    for thread in threads.values():
        thread.join(max(end - time.monotonic(), 0))
    late = {name for name, thread in threads.items() if thread.is_alive()}
    errors = {}
    for item in sections:
        said = [*item.problems, *([f"it was not read within {limit:g} seconds"] if item.name in late else [])]
        if said:
            errors[item.name] = "; ".join(dict.fromkeys(said))
    return errors
