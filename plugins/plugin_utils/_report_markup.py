# Copyright (c) 2026, the crosshost.overlay authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTML elements. Whatever is not markup made here is text, and is escaped. Pure."""

from __future__ import annotations

import html
import re
import typing as t

# Control characters, halves of surrogate pairs, and what turns the direction of text or hides in it: shown as what they are.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff\ud800-\udfff]"
)


class Html(str):
    """Text that is markup, and is not escaped again."""

    __slots__ = ()


Child = str | int | float | None | t.Iterable[t.Any]


def plain(value: t.Any) -> str:
    """Return text in which every character can be seen."""
    return UNSEEN.sub(_visible, str(value))


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def escape(value: t.Any) -> str:
    """Return text as HTML shows it, also inside quotes."""
    return html.escape(plain(value), quote=True)


def join(*children: Child) -> Html:
    """Return markup of several parts; None is nothing, a list its items."""
    parts = []
    for child in children:
        if isinstance(child, Html):
            parts.append(str(child))
        elif isinstance(child, (str, int, float)):
            parts.append(escape(child))
        elif child is not None:
            parts.append(str(join(*child)))
    return Html("".join(parts))


def element(kind: str, *children: Child, **attributes: str | float | bool | None) -> Html:
    """Return an element. class_ is the attribute class, aria_label aria-label; None and False leave an attribute out."""
    shown = [kind]
    for key, value in attributes.items():
        if value is True:
            shown.append(key.rstrip("_").replace("_", "-"))
        elif value is not None and value is not False:
            shown.append(f'{key.rstrip("_").replace("_", "-")}="{escape(value)}"')
    start = f"<{' '.join(shown)}>"
    return Html(start if kind in ("meta", "input") else f"{start}{join(*children)}</{kind}>")
