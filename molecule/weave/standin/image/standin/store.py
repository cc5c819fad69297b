# Stands in for Weave Net 2.9.0 in tests: what outlives the router, in the volume of the container weavedb.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import json
import os
import threading
import typing as t

from standin import log


class Store:
    """One JSON file where the real one has a boltdb; locked for as long as the router runs."""

    def __init__(self, prefix: str) -> None:
        self.path = f"{prefix}data.db"
        self._lock = threading.Lock()
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o660)
        except OSError as error:
            log.fatal(f"[boltDB] Unable to open {self.path}: open {self.path}: {(error.strerror or '').lower()}")
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        content = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        self._data: dict[str, t.Any] = {}
        if content:
            try:
                # A kill between write and truncate leaves the end of an older, longer text behind.
                self._data = json.JSONDecoder().raw_decode(content.decode())[0]
                self._data["version"]
            except (ValueError, KeyError, TypeError):
                log.fatal(f"[boltDB] Unable to open {self.path}: invalid database")
        else:
            self.save("version", "1.0")

    def load(self, key: str) -> t.Any:
        with self._lock:
            return self._data.get(key)

    def save(self, key: str, value: t.Any) -> None:
        with self._lock:
            self._data[key] = value
            content = json.dumps(self._data).encode()
            os.pwrite(self._fd, content, 0)
            os.ftruncate(self._fd, len(content))
            os.fsync(self._fd)
