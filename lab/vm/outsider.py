# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send one packet to a lab host from a made-up neighbour on its underlay, and print what comes back as JSON.

usage: outsider.py STATE_DIR --to ADDRESS [--from ADDRESS] icmp | gre | udp PORT | tcp PORT

The neighbour answers ARP for its address, as long as this runs, and nothing else. "answers" is a list of words such as "tcp syn-ack",
"tcp rst", "icmp 3/10 about tcp", "icmp echo-reply"; an empty list means that the packet was dropped or needs no answer. A host that
does not even answer ARP is an error.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import random
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import machines

ARP, IPV4, BRIDGED = 0x0806, 0x0800, 0x6558
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 47: "gre"}
NUMBERS = {name: number for number, name in PROTOCOLS.items()}
# Of this run: an answer to an earlier one, sent again, is not an answer to this one.
PORT = random.randrange(49152, 65536)
BROADCAST = b"\xff" * 6


class Packet(NamedTuple):
    """What matters of an IPv4 packet."""

    source: bytes
    destination: bytes
    protocol: int
    payload: bytes


def checksum(data: bytes) -> int:
    """Return the checksum of the Internet protocols."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(destination: bytes, source: bytes, kind: int, payload: bytes) -> bytes:
    """Return an Ethernet frame."""
    return destination + source + struct.pack("!H", kind) + payload.ljust(46, b"\0")


def arp(operation: int, source_mac: bytes, source: bytes, target_mac: bytes, target: bytes) -> bytes:
    """Return an ARP packet."""
    return struct.pack("!HHBBH", 1, IPV4, 6, 4, operation) + source_mac + source + target_mac + target


def ipv4(source: bytes, destination: bytes, protocol: int, payload: bytes) -> bytes:
    """Return an IPv4 packet."""

    def header(check: int) -> bytes:
        fields = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0x4242, 0, 64, protocol, check)
        return fields + source + destination

    return header(checksum(header(0))) + payload


def parse(frame: bytes) -> Packet | None:
    """Return the IPv4 packet in a frame, if there is one."""
    if len(frame) < 34 or frame[12:14] != struct.pack("!H", IPV4):
        return None
    packet = frame[14 : 14 + int.from_bytes(frame[16:18])]
    return Packet(packet[12:16], packet[16:20], packet[9], packet[(packet[0] & 15) * 4 :])


def question(kind: str, port: int, source: bytes, destination: bytes, mac: bytes) -> bytes:
    """Return the payload of the packet to send."""
    pseudo = source + destination + bytes([0, NUMBERS[kind]])
    if kind == "icmp":
        echo = struct.pack("!HHH", 0x4242, 1, 0)
        return struct.pack("!BBH", 8, 0, checksum(b"\x08\0\0\0" + echo)) + echo
    if kind == "udp":
        start, end = struct.pack("!HHH", PORT, port, 12), b"lab\n"
        return start + struct.pack("!H", checksum(pseudo + b"\0\x0c" + start + b"\0\0" + end)) + end
    if kind == "tcp":
        start = struct.pack("!HHIIBBH", PORT, port, 1, 0, 5 << 4, 2, 1024)
        return start + struct.pack("!HH", checksum(pseudo + struct.pack("!H", 20) + start + b"\0\0\0\0"), 0)
    # GRE without a key, with a broadcast frame in it.
    return struct.pack("!HH", 0, BRIDGED) + ethernet(BROADCAST, mac, ARP, arp(1, mac, source, bytes(6), destination))


def describe(packet: Packet) -> str:
    """Say in words what a packet is."""
    name, data = PROTOCOLS.get(packet.protocol, str(packet.protocol)), packet.payload
    if name == "tcp":
        return "tcp rst" if data[13] & 4 else "tcp syn-ack" if data[13] & 18 == 18 else f"tcp flags {data[13]}"
    if name == "icmp" and data[0] == 0:
        return "icmp echo-reply"
    if name == "icmp" and data[0] == 3:
        return f"icmp 3/{data[1]} about {PROTOCOLS.get(data[17], str(data[17]))}"
    return f"icmp {data[0]}/{data[1]}" if name == "icmp" else name


class Outsider:
    """A neighbour that is no machine of the lab."""

    def __init__(self, wire: socket.socket, destination: machines.segment.Segment, address: bytes) -> None:
        """Take a place on the wire."""
        self.wire = wire
        self.destination = (destination.group, destination.port)
        self.address = address
        # Locally administered, and made of the address.
        self.mac = b"\x02\xc0" + address

    def send(self, to: bytes, kind: int, payload: bytes) -> None:
        """Send a frame."""
        self.wire.sendto(ethernet(to, self.mac, kind, payload), self.destination)

    def receive(self, seconds: float) -> Iterator[bytes]:
        """Yield the frames of others; answer those that ask for this address."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.wire.settimeout(left)
            try:
                frame = self.wire.recv(65536)
            except TimeoutError:
                return
            if frame[6:12] == self.mac:
                continue
            if frame[12:14] == struct.pack("!H", ARP) and frame[20:22] == b"\0\x01" and frame[38:42] == self.address:
                self.send(frame[6:12], ARP, arp(2, self.mac, self.address, frame[22:28], frame[28:32]))
            yield frame

    def find(self, address: bytes) -> bytes:
        """Return the MAC address of a host."""
        for _attempt in range(5):
            self.send(BROADCAST, ARP, arp(1, self.mac, self.address, bytes(6), address))
            for frame in self.receive(2):
                if frame[12:14] == struct.pack("!H", ARP) and frame[20:22] == b"\0\x02" and frame[28:32] == address:
                    return frame[6:12]
        raise SystemExit(
            f"lab: {socket.inet_ntoa(address)} does not answer ARP on the underlay within 10 s: is it up, with that address?"
        )

    def ask(self, kind: str, port: int, address: bytes, seconds: float) -> list[str]:
        """Send the packet and return what comes back."""
        mac = self.find(address)
        payload = question(kind, port, self.address, address, self.mac)
        self.send(mac, IPV4, ipv4(self.address, address, NUMBERS[kind], payload))
        answers = []
        for packet in filter(None, map(parse, self.receive(seconds))):
            ports = packet.protocol not in (NUMBERS["tcp"], NUMBERS["udp"]) or packet.payload[2:4] == struct.pack(
                "!H", PORT
            )
            if packet.destination == self.address and packet.source == address and ports:
                answers.append(describe(packet))
                if kind != "gre":
                    break
        return answers


def main() -> None:
    """Read the arguments, send, and print the answers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=lambda text: Path(text).absolute())
    parser.add_argument("--to", type=ipaddress.IPv4Address, required=True)
    parser.add_argument(
        "--from", dest="source", type=ipaddress.IPv4Address, help="default: the last one of the underlay"
    )
    parser.add_argument("--seconds", type=float, default=4, help="how long to wait for an answer")
    parser.add_argument("kind", choices=sorted(NUMBERS))
    parser.add_argument("port", type=int, nargs="?", default=0)
    args = parser.parse_args()
    lab = machines.Lab.load(args.directory)
    source = args.source or lab.underlay[-2]
    with lab.segment().plug_in() as wire:
        answers = Outsider(wire, lab.segment(), source.packed).ask(args.kind, args.port, args.to.packed, args.seconds)
    result = {
        "from": str(source),
        "to": str(args.to),
        "sent": f"{args.kind} {args.port or ''}".strip(),
        "answers": answers,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
