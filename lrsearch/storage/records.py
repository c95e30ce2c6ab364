"""Rows to values and back. Knows tables' columns and values' fields, and no SQL statement."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from lrsearch.values import (
    Change,
    CurvePoint,
    Kind,
    Origin,
    Outcome,
    Setting,
    StudyFacts,
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
    kept_until: float | None = None  # what was trained later than that was trained again


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointRecord:
    """One line of a trial's checkpoint manifest."""

    attempt: int
    epoch: int
    batch: int  # done of the epoch in progress; 0 at an epoch's end
    path: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RungValue:
    """A search trial's objective at the end of an epoch."""

    value: float
    origin: Origin
    setting: Setting


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many trials stand where."""

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
    """Trial records, and the study's revision that they were read at."""

    def __init__(self, found: Iterable[TrialRecord] = (), *, revision: int = 0) -> None:
        super().__init__(found)
        self.revision = revision


dump = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def clean(text: str) -> str:
    """Text that every database stores: PostgreSQL takes no NUL, and none takes half a surrogate
    pair.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")


def finite(number: float | None) -> float | None:
    """None for NaN and infinities: databases and JSON differ on them."""
    return number if number is not None and math.isfinite(number) else None


def finite_logs(logs: Mapping[str, float]) -> dict[str, float]:
    return {name: float(number) for name, number in logs.items() if math.isfinite(number)}


def plan_text(plan: StudyPlan) -> str:
    return dump(asdict(plan))


def plan_from(text: str) -> StudyPlan:
    data = json.loads(text)
    data["facts"] = StudyFacts.from_json(data["facts"])
    data["dimensions"] = tuple(data["dimensions"])
    data["first"] = tuple(
        (Origin(origin), Setting.from_json(setting)) for origin, setting in data["first"]
    )
    return StudyPlan(**data)


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
        worker=row.worker_id,
    )


def _record(made: Callable[..., T], row: Any, /, **others: Any) -> T:
    """A value of the row's columns of the same names; `others` are its other fields."""
    names, read = _columns(made, *others)
    return made(**dict(zip(names, read(row), strict=True)), **others)


@cache
def _columns(made: Any, *others: str) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    names = tuple(each.name for each in fields(made) if each.name not in others)
    return names, attrgetter(*names)  # at once: a study's 10,000 trials are read at every joining


def outcome_columns(outcome: Outcome) -> dict[str, Any]:
    """What a terminal outcome writes into its trial's row."""
    return {
        "state": outcome.status.value,
        "value": finite(outcome.value),
        "last_value": finite(outcome.last_value),
        "best_value": finite(outcome.best_value),
        "best_epoch": outcome.best_epoch,
        "epochs": outcome.epochs,
        "steps": outcome.steps,
        "seconds": outcome.seconds,
        "worker_seconds": outcome.seconds
        if outcome.worker_seconds is None
        else outcome.worker_seconds,
        "engine": outcome.engine[:32],
        "reason": clean(outcome.reason),
        "traceback": clean(outcome.traceback_text),
        "notes": dump(list(outcome.notes)),
        "logs": dump(finite_logs(outcome.logs)),
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
    return RungValue(value=row.value, origin=Origin(row.origin), setting=_setting(row.setting))


@lru_cache(maxsize=20_000)
def _setting(text: str) -> Setting:
    """A trial's setting never changes, and a rung is looked at many times: 10,000 of them take 20
    ms to read.
    """
    return Setting.from_json(json.loads(text))


def worker_from(row: Any) -> WorkerRecord:
    return _record(WorkerRecord, row, versions=json.loads(row.versions))


def attempt_from(row: Any) -> AttemptRecord:
    return _record(AttemptRecord, row, worker=row.worker_id)


def checkpoint_from(row: Any) -> CheckpointRecord:
    return _record(CheckpointRecord, row)


def by_trial(rows: Sequence[Any]) -> dict[int, list[CurvePoint]]:
    found: dict[int, list[CurvePoint]] = {}
    for row in rows:
        found.setdefault(row.trial_id, []).append(point_from(row))
    return found
