"""A study's own row: made, given a budget, asked to retry or retest, deleted.

Each function is a move or a part of one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from lrsearch.budget import Budget
from lrsearch.errors import Refused
from lrsearch.storage import records
from lrsearch.storage.claims import count_ended, count_trainings, new_trial
from lrsearch.storage.database import new_id
from lrsearch.storage.ends import reap
from lrsearch.storage.move import Move
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
from lrsearch.values import Change, Kind, Origin, StudyPlan, StudyState, TrialState

_FIRST = (Origin.YOURS.value, Origin.REFERENCE.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retest:
    """A search trial's setting, once more, under a fresh seed."""

    parent: int
    repeat: int
    seed: int


def end_of(timeout_seconds: float | None, began: float | None) -> float | None:
    """When the time is over that began at `began`, or begins now, by this process' monotonic clock."""
    if timeout_seconds is None:
        return None
    return (time.monotonic() if began is None else began) + timeout_seconds


def _seconds_until(end: float) -> float:
    """From now, for a transaction to add to the database's clock: an outage before it must not move
    the end.
    """
    return end - time.monotonic()


def insert_study(
    connection: Connection, clock: ColumnElement[float], plan: StudyPlan, end: float | None = None
) -> None:
    """The study's row and its first trials. Raises IntegrityError where there is one of that name."""
    row: dict[str, Any] = {
        "name": plan.name,
        "plan": records.plan_text(plan),
        "trials": plan.trials,
    }
    row["trainings"] = plan.trainings
    row |= {
        "state": StudyState.OPEN.value,
        "reason": "",
        "revision": 0,
        "searched": 0,
        "retests_for": 0,
    }
    deadline = None if end is None else clock + _seconds_until(end)
    made = connection.execute(insert(studies).values(**row, deadline=deadline, created_at=clock))
    move = Move(connection, clock, new_id(made))
    move.change_study(searched=_queue_first(move, plan.trials))


def _queue_first(move: Move, budget: int | None) -> int:
    """Queue those of the plan's first trials that the budget has room for and that are not there;
    returns the slots taken.
    """
    first = move.plan.first
    mine = and_(
        trials.c.study_id == move.study_id,
        trials.c.kind == Kind.SEARCH.value,
        trials.c.origin.in_(_FIRST),
    )
    there = move.connection.execute(
        select(func.count()).select_from(trials).where(mine)
    ).scalar_one()
    taken: int = move.study.searched
    room = len(first) if budget is None else max(0, budget - taken)
    missing = first[there : there + room]
    rows = [
        new_trial(
            move, number=taken + place, kind=Kind.SEARCH, origin=origin, setting=setting.to_json()
        )
        for place, (origin, setting) in enumerate(missing)
    ]
    if rows:
        move.connection.execute(insert(trials), rows)
    return taken + len(rows)


def set_budget(
    move: Move, *, total: int | None, end: float | None, trainings: int | None = None
) -> None:
    """The study's totals of trials and of trainings, never below what has begun, and its end, by
    this process' monotonic clock; None keeps.
    """
    changed = total is not None or trainings is not None
    _change_budget(
        move, _budget(move).set(trials=total, trainings=trainings) if changed else None, end
    )


def _change_budget(move: Move, budget: Budget | None, end: float | None) -> None:
    """Write new totals, and a new end.

    A deadline that has passed goes when trials are given: it must not end the new budget. A
    finished study that has more to train then is open again. Retests are planned anew: where time
    was short, some were left out.
    """
    _reopen_search(move)
    columns: dict[str, Any] = {"retests_for": 0}
    if budget is not None:
        columns |= {"trials": budget.trials, "trainings": budget.trainings}
        columns["searched"] = _queue_first(move, budget.trials)
        if move.study.deadline is not None and move.study.deadline <= move.now:
            columns["deadline"] = None
    if end is not None:
        columns["deadline"] = move.now + _seconds_until(end)
    move.change_study(**columns)
    move.refresh()
    if move.study.state == StudyState.FINISHED:
        change_state(move, StudyState.OPEN)


