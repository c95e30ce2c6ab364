"""A study's own row: made, given a budget, asked to retry, deleted. All within a transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from shlex import quote
from typing import Any

from sqlalchemy import Select, and_, delete, insert, select, update

from lrsearch.budget import Budget
from lrsearch.errors import Refused
from lrsearch.storage import records
from lrsearch.storage.attempts import reap
from lrsearch.storage.claims import count_trainings, new_trial
from lrsearch.storage.states import change_state
from lrsearch.storage.tables import (
    attempts,
    calibrations,
    checkpoints,
    curves,
    requests,
    studies,
    trials,
    workers,
)
from lrsearch.storage.transaction import Transaction
from lrsearch.values import Change, Kind, Origin, StudyPlan, StudyState, TrialState

_FIRST = (Origin.YOURS.value, Origin.REFERENCE.value)


def end_of(timeout_seconds: float | None, began: float | None) -> float | None:
    """When time that began at `began`, or now, is over, by this process' monotonic clock."""
    if timeout_seconds is None:
        return None
    return (time.monotonic() if began is None else began) + timeout_seconds


def _seconds_until(end: float) -> float:
    """From now, for a transaction to add to the database's clock: an outage before it must not move
    the end.
    """
    return end - time.monotonic()


def insert_study(tx: Transaction, plan: StudyPlan, end: float | None = None) -> None:
    """Make the study and its first trials. Raises IntegrityError where the name is taken."""
    row: dict[str, Any] = {"name": plan.name, "plan": records.plan_text(plan)}
    row |= {"trials": plan.trials, "trainings": plan.trainings}
    row |= {"state": StudyState.OPEN.value, "reason": "", "revision": 0}
    row |= {"searched": 0, "retests_for": 0, "created_at": tx.clock}
    row["deadline"] = None if end is None else tx.clock + _seconds_until(end)
    tx.lock_study(tx.insert(studies, **row))
    tx.change_study(searched=_queue_first(tx, plan.trials))


def _queue_first(tx: Transaction, budget: int | None) -> int:
    """Queue those of the plan's first trials that the budget has room for and that are not there;
    returns the slots taken.
    """
    first = tx.plan.first
    there = tx.count(trials.c.kind == Kind.SEARCH.value, trials.c.origin.in_(_FIRST))
    taken: int = tx.study.searched
    room = len(first) if budget is None else max(0, budget - taken)
    missing = first[there : there + room]
    rows = [
        new_trial(
            tx, number=taken + place, kind=Kind.SEARCH, origin=origin, setting=setting.to_json()
        )
        for place, (origin, setting) in enumerate(missing)
    ]
    if rows:
        tx.execute(insert(trials), rows)
    return taken + len(rows)


def set_budget(
    tx: Transaction, *, total: int | None, end: float | None, trainings: int | None = None
) -> None:
    """The study's totals of trials and of trainings, never below what has begun, and its end, by
    this process' monotonic clock; None keeps.
    """
    changed = total is not None or trainings is not None
    new = _budget(tx).set(trials=total, trainings=trainings) if changed else None
    _change_budget(tx, new, end)


def _change_budget(tx: Transaction, budget: Budget | None, end: float | None) -> None:
    """Write new totals, and a new end.

    A deadline that has passed goes when trials are given: it must not end the new budget. A
    finished study that has more to train then is open again. Retests are planned anew: where time
    was short, some were left out.
    """
    _reopen_search(tx)
    columns: dict[str, Any] = {"retests_for": 0}
    if budget is not None:
        columns |= {"trials": budget.trials, "trainings": budget.trainings}
        columns["searched"] = _queue_first(tx, budget.trials)
        if tx.study.deadline is not None and tx.study.deadline <= tx.now:
            columns["deadline"] = None
    if end is not None:
        columns["deadline"] = tx.now + _seconds_until(end)
    tx.change_study(**columns)
    tx.refresh()
    if tx.study.state == StudyState.FINISHED:
        change_state(tx, StudyState.OPEN)


def _budget(tx: Transaction) -> Budget:
    study = tx.study
    return Budget(
        trials=study.trials,
        trainings=study.trainings,
        seeds=int(tx.rules["retest_seeds"]),
        searched=study.searched,
        there=count_trainings(tx),
    )


def extend(
    tx: Transaction, *, more: int | None, end: float | None, trainings: int | None = None
) -> None:
    """Raise the totals by so many `more` trials, or so many `trainings`, or end the study at `end`,
    by this process' monotonic clock.
    """
    changed = more is not None or trainings is not None
    new = _budget(tx).extended(trials=more, trainings=trainings) if changed else None
    _change_budget(tx, new, end)


