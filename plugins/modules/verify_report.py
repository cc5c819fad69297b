#!/usr/bin/python
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The work is done on the controller by the action plugin of the same name; this file documents it.

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_report
short_description: Judge and print what the probes of all hosts measured
version_added: "0.1.0"
author:
  - The crosshost.overlay authors (@crosshost)
description:
  - >-
    Takes what M(crosshost.overlay.overlay_probe) returned on each host, judges every ordered pair of hosts, prints a matrix and a
    line like C(verify: hosts=3 pairs=6 ok=6 failed=0).
  - Fails if a pair lost packets, got duplicate answers, does not carry the largest packet or carries a larger one, lost fragments,
    failed over TCP or UDP, was not measured, holds one address twice, or if the name of the target (where it was looked up) does not
    lead to its address and to no other; and if the network multiplies broadcasts. The message names both hosts, both addresses and
    the next step; of many failed pairs it tells the first ten and counts the rest.
  - The pairs within one host and those of containers that were there already are judged too, where they were measured. The summary line
    counts those only that fail, as C(local_failed) and C(containers_failed).
  - Runs on the controller and touches no host. Use it with C(run_once=true).
  - With more than 12 hosts the matrix gives way to the spread of the round trip times, followed by the failed pairs.
  - In check mode it reports itself as skipped.
extends_documentation_fragment:
  - crosshost.overlay.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: It changes nothing on any host, so there is nothing to show.
  idempotent:
    support: full
options:
  hosts:
    description:
      - All hosts whose pairs count, in the order of the matrix. A host without an entry in O(results) took no part (unreachable,
        say), and its pairs count as failed as far as the other end did not measure them.
      - With one host there is no pair; that is no failure.
    type: list
    elements: str
    required: true
  results:
    description: Host name to what M(crosshost.overlay.overlay_probe) returned there with O(crosshost.overlay.overlay_probe#module:state=probed).
    type: dict
    required: true
  failures:
    description: Host name to why it could not be probed, for the report.
    type: dict
    default: {}
  max_loss:
    description: Percent of lost echo requests up to which a pair is well.
    type: float
    default: 0.0
  summary_path:
    description:
      - File on the controller to write what is printed to; its last line is the summary. Relative to where Ansible was started.
      - Its folder is made if needed. Writing it is not reported as a change.
    type: str
"""

EXAMPLES = r"""
- name: Judge every ordered pair
  crosshost.overlay.verify_report:
    hosts: "{{ ansible_play_hosts_all }}"
    results: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, 'probed'))) }}"
    summary_path: verify.txt
  run_once: true
"""

RETURN = r"""
commands:
  description: Always empty; this module runs no command.
  type: list
  elements: str
  returned: always
summary:
  description: The summary line.
  type: str
  returned: except in check mode
  sample: "verify: hosts=3 pairs=6 ok=6 failed=0"
report:
  description: The numbers of the summary line as V(hosts), V(pairs), V(ok) and V(failed).
  type: dict
  returned: except in check mode
well:
  description: Whether all pairs of all kinds are well and all hosts took part.
  type: bool
  returned: except in check mode
verify:
  description:
    - All there is to know, also when a pair fails. Ansible prints the result of a task that fails; with many hosts that is long, so
      catch it with C(failed_when=false) and look at RV(well), as the role C(verify) does.
  type: dict
  returned: except in check mode
  contains:
    hosts:
      description: The hosts.
      type: list
      elements: str
    pairs:
      description:
        - One entry for each ordered pair, with V(source), V(target), V(source_address), V(target_address), V(cell) (its short form in the
          matrix), V(reason) and V(remedy) (empty if it is well), V(rtt_ms) (the median), V(kind), V(fault) and V(measured), which is what
          M(crosshost.overlay.overlay_probe) returned about it.
        - V(fault) is empty or one of V(loss), V(partial_loss), V(duplicates), V(mtu), V(fragment), V(tcp), V(udp), V(icmp_only), V(name),
          V(not_run), V(address_twice) and V(storm).
      type: list
      elements: dict
    local:
      description: The same for the way between two containers of each host; V(kind) is V(same_host).
      type: list
      elements: dict
    containers:
      description: The same for all containers of one host to all of another, or to the others of the same; V(kind) is V(container).
      type: list
      elements: dict
    failures:
      description: Host that took no part to the reason.
      type: dict
    summary:
      description: The summary line.
      type: str
pairs:
  description:
    - One entry for each ordered pair, with V(source), V(target), V(source_address), V(target_address) and V(rtt_ms), the median
      round trip in milliseconds.
  type: list
  elements: dict
  returned: if all pairs are well
summary_path:
  description: Absolute path of the file written.
  type: str
  returned: with O(summary_path), except in check mode
"""
