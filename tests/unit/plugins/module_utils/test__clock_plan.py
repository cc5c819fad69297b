# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be done about a clock's settings: files, restarts, the zone, and what is remembered."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils import _clock_plan
from ansible_collections.crosshost.overlay.plugins.module_utils._clock_model import (
    CHRONY,
    HEADER,
    KINDS,
    LEDGER,
    NTP,
    NTPSEC,
    TIMESYNCD,
    Daemon,
    Kind,
    Ledger,
    Plan,
    State,
    Tracking,
    Wish,
)

CONF = "\n".join(CHRONY.reads) + "\n"
FILES = {path: None for kind in KINDS for path in (kind.sources, kind.settings) if path}
SERVERS = Wish(servers=("192.0.2.1",), pools=("pool.example.net",))
SOURCES = f"{HEADER}server 192.0.2.1 iburst\npool pool.example.net iburst\n"


def state(*kinds: Kind, **changes: t.Any) -> State:
    """A host where these daemons run."""
    files = {**FILES, CHRONY.main: CONF, **changes.pop("files", {})}
    found = tuple(Daemon(kind, True, True, f"start of {kind.name}") for kind in kinds)
    values = {
        "daemons": found,
        "settable": True,
        "why_not_settable": "",
        "zone": "Etc/UTC",
        "ledger": Ledger(),
        **changes,
    }
    return State(files=files, **values)


def told(plan: Plan) -> list[str]:
    """The steps without what is remembered."""
    return [" ".join(step.argv) for step in plan.steps if step.argv[-1] != LEDGER]


def remembered(plan: Plan) -> list[str]:
    return [step.argv[0] for step in plan.steps if step.argv[-1] == LEDGER]


def texts(plan: Plan) -> dict[str, str]:
    return {step.argv[-1]: step.text for step in plan.steps if step.argv[0] == "write" and step.argv[-1] != LEDGER}


@pytest.mark.parametrize("kinds", [(), (CHRONY,), (TIMESYNCD,), (NTP,)], ids=["none", "chrony", "timesyncd", "ntp"])
def test_nothing_asked_nothing_done(kinds: tuple[Kind, ...]) -> None:
    assert _clock_plan.make(state(*kinds), Wish()).steps == ()


def test_chrony_gets_servers() -> None:
    """What is about to happen is remembered first, and forgotten last."""
    plan = _clock_plan.make(state(CHRONY), SERVERS)
    assert told(plan) == [f"write {CHRONY.sources}", "chronyc reload sources"]
    assert texts(plan) == {CHRONY.sources: SOURCES}
    assert [plan.steps[0].argv[0], plan.steps[-1].argv[0]] == remembered(plan) == ["write", "rm"]
    assert Ledger.parse(plan.steps[0].text).pending == {"chrony.service": "start of chrony"}


def test_chrony_as_debian_sets_it_up(fixture_text: t.Callable[[str], str]) -> None:
    """Its own file reads both folders."""
    host = state(CHRONY, files={CHRONY.main: fixture_text("clock/chrony.conf")})
    assert _clock_plan.make(host, SERVERS).problems == ()


def loaded(*names: str, unresolved: bool = False) -> Tracking:
    return Tracking(True, 0.0, sources=names, unresolved=unresolved)


def test_chrony_has_them() -> None:
    now = loaded("192.0.2.1", "pool.example.net")
    assert _clock_plan.make(state(CHRONY, files={CHRONY.sources: SOURCES}, tracking=now), SERVERS).steps == ()


@pytest.mark.parametrize(
    ("now", "steps"),
    [
        (loaded("pool.example.net"), ["systemctl restart chrony.service"]),
        (loaded("192.0.2.1"), ["systemctl restart chrony.service"]),
        (loaded("192.0.2.1", unresolved=True), []),
    ],
    ids=["address missing", "name missing", "name not looked up"],
)
def test_chrony_lost_them(now: Tracking, steps: list[str]) -> None:
    """A reload passes over files that did not change."""
    assert told(_clock_plan.make(state(CHRONY, files={CHRONY.sources: SOURCES}, tracking=now), SERVERS)) == steps


@pytest.mark.parametrize(
    ("invocation", "steps"),
    [("start of chrony", ["systemctl restart chrony.service"]), ("another start", [])],
    ids=["not started since", "started since"],
)
def test_cut_short_between_writing_and_restart(invocation: str, steps: list[str]) -> None:
    """The file is right, and whether the daemon has read it shows in systemd's number of its start. No clock is asked: it may have been set."""
    ledger = Ledger(pending={"chrony.service": invocation})
    host = state(
        CHRONY, files={CHRONY.sources: SOURCES}, tracking=loaded("192.0.2.1", "pool.example.net"), ledger=ledger
    )
    plan = _clock_plan.make(host, SERVERS)
    assert told(plan) == steps
    assert plan.ledger == Ledger()
    assert remembered(plan)[-1:] == ["rm"]


