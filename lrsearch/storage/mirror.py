"""Optuna's rows follow the ledger: one trial, one number, in both.

A short lease lets one process mirror at a time. Rows are made in the order of trial numbers without
a gap, so that Optuna counts as we do; a trial that is reserved and not yet sampled holds up those
after it. Every step is one transaction and safe to repeat, and whoever mirrors next completes what
a crash left undone: a row that was made and not yet noted down is found again by its number.
Nothing of Optuna's is called inside a transaction of ours.

What a row holds: COMPLETE, PRUNED and FAILED as in the ledger. A diverged trial is COMPLETE with
the constraint `diverged` above 0 and the worst value that any complete trial had until then (its
own last finite one before there are any, else 0): samplers learn from it, and it can never be the
best. An interrupted trial stays RUNNING.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState as OptunaState
from sqlalchemy import ColumnElement, and_, func, or_, select, update

from lrsearch.errors import StorageUnavailable
from lrsearch.storage.claims import ENDED
from lrsearch.storage.optuna_trials import Ending, add_trial, conclude
from lrsearch.storage.tables import curves, studies, trials
from lrsearch.storage.transaction import StudyGone, Transaction
from lrsearch.values import Direction, Json, Kind, TrialState

if TYPE_CHECKING:
    from lrsearch.storage.ledger import Ledger

LEASE_SECONDS = 20.0  # a batch takes about 0.2 s; a mirror that died is replaced after this
BATCH = 20  # trials a look
LIMIT = 400  # trials a call, so that no worker is kept from training
PATIENCE_SECONDS = 20.0  # what is not mirrored now is mirrored next time

_NOTHING, _BEGUN, _FINAL = 0, 1, 2
_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.DIVERGED: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    """Trials whose Optuna rows are behind, and what their rows are made from."""

    optuna_study_id: int
    plan: Mapping[str, Json]
    rows: Sequence[Any]
    curves: Mapping[int, Mapping[int, float]]  # by trial id, the objective by epoch
    worst: float | None  # of the complete trials


class Mirror:
    """Writes Optuna's rows of the studies in one ledger.

    `failpoint` is called between any two writes: a drill kills the process there.
    """

    def __init__(
        self, ledger: Ledger, *, failpoint: Callable[[str], object] = lambda _stage: None
    ) -> None:
        self._database, self._failpoint = ledger.database, failpoint
        self._me = secrets.token_hex(16)
        self._blocked = False  # another process held the lease at the last look

    def complete(self, study_id: int) -> int:
        """`sync`, but wait for a process that is at it, or that died at it, until its lease has
        lapsed: for a study's end.
        """
        until = time.monotonic() + LEASE_SECONDS + 1.0
        written = self.sync(study_id)
        while self._blocked and time.monotonic() < until:
            time.sleep(0.5)
            written += self.sync(study_id)
        return written

    def sync(self, study_id: int) -> int:
        """Bring Optuna's rows up to date, unless another process is at it; returns how many trials
        were written.

        A database that is away, or a study that was deleted, is left for another time: Optuna's
        rows are a picture, not the truth. Raises SchemaMismatch.
        """
        written = 0
        try:
            while written < LIMIT and (batch := self._take(study_id)) is not None:
                noted = self._write(batch)
                self._settle(study_id, noted)
                written += len(noted)
                if not noted:
                    break
        except StorageUnavailable:
            return written
        return written

    # -- the lease --------------------------------------------------------------------------------

    def _take(self, study_id: int) -> _Batch | None:
        """Take the lease with what there is to write; None where there is nothing, or another
        process is at it.
        """

        def take(tx: Transaction) -> _Batch | None:
            row = tx.study
            self._blocked = row.mirror_owner not in {None, self._me} and row.mirror_until > tx.now
            if self._blocked or row.optuna_study_id is None:
                return None
            batch = _behind(tx)
            if batch is not None:
                until = {"mirror_owner": self._me, "mirror_until": tx.now + LEASE_SECONDS}
                tx.execute(update(studies).where(studies.c.id == study_id).values(**until))
            return batch

        with suppress(StudyGone):
            return self._database.transact(take, study=study_id)
        return None

    def _settle(self, study_id: int, noted: Sequence[Mapping[str, Any]]) -> None:
        """Note down what was written, and give the lease back, so that nobody's end is left to wait
        for the lease to lapse.
        """

        def settle(tx: Transaction) -> None:
            for columns in noted:
                tx.execute(update(trials).where(trials.c.id == columns["id"]).values(**columns))
            mine = and_(studies.c.id == study_id, studies.c.mirror_owner == self._me)
            tx.execute(update(studies).where(mine).values(mirror_owner=None, mirror_until=None))

        self._database.transact(settle)
        self._failpoint("settled")

    # -- rows -------------------------------------------------------------------------------------

    def _write(self, batch: _Batch) -> list[dict[str, Any]]:
        noted = []
        for row in batch.rows:
            optuna_id = row.optuna_trial_id if row.mirrored != _NOTHING else self._make(batch, row)
            if optuna_id is None:  # the rows before it are not there: somebody deleted the study
                break
            ended = row.state in ENDED
            if ended:
                ending = _ending(batch, row)
                self._optuna(partial(conclude, trial_id=optuna_id, ending=ending))
                self._failpoint("concluded")
            noted.append(
                {
                    "id": row.id,
                    "optuna_trial_id": optuna_id,
                    "mirrored": _FINAL if ended else _BEGUN,
                }
            )
        return noted

    def _make(self, batch: _Batch, row: Any) -> int | None:
        dimensions = {each["name"]: each for each in batch.plan["dimensions"]}
        params = json.loads(row.params) if row.params else {}
        began = row.started_at if row.started_at is not None else row.finished_at
        made: int | None = self._optuna(
            lambda tx: add_trial(
                tx,
                batch.optuna_study_id,
                row.number,
                params=params,
                dimensions=dimensions,
                attrs={"origin": row.origin},
                began=began,
            )
        )
        self._failpoint("made")
        return made

    def _optuna(self, work: Callable[[Transaction], Any]) -> Any:
        # Our own engine: Optuna's would open one more connection a worker, and load Optuna's
        # storage there.
        return self._database.transact(work, patience_seconds=PATIENCE_SECONDS)


def _behind(tx: Transaction) -> _Batch | None:
    """Trials whose row is behind, by number, up to the first that waits to be sampled."""
    mine = tx.of_study(trials.c.kind == Kind.SEARCH.value)
    ended = trials.c.state.in_(ENDED)
    # One that failed before it was sampled never will be: it gets its row without parameters.
    ready = or_(trials.c.params.is_not(None), ended)
    behind = or_(
        and_(trials.c.mirrored == _NOTHING, ready), and_(trials.c.mirrored == _BEGUN, ended)
    )
    unsampled = (
        select(func.min(trials.c.number))
        .where(mine, trials.c.mirrored == _NOTHING, ~ready)
        .scalar_subquery()
    )
    free = or_(trials.c.mirrored == _BEGUN, trials.c.number < func.coalesce(unsampled, 2**31 - 1))
    rows = tx.execute(
        select(trials).where(mine, behind, free).order_by(trials.c.number).limit(BATCH)
    ).all()
    if not rows:
        return None
    finished = [row.id for row in rows if row.state in ENDED]
    plan = tx.rules
    lacking = any(
        row.state == TrialState.DIVERGED.value or row.value is None
        for row in rows
        if row.id in finished
    )
    return _Batch(
        optuna_study_id=tx.study.optuna_study_id,
        plan=plan,
        rows=rows,
        curves=_curves(tx, finished) if finished else {},
        worst=_worst(tx, Direction(plan["facts"]["direction"]), mine) if lacking else None,
    )


def _curves(tx: Transaction, trial_ids: Sequence[int]) -> dict[int, dict[int, float]]:
    query = select(curves.c.trial_id, curves.c.epoch, curves.c.value)
    known = query.where(curves.c.trial_id.in_(trial_ids), curves.c.value.is_not(None))
    found: dict[int, dict[int, float]] = {}
    for row in tx.execute(known.order_by(curves.c.epoch)):
        found.setdefault(row.trial_id, {})[row.epoch] = row.value
    return found


def _worst(tx: Transaction, direction: Direction, mine: ColumnElement[bool]) -> float | None:
    extreme = func.max if direction is Direction.MINIMIZE else func.min
    query = select(extreme(trials.c.value)).where(mine, trials.c.state == TrialState.COMPLETE.value)
    found: float | None = tx.execute(query).scalar_one()
    return found


def _ending(batch: _Batch, row: Any) -> Ending:
    state = TrialState(row.state)
    curve = batch.curves.get(row.id, {})
    last = curve[max(curve)] if curve else None
    diverged = state is TrialState.DIVERGED or (state is TrialState.COMPLETE and row.value is None)
    values: dict[TrialState, float | None] = {
        TrialState.COMPLETE: row.value,
        TrialState.PRUNED: row.value if row.value is not None else last,
        TrialState.FAILED: None,
    }
    value = values.get(state)
    if diverged:
        value = next(each for each in (batch.worst, row.last_value, last, 0.0) if each is not None)
    return Ending(
        state=_STATES[state], value=value, diverged=diverged, at=row.finished_at, curve=curve
    )
