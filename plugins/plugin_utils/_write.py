# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A text file of the controller, written at once or not at all."""

from __future__ import annotations

import os
import tempfile

from ansible.errors import AnsibleActionFail


def write(path: str, text: str, option: str = "path") -> str:
    """Write a file and return its absolute path; option is what the user sets to have it elsewhere.

    The path is relative to where Ansible was started, and ~ is the user's home. Nothing else in it is expanded.
    """
    target = os.path.abspath(os.path.expanduser(path))
    folder, name = os.path.split(target)
    temporary = ""
    try:
        if os.path.isdir(target):
            raise IsADirectoryError("it is a folder")
        os.makedirs(folder, exist_ok=True)
        # Its end is not that of the file: the Prometheus exporter reads every *.prom it finds.
        with tempfile.NamedTemporaryFile(
            "wb", dir=folder, prefix=f".{name[:100]}-", suffix=".tmp", delete=False
        ) as stream:
            temporary = stream.name
            # What is no Unicode (half a pair of surrogates from a tool's output) must not cost the report.
            stream.write(text.encode("utf-8", "backslashreplace"))
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except OSError as exc:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise AnsibleActionFail(
            f"Cannot write the report to {target} on the controller: {exc}. Choose another {option}."
        ) from exc
    return target
