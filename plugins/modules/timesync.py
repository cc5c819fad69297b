#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Measuring and comparing are done on the controller, by the action plugin of the same name.

from __future__ import annotations

DOCUMENTATION = r"""
module: timesync
short_description: Measure the clocks of hosts, compare them, and bring them together
version_added: "0.1.0"
author:
  - The crosshost.overlay authors (@crosshost)
description:
  - Measures how far a host's clock is from the controller's, over one connection with several round trips of which the shortest counts, and
    says how far that figure can be wrong. This takes connections of the kinds C(ssh), C(docker) and C(local); over others the host is asked
    in separate calls, and the bound is wider.
  - "Brings a clock right by the time daemon that is there: chrony measures anew and steps; systemd-timesyncd and ntpsec are restarted, upon which they
    set it themselves. Only with O(step=true) the clock is set by hand, once, when no daemon can."
  - Gives servers to chrony, systemd-timesyncd or ntpsec in files of its own, never in those of others, and has the daemon read them. NTP
    servers are asked by the module itself first; when none answers, nothing is changed.
  - Two time daemons that run at the same time are refused. A daemon is never installed or replaced by this module.
  - Where the clock is not settable, as in a container, it is measured, and that is said.
requirements:
  - systemd
  - Root on the host, but for O(state=measured)
extends_documentation_fragment:
  - crosshost.overlay.attributes
attributes:
  check_mode:
    support: full
    details: Measures. Asks NTP servers, but no daemon.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(measured) looks and measures, and changes nothing. RV(pending) tells what V(present) would do with the same options.
      - V(present) brings settings and clock to what the other options ask for, then measures.
      - V(compared) runs on the controller alone, with C(run_once=true), on what V(measured) or V(present) returned for all hosts. Fails when hosts
        have problems, or are more than O(fail_skew) apart and there is nothing to be done about it.
      - V(announced) writes down that O(package) is about to be installed for this purpose, for V(absent) to tell. It is to be called before that,
        so that a run that is cut off in between does not lose it, and changes nothing else.
      - V(absent) takes our files away and gives the time zone back, as far as nobody else has changed it since.
    type: str
    choices: [measured, announced, present, compared, absent]
    default: measured
  servers:
    description: Names or addresses of NTP servers. Empty, with O(pools) empty as well, files of ours are removed and the daemon keeps its own.
    type: list
    elements: str
    default: []
  pools:
    description: Names that stand for several NTP servers.
    type: list
    elements: str
    default: []
  serve:
    description:
      - Addresses of hosts that take their time from this one. It then serves its own time when it has no better one, which takes chrony.
      - No other address gets an answer because of this.
    type: list
    elements: str
    default: []
  stratum:
    description: With O(serve), how far this host claims to be from a true clock, from 1 to 15. Servers with a better claim win.
    type: int
    default: 10
  isolated:
    description: Whether O(servers) is a host that the same run sets up. In check mode it is then not asked, because it does not serve yet.
    type: bool
    default: false
  zone:
    description: Time zone, such as V(Etc/UTC). It has to be among those of the host. Empty, the zone is left alone.
    type: str
    default: ""
  correction:
    description: Seconds to add to the clock to make it right, from RV(cures). Without it, only settings are looked after.
    type: float
  step:
    description: Whether to set the clock by hand, once, by O(correction), when no time daemon can do it.
    type: bool
    default: false
  allow_backwards:
    description:
      - Whether the clock may be set back while a router of Weave Net runs. It is said in a warning.
      - With V(false) this fails instead, before the clock is touched. Chrony still slews what is less than half of O(max_skew).
    type: bool
    default: true
  max_skew:
    description:
      - Seconds that two hosts may be apart. Beyond, clocks are brought right.
      - A clock that is off by more than half of it is set at once; less is left to the daemon to slew.
    type: float
    default: 1.0
  fail_skew:
    description:
      - With O(state=compared), seconds beyond which it fails when nothing can be done.
      - The default is far below the 900 seconds at which routers of Weave Net refuse each other, so that there is time to act, and about
        where the order of logs and the life of short tokens suffer.
    type: float
    default: 60.0
  hosts:
    description: With O(state=compared), all hosts, in the order of the table. One without a result is shown as not measured.
    type: list
    elements: str
  results:
    description: With O(state=compared), host name to what this module returned there.
    type: dict
  source:
    description: With O(state=compared), name of the host whose clock is right by definition. Empty, it is found out.
    type: str
    default: ""
  final:
    description: With O(state=compared), whether this is the look after the cure. It plans no other.
    type: bool
    default: false
  round_trips:
    description: Questions to the host, of which the quickest answer counts.
    type: int
    default: 20
  sync_timeout:
    description: Seconds for a time daemon to synchronise. In a test chrony took about 6 for its first four measurements.
    type: int
    default: 60
  timeout:
    description: Seconds that each command on the host may take.
    type: int
    default: 30
  package:
    description: Package of a time daemon that would be installed, for a look ahead, or, with O(state=announced), is about to be.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Measure
  crosshost.overlay.timesync:
  register: measured

- name: Compare
  crosshost.overlay.timesync:
    state: compared
    hosts: "{{ ansible_play_hosts }}"
    results: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'measured'))) }}"
  run_once: true
  register: compared

- name: Bring right what is off
  crosshost.overlay.timesync:
    state: present
    servers: [192.0.2.123]
    correction: "{{ compared.cures[inventory_hostname].correction | default(omit, true) }}"
  when: inventory_hostname in compared.cures
"""

