"""The callback that joins `model.fit` to the engine's contract: progress, verdicts, divergence,
snapshots.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from lrsearch.engine import _keras
from lrsearch.engine.compiling import inner
from lrsearch.engine.divergence import DivergenceRule
from lrsearch.engine.resuming import Kept
from lrsearch.engine.snapshot import restore_metrics, take_snapshot
from lrsearch.values import (
    Direction,
    Json,
    Progress,
    Save,
    Snapshot,
    Status,
    TrialSpec,
    Verdict,
    Watch,
)

WATCH_SECONDS = 0.5  # within an epoch


class Stop(Exception):
    """Leaves `fit` at once: stop_training would still run the validation first."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


# now or later: a checkpoint is worth taking
_GOES_ON = frozenset({Verdict.KEEP, Verdict.INTERRUPT})
_STOPS = {
    Verdict.PRUNE: Stop(Status.PRUNED, "pruned"),
    Verdict.INTERRUPT: Stop(Status.INTERRUPTED, "interrupted"),
    Verdict.LOST: Stop(Status.LOST, "the lease was lost"),
}


@dataclass(kw_only=True)
class Track:
    """How far an attempt is, and its best."""

    direction: Direction
    epoch: int = 0
    batches: int = 0
    last_value: float | None = None
    best_value: float | None = None
    best_epoch: int | None = None
    logs: Mapping[str, float] = field(default_factory=dict)
    # logs by epoch, from 1, since the attempt began
    history: dict[int, Mapping[str, float]] = field(default_factory=dict)
    # whose logs and value are the run's: the last one, or the one that a callback put back
    judged_epoch: int = 0
    notes: tuple[str, ...] = ()

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot."""
        self.epoch, self.batches = snapshot.epoch, int(snapshot.meta["batches"])
        self.best_value, self.best_epoch = snapshot.meta["best_value"], snapshot.meta["best_epoch"]

    def epoch_ended(self, value: float | None, logs: Mapping[str, float]) -> None:
        self.epoch += 1
        self.judged_epoch = self.epoch
        self.history[self.epoch] = logs
        self.last_value, self.logs = value, logs
        if (
            value is not None
            and math.isfinite(value)
            and (self.best_value is None or self.direction.better(value, self.best_value))
        ):
            self.best_value, self.best_epoch = value, self.epoch

    def judge_epoch(self, epoch: int, objective: str) -> None:
        """Let the run's logs and value be those of an earlier epoch."""
        self.judged_epoch = epoch
        self.judge(self.history[epoch], objective)

    def judge(self, logs: Mapping[str, float], objective: str) -> None:
        """Let these be the run's logs and value."""
        self.logs, self.last_value = logs, finite_or_none(logs[objective])


def finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def numbers_of(logs: Mapping[str, Any]) -> dict[str, float]:
    """Those of the logs that are one number each, as `float` takes them; others, such as a
    confusion matrix, are left out.
    """
    found: dict[str, float] = {}
    for name, value in logs.items():
        with suppress(TypeError, ValueError):
            found[name] = float(np.asarray(value).item() if np.size(value) == 1 else value)
    return found


