# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts as a storm, and what does not."""

from __future__ import annotations

import struct

import pytest

from ansible_collections.crosshost.overlay.plugins.module_utils._probe_storm import (
    Watch,
    announcement,
    interface_of,
    sender,
)

OWN, OTHER, THIRD = "10.50.1.2", "10.50.2.3", "10.50.3.4"
MAC = bytes.fromhex("0242ac110002")


def frame(address: str, number: int = 0) -> bytes:
    return announcement(MAC, address, b"once", number)


def question(number: int) -> bytes:
    """Return a kernel's ARP request."""
    return frame(OTHER)[:38] + struct.pack("!I", number)


def seen(*frames: tuple[bytes, int], spent: float = 2.0) -> dict[str, object]:
    watch = Watch(OWN, 100.0, 0.2)
    watch.sent = 3
    for one, copies in frames:
        for dummy in range(copies):
            watch.received(one)
    return watch.result({OTHER: "h2"}, 100.0 + spent)


def test_an_announcement_asks_for_the_own_address() -> None:
    made = frame(OWN)
    assert len(made) == 60
    assert made[:14] == b"\xff" * 6 + MAC + b"\x08\x06"
    assert made[14:42] == bytes.fromhex("0001080006040001") + MAC + bytes([10, 50, 1, 2]) + bytes(6) + bytes(
        [10, 50, 1, 2]
    )
    assert sender(made) == OWN


@pytest.mark.parametrize("other", [b"", frame(OWN)[:59], frame(OWN)[:42] + bytes(18)], ids=["empty", "cut", "unmarked"])
def test_frames_of_others(other: bytes) -> None:
    assert sender(other) is None


def test_each_announcement_is_its_own() -> None:
    assert len({frame(OWN, number) for number in range(3)} | {frame(OTHER)}) == 4


def test_announcements_leave_in_the_first_rounds() -> None:
    watch, dues = Watch(OWN, 100.0, 0.2), []
    while watch.due() is not None:
        dues.append(watch.due())
        watch.sent += 1
    assert dues == pytest.approx([100.0, 100.2, 100.4])


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([], id="silence"),
        pytest.param([(frame(OTHER, number), 1) for number in range(3)], id="others heard once"),
        pytest.param([(frame(OWN, number), 1) for number in range(3)], id="a port that reflects"),
        pytest.param([(frame(OTHER), 2), (frame(OTHER, 1), 1)], id="one of them twice by chance"),
        pytest.param([(question(number), 1) for number in range(5000)], id="many questions"),
        pytest.param([(question(1), 15)], id="a question asked again and again"),
    ],
)
def test_no_storm(frames: list[tuple[bytes, int]]) -> None:
    assert seen(*frames)["amplified"] is False


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([(frame(OTHER, number), 2) for number in range(3)], id="others heard twice"),
        pytest.param([(frame(OWN, number), 2) for number in range(2)], id="our own come back twice"),
        pytest.param([(frame(OWN), 2), (frame(OTHER), 2)], id="of both"),
        pytest.param([(frame(OWN), 6)], id="one of ours many times"),
        pytest.param([(question(1), 4000)], id="somebody else's goes round"),
    ],
)
def test_storm(frames: list[tuple[bytes, int]]) -> None:
    assert seen(*frames)["amplified"] is True


def test_a_long_look_at_a_patient_asker_is_no_storm() -> None:
    assert seen((question(1), 60), spent=60.0)["amplified"] is False


def test_figures() -> None:
    found = seen((frame(OTHER), 1), (frame(OTHER, 1), 4), (frame(THIRD), 1), (frame(OWN), 1), (question(1), 3))
    assert found == {
        "sent": 3,
        "received": {"h2": 4, THIRD: 1},
        "returned": 1,
        "copies": 4,
        "per_second": 5.0,
        "amplified": False,
    }


def test_interface_of() -> None:
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("203.0.113.77") is None
