"""One attempt's books: how far it is, its best value, whether it diverged, how it ended.

Every engine has one `Attempt` per attempt and reports to it in the order of training:
`begin`; for each epoch `begin_epoch`, then `count` and `look` as often as it can, then
`end_epoch`; at last `conclude`, or `fail`. A method that finds that the attempt must
end now raises `Stop`.

Knows no Keras and no TensorFlow: the state of a model comes from the engine, by
`Plan.fill`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from lrsearch.engine.blame import Observer, end_fork
from lrsearch.engine.divergence import DivergenceRule
from lrsearch.engine.rate_log import RateLog
from lrsearch.values import (
    Direction,
    Json,
    Outcome,
    Progress,
    RowScores,
    Snapshot,
    Status,
    TrialSpec,
    Verdict,
)

WATCH_SECONDS = 0.5  # between two looks within an epoch

_GOES_ON = {Verdict.KEEP, Verdict.INTERRUPT}  # now or later: a snapshot has a use
_STOPS = {
    Verdict.PRUNE: (Status.PRUNED, "pruned"),
    Verdict.INTERRUPT: (Status.INTERRUPTED, "interrupted"),
    Verdict.LOST: (Status.LOST, "the lease was lost"),
}


@final
class Stop(Exception):
    """Ends an attempt at once: Keras' `stop_training` would still run the validation first."""

    def __init__(self, status: Status, reason: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is known of an attempt once its model is built."""

    objective: str
    direction: Direction
    best_epoch_counts: bool  # else the last epoch's value is the attempt's
    epochs: int
    steps_per_epoch: int  # batches
    accumulation: int  # batches per update
    total_steps: int  # updates of a full run
    rate: Callable[[int], float]  # the learning rate of an update, counted from 0
    # (updates,) float64, the schedule's; None where it is not known (yours)
    planned: np.ndarray | None = None
    fill: Callable[[Snapshot], Snapshot]  # adds the model's arrays to a snapshot
    # a snapshot can be taken at any batch's end, not only at an epoch's
    within: bool = True
    # a callback of the user's ended the training
    stopping: Callable[[], bool] = lambda: False


@final
class Attempt:
    """The books of one attempt; see the module."""

    def __init__(
        self,
        spec: TrialSpec,
        *,
        engine: str,
        observer: Observer | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.spec, self.engine, self.notes = spec, engine, notes
        self._observer = observer or Observer()
        self._opened = time.monotonic()
        self._rule = DivergenceRule()
        self._plan: Plan | None = None
        self._rates: RateLog | None = None
        self.epoch = 0  # epochs finished
        self.batches = 0  # trained in all
        self.batch = 0  # done of the epoch in progress
        self.batch_logs: Mapping[str, Any] = {}  # of these batches
        self.validates_long = True  # a look within a validation is worth its copies
        # The run's: the last epoch's, or those of the weights that a callback put back.
        self.logs: Mapping[str, float] = {}
        self.value: float | None = None
        self.row_scores: tuple[RowScores, ...] = ()  # of a complete attempt
        self._judged_epoch = 0
        self._history: dict[int, Mapping[str, float]] = {}  # logs by epoch, from 1
        self._best: tuple[float, int] | tuple[None, None] = (None, None)  # value, epoch

    def note(self, *texts: str) -> None:
        """Add each text to the outcome's notes, once."""
        self.notes += tuple(text for text in texts if text not in self.notes)

    # -- training ----------------------------------------------------------------------

    def begin(self, plan: Plan) -> None:
        """Begin to train: the model is built, and has the checkpoint's state, if any."""
        self._plan = plan
        self._began = self._looked = time.monotonic()
        resume = self.spec.resume
        self._within = resume if resume is not None and resume.batch else None
        self._rates = rates = RateLog(plan.planned, plan.accumulation)
        if resume is not None:
            rates.resume(resume.meta.get("rates"))
            self.epoch, self.batches = resume.epoch, int(resume.meta["batches"])
            self._best = (resume.meta["best_value"], resume.meta["best_epoch"])
            self._rule.resume(resume.meta.get("divergence"))

    def begin_epoch(self) -> Snapshot | None:
        """Begin an epoch, or go on within it from the checkpoint that is returned.

        The engine puts the running means of that checkpoint's metrics back.
        """
        within, self._within = self._within, None
        if within is None:
            self._rule.new_epoch()
            self.batch, self.batch_logs = 0, {}
        else:
            self.batch, self.batch_logs = within.batch, within.meta["logs"]
        self._before = self.batches - self.batch
        self._epoch_began = self._place()
        return within

    def count(self, done: int, loss: float | None) -> None:
        """Enter that `done` batches of the epoch are trained; `loss` is their running mean."""
        self.batches = self._before + done
        if loss is not None and (why := self._rule.check(loss, done)):
            total = self.plan.total_steps
            raise Stop(Status.DIVERGED, f"{why}, at update {self.updates} of {total}")

    def rate_is_due(self, batch: int) -> bool:
        """Whether the rate of the epoch's batch number `batch`, from 0, is worth a look.

        A look takes a millisecond where Keras reckons the schedule: only the first
        update, the peak and the last are.
        """
        update, within = divmod(self._before + batch, self.plan.accumulation)
        planned, last = self.plan.planned, self.plan.total_steps - 1
        peak = last if planned is None or not len(planned) else int(planned.argmax())
        return not within and update in {0, peak, last}

    def enter_rates(self, done: int, used: np.ndarray) -> None:
        """Enter the rates of the epoch's batches from `done` on; used: (batches,) float."""
        assert self._rates is not None
        self._rates.enter(self._before + done, used)

    def look(self, batch: int, logs: Mapping[str, Any]) -> None:
        """Report the progress and offer a snapshot, if it is time.

        The model has trained `batch` batches of the epoch, whose logs so far are
        `logs`.
        """
        self.batch, self.batch_logs = batch, logs
        now = time.monotonic()
        if now - self._looked >= WATCH_SECONDS:
            self._looked = now
            self._report(self._progress(), save=not self.plan.stopping())

    def begin_validation(self) -> None:
        """Enter that only the epoch's validation is left, also where the data ended early."""
        self.batch = self.plan.steps_per_epoch
        self._validation_began = time.monotonic()

    def end_validation(self) -> None:
        """Enter that the validation is over; the next one will take about as long."""
        self.validates_long = time.monotonic() - self._validation_began >= WATCH_SECONDS

    def end_epoch(self, logs: Mapping[str, Any]) -> None:
        """End an epoch with these logs, which include its validation's.

        Raises KeyError where the objective is not among them.
        """
        plan, numbers = self.plan, numbers_of(logs)
        if others := sorted(set(logs) - set(numbers)):
            self.note(f"not kept, since it is no number: {', '.join(others)}")
        if plan.objective not in numbers:
            names = f"what the epoch logged: {', '.join(sorted(numbers))}"
            raise KeyError(f"objective {plan.objective!r} is not among {names}")
        self._close_epoch(numbers)
        lost, last = self._lost_loss(numbers), self.epoch >= plan.epochs
        self._report(self._progress(numbers, self.value), save=not lost and not last)
        if not lost and (last or plan.stopping()):
            lost = self._rule.at_end()
        if lost:
            raise Stop(Status.DIVERGED, lost)

    def _close_epoch(self, logs: Mapping[str, float]) -> None:
        self.epoch, self.batch = self.epoch + 1, 0
        self._history[self.epoch] = logs
        self.judge_epoch(self.epoch)
        value, (best, _) = self.value, self._best
        if value is not None and (
            best is None or self.plan.direction.better(value, best)
        ):
            self._best = (value, self.epoch)

    def _report(self, progress: Progress, *, save: bool) -> None:
        """Ask the watcher, offer a snapshot where its verdict leaves one a use, and obey."""
        verdict = self._observer.watch(progress)
        if save and verdict in _GOES_ON:
            self._observer.save(progress, self.snapshot)
        if verdict in _STOPS:
            raise Stop(*_STOPS[verdict])

    def _lost_loss(self, logs: Mapping[str, float]) -> str:
        """Why training has diverged according to the epoch's logs, or empty.

        Only a loss that is not finite is a sign of it: any other metric may be 0/0.
        """
        for name in ("loss", "val_loss") if self.value is None else ("loss",):
            if not math.isfinite(logs.get(name, 0.0)):
                return f"{name} became {logs[name]}, after epoch {self.epoch}"
        return ""

    # -- where it stands ---------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        assert self._plan is not None
        return self._plan

    @property
    def updates(self) -> int:
        """Optimizer updates done."""
        return self.batches // self._plan.accumulation if self._plan else 0

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the best value so far, from 1."""
        return self._best[1]

    @property
    def counting_value(self) -> float | None:
        """The value of an attempt that ends here: the best epoch's, or the last one's."""
        return self._best[0] if self.plan.best_epoch_counts else self.value

    def _progress(
        self, logs: Mapping[str, float] | None = None, value: float | None = None
    ) -> Progress:
        plan, step = self.plan, self.updates
        return Progress(
            trial_id=self.spec.trial_id,
            attempt=self.spec.attempt,
            epoch=self.epoch,
            epochs=plan.epochs,
            step=step,
            total_steps=plan.total_steps,
            rate=self._rate(plan.rate(max(step - 1, 0))),
            seconds=time.monotonic() - self._began,
            logs=logs or {},
            value=value,
            batch=self.batch if plan.within else 0,
        )

    def _rate(self, planned: float) -> float:
        """The planned rate, or the last that an update had where the plan has no number.

        A schedule of the user's own may have none after the last update: `(1 - step /
        n) ** 0.9`.
        """
        applied = self._rates.applied if self._rates is not None else None
        return planned if math.isfinite(planned) or applied is None else applied.last

    def snapshot(self) -> Snapshot:
        """Take the state after the last batch; the epoch's validation may have begun.

        An engine that can take no state within an epoch gives the state that the epoch
        began with.
        """
        began = self._epoch_began
        earlier = not self.plan.within and began.epoch == self.epoch
        return self.plan.fill(began if earlier else self._place())

    def _place(self) -> Snapshot:
        """A snapshot without its arrays."""
        value, epoch = self._best
        logs = self.batch_logs if self.batch else {}
        meta: dict[str, Json] = {
            "batches": self.batches,
            "best_value": value,
            "best_epoch": epoch,
            "divergence": self._rule.state(),
            "rates": self._rates.state() if self._rates is not None else None,
            "logs": {
                name: each for name, each in logs.items() if isinstance(each, float)
            },
        }
        return Snapshot(
            epoch=self.epoch, batch=self.batch, step=self.updates, arrays={}, meta=meta
        )

    # -- the end -----------------------------------------------------------------------

    def judge_epoch(self, epoch: int) -> None:
        """Make an epoch's logs and value the run's."""
        self._judged_epoch = epoch
        self.judge(self._history[epoch])

    def judge(self, logs: Mapping[str, float]) -> None:
        """Make these logs, and the value among them, the run's."""
        value = logs[self.plan.objective]
        self.logs, self.value = logs, value if math.isfinite(value) else None

    def logs_with(self, prefix: str, logs: Mapping[str, float]) -> dict[str, float]:
        """The run's logs and others, whose names get a prefix."""
        return {
            **self.logs,
            **{f"{prefix}_{name}": value for name, value in logs.items()},
        }

    def conclude(self, status: Status, *reasons: str) -> Outcome:
        """The outcome of an attempt that nothing broke.

        Only a complete or a pruned attempt has a value.
        """
        value = None
        if status is Status.PRUNED:
            value = self.value
        elif status is Status.COMPLETE:
            value, best = self.counting_value, self.plan.best_epoch_counts
            if value is None:
                place = (
                    "in every epoch" if best else f"after epoch {self._judged_epoch}"
                )
                reasons += (f"no value: {self.plan.objective} was not finite {place}",)
        return self._outcome(
            status, reason="; ".join(filter(None, reasons)), value=value
        )

    def fail(self, reason: str, text: str, *, left: bool) -> Outcome:
        """The outcome of what the study's code raised; `text` is its traceback."""
        return self._outcome(
            Status.FAILED, reason=reason, traceback_text=text, left=left
        )

    def _outcome(self, status: Status, **fields: Any) -> Outcome:
        end_fork()  # a process that the study's code forked has no outcome
        if self._rates is not None and self._rates.fault:
            self.note(self._rates.fault)
        value, epoch = self._best
        return Outcome(
            trial_id=self.spec.trial_id,
            attempt=self.spec.attempt,
            status=status,
            engine=self.engine,
            last_value=self.value,
            best_value=value,
            best_epoch=epoch,
            epochs=self.epoch,
            steps=self.updates,
            seconds=time.monotonic() - self._opened,
            logs=self.logs,
            notes=self.notes,
            rates=self._rates.applied if self._rates is not None else None,
            row_scores=self.row_scores if status is Status.COMPLETE else (),
            **fields,
        )


def numbers_of(logs: Mapping[str, Any]) -> dict[str, float]:
    """The logs that are one number each; others, such as a confusion matrix, are left out."""
    numbers: dict[str, float] = {}
    for name, value in logs.items():
        with suppress(TypeError, ValueError):
            numbers[name] = float(
                np.asarray(value).item() if np.size(value) == 1 else value
            )
    return numbers
