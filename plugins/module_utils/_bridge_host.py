# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE: used by the modules of crosshost.overlay only; it may change in any release.
"""Reads and changes a host for ovs_bridge: database, links, and the unit that survives a boot."""

from __future__ import annotations

import inspect
import os
import sys
import time
import typing as t

from ansible_collections.crosshost.overlay.plugins.module_utils import _attach, _bridge, _files, _host
from ansible_collections.crosshost.overlay.plugins.module_utils._bridge import Bridge, LinkPort, Refusal, State, Wish
from ansible_collections.crosshost.overlay.plugins.module_utils._cli import SBIN, Cli, Result
from ansible_collections.crosshost.overlay.plugins.module_utils._ovs import (
    BACKSTOP,
    MARK,
    PACKAGE,
    as_list,
    parse_table,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

LIST = (
    "--format=json",
    *("--", "--columns=name,datapath_type,fail_mode,other_config,external_ids,ports", "list", "Bridge"),
    *("--", "--columns=_uuid,name", "list", "Port"),
    *("--", "--columns=name,type,mtu_request,external_ids,ofport,error", "list", "Interface"),
)
PACKAGES = {"ethtool": "ethtool", "sysctl": "procps"}  # of what a minimal system lacks
SETTLE = 10.0  # seconds for ovs-vswitchd to make a port's device and for the kernel to show it
ABSENT_UNIT = {"LoadState": "not-found", "UnitFileState": "", "ActiveState": "inactive", "NeedDaemonReload": "no"}


class BridgeHost:
    """One host; present() and absent() are the two states of the module."""

    def __init__(self, module: AnsibleModule, wish: Wish) -> None:
        self.module = module
        self.wish = wish
        self.check = module.check_mode
        self.timeout = module.params["timeout"]
        self.commands: list[str] = []
        self.ip = Cli(module, "ip", timeout=self.timeout, package="iproute2")
        self.systemctl = Cli(module, "systemctl", timeout=self.timeout + _attach.BOOT_WAIT)
        self.ovs = self._tool("ovs-vsctl", f"--timeout={self.timeout}")

    def present(self) -> dict[str, t.Any]:
        """Make bridges, link, attachment and unit as wished."""
        self._need_kernel_datapath()
        state, errors = self._observe()
        nic = _bridge.find_nic(state, self.wish) if self.wish.underlay_bridge else ""
        _bridge.check(state, self.wish, nic)
        transaction = _bridge.plan(state, self.wish, nic)
        if errors.get(self.wish.link) and not transaction:
            transaction = ["--", "--if-exists", "del-port", self.wish.bridge, self.wish.link]
            self._write_ovs(transaction)
            transaction = _bridge.plan(self._observe()[0], self.wish, nic)
        config = _attach.Config(self.wish.link, self.wish.master, self.wish.underlay_bridge if nic else "", nic)
        config = self._with_memory(config)
        kernel = _attach.observe(self._run, config)
        config = _attach.learned(kernel, config)
        attach = _attach.plan(kernel, config)
        files = self._files_to_write(config)
        unit = self._unit_steps(bool(files))
        before = self._view(state, kernel, config)
        # What survives a power cut comes first, so that a cut at any later moment ends in a working boot.
        self._write_files(files)
        for step in unit:
            self.systemctl.write(*step)
        self._write_ovs(transaction)
        if self.check:
            missing = _attach.missing_links(kernel, config)
            attach += [["ip", "link", "set", config.link, "master", config.master]] if config.link in missing else []
            self.commands += [" ".join(step) for step in attach]
        else:
            attach = self._tie(config)
            self._read_back(nic)
            self._start_unit()
        changed = bool(transaction or attach or files or unit)
        after = self._wished_view(config) if self.check and changed else before
        if not self.check and changed:
            after = self._view(self._observe()[0], _attach.observe(self._run, config), config)
        return self._result(changed, before, after, nic)

    def absent(self) -> dict[str, t.Any]:
        """Give the card back what it had, delete our bridges and the unit; the record of the card goes last."""
        text = _files.read(_bridge.CONFIG_PATH)
        config = _attach.load(text) if text else _attach.Config(self.wish.link, self.wish.master)
        state, dummy_errors = self._observe()
        kernel = _attach.observe(self._run, config)
        config = _attach.learned(kernel, config)
        before = self._view(state, kernel, config)
        transaction = _bridge.plan_absent(state, (self.wish.bridge, self.wish.underlay_bridge), self.wish.owner)
        unit = self._systemd()
        present = unit["LoadState"] != "not-found"
        paths = [path for path in (_bridge.UNIT_PATH, _bridge.SCRIPT_PATH, _bridge.CONFIG_PATH) if os.path.exists(path)]
        if text and transaction and _attach.dump(config) != text and not self.check:
            self._write_files({_bridge.CONFIG_PATH: _attach.dump(config)})
        # Before the bridge goes, so that a restart of Docker in between does not start the unit on what is half gone.
        if present:
            self.systemctl.write("disable", "--now", _bridge.UNIT)
        self._write_ovs(transaction)
        back = _attach.plan_back(kernel if self.check else _attach.observe(self._run, config), config)
        self._apply(back)
        for path in paths:
            self.commands.append(f"rm {path}")
            if not self.check:
                _files.remove(path)
        if present:
            self.systemctl.write("daemon-reload")
        changed = bool(transaction or back or paths or present)
        if changed and not self.check:
            left = _bridge.plan_absent(
                self._observe()[0], (self.wish.bridge, self.wish.underlay_bridge), self.wish.owner
            )
            if left:
                self.module.fail_json(
                    msg=f"Bridges are still there after they were deleted: {left}. See 'journalctl -u ovs-vswitchd'."
                )
        return self._result(changed, before, {"bridges": {}, "files": []} if changed else before, "")

    # -- reading

    def _observe(self) -> tuple[State, dict[str, str]]:
        interfaces = tuple(_host.interfaces(self.ip))
        routes = tuple(_host.routes(self.ip))
        management = _host.ssh_server_address(os.getpid())
        if self.ovs is None:
            return State({}, None, interfaces, routes, management), {}
        answer = self.ovs.run_raw(*LIST)
        if answer.rc != 0:
            if not self.check:
                self.ovs.fail(
                    answer,
                    f"Open vSwitch does not answer: {answer.message}. Start it ('systemctl restart openvswitch-switch') and run again.",
                )
            self.module.warn("Open vSwitch does not answer; this prediction takes it for running and empty.")
            return State({}, None, interfaces, routes, management), {}
        bridges, link, errors = parse_state(answer.out, self.wish.link)
        return State(bridges, link, interfaces, routes, management), errors

    def _need_kernel_datapath(self) -> None:
        if self.wish.datapath != "system" or os.path.isdir("/sys/module/openvswitch"):
            return
        modprobe = self._tool("modprobe")
        answer = modprobe.run_raw(*(["--dry-run"] if self.check else []), "openvswitch") if modprobe else None
        # A kernel may have it built in, and then there is neither a module to load nor one to miss.
        if answer and answer.rc == 0:
            return
        said = answer.message if answer else "there is no modprobe"
        raise Refusal(
            f"the kernel {os.uname().release} has no Open vSwitch datapath ({said}); install the distribution's standard kernel with its modules, "
            "or set ovs_gre_datapath to netdev for the userspace datapath (slower, and the underlay needs a card of its own)"
        )

    def _systemd(self) -> dict[str, str]:
        lines = self.systemctl.read("show", _bridge.UNIT, "--property=" + ",".join(ABSENT_UNIT))[1].splitlines()
        return {**ABSENT_UNIT, **dict(line.split("=", 1) for line in lines if "=" in line)}

    def _with_memory(self, config: _attach.Config) -> _attach.Config:
        text = _files.read(_bridge.CONFIG_PATH)
        return _attach.remembering(config, _attach.load(text)) if text else config

    # -- planning what lies outside the database

    def _files_to_write(self, config: _attach.Config) -> dict[str, str]:
        wanted = {
            _bridge.SCRIPT_PATH: inspect.getsource(_attach),
            _bridge.CONFIG_PATH: _attach.dump(config),
            _bridge.UNIT_PATH: _bridge.unit_text(sys.executable),
        }
        return {path: text for path, text in wanted.items() if _files.read(path) != text}

    def _unit_steps(self, files_change: bool) -> list[list[str]]:
        unit = self._systemd()
        steps = []
        if files_change or unit["NeedDaemonReload"] == "yes":
            steps.append(["daemon-reload"])
        if unit["UnitFileState"] != "enabled":
            steps.append(["enable", _bridge.UNIT])
        return steps

    # -- changing

    def _write_files(self, files: t.Mapping[str, str]) -> None:
        for path, text in files.items():
            self.commands.append(f"write {path}")
            if self.check:
                continue
            try:
                _files.write_atomic(path, text.encode())
            except OSError as exc:
                self.module.fail_json(
                    msg=f"{path} could not be written: {exc}. Free space or make the file system writable, then run again."
                )

    def _write_ovs(self, transaction: list[str]) -> None:
        if not transaction:
            return
        if self.ovs is None:
            self.commands.append(" ".join(["ovs-vsctl", *transaction]))
            return
        answer = self.ovs.run_raw(*transaction) if not self.check else None
        self.ovs.record(*transaction)
        if answer and answer.rc != 0:
            self.ovs.fail(
                answer, f"Open vSwitch did not take the change: {answer.message}. See 'journalctl -u ovs-vswitchd'."
            )

    def _tie(self, config: _attach.Config) -> _attach.Steps:
        """Apply until nothing is left to do; links of new ports show up a moment after the transaction."""
        done: _attach.Steps = []
        end = time.monotonic() + SETTLE
        while True:
            kernel = _attach.observe(self._run, config)
            steps = _attach.plan(kernel, config)
            self._apply(steps)
            done += steps
            missing = _attach.missing_links(kernel, config)
            if not steps and not missing:
                return done
            if time.monotonic() > end:
                what = f"there is no link {', '.join(missing)}" if missing else "links do not stay as they were set"
                self.module.fail_json(
                    msg=f"{SETTLE:g} seconds after the change {what}. {config.master} is made by Docker ('docker network ls'), "
                    f"{config.link} by Open vSwitch ('ovs-vsctl show', 'journalctl -u ovs-vswitchd').",
                    commands=self._all_commands(),
                )
            time.sleep(0.1)

    def _apply(self, steps: _attach.Steps) -> None:
        for step in steps:
            self.commands.append(" ".join(step))
            if self.check:
                continue
            status, out, err = self._run(step)
            if status != 0:
                self.module.fail_json(
                    msg=f"'{' '.join(step)}' failed with status {status}: {err.strip() or out.strip()}. Run again when that is cured.",
                    cmd=" ".join(step),
                    rc=status,
                    stdout=out,
                    stderr=err,
                )

    def _start_unit(self) -> None:
        # Active is what makes systemd run it again together with Docker and Open vSwitch.
        if self._systemd()["ActiveState"] != "active":
            self.systemctl.write("start", _bridge.UNIT)

    def _read_back(self, nic: str) -> None:
        state, errors = self._observe()
        left = _bridge.plan(state, self.wish, nic)
        if left or errors:
            broken = "; ".join(f"{name}: {text}" for name, text in errors.items()) or f"still to do: {' '.join(left)}"
            self.module.fail_json(
                msg=f"Open vSwitch took the change, and it does not work: {broken}. With 'could not add network device' the kernel lacks the "
                "datapath; see 'journalctl -u ovs-vswitchd', or set ovs_gre_datapath to netdev.",
                commands=self._all_commands(),
            )

    # -- showing

    def _view(self, state: State, kernel: _attach.State, config: _attach.Config) -> dict[str, t.Any]:
        names = (self.wish.bridge, self.wish.underlay_bridge)
        shown = {
            name: {"datapath": state.bridges[name].datapath, "fail_mode": state.bridges[name].fail_mode}
            for name in names
            if name in state.bridges
        }
        link = kernel.links.get(config.link)
        return {
            "bridges": shown,
            "link": {"name": config.link, "master": link.master, "mtu": state.link.mtu_request if state.link else None}
            if link
            else None,
            "files": [
                path for path in (_bridge.CONFIG_PATH, _bridge.SCRIPT_PATH, _bridge.UNIT_PATH) if os.path.exists(path)
            ],
        }

    def _wished_view(self, config: _attach.Config) -> dict[str, t.Any]:
        names = [name for name in (self.wish.bridge, self.wish.underlay_bridge) if name]
        return {
            "bridges": {name: {"datapath": self.wish.datapath, "fail_mode": "standalone"} for name in names},
            "link": {"name": config.link, "master": config.master, "mtu": self.wish.mtu},
            "files": [_bridge.CONFIG_PATH, _bridge.SCRIPT_PATH, _bridge.UNIT_PATH],
        }

    def _result(self, changed: bool, before: dict[str, t.Any], after: dict[str, t.Any], nic: str) -> dict[str, t.Any]:
        wish = self.wish
        bridge = {
            "name": wish.bridge,
            "datapath": wish.datapath,
            "link": wish.link,
            "master": wish.master,
            "underlay_bridge": wish.underlay_bridge,
            "nic": nic,
        }
        absent = self.module.params["state"] == "absent"
        return {
            "changed": changed,
            "commands": self._all_commands(),
            "bridge": None if absent else bridge,
            "diff": {"before": before, "after": after},
        }

    def _all_commands(self) -> list[str]:
        return self.commands + (self.ovs.commands if self.ovs else []) + self.systemctl.commands

    # -- tools

    def _tool(self, name: str, *args: str) -> Cli | None:
        absent = self.module.params["state"] == "absent"
        if (name != "modprobe" and not self.check and not absent) or self.module.get_bin_path(name, opt_dirs=SBIN):
            return Cli(self.module, name, *args, timeout=self.timeout + BACKSTOP, package=PACKAGE)
        return None

    def _run(self, argv: list[str]) -> tuple[int, str, str]:
        package = PACKAGES.get(argv[0])
        if package and not self.module.get_bin_path(argv[0], opt_dirs=SBIN):
            if self.check:
                return 0, "", ""
            self.module.fail_json(
                msg=f"The command '{argv[0]}' is not on this host; install the package '{package}' there."
            )
        tool = self.ip if argv[0] == "ip" else Cli(self.module, argv[0], timeout=self.timeout)
        result: Result = tool.run_raw(*argv[1:])
        return result.rc, result.out, result.err


def parse_state(text: str, link: str) -> tuple[dict[str, Bridge], LinkPort | None, dict[str, str]]:
    """Read bridges, the link port and the errors of our internal ports from the answer to LIST."""
    bridge_rows, port_rows, interface_rows = (parse_table(line) for line in text.splitlines() if line.strip())
    ports = {row["_uuid"]: row["name"] for row in port_rows}
    bridges = {}
    for row in bridge_rows:
        bridges[row["name"]] = Bridge(
            name=row["name"],
            datapath=row["datapath_type"] or "system",
            fail_mode="".join(as_list(row["fail_mode"])),
            hwaddr=row["other_config"].get("hwaddr", ""),
            owner=row["external_ids"].get(MARK),
            ports=tuple(sorted(ports[uuid] for uuid in as_list(row["ports"]) if uuid in ports)),
        )
    found, errors = None, {}
    for row in interface_rows:
        if row["name"] != link:
            continue
        home = next((bridge.name for bridge in bridges.values() if link in bridge.ports), "")
        request = as_list(row["mtu_request"])
        found = LinkPort(home, row["type"], request[0] if request else None, row["external_ids"].get(MARK))
        problem = "; ".join(as_list(row["error"]))
        if problem or as_list(row["ofport"]) in ([], [-1]):
            errors[link] = problem or "it has no OpenFlow port"
    return bridges, found, errors
