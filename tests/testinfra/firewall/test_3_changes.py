# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a living overlay lose nothing; members leave; changes that shut the control node out are taken back by the host."""

from __future__ import annotations

import dataclasses
import re
import time
import typing as t

import pytest
from firewall_helpers import FIREWALLS, UNITS, container_exec, found, options
from overlay_helpers import LAB, NAMES, App, Pinger, play, wait_for
from testinfra.host import Host
from weave_helpers import UNDERLAY, Call, Routers, call

LAST = NAMES[-1]
GONE = UNDERLAY[LAST]
STAYS = [name for name in NAMES if name != LAST]
KEY = "/root/.ssh/of_a_peer"


def fix(name: str, *args: str, **changed: t.Any) -> Call:
    """Call firewalld_fix as the role does, with these changes."""
    return call(name, "firewalld_fix", *args, **{**options(name), **changed})


@dataclasses.dataclass
class Session:
    """An ssh connection from one host to another that prints a line five times a second."""

    source: Host
    target: str

    def start(self) -> None:
        """It ends by itself after ten minutes."""
        ssh = f"ssh -i {KEY} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR root@{self.target}"
        loop = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; sleep 0.2; done"
        self.source.check_output(f"setsid {ssh} '{loop}' > /root/ssh-{self.target} 2>&1 < /dev/null &")

    def lines(self) -> int:
        """How many lines have come so far."""
        text = self.source.check_output(f"cat /root/ssh-{self.target}")
        assert all(line.isdigit() for line in text.split()), text[-300:]
        return len(text.split())


@pytest.fixture
def sessions(hosts: dict[str, Host]) -> t.Iterator[list[Session]]:
    """From each host to the next, on the underlay, with a key that exists for this test only."""
    started = []
    for name, after in zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True):
        hosts[name].check_output(f"rm -f {KEY}; ssh-keygen -q -t ed25519 -N '' -C of-a-peer -f {KEY}")
        public = hosts[name].check_output(f"cat {KEY}.pub")
        hosts[after].check_output(f"echo '{public}' >> /root/.ssh/authorized_keys")
        session = Session(hosts[name], UNDERLAY[after])
        session.start()
        started.append(session)
    time.sleep(2)
    yield started
    for session in started:
        session.source.run(f"pkill -f 'ssh -i {KEY}'; rm -f /root/ssh-* {KEY} {KEY}.pub")
    for host in hosts.values():
        host.check_output("sed -i /of-a-peer/d /root/.ssh/authorized_keys")


def test_run_on_a_living_overlay(hosts: dict[str, Host], apps: dict[str, App], sessions: list[Session]) -> None:
    """All openings are removed and made again: no ping of an existing pair is lost, no ssh connection between hosts ends."""
    pingers = [Pinger(apps[name], apps[after]) for name, after in zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True)]
    before = [session.lines() for session in sessions]
    play("teardown", "--tags", "peer_firewall").ok()
    assert all(not found(name)["openings"] for name in NAMES)
    run = play("site", "--skip-tags=verify").ok()
    assert {host for task, host in run.changed if task.startswith("peer_firewall")} == set(NAMES)
    lost = {pinger.source.name: pinger.stop() for pinger in pingers}
    assert all(sent > 100 for sent, dummy in lost.values())
    assert {name: gone for name, (dummy, gone) in lost.items()} == dict.fromkeys(NAMES, 0)
    time.sleep(1)
    assert all(session.lines() > earlier + 20 for session, earlier in zip(sessions, before, strict=True))


@pytest.mark.parametrize("name", STAYS)
def test_peer_that_left(hosts: dict[str, Host], name: str) -> None:
    """Loses its openings, and nobody else does; check mode tells the same; when it is back, so are they."""
    rest = [address for address in UNDERLAY.values() if address != GONE]
    before = found(name)["openings"]
    predicted = fix(name, "--check", peers=rest).ok()
    done = fix(name, peers=rest).ok()
    assert (predicted["changed"], predicted["openings"]) == (True, done["openings"])
    after = found(name)["openings"]
    assert GONE in str(before)
    assert not re.search(rf"{re.escape(GONE)}\b", str(after))
    assert all(address in str(after) for address in rest if address != UNDERLAY[name])
    assert fix(name, peers=rest).ok()["changed"] is False
    fix(name).ok()
    assert found(name)["openings"] == before


