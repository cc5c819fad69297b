#!/usr/bin/env python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workaround: give ansible-test its pip from the package index.

To fill its virtual environments ansible-test downloads get-pip.py from ci-files.testing.ansible.com, the only thing it
needs from outside the Python package index. Where only the index can be reached it fails. It looks into its cache first,
so this puts there a get-pip.py which runs the very pip wheel, taken from the index, that ansible-test asks for.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import types

from ansible_test._internal.python_requirements import get_venv_packages

# ansible-test runs this file as "get-pip.py <pip options> <packages> --no-setuptools --no-wheel".
GET_PIP = """\
# A stand-in for get-pip.py, made by dev/get_pip_workaround.py.
import os
import runpy
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), {wheel!r}))
sys.argv[1:] = ["install"] + [arg for arg in sys.argv[1:] if arg not in ("--no-setuptools", "--no-wheel")]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def main() -> None:
    """Write the stand-in for each pip version that ansible-test asks for, unless it is there."""
    cache = pathlib.Path.home() / ".ansible" / "test" / "cache"
    minors = range(8, 15)
    for version in sorted({get_venv_packages(types.SimpleNamespace(version=f"3.{minor}"))["pip"] for minor in minors}):
        script = cache / f"get_pip_{version.replace('.', '_')}.py"
        if script.exists():
            continue
        wheels = cache / f"pip-{version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--dest", str(wheels), f"pip=={version}"], check=True, timeout=300)
        (wheel,) = wheels.glob("*.whl")
        script.write_text(GET_PIP.format(wheel=f"{wheels.name}/{wheel.name}"), encoding="utf-8")


if __name__ == "__main__":
    main()
