"""A trial's moves in the ledger, each inside one short transaction of the caller's.

    WAITING -> RUNNING       claim                      attempt + 1, a lease
    RUNNING -> WAITING       interrupted, or lost       lost + 1 only when its worker was lost
    RUNNING -> FAILED        lost once too often
    RUNNING -> terminal      finish                     once; never changes again

Every move locks the study's row first, so that moves of one study happen one after another and no two can deadlock. The attempt's number
fences: who comes with an older one changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, and_, case, func, insert, or_, select, update

from lrsearch.storage import records
from lrsearch.storage.database import now_expression
from lrsearch.storage.tables import attempts, curves, studies, trials, workers
from lrsearch.values import (
    CurvePoint,
    Json,
    Kind,
    Origin,
    Outcome,
    Setting,
    Status,
    StudyPlan,
    StudyState,
    TrialRecord,
    TrialState,
)

WAIT_SECONDS = 1.0  # between looks for work while others still train
RETESTED = 4  # settings that are retested: the best three and yours
WORKER_GONE_SECONDS = 180.0  # three leases without a word

_TERMINAL = tuple(status.value for status in (Status.COMPLETE, Status.DIVERGED, Status.PRUNED, Status.FAILED))


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial in hand; `trial.setting` is None where it must be sampled."""

    trial: TrialRecord
    attempt: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to train now, but others still train: what they hold may come back."""

    seconds: float


@dataclass(frozen=True, slots=True)
class PlanRetests:
    """The search is over; its best have to be chosen for retests."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Retest:
    """A search trial's setting, once more, under a fresh seed."""

    parent: int
    repeat: int
    seed: int


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat learns: trials that are not the worker's any more, and what the study wants."""

    lost: frozenset[int]
    study_state: StudyState


Answer = Claim | Wait | PlanRetests | Done


class Move:
    """One transaction on one study: its locked row, the clock, and a revision for what changes."""

    def __init__(self, connection: Connection, study_id: int) -> None:
        self.connection, self.study_id = connection, study_id
        clock = now_expression(connection.dialect.name)
        # FOR UPDATE does nothing on SQLite, where the transaction itself is exclusive.
        self.study = connection.execute(
            select(studies, clock.label("now")).where(studies.c.id == study_id).with_for_update()
        ).one()
        self.now: float = float(self.study.now)
        self.revision: int = self.study.revision + 1

    @property
    def plan(self) -> StudyPlan:
        return records.plan_from(self.study.plan)

    def change_study(self, **columns: Any) -> None:
        """Write the study's row, its new revision included."""
        self.connection.execute(update(studies).where(studies.c.id == self.study_id).values(revision=self.revision, **columns))

    def change_trial(self, trial_id: int, **columns: Any) -> None:
        self.connection.execute(update(trials).where(trials.c.id == trial_id).values(revision=self.revision, **columns))

    def close_attempt(self, trial_id: int, attempt: int, status: str, reason: str) -> None:
        this = and_(attempts.c.trial_id == trial_id, attempts.c.attempt == attempt)
        self.connection.execute(update(attempts).where(this).values(status=status, reason=reason, ended_at=self.now))


# -- claim -----------------------------------------------------------------------------------------------------------------


def claim(connection: Connection, study_id: int, worker_id: int, *, lease_seconds: float, token: str) -> Answer:
    """Reap what lapsed, then hand out the lowest waiting trial, or a new one while the budget has room."""
    move = Move(connection, study_id)
    again = connection.execute(select(trials).where(_running(study_id), trials.c.token == token)).one_or_none()
    if again is not None:  # the first answer was lost on its way
        return Claim(records.trial_from(again), again.attempt)
    lapsed = reap(move)
    if move.study.state != StudyState.OPEN:
        return Done(_closed_because(move))
    found = _next_trial(move)
    if isinstance(found, int):
        return _hand_out(move, found, worker_id, lease_seconds=lease_seconds, token=token)
    if lapsed or found == Done("finished"):
        move.change_study(**({"state": StudyState.FINISHED.value} if isinstance(found, Done) else {}))
    return found


def _next_trial(move: Move) -> int | Wait | PlanRetests | Done:
    """The id of the trial to hand out, or why there is none."""
    study, connection = move.study, move.connection
    late = study.deadline is not None and move.now >= study.deadline
    searching = not late and not (study.deadline is not None and move.now + _reserve(move) >= study.deadline)
    waiting = _first_waiting(move, Kind.SEARCH) if searching else None
    if waiting is not None:
        return waiting
    if searching and (study.trials is None or study.searched < study.trials):
        return _reserve_slot(move)
    states = _states(move)
    if states[Kind.SEARCH, "running"]:
        return Wait(WAIT_SECONDS)
    done = states[Kind.SEARCH, "done"]
    if late or not done or not _retest_seeds(move):
        return Wait(WAIT_SECONDS) if states[Kind.RETEST, "running"] else Done("finished")
    if study.retests_for < done:
        return PlanRetests()
    waiting = _first_waiting(move, Kind.RETEST)
    if waiting is not None:
        return waiting
    return Wait(WAIT_SECONDS) if states[Kind.RETEST, "running"] else Done("finished")


