"""What of a study is read together: its trials, how many stand where, its workers.

Queries within one transaction.
"""

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
    """How a study stands at one moment; `changed` are the trials that changed since the revision
    that was asked for.
    """

    study: StudyRecord
    changed: Records
    counts: Counts
    workers: list[WorkerRecord]
    now: float  # by the database's clock


def glance(tx: Transaction, study_id: int, changed_since: int | None) -> Glance | None:
    """All that a view shows of a study; None where it was deleted."""
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
    """The database's clock, seconds since 1970."""
    return float(tx.execute(select(tx.clock)).scalar_one())


def read_trials(
    tx: Transaction,
    study_id: int,
    *,
    kind: Kind | None = None,
    changed_since: int | None = None,
) -> Records:
    """The study's trials, search before retests, by number; with `changed_since`, those that
    changed after that revision.
    """
    query = select(trials).where(trials.c.study_id == study_id)
    if kind is not None:
        query = query.where(trials.c.kind == kind.value)
    if changed_since is not None:
        query = query.where(trials.c.revision > changed_since)
    # The revision first: what changes in between is then read again next time, never missed.
    revision = tx.execute(
        select(studies.c.revision).where(studies.c.id == study_id)
    ).scalar_one_or_none()
    rows = tx.execute(query.order_by(trials.c.kind.desc(), trials.c.number)).all()
    return Records((records.trial_from(row) for row in rows), revision=int(revision or 0))


def read_counts(tx: Transaction, study_id: int) -> Counts:
    """How many search trials stand where, and how many retests there are."""
    query = select(trials.c.kind, trials.c.state, func.count().label("number")).where(
        trials.c.study_id == study_id
    )
    rows = tx.execute(query.group_by(trials.c.kind, trials.c.state)).all()
    search = {row.state: int(row.number) for row in rows if row.kind == Kind.SEARCH.value}
    retests = {row.state: int(row.number) for row in rows if row.kind == Kind.RETEST.value}
    done = sum(number for state, number in retests.items() if TrialState(state).terminal)
    return Counts(**search, retests=sum(retests.values()), retests_done=done)


def read_workers(tx: Transaction, study_id: int) -> list[WorkerRecord]:
    """The study's workers, gone ones too, the oldest first."""
    query = select(workers).where(workers.c.study_id == study_id).order_by(workers.c.id)
    return [records.worker_from(row) for row in tx.execute(query).all()]
