"""The engine `auto`: chooses `graph` or `vectorized`, and a width, by timing steps.

It chooses once for a study on a machine: the figures stay with the study.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial

import tensorflow as tf

from lrsearch.engine import limits
from lrsearch.engine.blame import end_fork, note_process
from lrsearch.engine.calibration import (
    LONGEST_TRY_SECONDS,
    MOST_BATCHES,
    TIMED_SECONDS,
    Calibration,
    TimedStack,
    Timing,
    time_alone,
    time_mixed,
    timed_specs,
    timing_of,
)
from lrsearch.engine.contract import Engine, Figures
from lrsearch.engine.device_memory import forget_peak, read_memory
from lrsearch.engine.failure import one_line
from lrsearch.engine.loaded import LoadedStudy
from lrsearch.engine.stack import Stack
from lrsearch.engine.vectorized import VectorizedEngine
from lrsearch.values import Outcome, Save, Source, Watch

# On CPUs 64 rows were no faster than 32 on any model measured, and fall out of the
# cache. On a GPU 256 took 0.6 of a trial's time at 32, and a sampler would propose as
# many without a result.
WIDTHS = (2, 4, 8, 16, 32)
# Part of a trial's seconds: a narrower stack that is so near the best is chosen, since
# samplers learn more from it.
ENOUGH = 0.05
GAIN = 0.9  # of graph's seconds: `vectorized` is chosen below that
WORSE = 1.1  # times the best
PATIENCE = 2  # widths in a row that were worse: something may have disturbed one
LONG_BATCH_SECONDS = 0.5  # a batch that long keeps the device busy by itself
_CALLS = 2  # one that may trace, one that counts
_BYTES = 4  # of a weight
_COPIES = 8  # of a row's weights that its update holds at once
# what is there before the first timing: a stack keeps a model too
_FIRST_ROWS = WIDTHS[0] + 1


class AutoEngine(Engine):
    """The engine `auto`; see the module."""

    name = "auto"

    def __init__(self, loaded: LoadedStudy) -> None:
        self.loaded = loaded
        self.vectorized = VectorizedEngine(loaded)
        self.calibration: Calibration | None = None

    def calibrate(self, known: Figures | None) -> Figures:
        """Take the figures that are `known` of this study and machine, or measure them."""
        note_process()
        made = Calibration(**known) if known else measure(self.loaded, self.vectorized)
        self.calibration, self.vectorized.width = made, made.width
        return asdict(made)

    def train(self, source: Source, watch: Watch, save: Save) -> Iterator[Outcome]:
        """Let the chosen engine train what `source` hands out."""
        if self.calibration is None:
            self.calibrate(None)
        assert self.calibration is not None
        both = {"vectorized": self.vectorized, "graph": self.vectorized.graph}
        return both[self.calibration.engine].train(source, watch, save)


def measure(loaded: LoadedStudy, vectorized: VectorizedEngine) -> Calibration:
    """Time the first reference setting in each candidate, then what training the chosen way takes.

    Never raises for a study that cannot be vectorized: `graph` is chosen for that one.
    """
    specs, graph = timed_specs(loaded), vectorized.graph
    why = vectorized.reason_against(specs[0])
    forget_peak()
    timings: dict[str, Timing] = {}
    stack: Stack | None = None
    try:
        timings["graph"] = timing_of(graph.timed_calls(specs[0]), enough=TIMED_SECONDS)
        if not why and timings["graph"].best < LONG_BATCH_SECONDS:
            row_bytes = _row_bytes(graph.parameters)
            stack = vectorized.stack(specs[0].setting.batch_size)
            rows = TimedStack(stack, specs[:1])
            timings |= _row_seconds(rows, timings["graph"].best, row_bytes)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the study's own code may raise anything; trials report it better
        end_fork(error)
        why = why or f"timed steps failed with {one_line(error)}"
    chosen = choose({name: 1000 * each.best for name, each in timings.items()}, why)
    chosen = replace(
        chosen, means={name: 1000 * each.mean for name, each in timings.items()}
    )
    try:
        if chosen.engine == "vectorized" and stack is not None:
            beside = [each for each in specs if not vectorized.reason_against(each)]
            single = timings["graph"]
            made = time_mixed(
                chosen, loaded, TimedStack(stack, beside), alone=single.best
            )
            return replace(made, alone_tracing_seconds=single.beginning)
        calls = partial(graph.timed_calls, specs[0], validating=True)
        return time_alone(chosen, loaded, calls, timings["graph"])
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
        end_fork(error)
        return chosen


def choose(milliseconds: Mapping[str, float], why_alone: str = "") -> Calibration:
    """The engine and the width for these figures; `graph` where `why_alone` forbids rows.

    milliseconds: of a trial's batch, by candidate: "graph", "8 rows".
    """
    if why_alone:
        return _one_at_a_time(why_alone, milliseconds)
    rows = {
        int(name.split()[0]): value
        for name, value in milliseconds.items()
        if name != "graph"
    }
    best, alone = min(rows.values(), default=math.inf), milliseconds["graph"]
    if best > GAIN * alone:
        beside = f", and {best:.2g} ms beside others" if rows else ""
        return _one_at_a_time(f"a batch takes {alone:.2g} ms{beside}", milliseconds)
    width = min(each for each, value in rows.items() if value <= best * (1 + ENOUGH))
    costs = f"a trial's batch takes {rows[width]:.2g} ms, alone {alone:.2g} ms"
    reason = f"{width} trials at once: {costs}"
    return Calibration(
        engine="vectorized", width=width, reason=reason, milliseconds=milliseconds
    )


def _one_at_a_time(why: str, milliseconds: Mapping[str, float]) -> Calibration:
    reason = f"one trial at a time: {why}"
    return Calibration(
        engine="graph", width=1, reason=reason, milliseconds=milliseconds
    )


def _row_bytes(parameters: int) -> float:
    """About what a row takes, before one was trained, and right after a trial was timed alone.

    Raises CannotCarry where the first rows would not fit.

    A row's update holds its weights, their gradient and an optimizer's two slots, old
    and new. On a GPU, what the trial alone took beyond what stays has its activations
    too.
    """
    weights = float(parameters * _BYTES)
    memory = read_memory()
    each = max(_COPIES * weights, memory.peak - memory.used + _COPIES // 2 * weights)
    if _FIRST_ROWS * each > memory.room:
        raise limits.CannotCarry(limits.ROWS_TOO_LARGE)
    return each


def _row_seconds(rows: TimedStack, alone: float, row_bytes: float) -> dict[str, Timing]:
    """The seconds of a trial's batch, by width.

    Ends where more rows cost more, would not fit, or would take too long to try. A
    width is tried only where twice what half as many rows took is there: running out of
    memory costs seconds on a GPU, and the process on a CPU.
    """
    timings: dict[str, Timing] = {}
    begin, needed, best, worse = read_memory(), WIDTHS[0] * row_bytes, alone, 0
    for width in WIDTHS:
        if _CALLS * width * best > LONGEST_TRY_SECONDS or needed > begin.room:
            break
        forget_peak()
        batches = max(1, min(MOST_BATCHES, int(TIMED_SECONDS / (width * best))))
        try:
            timing = timing_of(
                rows.training(width, batches=batches), enough=TIMED_SECONDS
            )
        except tf.errors.ResourceExhaustedError:
            break
        timings[f"{width} rows"] = timing
        worse = worse + 1 if timing.best > WORSE * best else 0
        best = min(best, timing.best)
        if worse == PATIENCE:
            break
        needed = 2 * max(needed, read_memory().peak - begin.used)
    return timings
