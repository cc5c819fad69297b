# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures for the tests of the Weave backend."""

from __future__ import annotations

import os
import typing as t

import pytest
from overlay_helpers import App
from testinfra.host import Host
from weave_helpers import Routers


@pytest.fixture(scope="session")
def routers(hosts: dict[str, Host]) -> Routers:
    """The routers as they were declared when the tests began."""
    return Routers(hosts)


@pytest.fixture(scope="session")
def apps(hosts: dict[str, Host]) -> t.Iterator[dict[str, App]]:
    """An application with a name in weaveDNS on every host, for as long as the tests run."""
    started = {}
    for name, host in hosts.items():
        # The way the router's own documentation has it; its output ends as a terminal's.
        names = host.check_output("weave dns-args | tr -d '\\r'")
        options = f"--hostname {name}-app.weave.local {names}"
        started[name] = App(host, name, options)
        started[name].stop()
        started[name].start()
    yield started
    for app in started.values():
        app.stop()


def pytest_report_header() -> str:
    """Say what the tests run against."""
    real = os.environ.get("WEAVE_SCRIPT")
    return f"weave: {f'Weave Net itself, from {real}' if real else 'the stand-in, molecule/weave/standin'}"
