"""Queries of a study's trials, their counts and its workers, within one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from lrsearch.storage import records
from lrsearch.storage.records import Counts, Records
from lrsearch.storage.tables import studies, trials, workers
from lrsearch.storage.transaction import Transaction
from lrsearch.values import Kind, StudyRecord, TrialState, WorkerRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Glance:
    """A study at one moment."""

    study: StudyRecord
    changed: Records  # the trials that changed after a revision
    counts: Counts
    workers: list[WorkerRecord]
    now: float  # by the database's clock


def glance(tx: Transaction, study_id: int, changed_since: int | None) -> Glance | None:
    """Read all that a view shows of a study; None where it was deleted."""
    row = tx.execute(select(studies).where(studies.c.id == study_id)).one_or_none()
    if row is None:
        return None
    return Glance(
        study=records.study_from(row),
        changed=read_trials(tx, study_id, changed_since=changed_since),
        counts=read_counts(tx, study_id),
        workers=read_workers(tx, study_id),
        now=read_clock(tx),
    )


def read_clock(tx: Transaction) -> float:
    """Read the database's clock, seconds since 1970."""
    return float(tx.execute(select(tx.clock)).scalar_one())


def read_trials(
    tx: Transaction,
    study_id: int,
    *,
    kind: Kind | None = None,
    changed_since: int | None = None,
) -> Records:
    """Read the study's trials that changed after a revision, or all, as `LedgerReader.trials`."""
    query = select(trials).where(trials.c.study_id == study_id)
    if kind is not None:
        query = query.where(trials.c.kind == kind.value)
    if changed_since is not None:
        query = query.where(trials.c.revision > changed_since)
    # The revision first: a change in between is then read again next time, never
    # missed.
    now = select(studies.c.revision).where(studies.c.id == study_id)
    revision = tx.execute(now).scalar_one_or_none()
    rows = tx.execute(query.order_by(trials.c.kind.desc(), trials.c.number)).all()
    return Records(map(records.trial_from, rows), revision=int(revision or 0))


def read_counts(tx: Transaction, study_id: int) -> Counts:
    """Count the search trials by state, and the retests."""
    columns = trials.c.kind, trials.c.state
    query = select(*columns, func.count().label("number")).where(
        trials.c.study_id == study_id
    )
    search: dict[str, int] = {}
    retests = done = 0
    for row in tx.execute(query.group_by(*columns)):
        if row.kind == Kind.SEARCH:
            search[row.state] = int(row.number)
        else:
            retests += int(row.number)
            done += int(row.number) * TrialState(row.state).terminal
    return Counts(**search, retests=retests, retests_done=done)


def read_workers(tx: Transaction, study_id: int) -> list[WorkerRecord]:
    """Read the study's workers, gone ones too, the oldest first."""
    query = select(workers).where(workers.c.study_id == study_id).order_by(workers.c.id)
    return [records.worker_from(row) for row in tx.execute(query).all()]
