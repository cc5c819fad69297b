# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong is told in one sentence with the remedy, and the state of before is kept or reached again."""

from __future__ import annotations

import contextlib
import re
import typing as t

import pytest
from overlay_helpers import LAB, NAMES, UNDERLAY, App, wait_for
from testinfra.host import Host
from weave_helpers import Routers

FIRST, SECOND, LAST = NAMES[0], NAMES[1], NAMES[-1]
CANARY = "Kanarienvogel-4711"


@pytest.fixture(autouse=True)
def restored(routers: Routers) -> t.Iterator[None]:
    """Whatever a test leaves, the next one finds the routers as declared."""
    yield
    routers.restore()


@contextlib.contextmanager
def dropped(host: Host, rule: str) -> t.Iterator[None]:
    """A rule of the host's firewall, for a while."""
    host.check_output(f"iptables -I INPUT {rule}")
    try:
        yield
    finally:
        host.check_output(f"iptables -D INPUT {rule}")


def test_password_on_one_side(routers: Routers) -> None:
    """Each side is told which of the two has none."""
    text = routers.launch(LAST, password=CANARY, wait_for="connected", wait_timeout=15).refused()
    assert "password specified, but peer requested an unencrypted connection" in text
    assert f"{UNDERLAY[FIRST]} has none" in text
    other = routers.launch(FIRST, wait_for="connected", wait_timeout=10, wait_peers=[UNDERLAY[LAST]]).refused()
    assert "password" in other


def test_password_that_differs(routers: Routers) -> None:
    """Nothing of either password is shown."""
    routers.launch(FIRST, password=CANARY).ok()
    found = routers.launch(
        SECOND,
        "-vvv",
        "--diff",
        password=f"{CANARY}-2",
        wait_for="connected",
        wait_timeout=15,
        wait_peers=[UNDERLAY[FIRST]],
    )
    assert "Unable to decrypt TCP msg" in found.refused()
    assert "the passwords of the two hosts differ" in found.refused()
    assert CANARY not in found.text


def test_same_password_encrypts(hosts: dict[str, Host], routers: Routers) -> None:
    """The links say so; the password is in no output, no process list and no file that is not root's alone."""
    hosts[FIRST].check_output(
        "rm -f /root/seen; setsid sh -c 'for i in $(seq 300); do ps axww -o args | grep -v grep | grep -q 11-Kanarien && touch /root/seen; "
        "sleep 0.1; done' > /dev/null 2>&1 < /dev/null &"
    )
    secret = f"11-{CANARY}"
    texts = [routers.launch(name, "-vvv", "--diff", password=secret).text for name in NAMES]
    found = routers.launch(FIRST, "-vvv", "--diff", password=secret, wait_for="connected", wait_timeout=60)
    assert all(item["encrypted"] for item in found.ok()["weave"]["router"]["connections"])
    assert all(CANARY not in text for text in [*texts, found.text])
    assert not hosts[FIRST].file("/root/seen").exists
    # What the least of all users can read; root sees it in Docker's own files.
    readable = "timeout 100 runuser -u nobody -- grep -rlsI --devices=skip Kanarienvogel /etc /var /run /tmp /root /home /usr/local"
    assert hosts[FIRST].run(readable).stdout == ""
    assert hosts[FIRST].run("journalctl --no-pager | grep Kanarienvogel").stdout == ""


@pytest.mark.parametrize(
    ("rule", "words", "remedy"),
    [
        pytest.param(
            "-p tcp --dport 6783 -j REJECT --reject-with icmp-host-prohibited",
            "no route to host",
            "a firewall on",
            id="rejected",
        ),
        pytest.param(
            "-p tcp --dport 6783 -j REJECT --reject-with tcp-reset",
            "connection refused",
            "see that the router runs there",
            id="refused",
        ),
        pytest.param(
            "-p tcp --dport 6783 -j DROP", "connecting for", "a firewall drops it or the host is down", id="dropped"
        ),
        pytest.param("-p udp --dport 6783:6784 -j DROP", "pending for", "open udp 6783-6784", id="udp dropped"),
    ],
)
def test_blocked_port(hosts: dict[str, Host], routers: Routers, rule: str, words: str, remedy: str) -> None:
    """A new link fails and the message names port and peer; once it is open again, the next run is well at once."""
    with dropped(hosts[FIRST], rule):
        # Both ends dial; FIRST must not, or the link comes up the other way round.
        routers.launch(FIRST, peers=[], discovery=False).ok()
        text = routers.launch(
            LAST, connection_limit=199, wait_for="connected", wait_timeout=12, wait_peers=[UNDERLAY[FIRST]]
        ).refused()
    assert words in text
    assert remedy in text
    assert UNDERLAY[FIRST] in text
    routers.launch(FIRST).ok()
    routers.launch(LAST, wait_for="connected", wait_timeout=40).ok()


