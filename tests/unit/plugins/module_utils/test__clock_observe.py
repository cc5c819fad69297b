# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readers of clocks: what chrony 4.3, systemd-timesyncd 252 and ntpsec 1.2.2 of Debian 12 said."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _clock_observe
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_model import ClockError, Ledger

Text = t.Callable[[str], str]
NAMES = ("tracking", "sources", "sources_named", "activity")


def chrony(fixture_text: Text, case: str) -> t.Any:
    """Parse the four answers of one case."""
    return _clock_observe.chrony(*(fixture_text(f"clock/{case}_{name}.txt") for name in NAMES))


def test_daemons(fixture_text: Text) -> None:
    """Units that are not installed do not count; what was there once leaves nothing."""
    found = _clock_observe.daemons(fixture_text("clock/show_chrony.txt"))
    assert [(item.kind.name, item.active, item.enabled) for item in found] == [("chrony", True, True)]
    assert found[0].invocation == "552c831080ea406a91a4b8b4e6fa10bf"


def test_ntp_is_another_name_of_ntpsec(fixture_text: Text) -> None:
    """systemctl answers for the alias, too; that is no second daemon."""
    shown = fixture_text("clock/show_ntpsec.txt").replace(
        "Id=ntp.service\nLoadState=not-found", "Id=ntp.service\nLoadState=loaded"
    )
    assert [item.kind.name for item in _clock_observe.daemons(shown)] == ["ntpsec"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("UnitFileState=enabled", "UnitFileState=masked"), []),
        (("ActiveState=active", "ActiveState=inactive"), [("chrony", False)]),
    ],
    ids=["masked", "stopped"],
)
def test_daemons_that_do_not_run(fixture_text: Text, change: tuple[str, str], expected: list[t.Any]) -> None:
    """A masked one cannot be used; a stopped one could."""
    shown = fixture_text("clock/show_chrony.txt").replace(*change, 1)
    assert [(item.kind.name, item.active) for item in _clock_observe.daemons(shown)] == expected


def test_chrony_synchronised(fixture_text: Text) -> None:
    """chronyc's "system time" is what has to be added to the clock: minus means that the clock is fast."""
    now = chrony(fixture_text, "chrony")
    assert (now.synchronised, now.reference, now.stratum, now.leap) == (True, "10.99.0.1", 11, "Normal")
    assert now.offset == pytest.approx(0.000003352)
    assert now.error == pytest.approx(0.000004842 + 0.000010518 / 2)
    assert (now.sources, now.silent, now.unresolved) == (("10.99.0.1",), (), True)


def test_chrony_whose_sources_are_gone(fixture_text: Text) -> None:
    """It says "Normal" still, by a source that it has no more; the one it has is silent."""
    now = chrony(fixture_text, "chrony_silent")
    assert (now.synchronised, now.sources, now.silent, now.unresolved) == (
        False,
        ("10.99.0.77",),
        ("10.99.0.77",),
        True,
    )


def test_chrony_without_sources(fixture_text: Text) -> None:
    now = chrony(fixture_text, "chrony_none")
    assert (now.synchronised, now.sources) == (False, ())


def test_chrony_that_serves_its_own_time(fixture_text: Text) -> None:
    """Its own clock is no source, although it is "Normal"."""
    tracked = fixture_text("clock/chrony_tracking.txt").replace("0A630001,10.99.0.1", "7F7F0101,")
    assert not _clock_observe.chrony(tracked, "", "", "0,0,0,0,0").synchronised


def test_chrony_that_does_not_answer() -> None:
    assert _clock_observe.chrony("506 Cannot talk to daemon\n", "", "", "") is None


@pytest.mark.parametrize(
    ("name", "flag", "synchronised", "sources"),
    [
        ("show_timesync", "yes", True, ("10.99.0.1",)),
        ("show_timesync", "no", False, ("10.99.0.1",)),
        ("show_timesync_start", "yes", False, ()),
    ],
    ids=["answered", "kernel not told", "just started"],
)
def test_timesyncd(fixture_text: Text, name: str, flag: str, synchronised: bool, sources: tuple[str, ...]) -> None:
    """The kernel's flag outlives a restart; only with an answer since then it counts."""
    now = _clock_observe.timesyncd(fixture_text(f"clock/{name}.txt"), f"NTPSynchronized={flag}\n")
    assert now is not None
    assert (now.synchronised, now.sources) == (synchronised, sources)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("15.625ms", 0.015625), ("1min 3.5s", 63.5), ("122us", 0.000122)], ids=str
)
def test_time_span(text: str, seconds: float) -> None:
    assert _clock_observe._span(text) == pytest.approx(seconds)


