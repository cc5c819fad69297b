# Stands in for Weave Net 2.9.0 in tests: writes the images as an archive for "docker load", without a Docker Engine.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""usage: pack.py VERSION BASE_TAR SOURCES OUTPUT

Two layers: the root file system, and SOURCES as /home/weave. The data-only image has a layer of its own with one empty folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
import typing as t
from pathlib import Path

LABELS = {"works.weave.role": "system"}


def normal(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The same archive from the same sources, whoever builds it and when."""
    if info.name.endswith(".pyc") or "__pycache__" in info.name:
        return None
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = "root"
    return info


def layer(folders: t.Sequence[str], source: Path | None = None) -> bytes:
    """A layer with empty folders, and a source folder as /home/weave."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in folders:
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        if source:
            for path in sorted(source.iterdir()):
                tar.add(path, f"home/weave/{path.name}", filter=normal)
    return buffer.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def config(entrypoint: list[str], layers: list[str]) -> bytes:
    """An image's configuration."""
    return json.dumps(
        {
            "architecture": {"aarch64": "arm64", "armv7l": "arm"}.get(os.uname().machine, "amd64"),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Entrypoint": entrypoint, "WorkingDir": "/home/weave", "Labels": LABELS},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{name}" for name in layers]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "pack.py"} for dummy in layers],
        }
    ).encode()


def main() -> None:
    version, base_tar, sources, output = sys.argv[1:]
    base = Path(base_tar).read_bytes()
    code = layer(["home", "home/weave", "weavedb", "w", "w-noop", "w-nomcast"], Path(sources))
    data = layer(["weavedb"])
    layers = {digest(blob): blob for blob in (base, code, data)}
    program = [digest(base), digest(code)]
    images = [
        (f"rajchaudhuri/weave:{version}", ["/home/weave/weaver"], program),
        (f"rajchaudhuri/weaveexec:{version}", ["/home/weave/weave"], program),
        ("rajchaudhuri/weavedb:latest", ["data-only"], [digest(data)]),
    ]
    files: dict[str, bytes] = {f"{name}/layer.tar": blob for name, blob in layers.items()}
    manifest = []
    for tag, entrypoint, used in images:
        content = config(entrypoint, used)
        name = f"{digest(content)}.json"
        files[name] = content
        manifest.append({"Config": name, "RepoTags": [tag], "Layers": [f"{item}/layer.tar" for item in used]})
    files["manifest.json"] = json.dumps(manifest).encode()
    temporary = f"{output}.new"
    with tarfile.open(temporary, "w") as tar:
        for name, blob in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(blob), 0o644
            tar.addfile(info, io.BytesIO(blob))
    os.replace(temporary, output)


if __name__ == "__main__":
    main()
