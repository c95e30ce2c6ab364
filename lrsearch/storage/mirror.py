"""Optuna's rows follow the ledger: one trial has one number in both.

A short lease lets one process mirror at a time. Rows are made in the order of trial
numbers without a gap, so that Optuna counts as we do; a trial that is reserved and not
yet sampled delays those after it. Every step is one transaction and safe to repeat.
Whoever mirrors next completes what a crash left undone: a row that was made and not yet
noted is found again by its number. None of Optuna's code runs inside a transaction of
ours.

COMPLETE, PRUNED and FAILED are the same in a row and in the ledger. A diverged trial is
COMPLETE with the constraint `diverged` above 0 and the worst value that any complete
trial had until then (before there are any: its own last finite value, else 0). So
samplers learn from the trial, and it can never be the best. An interrupted trial stays
RUNNING.
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
from lrsearch.storage.tables import IS_SEARCH, curves, studies, trials
from lrsearch.storage.transaction import StudyGone, Transaction
from lrsearch.values import Direction, Json, Setting, TrialState

if TYPE_CHECKING:
    from lrsearch.storage.ledger import Ledger

# a batch takes about 0.2 s; a mirror that died is replaced after this
LEASE_SECONDS = 20.0
BATCH = 20  # trials per transaction
LIMIT = 400  # trials per call, so that no worker is kept from training
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
    """Trials whose Optuna rows are out of date, and what the rows are made from."""

    optuna_study_id: int
    plan: Mapping[str, Json]
    rows: Sequence[Any]
    curves: Mapping[int, Mapping[int, float]]  # by trial id, the objective by epoch
    worst: float | None  # of the complete trials


class Mirror:
    """Writes Optuna's rows of the studies in one ledger.

    `failpoint` is called between any two writes. Drills kill the process there.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        failpoint: Callable[[str], object] = lambda _stage: None,
    ) -> None:
        self._database, self._failpoint = ledger.database, failpoint
        self._me = secrets.token_hex(16)
        self._blocked = False  # another process held the lease at the last look

    def complete(self, study_id: int) -> int:
        """Do `sync` at a study's end: wait for another process that mirrors, or that died."""
        until = time.monotonic() + LEASE_SECONDS + 1.0
        written = self.sync(study_id)
        while self._blocked and time.monotonic() < until:
            time.sleep(0.5)
            written += self.sync(study_id)
        return written

    def sync(self, study_id: int) -> int:
        """Bring Optuna's rows up to date, unless another process does; returns the trials written.

        Where the database is away or the study was deleted, the rows wait for another
        time: they are a copy of the ledger. Raises SchemaMismatch.
        """
        written = 0
        with suppress(StorageUnavailable):
            while written < LIMIT and (batch := self._take_batch(study_id)) is not None:
                noted = self._write(batch)
                self._return_lease(study_id, noted)
                written += len(noted)
                # there was no more; what came since is written next time
                if len(noted) < BATCH:
                    break
        return written

    def run_alone(self, study_id: int, work: Callable[[], object]) -> bool:
        """Do `work` under the lease, unless another process has it; returns whether it was done.

        Raises StorageUnavailable.
        """
        with suppress(StudyGone):
            if not self._database.transact(self._take_lease, study=study_id):
                return False
            try:
                work()
            finally:
                self._return_lease(study_id, ())
            return True
        return False

    # -- the lease ---------------------------------------------------------------------

    def _is_free(self, tx: Transaction) -> bool:
        row = tx.study
        self._blocked = (
            row.mirror_owner not in {None, self._me} and row.mirror_until > tx.now
        )
        return not self._blocked and row.optuna_study_id is not None

    def _take_lease(self, tx: Transaction) -> bool:
        """Take the lease where it is free."""
        if not self._is_free(tx):
            return False
        lease = {"mirror_owner": self._me, "mirror_until": tx.now + LEASE_SECONDS}
        tx.execute(update(studies).where(studies.c.id == tx.study.id).values(**lease))
        return True

    def _take_batch(self, study_id: int) -> _Batch | None:
        """Take the lease and read a batch; None where there is none, or another mirrors."""

        def take(tx: Transaction) -> _Batch | None:
            batch = _read_batch(tx) if self._is_free(tx) else None
            if batch is not None:
                self._take_lease(tx)
            return batch

        with suppress(StudyGone):
            return self._database.transact(take, study=study_id)
        return None

    def _return_lease(self, study_id: int, noted: Sequence[Mapping[str, Any]]) -> None:
        """Note what was written, and give the lease back, so that nobody waits for its end."""

        def note(tx: Transaction) -> None:
            for columns in noted:
                tx.execute(
                    update(trials).where(trials.c.id == columns["id"]).values(**columns)
                )
            mine = and_(studies.c.id == study_id, studies.c.mirror_owner == self._me)
            tx.execute(
                update(studies).where(mine).values(mirror_owner=None, mirror_until=None)
            )

        self._database.transact(note)
        self._failpoint("settled")

    # -- rows --------------------------------------------------------------------------

    def _write(self, batch: _Batch) -> list[dict[str, Any]]:
        noted = []
        for row in batch.rows:
            optuna_id = row.optuna_trial_id
            if row.mirrored == _NOTHING:
                optuna_id = self._transact(partial(_add_row, batch=batch, row=row))
                self._failpoint("made")
            # the rows before are not there: somebody deleted the study
            if optuna_id is None:
                break
            state = _BEGUN
            if row.state in ENDED:
                ending = _ending(batch, row)
                self._transact(partial(conclude, trial_id=optuna_id, ending=ending))
                self._failpoint("concluded")
                state = _FINAL
            noted.append(
                {"id": row.id, "optuna_trial_id": optuna_id, "mirrored": state}
            )
        return noted

    def _transact(self, work: Callable[[Transaction], Any]) -> Any:
        # On our own engine: Optuna's storage takes time to load, and another
        # connection.
        return self._database.transact(work, patience_seconds=PATIENCE_SECONDS)


