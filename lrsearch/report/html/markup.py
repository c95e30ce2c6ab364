"""HTML and SVG as text in which whatever is not markup of ours is escaped.

Names, notes, reasons and tracebacks are the user's or the study's: none of them becomes
markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

# XML and HTML hold no other control characters, and a lone surrogate cannot be written
# as UTF-8
_UNWRITABLE = {
    **dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127], "\ufffd"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}


class Markup(str):
    """Text that is markup already: `tag` makes it, and nothing else should."""

    __slots__ = ()


Content: TypeAlias = "str | Iterable[Content] | None"
Attribute: TypeAlias = "str | float | bool | None"


def tag(name: str, /, *content: Content, **attributes: Attribute) -> Markup:
    """An element. `class_` is `class`, `view_box` `viewBox`, `data_x` `data-x`.

    An attribute that is None or False is left out, one that is True has no value.
    """
    opening = name + "".join(map(_attribute, attributes, attributes.values()))
    if name in _EMPTY:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(content)}</{name}>")


def join(content: Content) -> Markup:
    """Elements and texts in a row; texts are escaped."""
    if content is None:
        return Markup("")
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return Markup(escape(content.translate(_UNWRITABLE), quote=False))
    return Markup("".join(map(join, content)))


def number(value: float) -> str:
    """A coordinate to a tenth of a pixel, as short as possible."""
    return f"{value:.1f}".removesuffix(".0")


_EMPTY = frozenset({"br", "hr", "meta", "link", "input"})
_SPELLED = {
    "view_box": "viewBox",
    "pattern_units": "patternUnits",
    "class_": "class",
    "for_": "for",
}


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    spelled = _SPELLED.get(name) or name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {spelled}"
    shown = number(value) if isinstance(value, float) else str(value)
    return f' {spelled}="{escape(shown.translate(_UNWRITABLE))}"'