def _hand_out(move: Move, trial_id: int, worker_id: int, *, lease_seconds: float, token: str) -> Claim:
    row = move.connection.execute(select(trials).where(trials.c.id == trial_id)).one()
    attempt = row.attempt + 1
    columns = {
        "state": TrialState.RUNNING.value,
        "attempt": attempt,
        "worker_id": worker_id,
        "lease_until": move.now + lease_seconds,
        "token": token,
        "started_at": row.started_at if row.started_at is not None else move.now,
    }
    move.change_trial(trial_id, **columns)
    begun = {"trial_id": trial_id, "attempt": attempt, "worker_id": worker_id, "status": "running", "started_at": move.now}
    move.connection.execute(insert(attempts).values(**begun, reason=""))
    searched = move.study.searched if row.number < move.study.searched or row.kind == Kind.RETEST else row.number + 1
    move.change_study(searched=searched)
    trial = records.trial_from(row)
    return Claim(replace(trial, state=TrialState.RUNNING, worker=worker_id), attempt)


def _reserve_slot(move: Move) -> int:
    """A new search trial: its number is the budget's next slot; the plan's first ones have their settings already."""
    number = move.study.searched
    first = json.loads(move.study.plan)["first"]
    origin, setting = first[number] if number < len(first) else (Origin.SAMPLED.value, None)
    row = new_trial(move, number=number, kind=Kind.SEARCH, origin=Origin(origin), setting=setting)
    return int(move.connection.execute(insert(trials).values(**row)).inserted_primary_key[0])


def new_trial(move: Move, *, number: int, kind: Kind, origin: Origin, setting: Json) -> dict[str, Any]:
    """The columns of a trial that waits."""
    return {
        "study_id": move.study_id,
        "number": number,
        "kind": kind.value,
        "origin": origin.value,
        "state": TrialState.WAITING.value,
        "setting": records.dump(setting) if setting is not None else None,
        "revision": move.revision,
    }


def _first_waiting(move: Move, kind: Kind) -> int | None:
    query = select(trials.c.id).where(
        trials.c.study_id == move.study_id, trials.c.state == "waiting", trials.c.kind == kind.value
    )
    found = move.connection.execute(query.order_by(trials.c.number).limit(1)).scalar_one_or_none()
    return None if found is None else int(found)


def _states(move: Move) -> dict[tuple[Kind, str], int]:
    """How many trials of each kind run, and how many are done."""
    done = case((trials.c.state.in_(_TERMINAL), "done"), else_=trials.c.state)
    query = select(trials.c.kind, done.label("stand"), func.count().label("number")).where(trials.c.study_id == move.study_id)
    rows = move.connection.execute(query.group_by(trials.c.kind, "stand"))
    found = {(kind, stand): 0 for kind in Kind for stand in ("running", "done", "waiting")}
    return found | {(Kind(row.kind), row.stand): row.number for row in rows}


def _retest_seeds(move: Move) -> int:
    return int(json.loads(move.study.plan)["retest_seeds"])


