"""A move: one short transaction on one study, with the study's row locked, the clock read, and a
revision for what changes.

Every change of a trial's state is a move, so the moves of one study happen one after another and no
two can deadlock.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from lrsearch.errors import CallerError
from lrsearch.storage import records
from lrsearch.storage.tables import attempts, requests, studies, trials
from lrsearch.values import Json, StudyPlan, TrialState

T = TypeVar("T", bound=Json)


class StudyGone(CallerError):
    """The study was deleted meanwhile."""

    def __init__(self) -> None:
        super().__init__(
            "the study was deleted meanwhile. lrsearch studies lists those that are left."
        )


class Move:
    """See the module. Made inside the transaction; `study` is the row as it stood."""

    def __init__(self, connection: Connection, clock: ColumnElement[float], which: Any) -> None:
        self.connection = connection
        # FOR UPDATE does nothing on SQLite, where the transaction itself is exclusive.
        query = (
            select(studies, clock.label("now"))
            .where(studies.c.id == which)
            .with_for_update(of=studies)
        )
        row = connection.execute(query).one_or_none()
        if row is None:
            raise StudyGone
        self.study = row
        self.study_id: int = row.id
        self.now = float(row.now)
        self.revision = int(row.revision) + 1

    def refresh(self) -> None:
        """Read the study's row again, after a change of it that the rest of the move goes by."""
        self.study = self.connection.execute(
            select(studies).where(studies.c.id == self.study_id)
        ).one()

    @property
    def plan(self) -> StudyPlan:
        return records.plan_from(self.study.plan)

    @property
    def rules(self) -> dict[str, Any]:
        """The plan as plain JSON: cheaper than the value where one number is wanted."""
        return dict(json.loads(self.study.plan))

    def change_study(self, **columns: Any) -> None:
        """Write the study's row, its new revision included."""
        self.connection.execute(
            update(studies)
            .where(studies.c.id == self.study_id)
            .values(revision=self.revision, **columns)
        )

    def change_rules(self, **rules: Json) -> None:
        """Write rules of the study's plan."""
        if changed := {
            name: value for name, value in rules.items() if self.rules.get(name) != value
        }:
            self.change_study(plan=records.dump({**self.rules, **changed}))
            self.refresh()

    def change_trial(self, trial_id: int, **columns: Any) -> None:
        """Write a trial's row, stamped with the new revision."""
        self.connection.execute(
            update(trials).where(trials.c.id == trial_id).values(revision=self.revision, **columns)
        )

    def begin_attempt(self, trial_id: int, attempt: int, worker_id: int) -> None:
        row = {
            "trial_id": trial_id,
            "attempt": attempt,
            "worker_id": worker_id,
            "status": "running",
            "reason": "",
        }
        self.connection.execute(insert(attempts).values(**row, started_at=self.now))

    def close_attempt(self, trial_id: int, attempt: int, status: str, reason: str) -> None:
        this = and_(attempts.c.trial_id == trial_id, attempts.c.attempt == attempt)
        closed = {"status": status, "reason": records.clean(reason), "ended_at": self.now}
        self.connection.execute(update(attempts).where(this).values(**closed))

    def once(self, token: str, work: Callable[[Move], T]) -> T:
        """`work`, unless the call of that token was served already: then what it returned, which
        must be JSON.
        """
        query = select(requests.c.answer).where(requests.c.token == token)
        served = self.connection.execute(query).scalar_one_or_none()
        if served is not None:
            answer: T = json.loads(served)
            return answer
        answer = work(self)
        row = {"token": token, "study_id": self.study_id, "answer": records.dump(answer)}
        self.connection.execute(insert(requests).values(**row))
        return answer

    def held(self, trial_id: int, attempt: int) -> Any | None:
        """The trial's row while this attempt holds it: the fence before every write."""
        return self.connection.execute(
            select(trials).where(holding(trial_id, attempt))
        ).one_or_none()


def holding(trial_id: int, attempt: int) -> ColumnElement[bool]:
    """Whether this very attempt is the one that runs."""
    return and_(
        trials.c.id == trial_id,
        trials.c.attempt == attempt,
        trials.c.state == TrialState.RUNNING.value,
    )


def study_of(trial_id: int) -> Any:
    """The study that owns a trial, as a part of another statement."""
    return select(trials.c.study_id).where(trials.c.id == trial_id).scalar_subquery()
