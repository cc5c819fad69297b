# Stands in for Weave Net 2.9.0 in tests: log lines in the router's format.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import sys
import threading
import time
import typing as t

LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3}
SHORT = {"debug": "DEBU", "info": "INFO", "warning": "WARN", "error": "ERRO", "fatal": "FATA"}
_lock = threading.Lock()
_least = [1]


def set_level(name: str) -> None:
    if name not in LEVELS:
        fatal(f'not a valid logrus Level: "{name}"')
    _least[0] = LEVELS[name]


def _write(level: str, message: str) -> None:
    now = time.time()
    stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime(now))
    with _lock:
        sys.stderr.write(f"{SHORT[level]}: {stamp}.{int(now % 1 * 1e6):06d} {message}\n")
        sys.stderr.flush()


def debug(message: str) -> None:
    if _least[0] == 0:
        _write("debug", message)


def info(message: str) -> None:
    if _least[0] <= 1:
        _write("info", message)


def warning(message: str) -> None:
    if _least[0] <= 2:
        _write("warning", message)


def error(message: str) -> None:
    _write("error", message)


def fatal(message: str) -> t.NoReturn:
    _write("fatal", message)
    os._exit(1)
