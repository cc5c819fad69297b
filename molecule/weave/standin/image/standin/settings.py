# Stands in for Weave Net 2.9.0 in tests: the environment and the messages of the script.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import sys
import typing as t

from standin.docker_api import Docker, DockerError


class Stop(Exception):
    """The command is over, with this status."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(message)
        self.status = status


def value(name: str, default: str = "") -> str:
    return os.environ.get(name) or default


VERSION = value("WEAVE_VERSION", "2.9.0")
HUB_USER = value("DOCKERHUB_USER", "rajchaudhuri")
IMAGE, EXEC_IMAGE = f"{HUB_USER}/weave:{VERSION}", f"{HUB_USER}/weaveexec:{VERSION}"
BASE_IMAGE, DB_IMAGE = f"{HUB_USER}/weave", f"{HUB_USER}/weavedb:latest"
CONTAINER = value("WEAVE_CONTAINER_NAME", "weave")
DB_CONTAINER, VOLUMES_CONTAINER, VOLUMES_LABEL = f"{CONTAINER}db", f"weavevolumes-{VERSION}", "weavevolumes"
BRIDGE, DATAPATH = "weave", "datapath"
DOCKER_BRIDGE = value("DOCKER_BRIDGE", "docker0")
PORT = value("WEAVE_PORT", "6783")
HTTP_ADDR, STATUS_ADDR = value("WEAVE_HTTP_ADDR", "127.0.0.1:6784"), value("WEAVE_STATUS_ADDR", "127.0.0.1:6782")
HOST_ROOT = value("HOST_ROOT")

docker = Docker()


def say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


def complain(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def usage() -> t.NoReturn:
    complain("Usage:\n\nsee 'weave --help'")
    raise Stop(1)


def check_running(name: str = CONTAINER) -> None:
    try:
        state = docker.state(name)
    except DockerError:
        state = ""
    if not state:
        raise Stop(1, f"{name} container is not present. Have you launched it?")
    if state == "restarting":
        raise Stop(2, f"{name} container is restarting.")
    if state != "running":
        raise Stop(2, f"{name} container is not running.")


def is_running() -> bool:
    try:
        check_running()
    except Stop:
        return False
    return True
