"""Changes of an attempt after its claim: bind, renew, finish, lose.

    RUNNING -> WAITING       interrupted, or lost       lost + 1 only when its worker was lost
    RUNNING -> FAILED        lost more often than `retries`
    RUNNING -> terminal      finish                     once; it never changes again

The attempt's number is the fence: a write under an older number changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import and_, delete, func, insert, or_, select, update

from lrsearch.storage import records
from lrsearch.storage.records import CheckpointRecord
from lrsearch.storage.row_scores import write_row_scores
from lrsearch.storage.tables import (
    IS_RUNNING,
    attempts,
    checkpoints,
    curves,
    studies,
    trials,
    workers,
)
from lrsearch.storage.transaction import Transaction, holding
from lrsearch.values import CurvePoint, Outcome, Status, StudyState, TrialState

NOT_RENEWED = "it did not renew its lease"  # why an attempt was lost
_FREE = {"state": TrialState.WAITING.value, "lease_until": None, "token": None}


@dataclass(frozen=True, slots=True)
class Renewal:
    """The answer to a heartbeat: the trials that the worker has lost, and the study's state."""

    lost: frozenset[int]  # trial ids
    study_state: StudyState


# -- changes of a trial's state: with the study's lock ---------------------------------


def bind(tx: Transaction, trial_id: int, attempt: int, **sampled: Any) -> bool:
    """Write the sampled setting, by column; False where the attempt was fenced off."""
    change = update(trials).where(holding(trial_id, attempt))
    if not tx.execute(change.values(**sampled, revision=tx.revision)).rowcount:
        return False
    tx.change_study()
    return True


def finish(tx: Transaction, outcome: Outcome, points: Sequence[CurvePoint]) -> bool:
    """Record how an attempt ended; False where it was fenced off."""
    row = _read_running(tx, outcome.trial_id, outcome.attempt)
    if row is None:
        return _was_recorded(tx, outcome)
    write_points(tx, row, outcome.attempt, points)
    columns: dict[str, Any] = dict(_FREE)
    if outcome.status.terminal:
        columns |= {**records.outcome_columns(outcome), "finished_at": tx.now}
        _trim_curve(tx, outcome)
        write_row_scores(tx, row.id, outcome.attempt, outcome.row_scores)
    tx.change_trial(row.id, **columns)
    tx.close_attempt(row.id, outcome.attempt, outcome.status.value, outcome.reason)
    tx.change_study()
    return True


def _read_running(tx: Transaction, trial_id: int, attempt: int) -> Any | None:
    """The trial's row while this attempt runs: the fence before every write."""
    return tx.execute(select(trials).where(holding(trial_id, attempt))).one_or_none()


def _was_recorded(tx: Transaction, outcome: Outcome) -> bool:
    """Whether this very result is stored already: the answer to its commit was lost."""
    attempt = and_(
        attempts.c.trial_id == outcome.trial_id, attempts.c.attempt == outcome.attempt
    )
    query = select(attempts.c.status, trials.c.value).where(attempt)
    row = tx.execute(
        query.join(trials, trials.c.id == attempts.c.trial_id)
    ).one_or_none()
    if row is None or row.status != outcome.status.value:
        return False
    return not outcome.status.terminal or row.value == records.finite(outcome.value)


def _trim_curve(tx: Transaction, outcome: Outcome) -> None:
    """Drop epochs that only an earlier attempt reached; a failed trial keeps them for people."""
    if outcome.attempt > 1 and outcome.status is not Status.FAILED:
        beyond = and_(
            curves.c.trial_id == outcome.trial_id, curves.c.epoch > outcome.epochs
        )
        tx.execute(delete(curves).where(beyond))


def lose(tx: Transaction, trial_id: int, attempt: int, reason: str) -> bool:
    """Close an attempt whose worker is known to be dead, without waiting for its lease."""
    row = _read_running(tx, trial_id, attempt)
    if row is None:
        return False
    give_up(tx, row, reason)
    tx.change_study()
    return True


def reap(tx: Transaction) -> int:
    """Put back the trials whose lease has lapsed; returns how many."""
    query = select(trials).where(tx.of_study(IS_RUNNING, trials.c.lease_until < tx.now))
    lapsed = tx.execute(query.order_by(trials.c.id).with_for_update()).all()
    for row in lapsed:
        give_up(tx, row, NOT_RENEWED)
    if lapsed:
        tx.change_study()
    return len(lapsed)


