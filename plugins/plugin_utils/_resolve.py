# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Underlay addresses of hosts, from the inventory and the controller's resolver. Private to this collection."""

from __future__ import annotations

import concurrent.futures
import ipaddress
import socket
import typing as t


def underlay_name(host: str, variables: t.Mapping[str, t.Any]) -> str:
    """Return the address or name under which other hosts reach a host."""
    return str(variables.get("overlay_underlay_ip") or variables.get("ansible_host") or host)


def resolve(names: t.Sequence[str], timeout: float) -> dict[str, str]:
    """Map each name or address to an address, names by the controller's resolver, all at once and bounded."""
    found = {}
    wanted = []
    for name in dict.fromkeys(names):
        try:
            found[name] = str(ipaddress.ip_address(name))
        except ValueError:
            wanted.append(name)
    if not wanted:
        return found
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=min(32, len(wanted)))
    futures = {pool.submit(socket.getaddrinfo, name, None, 0, socket.SOCK_STREAM): name for name in wanted}
    done, _dummy = concurrent.futures.wait(futures, timeout=timeout)
    pool.shutdown(wait=False, cancel_futures=True)
    for future in done:
        if future.exception() is None:
            found[futures[future]] = str(future.result()[0][4][0])
    return found
