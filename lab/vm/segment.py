# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire between the virtual machines of a lab: every datagram of a multicast group on the loopback interface is an Ethernet frame."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import os
import socket
import struct
from pathlib import Path

LOOPBACK = "127.0.0.1"
# From linux/filter.h and asm/unistd.h (x86_64); Python has no names for them.
SO_ATTACH_FILTER, SYS_PIDFD_GETFD = 26, 438
LOAD_WORD, LOAD_HALF, JUMP_IF_EQUAL, RETURN = 0x20, 0x28, 0x15, 0x06


@dataclasses.dataclass(frozen=True)
class Segment:
    """An IPv4 multicast group and a UDP port."""

    group: str
    port: int

    def __str__(self) -> str:
        """Return it as QEMU wants it."""
        return f"{self.group}:{self.port}"

    def plug_in(self) -> socket.socket:
        """Return a socket that sends frames to all machines and receives all frames, its own included."""
        wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wire.bind((self.group, self.port))
        interface = socket.inet_aton(LOOPBACK)
        wire.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        wire.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(self.group) + interface)
        return wire


def port_in_use(port: int) -> bool:
    """Tell whether any program of this machine has a UDP socket on a port, for any IPv4 address."""
    lines = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    return any(int(line.split()[1].split(":")[1], 16) == port for line in lines)


def ignore_own(process: int, segment: Segment, mac: str) -> str:
    """Keep from a QEMU process the frames that it sent itself; return why not, if that cannot be done.

    A wire does not give a card its own frames back. A host that got them would see its own broadcasts, and a bridge with that card as a
    port would learn its own addresses on the wrong side. QEMU has no switch for it, but its socket takes a filter from whoever may trace
    the process.
    """
    inodes = socket_inodes(segment)
    sent = bytes.fromhex(mac.replace(":", ""))
    # A UDP socket's filter sees the UDP header, 8 bytes, then the frame: its source address is at 14.
    words = struct.unpack("!IH", sent)
    program = b"".join(
        struct.pack("HBBI", *step)
        for step in (
            (LOAD_WORD, 0, 0, 14),
            (JUMP_IF_EQUAL, 0, 3, words[0]),
            (LOAD_HALF, 0, 0, 18),
            (JUMP_IF_EQUAL, 0, 1, words[1]),
            (RETURN, 0, 0, 0),
            (RETURN, 0, 0, 0xFFFFFFFF),
        )
    )
    memory = ctypes.create_string_buffer(program)
    handle = os.pidfd_open(process)
    try:
        for link in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(link) not in inodes:
                    continue
                copy = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, handle, int(link.name), 0)
                if copy < 0:
                    return os.strerror(ctypes.get_errno())
                with socket.socket(fileno=copy) as wire:
                    wire.setsockopt(
                        socket.SOL_SOCKET,
                        SO_ATTACH_FILTER,
                        struct.pack("HP", len(program) // 8, ctypes.addressof(memory)),
                    )
                return ""
    except OSError as error:
        return error.strerror or str(error)
    finally:
        os.close(handle)
    return os.strerror(errno.ENOTCONN)


def socket_inodes(segment: Segment) -> set[str]:
    """Return what links in /proc/*/fd to the sockets of a segment look like."""
    local = f"{int.from_bytes(socket.inet_aton(segment.group), 'little'):08X}:{segment.port:04X}"
    lines = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    return {f"socket:[{line.split()[9]}]" for line in lines if line.split()[1] == local}
