# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The part of overlay_probe that sends: from the probe's namespace, and from those of containers that are there already."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli
from ansible_collections.crosshost.overlay.plugins.module_utils._docker import LABEL
from ansible_collections.crosshost.overlay.plugins.module_utils._netns import NamespaceError, call, started_at
from ansible_collections.crosshost.overlay.plugins.module_utils._probe import neighbour_overflows, probe
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_container import (
    ABSENT,
    MARK,
    Container,
    Have,
    second_name,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_echo import Settings, Target
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_names import Wanted, look_up
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_sweep import Source, deadline, sweep

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

MARGIN = 10  # seconds beyond the deadline of the probing itself, for a busy host
CHECKS = {"broadcast": "broadcast", "fragmented": "fragmented", "mtu": "largest", "udp": "udp"}  # option -> setting
SHOWN = '{"name":{{json .Name}},"pid":{{json .State.Pid}},"labels":{{json .Config.Labels}},"networks":{{json .NetworkSettings.Networks}}}'


def nothing(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the probe as it is reported while there is none."""
    return {
        "container": params["name"],
        "address": None,
        "pid": None,
        "tcp_port": params["port"],
        "hostname": params["hostname"],
        "dns_server": params["dns_server"],
        "same_host": None,
    }


def endpoints(docker: Cli, params: t.Mapping[str, t.Any]) -> list[Source]:
    """Return the running containers that O(containers) selects and that have an IPv4 address, but no probes; two processes."""
    chosen = params["containers"]
    if not chosen or not (chosen["network"] or chosen["label"]):
        return []
    network = chosen["network"] or params["network"]
    filters = [word for kind in ("network", "label") if chosen[kind] for word in ("--filter", f"{kind}={chosen[kind]}")]
    ids = docker.read("ps", "--quiet", "--no-trunc", *filters)[1].split()
    if not ids:
        return []
    rc, out, err = docker.read_full("container", "inspect", "--format", SHOWN, *ids, ok=(0, 1))
    if rc and not all(ABSENT.search(line) for line in err.splitlines() if line.strip()):
        docker.module.fail_json(msg=f"Cannot ask Docker about containers: {err.strip()}.", rc=rc, stderr=err)
    found = []
    for line in filter(None, out.splitlines()):
        item = json.loads(line)
        address = ((item["networks"] or {}).get(network) or {}).get("IPAddress")
        if address and item["pid"] and (item["labels"] or {}).get(LABEL) != MARK:
            found.append(Source(item["name"].lstrip("/"), address, f"/proc/{item['pid']}/ns/net"))
    return sorted(found, key=lambda source: source.name)


def shown(sources: t.Sequence[Source]) -> list[dict[str, str]]:
    """Return containers as the module reports them."""
    return [{"name": source.name, "address": source.address} for source in sources]


def measure(
    targets: t.Sequence[Target],
    names: t.Mapping[int, Wanted],
    settings: Settings,
    address: str,
    server: str,
    timeout: float,
) -> dict[str, t.Any]:
    """Probe all targets from here, then look up the names of those that have one; names is by index."""
    measured = probe(targets, settings, address)
    found = dict(zip(names, look_up(list(names.values()), server, timeout))) if names else {}
    for index, result in enumerate(measured["results"]):
        result["lookup"] = found.get(index)
    return measured


def targets_of(module: AnsibleModule, params: t.Mapping[str, t.Any], second: Container | None) -> list[Target]:
    """Return what to probe: the targets given, then the second probe of this host."""
    targets = [Target(item["name"], item["address"]) for item in params["targets"]]
    if params["same_host"]:
        name = second_name(params["name"])
        if second and second.ours and second.pid and second.address:
            targets.append(Target(name, second.address, "same_host"))
        else:
            module.warn(f"There is no second probe '{name}', so this host's own bridge is not measured.")
    return targets


def send(module: AnsibleModule, docker: Cli, params: t.Mapping[str, t.Any], have: Have) -> dict[str, t.Any]:
    """Probe all targets from the container's namespace, and all endpoints from the containers selected."""
    container = have.container
    if container is None or not container.ours or not container.pid or not container.address:
        module.fail_json(
            msg=f"There is no running probe container '{params['name']}' on the network '{params['network']}'; start it with state=present."
        )
        raise SystemExit(1)
    same = ("count", "interval", "timeout", "tcp_timeout", "port", "tcp")
    chosen = {setting: check in params["checks"] for check, setting in CHECKS.items()}
    mtu = params["mtu"] or have.mtu
    settings = Settings(**{option: params[option] for option in same}, **chosen, mtu=mtu)
    targets = targets_of(module, params, have.second)
    names = {
        index: Wanted(item["fqdn"], item["address"]) for index, item in enumerate(params["targets"]) if item["fqdn"]
    }
    server, patience, address = params["dns_server"] or "", params["lookup_timeout"], container.address
    limit = settings.deadline(len(targets)) + MARGIN + (patience if names else 0)
    before = (started_at(container.pid), neighbour_overflows())
    measured: dict[str, t.Any] = {"results": [], "broadcast": None}
    if targets:
        measured = within(
            module,
            f"/proc/{container.pid}/ns/net",
            f"the container '{params['name']}'",
            lambda: measure(targets, names, settings, address, server, patience),
            limit,
        )
    swept = send_from_endpoints(module, docker, params)
    after = (started_at(container.pid), neighbour_overflows())
    if after[0] is None or after[0] != before[0]:
        module.fail_json(
            msg=f"The probe container '{params['name']}' ended while it was in use, so its figures mean nothing; raise lifetime."
        )
    if after[1] != before[1]:
        module.warn(
            "The kernel's table of neighbours was full while probing, and packets were lost to that: "
            "raise the sysctls net.ipv4.neigh.default.gc_thresh1, gc_thresh2 and gc_thresh3 on this host."
        )
    found = {**nothing(params), "address": address, "pid": container.pid}
    return {"changed": False, "commands": [], "probe": found, **measured, "containers": swept}


def within(
    module: AnsibleModule, namespace: str, where: str, work: t.Callable[[], t.Any], limit: float
) -> dict[str, t.Any]:
    """Return what work() returns in a namespace; fail with the reason if it does not end well."""
    try:
        return t.cast("dict[str, t.Any]", call(namespace, work, limit))
    except (NamespaceError, OSError) as exc:
        module.fail_json(msg=f"Probing from {where} failed: {exc}.")
        raise SystemExit(1) from exc


def send_from_endpoints(
    module: AnsibleModule, docker: Cli, params: t.Mapping[str, t.Any]
) -> list[dict[str, t.Any]] | None:
    """Send from the containers selected to all endpoints; None if none are to be looked at."""
    if not params["containers"]:
        return None
    sources = endpoints(docker, params)
    wanted = [(host, item["name"], item["address"]) for host, items in params["endpoints"].items() for item in items]
    if not sources or not wanted:
        return []
    limit = deadline(len(sources), len(wanted), params["timeout"]) + MARGIN
    found = within(
        module,
        sources[0].path,
        "the containers that are there",
        lambda: {"swept": sweep(sources, wanted, params["timeout"])},
        limit,
    )
    return t.cast("list[dict[str, t.Any]]", found["swept"])
