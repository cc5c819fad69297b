# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on hosts themselves: reached, readable, with Docker and Open vSwitch alive and room to write. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import (
    Case,
    Finding,
    dig,
    listed,
    number,
    on,
    quoted,
    rule,
    site,
    texts,
)

GONE = ("host-unreachable", "host-not-read")
FULL = 64 * 2**20  # bytes; below, packages and images fail
FULL_PART = 0.02  # of a file system that is small on purpose
HANGS = ("did not end within", "timed out", "timeout", "deadline exceeded")
DOCKER_UNIT = "docker"


@rule("host-unreachable")
def host_unreachable(case: Case) -> t.Iterator[Finding]:
    """Nothing is known of the host."""
    for host, why in case.unreachable.items():
        if host not in case.hosts:
            continue
        address = case.addresses.get(host, host)
        yield Finding(
            "host-unreachable",
            "error",
            (host,),
            f"{host} cannot be reached from the controller",
            quoted(host, why.splitlines() or ["unreachable"], 3),
            "The host is down, its SSH service does not answer, or the way to it is cut; what is wrong with its overlay cannot be seen.",
            f"Bring {host} back, or correct how Ansible reaches it, and run the doctor again.",
            (f"ping -c 3 {address}", f"ansible {host} -m ansible.builtin.ping"),
            rank=5,
        )


@rule("host-not-read", unless=["host-unreachable"])
def host_not_read(case: Case) -> t.Iterator[Finding]:
    """The host was reached and could not be asked."""
    for host in case.hosts:
        info = case.infos.get(host)
        if case.info(host) or host in case.unreachable:
            continue
        if info is None:
            yield _left(host)
            continue
        why = str(info.get("failed") or "") if isinstance(info, t.Mapping) else ""
        yield Finding(
            "host-not-read",
            "error",
            (host,),
            f"{host} was reached, and could not be asked how it is",
            quoted(host, why.splitlines() or ["no answer"], 3),
            "The module that looks at the host failed there: no root, no Python, or a command that did not end.",
            f"Cure what the line above says on {host}; 'become: true' and Python 3.8 or newer are needed.",
            (f"ansible {host} -b -m crosshost.overlay.overlay_info",),
            rank=6,
        )


def _left(host: str) -> Finding:
    """The finding of a host that nobody has asked, because an earlier task had failed there."""
    return Finding(
        "host-not-read",
        "error",
        (host,),
        f"{host} failed in an earlier task, and was not asked how it is",
        quoted(host, ["not asked"]),
        "A host on which a task fails takes no part in what follows; the message of that task, further up, is the cause.",
        f"Do what that message says, or have the doctor ask {host} by itself.",
        ("ansible-playbook crosshost.overlay.doctor",),
        rank=6,
    )


@rule("overlay-absent")
def overlay_absent(case: Case) -> t.Iterator[Finding]:
    """An overlay is asked for, and no host has anything of it."""
    if not case.backend or not case.read or any(case.marked(host, case.backend) for host in case.read):
        return
    if any(port.get("options") for host in case.read for port in case.rows(host, "openvswitch", "ports")):
        return  # somebody else's tunnels; the rules on those tell more
    yield Finding(
        "overlay-absent",
        "error",
        tuple(case.read),
        f"there is no overlay on {listed(case.read)}",
        tuple(f"{host}: no Docker network, bridge or router of crosshost.overlay" for host in case.read),
        f"overlay_backend is {case.backend}, and it was never set up on these hosts, or was taken away again.",
        "Set it up.",
        (site(),),
        rank=7,
    )


@rule("docker-missing", unless=["overlay-absent", "docker-hangs"])
def docker_missing(case: Case) -> t.Iterator[Finding]:
    """The overlay joins Docker's containers."""
    if not (case.expects("ovs_gre") or case.expects("weave")):
        return
    for host in case.read:
        if case.get(host, "docker", "installed") is False and not case.get(host, "docker", "running"):
            yield Finding(
                "docker-missing",
                "error",
                (host,),
                f"{host} has no Docker Engine",
                quoted(host, [str(case.get(host, "docker", "error") or "dockerd: command not found")]),
                "The overlay joins the containers of Docker, and this host has none.",
                "Install it; site.yml does so on Debian and Ubuntu.",
                (site(limit=[host]),),
                rank=12,
            )


@rule("docker-hangs")
def docker_hangs(case: Case) -> t.Iterator[Finding]:
    """The daemon takes a question and never answers."""
    for host in case.read:
        error = _docker_error(case, host)
        if case.get(host, "docker", "running") or not any(word in error for word in HANGS):
            continue
        yield Finding(
            "docker-hangs",
            "error",
            (host,),
            f"Docker on {host} does not answer",
            quoted(host, [error]),
            "dockerd runs and hangs: often it waits for a network plugin whose socket nobody serves any more, or for its disk.",
            "See what it waits for, then restart it.",
            on(
                host,
                "journalctl -u docker -n 50 --no-pager",
                "ls -l /run/docker/plugins/",
                "systemctl restart docker",
            ),
            rank=12,
        )


@rule("docker-stopped", unless=["docker-hangs", "docker-missing"])
def docker_stopped(case: Case) -> t.Iterator[Finding]:
    """Docker is there, is needed and does not run."""
    for host in case.read:
        needed = case.expects("ovs_gre") or case.expects("weave")
        if case.get(host, "docker", "installed") is not True or case.get(host, "docker", "running") is not False:
            continue
        if not needed:
            continue
        yield Finding(
            "docker-stopped",
            "error",
            (host,),
            f"Docker is stopped on {host}",
            quoted(host, [_docker_error(case, host) or "docker.service is not running"]),
            "No container and no network of this host works without the daemon.",
            "Start it; networks, links and containers come back by themselves.",
            on(host, f"systemctl start {DOCKER_UNIT}", f"journalctl -u {DOCKER_UNIT} -n 30 --no-pager"),
            rank=12,
        )