def give_up(tx: Transaction, row: Any, reason: str) -> None:
    """Count the attempt as lost: its trial waits again, or fails after more than `retries`."""
    lost = row.lost + 1
    tx.close_attempt(row.id, row.attempt, Status.LOST.value, reason)
    columns: dict[str, Any] = {**_FREE, "lost": lost}
    if lost > tx.rules["retries"]:
        text = records.clean(
            f"its worker was lost {lost} times; the last time: {reason}"
        )
        columns |= {
            "state": TrialState.FAILED.value,
            "reason": text,
            "finished_at": tx.now,
        }
    tx.change_trial(row.id, **columns)


# -- curves and checkpoints: with the trial's lock -------------------------------------


def _lock_running(tx: Transaction, trial_id: int, attempt: int) -> Any | None:
    """Read the running trial's row and lock it until the write."""
    columns = select(trials.c.id, trials.c.study_id, trials.c.kind)
    return tx.execute(
        columns.where(holding(trial_id, attempt)).with_for_update()
    ).one_or_none()


def add_points(
    tx: Transaction, trial_id: int, attempt: int, points: Sequence[CurvePoint]
) -> bool:
    """Add epochs of a running attempt; False where it was fenced off."""
    row = _lock_running(tx, trial_id, attempt)
    if row is None:
        return False
    write_points(tx, row, attempt, points)
    return True


def write_points(
    tx: Transaction, row: Any, attempt: int, points: Sequence[CurvePoint]
) -> None:
    """Write an attempt's epochs in two statements, over those of an earlier attempt or try."""
    newest = {point.epoch: point for point in points}
    if not newest:
        return
    if attempt > 1:
        _count_repeated(tx, row.id, attempt, newest)
    tx.execute(
        delete(curves).where(curves.c.trial_id == row.id, curves.c.epoch.in_(newest))
    )
    common = {
        "trial_id": row.id,
        "study_id": row.study_id,
        "kind": row.kind,
        "attempt": attempt,
    }
    rows = [{**common, **records.point_columns(point)} for point in newest.values()]
    tx.execute(insert(curves), rows)


def _count_repeated(
    tx: Transaction, trial_id: int, attempt: int, epochs: Iterable[int]
) -> None:
    """Add those of `epochs` that an earlier attempt has trained to the trial's repeated epochs."""
    mine = curves.c.trial_id == trial_id
    earlier = and_(mine, curves.c.epoch.in_(epochs), curves.c.attempt < attempt)
    repeated = tx.execute(
        select(func.count()).select_from(curves).where(earlier)
    ).scalar_one()
    if repeated:
        total = func.coalesce(trials.c.repeated_epochs, 0) + repeated
        tx.execute(
            update(trials).where(trials.c.id == trial_id).values(repeated_epochs=total)
        )


def add_checkpoint(tx: Transaction, trial_id: int, written: CheckpointRecord) -> bool:
    """Enter a line in the trial's manifest; False where the attempt was fenced off."""
    if _lock_running(tx, trial_id, written.attempt) is None:
        return False
    line = {"trial_id": trial_id, **asdict(written)}
    key = {name: line[name] for name in ("trial_id", "attempt", "epoch", "batch")}
    tx.execute(delete(checkpoints).filter_by(**key))
    tx.execute(insert(checkpoints).values(**line, written_at=tx.clock))
    return True


# -- heartbeats: no study lock; a renewal and a reaping meet at the trial's own row ----


def renew_leases(
    tx: Transaction,
    holds: Sequence[tuple[int, int]],
    *,
    worker_id: int,
    lease_seconds: float,
) -> Renewal:
    """Renew the leases of (trial id, attempt) pairs, and note that the worker was seen."""
    lost: frozenset[int] = frozenset()
    if holds:
        ours = or_(*(holding(trial_id, attempt) for trial_id, attempt in holds))
        renewed = (
            update(trials).where(ours).values(lease_until=tx.clock + lease_seconds)
        )
        if tx.execute(renewed).rowcount != len(holds):
            kept = set(tx.execute(select(trials.c.id).where(ours)).scalars())
            lost = frozenset(trial_id for trial_id, _ in holds) - kept
    note_worker(tx, worker_id, "training" if holds else "idle")
    states = select(studies.c.state).join(workers, workers.c.study_id == studies.c.id)
    state = tx.execute(states.where(workers.c.id == worker_id)).scalar_one_or_none()
    # A deleted study has nothing to train.
    return Renewal(lost, StudyState(state or StudyState.STOPPED))


def note_worker(tx: Transaction, worker_id: int, state: str) -> None:
    """Note a worker's state, and that it was seen now."""
    change = update(workers).where(workers.c.id == worker_id)
    tx.execute(change.values(state=state, last_seen=tx.clock))
