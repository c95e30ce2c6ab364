"""Chooses between `graph` and `vectorized`, and how many trials train at once, by timing a few
steps of each.

Once for a study on a machine: the figures stay with the study. The graphs that are timed are those
that train later.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace

import tensorflow as tf

from lrsearch.engine.blame import end_fork, settle
from lrsearch.engine.contract import Engine, Figures
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.stack import Stack
from lrsearch.engine.vectorized import VectorizedEngine, cannot_stack, reason_of
from lrsearch.machine import free_bytes, resident_bytes
from lrsearch.values import Json, Outcome, Save, Source, TrialSpec, Watch

# 64 rows were no faster than 32 on any model measured, and fall out of the cache
WIDTHS = (2, 4, 8, 16, 32)
# of a trial's seconds: a narrower stack that is so near the best is taken, since samplers learn
# more from it
ENOUGH = 0.05
GAIN = 0.9  # of graph's seconds: below that `vectorized` is worth it
WORSE = 1.1  # times the best
PATIENCE = 2  # widths in a row that were worse: one may have been disturbed
LONG_BATCH_SECONDS = 0.5  # a batch that long keeps the device busy by itself
TIMED_SECONDS = 0.1  # a candidate's steps, beside the first call
LONGEST_TRY_SECONDS = 1.0  # a stack that would take longer is not tried
MOST_BATCHES = 8  # a call
_CALLS = 2  # one that may trace, one that counts
_SHARE_OF_MEMORY = 8  # one worker's stack may grow to this part of the memory that is free


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
    # before the first batch of the chosen way: paid for each optimizer
    tracing_seconds: float = 0.0

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Calibration:
        return cls(**data)


class AutoEngine(Engine):
    """The engine `auto`: `vectorized` or `graph`, whichever its calibration says."""

    name = "auto"

    def __init__(self, loaded: LoadedStudy) -> None:
        self.loaded = loaded
        self.vectorized = VectorizedEngine(loaded)
        self.calibration: Calibration | None = None

    def calibrate(self, known: Figures | None) -> Figures:
        """Take the figures that are `known` of this study and machine, or measure; returns them as
        JSON.
        """
        settle()
        self.calibration = (
            Calibration.from_json(known) if known else measure(self.loaded, self.vectorized)
        )
        self.vectorized.width = self.calibration.width
        return self.calibration.to_json()

    def train(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Let the chosen engine train what `source` hands out."""
        if self.calibration is None:
            self.calibrate(None)
        assert self.calibration is not None
        rows = self.calibration.engine == "vectorized"
        chosen = self.vectorized if rows else self.vectorized.graph
        return chosen.train(source, watch, save)


def first_setting(loaded: LoadedStudy) -> TrialSpec:
    """The first reference setting: what candidates are timed with."""
    definition = loaded.definition
    setting = definition.effective_space().references()[0]
    return TrialSpec(
        trial_id=-1, attempt=0, label="calibration", setting=setting, seed=definition.seed
    )


def measure(loaded: LoadedStudy, vectorized: VectorizedEngine) -> Calibration:
    """Time the first reference setting in each candidate.

    Never raises for what cannot be vectorized: that is `graph`'s.
    """
    spec = first_setting(loaded)
    why = cannot_stack(spec) or vectorized.why_not()
    found: dict[str, Timing] = {}
    try:
        found["graph"] = timing_of(vectorized.graph.timed_calls(spec), enough=TIMED_SECONDS)
        if not why and found["graph"].best < LONG_BATCH_SECONDS:
            found |= _row_seconds(
                vectorized.stack(spec.setting.batch_size), spec, found["graph"].best
            )
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the study's own code may raise anything; trials tell it better
        end_fork(error)
        why = why or reason_of(error)
    milliseconds = {name: 1000 * each.best for name, each in found.items()}
    alone = Calibration(
        engine="graph", width=1, reason=f"one trial at a time: {why}", milliseconds=milliseconds
    )
    chosen = alone if why else choose(milliseconds)
    # The first stack has traced what the later ones train: their beginnings say little.
    traced = found.get("graph" if chosen.engine == "graph" else f"{WIDTHS[0]} rows")
    means = {name: 1000 * each.mean for name, each in found.items()}
    return replace(chosen, means=means, tracing_seconds=traced.beginning if traced else 0.0)


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


def choose(milliseconds: Mapping[str, float]) -> Calibration:
    """The engine and width for these figures: a trial's batch in "graph", and in stacks of "N
    rows".
    """
    rows = {int(name.split()[0]): value for name, value in milliseconds.items() if name != "graph"}
    best = min(rows.values(), default=float("inf"))
    alone = milliseconds["graph"]
    if best > GAIN * alone:
        shown = f"a batch takes {alone:.2g} ms" + (
            f", and {best:.2g} ms beside others" if rows else ""
        )
        return Calibration(
            engine="graph",
            width=1,
            reason=f"one trial at a time: {shown}",
            milliseconds=milliseconds,
        )
    width = min(each for each, value in rows.items() if value <= best * (1 + ENOUGH))
    text = (
        f"{width} trials at once: a trial's batch takes {rows[width]:.2g} ms, alone {alone:.2g} ms"
    )
    return Calibration(engine="vectorized", width=width, reason=text, milliseconds=milliseconds)


def _row_seconds(stack: Stack, spec: TrialSpec, alone: float) -> dict[str, Timing]:
    """A trial's batch's seconds by width, until more rows cost more, would not fit, or would take
    too long to try.
    """
    found: dict[str, Timing] = {}
    room, before, best, worse = free_bytes() / _SHARE_OF_MEMORY, resident_bytes(), alone, 0
    for width in WIDTHS:
        if _CALLS * width * best > LONGEST_TRY_SECONDS:
            break
        batches = max(1, min(MOST_BATCHES, int(TIMED_SECONDS / (width * best))))
        try:
            timing = timing_of(
                stack.timed_calls(spec, width, batches=batches), enough=TIMED_SECONDS
            )
        except tf.errors.ResourceExhaustedError:
            break
        found[f"{width} rows"] = timing
        worse = worse + 1 if timing.best > WORSE * best else 0
        best = min(best, timing.best)
        if worse == PATIENCE or 2 * (resident_bytes() - before) > room:
            break
    return found
