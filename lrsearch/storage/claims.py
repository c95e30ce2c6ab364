"""Claims: the trial that a worker trains next, or the reason why there is none.

    WAITING -> RUNNING       claim                      attempt + 1, a lease
    (no row) -> RUNNING      claim, while the rows are fewer than the budget

Rows of kind `search` are the budget's slots: their number never exceeds the budget.
Rows of both kinds are trainings. Where trainings are limited, no row is made beyond the
limit, and a trial that begins again keeps its row.

**The deadline's rule** is in `lrsearch.storage.deadline`: nothing begins that would end
after it.

**How many sampled trials train at once.** A sampler learns only from trials that have
ended. With up to a fifth of the budget in training at once the best of 40 trials was as
good as with one at a time (regret 0.018 and 0.019, synthetic, 24 tasks), with a half it
was worse (0.022). So a worker that trains sampled trials gets a new one only while they
are fewer than its share of that fifth. Trials that wait with a setting (yours,
references, retests, retries) have no such limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from lrsearch.budget import trials_at_once
from lrsearch.storage import records
from lrsearch.storage.attempts import NOT_RENEWED, give_up
from lrsearch.storage.deadline import TimeLeft, live_workers, time_left
from lrsearch.storage.tables import (
    IS_RETEST,
    IS_RUNNING,
    IS_SEARCH,
    IS_WAITING,
    attempts,
    checkpoints,
    trials,
)
from lrsearch.storage.transaction import Transaction
from lrsearch.values import TERMINAL, Kind, Origin, StudyState, TrialRecord, TrialState

WAIT_SECONDS = 1.0  # between looks for work while others still train

ENDED = tuple(sorted(status.value for status in TERMINAL))
_CLOSED = {
    StudyState.DRAINING: "the study is draining",
    StudyState.STOPPED: "the study was stopped",
    StudyState.BROKEN: "the study is broken",
    StudyState.FINISHED: "finished",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial for the worker to train.

    `trial` is the record before the claim: its `attempt` counts earlier attempts. A
    trial without a setting must be sampled.
    """

    trial: TrialRecord
    attempt: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to train now, but others still train: their trials may come back."""

    seconds: float


@dataclass(frozen=True, slots=True)
class PlanRetests:
    """The search is over: the worker must choose its best trials for retests."""

    room: int | None = None  # the number of retests that fit into the time; None: all
    # the number to make where the study's trainings are limited
    exactly: int | None = None
    # so many more may follow, a few at a time: lrsearch.answer.retest_race chooses the
    # next ones
    race: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""

    reason: str


Answer: TypeAlias = Claim | Wait | PlanRetests | Done


def claim(
    tx: Transaction,
    worker_id: int,
    *,
    lease_seconds: float,
    token: str,
    sampled: int = 0,
) -> Answer:
    """Put back trials whose lease lapsed, then hand out the lowest waiting trial or a new one.

    `sampled` is the number of sampled trials that the worker trains. `token` names the
    call: when the answer to its commit was lost, the next try returns the same trial.
    """
    rows = _lock_running(tx, token, lease_seconds)
    again = next((row for row in rows if row.token == token), None)
    if again is not None:
        return Claim(
            replace(records.trial_from(again), attempt=again.attempt - 1), again.attempt
        )
    for row in rows:
        give_up(tx, row, NOT_RENEWED)
    is_open = tx.study.state == StudyState.OPEN
    found = (
        _find(tx, worker_id, sampled)
        if is_open
        else Done(_CLOSED[StudyState(tx.study.state)])
    )
    if isinstance(found, Wait | PlanRetests | Done):
        if isinstance(found, Done) and is_open:
            tx.change_study(state=StudyState.FINISHED.value)
        elif rows:
            tx.change_study()
        return found
    lease = {
        "worker_id": worker_id,
        "lease_until": tx.now + lease_seconds,
        "token": token,
    }
    return _begin_new(tx, lease) if found is _NEW else _begin(tx, found, lease)


def _lock_running(tx: Transaction, token: str, lease_seconds: float) -> Sequence[Any]:
    """The rows of the trial that an earlier try of this call got, and of lapsed leases.

    Within `lease_seconds` of an outage lapsed leases stay: living workers get that time
    to renew them. The rows are locked, so that a renewal comes before or finds the
    trial gone.
    """
    concerned = trials.c.token == token
    if not tx.cut_off_within(lease_seconds):
        concerned = or_(concerned, trials.c.lease_until < tx.now)
    query = (
        select(trials).where(tx.of_study(IS_RUNNING, concerned)).order_by(trials.c.id)
    )
    return tx.execute(query.with_for_update()).all()


def is_over(tx: Transaction) -> bool:
    """Whether an open study would have nothing left to train, now or later."""
    return isinstance(_find(tx, 0, 0), Done)


_NEW = object()


def _find(tx: Transaction, worker_id: int, sampled: int) -> Any:
    """Find a waiting trial's row, else _NEW for a free slot, else the answer without a trial."""
    closed = bool(tx.rules.get("retests_only"))
    left = None if closed else time_left(tx, worker_id)
    if not closed and (left is None or left.for_search()):
        waiting = _first_waiting(tx, IS_SEARCH)
        if waiting is not None:
            return waiting
        if _slot_is_free(tx):
            share = trials_at_once(tx.study.trials, live_workers(tx)) if sampled else 1
            return _NEW if sampled < share else Wait(WAIT_SECONDS)
    if _some(tx, IS_RUNNING, IS_SEARCH):
        return Wait(WAIT_SECONDS)
    return _find_retest(tx, left)


