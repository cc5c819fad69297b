# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Everything that overlay_info reads beyond the minimum, put together."""

from __future__ import annotations

import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import (
    _clock_model,
    _clock_observe,
    _fw_module,
    _info_docker,
    _info_firewall,
    _info_host,
    _info_kernel,
    _info_listeners,
    _info_ours,
    _info_ovs,
    _info_rates,
    _info_vswitchd,
    _info_weave,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._info_sections import Section, SectionError, run_all

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# Sections that are parts of others in what is returned; their errors are those of the other.
PART_OF = {"vswitchd": "openvswitch", "verdicts": "firewall", "filters": "firewall"}


def read_time(section: Section) -> None:
    """What timesync returns of a host's clock; no offset to the controller, which takes the controller to measure."""
    try:
        state = _clock_observe.observe(section.ask)
    except _clock_model.ClockError as exc:
        raise SectionError(str(exc)) from exc
    section.facts.update(_clock_observe.describe(state))


class Reading:
    """The sections of one run, and what becomes of them."""

    def __init__(self, module: AnsibleModule, wanted: t.Container[str], timeout: float) -> None:
        self.module, self.wanted, self.timeout = module, wanted, timeout
        self.sections: dict[str, Section] = {}
        self.errors: dict[str, str] = {}

    def add(
        self,
        name: str,
        read: t.Callable[[Section], None],
        facts: dict[str, t.Any] | None = None,
        params: t.Mapping[str, t.Any] | None = None,
    ) -> None:
        """Have a section read."""
        params = self.module.params if params is None else params
        self.sections[name] = Section(self.module, name, read, facts, self.timeout, params)

    def run(self) -> None:
        """Read what was added and is not read yet."""
        for name, why in run_all(list(self.sections.values()), self.timeout).items():
            whole = PART_OF.get(name, name)
            self.errors[whole] = "; ".join(filter(None, (self.errors.get(whole), why)))

    def facts(self, name: str) -> dict[str, t.Any]:
        """What a section has found; empty if it was not asked for."""
        return dict(self.sections[name].facts) if name in self.sections else {}


def read(module: AnsibleModule, wanted: t.Container[str], timeout: float) -> dict[str, t.Any]:
    """Everything that is wanted, as the module returns it."""
    reading = Reading(module, wanted, timeout)
    params = module.params
    reading.add("host", _info_host.read, _info_host.empty())
    reading.add("listeners", _info_listeners.read, {"listeners": []})
    reading.add("ours", _info_ours.read)
    reading.add("docker", _info_docker.read if "docker" in wanted else _info_docker.minimal, _info_docker.empty())
    if "openvswitch" in wanted:
        reading.add("openvswitch", _info_ovs.read, _info_ovs.empty())
        reading.add("vswitchd", _info_vswitchd.read)
        if params["sample"] > 0:
            reading.add("rates", _info_rates.read)
    else:
        reading.add("openvswitch", _info_ovs.minimal, _info_ovs.empty())
    if "weave" in wanted:
        options = {"script": params["weave_script"], "http_address": params["weave_http_address"]}
        reading.add("weave", _info_weave.read, None, {**options, "port": params["weave_port"]})
    if "firewall" in wanted:
        reading.add("filters", _info_firewall.read_filters)
        if params["firewall"]:
            options = {name: spec.get("default") for name, spec in _fw_module.WISH_SPEC.items()}
            reading.add(
                "verdicts",
                _info_firewall.read_verdicts,
                None,
                {**options, **params["firewall"], "timeout": timeout},
            )
    if "time" in wanted:
        reading.add("time", read_time)
    if "kernel" in wanted:
        reading.add("kernel", _info_kernel.read)
    reading.run()
    return _together(reading)


def _together(reading: Reading) -> dict[str, t.Any]:
    """The sections as one dictionary."""
    wanted = reading.wanted
    host, openvswitch, live = reading.facts("host"), reading.facts("openvswitch"), reading.facts("vswitchd")
    overlay = {
        **host,
        **reading.facts("listeners"),
        "docker": reading.facts("docker"),
        "openvswitch": openvswitch,
        "ours": {**reading.facts("ours"), "slices": host["slices"]},
        "rates": {**live.get("rates", {}), **reading.facts("rates")},
        "weave": reading.facts("weave"),
        "firewall": {**reading.facts("verdicts"), "filters": reading.facts("filters")} if "firewall" in wanted else {},
        "time": reading.facts("time"),
        "kernel": reading.facts("kernel"),
        "errors": reading.errors,
    }
    if "openvswitch" in wanted:
        _info_ovs.merge(openvswitch, live, reading.sections["openvswitch"].secrets)
        _add_offloads(reading.module, overlay, reading.timeout)
    if overlay["kernel"].get("sysctls"):
        carriers = {item["name"] for item in host["interfaces"] if item["addresses"]}
        overlay["kernel"]["sysctls"] = _info_kernel.only_of(overlay["kernel"]["sysctls"], carriers)
    return overlay


def _add_offloads(module: AnsibleModule, overlay: dict[str, t.Any], timeout: float) -> None:
    """Which links to ask for is known only now. ethtool asks the kernel alone, so this is over in no time."""
    names = _info_vswitchd.offload_names(overlay["openvswitch"], overlay["interfaces"])
    if not names:
        return
    section = Section(module, "offloads", _info_vswitchd.read_offloads, None, timeout, {"names": names})
    overlay["errors"].update(run_all([section], timeout))
    for item in overlay["interfaces"]:
        if section.facts.get(item["name"]):
            item["offloads"] = section.facts[item["name"]]
