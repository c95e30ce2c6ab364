"""The live view in a terminal, by rich.

Draws a bar of the budget with the time left, a line per worker, the best so far and
yours.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lrsearch.answer.words import count_text, rate_text
from lrsearch.progress.state import ProgressState, Row, number
from lrsearch.report.bill import duration
from lrsearch.report.layout import GAP, Column, choose, pad

_REFRESH = 4  # a second
_BAR_WIDTH = 30
_WORKERS_SHOWN = 16
_LEAST_ROOM = 8  # characters of a setting or a bar; fewer would tell nothing
_LEAST_NAME = 12  # of the study's name
_INDENT = "  "
_BAR = "bar"


class LiveView:
    """A context that redraws `state`; lines printed meanwhile go above it."""

    def __init__(self, state: ProgressState, stream: TextIO) -> None:
        self._state = state
        self._console = Console(file=stream, highlight=False)
        self._live = Live(
            console=self._console,
            get_renderable=lambda: draw(state, time.time()),
            refresh_per_second=_REFRESH,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):  # the terminal may be gone
            self._live.stop()

    def width(self) -> int:
        """Columns of the terminal."""
        return self._console.width

    def print(self, text: str) -> None:
        """Print a line above the view."""
        self._console.print(Text(text))


def draw(state: ProgressState, now: float) -> RenderableType:
    """Draw the whole view."""
    if not state.study:
        return Text("loading TensorFlow and the study file ...", style="dim")
    parts: list[RenderableType] = [
        _Budget(state, now),
        _Workers(state),
        _Results(state),
    ]
    if state.stopping:
        parts.append(Text(state.stopping, style="yellow"))
    return Group(*parts)


@dataclass(frozen=True, slots=True)
class _Budget:
    """The study's name, a bar of all trainings, their number, the time left.

    A narrow terminal loses the bar first.
    """

    state: ProgressState
    now: float

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        del console
        state, left = self.state, self.state.seconds_left(self.now)
        ended = state.done + state.retests_done
        whole = None if state.left is None else ended + state.left
        failed = f", {state.failed} failed" if state.failed else ""
        done = (
            f"{state.done} of {state.trials}"
            if state.trials is not None
            else f"{state.done}"
        )
        planned = state.retests_planned
        retests = (
            f"{state.retests_done} of {count_text(planned, 'retest')}"
            if planned
            else ""
        )
        bar = "" if whole is None else "#" * _BAR_WIDTH
        columns = [
            Column("", [state.study], least=_LEAST_NAME),
            Column("", [bar], name=_BAR, rank=4, least=_LEAST_ROOM),
            Column("", [f"{done} trials{failed}"]),
            Column("", [retests], rank=2),
            Column("", [f"about {duration(left)} left" if left is not None else ""]),
        ]
        line = Table.grid(padding=(0, len(GAP), 0, 0), pad_edge=False)
        shown = choose([each for each in columns if not each.empty], options.max_width)
        cells: list[RenderableType] = [
            ProgressBar(total=whole, completed=ended, width=each.width)
            if each.name == _BAR
            else Text(each.cells[0], style="bold" if place == 0 else "", no_wrap=True)
            for place, each in enumerate(shown)
        ]
        line.add_row(*cells)
        yield line


@dataclass(frozen=True, slots=True)
class _Workers:
    """A line per worker.

    A narrow terminal loses the rate, then the setting, and never the trial.
    """

    state: ProgressState

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        del console
        named = list(self.state.rows.items())
        rows = [
            _cells(name, row, self.state.objective)
            for name, row in named[:_WORKERS_SHOWN]
        ]
        if not rows:
            return
        columns = [
            Column("", cells, **place)
            for cells, place in zip(zip(*rows, strict=True), _PLACES, strict=True)
        ]
        room = options.max_width - len(_INDENT)
        shown = choose([each for each in columns if not each.empty], room)
        for place in range(len(rows)):
            line = Text(_INDENT, no_wrap=True, overflow="crop")
            for each in shown:
                line.append(
                    pad(each.cells[place], each.width), _STYLES.get(each.name, "")
                )
                line.append(GAP)
            yield line
        if len(named) > _WORKERS_SHOWN:
            yield Text(f"{_INDENT}and {len(named) - _WORKERS_SHOWN} more", style="dim")


_PLACES: Sequence[dict[str, Any]] = (
    {"name": "slot"},
    {"name": "trial", "least": 8},
    {"name": "epoch", "rank": 1},
    {"name": "value", "rank": 2},
    {"name": "setting", "rank": 3, "least": 12},
    {"name": "rate", "rank": 4},
)
_STYLES = {"slot": "cyan", "epoch": "dim", "rate": "dim"}


def _cells(name: str, row: Row, objective: str) -> tuple[str, ...]:
    """Slot, trial or the worker's state, epoch, value, setting, rate."""
    if row.state != "training":
        return name, row.state, "", "", "", ""
    at_once = f"{len(row.training)} at once, " if len(row.training) > 1 else ""
    return (
        name,
        at_once + row.label,
        f"epoch {row.epoch}/{row.epochs}" if row.epochs else "",
        "" if row.value is None else f"{objective} {number(row.value)}",
        row.short,
        "" if row.rate is None else f"rate {rate_text(row.rate)}",
    )


@dataclass(frozen=True, slots=True)
class _Results:
    """The best and yours, aligned.

    A narrow terminal cuts the settings, and never the evidence of a value.
    """

    state: ProgressState

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        del console
        best = self.state.best
        # Before the retests, the best is the luckiest of single trainings.
        title = "best" if best is not None and best.seeds else "best so far"
        for label, result in ((title, best), ("yours", self.state.yours)):
            if result is None:
                continue
            evidence = f"(trial {result.number}, {result.evidence})"
            value = number(result.value) if result.value is not None else result.state
            line = Text(no_wrap=True)
            line.append(f"  {label:<12}", "bold").append(f"{value:<9}")
            room = options.max_width - len(f"{line.plain}  {evidence}")
            setting = Text(result.short)
            setting.truncate(max(1, room), overflow="ellipsis")
            if room >= _LEAST_ROOM:
                line.append(setting).append("  ")
            line.append(evidence, "dim")
            line.truncate(options.max_width, overflow="ellipsis")
            yield line