def search_is_over(tx: Transaction) -> bool:
    """Whether no search trial trains, and none can begin without more budget or time."""
    if tx.study.state == StudyState.FINISHED or tx.rules.get("retests_only"):
        return True
    left = time_left(tx, 0)
    in_time = left is None or left.for_search()
    begins = in_time and (_slot_is_free(tx) or _some(tx, IS_WAITING, IS_SEARCH))
    return not begins and not _some(tx, IS_RUNNING, IS_SEARCH)


def _slot_is_free(tx: Transaction) -> bool:
    """Whether the budget has room for one more search trial."""
    if tx.study.trials is not None and tx.study.searched >= tx.study.trials:
        return False
    return tx.study.trainings is None or count_trainings(tx) < tx.study.trainings


def _find_retest(tx: Transaction, left: TimeLeft | None) -> Any:
    ended = count_ended(tx)  # reads all rows, but only when no search trial runs
    if (left is None or left.for_retest()) and ended:
        room, more = None if left is None else left.retests, _retests_to_race(tx)
        if tx.rules["retest_seeds"] and tx.study.retests_for < ended and not more:
            return PlanRetests(room, _retests_to_make(tx))
        waiting = _first_waiting(tx, IS_RETEST)
        if waiting is not None:
            return waiting
        if more and not _some(tx, IS_RUNNING, IS_RETEST):
            return PlanRetests(room, more, race=True)
    return Wait(WAIT_SECONDS) if _some(tx, IS_RUNNING, IS_RETEST) else Done("finished")


def _retests_to_race(tx: Transaction) -> int:
    """How many more retests a race may have; 0 where none was asked for."""
    total = tx.rules.get("retest_total")
    return max(0, int(total) - tx.count(IS_RETEST)) if total else 0


def _retests_to_make(tx: Transaction) -> int | None:
    """The number of retests that fill the limit of trainings; None where there is no limit."""
    if tx.study.trainings is None:
        return None
    most = (int(tx.rules.get("retest_top", 3)) + 1) * int(tx.rules["retest_seeds"])
    return max(0, min(int(tx.study.trainings) - count_trainings(tx), most))


def _begin(tx: Transaction, row: Any, lease: dict[str, Any]) -> Claim:
    """Hand out a waiting trial."""
    if row.attempt:
        _note_what_counts(tx, row)
    attempt, worker = row.attempt + 1, lease["worker_id"]
    began = tx.now if row.started_at is None else row.started_at
    tx.change_trial(
        row.id,
        state=TrialState.RUNNING.value,
        attempt=attempt,
        started_at=began,
        **lease,
    )
    tx.begin_attempt(row.id, attempt, worker)
    tx.change_study()
    trial = records.trial_from(row)
    begun = replace(trial, state=TrialState.RUNNING, started_at=began, worker=worker)
    return Claim(begun, attempt)


def _note_what_counts(tx: Transaction, row: Any) -> None:
    """Note the time of a trial's newest checkpoint, up to which its last attempt counts.

    The next attempt goes on from this checkpoint.
    """
    newest = select(func.max(checkpoints.c.written_at)).where(
        checkpoints.c.trial_id == row.id
    )
    written = tx.execute(newest).scalar_one() or 0.0
    last = and_(attempts.c.trial_id == row.id, attempts.c.attempt == row.attempt)
    began = tx.execute(select(attempts.c.started_at).where(last)).scalar_one()
    tx.execute(update(attempts).where(last).values(kept_until=max(began, written)))


def _begin_new(tx: Transaction, lease: dict[str, Any]) -> Claim:
    """Take the budget's next slot for a trial that is still to be sampled."""
    number = tx.study.searched
    row = new_trial(tx, number=number, kind=Kind.SEARCH, origin=Origin.SAMPLED)
    row |= {
        **lease,
        "state": TrialState.RUNNING.value,
        "attempt": 1,
        "started_at": tx.now,
    }
    trial_id = tx.insert(trials, **row)
    tx.begin_attempt(trial_id, 1, lease["worker_id"])
    tx.change_study(searched=number + 1)
    trial = TrialRecord(
        id=trial_id,
        number=number,
        kind=Kind.SEARCH,
        origin=Origin.SAMPLED,
        state=TrialState.RUNNING,
        setting=None,
        seed=None,
        started_at=tx.now,
        worker=lease["worker_id"],
    )
    return Claim(trial, 1)


def new_trial(
    tx: Transaction, *, number: int, kind: Kind, origin: str, setting: str | None = None
) -> dict[str, Any]:
    """The columns of a trial that waits; `setting` is a Setting's JSON text."""
    return {
        "study_id": tx.study_id,
        "number": number,
        "kind": kind.value,
        "origin": str(origin),
        "state": TrialState.WAITING.value,
        "setting": setting,
        "revision": tx.revision,
    }


def _first_waiting(tx: Transaction, kind: ColumnElement[bool]) -> Any | None:
    query = select(trials).where(tx.of_study(IS_WAITING, kind))
    return tx.execute(query.order_by(trials.c.number).limit(1)).one_or_none()


def _some(tx: Transaction, *conditions: ColumnElement[bool]) -> bool:
    query = select(trials.c.id).where(tx.of_study(*conditions)).limit(1)
    return tx.execute(query).one_or_none() is not None


def count_trainings(tx: Transaction) -> int:
    """Count the search trials and retests in every state; each is one training."""
    return tx.count()


def count_ended(tx: Transaction) -> int:
    """Count the search trials that have ended."""
    return tx.count(trials.c.state.in_(ENDED), IS_SEARCH)
