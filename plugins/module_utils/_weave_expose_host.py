# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Reads and changes a host for weave_expose: the router, the bridge, the rules, and the unit that survives a boot."""

from __future__ import annotations

import inspect
import json
import os
import sys
import time
import typing as t
from dataclasses import replace

from ansible_collections.crosshost.overlay.plugins.module_utils import (
    _files,
    _host,
    _weave_expose,
    _weave_expose_boot,
    _weave_report,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import SBIN, Cli
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_expose import (
    CHAINS,
    RECORD_PATH,
    SCRIPT_PATH,
    UNIT,
    UNIT_PATH,
    Record,
    Refusal,
    State,
    Step,
)
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_expose_boot import HOLDER
from ansible_collections.crosshost.overlay.plugins.module_utils._weave_http import Answer, Api, ApiError

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

ABSENT_UNIT = {"LoadState": "not-found", "UnitFileState": "", "ActiveState": "inactive", "NeedDaemonReload": "no"}
NOTHING = {"address": None, "fqdn": None, "masquerade": None, "boot": False}
POLL = 1.0
START_MARGIN = 30.0  # seconds beyond wait_timeout for the unit, which asks the router anew
ROUNDS = 3  # allocate, expose, and find nothing left to do


class ExposeHost:
    """One host; present() and absent() are the two states of the module."""

    def __init__(self, module: AnsibleModule, wish: Record, boot: bool) -> None:
        self.module, self.wish, self.boot = module, wish, boot
        self.check = module.check_mode
        self.patience = float(module.params["wait_timeout"])
        self.commands: list[str] = []
        self.api = Api(wish.http_address, self.patience)
        self.ip = Cli(module, "ip", package="iproute2")
        self.iptables = self._tool("iptables")
        self.systemctl = self._tool("systemctl", self.patience + START_MARGIN) if _host.booted_with_systemd() else None

    def present(self) -> dict[str, t.Any]:
        """Give the host an address, rules, name and unit as wished."""
        if self.boot and self.systemctl is None:
            raise Refusal("there is no systemd on this host to give the address back after a boot; set boot to false")
        if not self.check:
            self._wait_for_router()
        old = self._record()
        state = self._observe()
        _weave_expose.check(state, self.wish)
        before = _weave_expose.shown(state, old.fqdn if old else self.wish.fqdn, os.path.exists(UNIT_PATH))
        self._apply(_weave_expose.plan_rename(state, self.wish, old))
        # What says that the address is ours, and what survives a power cut, comes before the address.
        files = self._write(state.cidr or (old.address if old else ""))
        if self.check:
            self._apply(_weave_expose.plan(state, self.wish) if state.cidr else _weave_expose.predicted(self.wish))
        else:
            state = self._reach(state)
            files = self._write(state.cidr or "") or files
        self._keep(files)
        changed = bool(self.commands)
        after = _weave_expose.shown(state, self.wish.fqdn, self.boot)
        if self.check and changed:
            wish = {"fqdn": self.wish.fqdn or None, "masquerade": self.wish.masquerade, "boot": self.boot}
            after = {"address": state.cidr or "given by the router", **wish}
        return self._result(before, after)

    def absent(self) -> dict[str, t.Any]:
        """Take back what the record says is ours; the record goes last."""
        record = self._record()
        if record is None and not os.path.exists(UNIT_PATH):
            return self._result(NOTHING, NOTHING)
        self.wish = record or self.wish
        self.api = Api(self.wish.http_address, self.patience)
        state = self._observe()
        before = _weave_expose.shown(state, self.wish.fqdn, os.path.exists(UNIT_PATH), self.wish.address)
        self._drop_unit()
        self._apply(_weave_expose.plan_absent(state, self.wish) if record else [])
        # Without a bridge there is no network any more that the address could be in use in.
        if state.answers or not state.bridge:
            self._remove(RECORD_PATH)
        elif record:
            self.module.warn(
                f"The router does not answer at {self.wish.http_address} and still counts the address {self.wish.address} of this host "
                "as in use; run this again when the router runs."
            )
        if record and not self.check and record.address in self._observe().on_bridge:
            self._fail(f"The address {record.address} is still on {record.bridge} after it was deleted; run again.")
        return self._result(before, NOTHING)

    # -- reading

    def _observe(self) -> State:
        report = self.api.report()
        router = _weave_report.parse(report) if report else None
        answer = self._ask("GET", f"/ip/{HOLDER}") if router else None
        names = router.dns.entries if router and router.dns else ()
        links = json.loads(self.ip.read("-json", "address", "show")[1] or "[]")
        bridge = next((link for link in links if link.get("ifname") == self.wish.bridge), None)
        info = [item for item in (bridge or {}).get("addr_info") or [] if item.get("family") == "inet"]
        return State(
            answers=router is not None,
            allocates=router is not None and router.ipam is not None,
            allocated=tuple(answer.text.split()) if answer and answer.ok else (),
            bridge=bridge is not None,
            on_bridge=tuple(f"{item['local']}/{item['prefixlen']}" for item in info),
            rules={table: self._rules(table, chain) for table, chain in CHAINS},
            names=tuple(
                (_weave_expose.plain(entry.hostname), entry.address)
                for entry in names
                if router and entry.container == HOLDER and entry.origin == router.name
            ),
            domain=router.dns.domain if router and router.dns else None,
        )

    def _rules(self, table: str, chain: str) -> tuple[str, ...] | None:
        """Read a chain; None without it, as where the router works on the other of the two kinds of iptables."""
        answer = self.iptables.run_raw("-w", "5", "-t", table, "-S", chain) if self.iptables else None
        return tuple(line.strip() for line in answer.out.splitlines()) if answer and answer.rc == 0 else None

    def _record(self) -> Record | None:
        text = _files.read(RECORD_PATH)
        return _weave_expose.load(text) if text else None

    def _systemd(self) -> dict[str, str]:
        if self.systemctl is None:
            return dict(ABSENT_UNIT)
        lines = self.systemctl.read("show", UNIT, "--property=" + ",".join(ABSENT_UNIT))[1].splitlines()
        return {**ABSENT_UNIT, **dict(line.split("=", 1) for line in lines if "=" in line)}

    def _wait_for_router(self) -> None:
        end = time.monotonic() + self.patience
        while True:
            try:
                answer = self.api.get("/status")
                said = f"it answers {answer.status} {answer.text.strip()[:200]}"
                if answer.ok:
                    return
            except ApiError as exc:
                said = str(exc)
            if time.monotonic() >= end:
                self._fail(
                    f"The router of Weave Net is not ready after {self.patience:g} seconds: {said}. Start it (crosshost.overlay.weave_launch), "
                    "or see 'docker logs weave' on this host."
                )
            time.sleep(POLL)

    # -- changing

    def _reach(self, state: State) -> State:
        """Apply and look again until nothing is left to do."""
        for dummy in range(ROUNDS):
            steps = _weave_expose.plan(state, self.wish)
            if not steps:
                return state
            self._apply(steps)
            state = self._observe()
        left = _weave_expose.plan(state, self.wish)
        if left:
            self._fail(
                f"The router took the requests, and this is still to do: {'; '.join(self._shown(step) for step in left)}. See 'docker logs weave'."
            )
        return state

    def _apply(self, steps: t.Iterable[Step]) -> None:
        for step in steps:
            tool = {"ip": self.ip, "iptables": self.iptables}.get(step.tool)
            if tool:
                self._run(tool, *step.words)
                continue
            self.commands.append(self._shown(step))
            if not self.check:
                method, path = step.words
                self._ask(method, path, step.form)

    def _ask(self, method: str, path: str, form: t.Sequence[tuple[str, str]] = ()) -> Answer:
        """Send one request; a GET may be told that there is nothing."""
        try:
            answer = self.api.request(method, path, form)
        except ApiError as exc:
            ipam = (_weave_report.parse(self.api.report() or {"Router": {"Name": ""}})).ipam
            why = f" (its address allocation: {ipam.status})" if ipam and path == f"/ip/{HOLDER}" else ""
            self._fail(
                f"The router did not answer within {self.patience:g} seconds{why}: {exc}. An allocation waits until enough peers are connected: "
                "see 'weave status connections' and 'weave status ipam' on this host."
            )
        if not answer.ok and (method, answer.status) != ("GET", 404):
            self._fail(
                f"The router refused {method} {path}: {answer.status} {answer.text.strip()}. See 'docker logs weave' on this host."
            )
        return answer

    def _run(self, tool: Cli, *words: str) -> None:
        """Run a command, or in check mode note it."""
        known = len(tool.commands)
        tool.write(*words)
        self.commands += tool.commands[known:]

    def _write(self, address: str) -> bool:
        """Write the record and, for after a boot, program and unit, as far as they differ. Says whether the unit's did."""
        wanted = {RECORD_PATH: _weave_expose.dump(replace(self.wish, address=address))}
        if self.boot:
            wanted[SCRIPT_PATH] = inspect.getsource(_weave_expose_boot)
            wanted[UNIT_PATH] = _weave_expose.unit_text(sys.executable)
        different = [path for path, text in wanted.items() if _files.read(path) != text]
        for path in different:
            self.commands.append(f"write {path}")
            if self.check:
                continue
            try:
                _files.write_atomic(path, wanted[path].encode())
            except OSError as exc:
                self._fail(
                    f"{path} could not be written: {exc}. Free space or make the file system writable, then run again."
                )
        return UNIT_PATH in different

    def _keep(self, files: bool) -> None:
        """Have systemd run the unit after each start of Docker; or not, as wished."""
        if not self.boot:
            self._drop_unit()
            return
        unit = self._systemd()
        if self.systemctl is None:
            return
        if files or unit["NeedDaemonReload"] == "yes":
            self._run(self.systemctl, "daemon-reload")
        if unit["UnitFileState"] != "enabled":
            self._run(self.systemctl, "enable", UNIT)
        # Active is what makes systemd stop it with Docker, and so run it again.
        if unit["ActiveState"] != "active":
            self._run(self.systemctl, "start", UNIT)

    def _drop_unit(self) -> None:
        if self.systemctl and self._systemd()["LoadState"] != "not-found":
            self._run(self.systemctl, "disable", "--now", UNIT)
        gone = [self._remove(path) for path in (UNIT_PATH, SCRIPT_PATH)]
        if self.systemctl and gone[0]:
            self._run(self.systemctl, "daemon-reload")

    def _remove(self, path: str) -> bool:
        if not os.path.exists(path):
            return False
        self.commands.append(f"rm {path}")
        if not self.check:
            _files.remove(path)
        return True

    # -- showing

    def _shown(self, step: Step) -> str:
        words = " ".join(step.words)
        if step.tool != "api":
            return f"{step.tool} {words}"
        method, path = step.words
        return " ".join([method, f"http://{self.api.address}{path}", *("=".join(pair) for pair in step.form)])

    def _result(self, before: dict[str, t.Any], after: dict[str, t.Any]) -> dict[str, t.Any]:
        return {
            "changed": bool(self.commands),
            "commands": self.commands,
            "exposed": after,
            "diff": {"before": before, "after": after},
        }

    def _fail(self, msg: str) -> t.NoReturn:
        self.module.fail_json(msg=msg, commands=self.commands)
        raise SystemExit(1)  # fail_json() does not return; this tells the type checker

    def _tool(self, name: str, timeout: float = 30) -> Cli | None:
        return Cli(self.module, name, timeout=timeout) if self.module.get_bin_path(name, opt_dirs=SBIN) else None
