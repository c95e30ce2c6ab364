"""Conversion of rows to values and back.

Knows the tables' columns and the values' fields, and no SQL statement.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from lrsearch.jsonable import from_json
from lrsearch.values import (
    AppliedRates,
    Change,
    CurvePoint,
    Kind,
    Origin,
    Outcome,
    Setting,
    StudyPlan,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
    WorkerRecord,
)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRecord:
    """One worker's run of a trial."""

    attempt: int
    worker: int | None
    status: str  # running, or a Status
    reason: str
    started_at: float
    ended_at: float | None
    kept_until: float | None = None  # epochs trained later than this were trained again


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointRecord:
    """One line of a trial's checkpoint manifest."""

    attempt: int
    epoch: int
    batch: int = 0  # done of the epoch in progress; 0 at an epoch's end
    path: str  # below the root folder, with forward slashes
    sha256: str
    size: int  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class RungValue:
    """A search trial's objective at the end of an epoch, and how the trial ended, if it did."""

    trial_id: int
    value: float
    state: TrialState
    final: float | None  # the value of a trial that ran to its end
    origin: Origin
    setting: Setting


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """The number of trials by state."""

    waiting: int = 0
    running: int = 0
    complete: int = 0
    diverged: int = 0
    pruned: int = 0
    failed: int = 0
    retests: int = 0  # planned
    retests_done: int = 0

    @property
    def done(self) -> int:
        return self.complete + self.diverged + self.pruned + self.failed

    @property
    def total(self) -> int:
        return self.done + self.waiting + self.running


class Records(list[TrialRecord]):
    """Trial records, and the study's revision at which they were read."""

    def __init__(self, trials: Iterable[TrialRecord], *, revision: int) -> None:
        super().__init__(trials)
        self.revision = revision


dump = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def clean(text: str) -> str:
    """Escape what databases cannot store: NUL (PostgreSQL) and lone surrogates (all)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")


def finite(number: float | None) -> float | None:
    """The number; None for NaN and infinities, which databases and JSON treat differently."""
    return number if number is not None and math.isfinite(number) else None


def finite_logs(logs: Mapping[str, float]) -> dict[str, float]:
    return {
        name: float(number) for name, number in logs.items() if math.isfinite(number)
    }


def plan_from(text: str) -> StudyPlan:
    return from_json(StudyPlan, json.loads(text))


def study_from(row: Any) -> StudyRecord:
    plan = plan_from(row.plan)
    return StudyRecord(
        id=row.id,
        plan=plan,
        state=StudyState(row.state),
        reason=row.reason,
        trials=row.searched if plan.retests_only else row.trials,
        trainings=row.trainings,
        deadline=None if plan.retests_only else row.deadline,
        created_at=row.created_at,
        optuna_study_id=row.optuna_study_id or 0,
        threads=row.threads,
        changes=tuple(Change(**each) for each in json.loads(row.changes or "[]")),
        retests_for=row.retests_for,
    )


def trial_from(row: Any) -> TrialRecord:
    return _record(
        TrialRecord,
        row,
        kind=Kind(row.kind),
        origin=Origin(row.origin),
        state=TrialState(row.state),
        setting=Setting.from_json(json.loads(row.setting)) if row.setting else None,
        repeat=row.repeat_no,
        repeated_epochs=row.repeated_epochs or 0,
        traceback_text=row.traceback,
        notes=tuple(json.loads(row.notes)),
        logs=json.loads(row.logs),
        rates=AppliedRates(**json.loads(row.rates)) if row.rates else None,
        worker=row.worker_id,
    )


def _record(made: Callable[..., T], row: Any, /, **others: Any) -> T:
    """Make a value of the row's columns of the same names, and of the `others`."""
    names, read = _columns(made, *others)
    return made(**dict(zip(names, read(row), strict=True)), **others)


@cache
def _columns(
    made: Any, *others: str
) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    names = tuple(each.name for each in fields(made) if each.name not in others)
    # All columns at once: each new worker reads a study's 10,000 trials.
    return names, attrgetter(*names)


def outcome_columns(outcome: Outcome) -> dict[str, Any]:
    """The columns of a trial that a terminal outcome writes."""
    seconds = outcome.seconds
    numbers = (
        "value",
        "last_value",
        "best_value",
        "best_epoch",
        "epochs",
        "steps",
        "seconds",
    )
    return {
        **{name: finite(getattr(outcome, name)) for name in numbers},
        "state": outcome.status.value,
        "worker_seconds": seconds
        if outcome.worker_seconds is None
        else outcome.worker_seconds,
        "engine": outcome.engine[:32],
        "reason": clean(outcome.reason),
        "traceback": clean(outcome.traceback_text),
        "notes": dump(list(outcome.notes)),
        "logs": dump(finite_logs(outcome.logs)),
        "rates": dump(asdict(outcome.rates)) if outcome.rates else None,
    }


def point_columns(point: CurvePoint) -> dict[str, Any]:
    return {
        "epoch": point.epoch,
        "step": point.step,
        "rate": point.rate,
        "seconds": point.seconds,
        "value": finite(point.value),
        "logs": dump(finite_logs(point.logs)),
    }


def point_from(row: Any) -> CurvePoint:
    return _record(CurvePoint, row, logs=json.loads(row.logs))


def rung_value_from(row: Any) -> RungValue:
    state = TrialState(row.state)
    return RungValue(
        trial_id=row.id,
        value=row.reached,
        state=state,
        final=row.value if state is TrialState.COMPLETE else None,
        origin=Origin(row.origin),
        setting=_setting(row.setting),
    )


@lru_cache(maxsize=20_000)
def _setting(text: str) -> Setting:
    """A setting, cached: a rung is read many times, and 10,000 settings take 20 ms to parse."""
    return Setting.from_json(json.loads(text))


def worker_from(row: Any) -> WorkerRecord:
    return _record(WorkerRecord, row, versions=json.loads(row.versions))


def attempt_from(row: Any) -> AttemptRecord:
    return _record(AttemptRecord, row, worker=row.worker_id)


def checkpoint_from(row: Any) -> CheckpointRecord:
    return _record(CheckpointRecord, row)
