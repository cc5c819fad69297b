# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What overlay_probe takes for options; it refuses the rest before anything is read or changed."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils._probe_container import DOCKER_BRIDGE
from ansible_collections.crosshost.overlay.plugins.module_utils._probe_names import LABEL_LARGEST

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

LIMITS = {
    "port": (1, 65535),
    "lifetime": (10, 86400),
    "count": (1, 1000),
    "interval": (0.001, 10),
    "timeout": (0.01, 60),
    "tcp_timeout": (0.1, 60),
    "lookup_timeout": (0.1, 60),
}
MTU_LEAST, MTU_LARGEST = 128, 65535
HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]+(?<!-)(\.(?!-)[A-Za-z0-9-]+(?<!-))*\Z")
HOST_NAME_LARGEST = 64  # HOST_NAME_MAX of linux/utsname.h


def validate(module: AnsibleModule) -> None:
    """Refuse bad input before anything is read or changed."""
    params = module.params
    for option, (low, high) in LIMITS.items():
        if not low <= params[option] <= high:
            module.fail_json(msg=f"{option}={params[option]} is not within {low} to {high}.")
    for option in ("name", "network"):
        if params[option] and not re.match(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z", params[option]):
            module.fail_json(
                msg=f"{option}='{params[option]}' is no name Docker takes: use letters, digits, '_', '.' and '-'."
            )
    for target in params["targets"]:
        try:
            ipaddress.IPv4Address(target["address"])
        except ValueError as exc:
            module.fail_json(msg=f"The address of target '{target['name']}' is no IPv4 address: {exc}.")
        if target["fqdn"]:
            check_name(module, f"The fqdn of target '{target['name']}'", target["fqdn"])
            if not params["dns_server"]:
                module.fail_json(
                    msg=f"Target '{target['name']}' has an fqdn, and there is no dns_server to ask; name one."
                )
    check_numbers(module)
    for option in ("hostname", "dns_search"):
        if params[option]:
            check_name(module, option, params[option])
    if len(params["hostname"] or "") > HOST_NAME_LARGEST:
        module.fail_json(
            msg=f"hostname='{params['hostname']}' has more than {HOST_NAME_LARGEST} characters, which the kernel does not take; shorten it."
        )
    if params["dns_server"] not in (None, DOCKER_BRIDGE):
        try:
            ipaddress.IPv4Address(params["dns_server"])
        except ValueError as exc:
            module.fail_json(
                msg=f"dns_server='{params['dns_server']}' is neither an IPv4 address nor '{DOCKER_BRIDGE}': {exc}."
            )


def check_numbers(module: AnsibleModule) -> None:
    """Refuse an MTU IPv4 has no use for, and endpoints that are not what state=present returns."""
    mtu, chosen = module.params["mtu"], module.params["containers"]
    if mtu is not None and not MTU_LEAST <= mtu <= MTU_LARGEST:
        module.fail_json(msg=f"mtu={mtu} is not within {MTU_LEAST} to {MTU_LARGEST}.")
    if chosen is not None and not (chosen["network"] or chosen["label"]):
        module.fail_json(msg="containers selects nothing; name a network, a label or both in it.")
    for host, items in module.params["endpoints"].items():
        try:
            for item in items:
                ipaddress.IPv4Address(item["address"])
                str(item["name"])
        except (TypeError, KeyError, ValueError) as exc:
            module.fail_json(
                msg=f"The endpoints of '{host}' are no list of name and IPv4 address, as state=present returns it: {exc!r}."
            )


def check_name(module: AnsibleModule, what: str, name: str) -> None:
    """Refuse what is no host name of RFC 1123; a dot at the end is allowed."""
    bare = name[:-1] if name.endswith(".") else name
    if not HOST_NAME.match(bare) or any(len(label) > LABEL_LARGEST for label in bare.split(".")):
        module.fail_json(
            msg=f"{what}, '{name}', is no host name: use letters, digits and '-', up to {LABEL_LARGEST} of them between two dots."
        )
