"""What a few timed steps say of a study's trainings: their seconds, and a calibration from them.

The graphs that are timed train later, so that their tracing is paid once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.rows import Row, select_rows
from lrsearch.engine.stack import Stack
from lrsearch.engine.stacked import RowInputs, State
from lrsearch.values import TrialSpec

TIMED_SECONDS = 0.1  # a candidate's steps, beside the first call
LONGEST_TRY_SECONDS = 1.0  # a candidate that would take longer is not tried
MOST_BATCHES = 8  # per call
MIXED_BATCHES = 32  # per call, of rows of every optimizer
NARROWEST = 2  # rows
# A call that takes this many times the fastest one, per batch, has compiled something:
# 200 ms beside 1.3 ms were met on a GPU. Other calls took at most ten times the fastest
# on a busy machine.
COMPILES = 30.0

Calls: TypeAlias = Iterator[tuple[float, int]]
"""The seconds and the batches of each call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What was chosen, and why; JSON by `dataclasses.asdict`."""

    engine: str  # "graph" or "vectorized"
    width: int  # trials at once
    reason: str  # one line, for people
    # The fastest batch of one trial, by candidate: "graph", "8 rows".
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    # The average batch, in milliseconds too: what a study meets on a busy machine.
    means: Mapping[str, float] = field(default_factory=dict)
    # Before the first batch of the chosen engine, and before its first validation.
    tracing_seconds: float = 0.0
    alone_tracing_seconds: float = 0.0  # of a trial alone, before its first batch
    # A validation of a trial alone. None: it takes too long to be tried.
    validation_seconds: float | None = None
    starting_seconds: float = 0.0  # of a row: a fresh model, its optimizer, its rates
    # Milliseconds of a trial's average batch and average end of an epoch, where rows of
    # every optimizer train together. Empty for "graph".
    mixed: Mapping[str, float] = field(default_factory=dict)
    ends: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """What some calls took: seconds per batch, and seconds before the first call that counts."""

    best: float
    mean: float
    beginning: float


def time_calls(call: Callable[[], int]) -> Calls:
    """Repeat a call that returns how many batches it ran; yield each one's seconds and batches.

    The first call traces and is left out, as are calls without a batch. The repetition
    has no end.
    """
    call()
    while True:
        began = time.monotonic()
        if batches := call():
            yield time.monotonic() - began, batches


def timing_of(calls: Calls, *, enough: float) -> Timing:
    """Take calls until they have taken `enough` seconds; at least one.

    A call that compiled something belongs to the beginning: on a GPU, XLA compiles the
    epoch's shorter last batch when it comes.
    """
    began, spent = time.monotonic(), 0.0
    taken: list[tuple[float, int]] = []
    for seconds, batches in calls:
        spent += seconds
        taken.append((seconds, batches))
        if spent >= enough:
            break
    best = min(seconds / batches for seconds, batches in taken)
    usual = [each for each in taken if each[0] <= COMPILES * best * each[1]]
    spent, many = (sum(column) for column in zip(*usual, strict=True))
    beginning = max(0.0, time.monotonic() - began - spent)
    return Timing(best=best, mean=spent / many, beginning=beginning)


def timed_specs(loaded: LoadedStudy) -> list[TrialSpec]:
    """The trials that candidates are timed with: the references of the first one's batch size."""
    definition = loaded.definition
    references = definition.effective_space().references()
    return [
        TrialSpec(
            trial_id=-1,
            attempt=0,
            label="calibration",
            setting=each,
            seed=definition.seed,
        )
        for each in references
        if each.batch_size == references[0].batch_size
    ]