def test_ntpsec(fixture_text: Text) -> None:
    """Milliseconds become seconds; pools are no servers that could be silent."""
    now = _clock_observe.ntpsec(fixture_text("clock/ntpq_rv.txt"), fixture_text("clock/ntpq_pn.txt"))
    assert now is not None
    assert (now.synchronised, now.reference, now.stratum, now.silent) == (True, "10.99.0.1", 11, ())
    assert now.error == pytest.approx(0.188033 + 0.00002)


def test_ntpsec_just_started(fixture_text: Text) -> None:
    peers = "".join(line.replace("*", " ") for line in fixture_text("clock/ntpq_pn.txt").splitlines(keepends=True))
    now = _clock_observe.ntpsec(fixture_text("clock/ntpq_rv_start.txt"), peers)
    assert now is not None
    assert not now.synchronised


def test_ntpsec_that_does_not_answer() -> None:
    assert _clock_observe.ntpsec("***Socket error; probably ntpd is not running\n", "") is None


ALL = "CapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\n"
WHOLE = "         0          0 4294967295\n"


@pytest.mark.parametrize(
    ("status", "uid_map", "says"),
    [
        (ALL, WHOLE, ""),
        (ALL.replace("CapEff:\t000001ffffffffff", "CapEff:\t0000000000000000"), WHOLE, "not root"),
        (ALL, "         0     100000      65536\n", "user namespace"),
    ],
    ids=["root", "a user", "user namespace"],
)
def test_can_set(status: str, uid_map: str, says: str) -> None:
    settable, why = _clock_observe.can_set(status, uid_map)
    assert settable == (not says)
    assert says in why


def test_can_not_set_in_a_container(fixture_text: Text) -> None:
    settable, why = _clock_observe.can_set(fixture_text("clock/status_container.txt"), WHOLE)
    assert not settable
    assert "container" in why


def test_listens(fixture_text: Text) -> None:
    """A listener counts, a connection does not."""
    table = fixture_text("clock/tcp.txt")
    assert _clock_observe.listens(table, 22)
    assert not _clock_observe.listens(table, 0xCC36)
    assert not _clock_observe.listens(table, 6784)


@pytest.mark.parametrize(
    ("name", "known"),
    [("Etc/UTC", True), ("Mars/Phobos", False), ("../secret", False), ("Etc", False), ("Etc/notes", False)],
    ids=["known", "unknown", "outside", "folder", "no zone"],
)
def test_known_zone(tmp_path: pathlib.Path, name: str, known: bool) -> None:
    (tmp_path / "Etc").mkdir()
    (tmp_path / "Etc" / "UTC").write_bytes(b"TZif2...")
    (tmp_path / "Etc" / "notes").write_bytes(b"text")
    (tmp_path.parent / "secret").write_bytes(b"TZif2...")
    assert _clock_observe.known_zone(name, str(tmp_path)) is known


@pytest.mark.parametrize(
    ("target", "expected"),
    [("../usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"), (None, "UTC")],
    ids=["link", "missing"],
)
def test_zone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, target: str | None, expected: str) -> None:
    link = tmp_path / "localtime"
    if target:
        link.symlink_to(target)
    monkeypatch.setattr(_clock_observe, "LOCALTIME", str(link))
    assert _clock_observe.zone() == expected


def test_zone_that_is_a_copy(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then only Debian's own note tells its name."""
    (tmp_path / "localtime").write_bytes(b"TZif2")
    (tmp_path / "timezone").write_text("Etc/UTC\n")
    monkeypatch.setattr(_clock_observe, "LOCALTIME", str(tmp_path / "localtime"))
    monkeypatch.setattr(_clock_observe, "TIMEZONE", str(tmp_path / "timezone"))
    assert _clock_observe.zone() == "Etc/UTC"


def test_ledger_comes_back() -> None:
    ledger = Ledger("Etc/UTC", "Europe/Berlin", "chrony", {"chrony.service": "1"}, ("chrony.service",))
    assert Ledger.parse(ledger.dump()) == ledger
    assert Ledger().dump() == ""
    assert Ledger.parse(None) == Ledger()


@pytest.mark.parametrize("text", ["{", "[]", '{"zone": ""}'], ids=["cut short", "a list", "half"])
def test_damaged_ledger(text: str) -> None:
    with pytest.raises(ClockError, match="is damaged"):
        Ledger.parse(text)
