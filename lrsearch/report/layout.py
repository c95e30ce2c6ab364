"""Tables that fit a width.

Columns that have no room are left out, and the table's last line names them. Knows
texts only. `width` is in terminal cells; None is no limit, and then nothing is left out
or cut.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace

from rich.cells import cell_len, set_cell_size

GAP = "  "
HANG = " " * 9  # below a line that begins with a label, such as `setting  `
DOTS = "..."


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, with a cell for each row."""

    head: str
    cells: Sequence[str]
    _: KW_ONLY
    name: str = ""  # in the list of columns left out; by default the head
    right: bool = False
    rank: int = 0  # 0 always stays; of the others, low ranks are given room first
    least: int | None = None  # may be cut to so many characters where room is short

    @property
    def called(self) -> str:
        return self.name or self.head

    @property
    def width(self) -> int:
        return max(map(cell_len, (self.head, *self.cells)))

    @property
    def empty(self) -> bool:
        return not any(self.cells)


def choose(columns: Sequence[Column], width: int | None) -> tuple[Column, ...]:
    """The columns that have room side by side, in their order; those with `least` may be cut."""
    if width is None:
        return tuple(columns)
    chosen: dict[int, Column] = {}
    left = width
    by_rank = sorted(
        enumerate(columns), key=lambda pair: (pair[1].rank, pair[1].least is not None)
    )
    for place, each in by_rank:
        if each.rank and each.empty:
            continue
        room = left - (len(GAP) if chosen else 0)
        if each.width <= room or not (each.rank or each.least):
            fitted = each
        elif each.least is not None and (room >= each.least or not each.rank):
            fitted = cut(each, max(room, 1))
        else:
            continue
        chosen[place] = fitted
        left = room - fitted.width
    return tuple(chosen[place] for place in sorted(chosen))


def cut(column: Column, width: int) -> Column:
    """The column with no cell wider than `width`."""
    cells = [shorten(each, width) for each in column.cells]
    return replace(
        column, name=column.called, head=shorten(column.head, width), cells=cells
    )


def pad(text: str, width: int, *, right: bool = False) -> str:
    """`text` filled up to so many cells."""
    fill = " " * (width - cell_len(text))
    return fill + text if right else text + fill


def shorten(text: str, width: int | None) -> str:
    """`text`, its end replaced by dots where it is wider than `width`."""
    if width is None or cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - len(DOTS))).rstrip() + DOTS[:width]


def table(
    columns: Sequence[Column], width: int | None = None, *, indent: str = ""
) -> list[str]:
    """The table's lines, aligned; the last one names columns that are left out."""
    room = None if width is None else width - len(indent)
    shown = choose(columns, room)
    rows = list(zip(*([each.head, *each.cells] for each in shown), strict=True))
    lines = [_line(shown, row) for row in rows if any(row) or row is not rows[0]]
    names = {each.called for each in columns if each.rank and not each.empty}
    gone = names - {"", *(each.called for each in shown)}
    if gone:
        left_out = dict.fromkeys(each.called for each in columns if each.called in gone)
        lines.append(f"(no room for: {', '.join(left_out)})")
    return [shorten(indent + line, width) for line in lines]


def _line(columns: Sequence[Column], row: Sequence[str]) -> str:
    cells = (
        pad(cell, column.width, right=column.right)
        for column, cell in zip(columns, row, strict=True)
    )
    return GAP.join(cells).rstrip()


def paragraph(text: str, width: int | None, *, hang: str = "") -> str:
    """Prose on lines of at most `width`, all but the first behind `hang`.

    Words are not broken: a word may be a name, or part of a command.
    """
    if width is None or cell_len(text) <= width:
        return text
    wrapper = textwrap.TextWrapper(
        max(width, len(hang) + 10),
        subsequent_indent=hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(wrapper.wrap(text))


def clauses(parts: Sequence[str], width: int | None, *, between: str = ", ") -> str:
    """The first `parts`, as many as fit one line; a first one that is too long is cut."""
    text = parts[0] if parts else ""
    for part in parts[1:]:
        if width is not None and cell_len(text + between + part) > width:
            break
        text += between + part
    return shorten(text, width)


def bar(done: int, total: int, width: int) -> str:
    """`[######------]`, so many characters wide."""
    inner = max(1, width - 2)
    full = min(inner, inner * done // total) if total else 0
    return f"[{'#' * full}{'-' * (inner - full)}]"
