#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: weave_launch
short_description: Run the Weave Net router of a host as declared
version_added: "0.1.0"
author:
  - The crosshost.overlay authors (@crosshost)
description:
  - Compares the router that runs, as C(docker inspect) and the router's own HTTP API on loopback show it, with the options.
  - Peers that differ are connected and forgotten live, and so is the restart policy changed; links of other peers stay as they are.
    Any other difference is a relaunch, which keeps the address database and the addresses of containers.
  - The images have to be there before the old router stops. If the new router does not come up, its last words are in the error,
    it is removed, and the router of before runs again with its former arguments.
  - A container C(weave) that is created, paused, restarting or exited is healed. One that is no Weave Net router is refused.
  - A router that has given out addresses keeps its name and its allocation range unless O(allow_rename) or
    O(allow_range_change) is set. How the range was first divided (O(ipalloc_init)) is never changed after the first launch.
  - Name, range and seed are recorded in C(/var/lib/crosshost-overlay/weave.json).
requirements:
  - Docker 20.10 or later, iproute2
  - The script C(weave), and its images unless the state is V(stopped)
  - Root on the host
extends_documentation_fragment:
  - crosshost.overlay.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(started) runs the router as declared.
      - V(stopped) removes the router and keeps its database. Containers keep their addresses and reach only those on the same host.
      - V(reset) gives the host's addresses back to the peers and removes router, database and bridge, and Docker's bridge C(docker_gwbridge) if
        it was not there before the first launch and no container uses it.
    type: str
    choices: [started, stopped, reset]
    default: started
  script:
    description: The script of Weave Net.
    type: path
    default: /usr/local/bin/weave
  image_source:
    description: Account or mirror the images are named by. V(rajchaudhuri) is the maintained fork, V(weaveworks) ends with 2.8.1.
    type: str
    default: rajchaudhuri
  version:
    description: Release, as in the images' tags.
    type: str
    default: "2.9.0"
  peers:
    description:
      - IPv4 addresses of the other hosts, each with an optional C(:port). The host's own addresses are left out, so all hosts can have
        the same list.
      - Without this option the peers stay as they are.
    type: list
    elements: str
  name:
    description: Peer name, six bytes in the form of a unicast MAC address. Without it the router makes one of the machine's identity.
    type: str
  nickname:
    description: Name shown to people. The script's default is the host name.
    type: str
  password:
    description:
      - Encrypts all traffic between hosts; has to be the same on all of them. It travels in the environment and is shown nowhere.
      - Root can read it with C(docker inspect weave), as with any Weave Net.
    type: str
    default: ""
  trusted_subnets:
    description: Networks (CIDR) that need no encryption although there is a password.
    type: list
    elements: str
    default: []
  ipalloc_range:
    description: Network (CIDR) of which addresses are given out, the same on all hosts. Empty turns that off.
    type: str
    default: 10.32.0.0/12
  ipalloc_default_subnet:
    description: Part of O(ipalloc_range) for containers that ask for no subnet. Default is the whole.
    type: str
    default: ""
  ipalloc_init:
    description:
      - How the range is first divided, V(consensus), V(consensus=COUNT), V(seed=NAME,NAME,...) or V(observer).
      - Compared only as long as nothing is divided and nothing recorded.
    type: str
    default: ""
  host:
    description: Address the router binds to; empty for all.
    type: str
    default: ""
  port:
    description: TCP and UDP port of the router; the fast datapath uses the next UDP port. The same on all hosts.
    type: int
    default: 6783
  http_address:
    description: Loopback address of the router's API.
    type: str
    default: 127.0.0.1:6784
  discovery:
    description: Whether peers of peers are connected as well.
    type: bool
    default: true
  connection_limit:
    description: Most links of this host; 0 is without limit.
    type: int
    default: 200
  dns:
    description: Whether the router answers names.
    type: bool
    default: true
  dns_domain:
    description: Domain of those names.
    type: str
    default: weave.local.
  fast_datapath:
    description:
      - V(auto) uses the kernel's datapath where both ends have it; a link in user space gives a warning.
      - V(required) counts a link in user space as a failure (with O(wait_for)).
      - V(disabled) runs everything in user space.
    type: str
    choices: [auto, required, disabled]
    default: auto
  mtu:
    description: MTU of the overlay in bytes. 0 is the router's default, 1376, which needs an underlay of 1460 or more.
    type: int
    default: 0
  proxy:
    description: Whether the router runs its proxy of the Docker API on a socket.
    type: bool
    default: true
  plugin:
    description: Whether the router is a network plugin, so that C(docker run --network weave) works.
    type: bool
    default: true
  detect_tls:
    description:
      - Whether the script looks for the TLS options of a Docker Engine that listens on TCP. Where it does not, that look ends in
        C(unable to detect proxy TLS configuration).
    type: bool
    default: false
  log_level:
    description: How much the router logs.
    type: str
    choices: [debug, info, warning, error]
    default: info
  restart_policy:
    description: Whether Docker brings the router back after a crash or a boot.
    type: str
    choices: [always, "no"]
    default: always
  extra_args:
    description: Further arguments of C(weave launch), in the form C(--flag=value).
    type: list
    elements: str
    default: []
  allow_rename:
    description: Let a host that has given out addresses get another peer name; it forgets which.
    type: bool
    default: false
  allow_range_change:
    description: Let a host that has given out addresses get another range; containers keep their old ones until made anew.
    type: bool
    default: false
  allow_attached:
    description: With O(state=reset), reset although containers have addresses of the overlay. They lose them.
    type: bool
    default: false
  reset_force:
    description: With O(state=reset), reset although no router runs that could give this host's addresses to the peers.
    type: bool
    default: false
  wait_for:
    description:
      - V(launched) waits until the router serves, V(connected) also until every peer is connected, V(ready) also until addresses
        can be given out.
    type: str
    choices: [launched, connected, ready]
    default: launched
  wait_peers:
    description: Peers to wait for; all of O(peers) by default.
    type: list
    elements: str
  wait_timeout:
    description: Seconds to wait for connections.
    type: int
    default: 60
  launch_timeout:
    description: Seconds a launch or reset may take. On an emulated CPU a launch took 55.
    type: int
    default: 180