def test_rule_in_front(hosts: dict[str, Host]) -> None:
    """Somebody drops the port at the very top: it is named as iptables prints it, and the opening goes in front of it."""
    rule = "INPUT -p tcp -m tcp --dport 6783 -j DROP"
    hosts["h2"].check_output(f"iptables -I {rule}")
    try:
        text = str(found("h2")["blocked"])
        assert f"-A {rule}" in text
        assert not next(item["opened"] for item in found("h2")["blocked"] if item["traffic"] == "tcp 6783")
        assert fix("h2").ok()["changed"]
        rules = hosts["h2"].check_output("iptables -S INPUT").splitlines()
        assert rules[1] == "-A INPUT -m comment --comment crosshost.overlay -j CROSSHOST-INPUT"
        assert rules[2] == f"-A {rule}"
        assert fix("h2").ok()["changed"] is False
    finally:
        hosts["h2"].check_output(f"iptables -D {rule}")


@pytest.mark.skipif(not LAB, reason="needs a way to the host beside ssh")
@pytest.mark.parametrize("name", ["h1", "h2", "h3", "h4"])
def test_locked_out(hosts: dict[str, Host], name: str) -> None:
    """A change after which ssh no longer answers: the host takes it back by itself."""
    before = found(name)["openings"]
    rest = [address for address in UNDERLAY.values() if address != GONE]
    # No new ssh connection once the guard is armed, as if the change had been at fault; for 30 s.
    lock = "ip rule add pref 10 sport 22 prohibit"
    container_exec(
        name,
        "sh",
        "-c",
        "(for i in $(seq 200); do [ -e /run/crosshost-overlay/firewall-guard.json ] && break; sleep 0.1; done; "
        f"sleep 1; {lock}; sleep 25; ip rule del pref 10) > /dev/null 2>&1 < /dev/null &",
    )
    begin = time.monotonic()
    answer = fix(name, "-e", "ansible_timeout=5", peers=rest, guard=15)
    assert "by itself" in " ".join(answer.text.split())
    wait_for("ssh answers again", lambda: call(name, "firewall_info", backend="weave").failed is False, 60)
    assert time.monotonic() - begin < 90
    assert found(name)["openings"] == before
    assert fix(name).ok()["changed"] is False


@pytest.mark.parametrize("name", ["h1", "h3", "h4"])
def test_disabled_and_back(hosts: dict[str, Host], apps: dict[str, App], routers: Routers, name: str) -> None:
    """The old cure, if it is asked for by name: stopped and masked; and given back as it was."""
    done = fix(name, state="disabled").ok()
    assert done["changed"]
    assert hosts[name].run(f"systemctl is-active {UNITS[name]}").stdout.strip() == "inactive"
    assert hosts[name].run(f"systemctl is-enabled {UNITS[name]}").stdout.strip() == "masked"
    assert fix(name, state="disabled").ok()["changed"] is False
    back = fix(name).ok()
    assert sorted(back["openings"]) == FIREWALLS[name]
    assert hosts[name].check_output(f"systemctl is-active {UNITS[name]}") == "active"
    assert hosts[name].check_output(f"systemctl is-enabled {UNITS[name]}") == "enabled"
    assert fix(name).ok()["changed"] is False
    play("site", "--skip-tags=verify").ok()
    wait_for("containers reach each other", lambda: apps[name].reaches(apps["h2"], 1), 60)


def test_broken_firewalld(hosts: dict[str, Host]) -> None:
    """Its own words, and nothing is changed."""
    zone = "/etc/firewalld/zones/public.xml"
    before = hosts["h1"].check_output("cat /etc/crosshost-overlay/firewall.json")
    hosts["h1"].check_output("systemctl stop dbus.socket dbus")
    try:
        text = fix("h1", peers=[GONE]).refused()
    finally:
        hosts["h1"].check_output("systemctl start dbus.socket dbus; systemctl restart firewalld")
    assert "firewalld" in text
    assert "dbus" in text.lower()
    assert hosts["h1"].check_output("cat /etc/crosshost-overlay/firewall.json") == before
    assert GONE in hosts["h1"].check_output(f"cat {zone}")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"peers": ["h2.example.com"]}, "not an IP address", id="a name"),
        pytest.param({"peers": ["2001:db8::1"]}, "other address family", id="IPv6 and IPv4"),
        pytest.param({"address": "203.0.113.9"}, "on no interface of this host", id="an address that is elsewhere"),
        pytest.param({"bridges": ["a bridge"]}, "not the name of a network interface", id="no bridge"),
        pytest.param({"port": 65535}, "from 1 to 65534", id="no port left for the fast datapath"),
    ],
)
def test_bad_input(changed: dict[str, t.Any], words: str) -> None:
    """Refused before the first change."""
    assert words in fix("h2", **changed).refused()
    assert fix("h2").ok()["changed"] is False