def _reserve(move: Move) -> float:
    """Seconds to keep free before the deadline: one more trial's, and the retests' over the workers that live.

    A trial is taken to last as long as those that ended did on average; before the first has ended nothing is kept.
    """
    ended = and_(trials.c.study_id == move.study_id, trials.c.kind == Kind.SEARCH.value, trials.c.state.in_(_TERMINAL))
    mean = move.connection.execute(select(func.avg(trials.c.seconds)).where(ended)).scalar_one()
    if mean is None:
        return 0.0
    alive = and_(
        workers.c.study_id == move.study_id, workers.c.state != "gone", workers.c.last_seen > move.now - WORKER_GONE_SECONDS
    )
    live = max(1, move.connection.execute(select(func.count()).select_from(workers).where(alive)).scalar_one())
    rounds = -(-RETESTED * _retest_seeds(move) // live)
    return float(mean) * (1 + rounds)


def _closed_because(move: Move) -> str:
    states = {
        StudyState.DRAINING: "the study is draining",
        StudyState.STOPPED: "the study was stopped",
        StudyState.BROKEN: "the study is broken",
        StudyState.FINISHED: "finished",
    }
    return states[StudyState(move.study.state)]


def _running(study_id: int) -> Any:
    return and_(trials.c.study_id == study_id, trials.c.state == "running")


# -- what ends an attempt --------------------------------------------------------------------------------------------------


def reap(move: Move) -> int:
    """Put back the trials whose lease has lapsed; returns how many."""
    lapsed = move.connection.execute(select(trials).where(_running(move.study_id), trials.c.lease_until < move.now)).all()
    for row in lapsed:
        _lose(move, row, "its worker did not renew its lease")
    return len(lapsed)


def lose(move: Move, trial_id: int, attempt: int, reason: str) -> bool:
    """Close an attempt whose worker is known to be dead, without waiting for its lease."""
    row = _held(move, trial_id, attempt)
    if row is None:
        return False
    _lose(move, row, reason)
    move.change_study()
    return True


def _lose(move: Move, row: Any, reason: str) -> None:
    retries = json.loads(move.study.plan)["retries"]
    lost = row.lost + 1
    move.close_attempt(row.id, row.attempt, Status.LOST.value, reason)
    columns: dict[str, Any] = {"state": TrialState.WAITING.value, "lost": lost, "lease_until": None, "token": None}
    if lost > retries:
        text = f"lost its worker {lost} times, the last time because {reason}"
        columns |= {"state": TrialState.FAILED.value, "reason": text, "finished_at": move.now}
    move.change_trial(row.id, **columns)


def finish(move: Move, outcome: Outcome, points: Sequence[CurvePoint]) -> bool:
    """Record how an attempt ended; False where it is not the holder's any more."""
    row = _held(move, outcome.trial_id, outcome.attempt)
    if row is None:
        return _recorded_before(move, outcome)
    write_points(move.connection, row, outcome.attempt, points)
    columns: dict[str, Any] = {"state": TrialState.WAITING.value, "lease_until": None, "token": None}
    if outcome.status.terminal:
        columns |= {**records.outcome_columns(outcome), "finished_at": move.now}
    move.change_trial(row.id, **columns)
    move.close_attempt(row.id, outcome.attempt, outcome.status.value, outcome.reason)
    move.change_study()
    return True


def _held(move: Move, trial_id: int, attempt: int) -> Any | None:
    """The trial's row while this attempt holds it."""
    query = select(trials).where(trials.c.id == trial_id, trials.c.attempt == attempt, trials.c.state == "running")
    return move.connection.execute(query).one_or_none()


def _recorded_before(move: Move, outcome: Outcome) -> bool:
    """Whether this very result stands already: a commit whose answer was lost."""
    this = and_(attempts.c.trial_id == outcome.trial_id, attempts.c.attempt == outcome.attempt)
    row = move.connection.execute(
        select(attempts.c.status, trials.c.value).join(trials, trials.c.id == attempts.c.trial_id).where(this)
    ).one_or_none()
    if row is None or row.status != outcome.status.value:
        return False
    return not outcome.status.terminal or row.value == records.finite(outcome.value)


def write_points(connection: Connection, row: Any, attempt: int, points: Sequence[CurvePoint]) -> None:
    """Add an attempt's epochs in two statements; a later attempt's take the place of an earlier one's."""
    if not points:
        return
    epochs = [point.epoch for point in points]
    connection.execute(curves.delete().where(curves.c.trial_id == row.id, curves.c.epoch.in_(epochs)))
    common = {"trial_id": row.id, "study_id": row.study_id, "kind": row.kind, "attempt": attempt}
    connection.execute(insert(curves), [{**common, **records.point_columns(point)} for point in points])


def bind(move: Move, trial_id: int, attempt: int, *, setting: Setting, params: Json, seed: int) -> bool:
    """Write what was sampled."""
    if _held(move, trial_id, attempt) is None:
        return False
    move.change_trial(trial_id, setting=records.dump(setting.to_json()), params=records.dump(params), seed=seed)
    move.change_study()
    return True


# -- heartbeat -------------------------------------------------------------------------------------------------------------


def beat(connection: Connection, holds: Sequence[tuple[int, int]], *, worker_id: int, lease_seconds: float) -> Beat:
    """Renew leases; no study lock: a renewal and a reaping meet at the trial's own row, and one of them comes first."""
    clock = now_expression(connection.dialect.name)
    lost: frozenset[int] = frozenset()
    if holds:
        mine = or_(*(and_(trials.c.id == trial_id, trials.c.attempt == attempt) for trial_id, attempt in holds))
        held = and_(mine, trials.c.state == "running")
        connection.execute(update(trials).where(held).values(lease_until=clock + lease_seconds))
        kept = set(connection.execute(select(trials.c.id).where(held)).scalars())
        lost = frozenset(trial_id for trial_id, _ in holds if trial_id not in kept)
    state = "training" if holds else "idle"
    connection.execute(update(workers).where(workers.c.id == worker_id).values(last_seen=clock, state=state))
    query = select(studies.c.state).join(workers, workers.c.study_id == studies.c.id).where(workers.c.id == worker_id)
    found = connection.execute(query).scalar_one_or_none()
    return Beat(lost, StudyState(found) if found is not None else StudyState.STOPPED)  # a deleted study has nothing to train