seealso:
  - module: crosshost.overlay.weave_info
  - module: crosshost.overlay.weave_images
"""

EXAMPLES = r"""
- name: Run Weave Net on all hosts
  crosshost.overlay.weave_launch:
    name: 02:00:00:00:00:01
    ipalloc_init: seed=02:00:00:00:00:01,02:00:00:00:00:02
    peers: [192.0.2.11, 192.0.2.12]
    password: "{{ weave_password }}"

- name: Wait until containers can be started anywhere
  crosshost.overlay.weave_launch:
    name: 02:00:00:00:00:01
    peers: [192.0.2.11, 192.0.2.12]
    password: "{{ weave_password }}"
    wait_for: ready

- name: Leave the overlay
  crosshost.overlay.weave_launch:
    state: reset
"""

RETURN = r"""
commands:
  description: What was done on the host or, in check mode, would be.
  type: list
  elements: str
  returned: success
reasons:
  description: Why a router was launched; empty when none was.
  type: list
  elements: str
  returned: success
  sample: ["connection_limit: 200 to 300"]
affected:
  description: Containers that had addresses of the overlay, after O(state=reset).
  type: list
  elements: str
  returned: success
weave:
  description:
    - The router after the module, as V(container), V(launch) (its arguments), V(record), V(router), V(ipam), V(dns) and V(database);
      M(crosshost.overlay.weave_info) describes them.
  type: dict
  returned: success
