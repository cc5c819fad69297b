# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""What Weave Net's fast datapath and its firewall rules find on a host, and what was put there. Nothing here changes anything."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import _host
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import SBIN, Cli
from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import CHAIN_FORWARD, CHAIN_INPUT, CHAIN_PEERS

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

OURS = (CHAIN_INPUT, CHAIN_FORWARD, CHAIN_PEERS)  # opened by the role peer_firewall; they stop nothing
FAST_DATAPATH = ("openvswitch", "vxlan")
LEGACY_TABLES = "/proc/net/ip_tables_names"  # tables of iptables-legacy that are loaded in this network namespace
# What the role weave may have put on a host besides the router, by what it is for.
FILES = {
    "rejoin": "/etc/systemd/system/crosshost-weave-rejoin.service",
    "login_shells": "/etc/profile.d/crosshost-weave.sh",
    "script_ledger": _host.STATE_DIR + "/weave-script-installed",
    "expose": "/etc/crosshost-overlay/weave-expose.json",  # _weave_expose.RECORD_PATH
    "archive": _host.STATE_DIR + "/weave-images.tar",
}


def files(known: t.Mapping[str, str] | None = None) -> dict[str, bool]:
    """Return which of these files there are."""
    return {name: os.path.lexists(path) for name, path in (known or FILES).items()}


def kernel_facts(module: AnsibleModule, timeout: float, modules: t.Sequence[str] = FAST_DATAPATH) -> dict[str, t.Any]:
    """Return which kernel modules there are, and the firewall backends that hold rules."""
    return {
        "modules": {name: module_there(name) for name in modules},
        "iptables": {"backend": backend(module, timeout), "legacy_rules": legacy_rules(module, timeout)},
    }


def module_there(name: str, sys: str = "/sys/module", lib: str = "/lib/modules", release: str = "") -> bool:
    """Say whether a kernel module is loaded, built in, or can be loaded."""
    if os.path.isdir(os.path.join(sys, name)):
        return True
    folder = os.path.join(lib, release or os.uname().release)
    return any(name in modules_in(os.path.join(folder, index)) for index in ("modules.dep", "modules.builtin"))


def modules_in(path: str) -> frozenset[str]:
    """The names of the modules in modules.dep or modules.builtin; none where there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="replace") as lines:
            return frozenset(_module_name(line) for line in lines)
    except OSError:
        return frozenset()


def _module_name(line: str) -> str:
    """Return the module a line of modules.dep or modules.builtin is about; '-' and '_' are the same to the kernel."""
    return os.path.basename(line.partition(":")[0].strip()).partition(".ko")[0].replace("-", "_")


def backend(module: AnsibleModule, timeout: float) -> str:
    """Return what the host's iptables works on: 'nft', 'legacy', or empty when it has no iptables."""
    if not module.get_bin_path("iptables", opt_dirs=SBIN):
        return ""
    text = Cli(module, "iptables", timeout=timeout).run_raw("--version").out
    return "nft" if "nf_tables" in text else "legacy"


def legacy_rules(module: AnsibleModule, timeout: float, tables: str = LEGACY_TABLES) -> int:
    """Count rules of others and closed policies of iptables-legacy, without loading any of its tables by asking."""
    try:
        with open(tables, encoding="utf-8") as handle:
            loaded = handle.read().split()
    except OSError:
        return 0
    if not loaded or not module.get_bin_path("iptables-legacy-save", opt_dirs=SBIN):
        return 0
    save = Cli(module, "iptables-legacy-save", timeout=timeout)
    count = 0
    for table in loaded:
        lines = save.run_raw("--table", table).out.splitlines()
        others = [line for line in lines if not any(chain in line for chain in OURS)]
        count += sum(line.startswith("-A ") or (line.startswith(":") and " DROP" in line) for line in others)
    return count
