"""The state of a study by its events, which every view draws.

Prints nothing, and knows no clock but the events' own times.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lrsearch.answer import Bill
from lrsearch.budget import RETESTED, retests_in_all
from lrsearch.events import Event
from lrsearch.forecast import Forecast
from lrsearch.messages import (
    PoolStarted,
    Result,
    RetestsPlanned,
    Stopping,
    StudyAnswer,
    StudyBegun,
    StudyBill,
    StudyCounts,
    TrialEnded,
    TrialProgress,
    TrialStarted,
    WorkerDied,
    WorkerDone,
    WorkerLeft,
    WorkerReady,
    Working,
)
from lrsearch.values import Direction, Kind

SETTLED = 16  # after so many ended trainings their pace alone gives the time left
# of one training that is long enough to give the pace: its start hardly counts
PACE_SECONDS = 10.0


@dataclass(slots=True)
class Row:
    """One worker."""

    state: str = "starting"
    label: str = ""
    short: str = ""
    epoch: int = 0
    epochs: int = 0
    rate: float | None = None
    value: float | None = None
    # The trials in training, by trial id: label and setting.
    training: dict[int, tuple[str, str]] = field(default_factory=dict)

    def update(self, progress: TrialProgress) -> None:
        """Take the progress of one of the worker's trials."""
        self.label, self.short = self.training.get(
            progress.trial_id, (self.label, self.short)
        )
        self.state = "training"
        self.epoch = progress.epoch
        self.epochs = progress.epochs
        self.rate = progress.rate
        self.value = self.value if progress.value is None else progress.value

    @property
    def labels(self) -> set[str]:
        """The labels of the trials in training."""
        return {label for label, _ in self.training.values()}


def _by_kind() -> dict[Kind, set[str]]:
    return {kind: set() for kind in Kind}


