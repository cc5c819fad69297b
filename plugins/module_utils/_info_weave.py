# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""All that there is to know of Weave Net on a host, as weave_info and overlay_info return it."""

from __future__ import annotations

import json
import os
import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import (
    _files,
    _info_listeners,
    _info_ours,
    _info_secrets,
    _weave_args,
    _weave_host,
    _weave_state,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import SBIN, Cli
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import TIMEOUT, Api

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

DNS_PORT = 53
LOCAL_PORTS = (6781, 6782, 6784, 12375)  # metrics of the policy controller, status, API, proxy
LOG_LINES = 40
UNIT = "weave.service"  # what the guides to Weave Net have people write; it starts a router that Docker starts, too
NO_VERSIONS = {"version": "", "api_min": "", "api_max": ""}


def empty() -> dict[str, t.Any]:
    """What is returned when nothing can be read."""
    return {"installed": False, "script": None, "images": [], "docker": dict(NO_VERSIONS), "error": ""}


def fill(
    facts: dict[str, t.Any],
    module: AnsibleModule,
    script: str,
    http_address: str,
    port: int,
    timeout: float,
) -> _weave_state.Have:
    """Read everything, the host's own first: when Docker does not answer, what was read before remains."""
    found = script_facts(module, script)
    # On port 53 only those count that could be in its way, but that is for the reader to tell.
    wanted = {port, port + 1, DNS_PORT, *LOCAL_PORTS}
    nobody = _weave_state.Have(None, None, None, False, _weave_state.bridge_there(), None, _weave_state.read_record())
    facts.update(installed=found is not None, script=found, error="Docker is not installed")
    facts.update(_weave_state.describe(nobody))
    facts.update(
        kernel=_weave_host.kernel_facts(module, timeout),
        files=_weave_host.files(),
        listeners=_info_listeners.listeners(Cli(module, "ss", timeout=timeout, package="iproute2"), wanted),
    )
    if not module.get_bin_path("docker", opt_dirs=SBIN):
        return nobody
    docker = Cli(module, "docker", timeout=timeout)
    facts["docker"], facts["error"] = docker_facts(docker)
    if facts["error"]:
        return nobody
    facts["images"] = images(docker)
    have = _weave_state.observe(docker, Api(http_address, min(TIMEOUT, timeout)), nobody.bridge)
    facts.update(_weave_state.describe(have))
    return have


def script_facts(module: AnsibleModule, path: str) -> dict[str, t.Any] | None:
    """Read path, checksum and version of the script."""
    text = _files.read(path) if os.path.isfile(path) else None
    if text is None:
        return None
    version = re.search(r'^SCRIPT_VERSION="?([^"\s]+)"?', text, re.MULTILINE)
    return {"path": path, "sha256": module.sha256(path), "version": version.group(1) if version else ""}


def docker_facts(docker: Cli) -> tuple[dict[str, str], str]:
    """Read the engine's versions; the second value says why not."""
    result = docker.run_raw("version", "--format", "{{json .Server}}")
    server = json.loads(result.out) if result.rc == 0 and result.out.strip() not in ("", "null") else None
    if server is None:
        return dict(NO_VERSIONS), result.message
    return {
        "version": server.get("Version", ""),
        "api_min": server.get("MinAPIVersion", ""),
        "api_max": server.get("ApiVersion", ""),
    }, ""


def images(docker: Cli) -> list[str]:
    """Read the images of Weave Net."""
    names = docker.read("image", "ls", "--format", "{{.Repository}}:{{.Tag}}")[1].splitlines()
    return sorted(name for name in names if re.search(r"(^|/)weave(exec|db)?:(?!<none>)", name))


def there(facts: t.Mapping[str, t.Any]) -> bool:
    """Whether anything of Weave Net is on the host, be it only what was left behind."""
    left = facts.get("container") or facts.get("database") or facts.get("record") or _weave_state.bridge_there()
    return bool(left or facts["installed"])


def secrets_of(have: _weave_state.Have) -> set[str]:
    """The passwords that the router's container holds."""
    found: set[str] = set()
    for container in filter(None, (have.container, have.previous)):
        found |= _info_secrets.secrets_of(dict(_weave_args.split(container.argv)[0]))
        found |= {container.password} if container.password else set()
    return found


def log(docker: Cli, have: _weave_state.Have) -> list[str]:
    """The end of the router's log, without secrets. What another container of that name says is nobody's business."""
    if have.container is None or not have.container.router:
        return []
    answer = docker.run_raw("logs", "--tail", str(LOG_LINES), have.container.id)
    lines = (answer.out + answer.err).splitlines() if answer.rc == 0 else []
    return [_info_secrets.text(line.rstrip(), secrets_of(have)) for line in lines][-LOG_LINES:]


def read(section: Section) -> None:
    """Fill the section of overlay_info; it stays empty on a host without Weave Net."""
    params = section.params
    facts = empty()
    have = None
    with section.part():
        address = params["http_address"]
        have = fill(facts, section.module, params["script"], address, params["port"], section.timeout)
        if facts["error"] and facts["error"] != "Docker is not installed":
            section.problems.append(facts["error"])
        elif have.container and have.container.running and have.container.router and have.router is None:
            section.problems.append(f"The container weave runs, but its router gives no report on {address}")
    if not there(facts):
        section.problems.clear()  # Docker's own section tells of Docker
        return
    section.facts.update(facts, log=[], service=_info_ours.service(section, UNIT))
    if have is not None and have.container is not None:
        section.facts["log"] = log(section.cli("docker"), have)
