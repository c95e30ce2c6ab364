"""A transaction in progress: its statements, the clock, and the locked study.

`lrsearch.storage.database` begins transactions and tries them again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    func,
    insert,
    select,
    update,
)

from lrsearch.errors import CallerError
from lrsearch.storage import records
from lrsearch.storage.tables import IS_RUNNING, attempts, requests, studies, trials
from lrsearch.values import Json, StudyPlan

J = TypeVar("J", bound=Json)


class StudyGone(CallerError):
    """The study was deleted meanwhile."""

    def __init__(self) -> None:
        fix = "lrsearch studies lists those that are left."
        super().__init__("the study was deleted meanwhile.", fix=fix)


class Transaction:
    """A transaction in progress; `lock_study` sets the study's row and what belongs to it."""

    study: Any  # the row as it was when it was locked
    study_id: int
    now: float  # by the database's clock
    revision: int  # the stamp of this transaction's changes

    def __init__(
        self,
        connection: Connection,
        clock: ColumnElement[float],
        cut_off_within: Callable[[float], bool],
    ) -> None:
        self.connection, self.execute = connection, connection.execute
        self.clock, self.cut_off_within = clock, cut_off_within

    def lock_study(self, which: Any) -> None:
        """Lock a study's row by its id. Raises StudyGone."""
        # FOR UPDATE does nothing on SQLite, where the transaction itself is exclusive.
        query = select(studies, self.clock.label("now")).where(studies.c.id == which)
        row = self.execute(query.with_for_update(of=studies)).one_or_none()
        if row is None:
            raise StudyGone
        self.study, self.study_id = row, row.id
        self.now, self.revision = float(row.now), int(row.revision) + 1

    def refresh(self) -> None:
        """Read the study's row again, after a change that the rest of the work needs."""
        self.study = self.execute(
            select(studies).where(studies.c.id == self.study_id)
        ).one()

    @property
    def plan(self) -> StudyPlan:
        return records.plan_from(self.study.plan)

    @property
    def rules(self) -> dict[str, Any]:
        """The plan as plain JSON, which is cheaper than the value."""
        return dict(json.loads(self.study.plan))

    def of_study(self, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
        """The condition on trials that they are the study's and meet all `conditions`."""
        return and_(trials.c.study_id == self.study_id, *conditions)

    def count(self, *conditions: ColumnElement[bool]) -> int:
        """Count the study's trials that meet all `conditions`."""
        query = (
            select(func.count()).select_from(trials).where(self.of_study(*conditions))
        )
        return int(self.execute(query).scalar_one())

    def insert(self, table: Table, **columns: Any) -> int:
        """Insert a row; returns its id."""
        key = self.execute(insert(table).values(**columns)).inserted_primary_key
        assert key is not None
        return int(key[0])

    def change_study(self, **columns: Any) -> None:
        """Write the study's row, its new revision included."""
        change = update(studies).where(studies.c.id == self.study_id)
        self.execute(change.values(revision=self.revision, **columns))

    def change_rules(self, **rules: Json) -> None:
        """Write rules of the study's plan."""
        known = self.rules
        if any(known.get(name) != value for name, value in rules.items()):
            self.change_study(plan=records.dump({**known, **rules}))
            self.refresh()

    def change_trial(self, trial_id: int, **columns: Any) -> None:
        """Write a trial's row, stamped with the new revision."""
        change = update(trials).where(trials.c.id == trial_id)
        self.execute(change.values(revision=self.revision, **columns))

    def begin_attempt(self, trial_id: int, attempt: int, worker_id: int) -> None:
        row = {"trial_id": trial_id, "attempt": attempt, "worker_id": worker_id}
        begun = {"status": "running", "reason": "", "started_at": self.now}
        self.execute(insert(attempts).values(**row, **begun))

    def close_attempt(
        self, trial_id: int, attempt: int, status: str, reason: str
    ) -> None:
        this = and_(attempts.c.trial_id == trial_id, attempts.c.attempt == attempt)
        closed = {
            "status": status,
            "reason": records.clean(reason),
            "ended_at": self.now,
        }
        self.execute(update(attempts).where(this).values(**closed))

    def once(self, token: str, work: Callable[[Transaction], J]) -> J:
        """Do `work` unless this token was served; returns its answer, which must be JSON."""
        query = select(requests.c.answer).where(requests.c.token == token)
        served = self.execute(query).scalar_one_or_none()
        if served is not None:
            answer: J = json.loads(served)
            return answer
        answer = work(self)
        row = {
            "token": token,
            "study_id": self.study_id,
            "answer": records.dump(answer),
        }
        self.execute(insert(requests).values(**row))
        return answer


def holding(trial_id: int, attempt: int) -> ColumnElement[bool]:
    """The condition that this attempt runs: the fence before every write."""
    return and_(trials.c.id == trial_id, trials.c.attempt == attempt, IS_RUNNING)


def study_of(trial_id: int) -> Any:
    """The id of a trial's study, as a part of another statement."""
    return select(trials.c.study_id).where(trials.c.id == trial_id).scalar_subquery()