@dataclass(slots=True)
class ProgressState:
    """Everything a view shows."""

    study: str = ""
    objective: str = ""
    direction: Direction = Direction.MAXIMIZE
    trials: int | None = None
    trainings: int | None = None  # the limit of trials and retests together
    deadline: float | None = None
    retest_seeds: int = 0
    retested: int = RETESTED  # settings that are retested
    running: int = 0
    waiting: int = 0
    failed: int = 0
    retests_planned: int = 0
    best: Result | None = None
    yours: Result | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    began: float | None = None  # seconds since 1970
    # When the first trial began; before that, data is loaded and engines are timed.
    training_since: float | None = None
    ended_here: int = 0  # trials and retests that ended in this process
    trial_seconds: list[float] = field(default_factory=list)
    most_at_once: int = 0  # trials in training
    stopping: str = ""
    counted: bool = False  # whether a `StudyCounts` has come
    # Labels of ended trainings: by the workers' events, by the ledger (every machine),
    # and the ledger's newest, whose own events may still come.
    reported: dict[Kind, set[str]] = field(default_factory=_by_kind)
    stored: dict[Kind, set[str]] = field(default_factory=_by_kind)
    recent: dict[Kind, set[str]] = field(default_factory=_by_kind)
    # by a few timed steps, and when it came
    forecast: tuple[Forecast, float] | None = None
    # The ledger's estimate of the seconds left for all workers together, and when it
    # came.
    ledger_left: tuple[float, float] | None = None

    def handle(self, event: Event) -> None:
        """Take in a message."""
        self._handle_study(event)
        self._handle_worker(event)

    # -- what is left ------------------------------------------------------------------

    @property
    def done(self) -> int:
        """Search trials that have ended, on every machine."""
        return self._ended(Kind.SEARCH)

    @property
    def retests_done(self) -> int:
        return self._ended(Kind.RETEST)

    def _ended(self, kind: Kind) -> int:
        """Count the ended trainings of a kind, each once.

        A training that still runs here counts when its own event comes, not by the
        ledger.
        """
        running = set().union(*(row.labels for row in self.rows.values()))
        return len((self.stored[kind] - running) | self.reported[kind])

    @property
    def left(self) -> int | None:
        """Trainings to come, retests included; None where time alone limits them."""
        if self.trials is None:
            return None
        return max(0, self.trials - self.done) + max(
            0, self._retests - self.retests_done
        )

    @property
    def _retests(self) -> int:
        """All retests, planned or still to be planned."""
        if self.retests_planned and (self.trials is None or self.done >= self.trials):
            return self.retests_planned
        trials, limit = self.trials or self.retested, self.trainings
        return retests_in_all(
            trials,
            self.retest_seeds,
            limit,
            self.retests_planned,
            settings=self.retested,
        )

    def bill(self, now: float) -> Bill:
        """All trainings and the time left; where time limits the study, the trainings that fit."""
        here, fitting = self._empty_bill, self.fitting(now)
        if fitting is not None:
            return fitting
        limit = None if self.deadline is None else max(0.0, self.deadline - now)
        done, left = self.done + self.retests_done, self._expected(now)
        if self.trials is None or (
            limit is not None and left is not None and left > limit
        ):
            return replace(
                here, trials=None, retests=self._retests, limit_seconds=limit
            )
        stops = self._foretold is not None and self._foretold[0].stops
        budget = replace(here, trials=self.trials, retests=self._retests)
        return replace(budget, done=done, seconds=left, stops=stops)

    def seconds_left(self, now: float) -> float | None:
        """Seconds to the study's end, or to a nearer deadline; None where neither is known."""
        by_deadline = None if self.deadline is None else max(0.0, self.deadline - now)
        known = [
            each for each in (by_deadline, self._expected(now)) if each is not None
        ]
        return min(known) if known else None

    def _expected(self, now: float) -> float | None:
        """Estimate the seconds left; None where nothing is known.

        The timed steps count first, then the ledger's estimate, else this process' own
        trials.
        """
        if self._foretold is not None:
            made, at = self._foretold
            return made.seconds_left(
                done=self.ended_here,
                elapsed=max(0.0, now - (self.training_since or at)),
            )
        if self.ledger_left is not None:
            left, at = self.ledger_left
            return max(0.0, left - max(0.0, now - at))
        if self.left is None or not self.trial_seconds:
            return None
        return self.left * self._seconds_each(now)

    @property
    def _foretold(self) -> tuple[Forecast, float] | None:
        """The forecast and when it came, until enough trainings have ended here."""
        return self.forecast if self.ended_here < SETTLED else None

    @property
    def paced(self) -> bool:
        """Whether enough trainings have ended to give the pace.

        The first training of each slot is slower, since its graph is traced.
        """
        return self.ended_here >= 2 * self.at_once

    @property
    def shows_pace(self) -> bool:
        """Whether enough trainings have ended, or a long one has."""
        return self.paced or max(self.trial_seconds, default=0.0) >= PACE_SECONDS

    def _seconds_each(self, now: float) -> float:
        """Seconds from one training's end to the next one's."""
        since = self.training_since or self.began
        if not self.paced or since is None:
            return self.mean_seconds / self.at_once
        return (now - since) / self.ended_here

    def fitting(self, now: float) -> Bill | None:
        """The bill of the trainings that still fit; None where time does not limit the study."""
        if self.deadline is None or not self.trial_seconds:
            return None
        seconds = max(0.0, self.deadline - now)
        room = int(seconds / max(self._seconds_each(now), 1e-3))
        if self.left is not None and self.left <= room:
            return None
        retests = min(room, max(0, self._retests - self.retests_done))
        empty = self._empty_bill
        return replace(
            empty, trials=room - retests, retests=retests, limit_seconds=seconds
        )

    @property
    def _empty_bill(self) -> Bill:
        """A bill of nothing, for this process' workers."""
        workers = max(1, len(self.rows))
        return Bill(trials=None, retests=0, workers=workers, at_once=self.at_once)

    @property
    def at_once(self) -> int:
        """Trials in training at a time: the most that were seen, and at least one per slot."""
        return max(1, len(self.rows), self.most_at_once)

    @property
    def mean_seconds(self) -> float:
        """Seconds per trial."""
        return sum(self.trial_seconds) / max(1, len(self.trial_seconds))

    # -- messages ----------------------------------------------------------------------

    def _handle_study(self, event: Event) -> None:
        """Take a message about the whole study.

        Best, yours and the time left come from the ledger, not from this process' own
        trials.
        """
        match event.message:
            case StudyBegun() as begun:
                self.study, self.objective = begun.study, begun.objective
                self.direction, self.retest_seeds = begun.direction, begun.retest
                self.retested, self.began = begun.retested, event.at
                self.trials, self.trainings = begun.trials, begun.trainings
                self.deadline = begun.deadline
                self.best = begun.best
                self.yours = begun.yours
                # until `Working` comes: tracing takes a while
                for row in self.rows.values():
                    row.state = "loading data, timing steps"
            case StudyCounts() as counts:
                self._count(counts)
            case StudyAnswer(best=best, yours=yours, seconds_left=left):
                self.best, self.yours = best, yours
                self.ledger_left = (
                    self.ledger_left if left is None else (left, event.at)
                )
            case StudyBill(forecast=made):
                self.forecast = None if made is None else (made, event.at)
            case RetestsPlanned(retests=retests):
                self.retests_planned = retests
            case Stopping():
                self.stopping = "putting running trials back; Ctrl-C again ends at once"

    def _count(self, counts: StudyCounts) -> None:
        self.running = counts.running
        self.waiting = counts.waiting
        self.failed = counts.failed
        self.trials, self.trainings = counts.trials, counts.trainings
        self.deadline = counts.deadline
        self.retests_planned = max(self.retests_planned, counts.retests)
        for kind, ended in (
            (Kind.SEARCH, counts.ended),
            (Kind.RETEST, counts.retests_ended),
        ):
            # The counts may include a trial whose own events have not come yet.
            self.stored[kind] |= self.recent[kind] if self.counted else set(ended)
            self.recent[kind] = set(ended)
        self.counted = True

    def _handle_worker(self, event: Event) -> None:
        match event.message:
            case PoolStarted(slots=slots):
                self.rows = {name: Row() for name in slots}
            case WorkerReady():
                self.rows[event.slot] = Row(state="ready")
            case Working():
                self.rows[event.slot] = Row(state="waiting")
            case TrialStarted() as started:
                self._start(event.slot, started)
                self.training_since = self.training_since or event.at
            case TrialProgress() as progress:
                self.rows.setdefault(event.slot, Row()).update(progress)
            case TrialEnded() as ended:
                self._end(event.slot, ended)
            case WorkerDied(retry_seconds=delay):
                self.rows[event.slot] = Row(
                    state="given up" if delay is None else "restarting"
                )
            case WorkerDone() | WorkerLeft():
                self.rows[event.slot] = Row(state="done")

    def _start(self, slot: str, started: TrialStarted) -> None:
        label, training = started.label + _resumed(started), self._training_on(slot)
        training[started.trial_id] = (label, started.short)
        self.rows[slot] = Row("training", label, started.short, training=training)
        at_once = sum(len(row.training) for row in self.rows.values())
        self.most_at_once = max(self.most_at_once, at_once)

    def _end(self, slot: str, ended: TrialEnded) -> None:
        training = self._training_on(slot)
        training.pop(ended.trial_id, None)
        self.rows[slot] = Row(
            state="training" if training else "waiting", training=training
        )
        if ended.status.terminal:
            self.ended_here += 1
            self.trial_seconds.append(ended.seconds)
            self.reported[ended.kind].add(ended.label)

    def _training_on(self, slot: str) -> dict[int, tuple[str, str]]:
        return dict(self.rows[slot].training) if slot in self.rows else {}


def _resumed(started: TrialStarted) -> str:
    """Where an interrupted trial goes on, for people."""
    epoch, update = started.resumed_from, started.resumed_update
    return (
        f" from epoch {epoch}" if epoch else f" from update {update}" if update else ""
    )


def number(value: float | None) -> str:
    """A value of the objective, as every view writes it."""
    return "-" if value is None else f"{value:.4g}"
