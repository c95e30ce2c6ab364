"""What happens to an attempt after its claim: sampled, told of, renewed, finished, lost.

    RUNNING -> WAITING       interrupted, or lost       lost + 1 only when its worker was lost
    RUNNING -> FAILED        lost more often than `retries`
    RUNNING -> terminal      finish                     once; it never changes again

The attempt's number fences: who comes with an older one changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from lrsearch.storage import records
from lrsearch.storage.move import Move, holding
from lrsearch.storage.tables import attempts, checkpoints, curves, studies, trials, workers
from lrsearch.values import CurvePoint, Json, Outcome, Setting, Status, StudyState, TrialState

_FREE = {"state": TrialState.WAITING.value, "lease_until": None, "token": None}


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat learns: trials that are not the worker's any more, and what the study wants."""

    lost: frozenset[int]
    study_state: StudyState


def bind(
    move: Move, trial_id: int, attempt: int, *, setting: Setting, params: Json, seed: int
) -> bool:
    """Write what was sampled; False where it was fenced off."""
    sampled = {
        "setting": records.dump(setting.to_json()),
        "params": records.dump(dict(params)),
        "seed": seed,
    }
    changed = (
        update(trials).where(holding(trial_id, attempt)).values(**sampled, revision=move.revision)
    )
    if not move.connection.execute(changed).rowcount:
        return False
    move.change_study()
    return True


def finish(move: Move, outcome: Outcome, points: Sequence[CurvePoint]) -> bool:
    """Record how an attempt ended; False where it is not the holder's any more."""
    row = move.held(outcome.trial_id, outcome.attempt)
    if row is None:
        return _recorded_before(move, outcome)
    write_points(move.connection, row, outcome.attempt, points)
    columns: dict[str, Any] = dict(_FREE)
    if outcome.status.terminal:
        columns |= {**records.outcome_columns(outcome), "finished_at": move.now}
        _trim_curve(move, outcome)
    move.change_trial(row.id, **columns)
    move.close_attempt(row.id, outcome.attempt, outcome.status.value, outcome.reason)
    move.change_study()
    return True


def _recorded_before(move: Move, outcome: Outcome) -> bool:
    """Whether this very result stands already: a commit whose answer was lost."""
    this = and_(attempts.c.trial_id == outcome.trial_id, attempts.c.attempt == outcome.attempt)
    query = (
        select(attempts.c.status, trials.c.value)
        .join(trials, trials.c.id == attempts.c.trial_id)
        .where(this)
    )
    row = move.connection.execute(query).one_or_none()
    if row is None or row.status != outcome.status.value:
        return False
    return not outcome.status.terminal or row.value == records.finite(outcome.value)


def _trim_curve(move: Move, outcome: Outcome) -> None:
    """Drop epochs that only an earlier attempt reached; a failure keeps what there is, to look at."""
    if outcome.attempt > 1 and outcome.status is not Status.FAILED:
        beyond = and_(curves.c.trial_id == outcome.trial_id, curves.c.epoch > outcome.epochs)
        move.connection.execute(delete(curves).where(beyond))


def _count_repeated(
    connection: Connection, trial_id: int, attempt: int, epochs: Iterable[int]
) -> None:
    """Add to a trial's repeated epochs those of these that an earlier attempt has trained too."""
    earlier = and_(
        curves.c.trial_id == trial_id, curves.c.epoch.in_(epochs), curves.c.attempt < attempt
    )
    again = connection.execute(select(func.count()).select_from(curves).where(earlier)).scalar_one()
    if again:
        known = func.coalesce(trials.c.repeated_epochs, 0)
        connection.execute(
            update(trials).where(trials.c.id == trial_id).values(repeated_epochs=known + again)
        )


def lose(move: Move, trial_id: int, attempt: int, reason: str) -> bool:
    """Close an attempt whose worker is known to be dead, without waiting for its lease."""
    row = move.held(trial_id, attempt)
    if row is None:
        return False
    give_up(move, row, reason)
    move.change_study()
    return True


def reap(move: Move) -> int:
    """Put back the trials whose lease has lapsed; returns how many."""
    running = and_(trials.c.study_id == move.study_id, trials.c.state == TrialState.RUNNING.value)
    query = (
        select(trials)
        .where(running, trials.c.lease_until < move.now)
        .order_by(trials.c.id)
        .with_for_update()
    )
    lapsed = move.connection.execute(query).all()
    for row in lapsed:
        give_up(move, row, "it did not renew its lease")
    if lapsed:
        move.change_study()
    return len(lapsed)


