# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What firewalld tells on D-Bus, asked by busctl: a tenth of the time of firewall-cmd, which starts Python each time. Reads only.

No answer here is no error: busctl or firewalld may be too old for a question, and then firewall-cmd has the last word.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import Run

BUS = "org.fedoraproject.FirewallD1"
BUS_PATH = "/org/fedoraproject/FirewallD1"
CONFIG_PATH = "/org/fedoraproject/FirewallD1/config"
PROPERTIES = "org.freedesktop.DBus.Properties"


def is_running(run: Run) -> bool:
    """Whether firewalld says, within five seconds, that it runs and has loaded its configuration."""
    # get-property would be shorter, but waits 25 seconds for one that hangs, whatever the option says (systemd 252).
    return (
        _word(run(("busctl", "--timeout=5", "call", BUS, BUS_PATH, PROPERTIES, "Get", "ss", BUS, "state"))) == "RUNNING"
    )


def default_zone(run: Run) -> str:
    """The zone of all that is in no other, "" for no answer."""
    return _word(run(("busctl", "call", BUS, BUS_PATH, BUS, "getDefaultZone")))


def backend(run: Run) -> str:
    """What it filters with."""
    result = run(("busctl", "get-property", BUS, CONFIG_PATH, f"{BUS}.config", "FirewallBackend"))
    return "iptables" if result.rc == 0 and "iptables" in result.out else "nftables"


def has(run: Run, word: str) -> bool:
    """Whether a name or a program is on the system's D-Bus: 'name pid program user ...'."""
    listing = run(("busctl", "list", "--no-pager", "--no-legend"))
    return listing.rc == 0 and any(word in line.split()[0:3:2] for line in listing.out.splitlines())


def service(run: Run, name: str) -> dict[str, tuple[str, ...]] | None:
    """The definition of a service as firewall-cmd prints it, such as {"ports": ("22/tcp",), ...}; None for no answer.

    Before systemd 240, busctl has no JSON; before firewalld 0.9 there is no such method.
    """
    answer = run(("busctl", "--json=short", "call", BUS, BUS_PATH, BUS, "getServiceSettings2", "s", name))
    if answer.rc != 0:
        return None
    try:
        told = {key: value["data"] for key, value in json.loads(answer.out)["data"][0].items()}
        return {
            "ports": tuple("/".join(pair) for pair in told.get("ports", ())),
            "protocols": tuple(told.get("protocols", ())),
            "source-ports": tuple("/".join(pair) for pair in told.get("source_ports", ())),
            "modules": tuple(told.get("modules", ())),
            "destination": tuple(":".join(pair) for pair in told.get("destination", {}).items()),
            "includes": tuple(told.get("includes", ())),
            "helpers": tuple(told.get("helpers", ())),
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def objects(run: Run, names: t.Iterable[str]) -> dict[str, str]:
    """Where D-Bus has the permanent settings of zones; the only way to write many rules at once in well under a second."""
    found = {}
    for name in sorted(names):
        result = run(("busctl", "call", BUS, CONFIG_PATH, f"{BUS}.config", "getZoneByName", "s", name))
        match = re.match(r'^o "([^"]+)"', result.out)
        if result.rc == 0 and match:
            found[name] = match.group(1)
    return found


def direct_is_saved(run: Run) -> bool:
    """Whether direct rules are the same live and permanent. Another order makes this false, and is no difference."""
    live = (_body(run, BUS_PATH, "direct", method) for method in ("getAllChains", "getAllRules", "getAllPassthroughs"))
    return "".join(live) == _body(run, CONFIG_PATH, "config.direct", "getSettings")


def ipsets(run: Run) -> list[str]:
    """Names of the address sets."""
    return re.findall(r'"([^"]+)"', _body(run, BUS_PATH, "ipset", "getIPSets"))


def _word(answer: Result) -> str:
    """The one word of an answer such as 's "public"' or, of a property, 'v s "RUNNING"'; "" for any other answer."""
    match = re.match(r'^(?:v )?s "([^"]*)"\s*$', answer.out)
    return match.group(1) if answer.rc == 0 and match else ""


def _body(run: Run, path: str, interface: str, method: str) -> str:
    """What a call returns, without its signature."""
    result = run(("busctl", "call", BUS, path, f"{BUS}.{interface}", method))
    return " " + result.out.partition(" ")[2].strip() if result.rc == 0 else f" {path} {method}"