def _add_row(tx: Transaction, batch: _Batch, row: Any) -> int | None:
    """Make or find the RUNNING row of a trial; returns Optuna's id."""
    return add_trial(
        tx,
        batch.optuna_study_id,
        row.number,
        params=_used(row),
        dimensions={each["name"]: each for each in batch.plan["dimensions"]},
        attrs={"origin": row.origin},
        began=row.finished_at if row.started_at is None else row.started_at,
    )


def _used(row: Any) -> dict[str, Json]:
    """The parameters that the trial's setting uses.

    A knob of another shape or optimizer has a value for the sampler alone; in a row of
    Optuna's the value would count, in plots and importances, as if it had been tried.
    """
    params: dict[str, Json] = json.loads(row.params) if row.params else {}
    if not row.setting:
        return params
    setting = Setting.from_json(json.loads(row.setting))
    hyper = {f"{setting.optimizer}.{name}" for name in setting.hyper}
    used = {"optimizer", "schedule", "learning_rate", "batch_size"}
    used |= {*hyper, *setting.shape, *setting.extra}
    return {name: value for name, value in params.items() if name in used}


def _read_batch(tx: Transaction) -> _Batch | None:
    """Read trials whose row is out of date, by number, up to the first without a setting."""
    mine = tx.of_study(IS_SEARCH)
    ended = trials.c.state.in_(ENDED)
    # A trial that failed before it was sampled gets its row without parameters.
    ready = or_(trials.c.params.is_not(None), ended)
    new, begun = trials.c.mirrored == _NOTHING, trials.c.mirrored == _BEGUN
    unsampled = (
        select(func.min(trials.c.number)).where(mine, new, ~ready).scalar_subquery()
    )
    before = trials.c.number < func.coalesce(unsampled, 2**31 - 1)
    behind = or_(and_(new, ready, before), and_(begun, ended))
    query = select(trials).where(mine, behind).order_by(trials.c.number).limit(BATCH)
    rows = tx.execute(query).all()
    if not rows:
        return None
    plan, finished = tx.rules, [row for row in rows if row.state in ENDED]
    lacking = any(
        row.state == TrialState.DIVERGED or row.value is None for row in finished
    )
    return _Batch(
        optuna_study_id=tx.study.optuna_study_id,
        plan=plan,
        rows=rows,
        curves=_curves(tx, [row.id for row in finished]) if finished else {},
        worst=_worst(tx, Direction(plan["facts"]["direction"]), mine)
        if lacking
        else None,
    )


def _curves(tx: Transaction, trial_ids: Sequence[int]) -> dict[int, dict[int, float]]:
    query = select(curves.c.trial_id, curves.c.epoch, curves.c.value)
    known = query.where(curves.c.trial_id.in_(trial_ids), curves.c.value.is_not(None))
    by_trial: dict[int, dict[int, float]] = {}
    for row in tx.execute(known.order_by(curves.c.epoch)):
        by_trial.setdefault(row.trial_id, {})[row.epoch] = row.value
    return by_trial


def _worst(
    tx: Transaction, direction: Direction, mine: ColumnElement[bool]
) -> float | None:
    extreme = func.max if direction is Direction.MINIMIZE else func.min
    query = select(extreme(trials.c.value)).where(
        mine, trials.c.state == TrialState.COMPLETE.value
    )
    value: float | None = tx.execute(query).scalar_one()
    return value


def _ending(batch: _Batch, row: Any) -> Ending:
    state = TrialState(row.state)
    curve = batch.curves.get(row.id, {})
    last = curve[max(curve)] if curve else None
    diverged = state is TrialState.DIVERGED or (
        state is TrialState.COMPLETE and row.value is None
    )
    value = None if state is TrialState.FAILED else row.value
    if diverged:
        value = next(
            each
            for each in (batch.worst, row.last_value, last, 0.0)
            if each is not None
        )
    elif state is TrialState.PRUNED and value is None:
        value = last
    return Ending(
        state=_STATES[state],
        value=value,
        diverged=diverged,
        at=row.finished_at,
        curve=curve,
    )