def test_slow_link_where_the_fast_one_is_required(hosts: dict[str, Host], routers: Routers) -> None:
    """It works, so it is a warning unless the fast datapath is required."""
    with dropped(hosts[FIRST], "-p udp --dport 6784 -j DROP"):
        routers.launch(FIRST, connection_limit=198, wait_for="connected", wait_timeout=60).ok()
        wait_for("the link falls back", lambda: "sleeve" in str(routers.links(FIRST)[UNDERLAY[LAST]]), 100)
        text = routers.launch(
            FIRST, connection_limit=198, fast_datapath="required", wait_for="connected", wait_timeout=5
        ).refused()
        assert "established over sleeve" in text
        assert "open udp 6784" in text
        warned = routers.launch(FIRST, connection_limit=198, wait_for="connected", wait_timeout=5)
        assert warned.ok()["changed"] is False
        assert "open udp 6784" in " ".join(warned.text.split())


def test_connection_limit(routers: Routers) -> None:
    """Fewer links than peers."""
    text = routers.launch(FIRST, connection_limit=1, wait_for="connected", wait_timeout=15).refused()
    assert "Connection limit reached" in text
    assert "raise connection_limit" in text


def test_clocks_that_differ(hosts: dict[str, Host], routers: Routers) -> None:
    """A router whose host is 20 minutes ahead does not get in; containers share a clock, so there it is the stand-in's own."""
    ahead, back = ("echo 1200 > /etc/standin-clock-offset", "rm -f /etc/standin-clock-offset")
    if not LAB:
        ahead, back = ("date -s '+20 min'", "date -s '-20 min'")
    hosts[LAST].check_output(ahead)
    try:
        text = routers.launch(LAST, connection_limit=197, wait_for="connected", wait_timeout=15).refused()
    finally:
        hosts[LAST].check_output(back)
    assert re.search(r"host clock skew of -?1[12]\d\ds exceeds 900s limit", text), text
    assert "bring them together" in text


def test_names_that_collide(routers: Routers) -> None:
    """As clones do; the router never tries again, the next run does."""
    text = routers.launch(
        LAST,
        name=routers.declared[FIRST]["name"],
        allow_rename=True,
        wait_for="connected",
        wait_timeout=20,
        wait_peers=[UNDERLAY[FIRST]],
    ).refused()
    assert "peer names collision" in text
    assert "a name of its own" in text
    routers.launch(LAST, allow_rename=True, wait_for="connected").ok()
    routers.settle()


def test_another_range(routers: Routers) -> None:
    """Hosts with different ranges do not connect, and are told so."""
    text = routers.launch(
        LAST,
        ipalloc_range="10.128.0.0/16",
        allow_range_change=True,
        wait_for="connected",
        wait_timeout=20,
        wait_peers=[UNDERLAY[FIRST]],
    ).refused()
    assert "Incompatible IP allocation ranges" in text
    assert "one range everywhere" in text
    routers.launch(LAST, allow_range_change=True, wait_for="connected").ok()
    routers.settle()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"extra_args": ["--nosuch=1"]}, "extra_args", id="unknown flag"),
        pytest.param({"version": "0.0.1"}, "weave:0.0.1", id="image that is not there"),
        pytest.param({"script": "/nonexistent/weave"}, "no weave script", id="script that is not there"),
    ],
)
def test_new_router_that_does_not_come_up(
    routers: Routers, apps: dict[str, App], options: dict[str, object], words: str
) -> None:
    """The router of before runs, with its former arguments, and nothing of the new one is left."""
    text = routers.launch(FIRST, **{"connection_limit": 123, **options}).refused()
    assert words in text
    names = routers.hosts[FIRST].check_output("docker ps -a --format '{{.Names}}'").split()
    assert "weave" in names
    assert not {"weave-previous", "crosshost-weave-exec"} & set(names)
    routers.settle()
    assert routers.launch(FIRST).ok()["changed"] is False
    assert apps[FIRST].reaches(apps[LAST])


def test_launch_that_never_returns(hosts: dict[str, Host], routers: Routers) -> None:
    """The script waits without limit; here it is ended, with all it left behind, and the router of before runs again."""
    hosts[FIRST].check_output("mv /usr/local/bin/weave /usr/local/bin/weave.kept")
    hosts[FIRST].check_output(
        'printf \'#!/bin/sh\\ntest "$1" != launch || sleep 600\\nexec /usr/local/bin/weave.kept "$@"\\n\' > /usr/local/bin/weave; '
        "chmod 755 /usr/local/bin/weave"
    )
    try:
        text = routers.launch(FIRST, connection_limit=123, launch_timeout=5).refused()
    finally:
        hosts[FIRST].check_output("mv /usr/local/bin/weave.kept /usr/local/bin/weave")
    assert "did not answer within 5 seconds" in text
    assert "The router of before runs again" in text
    assert hosts[FIRST].run("pgrep -f 'weave launch'").rc != 0
    routers.settle()
    assert routers.launch(FIRST).ok()["changed"] is False


def test_firewall_in_front_of_loopback(hosts: dict[str, Host], routers: Routers) -> None:
    """It would make every launch hang, so nothing is begun."""
    started = routers.started(FIRST)
    with dropped(hosts[FIRST], "-i lo -p tcp -j DROP"):
        text = routers.launch(FIRST, connection_limit=123).refused()
    assert "drops its own connections to 127.0.0.1" in text
    assert routers.started(FIRST) == started
