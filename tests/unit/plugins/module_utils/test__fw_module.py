# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stays open on a host that has both backends, while they stand side by side and when one of them goes."""

from __future__ import annotations

import pathlib
import types
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _fw_module
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_wish import Wish

PEERS = ("192.0.2.12",)
BOTH = Wish("ovs_gre", PEERS, "192.0.2.11", ("ovl0", "weave"), also=("weave",))


@pytest.fixture
def records(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder for the records of the backends and of the wish."""
    monkeypatch.setattr(_fw_module, "RECORDS", {name: str(tmp_path / name) for name in ("weave", "ovs_gre")})
    monkeypatch.setattr(_fw_module, "WISH_PATH", str(tmp_path / "wish"))
    return tmp_path


def module(**params: t.Any) -> t.Any:
    """Something with these options."""
    return types.SimpleNamespace(params={"backend": None, "other_bridges": None, **params})


def test_the_other_backend_stays_open_while_it_is_there(records: pathlib.Path) -> None:
    """By its record; its bridge, too."""
    wish = Wish("ovs_gre", PEERS, bridges=("ovl0",))
    asked = module(other_bridges=["weave"])
    assert _fw_module.with_other(asked, wish) == wish
    (records / "weave").touch()
    assert _fw_module.with_other(asked, wish) == Wish("ovs_gre", PEERS, bridges=("ovl0", "weave"), also=("weave",))
    assert _fw_module.with_other(module(), wish) == wish


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(("gone", "left", "bridge"), [("weave", "ovs_gre", "ovl0"), ("ovs_gre", "weave", "weave")])
def test_one_of_two_goes(records: pathlib.Path, gone: str, left: str, bridge: str, there: bool) -> None:
    """The other keeps its openings, unless it is gone as well."""
    (records / "wish").write_text(BOTH.text(), encoding="utf-8")
    if there:
        (records / left).touch()
    found = _fw_module.remaining(module(backend=gone, other_bridges=[bridge]))
    assert found == (Wish(left, PEERS, "192.0.2.11", (bridge,)) if there else None)


def test_everything_goes_unless_asked_otherwise(records: pathlib.Path) -> None:
    """As without a backend, without the record of openings, or with one that was never for both."""
    (records / "weave").touch()
    asked = module(backend="ovs_gre", other_bridges=["weave"])
    assert _fw_module.remaining(asked) is None
    (records / "wish").write_text(Wish("ovs_gre", PEERS).text(), encoding="utf-8")
    assert _fw_module.remaining(asked) is None
    (records / "wish").write_text(BOTH.text(), encoding="utf-8")
    assert _fw_module.remaining(module()) is None
    assert _fw_module.remaining(module(backend="ovs_gre")) is None
