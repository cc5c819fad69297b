# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the Weave backend have in common: what the router says of itself."""

from __future__ import annotations

import json
import typing as t

from overlay_helpers import NAMES, UNDERLAY, Call, call, calls, calls_each, wait_for

if t.TYPE_CHECKING:
    from testinfra.host import Host


class Links:
    """What the routers say of their links to each other."""

    def __init__(self, hosts: dict[str, Host]) -> None:
        self.hosts = hosts

    def api(self, name: str, path: str, form: str = "") -> tuple[int, str]:
        """Ask the router itself: exit status and text. Without a form it is a GET, with one a POST."""
        body = f"{form!r}.encode()" if form else "None"
        request = f"r.Request('http://127.0.0.1:6784{path}', {body}, dict(Accept='application/json'))"
        code = f"import urllib.request as r; print(r.urlopen({request}, timeout=5).read().decode())"
        done = self.hosts[name].run("python3 -c %s", code)
        return done.rc, done.stdout

    def whole(self) -> bool:
        """Whether every router has an established link to every other."""
        for name in NAMES:
            status, text = self.api(name, "/report")
            if status != 0 or not text.startswith("{"):
                return False
            connections = json.loads(text)["Router"]["Connections"] or []
            up = {item["Address"].rpartition(":")[0] for item in connections if item["State"] == "established"}
            if not {address for other, address in UNDERLAY.items() if other != name} <= up:
                return False
        return True

    def settle(self, seconds: float = 90) -> None:
        """Wait until all routers are linked; failed links are tried again at once."""
        for name in NAMES:
            peers = [address for other, address in UNDERLAY.items() if other != name]
            self.api(name, "/connect", "&".join(f"peer={item}" for item in peers))
        wait_for("all routers are linked", self.whole, seconds)


class Routers(Links):
    """The routers as site.yml declared them, and what becomes of them."""

    def __init__(self, hosts: dict[str, Host]) -> None:
        super().__init__(hosts)
        found = calls("overlay", "weave_info")
        self.declared = {name: self._declared(name, found[name].ok()["weave"]) for name in NAMES}

    @staticmethod
    def _declared(name: str, weave: dict[str, t.Any]) -> dict[str, t.Any]:
        """The options that describe the router as it runs."""
        launch = dict(weave["launch"])
        fast = launch.pop("fast_datapath")
        for key in ("extra", "peers", "password_set"):
            launch.pop(key)
        source, _sep, version = weave["container"]["image"].partition("/weave:")
        peers = [address for other, address in UNDERLAY.items() if other != name]
        return {
            **launch,
            "fast_datapath": "auto" if fast else "disabled",
            "image_source": source,
            "version": version,
            "peers": peers,
        }

    def info(self, name: str) -> dict[str, t.Any]:
        """What weave_info returns."""
        return t.cast("dict[str, t.Any]", call(name, "weave_info").ok()["weave"])

    def options(self, host: str, **options: t.Any) -> dict[str, t.Any]:
        """The declared options of a host with these changes; a value of None leaves an option out."""
        merged = {**self.declared[host], **options}
        return {key: value for key, value in merged.items() if value is not None}

    def launch(self, host: str, /, *args: str, **options: t.Any) -> Call:
        """Call weave_launch with them."""
        return call(host, "weave_launch", *args, **self.options(host, **options))

    def report(self, name: str) -> dict[str, t.Any]:
        """The router's own report."""
        status, text = self.api(name, "/report")
        assert status == 0, text
        return t.cast("dict[str, t.Any]", json.loads(text))

    def links(self, name: str) -> dict[str, dict[str, t.Any]]:
        """The router's connections by the other end's address."""
        found = self.report(name)["Router"]["Connections"] or []
        return {item["Address"].rpartition(":")[0]: item for item in found}

    def started(self, name: str) -> str:
        """When the router's container was started; it changes with every relaunch."""
        return self.hosts[name].check_output("docker inspect -f '{{.Id}} {{.State.StartedAt}}' weave")

    def restore(self) -> None:
        """Bring all routers back to what was declared, all at once, and wait until they are linked."""
        for found in calls_each("weave_launch", {name: self.options(name) for name in NAMES}).values():
            found.ok()
        self.settle()
