# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the plugins of crosshost.overlay only; it may change in any release.
"""The doctor's rules on what Weave Net and Docker have to do with each other: versions, plugin, proxy, ports. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import _weave_faults, _weave_versions
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_causes import NO_DOCKER
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_facts import (
    addresses,
    dig,
    matching,
    number,
    rows,
    texts,
)
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_model import Case, Finding, rule
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_weave import state, users, weave, words
from ansible_collections.crosshost.overlay.plugins.plugin_utils._doctor_words import listed, on, quoted, site

TLS = re.compile(r"unable to detect proxy TLS configuration|cannot locate running docker daemon", re.IGNORECASE)
PLUGIN = re.compile(r"(weavemesh|weave).{0,40}(plugin|not found)|plugin.{0,60}weave", re.IGNORECASE)
EVERYWHERE = ("0.0.0.0", "*", "::", "")
ROUTER = "weaver"


@rule("weave-api-version", unless=NO_DOCKER)
def api(case: Case) -> t.Iterator[Finding]:
    """Docker and the router have no version of Docker's API in common."""
    for host in users(case):
        lines = [line for line in words(case, host) if _weave_faults.kind_of_launch(line) == "api"]
        image = str(dig(weave(case, host), "container", "image") or "")
        lowest = str(dig(weave(case, host), "docker", "api_min") or "")
        source, dummy_sep, version = image.rpartition("/")[0], "", image.rpartition(":")[2]
        problem = _weave_versions.engine_problem(source, version, lowest, "") if image and lowest else None
        if not lines and not problem:
            continue
        yield Finding(
            "weave-api-version",
            "error",
            (host,),
            f"Docker on {host} is too new for this release of Weave Net",
            quoted(
                host, [*lines[-2:], f"docker version: MinAPIVersion {lowest or 'unknown'}", f"weave: image {image}"]
            ),
            problem or "The router speaks an old version of Docker's API that this engine refuses.",
            "Use the maintained release, which can speak a newer one.",
            (site("weave", weave_image_source="rajchaudhuri", weave_version="2.9.0"),),
            rank=18,
        )


@rule("weave-tls-detection", unless=NO_DOCKER)
def tls(case: Case) -> t.Iterator[Finding]:
    """The script looks for the TLS options of dockerd, and does not find them."""
    for host in users(case):
        lines = matching(TLS, weave(case, host), "log")
        # The script looks at the running dockerd; a launch that found nothing leaves no router.
        hidden = case.get(host, "docker", "tls", "enabled") is True and not dig(weave(case, host), "container")
        if not lines and not (hidden and weave(case, host).get("installed")):
            continue
        yield Finding(
            "weave-tls-detection",
            "error" if not dig(weave(case, host), "router") else "warning",
            (host,),
            f"'weave launch' does not find out how Docker on {host} uses TLS",
            quoted(
                host,
                lines[-2:]
                or [f"dockerd: tls enabled, hosts {listed(texts(case.info(host), 'docker', 'tls', 'hosts'))}"],
            ),
            "The script reads the options of a process called dockerd, and gives up where it runs in another way.",
            "Launch without that search; TLS of the proxy can be set by hand (weave_extra_args).",
            (site("weave", [host], weave_detect_tls="false"),),
            rank=28,
        )


