# Stands in for Weave Net 2.9.0 in tests: the Linux devices that frames travel through.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridge "weave" with the containers' interfaces, and two ways out of it:

- fastdp: a kernel VXLAN device on udp/6784 (the real one: an Open vSwitch datapath with a VXLAN port, same wire format);
- sleeve: the veth pair vethwe-bridge, whose other end sleeve.py reads and writes (the real one: pcap, or the datapath).

Both are isolated ports: a frame never goes from one to the other, so nothing is forwarded through an intermediate peer. The
bridge does not learn from them: what is for another host goes to both, and the one in charge of that peer sends it.
"datapath" is an unused bridge: it marks the kind of the bridge, as the real one's device of that name does.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import socket
import struct
import typing as t

from standin import log, tools

BRIDGE_END = "vethwe-bridge"
FAST_MTU, PLAIN_MTU = 1376, 65535
ZERO = "00:00:00:00:00:00"
APART = ("isolated", "on", "learning", "off")


def kind(bridge: str, datapath: str) -> str:
    """What there is: "", "bridge" or "bridged_fastdp"; fatal if the devices contradict each other."""
    have, mark = tools.link_exists(bridge), tools.link_exists(datapath)
    if mark and not have:
        log.fatal("Inconsistent bridge state detected. Please do 'weave reset' and try again")
    return ("bridged_fastdp" if mark else "bridge") if have else ""


def transmit_checksums_off(device: str) -> None:
    """Have the kernel finish checksums and segments before a frame reaches a device whose frames leave through user space."""
    value = ctypes.create_string_buffer(struct.pack("II", 0x17, 0))  # ETHTOOL_STXCSUM, off
    request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8946, request)  # SIOCETHTOOL


class Datapath:
    def __init__(self, name: str, options: dict[str, t.Any]) -> None:
        self.name = name
        self.bridge: str = options["weave-bridge"]
        self.mark: str = options["datapath"]
        self.port: int = options["port"] + 1
        self.vxlan = f"vxlan-{self.port}"
        self.fast = not options["no-fastdp"]
        self.mtu: int = options["mtu"] or (FAST_MTU if self.fast else PLAIN_MTU)
        self.sleeve_end = "vethwe-datapath" if self.fast else "vethwe-pcap"

    def ensure(self) -> None:
        have, want = kind(self.bridge, self.mark), "bridged_fastdp" if self.fast else "bridge"
        if have and have != want:
            log.fatal(
                f'Existing bridge type "{have}" is different than requested "{want}". '
                "Please do 'weave reset' and try again"
            )
        try:
            self._ensure_bridge()
            self._ensure_sleeve()
            if self.fast:
                self._ensure_vxlan()
        except tools.ToolError as error:
            log.fatal(f"creating bridge {self.bridge!r}: {error}")
        log.info(f"Bridge type is {want}")

    def _ensure_bridge(self) -> None:
        if self.fast and not tools.link_exists(self.mark):
            tools.run("ip", "link", "add", self.mark, "type", "bridge")
            tools.run("ip", "link", "set", self.mark, "mtu", str(self.mtu), "up")
        if not tools.link_exists(self.bridge):
            tools.run("ip", "link", "add", self.bridge, "type", "bridge")
        tools.run("ip", "link", "set", self.bridge, "address", self.name)
        tools.run("ip", "link", "set", self.bridge, "mtu", str(self.mtu), "up")

    def _ensure_sleeve(self) -> None:
        if not (tools.link_exists(BRIDGE_END) and tools.link_exists(self.sleeve_end)):
            tools.attempt("ip", "link", "del", BRIDGE_END)
            mtu = ("mtu", str(self.mtu))
            tools.run("ip", "link", "add", BRIDGE_END, *mtu, "type", "veth", "peer", "name", self.sleeve_end, *mtu)
        transmit_checksums_off(BRIDGE_END)
        tools.run("ip", "link", "set", BRIDGE_END, "master", self.bridge, "up")
        tools.run("ip", "link", "set", self.sleeve_end, "up")
        tools.run("bridge", "link", "set", "dev", BRIDGE_END, *APART)

    def _ensure_vxlan(self) -> None:
        tools.attempt("ip", "link", "del", self.vxlan)
        tools.run("ip", "link", "add", self.vxlan, "type", "vxlan", "id", "6784", "dstport", str(self.port))
        tools.run("ip", "link", "set", self.vxlan, "mtu", str(self.mtu), "master", self.bridge, "up")
        tools.run("bridge", "link", "set", "dev", self.vxlan, *APART)

    def stop(self) -> None:
        """The bridge stays, for the containers of this host; what leads to others goes."""
        tools.attempt("ip", "link", "del", self.vxlan)

    # Which peers the VXLAN device sends to

    def introduce(self, name: str, ip: str, port: int) -> None:
        """Where one peer is, so that heartbeats reach it and nobody else."""
        destination = ("dst", ip, "port", str(port))
        tools.attempt("bridge", "fdb", "replace", name, "dev", self.vxlan, "self", "permanent", *destination)

    def open(self, ip: str, port: int) -> None:
        """From now on frames for everybody, or for nobody known, also go there."""
        destination = ("dst", ip, "port", str(port))
        tools.attempt("bridge", "fdb", "append", ZERO, "dev", self.vxlan, "self", "permanent", *destination)

    def close(self, ip: str) -> None:
        """No more frames there, and what was learned about addresses behind it is forgotten."""
        try:
            entries = json.loads(tools.run("bridge", "-j", "fdb", "show", "dev", self.vxlan) or "[]")
        except tools.ToolError:
            return
        for entry in entries:
            if entry.get("dst") != ip:
                continue
            tools.attempt("bridge", "fdb", "del", entry["mac"], "dev", self.vxlan, "self", "dst", ip)

    def diagnostics(self) -> dict[str, t.Any]:
        """As in the report."""
        if not self.fast:
            return {"sleeve": None}
        ports = [(self.mark, "internal"), (self.sleeve_end, "netdev"), (self.vxlan, "vxlan")]
        vports = [{"ID": number, "Name": name, "TypeName": what} for number, (name, what) in enumerate(ports)]
        return {"fastdp": {"Vports": vports, "Flows": []}, "sleeve": None}
