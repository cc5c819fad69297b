# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the report is made of, as far as it looks at it: the doctor's case, its findings, the matrix of pairs. Private to this collection."""

from __future__ import annotations

import typing as t

Map = t.Mapping[str, t.Any]


class PairLike(t.Protocol):
    """One measured direction; see module_utils/_matrix.py."""

    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def source_address(self) -> str: ...
    @property
    def target_address(self) -> str: ...
    @property
    def cell(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def remedy(self) -> str: ...
    @property
    def rtt_ms(self) -> float | None: ...
    @property
    def fault(self) -> str: ...
    @property
    def measured(self) -> Map: ...
    @property
    def ok(self) -> bool: ...


class ReportLike(t.Protocol):
    """All measured directions."""

    @property
    def pairs(self) -> t.Sequence[PairLike]: ...
    @property
    def local(self) -> t.Sequence[PairLike]: ...
    @property
    def containers(self) -> t.Sequence[PairLike]: ...
    @property
    def failures(self) -> t.Mapping[str, str]: ...


class FindingLike(t.Protocol):
    """One thing that is wrong."""

    @property
    def id(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def hosts(self) -> t.Sequence[str]: ...
    @property
    def summary(self) -> str: ...
    @property
    def evidence(self) -> t.Sequence[str]: ...
    @property
    def cause(self) -> str: ...
    @property
    def remedy(self) -> str: ...
    @property
    def commands(self) -> t.Sequence[str]: ...


class CaseLike(t.Protocol):
    """Everything known of all hosts."""

    @property
    def hosts(self) -> t.Sequence[str]: ...
    @property
    def infos(self) -> t.Mapping[str, Map]: ...
    @property
    def unreachable(self) -> t.Mapping[str, str]: ...
    @property
    def clocks(self) -> t.Mapping[str, Map]: ...
    @property
    def report(self) -> ReportLike | None: ...
    @property
    def addresses(self) -> t.Mapping[str, str]: ...
    @property
    def backend(self) -> str | None: ...


LONGEST = 2000  # characters of one text; a tool that prints a book must not make one of the report


def text(value: t.Any) -> str:
    """Return a value as text of bounded length, None as empty text."""
    shown = "" if value is None else str(value)
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


def maybe_text(value: t.Any) -> str | None:
    """Return a value as text, and nothing as nothing."""
    return None if value in (None, "") else text(value)


def number(value: t.Any) -> float | int | None:
    """Return a number that JSON has a word for, else None: neither text, nor NaN, nor infinity."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) < 1e300 else None


def truth(value: t.Any) -> bool | None:
    """Return a yes or no, None for anything else."""
    return value if isinstance(value, bool) else None


def mapping(value: t.Any) -> Map:
    """Return a mapping, empty for anything else."""
    return value if isinstance(value, t.Mapping) else {}


def mappings(value: t.Any) -> list[Map]:
    """Return the mappings of a list, none for anything else."""
    return [item for item in value if isinstance(item, t.Mapping)] if isinstance(value, (list, tuple)) else []


def texts(value: t.Any) -> list[str]:
    """Return the items of a list as texts, none for anything else."""
    return [text(item) for item in value] if isinstance(value, (list, tuple)) else []