class WatchCallback(keras.callbacks.Callback):
    """Comes last in the list, so that the user's callbacks have seen an epoch before it can be the
    last.

    Within an epoch it asks the clock after every batch, and about twice a second the watcher, who
    may want a snapshot.
    """

    within = True  # a snapshot can be taken at any batch's end

    def __init__(
        self,
        spec: TrialSpec,
        *,
        objective: str,
        track: Track,
        epochs: int,
        total_steps: int,
        accumulation: int,
        steps_per_epoch: int,
        rate: Callable[[int], float],
        watch: Watch,
        save: Save,
        keep_stream: Callable[[], Kept] = Kept,
        averaged: AveragedEvaluation | None = None,
        swapping: bool = False,
    ) -> None:
        super().__init__()
        self.spec, self.objective, self.track = spec, objective, track
        self.epochs, self.total_steps, self.accumulation, self.steps_per_epoch = (
            epochs,
            total_steps,
            accumulation,
            steps_per_epoch,
        )
        self.rate, self.watch, self.save = rate, watch, save
        self.keep_stream, self.averaged = keep_stream, averaged
        # a callback may validate other weights: a snapshot taken meanwhile would hold those
        self.swapping = swapping
        self.batch = 0  # done of the epoch in progress
        self.last_logs: Mapping[str, Any] = {}  # of the steps so far
        # what an evaluation changes, as it was before, by the variable's id
        self._aside: dict[int, Any] = {}
        # copies would cost a short validation more than they are worth
        self._tests_long, self._tested = True, 0.0
        # until its epoch goes on
        self._within = spec.resume if spec.resume is not None and spec.resume.batch else None
        self.rule = DivergenceRule()
        if spec.resume is not None:
            self.rule.resume(spec.resume.meta.get("divergence"))
        self._began = self._watched = time.monotonic()
        self._before = self.track.batches

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        del epoch, logs
        within, self._within = self._within, None
        if within is None:
            self.rule.new_epoch()
        else:
            restore_metrics(self.model, within)
        self.batch, self.last_logs = (within.batch, within.meta["logs"]) if within else (0, {})
        self._before = self.track.batches - self.batch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # of several steps an execution the last may be fewer
        done = min(batch + 1, self.steps_per_epoch)
        self.note_batch(done, logs)
        self.look(done, logs or {})

    def note_batch(self, done: int, logs: Any) -> None:
        """Count the epoch's batches so far, and stop where training has diverged."""
        self.track.batches = self._before + done
        if logs and "loss" in logs:
            why = self.rule.check(float(logs["loss"]), done)
            if why:
                raise Stop(
                    Status.DIVERGED, f"{why}, at update {self.updates} of {self.total_steps}"
                )

    def look(self, batch: int, logs: Mapping[str, Any]) -> None:
        """The model's state is that after `batch` batches of the epoch: tell of it and offer a
        snapshot, if it is time.
        """
        self.batch, self.last_logs = batch, logs
        now = time.monotonic()
        if now - self._watched < WATCH_SECONDS:
            return
        self._watched = now
        verdict = self.watch(self.progress())
        if verdict in _GOES_ON and not self.told_to_stop:
            self.save(self.progress(), self.snapshot)
        self._obey(verdict)

    def on_test_begin(self, logs: Any = None) -> None:
        del logs
        # also where the data ended before: only the validation is left
        self.batch = self.steps_per_epoch
        self._tested = time.monotonic()
        if self._tests_long and not self.swapping:
            self._aside = {
                id(each): ops.copy(each) for each in _keras.changed_by_evaluation(self.model)
            }

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        del batch, logs
        if self._aside:
            self.look(self.batch, self.last_logs)

    def on_test_end(self, logs: Any = None) -> None:
        del logs
        self._aside = {}
        self._tests_long = time.monotonic() - self._tested >= WATCH_SECONDS

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        del epoch
        self.batch = 0
        found = self._numbers(logs or {})
        if self.objective not in found:
            raise KeyError(
                f"objective {self.objective!r} is not among what the epoch logged: {', '.join(sorted(found))}"
            )
        value = finite_or_none(found[self.objective])
        self.track.epoch_ended(value, found)
        progress = self.progress(found, value)
        lost = self._lost_loss(found)
        verdict = self.watch(progress)
        if verdict in _GOES_ON and not lost and self.track.epoch < self.epochs:
            self.save(progress, self.snapshot)
        self._obey(verdict)
        if lost:
            raise Stop(Status.DIVERGED, lost)
        if self.track.epoch >= self.epochs or self.told_to_stop:
            why = self.rule.at_end()
            if why:
                raise Stop(Status.DIVERGED, why)

    def _numbers(self, logs: Mapping[str, Any]) -> dict[str, float]:
        found = numbers_of(logs)
        others = sorted(set(logs) - set(found))
        if others and not self.track.notes:
            self.track.notes = (f"not kept, since it is no number: {', '.join(others)}",)
        return found

    def _lost_loss(self, logs: Mapping[str, float]) -> str:
        """Why training has diverged as the epoch's logs tell, or empty: a loss alone says so, as
        any other metric may be 0/0.
        """
        judged = ["loss", *(["val_loss"] if not math.isfinite(logs[self.objective]) else [])]
        bad = [name for name in judged if not math.isfinite(logs.get(name, 0.0))]
        return f"{bad[0]} became {logs[bad[0]]}, after epoch {self.track.epoch}" if bad else ""

    @property
    def updates(self) -> int:
        return self.track.batches // self.accumulation

    def progress(
        self, logs: Mapping[str, float] | None = None, value: float | None = None
    ) -> Progress:
        """Where the attempt stands."""
        return Progress(
            trial_id=self.spec.trial_id,
            attempt=self.spec.attempt,
            epoch=self.track.epoch,
            epochs=self.epochs,
            step=self.updates,
            total_steps=self.total_steps,
            rate=self.rate(max(self.updates - 1, 0)),
            seconds=time.monotonic() - self._began,
            logs=logs or {},
            value=value,
            batch=self.batch if self.within else 0,
        )

    def snapshot(self) -> Snapshot:
        """The state after the last batch; the epoch's validation may have begun."""
        kept = self.keep_stream()
        aside = self._aside | (self.averaged.kept if self.averaged is not None else {})
        places = {"epoch": self.track.epoch, "batch": self.batch, "step": self.updates}
        taken = take_snapshot(self.model, **places, meta={**self.meta(), **kept.meta}, aside=aside)
        return replace(taken, arrays={**taken.arrays, **kept.arrays})

    def meta(self) -> dict[str, Json]:
        """What a snapshot keeps beside the variables."""
        track, rule = self.track, self.rule.state()
        best = {"best_value": track.best_value, "best_epoch": track.best_epoch}
        logs = (
            {name: value for name, value in self.last_logs.items() if isinstance(value, float)}
            if self.batch
            else {}
        )
        return {"batches": track.batches, **best, "divergence": rule, "logs": logs}

    @property
    def told_to_stop(self) -> bool:
        """Whether a callback of the user's ended the training."""
        return bool(self.model.stop_training)

    def _obey(self, verdict: Verdict) -> None:
        stop = _STOPS.get(verdict)
        if stop is not None:
            raise Stop(stop.status, stop.reason)


class AveragedEvaluation:
    """Evaluates ScheduleFreeAdamW at its averaged weights, which is what it optimises; training
    goes on at its own.

    `begin` comes before the user's callbacks and `end` after them, so that whatever they swap for a
    validation is undone first.
    """

    def __init__(self) -> None:
        self.begin = keras.callbacks.LambdaCallback()
        self.end = keras.callbacks.LambdaCallback()
        self.begin.on_test_begin = self._average
        self.end.on_test_end = self._put_back
        self.kept: dict[int, Any] = {}  # the weights that training goes on at, by the variable's id

    def _average(self, logs: Any = None) -> None:
        del logs
        model = self.begin.model
        averaged = _keras.averaged_weights(inner(model.optimizer), model.trainable_variables)
        if averaged is not None:
            self.kept = {id(each): ops.copy(each) for each in model.trainable_variables}
            _assign(model.trainable_variables, averaged)

    def _put_back(self, logs: Any = None) -> None:
        del logs
        if self.kept:
            _assign(self.begin.model.trainable_variables, list(self.kept.values()))
            self.kept = {}


def _assign(variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