"""

import typing as t
from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _host, _weave_args, _weave_plan, _weave_state
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Cli
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_apply import Release, Router
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_args import Launch
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import Api
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_plan import Wish
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_run import (
    await_peers,
    leave,
    look,
    predicted,
    shown,
    start,
)

DOCKER_TIMEOUT = 60  # seconds for each call of docker
SPEC: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["started", "stopped", "reset"], "default": "started"},
    "script": {"type": "path", "default": "/usr/local/bin/weave"},
    "image_source": {"type": "str", "default": "rajchaudhuri"},
    "version": {"type": "str", "default": "2.9.0"},
    "peers": {"type": "list", "elements": "str"},
    "name": {"type": "str"},
    "nickname": {"type": "str"},
    "password": {"type": "str", "default": "", "no_log": True},
    "trusted_subnets": {"type": "list", "elements": "str", "default": []},
    "ipalloc_range": {"type": "str", "default": "10.32.0.0/12"},
    "ipalloc_default_subnet": {"type": "str", "default": ""},
    "ipalloc_init": {"type": "str", "default": ""},
    "host": {"type": "str", "default": ""},
    "port": {"type": "int", "default": 6783},
    "http_address": {"type": "str", "default": "127.0.0.1:6784"},
    "discovery": {"type": "bool", "default": True},
    "connection_limit": {"type": "int", "default": 200},
    "dns": {"type": "bool", "default": True},
    "dns_domain": {"type": "str", "default": "weave.local."},
    "fast_datapath": {"type": "str", "choices": ["auto", "required", "disabled"], "default": "auto"},
    "mtu": {"type": "int", "default": 0},
    "proxy": {"type": "bool", "default": True},
    "plugin": {"type": "bool", "default": True},
    "detect_tls": {"type": "bool", "default": False},
    "log_level": {"type": "str", "choices": ["debug", "info", "warning", "error"], "default": "info"},
    "restart_policy": {"type": "str", "choices": ["always", "no"], "default": "always"},
    "extra_args": {"type": "list", "elements": "str", "default": []},
    "allow_rename": {"type": "bool", "default": False},
    "allow_range_change": {"type": "bool", "default": False},
    "allow_attached": {"type": "bool", "default": False},
    "reset_force": {"type": "bool", "default": False},
    "wait_for": {"type": "str", "choices": ["launched", "connected", "ready"], "default": "launched"},
    "wait_peers": {"type": "list", "elements": "str"},
    "wait_timeout": {"type": "int", "default": 60},
    "launch_timeout": {"type": "int", "default": 180},
}


def wish_of(module: AnsibleModule) -> Wish:
    """Turn the options into a wish; fail on what cannot be one, before anything is read."""
    params = module.params
    extra = _weave_args.parse(params["extra_args"])
    same = ("port", "host", "discovery", "connection_limit", "dns", "proxy", "plugin", "log_level", "mtu")
    launch = Launch(
        **{option: params[option] for option in same},
        nickname=params["nickname"] or "",
        name=(params["name"] or "").lower(),
        ipalloc_range=params["ipalloc_range"],
        ipalloc_init=params["ipalloc_init"],
        ipalloc_default_subnet=params["ipalloc_default_subnet"],
        dns_domain=params["dns_domain"].rstrip(".") + ".",
        fast_datapath=params["fast_datapath"] != "disabled",
        trusted_subnets=tuple(params["trusted_subnets"]),
        http_address=params["http_address"],
        extra=extra.extra,
    )
    problems = _weave_plan.input_problems(launch, [*(params["peers"] or []), *(params["wait_peers"] or [])])
    if extra != replace(Launch(), extra=extra.extra) or len(extra.extra) != len(params["extra_args"]):
        problems.append(
            "extra_args takes flags in the form --flag=value that have no option of their own, each once; "
            f"{' '.join(params['extra_args'])} is more or something else"
        )
    if any(
        char.isspace() or char in "'\"\\$`;"
        for text in [*params["extra_args"], params["dns_domain"], params["host"]]
        for char in text
    ):
        problems.append(
            "extra_args, dns_domain and host take no spaces, quotes or other signs of the shell, because the script splits its arguments"
        )
    host, _sep, port = params["http_address"].rpartition(":")
    if host not in ("127.0.0.1", "localhost") or not port.isdigit():
        problems.append(
            f"http_address '{params['http_address']}' is not a port on 127.0.0.1; the API has no access control and must not be reachable"
        )
    if problems:
        module.fail_json(msg=f"Nothing was changed: {'; '.join(problems)}.")
    return Wish(
        launch=launch,
        password=params["password"],
        image=f"{params['image_source']}/weave:{params['version']}",
        policy=params["restart_policy"],
        detect_tls=params["detect_tls"],
        allow_rename=params["allow_rename"],
        allow_range_change=params["allow_range_change"],
    )


def main() -> None:
    """Compare, change, read back."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    params = module.params
    wish = wish_of(module)
    if not module.get_bin_path("docker") and (module.check_mode or params["state"] != "started"):
        # Before the first run there is no Docker, so there is no router either.
        going = params["state"] == "started"
        module.exit_json(changed=going, commands=[], reasons=["no router"] if going else [], affected=[], weave={})
    docker = Cli(module, "docker", timeout=DOCKER_TIMEOUT, package="docker.io or docker-ce")
    api = Api(params["http_address"])
    release = Release(params["script"], params["image_source"], params["version"])
    router = Router(module, docker, api, release, params["launch_timeout"])
    have = look(router)
    result: dict[str, t.Any] = {"reasons": [], "affected": []}
    if params["state"] == "started":
        if params["peers"] is not None:
            own = {
                item.split("/")[0]
                for face in _host.interfaces(Cli(module, "ip", package="iproute2"))
                for item in face.addresses
            }
            wish = replace(wish, peers=_weave_plan.without_own(params["peers"], own))
        result.update(start(module, router, have, wish))
        after = result.pop("after")
        plan = result.pop("plan")
        if params["wait_for"] != "launched" and not module.check_mode:
            after = await_peers(module, router, wish, result, after)
    else:
        plan = None
        if params["state"] == "stopped":
            if have.container is not None and not have.container.router:
                module.fail_json(msg=f"Nothing was changed: {_weave_plan.refusals(have, wish)[0]}.")
            router.stop(have)
        else:
            result["affected"] = leave(module, router, have, wish)
        result["changed"] = bool(router.commands)
        after = have if module.check_mode or not router.commands else look(router)
    result["diff"] = {
        "before": shown(have),
        "after": predicted(have, wish, plan, params["state"]) if module.check_mode else shown(after),
    }
    module.exit_json(commands=router.commands, weave=_weave_state.describe(after), **result)


if __name__ == "__main__":
    main()
