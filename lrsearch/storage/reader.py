"""What everybody reads of a ledger: studies, trials, workers, attempts, curves, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, TypeVar

from sqlalchemy import ColumnElement, Select, select

from lrsearch.errors import UnknownName
from lrsearch.storage import claims, records
from lrsearch.storage import glance as glances
from lrsearch.storage.database import Database
from lrsearch.storage.glance import Glance
from lrsearch.storage.records import (
    AttemptRecord,
    CheckpointRecord,
    Counts,
    Records,
    RungValue,
)
from lrsearch.storage.row_scores import StoredScores
from lrsearch.storage.tables import (
    attempts,
    calibrations,
    checkpoints,
    curves,
    row_scores,
    studies,
    trials,
)
from lrsearch.storage.transaction import StudyGone
from lrsearch.values import CurvePoint, Json, Kind, StudyRecord, WorkerRecord

T = TypeVar("T")


class LedgerReader:
    """A ledger to read, and a context that closes it.

    Methods that raise StorageUnavailable at once say so.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def _read(self, make: Callable[[Any], T], query: Select[Any]) -> list[T]:
        """Make a value of each row."""
        return list(map(make, self.database.rows(query)))

    def _read_by_trial(
        self, make: Callable[[Any], T], query: Select[Any]
    ) -> dict[int, list[T]]:
        """Make a value of each row; returns them by trial id."""
        by_trial: dict[int, list[T]] = {}
        for row in self.database.rows(query):
            by_trial.setdefault(row.trial_id, []).append(make(row))
        return by_trial

    def now(self) -> float:
        """The database's clock, seconds since 1970."""
        return self.database.transact(glances.read_clock, reads=True)

    # -- studies -----------------------------------------------------------------------

    def study(self, name: str) -> StudyRecord:
        """The study of that name. Raises UnknownName, suggesting the nearest."""
        study = self._find_study(studies.c.name == name)
        if study is None:
            fix = (
                "Start it with lrsearch start-study, or say where it is with --storage."
            )
            known = [each.name for each in self.studies()]
            raise UnknownName("study", got=name, known=known, fix=fix)
        return study

    def studies(self) -> list[StudyRecord]:
        """Every study, the oldest first."""
        return self._read(records.study_from, select(studies).order_by(studies.c.id))

    def _find_study(self, condition: ColumnElement[bool]) -> StudyRecord | None:
        return next(
            iter(self._read(records.study_from, select(studies).where(condition))), None
        )

    def search_is_over(self, study_id: int) -> bool:
        """Whether no search trial trains, and none will begin without more budget or time."""
        with suppress(StudyGone):
            return self.database.transact(claims.search_is_over, study=study_id)
        return True

    # -- trials ------------------------------------------------------------------------

    def trials(
        self,
        study_id: int,
        *,
        kind: Kind | None = None,
        changed_since: int | None = None,
    ) -> Records:
        """The study's trials, search before retests, by number; by default all.

        `changed_since` selects those that changed after a revision; pass the answer's
        `revision` the next time.
        """
        return self.database.transact(
            lambda tx: glances.read_trials(
                tx, study_id, kind=kind, changed_since=changed_since
            ),
            reads=True,
        )

    def counts(self, study_id: int) -> Counts:
        """The number of search trials by state, and of retests."""
        return self.database.transact(
            lambda tx: glances.read_counts(tx, study_id), reads=True
        )

    def glance(self, study_id: int, *, changed_since: int | None) -> Glance | None:
        """All that a view shows of a study; None where it was deleted.

        One try: a process that shows a study must handle signals meanwhile. Raises
        StorageUnavailable.
        """
        return self.database.try_read(
            lambda tx: glances.glance(tx, study_id, changed_since)
        )

    def workers(self, study_id: int) -> list[WorkerRecord]:
        """The study's workers, gone ones too, the oldest first."""
        return self.database.transact(
            lambda tx: glances.read_workers(tx, study_id), reads=True
        )

    def attempts(self, trial_id: int) -> list[AttemptRecord]:
        """A trial's attempts, the first one first."""
        query = (
            select(attempts)
            .where(attempts.c.trial_id == trial_id)
            .order_by(attempts.c.attempt)
        )
        return self._read(records.attempt_from, query)

    def attempts_by_trial(self, study_id: int) -> dict[int, list[AttemptRecord]]:
        """The attempts at all of the study's trials, by trial id, the first one first."""
        query = _with_trials(select(attempts), attempts).where(
            trials.c.study_id == study_id
        )
        ordered = query.order_by(attempts.c.trial_id, attempts.c.attempt)
        return self._read_by_trial(records.attempt_from, ordered)

    def all_attempts(self, study_id: int) -> list[AttemptRecord]:
        """The attempts at all of the study's trials."""
        return [
            each for own in self.attempts_by_trial(study_id).values() for each in own
        ]

    def checkpoints(self, trial_id: int) -> list[CheckpointRecord]:
        """A trial's manifest, the newest first."""
        newest = [checkpoints.c[name].desc() for name in ("epoch", "batch", "attempt")]
        query = (
            select(checkpoints)
            .where(checkpoints.c.trial_id == trial_id)
            .order_by(*newest)
        )
        return self._read(records.checkpoint_from, query)

    # -- curves ------------------------------------------------------------------------

    def curve(self, trial_id: int) -> list[CurvePoint]:
        """A trial's epochs, in order."""
        query = (
            select(curves).where(curves.c.trial_id == trial_id).order_by(curves.c.epoch)
        )
        return self._read(records.point_from, query)

    def curves(self, study_id: int) -> dict[int, list[CurvePoint]]:
        """Every trial's epochs, by trial id."""
        query = select(curves).where(curves.c.study_id == study_id)
        ordered = query.order_by(curves.c.trial_id, curves.c.epoch)
        return self._read_by_trial(records.point_from, ordered)

    def rung_values(self, study_id: int, epoch: int) -> list[RungValue]:
        """The finite objectives of all search trials at the end of `epoch`, and their final ones.

        One read gives both, so that they are of the same moment. One try, since
        training goes on through an outage. Raises StorageUnavailable.
        """
        names = ("id", "state", "value", "origin", "setting")
        columns = [trials.c[name] for name in names]
        reached = select(curves.c.value.label("reached"), *columns)
        query = _with_trials(reached, curves).where(
            curves.c.study_id == study_id,
            curves.c.kind == Kind.SEARCH.value,
            curves.c.epoch == epoch,
            curves.c.value.is_not(None),
            trials.c.setting.is_not(None),
        )
        rows = self.database.try_read(lambda tx: tx.execute(query).all())
        return list(map(records.rung_value_from, rows))

    def row_scores(self, study_id: int) -> StoredScores:
        """Row scores by trial id and split, of the trainings that have some."""
        query = select(row_scores).where(row_scores.c.study_id == study_id)
        by_trial = query.order_by(row_scores.c.trial_id, row_scores.c.split)
        return StoredScores(self.database.rows(by_trial))

    # -- engines' figures --------------------------------------------------------------

    def calibration(self, study_id: int, machine: str) -> Json | None:
        """The engines' figures on a machine; None where they were not measured."""
        mine = (
            calibrations.c.study_id == study_id,
            calibrations.c.machine == machine[:255],
        )
        rows = self.database.rows(select(calibrations.c.figures).where(*mine))
        return json.loads(rows[0].figures) if rows else None

    def calibrations(self, study_id: int) -> dict[str, Json]:
        """The engines' figures, by machine."""
        query = select(calibrations).where(calibrations.c.study_id == study_id)
        rows = self.database.rows(query.order_by(calibrations.c.machine))
        return {row.machine: json.loads(row.figures) for row in rows}


def _with_trials(query: Select[Any], table: Any) -> Select[Any]:
    return query.join(trials, trials.c.id == table.c.trial_id)