@rule("weave-plugin-down", unless=[*NO_DOCKER, "weave-router-state", "weave-foreign-container"])
def plugin(case: Case) -> t.Iterator[Finding]:
    """The network 'weave', which containers join by name, is not there."""
    for host in users(case):
        if not dig(weave(case, host), "router") or dig(weave(case, host), "launch", "plugin") is not True:
            continue
        networks = case.rows(host, "docker", "networks")
        lost = [
            item
            for item in case.rows(host, "docker", "containers")
            if not item.get("running") and PLUGIN.search(str(item.get("error") or ""))
        ]
        there = any(net.get("driver") == "weavemesh" for net in networks)
        if case.get(host, "docker", "running") is not True or (there and not lost):
            continue
        yield Finding(
            "weave-plugin-down",
            "error",
            (host,),
            f"containers of {host} cannot join the network 'weave'"
            + (f": Docker gave up on {listed([str(item.get('name')) for item in lost])}" if lost else ""),
            quoted(host, [str(item.get("error")) for item in lost][:3] or ["Error: No such network: weave"]),
            "The router is a plugin of Docker, and Docker asked for it while it did not run, as after a boot.",
            "Start these containers again; the unit crosshost-weave-rejoin does that after each start of Docker."
            if there
            else "Restart the router, which makes the network.",
            on(host, *(f"docker start {item.get('name')}" for item in lost[:5]) if there else ["docker restart weave"]),
            rank=34,
        )


@rule("weave-entrypoint-left")
def entrypoint(case: Case) -> t.Iterator[Finding]:
    """Containers that were made through the proxy and wait for a program that is gone."""
    for host in case.read:
        left = [
            item
            for item in case.rows(host, "docker", "containers")
            if item.get("entrypoint_missing") is True and "/w/w" in str(item.get("error") or "/w/w")
        ]
        if not left:
            continue
        names = [str(item.get("name")) for item in left]
        yield Finding(
            "weave-entrypoint-left",
            case.grave(host),
            (host,),
            f"{listed(names)} on {host} start with a program of Weave Net that is gone (/w/w)",
            quoted(
                host, [f"{item.get('name')}: {item.get('error') or 'entry point /w/w, no such file'}" for item in left]
            ),
            "They were made through Weave Net's proxy, which put its own program in front of theirs; it went away with the router.",
            "Make these containers anew, without the proxy, as 'docker inspect' shows that they were made; remove the old ones when nothing in them is needed.",
            on(
                host,
                *(
                    step
                    for name in names[:5]
                    for step in (f"docker inspect {name}", f"docker rename {name} {name}-old")
                ),
            ),
            rank=46,
        )


@rule("port-taken", unless=[*NO_DOCKER, "weave-foreign-container"])
def port_taken(case: Case) -> t.Iterator[Finding]:
    """Somebody listens where the router wants to."""
    for host in users(case):
        if state(case, host) in ("running", "paused", "restarting") and dig(weave(case, host), "router"):
            continue
        if not case.expects("weave") and not dig(weave(case, host), "container"):
            continue
        port = int(number(weave(case, host), "launch", "port") or case.wish.get("port") or 6783)
        wanted = {
            ("tcp", port),
            ("udp", port),
            ("udp", port + 1),
            ("tcp", 6784),
            ("tcp", 6782),
            ("tcp", 53),
            ("udp", 53),
        }
        for item in [*rows(weave(case, host), "listeners"), *case.rows(host, "listeners")]:
            at = (str(item.get("proto")), int(number(item, "port") or 0))
            program = str(item.get("program") or "")
            # Without a process it is the kernel's: the port of the fast datapath, which outlives the router.
            if at not in wanted or program in (ROUTER, "docker-proxy") or not item.get("pid"):
                continue
            if at[1] == 53 and str(item.get("address")) not in (*EVERYWHERE, *_docker_bridge(case, host)):
                continue  # such as a resolver on 127.0.0.53
            yield Finding(
                "port-taken",
                "error",
                (host,),
                f"{program or 'a program'} on {host} holds {at[0]} port {at[1]}, which Weave Net's router needs",
                quoted(
                    host, [f'{at[0]} LISTEN {item.get("address")}:{at[1]} users:(("{program}",pid={item.get("pid")}))']
                ),
                "The router cannot bind the port and ends.",
                "Stop that program, or give the router another port (weave_port), or, for port 53, let it do without names (weave_dns).",
                (*on(host, f"ss -lntup 'sport = :{at[1]}'"), site("weave", [host])),
                rank=17,
            )
            break


def _docker_bridge(case: Case, host: str) -> list[str]:
    return addresses(case.interface(host, "docker0"))
