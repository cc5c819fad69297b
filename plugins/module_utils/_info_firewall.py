# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""The firewalls of a host in a few words, and, asked with a wish, what of them stops the overlay."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import (
    _files,
    _fw_host,
    _fw_module,
    _fw_services,
    _weave_host,
)

if t.TYPE_CHECKING:
    from ansible_collections.crosshost.overlay.plugins.module_utils._cli import Result
    from ansible_collections.crosshost.overlay.plugins.module_utils._fw_model import Run
    from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section

LEGACY_TABLES = _weave_host.LEGACY_TABLES


def read_verdicts(section: Section) -> None:
    """What firewall_info returns; the options of that module are the section's parameters."""
    section.facts.update(_fw_module.info(section.module))


def read_filters(section: Section) -> None:
    """Fill the section of overlay_info."""
    run = _fw_host.runner(section.timeout)
    section.facts.update(
        forward_policy={"nft": None, "legacy": None},
        backends={"nft_rules": 0, "legacy_rules": 0},
        firewalld="absent",
        ufw="absent",
        nftables_service="absent",
    )
    with section.part():
        section.facts.update(services(_fw_services.observe(run).services))
    with section.part():
        section.facts["backends"]["legacy_rules"] = _weave_host.legacy_rules(section.module, section.timeout)
        if "filter" in (_files.read(LEGACY_TABLES) or "").split():
            section.facts["forward_policy"]["legacy"] = forward_policy(
                run(["iptables-legacy-save", "-t", "filter"]).out
            )
    with section.part():
        section.facts["forward_policy"]["nft"] = forward_policy(_nft_table(section, run))
        section.facts["backends"]["nft_rules"] = _nft_rules(section, run)


def services(found: t.Iterable[_fw_services.Service]) -> dict[str, str]:
    """The three that load rules, in one word each."""
    shown = {}
    for item in found:
        if item.name == "firewalld":
            shown["firewalld"] = "running" if item.active else "stopped"
        elif item.name == "ufw":
            shown["ufw"] = "active" if item.active and item.switched_on else "inactive"
        elif item.name == "nftables":
            shown["nftables_service"] = "active" if item.active else "inactive"
    return shown


def forward_policy(text: str) -> str | None:
    """The policy of FORWARD in what iptables-save prints of the table filter; null if there is no such chain."""
    found = re.search(r"^:FORWARD (\S+) ", text, re.MULTILINE)
    return found.group(1) if found else None


def count_rules(text: str) -> int:
    """The rules in what 'nft -j list ruleset' prints."""
    return sum("rule" in item for item in json.loads(text or "{}").get("nftables", []))


def count_saved(text: str) -> int:
    """The rules in what iptables-save prints."""
    return sum(line.startswith("-A ") for line in text.splitlines())


def _nft_table(section: Section, run: Run) -> str:
    """The table filter as iptables-nft has it. Its answer may be that only nft can read that table: then it tells nothing."""
    tool = _nft_save(section)
    return _checked(section, run([tool, "-t", "filter"])) if tool else ""


def _nft_rules(section: Section, run: Run) -> int:
    if section.has("nft"):
        return count_rules(_checked(section, run(["nft", "-j", "list", "ruleset"])))
    tool = _nft_save(section)
    return count_saved(run([tool]).out) if tool else 0


def _nft_save(section: Section) -> str:
    for tool in ("iptables-nft-save", "iptables-save"):
        if section.has(tool) and (
            tool != "iptables-save" or _weave_host.backend(section.module, section.timeout) == "nft"
        ):
            return tool
    return ""


def _checked(section: Section, result: Result) -> str:
    """What a command printed. A kernel without nf_tables has no rules there, and that is no trouble."""
    if result.rc != 0 and "Protocol not supported" not in result.err:
        section.problems.append(result.message)
    return result.out if result.rc == 0 else ""