RETURN = r"""
commands:
  description: What was done on the host or, in check mode, would be.
  type: list
  elements: str
  returned: always
clock:
  description:
    - The measurement. RV(clock.offset) is the host's clock minus the controller's, wrong by at most RV(clock.bound), both in seconds.
      V(round_trips) were made by V(method), which is V(channel) or V(calls). V(epoch) is the controller's clock minus its monotonic one.
  type: dict
  returned: success, with O(state=measured) and O(state=present)
  sample: {"offset": 0.000012, "bound": 0.000154, "round_trips": 20, "method": "channel", "epoch": 1795400000.1}
  contains:
    offset:
      description: Seconds the host's clock is ahead.
      type: float
      returned: always
    bound:
      description: Half of the shortest round trip, in seconds.
      type: float
      returned: always
time:
  description:
    - The host's clock, as V(settable), V(why_not_settable), V(zone), V(router) (one of Weave Net listens), V(daemons) with V(name), V(active) and
      V(enabled), V(daemon) (the one that runs), V(package) (that came from here).
    - What the daemon says, as V(synchronised), V(offset) and V(error) in seconds (error is root dispersion and half the root delay), V(stratum),
      V(reference), V(leap), V(sources) and V(silent) (sources that do not answer).
  type: dict
  returned: success, except with O(state=compared)
pending:
  description: What O(state=present) would do with the same options.
  type: list
  elements: str
  returned: with O(state=measured)
problems:
  description: What keeps O(state=present) from working.
  type: list
  elements: str
  returned: with O(state=measured)
configures:
  description: Whether servers or peers were given.
  type: bool
  returned: with O(state=measured)
notes:
  description: What else is worth knowing. These are shown as warnings, too.
  type: list
  elements: str
  returned: success
python:
  description: The Python the module ran on.
  type: str
  returned: success, except with O(state=compared)
skew:
  description: The two V(hosts) that are farthest apart, by V(seconds), wrong by at most V(bound), and the clock to follow, V(reference).
  type: dict
  returned: with O(state=compared)
cures:
  description:
    - Host name to V(why) it has to be brought right, V(correction) (seconds to add, or null if it is about settings only), and V(install) (it
      has no time daemon).
  type: dict
  returned: with O(state=compared)
summary:
  description: One line.
  type: str
  returned: with O(state=compared)
  sample: "clock: hosts=2 skew=0.000021 bound=0.000310 between=h1,h2 max_skew=1 ok"
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.crosshost.overlay.plugins.module_utils import _clock_module

SPEC = {
    "state": {
        "type": "str",
        "choices": ["measured", "announced", "present", "compared", "absent"],
        "default": "measured",
    },
    "servers": {"type": "list", "elements": "str", "default": []},
    "pools": {"type": "list", "elements": "str", "default": []},
    "serve": {"type": "list", "elements": "str", "default": []},
    "stratum": {"type": "int", "default": 10},
    "isolated": {"type": "bool", "default": False},
    "zone": {"type": "str", "default": ""},
    "correction": {"type": "float"},
    "step": {"type": "bool", "default": False},
    "allow_backwards": {"type": "bool", "default": True},
    "max_skew": {"type": "float", "default": 1.0},
    "fail_skew": {"type": "float", "default": 60.0},
    "hosts": {"type": "list", "elements": "str"},
    "results": {"type": "dict"},
    "source": {"type": "str", "default": ""},
    "final": {"type": "bool", "default": False},
    "round_trips": {"type": "int", "default": 20},
    "sync_timeout": {"type": "int", "default": 60},
    "timeout": {"type": "int", "default": 30},
    "package": {"type": "str", "default": ""},
}
REQUIRED_IF = [("state", "compared", ["hosts", "results"])]


def main() -> None:
    """Compare, change, read back, tell."""
    module = AnsibleModule(argument_spec=SPEC, required_if=REQUIRED_IF, supports_check_mode=True)
    if module.params["state"] == "compared":
        module.fail_json(
            msg="state=compared runs on the controller; call the module by its full name, crosshost.overlay.timesync."
        )
    module.exit_json(**_clock_module.main_of(module))


if __name__ == "__main__":
    main()