def retry_failed(tx: Transaction) -> list[int]:
    """Queue each failed trial's setting once more as a new trial, and raise the budget by as many;
    returns their numbers.

    A finished or broken study is open again. Where nothing failed, nothing changes.
    """
    rows = tx.execute(_failed_once(tx).order_by(trials.c.number)).all()
    if not rows:
        return []
    _reopen_search(tx)
    # The first trials that are still to come keep their places before them.
    taken = _queue_first(tx, tx.study.trials)
    new = [
        {
            **new_trial(tx, number=taken + place, kind=Kind.SEARCH, origin=_retried(row.origin)),
            "setting": row.setting,
            "parent": row.number,
        }
        for place, row in enumerate(rows)
    ]
    tx.execute(insert(trials), new)
    columns: dict[str, Any] = {"searched": taken + len(new)}
    raised = {name: getattr(tx.study, name) for name in ("trials", "trainings")}
    columns |= {name: total + len(new) for name, total in raised.items() if total is not None}
    tx.change_study(**columns)
    tx.refresh()
    if tx.study.state in {StudyState.FINISHED, StudyState.BROKEN}:
        change_state(tx, StudyState.OPEN)
    return [row["number"] for row in new]


def _reopen_search(tx: Transaction) -> None:
    """Let search trials begin again, and the deadline hold, where only retests were trained."""
    if tx.rules.get("retests_only"):
        tx.change_rules(retests_only=False)


def record_changes(tx: Transaction, changes: Sequence[Change]) -> None:
    """Add to the study's changes those that are new to it.

    Where a change touches training, trials that wait for their next attempt begin anew: half of one
    under each code is neither.
    """
    known = json.loads(tx.study.changes or "[]")
    newest = {each["field"]: each["new"] for each in known}
    added = [
        replace(each, trials=tx.study.searched, at=tx.now)
        for each in changes
        if newest.get(each.field) != each.new
    ]
    tx.change_study(changes=records.dump([*known, *(each.to_json() for each in added)]))
    if any(each.field not in tx.plan.facts.recorded for each in added):
        waiting = trials.c.state == TrialState.WAITING.value
        begun = select(trials.c.id).where(tx.of_study(waiting))
        tx.execute(delete(checkpoints).where(checkpoints.c.trial_id.in_(begun)))


def _failed_once(tx: Transaction) -> Select[Any]:
    """Failed trials with a setting that are not being retried already: search trials with a parent
    are retries.
    """
    search = tx.of_study(trials.c.kind == Kind.SEARCH.value)
    again = select(trials.c.parent).where(search, trials.c.parent.is_not(None))
    failed = and_(search, trials.c.state == TrialState.FAILED.value, trials.c.setting.is_not(None))
    return select(trials.c.number, trials.c.setting, trials.c.origin).where(
        failed, trials.c.number.not_in(again)
    )


def _retried(origin: str) -> Origin:
    """Yours stays yours, which is compiled by the user and not by its setting."""
    return Origin.YOURS if origin == Origin.YOURS else Origin.RETRY


def part_from_optuna(tx: Transaction) -> str:
    """The first half of a deletion: nothing runs or begins, and Optuna's rows are not ours any
    more; returns the name.
    """
    refuse_while_running(tx)
    tx.change_study(
        state=StudyState.STOPPED.value, reason="it is being deleted", optuna_study_id=None
    )
    tx.execute(update(trials).where(tx.of_study()).values(mirrored=0, optuna_trial_id=None))
    return str(tx.study.name)


def refuse_while_running(tx: Transaction) -> None:
    """Raises Refused while a worker holds a trial."""
    reap(tx)
    number = tx.count(trials.c.state == TrialState.RUNNING.value)
    if number:
        name = tx.study.name
        raise Refused(
            f"study {name!r} has {number} trials in training.",
            fix=f"Stop it first: lrsearch stop --now {quote(name)}",
        )


def delete_rows(tx: Transaction) -> None:
    """The second half: every row of the study."""
    refuse_while_running(tx)
    mine = select(trials.c.id).where(tx.of_study())
    for table in (attempts, curves, checkpoints):
        tx.execute(delete(table).where(table.c.trial_id.in_(mine)))
    for table in (trials, workers, calibrations, requests):
        tx.execute(delete(table).where(table.c.study_id == tx.study_id))
    tx.execute(delete(studies).where(studies.c.id == tx.study_id))
