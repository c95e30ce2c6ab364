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

from sqlalchemy import and_, delete, func, insert, or_, select, update

from lrsearch.storage import records
from lrsearch.storage.tables import attempts, checkpoints, curves, studies, trials, workers
from lrsearch.storage.transaction import Transaction, holding
from lrsearch.values import CurvePoint, Json, Outcome, Setting, Status, StudyState, TrialState

_FREE = {"state": TrialState.WAITING.value, "lease_until": None, "token": None}


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat learns: the trials that the worker has lost, and what the study wants."""

    lost: frozenset[int]
    study_state: StudyState


def bind(
    tx: Transaction, trial_id: int, attempt: int, *, setting: Setting, params: Json, seed: int
) -> bool:
    """Write what was sampled; False where it was fenced off."""
    sampled = {
        "setting": records.dump(setting.to_json()),
        "params": records.dump(dict(params)),
        "seed": seed,
    }
    changed = (
        update(trials).where(holding(trial_id, attempt)).values(**sampled, revision=tx.revision)
    )
    if not tx.execute(changed).rowcount:
        return False
    tx.change_study()
    return True


def finish(tx: Transaction, outcome: Outcome, points: Sequence[CurvePoint]) -> bool:
    """Record how an attempt ended; False where it is not the holder's any more."""
    row = _held(tx, outcome.trial_id, outcome.attempt)
    if row is None:
        return _recorded_before(tx, outcome)
    write_points(tx, row, outcome.attempt, points)
    columns: dict[str, Any] = dict(_FREE)
    if outcome.status.terminal:
        columns |= {**records.outcome_columns(outcome), "finished_at": tx.now}
        _trim_curve(tx, outcome)
    tx.change_trial(row.id, **columns)
    tx.close_attempt(row.id, outcome.attempt, outcome.status.value, outcome.reason)
    tx.change_study()
    return True


def _recorded_before(tx: Transaction, outcome: Outcome) -> bool:
    """Whether this very result stands already: a commit whose answer was lost."""
    this = and_(attempts.c.trial_id == outcome.trial_id, attempts.c.attempt == outcome.attempt)
    both = select(attempts.c.status, trials.c.value).join(
        trials, trials.c.id == attempts.c.trial_id
    )
    row = tx.execute(both.where(this)).one_or_none()
    if row is None or row.status != outcome.status.value:
        return False
    return not outcome.status.terminal or row.value == records.finite(outcome.value)


def _trim_curve(tx: Transaction, outcome: Outcome) -> None:
    """Drop epochs that only an earlier attempt reached; a failure keeps all, to look at."""
    if outcome.attempt > 1 and outcome.status is not Status.FAILED:
        beyond = and_(curves.c.trial_id == outcome.trial_id, curves.c.epoch > outcome.epochs)
        tx.execute(delete(curves).where(beyond))


def _count_repeated(tx: Transaction, trial_id: int, attempt: int, epochs: Iterable[int]) -> None:
    """Add to a trial's repeated epochs those of these that an earlier attempt has trained too."""
    earlier = and_(
        curves.c.trial_id == trial_id, curves.c.epoch.in_(epochs), curves.c.attempt < attempt
    )
    again = tx.execute(select(func.count()).select_from(curves).where(earlier)).scalar_one()
    if again:
        known = func.coalesce(trials.c.repeated_epochs, 0)
        this = update(trials).where(trials.c.id == trial_id)
        tx.execute(this.values(repeated_epochs=known + again))


def lose(tx: Transaction, trial_id: int, attempt: int, reason: str) -> bool:
    """Close an attempt whose worker is known to be dead, without waiting for its lease."""
    row = _held(tx, trial_id, attempt)
    if row is None:
        return False
    give_up(tx, row, reason)
    tx.change_study()
    return True


def reap(tx: Transaction) -> int:
    """Put back the trials whose lease has lapsed; returns how many."""
    running = trials.c.state == TrialState.RUNNING.value
    query = select(trials).where(tx.of_study(running, trials.c.lease_until < tx.now))
    lapsed = tx.execute(query.order_by(trials.c.id).with_for_update()).all()
    for row in lapsed:
        give_up(tx, row, "it did not renew its lease")
    if lapsed:
        tx.change_study()
    return len(lapsed)


