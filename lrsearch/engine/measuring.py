"""What a few timed steps say of a study's trainings: Timing, and a Calibration of them.

The graphs that are timed are those that train later: their tracing is not paid twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.timed_stack import TimedStack
from lrsearch.values import Json, TrialSpec

TIMED_SECONDS = 0.1  # a candidate's steps, beside the first call
LONGEST_TRY_SECONDS = 1.0  # what would take longer is not tried
MOST_BATCHES = 8  # a call
MIXED_BATCHES = 32  # likewise, of rows of every optimizer
NARROWEST = 2  # rows

Calls = Iterator[tuple[float, int]]
"""Seconds and batches of each call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What was chosen, and why."""

    engine: str  # "graph" or "vectorized"
    width: int  # trials at once
    reason: str  # one line, for people
    # a trial's batch, by candidate: "graph", "8 rows"
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    # the same on average: on a busy machine a study meets these
    means: Mapping[str, float] = field(default_factory=dict)
    # before the first batch of the chosen way, and before its first validation
    tracing_seconds: float = 0.0
    alone_tracing_seconds: float = 0.0  # the same of a trial alone, before its first batch
    # of a trial alone and an epoch; None: not tried, since it takes too long
    validation_seconds: float | None = None
    starting_seconds: float = 0.0  # of a row: a fresh model, its optimizer, its rates
    # a trial's batch and its epoch's end on average, where rows of every optimizer train together;
    # empty for "graph"
    mixed: Mapping[str, float] = field(default_factory=dict)
    ends: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Calibration:
        return cls(**data)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """What some calls took: seconds a batch, and before the first that counts."""

    best: float
    mean: float
    beginning: float


def timing_of(calls: Iterator[tuple[float, int]], *, enough: float) -> Timing:
    """A batch's seconds in these calls, of which there are about `enough` seconds."""
    began = time.monotonic()
    spent, many, best = 0.0, 0, float("inf")
    for seconds, batches in calls:
        spent, many, best = spent + seconds, many + batches, min(best, seconds / batches)
        if spent >= enough:
            break
    return Timing(
        best=best, mean=spent / max(1, many), beginning=max(0.0, time.monotonic() - began - spent)
    )


def timed_specs(loaded: LoadedStudy) -> list[TrialSpec]:
    """The reference settings of the first one's batch size: what candidates are timed with."""
    definition = loaded.definition
    references = definition.effective_space().references()
    return [
        TrialSpec(trial_id=-1, attempt=0, label="calibration", setting=each, seed=definition.seed)
        for each in references
        if each.batch_size == references[0].batch_size
    ]


def time_mixed(
    chosen: Calibration, loaded: LoadedStudy, rows: TimedStack, *, alone: float = 0.0
) -> Calibration:
    """With what a row costs where rows of every optimizer train together; `alone` is a batch's
    seconds of a trial alone, where they are known.

    Their graphs are traced here, once: else each optimizer that joins would have all of it traced
    anew, three times 5 s in each worker of `studies/digits.py`.
    """

    def timed(width: int) -> Timing:
        # as many batches a call as training has, which a call's own milliseconds hardly show in
        fitting = int(TIMED_SECONDS / (width * alone)) if alone else MIXED_BATCHES
        batches = max(1, min(MIXED_BATCHES, fitting))
        return timing_of(rows.training(width, batches=batches), enough=TIMED_SECONDS)

    widths = sorted({NARROWEST, chosen.width})
    batches = {width: timed(width) for width in widths}
    made = replace(
        chosen,
        mixed=_by_rows(batches),
        tracing_seconds=batches[widths[0]].beginning,
        starting_seconds=rows.starting,
    )
    slowest = batches[widths[-1]].best * widths[-1]
    if validation_batches(loaded) * slowest > LONGEST_TRY_SECONDS:
        return made
    ends = {width: timing_of(rows.ending(width), enough=0.0) for width in widths}
    tracing = made.tracing_seconds + ends[widths[0]].beginning
    return replace(made, tracing_seconds=tracing, ends=_by_rows(ends))


def _by_rows(timings: Mapping[int, Timing]) -> dict[str, float]:
    """Milliseconds of a row, on average."""
    return {f"{width} rows": 1000 * each.mean for width, each in timings.items()}


def time_alone(
    chosen: Calibration, loaded: LoadedStudy, validating: Callable[[], Calls], training: Timing
) -> Calibration:
    """With what a trial takes alone beside its batches, which `training` timed."""
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
    """Batches of a validation; infinitely many where nobody knows."""
    size, given = timed_specs(loaded)[0].setting.batch_size, loaded.definition.validation_steps
    return given or loaded.data(size).validation.steps(size) or math.inf
