# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Underlay addresses from variables and names."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.crosshost.overlay.plugins.plugin_utils import _resolve


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({"overlay_underlay_ip": "192.0.2.1", "ansible_host": "198.51.100.1"}, "192.0.2.1", id="underlay"),
        pytest.param({"ansible_host": "198.51.100.1"}, "198.51.100.1", id="management"),
        pytest.param({}, "h1", id="inventory-name"),
    ],
)
def test_the_first_variable_that_is_set(variables: dict[str, str], expected: str) -> None:
    """The underlay's own, then the one Ansible uses, then the name."""
    assert _resolve.underlay_name("h1", variables) == expected


def test_names_are_resolved_on_the_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once; those without an answer are left out."""

    def lookup(name: str, *dummy_args: object) -> list[tuple]:
        if name == "good.example":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.5", 0))]
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(_resolve.socket, "getaddrinfo", lookup)
    found = _resolve.resolve(["192.0.2.1", "good.example", "bad.example"], 5)
    assert found == {"192.0.2.1": "192.0.2.1", "good.example": "192.0.2.5"}