def test_cut_short_twice() -> None:
    """A second change before the restart does not forget the first."""
    host = state(CHRONY, files={CHRONY.settings: "old"}, ledger=Ledger(pending={"chrony.service": "start of chrony"}))
    plan = _clock_plan.make(host, SERVERS)
    assert "systemctl restart chrony.service" in told(plan)


def test_the_source_for_others() -> None:
    """Only the peers are served."""
    plan = _clock_plan.make(state(CHRONY), Wish(serve=("10.0.0.2", "10.0.0.3")))
    assert texts(plan) == {CHRONY.settings: f"{HEADER}local stratum 10\nallow 10.0.0.2\nallow 10.0.0.3\n"}
    assert told(plan)[-1] == "systemctl restart chrony.service"


def test_the_source_that_refuses() -> None:
    """The file is right, the daemon does not know."""
    wish = Wish(serve=("10.0.0.2",))
    text = f"{HEADER}local stratum 10\nallow 10.0.0.2\n"
    for permitted, steps in ((False, ["systemctl restart chrony.service"]), (True, [])):
        host = state(CHRONY, files={CHRONY.settings: text}, permitted={"10.0.0.2": permitted})
        assert told(_clock_plan.make(host, wish)) == steps


def test_timesyncd() -> None:
    plan = _clock_plan.make(state(TIMESYNCD), SERVERS)
    assert texts(plan) == {TIMESYNCD.sources: f"{HEADER}[Time]\nNTP=192.0.2.1 pool.example.net\n"}
    assert told(plan)[-1] == "systemctl restart systemd-timesyncd.service"
    host = state(TIMESYNCD, files=texts(plan), tracking=loaded("other.example.net"))
    assert told(_clock_plan.make(host, SERVERS)) == ["systemctl restart systemd-timesyncd.service"]


@pytest.mark.parametrize(
    ("wish", "lowered"),
    [(Wish(servers=("192.0.2.1",)), True), (SERVERS, False), (Wish(servers=("a", "b", "c", "d")), False)],
    ids=["one", "a pool", "four"],
)
def test_ntpsec(wish: Wish, lowered: bool) -> None:
    """Debian's ntp.conf wants four sources before it sets the clock."""
    text = texts(_clock_plan.make(state(NTPSEC), wish))[NTPSEC.sources]
    assert ("minsane 1" in text) is lowered


def test_daemon_of_another_kind_before() -> None:
    """The file for the daemon that is gone goes, too."""
    plan = _clock_plan.make(state(CHRONY, files={TIMESYNCD.sources: "old"}), SERVERS)
    assert told(plan)[:2] == [f"write {CHRONY.sources}", f"rm {TIMESYNCD.sources}"]


def test_stopped_daemon_is_started() -> None:
    """Enabling it is remembered, so that it can be taken back."""
    host = state(daemons=(Daemon(TIMESYNCD, False, False),))
    plan = _clock_plan.make(host, SERVERS)
    assert told(plan)[-1] == "systemctl enable --now systemd-timesyncd.service"
    assert plan.ledger.enabled == ("systemd-timesyncd.service",)
    down = _clock_plan.make(state(TIMESYNCD, ledger=plan.ledger), Wish(absent=True))
    assert told(down) == ["systemctl disable --now systemd-timesyncd.service"]
    assert down.ledger == Ledger()


@pytest.mark.parametrize(
    ("host", "wish", "says"),
    [
        (state(CHRONY, TIMESYNCD), Wish(), "systemctl disable --now systemd-timesyncd.service"),
        (state(CHRONY, TIMESYNCD), SERVERS, "run at the same time"),
        (state(), SERVERS, "There is no time daemon"),
        (state(NTP), SERVERS, "ntp is not configured"),
        (state(TIMESYNCD), Wish(serve=("10.0.0.2",)), "takes chrony"),
        (state(CHRONY, files={CHRONY.main: "pool x\n"}), SERVERS, "sourcedir /etc/chrony/sources.d; confdir"),
    ],
    ids=["two", "two, servers", "none", "ntp", "source by timesyncd", "folder not read"],
)
def test_refused(host: State, wish: Wish, says: str) -> None:
    plan = _clock_plan.make(host, wish)
    assert plan.steps == ()
    assert says in " ".join(plan.problems)


def test_unknown_zone() -> None:
    assert "Mars/Phobos" in _clock_plan.make(state(CHRONY), Wish(zone="Mars/Phobos"), zone_known=False).problems[0]


def test_enabled_beside_the_one_that_runs() -> None:
    """No conflict yet."""
    host = state(CHRONY)
    host = replace(host, daemons=(*host.daemons, Daemon(NTPSEC, False, True)))
    plan = _clock_plan.make(host, Wish())
    assert not plan.problems
    assert "systemctl disable ntpsec.service" in plan.notes[0]


