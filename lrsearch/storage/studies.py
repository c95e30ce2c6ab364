"""Changes of a study's own row, each within a transaction: make, budget, retry, delete."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
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
    IS_RUNNING,
    IS_SEARCH,
    IS_WAITING,
    attempts,
    calibrations,
    checkpoints,
    curves,
    requests,
    row_scores,
    studies,
    trials,
    workers,
)
from lrsearch.storage.transaction import Transaction
from lrsearch.values import Change, Kind, Origin, StudyPlan, StudyState, TrialState

_FIRST = (Origin.YOURS.value, Origin.REFERENCE.value)


def end_of(timeout_seconds: float | None, began: float | None) -> float | None:
    """The end of a time-out from `began`, or from now, by this process' monotonic clock."""
    if timeout_seconds is None:
        return None
    return (time.monotonic() if began is None else began) + timeout_seconds


def _seconds_until(end: float) -> float:
    """Seconds from now, to add to the database's clock: an outage must not move the end."""
    return end - time.monotonic()


def insert_study(tx: Transaction, plan: StudyPlan, end: float | None) -> None:
    """Make the study and its first trials. Raises IntegrityError where the name is taken."""
    columns: dict[str, Any] = {"name": plan.name, "plan": records.dump(asdict(plan))}
    columns |= {
        "trials": plan.trials,
        "trainings": plan.trainings,
        "searched": 0,
        "retests_for": 0,
    }
    columns |= {"state": StudyState.OPEN.value, "reason": "", "revision": 0}
    columns["deadline"] = None if end is None else tx.clock + _seconds_until(end)
    tx.lock_study(tx.insert(studies, **columns, created_at=tx.clock))
    tx.change_study(searched=_queue_first(tx, plan.trials))


def _queue_first(tx: Transaction, budget: int | None) -> int:
    """Queue the plan's first trials that are missing and fit; returns the slots taken."""
    first = tx.plan.first
    there = tx.count(IS_SEARCH, trials.c.origin.in_(_FIRST))
    taken: int = tx.study.searched
    room = len(first) if budget is None else max(0, budget - taken)
    missing = first[there : there + room]
    rows = [
        new_trial(
            tx,
            number=number,
            kind=Kind.SEARCH,
            origin=origin,
            setting=records.dump(setting.to_json()),
        )
        for number, (origin, setting) in enumerate(missing, taken)
    ]
    if rows:
        tx.execute(insert(trials), rows)
    return taken + len(rows)


def change_budget(
    tx: Transaction,
    change: Callable[..., Budget],
    totals: Mapping[str, int | None],
    end: float | None,
) -> None:
    """Give the study other totals, by `change` of Budget, and another end; None keeps.

    A passed deadline is dropped where a total is given: it must not end the new budget.
    A finished study with more to train is open again. Retests are planned anew, since
    some may have been left out for want of time.
    """
    _reopen_search(tx)
    columns: dict[str, Any] = {"retests_for": 0}
    if any(total is not None for total in totals.values()):
        study = tx.study
        before = Budget(
            trials=study.trials,
            trainings=study.trainings,
            seeds=int(tx.rules["retest_seeds"]),
            searched=study.searched,
            existing=count_trainings(tx),
        )
        budget = change(before, **totals)
        columns |= {"trials": budget.trials, "trainings": budget.trainings}
        columns["searched"] = _queue_first(tx, budget.trials)
        if study.deadline is not None and study.deadline <= tx.now:
            columns["deadline"] = None
    if end is not None:
        columns["deadline"] = tx.now + _seconds_until(end)
    _change_and_open(tx, {StudyState.FINISHED}, **columns)


def _change_and_open(tx: Transaction, closed: set[StudyState], **columns: Any) -> None:
    """Write the study's row, and open a study in one of the `closed` states."""
    tx.change_study(**columns)
    tx.refresh()
    if tx.study.state in closed:
        change_state(tx, StudyState.OPEN)


def retry_failed(tx: Transaction) -> list[int]:
    """Queue each failed trial's setting as a new trial; returns the new numbers.

    The budget rises by as many. A finished or broken study is open again. Where nothing
    failed, nothing changes.
    """
    rows = tx.execute(_failed_once(tx).order_by(trials.c.number)).all()
    if not rows:
        return []
    _reopen_search(tx)
    # The plan's first trials come before the retries.
    taken = _queue_first(tx, tx.study.trials)
    new = []
    for number, row in enumerate(rows, taken):
        # Yours stays yours: the user compiles it, not its setting.
        origin = Origin.YOURS if row.origin == Origin.YOURS else Origin.RETRY
        retry = new_trial(
            tx, number=number, kind=Kind.SEARCH, origin=origin, setting=row.setting
        )
        new.append({**retry, "parent": row.number})
    tx.execute(insert(trials), new)
    totals = {name: getattr(tx.study, name) for name in ("trials", "trainings")}
    raised = {
        name: total + len(new) for name, total in totals.items() if total is not None
    }
    closed = {StudyState.FINISHED, StudyState.BROKEN}
    _change_and_open(tx, closed, searched=taken + len(new), **raised)
    return [row["number"] for row in new]


def _reopen_search(tx: Transaction) -> None:
    """Let search trials begin, and the deadline count, where only retests were trained."""
    if tx.rules.get("retests_only"):
        tx.change_rules(retests_only=False)


def record_changes(tx: Transaction, changes: Sequence[Change]) -> None:
    """Add new changes of the definition to the study's record.

    Where a change touches training, trials that wait for their next attempt begin anew:
    a trial trained half under each code is neither.
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
        begun = select(trials.c.id).where(tx.of_study(IS_WAITING))
        tx.execute(delete(checkpoints).where(checkpoints.c.trial_id.in_(begun)))


def _failed_once(tx: Transaction) -> Select[Any]:
    """Select failed trials with a setting and without a retry, a search trial with a parent."""
    search = tx.of_study(IS_SEARCH)
    again = select(trials.c.parent).where(search, trials.c.parent.is_not(None))
    failed = and_(
        search, trials.c.state == TrialState.FAILED.value, trials.c.setting.is_not(None)
    )
    return select(trials.c.number, trials.c.setting, trials.c.origin).where(
        failed, trials.c.number.not_in(again)
    )


def part_from_optuna(tx: Transaction) -> str:
    """Do the first half of a deletion: nothing runs or begins; returns the study's name.

    Optuna's rows are not ours any more.
    """
    refuse_while_running(tx)
    stopped = StudyState.STOPPED.value
    tx.change_study(state=stopped, reason="it is being deleted", optuna_study_id=None)
    tx.execute(
        update(trials).where(tx.of_study()).values(mirrored=0, optuna_trial_id=None)
    )
    return str(tx.study.name)


def refuse_while_running(tx: Transaction) -> None:
    """Raise Refused while a worker trains a trial."""
    reap(tx)
    if number := tx.count(IS_RUNNING):
        name = tx.study.name
        fix = f"Stop it first: lrsearch stop --now {quote(name)}"
        raise Refused(f"study {name!r} has {number} trials in training.", fix=fix)


def delete_rows(tx: Transaction) -> None:
    """Do the second half of a deletion: delete every row of the study."""
    refuse_while_running(tx)
    mine = select(trials.c.id).where(tx.of_study())
    for table in (attempts, curves, checkpoints, row_scores):
        tx.execute(delete(table).where(table.c.trial_id.in_(mine)))
    for table in (trials, workers, calibrations, requests):
        tx.execute(delete(table).where(table.c.study_id == tx.study_id))
    tx.execute(delete(studies).where(studies.c.id == tx.study_id))