def _docker_error(case: Case, host: str) -> str:
    errors = case.get(host, "errors", "docker")
    return str(case.get(host, "docker", "error") or errors or "")


@rule("ovs-missing", unless=["overlay-absent"])
def ovs_missing(case: Case) -> t.Iterator[Finding]:
    """Where tunnels are expected there has to be Open vSwitch."""
    for host in case.read:
        if (
            case.expects("ovs_gre")
            and case.get(host, "openvswitch", "installed") is False
            and not _ovs_errors(case, host)
        ):
            yield Finding(
                "ovs-missing",
                "error",
                (host,),
                f"{host} has no Open vSwitch",
                quoted(host, ["ovs-vsctl: command not found"]),
                "The tunnels of this overlay are ports of Open vSwitch.",
                "Install it; site.yml does so on Debian and Ubuntu.",
                (site(limit=[host]),),
                rank=13,
            )


@rule("ovs-database-down", unless=["ovs-missing", "overlay-absent"])
def ovs_database_down(case: Case) -> t.Iterator[Finding]:
    """ovsdb-server, which knows bridges and tunnels, does not answer."""
    for host in case.read:
        ovs = case.part(host, "openvswitch")
        alive = ovs.get("database_ok", ovs.get("running"))
        if ovs.get("installed") is not True or alive is not False or not _needed(case, host):
            continue
        yield Finding(
            "ovs-database-down",
            "error",
            (host,),
            f"the database of Open vSwitch does not run on {host}",
            quoted(host, _ovs_errors(case, host) or ["ovsdb-server does not answer"]),
            "ovsdb-server is stopped or was killed. Tunnels may go on carrying packets until ovs-vswitchd ends, too, and nothing can be changed.",
            "Restart Open vSwitch; bridges and tunnels are in its database.",
            on(host, "systemctl restart openvswitch-switch", "ovs-vsctl show"),
            rank=14,
        )


@rule("ovs-vswitchd-down", unless=["ovs-database-down"])
def ovs_vswitchd_down(case: Case) -> t.Iterator[Finding]:
    """The database is there and nobody moves packets by it."""
    for host in case.read:
        ovs = case.part(host, "openvswitch")
        if ovs.get("installed") is not True or ovs.get("vswitchd_ok") is not False or not _needed(case, host):
            continue
        yield Finding(
            "ovs-vswitchd-down",
            "error",
            (host,),
            f"ovs-vswitchd does not run on {host}, so its tunnels carry nothing",
            quoted(host, _ovs_errors(case, host) or ["ovs-vswitchd does not answer"]),
            "The daemon that moves the packets has died or was stopped; the database still shows all ports as if they were well.",
            "Restart Open vSwitch, and look why it ended.",
            on(host, "systemctl restart openvswitch-switch", "tail -n 30 /var/log/openvswitch/ovs-vswitchd.log"),
            rank=14,
        )


def _ovs_errors(case: Case, host: str) -> list[str]:
    """Why Open vSwitch does not answer, in its own words."""
    found = texts(case.info(host), "openvswitch", "error") + texts(case.info(host), "errors", "openvswitch")
    return list(dict.fromkeys(line for line in found if line.strip()))


def _needed(case: Case, host: str) -> bool:
    """Open vSwitch may lie about unused; it counts where it is asked for, has bridges, or others have tunnels to it."""
    if case.expects("ovs_gre") or case.rows(host, "openvswitch", "bridges"):
        return True
    return any(
        case.host_of(str(dig(port, "options", "remote_ip") or "-")) == host
        for other in case.read
        for port in case.rows(other, "openvswitch", "ports")
        if isinstance(port.get("options"), t.Mapping)
    )


@rule("disk-full")
def disk_full(case: Case) -> t.Iterator[Finding]:
    """No room for images, records and logs."""
    for host in case.read:
        for disk in case.rows(host, "resources", "disk"):
            free, total = number(disk, "free_bytes"), number(disk, "total_bytes")
            if free is None or not total or free >= min(FULL, total * FULL_PART):
                continue
            yield Finding(
                "disk-full",
                "error",
                (host,),
                f"the disk of {host} is full at {disk.get('path')}",
                quoted(host, [f"{disk.get('path')}: {free:.0f} of {total:.0f} bytes free"]),
                "Docker, Open vSwitch and this collection write there; their files stay as they were, and changes fail.",
                "Make room.",
                on(host, f"df -h {disk.get('path')}", "docker system df", "journalctl --vacuum-size=200M"),
                rank=8,
            )
            break


@rule("read-only-etc")
def read_only(case: Case) -> t.Iterator[Finding]:
    """A file system that went read-only, mostly after an error of the disk."""
    for host in case.read:
        paths = [
            str(disk.get("path")) for disk in case.rows(host, "resources", "disk") if disk.get("read_only") is True
        ]
        if not paths:
            continue
        yield Finding(
            "read-only-etc",
            "error",
            (host,),
            f"{', '.join(paths)} cannot be written on {host}",
            quoted(host, [f"{path}: read-only file system" for path in paths]),
            "Nothing can be set up or repaired there. File systems become read-only by themselves when their disk has errors.",
            "Look for errors of the disk, then mount it writable again.",
            on(host, "dmesg | grep -iE 'i/o error|remount' | tail", f"mount -o remount,rw {paths[0]}"),
            rank=8,
        )