def _budget(move: Move) -> Budget:
    study = move.study
    return Budget(
        trials=study.trials,
        trainings=study.trainings,
        seeds=int(move.rules["retest_seeds"]),
        searched=study.searched,
        there=count_trainings(move),
    )


def extend(
    move: Move, *, more: int | None, end: float | None, trainings: int | None = None
) -> None:
    """Raise the totals by so many `more` trials, or so many `trainings`, or end the study at `end`,
    by this process' monotonic clock.
    """
    changed = more is not None or trainings is not None
    _change_budget(
        move, _budget(move).extended(trials=more, trainings=trainings) if changed else None, end
    )


def retry_failed(move: Move) -> list[int]:
    """Queue each failed trial's setting once more as a new trial, and raise the budget by as many;
    returns their numbers.

    A finished or broken study is open again. Where nothing failed, nothing changes.
    """
    rows = move.connection.execute(_failed_once(move).order_by(trials.c.number)).all()
    if not rows:
        return []
    _reopen_search(move)
    # The first trials that are still to come keep their places before them.
    taken = _queue_first(move, move.study.trials)
    new = [
        {
            **new_trial(move, number=taken + place, kind=Kind.SEARCH, origin=_retried(row.origin)),
            "setting": row.setting,
            "parent": row.number,
        }
        for place, row in enumerate(rows)
    ]
    move.connection.execute(insert(trials), new)
    columns: dict[str, Any] = {"searched": taken + len(new)}
    raised = {name: getattr(move.study, name) for name in ("trials", "trainings")}
    columns |= {name: total + len(new) for name, total in raised.items() if total is not None}
    move.change_study(**columns)
    move.refresh()
    if move.study.state in {StudyState.FINISHED, StudyState.BROKEN}:
        change_state(move, StudyState.OPEN)
    return [row["number"] for row in new]


def _reopen_search(move: Move) -> None:
    """Let search trials begin again, and the deadline hold, where only retests were trained."""
    if move.rules.get("retests_only"):
        move.change_rules(retests_only=False)


def record_changes(move: Move, changes: Sequence[Change]) -> None:
    """Add to the study's changes those that are new to it.

    Where a change touches training, trials that wait for their next attempt begin anew: half of one
    under each code is neither.
    """
    known = json.loads(move.study.changes or "[]")
    newest = {each["field"]: each["new"] for each in known}
    added = [
        replace(each, trials=move.study.searched, at=move.now)
        for each in changes
        if newest.get(each.field) != each.new
    ]
    move.change_study(changes=records.dump([*known, *(each.to_json() for each in added)]))
    if any(each.field not in move.plan.facts.recorded for each in added):
        waiting = and_(
            trials.c.study_id == move.study_id, trials.c.state == TrialState.WAITING.value
        )
        begun = select(trials.c.id).where(waiting)
        move.connection.execute(delete(checkpoints).where(checkpoints.c.trial_id.in_(begun)))


def _failed_once(move: Move) -> Any:
    """Failed trials with a setting that are not being retried already: search trials with a parent
    are retries.
    """
    search = and_(trials.c.study_id == move.study_id, trials.c.kind == Kind.SEARCH.value)
    again = select(trials.c.parent).where(search, trials.c.parent.is_not(None))
    failed = and_(search, trials.c.state == TrialState.FAILED.value, trials.c.setting.is_not(None))
    return select(trials.c.number, trials.c.setting, trials.c.origin).where(
        failed, trials.c.number.not_in(again)
    )


def _retried(origin: str) -> Origin:
    """Yours stays yours, which is compiled by the user and not by its setting."""
    return Origin.YOURS if origin == Origin.YOURS else Origin.RETRY


