"""`lrsearch plan`: what a study would cost, or what is left of a stored one, without training it
and without a write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lrsearch.answer import Bill, forecast, trainings_left
from lrsearch.budget import Budget
from lrsearch.launch.checking import changes_since, check_methods, check_same
from lrsearch.launch.creating import find_study, new_plan
from lrsearch.launch.database import check_storage, ledger_at
from lrsearch.launch.planning import is_there, plan_workers
from lrsearch.launch.pool import Pool
from lrsearch.launch.starting import check_file, worker_config
from lrsearch.messages import Inspection
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.progress.listeners import silent
from lrsearch.values import Json, Kind, StudyRecord, StudyState, TrialRecord

MOST = 10**7  # trainings that are ever said to fit into a time
# from the study file's first look to training: the database, the study in it, the workers' entries
MAKING_SECONDS = 1.0
ENDING_SECONDS = 1.0  # from the last training to the command's end: Optuna's rows, the answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a search would come to."""

    study: str
    is_stored: bool
    bill: Bill  # of the whole command
    training_seconds: float | None  # of these, from the first training to the last one's end
    left: int | None  # trainings to come; None: as many as the time allows
    epochs: int | None  # of these, in all
    updates: int | None  # likewise, at the first batch size
    seconds_each: float | None  # a training's of its worker's time; None: nobody knows
    workers: str  # how many, and why
    engine: str  # how they train, and why
    at: float  # now, seconds since 1970

    def to_json(self) -> dict[str, Json]:
        bill = self.bill.to_json()
        left = self.bill.seconds if self.bill.limit_seconds is None else self.bill.limit_seconds
        return {
            "study": self.study,
            "stored": self.is_stored,
            **{name: bill[name] for name in ("trials", "retests", "trainings", "done", "workers")},
            "left": self.left,
            "epochs": self.epochs,
            "updates": self.updates,
            "seconds_a_training": self.seconds_each,
            "seconds": left,
            "seconds_of_training": self.training_seconds,
            "done_at": None if left is None else self.at + left,
            "limited_by_time": self.bill.limit_seconds is not None,
            "placed": self.workers,
            "engine": self.engine,
        }


def plan_study(study_file: str | Path, search: SearchOptions, machine: MachineOptions) -> Plan:
    """What a search of `study_file` would cost, or what is left of the stored study of that name.

    As many workers as would train load the study and time a few steps, at the same time: each is
    as slow beside the others as it will be. Raises what `run_study` raises before it trains.
    """
    from lrsearch.definition import check_backend, study_name

    check_backend()
    path, url = check_file(study_file), machine.url
    name = study_name(path, search.name)
    slots = plan_workers(machine, search, url=url, name=name)
    config = worker_config(machine, study_file=path, overrides=search.overrides)
    with Pool(slots.slots, replace(config, times=True), silent) as pool:
        check_storage(url)
        found = pool.inspect()
    # what a search does not time before it trains is not in its time
    timing = float(found.figures.get("timing_seconds", 0.0))
    loading = time.monotonic() - search.began - timing
    check_methods(search, found.facts)
    study, records = _stored(url, name, search, found) or (_new(search, name, found), [])
    return _planned(
        study, records, found, workers=len(slots.slots), reason=str(slots), loading=loading
    )


def _stored(
    url: str, name: str, search: SearchOptions, found: Inspection
) -> tuple[StudyRecord, list[TrialRecord]] | None:
    """The study of that name, with the totals that are asked for, and its trials; None where there
    is none.

    Raises what refuses to go on with it.
    """
    if not is_there(url):
        return None
    with ledger_at(url) as ledger:
        study = find_study(ledger, name)
        if study is None:
            return None
        check_same(study, search)
        changes_since(study, found.facts, search)
        records = ledger.trials(study.id)
        deadline = study.deadline if search.timeout is None else ledger.now() + search.timeout
        searched = sum(each.kind is Kind.SEARCH for each in records)
        budget = Budget(
            trials=study.trials,
            trainings=study.trainings,
            seeds=study.plan.retest_seeds,
            searched=searched,
            there=len(records),
        ).set(trials=search.trials, trainings=search.trainings)
        return replace(
            study, trials=budget.trials, trainings=budget.trainings, deadline=deadline
        ), records


def _new(search: SearchOptions, name: str, found: Inspection) -> StudyRecord:
    """The study that would be made."""
    plan, now = new_plan(search, name, None, found), time.time()
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


def _planned(
    study: StudyRecord,
    records: Sequence[TrialRecord],
    found: Inspection,
    *,
    workers: int,
    reason: str,
    loading: float,
) -> Plan:
    facts, now = found.facts, time.time()
    left = trainings_left(study, records)
    made = forecast(study, records, found.figures, workers=workers)

    def trains(trainings: int | None) -> float | None:
        return None if made is None or trainings is None else made.lasts(trainings)

    def lasts(trainings: int | None) -> float | None:
        """The whole command."""
        training = trains(trainings)
        if training is None or not trainings:
            return training
        return loading + MAKING_SECONDS + training + ENDING_SECONDS

    bill = _bill(study, records, left, workers=workers, seconds=lasts(left))
    limit = None if study.deadline is None else max(0.0, study.deadline - now)
    if limit is not None and (bill.seconds is None or bill.seconds > limit):
        bill = _fitting(bill, limit, lasts)
        left = bill.trainings
    return Plan(
        study=study.name,
        is_stored=bool(study.id),
        bill=bill,
        training_seconds=trains(left),
        left=left,
        epochs=None if left is None else left * facts.epochs,
        updates=None if left is None else left * facts.total_steps(facts.yours.batch_size),
        seconds_each=made.timed.seconds if made else None,
        workers=reason,
        engine=str(found.figures.get("reason", "")),
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
    done = sum(each.state.terminal for each in records)
    retests = study.plan.retest_seeds * (study.plan.retest_top + 1)
    if left is not None and study.trials is not None:
        retests = max(0, done + left - study.trials)
    return Bill(trials=study.trials, retests=retests, done=done, workers=workers, seconds=seconds)


def _fitting(bill: Bill, limit: float, lasts: Callable[[int], float | None]) -> Bill:
    """The bill of what fits into the time that limits the study: the retests, and as many trials as
    there is room for.
    """
    if lasts(1) is None:
        return replace(bill, trials=None, limit_seconds=limit)
    room, most = 0, MOST
    while room < most:
        middle = (room + most + 1) // 2
        room, most = (middle, most) if (lasts(middle) or 0.0) <= limit else (room, middle - 1)
    retests = min(room, bill.retests)
    return replace(bill, trials=room - retests, retests=retests, limit_seconds=limit)