def give_up(tx: Transaction, row: Any, reason: str) -> None:
    """Count the attempt as lost: the trial goes back to the queue, or fails when that happened more
    than `retries` times.
    """
    lost = row.lost + 1
    tx.close_attempt(row.id, row.attempt, Status.LOST.value, reason)
    columns: dict[str, Any] = {**_FREE, "lost": lost}
    if lost > tx.rules["retries"]:
        text = records.clean(f"its worker was lost {lost} times; the last time: {reason}")
        columns |= {"state": TrialState.FAILED.value, "reason": text, "finished_at": tx.now}
    tx.change_trial(row.id, **columns)


def _held(tx: Transaction, trial_id: int, attempt: int) -> Any | None:
    """The trial's row while this attempt holds it: the fence before every write."""
    return tx.execute(select(trials).where(holding(trial_id, attempt))).one_or_none()


# -- curves and checkpoints: without the study's lock --------------------------------------------


def _lock_held(tx: Transaction, trial_id: int, attempt: int) -> Any | None:
    """The same with the trial's row locked: its holder cannot change between look and write."""
    columns = select(trials.c.id, trials.c.study_id, trials.c.kind)
    held = columns.where(holding(trial_id, attempt)).with_for_update()
    return tx.execute(held).one_or_none()


def add_points(tx: Transaction, trial_id: int, attempt: int, points: Sequence[CurvePoint]) -> bool:
    """Add epochs of a running attempt; False where it was fenced off."""
    row = _lock_held(tx, trial_id, attempt)
    if row is None:
        return False
    write_points(tx, row, attempt, points)
    return True


def write_points(tx: Transaction, row: Any, attempt: int, points: Sequence[CurvePoint]) -> None:
    """Add an attempt's epochs in two statements; they take the place of those that an earlier
    attempt, or try, wrote.
    """
    newest = {point.epoch: point for point in points}
    if not newest:
        return
    if attempt > 1:
        _count_repeated(tx, row.id, attempt, newest)
    tx.execute(delete(curves).where(curves.c.trial_id == row.id, curves.c.epoch.in_(newest)))
    common = {"trial_id": row.id, "study_id": row.study_id, "kind": row.kind, "attempt": attempt}
    rows = [{**common, **records.point_columns(point)} for point in newest.values()]
    tx.execute(insert(curves), rows)


def add_checkpoint(tx: Transaction, trial_id: int, attempt: int, line: Json) -> bool:
    """Enter a line in the trial's manifest; False where the attempt was fenced off."""
    if _lock_held(tx, trial_id, attempt) is None:
        return False
    key = {"trial_id": trial_id, "attempt": attempt, "epoch": line["epoch"], "batch": line["batch"]}
    tx.execute(delete(checkpoints).filter_by(**key))
    tx.execute(insert(checkpoints).values(**{**line, **key}, written_at=tx.clock))
    return True


# -- heartbeat: no study lock; a renewal and a reaping meet at the trial's own row ----------------


def beat(
    tx: Transaction, holds: Sequence[tuple[int, int]], *, worker_id: int, lease_seconds: float
) -> Beat:
    """Renew the leases of (trial id, attempt) pairs, and note that the worker was seen."""
    lost = _renew(tx, holds, lease_seconds) if holds else frozenset()
    note_worker(tx, worker_id, "training" if holds else "idle")
    states = select(studies.c.state).join(workers, workers.c.study_id == studies.c.id)
    state = tx.execute(states.where(workers.c.id == worker_id)).scalar_one_or_none()
    # a deleted study has nothing to train
    return Beat(lost, StudyState(state) if state is not None else StudyState.STOPPED)


def note_worker(tx: Transaction, worker_id: int, state: str) -> None:
    """Note a worker's state, and that it was seen now."""
    this = update(workers).where(workers.c.id == worker_id)
    tx.execute(this.values(state=state, last_seen=tx.clock))


def _renew(
    tx: Transaction, holds: Sequence[tuple[int, int]], lease_seconds: float
) -> frozenset[int]:
    """Renew leases; returns the trials that are not the worker's any more."""
    held = or_(*(holding(trial_id, attempt) for trial_id, attempt in holds))
    renewed = update(trials).where(held).values(lease_until=tx.clock + lease_seconds)
    if tx.execute(renewed).rowcount == len(holds):
        return frozenset()
    kept = set(tx.execute(select(trials.c.id).where(held)).scalars())
    return frozenset(trial_id for trial_id, _ in holds if trial_id not in kept)
