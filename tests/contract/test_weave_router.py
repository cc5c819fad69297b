# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the collection relies on in Weave Net 2.9.0, against the real one or the stand-in; see conftest.py.

The expectations are recordings of a real router (observed/ and tests/unit/fixtures/weave). The tests run in this order: each
group launches what it needs.
"""

from __future__ import annotations

import json
import os
import re
import time
import typing as t
from pathlib import Path

import pytest

OBSERVED = Path(__file__).parent / "observed"
REPORTS = Path(__file__).parents[1] / "unit/fixtures/weave"
RECORDED_H1 = "172.30.0.2"
NAME_1, NAME_2 = "02:00:00:00:00:01", "02:00:00:00:00:02"
REAL = bool(os.environ.get("WEAVE_SCRIPT"))
OWN_CLOCKS = os.environ.get("CONTRACT_OWN_CLOCKS") == "1"
API = "curl -sS http://127.0.0.1:6784"
LIST_CONTAINERS = 'docker ps -a --format "{{.Names}} {{.State}} {{.Status}}" | grep ^weave'


def shape(value: t.Any) -> t.Any:
    """Keys and types of a JSON document; of a list its first element.

    MACs is what the router has seen pass, which depends on what else talks on the host; the rest does not.
    """
    if isinstance(value, dict):
        return {key: shape(item) for key, item in sorted(value.items()) if key != "MACs"}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


def observed(name: str) -> dict[str, t.Any]:
    return json.loads((REPORTS / f"{name}.json").read_text(encoding="utf-8"))


# Nothing launched


def test_version_before_a_launch(h1) -> None:
    done = h1.weave("version")
    assert (done.rc, done.text.rstrip()) == (0, h1.recorded("version_not_launched").rstrip())


def test_status_before_a_launch(h1) -> None:
    done = h1.weave("status")
    assert (done.rc, done.text) == (1, h1.recorded("status_not_launched"))


def test_report_before_a_launch(h1) -> None:
    done = h1.weave("report")
    assert (done.rc, done.text) == (7, h1.recorded("report_not_launched"))


@pytest.mark.parametrize(
    ("args", "recording", "reason"),
    [
        ("--nosuch", "launch_bad_flag", "flag provided but not defined: --nosuch"),
        ("--name zz", "launch_bad_name", "zz"),
        ("--ipalloc-range 10.0.0.1/33", "launch_bad_range", "invalid CIDR address: 10.0.0.1/33"),
        ("--ipalloc-range 10.0.0.1/16", "launch_hostbits", "bits after network prefix are not all zero"),
    ],
    ids=["flag", "name", "prefix", "host bits"],
)
def test_a_router_that_dies_at_its_start(h1, args: str, recording: str, reason: str) -> None:
    done = h1.weave(f"launch --no-detect-tls {args}", "WEAVE_NO_FASTDP=1")
    assert (done.rc, done.text) == (1, (OBSERVED / f"{recording}.txt").read_text(encoding="utf-8"))
    assert reason in h1.sh("docker logs weave").text
    containers = h1.sh(LIST_CONTAINERS).text
    assert re.search(r"^weave exited Exited \(\d+\)", containers, re.MULTILINE), containers
    if args == "--nosuch":
        assert "weave exited Exited (125)" in containers


# One router


def test_launch_and_launch_again(h1) -> None:
    h1.reset()
    done = h1.launch("--nickname h1")
    assert done.rc == 0, done.text
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.text)
    again = h1.weave("launch")
    assert (again.rc, again.text) == (3, h1.recorded("launch_again"))


def test_report_of_one(h1) -> None:
    report = h1.report()
    assert shape(report) == shape(observed("report_single"))
    assert report["Ready"] is True
    assert report["Router"]["Name"] == NAME_1


def test_status_of_one(h1) -> None:
    upstream = r"Upstream: .*"
    done = h1.weave("status")
    wanted = re.sub(upstream, "Upstream: X", h1.recorded("status_single"))
    assert (done.rc, re.sub(upstream, "Upstream: X", h1.plain(done.text))) == (0, wanted)


def test_the_container(h1) -> None:
    have = json.loads(h1.sh("docker inspect weave").text)[0]
    want = observed_inspect()
    assert have["Path"] == want["Path"]
    bridge = json.loads(h1.sh("ip -j -4 addr show dev docker0").text)[0]["addr_info"][0]["local"]
    args = [arg.replace("172.17.0.1", bridge) for arg in want["Args"]]
    args[args.index("h1")] = h1.hostname
    # As the tests launch it: the name first, then the nickname.
    resolv = args.index("--resolv-conf") + 1
    args[resolv] = have["Args"][resolv]
    assert have["Args"] == args
    for key in ("NetworkMode", "PidMode", "Privileged", "VolumesFrom", "RestartPolicy", "SecurityOpt", "AutoRemove"):
        assert have["HostConfig"][key] == want["HostConfig"][key], key
    assert [bind.partition(":")[2] for bind in have["HostConfig"]["Binds"]] == [
        bind.partition(":")[2] for bind in want["HostConfig"]["Binds"]
    ]
    assert {mount["Destination"] for mount in have["Mounts"]} == {mount["Destination"] for mount in want["Mounts"]}
    env = {entry for entry in have["Config"]["Env"] if not entry.startswith(("PATH=", "EXEC_IMAGE="))}
    assert env == {entry for entry in want["Config"]["Env"] if not entry.startswith("EXEC_IMAGE=")} - {
        "IPTABLES_BACKEND"
    } | {entry for entry in env if entry.startswith("IPTABLES_BACKEND")}
    assert want["Config"]["Labels"].items() <= have["Config"]["Labels"].items()
    assert have["Config"]["Image"].endswith("/weave:2.9.0")


def observed_inspect() -> dict[str, t.Any]:
    return json.loads((REPORTS / "inspect_single.json").read_text(encoding="utf-8"))[0]


def test_connections_of_one(h1) -> None:
    done = h1.weave("status connections")
    assert (done.rc, done.text) == (0, "")


# Two routers


@pytest.fixture(scope="module")
def two(h1, h2) -> None:
    """h1, and h2 that dials it; sleeve."""
    h1.reset()
    h2.reset()
    assert h1.launch("--nickname h1").rc == 0
    done = h2.launch(f"--nickname h2 {h1.address}")
    assert (done.rc, h2.plain(done.text)) == (0, "CONTAINER\n")
    h2.settles(r"-> 172\.30\.0\.2:6783 established sleeve .* mtu=1438")


@pytest.mark.usefixtures("two")
class TestTwo:
    def test_connections_on_both_sides(self, h1, h2) -> None:
        h1.settles("mtu=1438")
        assert h2.connections() == h2.recorded("connections_two_h2")
        assert h1.connections() == h1.recorded("connections_two_h1")

    def test_peers(self, h2) -> None:
        end = time.monotonic() + 30
        while True:
            text = h2.plain(h2.weave("status peers").text)
            if text == h2.recorded("peers_h2"):
                return
            assert time.monotonic() < end, text
            time.sleep(0.5)

    def test_targets(self, h2) -> None:
        assert h2.plain(h2.weave("status targets").text) == h2.recorded("targets_h2")

    def test_report(self, h2) -> None:
        report, wanted = h2.report(), observed("report_two_h2")
        # Depends on whether an address has been asked for.
        report["IPAM"]["Entries"] = wanted["IPAM"]["Entries"]
        assert shape(report) == shape(wanted)
        assert report["Router"]["Connections"][0]["Attrs"] == {"mtu": 1438, "name": "sleeve"}
        assert {peer["Name"] for peer in report["Router"]["Peers"]} == {NAME_1, NAME_2}

    def test_status_over_http(self, h2) -> None:
        text = h2.sh(f"{API}/status -i").text.replace("\r", "")
        head, dummy, body = text.partition("\n\n")
        assert head.startswith("HTTP/1.1 200 OK\n")
        assert "Content-Type: text/plain; charset=utf-8" in head
        recorded = (OBSERVED / "curl_status.txt").read_text(encoding="utf-8").partition("\n\n")[2]
        hide = r"(Upstream|Status): .*"
        assert re.sub(hide, r"\1", h2.plain(body)).rstrip() == re.sub(hide, r"\1", h2.plain(recorded)).rstrip()

    @pytest.mark.parametrize("call", ["connect -d peer=172.30.0.2", "forget -d peer=172.30.0.99"])
    def test_connect_and_forget_over_http(self, h1, h2, call: str) -> None:
        done = h2.sh(f"{API}/{call.replace(RECORDED_H1, h1.address)} -i -X POST")
        assert re.search(r"HTTP/1.1 200 OK\r?\n(.*\r?\n)*Content-Length: 0", done.text)

    def test_a_format(self, h2) -> None:
        assert h2.weave("report -f '{{ .Version }}'").text.strip() == "2.9.0"

    def test_status_address_answers_but_does_not_obey(self, h2) -> None:
        code = "-o /dev/null -w '%{http_code}'"
        assert h2.sh(f"curl -sS {code} http://127.0.0.1:6782/report -H 'Accept: application/json'").text == "200"
        assert h2.sh(f"curl -sS {code} -X POST http://127.0.0.1:6782/forget").text in ("404", "405")

    def test_a_peer_without_address(self, h2) -> None:
        done = h2.weave("connect nosuch.invalid")
        assert done.rc == 1
        assert done.text.startswith("lookup nosuch.invalid")
        assert h2.sh(f"{API}/connect -d peer=nosuch.invalid -o /dev/null -w '%{{http_code}}'").text == "400"

    def test_an_unreachable_peer_and_ourself(self, h1, h2) -> None:
        nobody = re.sub(r"\d+$", "99", h2.address)
        assert h2.weave(f"connect {nobody} {h2.address}") == (0, "")
        text = h2.settles("cannot connect to ourself, retry: never")
        assert re.search(rf"-> {re.escape(nobody)}:6783 (connecting|retrying|failed) ", text)
        assert h2.report()["Router"]["Targets"] != [h1.address]
        assert h2.weave(f"forget {nobody} {h2.address}") == (0, "")
        assert h2.weave("forget 172.30.0.77") == (0, "")
        # The real one forgets an attempt that is under way when it ends.
        h2.settles(r"\A-> 172\.30\.0\.2:6783 established .*\n(-> \S+ (connecting|retrying).*\n)?\Z")

    def test_replace(self, h1, h2) -> None:
        assert h2.weave(f"connect --replace {h1.address}") == (0, "")
        assert h2.weave("status targets").text == f"{h1.address}\n"

    def test_remove_an_unknown_peer(self, h2) -> None:
        assert h2.weave("rmpeer 02:00:00:00:00:99") == (0, h2.recorded("rmpeer_unknown"))

    def test_expose_and_hide(self, h2) -> None:
        shown = h2.weave("expose")
        assert shown.rc == 0, shown.text
        assert re.fullmatch(r"10\.\d+\.\d+\.\d+\n", shown.text)
        assert h2.weave("expose").text == shown.text
        assert f"weave:expose {NAME_2} {shown.text.strip()}/12" in h2.weave("ps").text
        assert h2.sh("ip -br -4 addr show dev weave").text.split()[-1] == f"{shown.text.strip()}/12"
        assert h2.weave("hide") == (0, shown.text)
        assert h2.weave("ps").text.splitlines()[0].strip() == f"weave:expose {NAME_2}"

    def test_who_owns_the_addresses(self, h2) -> None:
        entries = h2.report()["IPAM"]["Entries"]
        assert shape(entries) == shape(observed("report_encrypted")["IPAM"]["Entries"])
        assert sum(entry["Size"] for entry in entries) == 1 << 20

    def test_names_of_the_domain(self, h2) -> None:
        assert h2.weave("dns-args").text.split()[-1] == "--dns-search=weave.local."
        assert h2.sh(f"{API}/domain").text == "weave.local."

    def test_rules_of_the_firewall(self, h2) -> None:
        rules = h2.sh("iptables -S").text
        for rule in ("-N WEAVE-CANARY", "-N WEAVE-EXPOSE", "-A FORWARD -i weave -o weave -j ACCEPT"):
            assert rule in rules


# Containers


def run_container(machine, name: str) -> str:
    machine.sh(f"docker rm -f {name}")
    done = machine.sh(
        f"timeout 120 docker run -d --name {name} --network weave $(weave dns-args) contract:1 /bin/busybox sleep 3600"
    )
    assert done.rc == 0, done.text
    return machine.sh(f"docker inspect -f '{{{{.NetworkSettings.Networks.weave.IPAddress}}}}' {name}").text.strip()


def ping(machine, target: str, size: int = 56) -> bool:
    return machine.sh(f"docker exec contract /bin/busybox ping -c 1 -W 2 -s {size} {target}").rc == 0


def ping_within(machine, target: str, seconds: float) -> float:
    start = time.monotonic()
    while not ping(machine, target):
        assert time.monotonic() - start < seconds, f"{machine.alias} does not reach {target} within {seconds} s"
    return time.monotonic() - start


@pytest.fixture(scope="module")
def apart(h1, h2) -> t.Iterator[dict[str, str]]:
    """Fast datapath, both dial, and a container on each host."""
    h1.reset()
    h2.reset()
    seeds = f"--ipalloc-init seed={NAME_1},{NAME_2}"
    for machine in (h1, h2):
        peers = f"{h1.address} {h2.address}"
        assert machine.launch(f"{seeds} {peers}", fast=True).rc == 0
    h2.settles("established")
    yield {machine.alias: run_container(machine, "contract") for machine in (h1, h2)}
    for machine in (h1, h2):
        machine.sh("docker rm -f contract")


class TestContainers:
    def test_fast_datapath_on_one_connection(self, apart, h1, h2) -> None:
        text = h2.settles(r"established fastdp .* mtu=1376")
        assert text.count("established") == 1
        assert h2.report()["Router"]["Connections"][0]["Attrs"] == {"mtu": 1376, "name": "fastdp"}

    def test_containers_reach_each_other(self, apart, h1, h2) -> None:
        assert apart["h1"] != apart["h2"]
        ping_within(h1, apart["h2"], 30)
        assert ping(h2, apart["h1"], size=1348)

    def test_names_from_the_other_host(self, apart, h1) -> None:
        end = time.monotonic() + 30
        while "contract" not in h1.weave("status dns").text and time.monotonic() < end:
            time.sleep(0.5)
        done = h1.sh("docker exec contract /bin/busybox nslookup contract.weave.local")
        assert apart["h2"] in done.text, done.text

    def test_a_relaunch_keeps_addresses_and_traffic(self, apart, h1, h2) -> None:
        seeds = f"--ipalloc-init seed={NAME_1},{NAME_2}"
        owned = h1.report()["IPAM"]["ActiveIPs"]
        assert h1.launch(f"{seeds} --conn-limit 150 {h1.address} {h2.address}", fast=True).rc == 0
        ping_within(h1, apart["h2"], 30)
        assert h1.report()["IPAM"]["ActiveIPs"] == owned

    def test_a_killed_router_comes_back_with_its_peers(self, apart, h1, h2) -> None:
        h2.weave("connect 198.51.100.9")
        h2.sh("kill -9 $(docker inspect -f '{{.State.Pid}}' weave)")
        seconds = 15 if not REAL else 60
        time.sleep(1)
        ping_within(h1, apart["h2"], seconds)
        h2.settles(rf"{re.escape(NAME_1)}|established", seconds)
        assert "198.51.100.9" in h2.weave("status targets").text
        assert h2.sh("docker inspect -f '{{.RestartCount}}' weave").text.strip() == "1"


# Connections that fail


@pytest.fixture
def alone(h1, h2) -> t.Iterator[None]:
    """h1 as it is launched by default, and afterwards a host without the rules a test has made."""
    h1.sh("docker rm -f contract")
    h2.sh("docker rm -f contract")
    h1.reset()
    h2.reset()
    yield
    for protocol, verdict in (
        ("tcp", "REJECT --reject-with icmp-host-prohibited"),
        ("tcp", "DROP"),
        ("udp", "DROP"),
    ):
        h1.sh(f"iptables -D INPUT -p {protocol} --dport 6783 -j {verdict}")


@pytest.mark.usefixtures("alone")
class TestFailures:
    def test_password_on_one_side(self, h1, h2) -> None:
        h1.launch()
        assert h2.launch(h1.address, "WEAVE_PASSWORD=canary").rc == 0
        text = h2.settles("failed")
        assert text == h2.recorded("connections_pw_one_side")
        report, wanted = h2.report(), observed("report_pw_one_side")
        report["IPAM"]["Entries"] = wanted["IPAM"]["Entries"]
        assert shape(report) == shape(wanted)

    def test_password_on_the_other_side(self, h1, h2) -> None:
        h1.launch("", "WEAVE_PASSWORD=canary")
        h2.launch(h1.address)
        text = h2.settles("failed")
        assert "failed no password specificed, but peer requested an encrypted connection, retry: TIME" in text

    def test_passwords_that_differ(self, h1, h2) -> None:
        h1.launch("", "WEAVE_PASSWORD=canary")
        h2.launch(h1.address, "WEAVE_PASSWORD=other")
        text = h2.settles(r"failed Unable to decrypt|decrypt")
        assert text == h2.recorded("connections_pw_differs")

    def test_the_same_password(self, h1, h2) -> None:
        h1.launch("", "WEAVE_PASSWORD=canary")
        h2.launch(h1.address, "WEAVE_PASSWORD=canary")
        text = h2.settles("mtu=1414")
        assert text == h2.recorded("connections_encrypted")
        assert h2.report()["Router"]["Connections"][0]["Attrs"] == {"encrypted": True, "mtu": 1414, "name": "sleeve"}
        assert "canary" not in h2.sh("docker logs weave; ps -ef | grep -v grep; weave status; weave report").text

    def test_a_firewall_that_rejects(self, h1, h2) -> None:
        h1.launch()
        h1.sh("iptables -I INPUT -p tcp --dport 6783 -j REJECT --reject-with icmp-host-prohibited")
        h2.launch(h1.address)
        assert h2.settles("failed") == h2.recorded("connections_fw_reject")

    def test_a_firewall_that_drops(self, h1, h2) -> None:
        h1.launch()
        h1.sh("iptables -I INPUT -p tcp --dport 6783 -j DROP")
        h2.launch(h1.address)
        assert h2.settles("connecting") == h2.recorded("connections_fw_drop")

    def test_a_firewall_that_drops_datagrams(self, h1, h2) -> None:
        h1.launch("", "WEAVE_PASSWORD=canary")
        h1.sh("iptables -I INPUT -p udp --dport 6783 -j DROP")
        h2.launch(h1.address, "WEAVE_PASSWORD=canary")
        assert h2.settles("pending") == h2.recorded("connections_udp_drop")
        time.sleep(5)
        assert h2.connections() == h2.recorded("connections_udp_drop_later")

    def test_nobody_listens(self, h1, h2) -> None:
        h2.launch(h1.address)
        text = h2.settles("failed")
        assert re.search(r"failed dial tcp :0->172\.30\.0\.2:6783: connect: connection refused, retry: TIME", text)

    def test_two_peers_with_one_name(self, h1, h2) -> None:
        h1.launch("--nickname h1")
        h2.weave("stop")
        h2.weave(f"launch --name {NAME_1} --nickname h2 --no-detect-tls {h1.address}", "WEAVE_NO_FASTDP=1")
        text = h2.settles("failed")
        wanted = f'failed local "{NAME_1}(h2)" and remote "{NAME_1}(h1)" peer names collision, retry: never'
        assert wanted in text

    def test_clocks_apart(self, h1, h2) -> None:
        if REAL and not OWN_CLOCKS:
            pytest.skip("the clock of these hosts may not be set (CONTRACT_OWN_CLOCKS=1 says that it may)")
        h1.launch("", fast=True)
        offset = "WEAVE_DOCKER_ARGS='-e STANDIN_CLOCK_OFFSET=1200'"
        if OWN_CLOCKS:
            h2.sh("date -s '+1200 sec'")
            offset = ""
        try:
            h2.launch(h1.address, offset, fast=True)
            text = h2.settles("clock skew")
            report, wanted = h2.report(), observed("report_clock_skew")
        finally:
            if OWN_CLOCKS:
                h2.sh("date -s '-1200 sec'")
        # Seconds pass between two clocks' readings.
        text = re.sub("-(1199|1201)s", "-1200s", text)
        assert text == h2.recorded("connections_clock_skew")
        report["IPAM"]["Entries"] = wanted["IPAM"]["Entries"]
        assert shape(report) == shape(wanted)

    def test_different_seeds(self, h1, h2) -> None:
        h1.launch(f"--ipalloc-init seed={NAME_1},{NAME_2}")
        h2.launch(f"--ipalloc-init seed={NAME_2} {h1.address}")
        text = h2.settles("failed")
        assert re.search(
            r"failed IP allocation was seeded by different peers \(received: \[.*\], ours: \[.*\]\), retry:", text
        )

    def test_different_ranges(self, h1, h2) -> None:
        h1.launch(f"--ipalloc-init seed={NAME_1}")
        h2.launch(f"--ipalloc-init seed={NAME_1} --ipalloc-range 10.64.0.0/16 {h1.address}")
        text = h2.settles("failed")
        wanted = "failed Incompatible IP allocation ranges (received: 10.32.0.0/12, ours: 10.64.0.0/16), retry: TIME"
        assert wanted in text

    def test_the_limit_of_connections(self, h1, h2) -> None:
        h1.launch()
        h2.launch(f"--conn-limit 1 {h1.address}")
        h2.settles("established")
        nobody = re.sub(r"\d+$", "99", h2.address)
        h2.weave(f"connect {nobody}")
        h2.settles(r"Connection limit reached \(1\)")

    def test_a_range_in_use_by_a_route(self, h2) -> None:
        done = h2.launch(f"--ipalloc-range {re.sub('[0-9]+$', '0', h2.address)}/23".replace("21.0/23", "20.0/23"))
        lines = done.text.splitlines()
        if "invalid subnet" in h2.sh("docker logs weave").text:
            pytest.skip("the underlay of these hosts is no /23")
        recorded = (OBSERVED / "launch_overlap.txt").read_text(encoding="utf-8").splitlines()
        assert re.match(r"Network \S+ overlaps with existing route \S+ on host", lines[0])
        assert re.sub(r"\d+\.\d+\.\d+\.\d+/\d+", "X", lines[1]) == re.sub(r"\d+\.\d+\.\d+\.\d+/\d+", "X", recorded[1])
        assert (done.rc, lines[2]) == (0, recorded[2])


# Containers of the name in other states


@pytest.mark.usefixtures("alone")
class TestOtherContainers:
    def test_a_foreign_one(self, h2) -> None:
        h2.sh("docker run -d --name weave contract:1 /bin/busybox sleep 600")
        done = h2.weave("launch")
        assert (done.rc, done.text) == (2, "Found another running container named 'weave'. Aborting.\n")
        h2.sh("docker stop -t 0 weave")
        done = h2.weave("launch")
        assert (done.rc, done.text) == (2, "Found another container named 'weave'. Aborting.\n")
        h2.sh("docker rm -f weave")

    def test_one_that_was_never_started_or_is_paused(self, h2) -> None:
        h2.launch()
        image = h2.sh("docker inspect -f '{{.Config.Image}}' weave").text.strip()
        wanted = "weave is created, paused, or restarting; you can stop it with 'weave stop'.\n"
        h2.sh("docker pause weave")
        assert h2.weave("launch") == (1, wanted)
        h2.sh(f"docker rm -f weave; docker create --name weave {image}")
        assert h2.weave("launch") == (1, wanted)
        h2.sh("docker rm weave")

    def test_stopped(self, h2) -> None:
        h2.launch()
        assert h2.weave("stop") == (0, "")
        assert h2.weave("status") == (1, h2.recorded("status_stopped"))
        assert "weave" in h2.sh("ip -br link show weave").text
        assert h2.launch().rc == 0

    def test_killed_and_reset(self, h2) -> None:
        h2.launch()
        h2.sh("docker kill -s KILL weave; sleep 1")
        states = h2.sh(LIST_CONTAINERS).text
        assert re.search(r"^weave exited Exited \(137\)", states, re.MULTILINE), states
        done = h2.weave("reset")
        assert (done.rc, done.text.splitlines()) == (1, h2.recorded("reset_h2").splitlines()[:2])
        assert h2.weave("reset --force").rc == 0
        assert h2.sh("ip -br link").text.count("weave") == 0
        assert h2.sh("docker ps -a --format '{{.Names}}' | grep -c ^weave").text.strip() == "0"
        assert h2.sh("docker network ls --format '{{.Driver}}' | grep -c weavemesh").text.strip() == "0"