def test_container() -> None:
    """No daemon runs and none could: servers are of no use, and that is no failure."""
    host = state(
        daemons=(Daemon(CHRONY, False, True, condition=False),), settable=False, why_not_settable="a container"
    )
    plan = _clock_plan.make(host, SERVERS)
    assert (plan.steps, plan.problems) == ((), ())
    assert "not settable" in plan.notes[0]
    assert _clock_plan.make(replace(host, daemons=()), SERVERS).problems == ()


def test_announced_package() -> None:
    """A look ahead, and what is remembered before it is installed."""
    wish = replace(SERVERS, package="chrony")
    plan = _clock_plan.make(state(), wish)
    assert told(plan) == [f"write {CHRONY.sources}", "systemctl enable --now chrony.service"]
    announced = _clock_plan.make(state(), replace(wish, announced=True))
    assert [step.argv for step in announced.steps] == [("write", LEDGER)]
    assert announced.ledger == Ledger(package="chrony")
    again = _clock_plan.make(state(ledger=announced.ledger), replace(wish, announced=True))
    assert (again.steps, again.ledger) == ((), announced.ledger)
    # Its unit is started, and is not remembered besides: it goes with the package.
    idle = state(daemons=(Daemon(CHRONY, False, False),), ledger=announced.ledger)
    plan = _clock_plan.make(idle, wish)
    assert "systemctl enable --now chrony.service" in told(plan)
    assert plan.ledger == announced.ledger
    # One that is here came from somebody else.
    assert _clock_plan.make(state(CHRONY), replace(wish, announced=True)).steps == ()
    # The run was cut off before the package was there: nothing is left to remember.
    assert _clock_plan.make(state(ledger=announced.ledger), Wish(absent=True)).ledger == Ledger()


def test_zone_and_back() -> None:
    plan = _clock_plan.make(state(CHRONY), Wish(zone="Europe/Berlin"))
    assert told(plan) == ["timedatectl set-timezone Europe/Berlin"]
    assert plan.steps[0].argv == ("write", LEDGER)
    assert (plan.ledger.zone, plan.ledger.zone_set) == ("Etc/UTC", "Europe/Berlin")
    other = _clock_plan.make(state(CHRONY, zone="Europe/Berlin", ledger=plan.ledger), Wish(zone="Asia/Tokyo"))
    assert (other.ledger.zone, other.ledger.zone_set) == ("Etc/UTC", "Asia/Tokyo")
    down = _clock_plan.make(state(CHRONY, zone="Asia/Tokyo", ledger=other.ledger), Wish(absent=True))
    assert told(down) == ["timedatectl set-timezone Etc/UTC"]
    assert down.ledger == Ledger()


def test_zone_that_somebody_else_set_since_stays() -> None:
    ledger = Ledger(zone="Etc/UTC", zone_set="Europe/Berlin")
    down = _clock_plan.make(state(CHRONY, zone="Asia/Tokyo", ledger=ledger), Wish(absent=True))
    assert told(down) == []
    assert "it stays" in down.notes[0]
    assert down.ledger == Ledger()


def test_teardown() -> None:
    files = {CHRONY.sources: SOURCES, CHRONY.settings: "x", CHRONY.main: CONF}
    plan = _clock_plan.make(state(CHRONY, files=files), Wish(absent=True))
    assert told(plan) == [f"rm {CHRONY.sources}", f"rm {CHRONY.settings}", "systemctl restart chrony.service"]
    assert _clock_plan.make(state(CHRONY), Wish(absent=True)).steps == ()


@pytest.mark.parametrize("kinds", [(CHRONY,), ()], ids=["still there", "gone"])
def test_teardown_remembers_the_package_as_long_as_it_is_there(kinds: tuple[Kind, ...]) -> None:
    plan = _clock_plan.make(state(*kinds, ledger=Ledger(package="chrony")), Wish(absent=True))
    assert plan.ledger == Ledger(package="chrony" if kinds else "")


def test_servers_that_are_no_longer_given() -> None:
    """Without servers the daemon keeps its own."""
    plan = _clock_plan.make(state(CHRONY, files={CHRONY.sources: SOURCES}), Wish())
    assert told(plan) == [f"rm {CHRONY.sources}", "chronyc reload sources"]


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (Wish(servers=("a b",)), "'a b' is neither"),
        (Wish(pools=("x\nallow all",)), "is neither"),
        (Wish(serve=("h1",)), "is not an address"),
        (Wish(stratum=16), "stratum is 16"),
    ],
    ids=["space", "line break", "name", "stratum"],
)
def test_bad_input(wish: Wish, says: str) -> None:
    assert says in _clock_plan.input_problems(wish)[0]


def test_good_input() -> None:
    names = ("ntp.example.net", "192.0.2.1", "2001:db8::1", "h1")
    assert _clock_plan.input_problems(Wish(servers=names, serve=("2001:db8::1",))) == []
