# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Docker's network of the plugin follows the router's range."""

from __future__ import annotations

import json
import types
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._weave_args import Launch
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_network import (
    Network,
    misfit,
    read,
    steps,
    warning,
)

HERE = Network("weavemesh", "10.32.0.0/12", ())


def answering(rc: int, out: str, listed: str = "") -> t.Any:
    """A command docker that says this of the network, and lists these containers."""
    return types.SimpleNamespace(
        run_raw=lambda *words: types.SimpleNamespace(rc=rc, out=out), read=lambda *words: (0, listed, "")
    )


def test_read() -> None:
    """As Docker shows a network of the plugin with a stopped container on it, which it does not count among those of the network."""
    shown = {
        "Name": "weave",
        "Driver": "weavemesh",
        "IPAM": {"Driver": "weavemesh", "Options": None, "Config": [{"Subnet": "10.32.0.0/12"}]},
        "Containers": {},
    }
    listed = '"web"\t"exited"\t""\t"weave"\n"other"\t"running"\t""\t"weaver"\n'
    assert read(answering(0, json.dumps(shown), listed)) == Network("weavemesh", "10.32.0.0/12", ("web",))
    assert read(answering(1, "")) is None


@pytest.mark.parametrize(
    ("network", "launch", "expected"),
    [
        pytest.param(HERE, Launch(ipalloc_range="10.32.0.0/12"), False, id="fits"),
        pytest.param(HERE, Launch(ipalloc_range="10.128.0.0/16"), True, id="other-range"),
        pytest.param(
            HERE, Launch(ipalloc_range="10.32.0.0/12", ipalloc_default_subnet="10.33.0.0/16"), True, id="other-subnet"
        ),
        pytest.param(HERE, Launch(ipalloc_range=""), False, id="the-router-decides"),
        pytest.param(Network("bridge", "10.0.0.0/8", ()), Launch(ipalloc_range="10.32.0.0/12"), False, id="foreign"),
        pytest.param(None, Launch(ipalloc_range="10.32.0.0/12"), False, id="none"),
    ],
)
def test_misfit(network: Network | None, launch: Launch, expected: bool) -> None:
    """Only a network of the plugin, and only where the subnet is known."""
    assert misfit(network, launch) is expected


def test_steps_make_what_a_router_makes() -> None:
    """With the subnet of the range."""
    remove, create = steps(Launch(ipalloc_range="10.128.0.0/16"))
    assert remove == ("network", "rm", "weave")
    assert create[:2] == ("network", "create")
    assert create[-3:] == ("--subnet", "10.128.0.0/16", "weave")


def test_warning_names_who_has_to_leave() -> None:
    """And both networks."""
    text = warning(Network("weavemesh", "10.32.0.0/12", ("web",)), Launch(ipalloc_range="10.128.0.0/16"))
    assert all(word in text for word in ("web", "10.32.0.0/12", "10.128.0.0/16", "docker network disconnect weave"))
