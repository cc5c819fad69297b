# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Ask the router of Weave Net for the host's own address again.

The module weave_expose installs this file on the host, where a systemd unit runs it after a boot and after each start of
Docker, because the address of a bridge does not outlive a boot. So it needs nothing but Python. It only waits for the router:
Docker's restart policy starts it, and two starters would race.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import time
import typing as t
import urllib.parse

HOLDER = "weave:expose"  # what Weave Net calls the host among the holders of addresses
BOOT_WAIT = 300.0  # seconds for Docker to start the router, and for that to agree with its peers on addresses
ANSWER = 30.0  # seconds for one answer: an allocation waits until enough peers are there
POLL = 2.0
CIDR = re.compile(r"\d+\.\d+\.\d+\.\d+/\d+\Z")

Ask = t.Callable[[str, str, t.Mapping[str, str]], str]


class ExposeError(Exception):
    """The router did not answer, or not as hoped; the text says what it said."""


def client(address: str, timeout: float = ANSWER) -> Ask:
    """Return a function that sends one request to the router and returns the text of its answer."""
    host, _sep, port = address.rpartition(":")

    def ask(method: str, path: str, form: t.Mapping[str, str]) -> str:
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        try:
            connection.request(method, path, urllib.parse.urlencode(form) or None, kind)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", errors="replace").strip()
        except (OSError, http.client.HTTPException) as exc:
            raise ExposeError(f"{method} http://{address}{path}: {exc or type(exc).__name__}") from exc
        finally:
            connection.close()
        if answer.status >= 300:
            raise ExposeError(f"{method} http://{address}{path}: {answer.status} {text}")
        return text

    return ask


def expose(ask: Ask, masquerade: bool, fqdn: str) -> str:
    """Give the host its address, rules and name, whatever it has of them by now; returns the address with prefix length."""
    ask("GET", "/status", {})
    cidr = ask("POST", f"/ip/{HOLDER}", {})
    if not CIDR.match(cidr):
        raise ExposeError(f"instead of an address the router said '{cidr}'")
    ask("POST", f"/expose/{cidr}{'' if masquerade else '?skipNAT=true'}", {})
    if fqdn:
        ask("PUT", f"/name/{HOLDER}/{cidr.partition('/')[0]}", {"fqdn": fqdn})
    return cidr


def main(path: str, wait: float = BOOT_WAIT) -> int:
    """Try until it works; give up after wait seconds."""
    with open(path, encoding="utf-8") as handle:
        config = json.load(handle)
    ask = client(config["http_address"])
    end = time.monotonic() + wait
    while True:
        try:
            cidr = expose(ask, config["masquerade"], config["fqdn"])
            sys.stdout.write(f"this host is {cidr} on the Weave network\n")
            return 0
        except ExposeError as exc:
            if time.monotonic() >= end:
                sys.stderr.write(
                    f"after {wait:g} s this host still has no address on the Weave network: {exc}; see 'docker logs weave'\n"
                )
                return 1
        time.sleep(POLL)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
