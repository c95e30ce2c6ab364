"""Times a stack that trains nobody yet: rows of every optimizer that the study's references have.

All of their families are in the graphs that are traced here, so that training takes these graphs
over and traces nothing more.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence

import numpy as np

from lrsearch.engine.stack import Row, Stack, select_rows
from lrsearch.engine.stacked import RowInputs, State
from lrsearch.values import TrialSpec


class TimedStack:
    """Rows like these specs, as many as are asked for."""

    def __init__(self, stack: Stack, specs: Sequence[TrialSpec]) -> None:
        began = time.monotonic()
        self._stack, self._program = stack, stack.program
        self._rows, self._state = stack.rehearse(specs)
        self.starting = (time.monotonic() - began) / len(specs)  # seconds of a row's start

    def training(self, width: int, *, batches: int) -> Iterator[tuple[float, int]]:
        """Train `width` rows for as long as it is asked to, `batches` of each a call.

        Yields every call's seconds and its batches, those of all rows counted; not the first call,
        which traces. An epoch without a whole batch is its end.
        """
        batches = min(batches, self._program.full_steps)
        if not batches:
            yield from self.ending(width)
            return
        rows, state, given = self._given(width)
        table = np.stack([row.rates[:batches] for row in rows])
        for call in itertools.count():
            began = time.monotonic()
            self._program.train(state, given, 0, table)
            if call:
                yield time.monotonic() - began, width * batches

    def ending(self, width: int) -> Iterator[tuple[float, int]]:
        """The same of an epoch's end, its shorter batch and validation: seconds and `width`."""
        rows, state, given = self._given(width)
        whole, steps = self._program.full_steps, self._program.steps
        table = np.stack([row.rates[whole:steps] for row in rows])
        for call in itertools.count():
            began = time.monotonic()
            self._program.end_epoch(state, given, table)
            if call:
                yield time.monotonic() - began, width

    def _given(self, width: int) -> tuple[list[Row], State, RowInputs]:
        """So many rows, each reference's as often as another's.

        With them their state, and what a graph takes beside it.
        """
        chosen = sorted(each % len(self._rows) for each in range(width))
        rows = [self._rows[place] for place in chosen]
        state = select_rows(self._state, self._rows, rows)
        state["metrics"] = self._program.layout.unmetered(width)
        return rows, state, self._stack.given(rows)
