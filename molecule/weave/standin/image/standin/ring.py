# Stands in for Weave Net 2.9.0 in tests: who owns which part of the allocation range.
# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""As in the real ring: tokens, each the start of a range that goes on to the next token. A change raises a token's version, the
higher version wins everywhere. A range is split by putting a new token into it, never merged.
"""

from __future__ import annotations

import ipaddress
import itertools
import typing as t


class RingError(Exception):
    """Two rings that do not fit together."""


class Ring:
    def __init__(self, network: ipaddress.IPv4Network) -> None:
        self.start = int(network.network_address)
        self.end = self.start + network.num_addresses
        self.network = network
        self.seeds: list[str] = []
        self.tokens: dict[int, tuple[str, int]] = {}

    def dump(self) -> dict[str, t.Any]:
        tokens = [[token, peer, version] for token, (peer, version) in sorted(self.tokens.items())]
        return {"range": str(self.network), "seeds": self.seeds, "tokens": tokens}

    def seed(self, peers: t.Sequence[str]) -> None:
        """Divide the range equally; the same peers give the same ring on every host."""
        self.seeds = sorted(peers)
        share = (self.end - self.start) // len(peers)
        self.tokens = {self.start + index * share: (peer, 1) for index, peer in enumerate(self.seeds)}

    def segments(self) -> list[tuple[int, int, str, int]]:
        """Start, end, owner, version of each range."""
        edges = [*sorted(self.tokens), self.end]
        return [(start, end, *self.tokens[start]) for start, end in itertools.pairwise(edges)]

    def owner(self, address: int) -> str:
        return next((peer for start, end, peer, _version in self.segments() if start <= address < end), "")

    def owned(self, name: str) -> list[tuple[int, int]]:
        return [(start, end) for start, end, peer, _version in self.segments() if peer == name]

    def merge(self, other: dict[str, t.Any], show: t.Callable[[t.Iterable[str]], str]) -> bool:
        """Take over what is newer; whether anything was."""
        if other["range"] != str(self.network):
            raise RingError(f"Incompatible IP allocation ranges (received: {other['range']}, ours: {self.network})")
        if self.tokens and other["seeds"] != self.seeds:
            received, ours = show(other["seeds"]), show(self.seeds)
            raise RingError(f"IP allocation was seeded by different peers (received: {received}, ours: {ours})")
        self.seeds = other["seeds"]
        news = False
        for token, peer, version in other["tokens"]:
            if version > self.tokens.get(token, ("", 0))[1]:
                self.tokens[token] = (peer, version)
                news = True
        return news

    def give(self, start: int, end: int, to: str) -> None:
        """Make [start, end), which lies in one range, a peer's own."""
        segment_start, segment_end, peer, version = next(
            segment for segment in self.segments() if segment[0] <= start < segment[1]
        )
        if end < segment_end:
            self.tokens.setdefault(end, (peer, version))
        self.tokens[start] = (to, self.tokens.get(start, ("", version))[1] + 1)
        if segment_start != start:
            self.tokens[segment_start] = (peer, version + 1)

    def transfer(self, old: str, new: str) -> bool:
        mine = [token for token, (peer, _version) in self.tokens.items() if peer == old]
        for token in mine:
            self.tokens[token] = (new, self.tokens[token][1] + 1)
        return bool(mine)