def give_up(move: Move, row: Any, reason: str) -> None:
    """Count the attempt as lost: the trial goes back to the queue, or fails when that happened more
    than `retries` times.
    """
    lost = row.lost + 1
    move.close_attempt(row.id, row.attempt, Status.LOST.value, reason)
    columns: dict[str, Any] = {**_FREE, "lost": lost}
    if lost > move.rules["retries"]:
        text = records.clean(f"its worker was lost {lost} times; the last time: {reason}")
        columns |= {"state": TrialState.FAILED.value, "reason": text, "finished_at": move.now}
    move.change_trial(row.id, **columns)


# -- curves and checkpoints: the trial's row is locked, so that its holder cannot change between the look and the write ---------


def add_points(
    connection: Connection, trial_id: int, attempt: int, points: Sequence[CurvePoint]
) -> bool:
    """Add epochs of a running attempt; False where it was fenced off."""
    query = (
        select(trials.c.id, trials.c.study_id, trials.c.kind)
        .where(holding(trial_id, attempt))
        .with_for_update()
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return False
    write_points(connection, row, attempt, points)
    return True


def write_points(
    connection: Connection, row: Any, attempt: int, points: Sequence[CurvePoint]
) -> None:
    """Add an attempt's epochs in two statements; they take the place of those that an earlier
    attempt, or try, wrote.
    """
    newest = {point.epoch: point for point in points}
    if not newest:
        return
    if attempt > 1:
        _count_repeated(connection, row.id, attempt, newest)
    connection.execute(
        delete(curves).where(curves.c.trial_id == row.id, curves.c.epoch.in_(newest))
    )
    common = {"trial_id": row.id, "study_id": row.study_id, "kind": row.kind, "attempt": attempt}
    connection.execute(
        insert(curves), [{**common, **records.point_columns(point)} for point in newest.values()]
    )


def add_checkpoint(
    connection: Connection, clock: ColumnElement[float], trial_id: int, attempt: int, line: Json
) -> bool:
    """Enter a line in the trial's manifest; False where the attempt was fenced off."""
    held = select(trials.c.id).where(holding(trial_id, attempt)).with_for_update()
    if connection.execute(held).one_or_none() is None:
        return False
    key = {"trial_id": trial_id, "attempt": attempt, "epoch": line["epoch"], "batch": line["batch"]}
    connection.execute(delete(checkpoints).filter_by(**key))
    connection.execute(insert(checkpoints).values(**{**line, **key}, written_at=clock))
    return True


# -- heartbeat -----------------------------------------------------------------------------------------------------------------


def beat(
    connection: Connection,
    clock: ColumnElement[float],
    holds: Sequence[tuple[int, int]],
    *,
    worker_id: int,
    lease_seconds: float,
) -> Beat:
    """Renew leases; no study lock: a renewal and a reaping meet at the trial's own row, and one of
    them comes first.
    """
    lost = _renew(connection, clock, holds, lease_seconds) if holds else frozenset()
    seen = {"last_seen": clock, "state": "training" if holds else "idle"}
    connection.execute(update(workers).where(workers.c.id == worker_id).values(**seen))
    query = (
        select(studies.c.state)
        .join(workers, workers.c.study_id == studies.c.id)
        .where(workers.c.id == worker_id)
    )
    state = connection.execute(query).scalar_one_or_none()
    # a deleted study has nothing to train
    return Beat(lost, StudyState(state) if state is not None else StudyState.STOPPED)


def _renew(
    connection: Connection,
    clock: ColumnElement[float],
    holds: Sequence[tuple[int, int]],
    lease_seconds: float,
) -> frozenset[int]:
    held = or_(*(holding(trial_id, attempt) for trial_id, attempt in holds))
    renewed = connection.execute(
        update(trials).where(held).values(lease_until=clock + lease_seconds)
    ).rowcount
    if renewed == len(holds):
        return frozenset()
    kept = set(connection.execute(select(trials.c.id).where(held)).scalars())
    return frozenset(trial_id for trial_id, _ in holds if trial_id not in kept)