def plan_retests(
    move: Move, retests: Sequence[Retest], rule: tuple[int, int] | None = None
) -> bool:
    """Queue retests; those that exist already, from an earlier plan, stay as they are.

    Whether there were new ones.

    Nothing where another worker has planned since the last search trial ended: it may have reckoned
    with another time left. Nor where the number of seeds or of settings is not the `rule` any more
    that they were chosen by.
    """
    if move.study.retests_for >= count_ended(move) or (
        rule is not None and rule != retest_rule(move)
    ):
        return False
    added = queue_retests(move, retests)
    move.change_study(retests_for=count_ended(move))
    return added > 0


def retest_rule(move: Move) -> tuple[int, int]:
    """On how many seeds how many settings beside yours are retested when the search is over."""
    plan = move.plan
    return plan.retest_seeds, plan.retest_top


def queue_retests(move: Move, retests: Sequence[Retest], *, beyond: bool = False) -> int:
    """Queue those that are not there, within the limit of trainings or `beyond` it; returns their
    number.
    """
    mine = and_(trials.c.study_id == move.study_id, trials.c.kind == Kind.RETEST.value)
    found = move.connection.execute(select(trials.c.parent, trials.c.repeat_no).where(mine))
    there = {(row.parent, row.repeat_no) for row in found}
    new = {
        (each.parent, each.repeat): each
        for each in retests
        if (each.parent, each.repeat) not in there
    }
    if move.study.trainings is not None and not beyond:
        new = dict(list(new.items())[: max(0, move.study.trainings - count_trainings(move))])
    parents = _settings(move, {each.parent for each in new.values()})
    rows = [
        {
            **new_trial(
                move,
                number=len(there) + place,
                kind=Kind.RETEST,
                origin=Origin(parents[each.parent].origin),
            ),
            "setting": parents[each.parent].setting,
            "parent": each.parent,
            "repeat_no": each.repeat,
            "seed": each.seed,
        }
        for place, each in enumerate(new.values())
    ]
    if rows:
        move.connection.execute(insert(trials), rows)
    return len(rows)


def _settings(move: Move, numbers: set[int]) -> dict[int, Any]:
    mine = and_(
        trials.c.study_id == move.study_id,
        trials.c.kind == Kind.SEARCH.value,
        trials.c.number.in_(numbers),
    )
    rows = move.connection.execute(
        select(trials.c.number, trials.c.setting, trials.c.origin).where(mine)
    )
    return {row.number: row for row in rows}


def part_from_optuna(move: Move) -> str:
    """The first half of a deletion: nothing runs or begins, and Optuna's rows are not ours any
    more; returns the name.
    """
    refuse_while_running(move)
    move.change_study(
        state=StudyState.STOPPED.value, reason="it is being deleted", optuna_study_id=None
    )
    mine = trials.c.study_id == move.study_id
    move.connection.execute(update(trials).where(mine).values(mirrored=0, optuna_trial_id=None))
    return str(move.study.name)


def refuse_while_running(move: Move) -> None:
    """Raises Refused while a worker holds a trial."""
    reap(move)
    running = and_(trials.c.study_id == move.study_id, trials.c.state == TrialState.RUNNING.value)
    number = move.connection.execute(
        select(func.count()).select_from(trials).where(running)
    ).scalar_one()
    if number:
        name = move.study.name
        raise Refused(
            f"study {name!r} has {number} trials in training.",
            fix=f"Stop it first: lrsearch stop --now {quote(name)}",
        )


def delete_rows(move: Move) -> None:
    """The second half: every row of the study."""
    refuse_while_running(move)
    mine = select(trials.c.id).where(trials.c.study_id == move.study_id)
    for table in (attempts, curves, checkpoints):
        move.connection.execute(delete(table).where(table.c.trial_id.in_(mine)))
    for table in (trials, workers, calibrations, requests):
        move.connection.execute(delete(table).where(table.c.study_id == move.study_id))
    move.connection.execute(delete(studies).where(studies.c.id == move.study_id))
