"""Times a stack that trains nobody yet: rows of every optimizer that the study's references have.

All of their families are in the graphs that are traced here, so that training takes these graphs
over and traces nothing more.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from lrsearch.engine.stack import Row, Stack
from lrsearch.engine.stacked import State
from lrsearch.values import TrialSpec

_Given = tuple[list[int], list[np.ndarray], np.ndarray]
"""Rows of each family, their hyperparameters, and the order of their examples (rows, examples)."""


class TimedStack:
    """Rows like these specs, as many as are asked for."""

    def __init__(self, stack: Stack, specs: Sequence[TrialSpec]) -> None:
        began = time.monotonic()
        self._program = stack.program
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
        table = np.stack([row.run.table[:batches] for row in rows])
        for call in itertools.count():
            began = time.monotonic()
            self._program.train(state, *given, 0, table)
            if call:
                yield time.monotonic() - began, width * batches

    def ending(self, width: int) -> Iterator[tuple[float, int]]:
        """The same of an epoch's end, its shorter batch and validation: seconds and `width`."""
        rows, state, given = self._given(width)
        whole, steps = self._program.full_steps, self._program.steps
        table = np.stack([row.run.table[whole:steps] for row in rows])
        for call in itertools.count():
            began = time.monotonic()
            self._program.end_epoch(state, *given, table)
            if call:
                yield time.monotonic() - began, width

    def _given(self, width: int) -> tuple[list[Row], State, _Given]:
        """So many rows, each reference's as often as another's, their state, and what a graph takes
        beside it.
        """
        chosen = sorted(each % len(self._rows) for each in range(width))
        rows = [self._rows[place] for place in chosen]
        slots, counts, hyper = [], [], []
        for place, family in enumerate(self._program.families):
            own = [row for row in self._rows if row.family == place]
            mine = [row for row in rows if row.family == place]
            within = np.array([own.index(row) for row in mine], np.int64)
            cells = self._state["slots"][place]
            slots.append({name: tf.gather(each, within) for name, each in cells.items()})
            counts.append(len(mine))
            none = np.zeros((0, len(family.varying)))
            hyper.append(np.concatenate([none, *(row.hyper for row in mine)]))
        state = {
            "weights": tf.gather(self._state["weights"], chosen),
            "rest": [tf.gather(each, chosen) for each in self._state["rest"]],
            "metrics": self._program.unmetered(width),
            "slots": slots,
        }
        return rows, state, (counts, hyper, np.stack([row.run.order(0) for row in rows]))