class TimedStack:
    """A stack in which no trial trains yet, with any number of rows like these specs.

    The graphs that are traced here have the families of all specs: training traces
    nothing more.
    """

    def __init__(self, stack: Stack, specs: Sequence[TrialSpec]) -> None:
        began = time.monotonic()
        self._stack, self._program = stack, stack.program
        self._rows, self._state = stack.rehearse(specs)
        # seconds of a row's start
        self.starting = (time.monotonic() - began) / len(specs)

    def training(self, width: int, *, batches: int) -> Calls:
        """Train `width` rows, `batches` of each per call; the batches of all rows are counted.

        An epoch without a whole batch is only its end.
        """
        batches = min(batches, self._program.full_steps)
        if not batches:
            yield from self.ending(width)
            return
        rows, state, inputs = self._inputs(width)
        # float64 of (width, batches)
        table = np.stack([row.rates[:batches] for row in rows])

        def train() -> int:
            self._program.train(state, inputs, 0, table)
            return width * batches

        yield from time_calls(train)

    def ending(self, width: int) -> Calls:
        """Train the shorter last batch of `width` rows and validate them; counted as `width`."""
        rows, state, inputs = self._inputs(width)
        whole, steps = self._program.full_steps, self._program.steps
        table = np.stack([row.rates[whole:steps] for row in rows])

        def end() -> int:
            self._program.end_epoch(state, inputs, table)
            return width

        yield from time_calls(end)

    def _inputs(self, width: int) -> tuple[list[Row], State, RowInputs]:
        """`width` rows, shared out evenly between the specs; their state; their graph's inputs."""
        chosen = sorted(place % len(self._rows) for place in range(width))
        rows = [self._rows[place] for place in chosen]
        state = select_rows(self._state, self._rows, rows)
        state["metrics"] = self._program.layout.unmetered(width)
        return rows, state, self._stack.inputs_of(rows)


def time_mixed(
    chosen: Calibration, loaded: LoadedStudy, rows: TimedStack, *, alone: float = 0.0
) -> Calibration:
    """Add what a row costs where rows of every optimizer train together.

    `alone` is the seconds of a batch of a trial alone, where they are known.

    Their graphs are traced here once. Otherwise each optimizer that joins would have
    all of the graph traced anew: three times 5 s in each worker of `studies/digits.py`.
    """

    def timed(width: int) -> Timing:
        # As many batches per call as training has, so that a call's own milliseconds
        # hardly show.
        fitting = int(TIMED_SECONDS / (width * alone)) if alone else MIXED_BATCHES
        batches = max(1, min(MIXED_BATCHES, fitting))
        return timing_of(rows.training(width, batches=batches), enough=TIMED_SECONDS)

    widths = sorted({NARROWEST, chosen.width})
    narrow, wide = widths[0], widths[-1]
    batches = {width: timed(width) for width in widths}
    tracing = batches[narrow].beginning
    ends: dict[int, Timing] = {}
    if validation_batches(loaded) * batches[wide].best * wide <= LONGEST_TRY_SECONDS:
        ends = {width: timing_of(rows.ending(width), enough=0.0) for width in widths}
        tracing += ends[narrow].beginning
    return replace(
        chosen,
        mixed=_by_rows(batches),
        ends=_by_rows(ends),
        tracing_seconds=tracing,
        starting_seconds=rows.starting,
    )


def _by_rows(timings: Mapping[int, Timing]) -> dict[str, float]:
    """Milliseconds of a row, on average."""
    return {f"{width} rows": 1000 * each.mean for width, each in timings.items()}


def time_alone(
    chosen: Calibration,
    loaded: LoadedStudy,
    validating: Callable[[], Calls],
    training: Timing,
) -> Calibration:
    """Add what a trial takes alone beside its batches, which `training` timed."""
    tracing, validation = training.beginning, None
    if validation_batches(loaded) * training.best <= LONGEST_TRY_SECONDS:
        ends = timing_of(validating(), enough=0.0)
        tracing, validation = tracing + ends.beginning, ends.mean
    return replace(
        chosen,
        tracing_seconds=tracing,
        alone_tracing_seconds=tracing,
        validation_seconds=validation,
    )


def validation_batches(loaded: LoadedStudy) -> float:
    """The batches of a validation; infinitely many where nobody knows."""
    size = timed_specs(loaded)[0].setting.batch_size
    steps = loaded.definition.validation_steps
    return steps or loaded.data(size).validation.steps(size) or math.inf
