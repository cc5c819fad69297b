# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of firewalls have in common: which host has which firewall, and ways to look at and through it."""

from __future__ import annotations

import concurrent.futures
import socket
import subprocess
import typing as t

from overlay_helpers import LAB, NAMES, UNDERLAY, App, calls_each, differences, side_by_side, wait_for

if t.TYPE_CHECKING:
    from testinfra.host import Host
    from weave_helpers import Routers

# As molecule/firewall/prepare.yml made them: what each host's firewalls are called, and what restarts and reloads them.
FIREWALLS = {
    "h1": ["firewalld"],
    "h2": ["iptables-nft"],
    "h3": ["nftables"],
    "h4": ["ufw"],
    "h5": ["iptables-nft"],
    "h6": ["iptables-legacy", "iptables-nft"],
}
UNITS = {
    "h1": "firewalld",
    "h2": "netfilter-persistent",
    "h3": "nftables",
    "h4": "ufw",
    "h5": "netfilter-persistent",
    "h6": "administrators-firewall",
}
RELOADS = {"h1": "firewall-cmd --reload", "h3": "systemctl reload nftables", "h4": "ufw reload"}
OUTSIDER = UNDERLAY["h1"].rpartition(".")[0] + ".1"  # this machine, on the underlay and no peer
FILES = ("/etc/firewalld", "/etc/ufw", "/etc/default/ufw", "/etc/nftables.conf", "/etc/iptables", "/etc/crosshost")
TCP = (6781, 6782, 6783, 6784, 53, 2375, 12375)
SERVICES = ["administrators-firewall"]  # what h6 has instead of a distribution's
UDP = (6783, 6784)
LISTEN = """
import select, socket, sys, time
bound = {}
for port in map(int, sys.argv[1:]):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("", port))
    bound[one] = port
end = time.monotonic() + 30  # starting one on each host takes a while
while time.monotonic() < end:
    for one in select.select(list(bound), [], [], 0.5)[0]:
        data, sender = one.recvfrom(100)
        print(sender[0], bound[one], flush=True)
"""
SEND = """
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for target in sys.argv[2:]:
    for port in map(int, sys.argv[1].split(",")):
        one.sendto(b"x", (target, port))
"""


def everywhere(hosts: dict[str, Host], command: str, names: t.Iterable[str] = NAMES) -> None:
    """Run a shell command on these hosts, side by side; it must work."""
    side_by_side(lambda name: hosts[name].check_output(command), names)


def each(commands: t.Mapping[str, str], hosts: dict[str, Host]) -> None:
    """Run each host's own command, side by side; it must work."""
    side_by_side(lambda name: hosts[name].check_output(commands[name]), commands)


def ring(apps: dict[str, App]) -> bool:
    """Whether every application reaches the next one."""
    return all(apps[name].reaches(apps[after], 1) for name, after in zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True))


def options(name: str) -> dict[str, t.Any]:
    """The options of firewalld_fix as the role gives them to this host."""
    return {"backend": "weave", "peers": list(UNDERLAY.values()), "address": UNDERLAY[name]}


def found(name: str) -> dict[str, t.Any]:
    """What firewall_info finds on a host."""
    return found_on([name])[name]


def found_on(names: t.Iterable[str] = NAMES) -> dict[str, dict[str, t.Any]]:
    """What firewall_info finds on these hosts."""
    return {
        name: done.ok()["firewall"]
        for name, done in calls_each("firewall_info", {name: options(name) for name in names}).items()
    }


def tcp_open(address: str, ports: t.Sequence[int] = TCP) -> set[int]:
    """TCP ports that answer this machine, which is no peer."""

    def answers(port: int) -> bool:
        with socket.socket() as one:
            one.settimeout(2)
            one.bind((OUTSIDER, 0))
            return one.connect_ex((address, port)) == 0

    with concurrent.futures.ThreadPoolExecutor(len(ports)) as pool:
        return {port for port, is_open in zip(ports, pool.map(answers, ports), strict=True) if is_open}


def tcp_open_from(host: Host, address: str, ports: t.Sequence[int] = TCP) -> set[int]:
    """TCP ports that answer a peer."""
    code = (
        "import socket, sys, concurrent.futures as f\n"
        "def answers(port):\n"
        "    one = socket.socket(); one.settimeout(2)\n"
        "    return one.connect_ex((sys.argv[1], port)) == 0\n"
        "ports = list(map(int, sys.argv[2:]))\n"
        "print(*[p for p, a in zip(ports, f.ThreadPoolExecutor(8).map(answers, ports)) if a])"
    )
    arguments = " ".join(map(str, ports))
    return {int(port) for port in host.check_output(f"python3 -c %s {address} {arguments}", code).split()}


def container_exec(name: str, *argv: str) -> None:
    """Run a command in a lab host without ssh."""
    subprocess.run(["docker", "exec", f"{LAB}-{name}", *argv], check=True, timeout=60)


def healed(apps: dict[str, App], routers: Routers) -> None:
    """Wait until the overlay works again without Ansible."""
    wait_for("all routers are linked", routers.whole, 120)
    wait_for("containers reach each other", lambda: ring(apps), 60)


def firewall_differences(then: dict[str, t.Any], now: dict[str, t.Any]) -> list[str]:
    """What differs between the firewalls of two snapshots of a host, rule by rule and file by file, but for what Docker leaves behind."""
    differ = []
    for key in ("firewalld", "nftables", "iptables legacy"):
        differ += differences(_without_docker(then[key]), _without_docker(now[key]), f"/{key}")
    differ += differences(_of_others(then["iptables"]), _of_others(now["iptables"]), "/iptables")
    # Docker sets this policy to DROP, and does not take it back when it is removed.
    if (policy := _forward_policy(now["iptables"])) not in (_forward_policy(then["iptables"]), ":FORWARD DROP"):
        differ.append(policy)
    # firewalld makes a copy of a zone of its own when a rule comes and goes; what is in it has just been compared.
    files = {
        path: text for path, text in now["files"].items() if path in then["files"] or "/firewalld/zones/" not in path
    }
    return differ + differences(_configuration(then["files"]), _configuration(files), "/files")


def _configuration(files: dict[str, str]) -> dict[str, str]:
    """The files of firewalls, without those that Docker writes."""
    return {path: text for path, text in files.items() if path.startswith(FILES) and "docker" not in path}


def _without_docker(found: object) -> object:
    """Zones but for Docker's own, as text."""
    if isinstance(found, dict):
        return {key: _without_docker(value) for key, value in found.items()}
    return [zone for zone in "\n".join(found).split("\n\n") if not zone.startswith("docker")]  # type: ignore[arg-type]


def _forward_policy(tables: dict[str, list[str]]) -> str:
    """The line of iptables-save about it; as long as there is no table, packets are accepted."""
    return next((line.strip() for line in tables["filter"] if line.startswith(":FORWARD")), ":FORWARD ACCEPT")


def _of_others(tables: dict[str, list[str]]) -> list[str]:
    """Rules of the filter table that neither Docker nor Weave Net made; their chains stay empty until the next start."""
    made = ("DOCKER", "WEAVE", "docker", ":FORWARD")
    return [line for line in tables["filter"] if not any(word in line for word in made)]
