"""The ledger of workers: they claim trials, bind them, renew leases and finish them.

Workers also store curves, checkpoints and the figures of engines.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from sqlalchemy import and_, delete, insert, select
from sqlalchemy.exc import IntegrityError

from lrsearch.errors import StorageProblem
from lrsearch.storage import attempts, claims, records, retests, states
from lrsearch.storage.attempts import Renewal
from lrsearch.storage.claims import Answer, Done
from lrsearch.storage.connections import where
from lrsearch.storage.deadline import seen_lately
from lrsearch.storage.reader import LedgerReader
from lrsearch.storage.records import CheckpointRecord
from lrsearch.storage.retests import Retest
from lrsearch.storage.tables import (
    IS_RUNNING,
    calibrations,
    checkpoints,
    trials,
    workers,
)
from lrsearch.storage.transaction import StudyGone, Transaction, study_of
from lrsearch.storage.url import is_sqlite
from lrsearch.values import CurvePoint, Json, Outcome, Setting, Status


class WorkerLedger(LedgerReader):
    """The ledger of a worker; see the module."""

    # -- the worker itself -------------------------------------------------------------

    def add_worker(
        self,
        study_id: int,
        *,
        host: str,
        pid: int,
        slot: str,
        versions: Mapping[str, str],
    ) -> int:
        """Enter a worker; returns its id.

        Raises StorageProblem for a worker on a second host where the database is
        SQLite, whose locks work on one host alone.
        """
        host = host[:255]

        def add(tx: Transaction) -> int:
            if is_sqlite(self.database.url):
                self._refuse_second_host(tx, host)
            row = {"study_id": study_id, "host": host, "pid": pid, "slot": slot[:64]}
            row |= {"versions": records.dump(dict(versions)), "state": "starting"}
            return tx.insert(workers, **row, started_at=tx.now, last_seen=tx.now)

        return self.database.request(add, study=study_id)

    def _refuse_second_host(self, tx: Transaction, host: str) -> None:
        others = (
            select(workers.c.host)
            .where(seen_lately(tx), workers.c.host != host)
            .limit(1)
        )
        other = tx.execute(others).scalar_one_or_none()
        if other is not None:
            there = f"{where(self.database.url)} has workers on host {other}"
            text = f"{there}; SQLite serves one host, not {host} too."
            raise StorageProblem(
                text, fix="Use PostgreSQL: lrsearch database start --dir DIR."
            )

    def worker_seen(self, worker_id: int, state: str) -> None:
        """Note a worker's state: starting, training, idle, gone."""
        self.database.transact(lambda tx: attempts.note_worker(tx, worker_id, state))

    # -- a trial's way -----------------------------------------------------------------

    def claim(
        self, study_id: int, worker_id: int, *, lease_seconds: float, sampled: int = 0
    ) -> Answer:
        """Claim the next trial for this worker, or learn why there is none.

        Trials whose lease lapsed are put back first. `sampled` is how many sampled
        trials the worker trains: a worker with its share of them gets no new one. When
        the commit arrived and the answer was lost, the next try returns the same trial.
        """
        token = secrets.token_hex(16)
        work = partial(
            claims.claim,
            worker_id=worker_id,
            lease_seconds=lease_seconds,
            token=token,
            sampled=sampled,
        )
        with suppress(StudyGone):
            return self.database.transact(work, study=study_id, failpoint="claim")
        return Done("the study was deleted")

    def bind(
        self,
        trial_id: int,
        attempt: int,
        *,
        setting: Setting,
        params: Mapping[str, Json],
        seed: int,
    ) -> bool:
        """Give a claimed trial its setting; False where the attempt was fenced off.

        `params` are for Optuna's row.
        """
        sampled: Json = {
            "setting": records.dump(setting.to_json()),
            "params": records.dump(params),
        }
        work = partial(
            attempts.bind, trial_id=trial_id, attempt=attempt, seed=seed, **sampled
        )
        return self._change_trial(trial_id, work, "bind")

    def renew_leases(
        self, holds: Sequence[tuple[int, int]], *, worker_id: int, lease_seconds: float
    ) -> Renewal:
        """Renew the leases of (trial id, attempt) pairs; learn which are lost."""
        return self.database.transact(
            lambda tx: attempts.renew_leases(
                tx, holds, worker_id=worker_id, lease_seconds=lease_seconds
            )
        )

    def finish(self, outcome: Outcome, points: Sequence[CurvePoint]) -> bool:
        """Record an attempt's end and its last epochs, once; False where it was fenced off.

        INTERRUPTED puts the trial back without counting it as lost. An outcome that is
        recorded already returns True again.
        """
        if outcome.status is Status.LOST:
            return False

        def finish(tx: Transaction) -> bool:
            recorded = attempts.finish(tx, outcome, points)
            if recorded and outcome.status.terminal:
                states.close_if_over(tx)
            return recorded

        return self._change_trial(outcome.trial_id, finish, "finish")

    def lose(self, trial_id: int, attempt: int, *, reason: str) -> bool:
        """Close an attempt whose worker is dead; its trial waits again, or fails if lost often."""
        return self._change_trial(
            trial_id, lambda tx: attempts.lose(tx, trial_id, attempt, reason), "lose"
        )

    def _change_trial(
        self, trial_id: int, work: Callable[[Transaction], bool], failpoint: str
    ) -> bool:
        """Do `work` with the trial's study locked; False where the study is deleted."""
        with suppress(StudyGone):
            return self.database.transact(
                work, study=study_of(trial_id), failpoint=failpoint
            )
        return False

    def reap(self, *, lease_seconds: float = 60.0) -> int:
        """Put back every trial whose lease has lapsed, in every study; returns how many.

        Puts none back within `lease_seconds` of an outage that this ledger saw: living
        workers get that time to renew their leases.
        """
        if self.database.cut_off_within(lease_seconds):
            return 0
        lapsed = and_(IS_RUNNING, trials.c.lease_until < self.database.clock)
        reaped = 0
        for row in self.database.rows(
            select(trials.c.study_id).where(lapsed).distinct()
        ):
            with suppress(StudyGone):
                work, study_id = attempts.reap, row.study_id
                reaped += self.database.transact(work, study=study_id, failpoint="reap")
        return reaped

    def plan_retests(
        self,
        study_id: int,
        planned: Sequence[Retest],
        *,
        rule: tuple[int, int] | None = None,
    ) -> bool:
        """Queue retests; returns whether any is new. See `retests.plan_retests`."""
        work = partial(retests.plan_retests, retests=planned, rule=rule)
        with suppress(StudyGone):
            return self.database.request(work, study=study_id, failpoint="plan")
        return False

    def plan_round(
        self, study_id: int, planned: Sequence[Retest], *, total: int
    ) -> bool:
        """Queue a race's next retests; returns whether any is new. See `retests.plan_round`."""
        work = partial(retests.plan_round, retests=planned, total=total)
        with suppress(StudyGone):
            return self.database.request(work, study=study_id, failpoint="plan")
        return False

    # -- curves and checkpoints --------------------------------------------------------

    def add_curves(
        self, points: Mapping[tuple[int, int], Sequence[CurvePoint]]
    ) -> frozenset[tuple[int, int]]:
        """Add epochs of running attempts, by (trial id, attempt); returns the fenced-off attempts.

        One transaction, one try: training goes on through an outage, and the caller
        keeps what was not written. Raises StorageUnavailable.
        """

        def add(tx: Transaction) -> frozenset[tuple[int, int]]:
            # Rows are locked in the order of trials, as a reaping does: no two can
            # deadlock.
            pairs = sorted(points)
            return frozenset(
                each
                for each in pairs
                if not attempts.add_points(tx, *each, points[each])
            )

        return self.database.try_write(add)

    def add_checkpoint(self, trial_id: int, written: CheckpointRecord) -> bool:
        """Enter a checkpoint in the trial's manifest; False where the attempt was fenced off.

        One try, as for curves. Raises StorageUnavailable.
        """
        return self.database.try_write(
            lambda tx: attempts.add_checkpoint(tx, trial_id, written)
        )

    def forget_checkpoints(self, trial_id: int) -> None:
        """Empty a trial's manifest; the caller removes the files."""
        mine = delete(checkpoints).where(checkpoints.c.trial_id == trial_id)
        self.database.transact(lambda tx: tx.execute(mine))

    # -- engines' figures --------------------------------------------------------------

    def note_calibration(self, study_id: int, machine: str, figures: Json) -> bool:
        """Store a machine's figures; False where another worker's figures are there and stay."""
        row = {
            "study_id": study_id,
            "machine": machine[:255],
            "figures": records.dump(figures),
        }
        try:
            self.database.transact(
                lambda tx: tx.execute(insert(calibrations).values(**row))
            )
        except IntegrityError:
            # True where our own commit arrived and its answer was lost.
            return bool(self.calibration(study_id, machine) == figures)
        return True
