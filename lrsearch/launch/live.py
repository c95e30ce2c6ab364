"""The live view in a terminal, by rich: a budget bar with time left, a line a worker, the best so far and yours."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lrsearch.launch.picture import Picture, Row, duration, number
from lrsearch.report.words import counted, rate_text

if TYPE_CHECKING:
    from lrsearch.launch.picture import Result

_REFRESH = 4  # a second
_BAR_WIDTH = 30
_WORKERS_SHOWN = 16
_LEAST_ROOM = 8  # characters: a setting that is cut to fewer says nothing


class LiveView:
    """A context that redraws `picture`; lines printed meanwhile go above it."""

    def __init__(self, picture: Picture, stream: TextIO) -> None:
        self._picture = picture
        self._console = Console(file=stream, highlight=False)
        self._live = Live(
            console=self._console, get_renderable=lambda: draw(picture, time.time()), refresh_per_second=_REFRESH, transient=True
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError):  # the terminal may be gone
            self._live.__exit__(kind, error, trace)

    def print(self, text: str) -> None:
        """A line above the view."""
        self._console.print(Text(text))


def draw(picture: Picture, now: float) -> RenderableType:
    """The whole view."""
    if not picture.study:
        return Text("loading TensorFlow and the study file ...", style="dim")
    parts: list[RenderableType] = [_budget(picture, now), _workers(picture), _Results(picture)]
    if picture.stopping:
        parts.append(Text(picture.stopping, style="yellow"))
    return Group(*parts)


def _budget(picture: Picture, now: float) -> RenderableType:
    line = Table.grid(padding=(0, 1))
    left = picture.seconds_left(now)
    remaining = f"about {duration(left)} left" if left is not None else ""
    failed = f", {picture.failed} failed" if picture.failed else ""
    retests = f", {picture.retests_done} of {counted(picture.retests_planned, 'retest')}" if picture.retests_planned else ""
    done = f"{picture.done} of {picture.trials}" if picture.trials is not None else f"{picture.done}"
    total = picture.trials or max(1, picture.done)
    bar = ProgressBar(total=total, completed=picture.done, width=_BAR_WIDTH)
    line.add_row(Text(picture.study, style="bold"), bar, Text(f"{done} trials{failed}{retests}"), Text(remaining, style="dim"))
    return line


def _workers(picture: Picture) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for name, row in list(picture.rows.items())[:_WORKERS_SHOWN]:
        table.add_row(Text(f"  {name}", style="cyan"), *_cells(row, picture.objective))
    if len(picture.rows) > _WORKERS_SHOWN:
        table.add_row(Text(f"  and {len(picture.rows) - _WORKERS_SHOWN} more", style="dim"))
    return table


def _cells(row: Row, objective: str) -> list[RenderableType]:
    if row.state != "training":
        return [Text(row.state, style="dim")]
    rate = "" if row.rate is None else f"rate {rate_text(row.rate)}"
    value = "" if row.value is None else f"{objective} {number(row.value)}"
    return [
        Text((f"{len(row.held)} at once, " if len(row.held) > 1 else "") + row.label),
        Text(row.short, overflow="ellipsis", no_wrap=True),
        Text(f"epoch {row.epoch}/{row.epochs}" if row.epochs else "", style="dim"),
        Text(rate, style="dim"),
        Text(value),
    ]


def best_label(best: Result | None) -> str:
    """What the best may be called: before it is retested, it is the luckiest of single trainings."""
    return "best" if best is not None and best.seeds else "best so far"


@dataclass(frozen=True, slots=True)
class _Results:
    """The best and yours, aligned. Where the terminal is narrow the settings are cut, and what a value rests on is not."""

    picture: Picture

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console
        found = {best_label(self.picture.best): self.picture.best, "yours": self.picture.yours}
        rows = [(title, each, f"(trial {each.number}, {each.evidence})") for title, each in found.items() if each is not None]
        for title, each, rests in rows:
            value = number(each.value) if each.value is not None else each.state
            room = options.max_width - len(f"  {title:<12}{value:<9}  {rests}")
            setting = Text(each.short)
            setting.truncate(max(1, room), overflow="ellipsis")
            shown = (setting, "  ") if room >= _LEAST_ROOM else ()
            yield Text.assemble((f"  {title:<12}", "bold"), f"{value:<9}", *shown, (rests, "dim"), no_wrap=True)
