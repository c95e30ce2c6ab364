"""Estimates the cost of a study, or of the rest of a stored one, for `lrsearch plan`.

Trains a few steps to time them, and writes nothing.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lrsearch.answer import Bill, forecast, trainings_left
from lrsearch.budget import Budget
from lrsearch.launch.checking import check_methods, check_same, find_changes
from lrsearch.launch.common_steps import make_worker_config
from lrsearch.launch.creating import find_study, make_plan
from lrsearch.launch.database import has_tables, open_database
from lrsearch.launch.pool import Pool
from lrsearch.launch.worker_count import plan_workers
from lrsearch.messages import Inspection
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.progress.listeners import ignore
from lrsearch.setup.slots import SlotPlan
from lrsearch.values import Json, StudyRecord, StudyState, TrialRecord

MOST = 10**7  # the largest number of trainings that is reported to fit into a time
# From the inspection to the first training: the database, the study, the workers'
# entries.
MAKING_SECONDS = 1.0
# from the last training to the command's end: Optuna's rows, the answer
ENDING_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The cost of a search."""

    study: str
    is_stored: bool
    bill: Bill  # of the whole command
    # from the first training's start to the last one's end
    training_seconds: float | None
    left: int | None  # trainings to come; None: as many as the time allows
    epochs: int | None  # of all these trainings together
    updates: int | None  # of all these trainings together, at the first batch size
    seconds_each: float | None  # of a worker's time for one training; None: not known
    workers: str  # how many, and why
    engine: str  # how the workers train, and why
    at: float  # now, seconds since 1970

    def to_json(self) -> dict[str, Json]:
        bill = self.bill.to_json()
        limit = self.bill.limit_seconds
        left = self.bill.seconds if limit is None else limit
        return {
            "study": self.study,
            "stored": self.is_stored,
            **{
                name: bill[name]
                for name in ("trials", "retests", "trainings", "done", "workers")
            },
            "left": self.left,
            "epochs": self.epochs,
            "updates": self.updates,
            "seconds_a_training": self.seconds_each,
            "seconds": left,
            "seconds_of_training": self.training_seconds,
            "done_at": None if left is None else self.at + left,
            "limited_by_time": limit is not None,
            "placed": self.workers,
            "engine": self.engine,
        }


def plan_study(
    study_file: str | Path, search: SearchOptions, machine: MachineOptions
) -> Plan:
    """Plan a search of `study_file`, or the rest of the stored study of that name.

    All workers of the search load the study and time a few steps at the same time, so
    that they slow each other down as they will in training. Raises the errors of
    `run_study` before training.
    """
    from lrsearch.definition import check_backend, check_file, study_name

    check_backend()
    path, url = check_file(study_file), machine.url
    name = study_name(path, search.name)
    slots = plan_workers(machine, search, url=url, name=name)
    config = make_worker_config(machine, study_file=path, overrides=search.overrides)
    with Pool(slots.slots, replace(config, times=True), ignore) as pool:
        # here: while TensorFlow loads in the workers
        from lrsearch.storage import check_storage

        check_storage(url)
        inspection = pool.inspect()
    # These seconds do not count: the search itself does not time these steps.
    timing = float(inspection.figures.get("timing_seconds", 0.0))
    loading = time.monotonic() - search.began - timing
    check_methods(search, inspection.facts)
    stored = _read_stored(url, name, search, inspection)
    study, records = stored or (_make_record(search, name, inspection), [])
    return _estimate(study, records, inspection, slots, loading=loading)


def _read_stored(
    url: str, name: str, search: SearchOptions, inspection: Inspection
) -> tuple[StudyRecord, list[TrialRecord]] | None:
    """Read the study of that name, with the totals of `search`, and its trials; None without one.

    Raises the errors that refuse to go on with the study.
    """
    if not has_tables(url):
        return None
    with open_database(url) as ledger:
        study = find_study(ledger, name)
        if study is None:
            return None
        check_same(study, search)
        find_changes(study, inspection.facts, search)
        records = ledger.trials(study.id)
        deadline = (
            study.deadline if search.timeout is None else ledger.now() + search.timeout
        )
        budget = Budget(
            trials=study.trials,
            trainings=study.trainings,
            seeds=study.plan.retest_seeds,
            searched=sum(each.is_search for each in records),
            existing=len(records),
        ).set(trials=search.trials, trainings=search.trainings)
        trials, trainings = budget.trials, budget.trainings
        return replace(
            study, trials=trials, trainings=trainings, deadline=deadline
        ), records


def _make_record(
    search: SearchOptions, name: str, inspection: Inspection
) -> StudyRecord:
    """The record of the study that would be created."""
    plan, now = make_plan(search, name, None, inspection), time.time()
    return StudyRecord(
        id=0,
        plan=plan,
        state=StudyState.OPEN,
        reason="",
        trials=plan.trials,
        trainings=plan.trainings,
        deadline=None if search.timeout is None else now + search.timeout,
        created_at=now,
        optuna_study_id=0,
    )


def _estimate(
    study: StudyRecord,
    records: Sequence[TrialRecord],
    inspection: Inspection,
    slots: SlotPlan,
    *,
    loading: float,
) -> Plan:
    facts, now = inspection.facts, time.time()
    left, workers = trainings_left(study, records), len(slots.slots)
    expected = forecast(study, records, inspection.figures, workers=workers)

    def train_seconds(trainings: int | None) -> float | None:
        return (
            None
            if expected is None or trainings is None
            else expected.total_seconds(trainings)
        )

    def command_seconds(trainings: int | None) -> float | None:
        training = train_seconds(trainings)
        if training is None or not trainings:
            return training
        return loading + MAKING_SECONDS + training + ENDING_SECONDS

    bill = _bill(study, records, left, workers=workers, seconds=command_seconds(left))
    bill = replace(bill, stops=expected is not None and expected.stops)
    limit = None if study.deadline is None else max(0.0, study.deadline - now)
    if limit is not None and (bill.seconds is None or bill.seconds > limit):
        bill = _fit_into(bill, limit, command_seconds)
        left = bill.trainings
    return Plan(
        study=study.name,
        is_stored=bool(study.id),
        bill=bill,
        training_seconds=train_seconds(left),
        left=left,
        epochs=None if left is None else left * facts.epochs,
        updates=None
        if left is None
        else left * facts.total_steps(facts.yours.batch_size),
        seconds_each=expected.timed.seconds if expected else None,
        workers=str(slots),
        engine=str(inspection.figures.get("reason", "")),
        at=now,
    )


def _bill(
    study: StudyRecord,
    records: Sequence[TrialRecord],
    left: int | None,
    *,
    workers: int,
    seconds: float | None,
) -> Bill:
    done = sum(each.ended for each in records)
    retests = study.plan.retest_seeds * (study.plan.retest_top + 1)
    if left is not None and study.trials is not None:
        retests = max(0, done + left - study.trials)
    return Bill(
        trials=study.trials,
        retests=retests,
        done=done,
        workers=workers,
        seconds=seconds,
    )


def _fit_into(bill: Bill, limit: float, seconds: Callable[[int], float | None]) -> Bill:
    """The bill of the trainings that fit into `limit` seconds: the retests, then trials."""
    if seconds(1) is None:
        return replace(bill, trials=None, limit_seconds=limit)
    # the first number of trainings that takes longer than the limit
    room = bisect_right(
        range(1, MOST + 1), limit, key=lambda count: seconds(count) or 0.0
    )
    retests = min(room, bill.retests)
    return replace(bill, trials=room - retests, retests=retests, limit_seconds=limit)
