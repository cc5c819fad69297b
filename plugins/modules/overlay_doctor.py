#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done on the controller by the action plugin of the same name; this file documents it.

from __future__ import annotations

DOCUMENTATION = r"""
module: overlay_doctor
short_description: Say what is wrong with an overlay, where, why, and what cures it
version_added: "0.1.0"
author:
  - The crosshost.overlay authors (@crosshost)
description:
  - Looks at what M(crosshost.overlay.overlay_info), M(crosshost.overlay.timesync) and M(crosshost.overlay.verify_report) returned for all hosts, and names
    what is wrong. The root of the trouble comes first; what follows from it is left out.
  - Works on hosts that this collection never touched, and with any part of the facts missing.
  - Prints a table of the findings, and writes the report where it is asked to. Runs on the controller and touches no host; use it with C(run_once=true).
extends_documentation_fragment:
  - crosshost.overlay.attributes
attributes:
  check_mode:
    support: full
    details: Writes the reports in check mode, too; they are no part of any host.
  diff_mode:
    support: none
    details: It changes nothing on any host, so there is nothing to show.
  idempotent:
    support: full
options:
  hosts:
    description: Inventory names of the hosts that were looked at, or were to be.
    type: list
    elements: str
    required: true
  left_out:
    description: Inventory names of other hosts of the overlay, such as those outside of C(--limit). That they exist counts, and nothing else.
    type: list
    elements: str
    default: []
  infos:
    description: Host name to what M(crosshost.overlay.overlay_info) returned there, also when it failed.
    type: dict
    default: {}
  unreachable:
    description: Host name to why it could not be reached.
    type: dict
    default: {}
  clocks:
    description: Host name to what M(crosshost.overlay.timesync) returned there with O(crosshost.overlay.timesync#module:state=measured).
    type: dict
    default: {}
  verify:
    description: What M(crosshost.overlay.verify_report) returned as C(verify). Empty if no packets were sent.
    type: dict
    default: {}
  addresses:
    description: Host name to underlay address. If it is empty, the inventory's are taken (C(overlay_underlay_ip), C(ansible_host)).
    type: dict
    default: {}
  backend:
    description: The overlay that is expected. If it is empty, it is known by the marks that this collection leaves on hosts.
    type: str
    choices: ["", ovs_gre, weave]
    default: ""
  wish:
    description:
      - What the overlay is meant to be, as V(network) (Docker network), V(topology), V(datapath), V(link) (the port in Docker's bridge), V(port) (of Weave
        Net), V(service) (the unit of Open vSwitch) and V(allow_overlap). All of it may be missing.
    type: dict
    default: {}
  max_skew:
    description: Seconds that clocks may be apart before it is a warning.
    type: float
    default: 1.0
  fail_skew:
    description: Seconds that clocks may be apart before it is an error.
    type: float
    default: 60.0
  report_html:
    description: File on the controller for the report as a page. If it is empty, none is written.
    type: str
    default: ""
  report_json:
    description: File on the controller for the report as JSON. If it is empty, none is written.
    type: str
    default: ""
  prometheus:
    description: File on the controller for the textfile collector of Prometheus' node exporter. If it is empty, none is written.
    type: str
    default: ""
  title:
    description: Title of the report.
    type: str
    default: ""
  quiet:
    description: Whether to print nothing.
    type: bool
    default: false
  fail:
    description: Whether to fail if there is a finding of severity V(error).
    type: bool
    default: false
seealso:
  - module: crosshost.overlay.overlay_info
  - module: crosshost.overlay.verify_report
"""

EXAMPLES = r"""
- name: Look at every host
  crosshost.overlay.overlay_info:
  register: seen

- name: Say what is wrong
  crosshost.overlay.overlay_doctor:
    hosts: "{{ ansible_play_hosts_all }}"
    infos: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'seen'))) }}"
    report_html: overlay_report.html
  run_once: true
  register: doctor

- name: Show the cure of the first finding
  ansible.builtin.debug:
    msg: "{{ doctor.findings[0].commands }}"
  when: doctor.findings | length > 0
  run_once: true
"""

RETURN = r"""
commands:
  description: Always empty; this module runs no command.
  type: list
  elements: str
  returned: always
findings:
  description: What is wrong, worst first.
  type: list
  elements: dict
  returned: unless it fails
  contains:
    id:
      description: Stable name of the rule; C(docs/doctor.md) lists them.
      type: str
      sample: gre-key-mismatch
    severity:
      description: V(error), V(warning) or V(note).
      type: str
    hosts:
      description: The hosts to act on, the first one first.
      type: list
      elements: str
    summary:
      description: What is wrong, in one line.
      type: str
    evidence:
      description: Lines as the tools printed them, each behind the name of its host.
      type: list
      elements: str
    cause:
      description: Why.
      type: str
    remedy:
      description: What to do.
      type: str
    commands:
      description: Commands to copy, for a shell on a host (C(h2$ ...)) or for the controller.
      type: list
      elements: str
    rank:
      description: Less is nearer to the root of the trouble.
      type: int
summary:
  description: One line for programs.
  type: str
  returned: always
  sample: "doctor: hosts=3 findings=1 errors=1 warnings=0 notes=0"
explanation:
  description: The most likely cause of lost packets, in a few lines for an error message. Empty if nothing is wrong.
  type: str
  returned: unless it fails
paths:
  description: Absolute paths of the files written, by option.
  type: dict
  returned: always
  sample: {"report_html": "/home/me/overlay_report.html"}
"""
