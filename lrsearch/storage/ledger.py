"""The ledger: a study's budget, trials, attempts, curves and workers in a SQL database; the one
truth.

Every method is one short transaction, repeated with backoff while the database is away, and safe to
repeat. Raises StorageUnavailable when an outage outlasts the ledger's patience. Safe to use from
several threads; a connection is each thread's own.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from lrsearch.errors import StorageProblem, StorageUnavailable, UnknownName
from lrsearch.storage import claims, ends, records, states
from lrsearch.storage import glance as glances
from lrsearch.storage import retests as retest_moves
from lrsearch.storage import studies as study_moves
from lrsearch.storage.claims import Answer, Done
from lrsearch.storage.database import Database, new_id, where
from lrsearch.storage.ends import Beat
from lrsearch.storage.glance import Glance
from lrsearch.storage.move import Move, StudyGone, study_of
from lrsearch.storage.records import AttemptRecord, CheckpointRecord, Counts, Records, RungValue
from lrsearch.storage.retests import RetestsAsked, RetestsTaken
from lrsearch.storage.studies import Retest
from lrsearch.storage.tables import (
    attempts,
    calibrations,
    checkpoints,
    curves,
    studies,
    trials,
    workers,
)
from lrsearch.storage.timing import WORKER_GONE_SECONDS
from lrsearch.storage.url import is_sqlite
from lrsearch.values import (
    Change,
    CurvePoint,
    Json,
    Kind,
    Outcome,
    Setting,
    Status,
    StudyPlan,
    StudyRecord,
    StudyState,
    TrialState,
    WorkerRecord,
)

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from lrsearch.storage._optuna import AttrChange

T = TypeVar("T")


def no_seam(_label: str) -> None:
    """Where a drill kills the process."""


class Ledger:
    """See the module. Made by `open_ledger`.

    `seam` is called with "NAME.written" just before the transaction of a worker's step commits, and
    with "NAME.committed" after.
    """

    def __init__(self, database: Database, *, seam: Callable[[str], None] = no_seam) -> None:
        self.database = database
        self._clock = database.clock
        self._seam = seam
        self._optuna: RDBStorage | None = None
        self._opening = threading.Lock()

    def close(self) -> None:
        """Give the connections back."""
        if self._optuna is not None:
            from lrsearch.storage._optuna import close_optuna

            close_optuna(self._optuna)
        self.database.close()

    def now(self) -> float:
        """The database's clock, seconds since 1970."""
        return float(
            self.database.read(
                lambda connection: connection.execute(select(self._clock)).scalar_one()
            )
        )

    def optuna_storage(self) -> RDBStorage:
        """Optuna's own storage in the same database, with our time-outs and transactions; closed
        with the ledger.
        """
        from lrsearch.storage._optuna import open_optuna

        with self._opening:
            if self._optuna is None:
                self._optuna = open_optuna(self.database.url)
            return self._optuna

    def change_optuna_attrs(self, optuna_study_id: int, change: AttrChange) -> None:
        """Write, in one transaction, the system attributes that `change` gives, asked with those
        that are there and with the ids of Optuna's trials by number. A study that is gone is left.
        Raises StorageUnavailable.
        """
        from lrsearch.storage._optuna import change_attrs

        self.database.write(lambda connection: change_attrs(connection, optuna_study_id, change))

    def move(self, study_id: int, work: Callable[[Move], T], *, gone: T, seam: str = "") -> T:
        """`work` with the study locked; `gone` where it was deleted meanwhile."""
        return self._moved(study_id, work, gone, seam)

    def _moved(self, which: object, work: Callable[[Move], T], gone: T, seam: str) -> T:
        def moved(connection: Connection) -> T:
            result = work(Move(connection, self._clock, which))
            if seam:
                self._seam(f"{seam}.written")
            return result

        try:
            result = self.database.write(moved)
        except StudyGone:
            return gone
        if seam:
            self._seam(f"{seam}.committed")
        return result

    def _change(self, study_id: int, work: Callable[[Move], T]) -> T:
        """The same for what is asked of a study by hand: one that is gone is an error.

        Served once, however often it is tried.
        """
        token = secrets.token_hex(16)
        return self.database.write(
            lambda connection: Move(connection, self._clock, study_id).once(token, work)
        )

    # -- studies -----------------------------------------------------------------------------------------------------------------

    def create_study(self, plan: StudyPlan, *, began: float | None = None) -> StudyRecord:
        """Make the study with its first trials, or find it: any number of processes may try at
        once.

        Its time-out counts from `began`, by this process' monotonic clock; from now where that is
        None. Nobody can make a second one of a name, so that a commit whose answer was lost is
        found again by it.

        Raises FingerprintMismatch where the stored one was made from another definition,
        InvalidValue where Optuna has a study of that name with trials that are not ours.
        """
        from lrsearch.definition import check_facts
        from lrsearch.storage._optuna import make_study, refuse_foreign_study

        stored = self._find(plan.name)
        if stored is None:
            refuse_foreign_study(self.optuna_storage(), plan.name)  # before anything is made
            stored = self._insert(plan, began)
        check_facts(stored, plan.facts)
        if not stored.optuna_study_id:
            facts = stored.plan.facts
            made = make_study(self.optuna_storage(), stored.name, facts.direction, facts.objective)
            self._change(stored.id, lambda move: move.change_study(optuna_study_id=made))
        return self.study(plan.name)

    def _insert(self, plan: StudyPlan, began: float | None) -> StudyRecord:
        end = study_moves.end_of(plan.timeout_seconds, began)
        # another process was quicker, or our own commit's answer was lost
        with suppress(IntegrityError):
            self.database.write(
                lambda connection: study_moves.insert_study(connection, self._clock, plan, end)
            )
        return self.study(plan.name)

    def study(self, name: str) -> StudyRecord:
        """The study of that name. Raises UnknownName, suggesting the nearest."""
        found = self._find(name)
        if found is None:
            fix = "Start it with lrsearch start-study, or say where it is with --storage."
            raise UnknownName(
                "study", got=name, known=[each.name for each in self.studies()], fix=fix
            )
        return found

    def _find(self, name: str) -> StudyRecord | None:
        query = select(studies).where(studies.c.name == name)
        row = self.database.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else records.study_from(row)

    def studies(self) -> list[StudyRecord]:
        """Every study, the oldest first."""
        rows = self.database.read(
            lambda connection: connection.execute(select(studies).order_by(studies.c.id)).all()
        )
        return [records.study_from(row) for row in rows]

    def set_budget(
        self,
        study_id: int,
        *,
        trials: int | None = None,
        trainings: int | None = None,
        timeout_seconds: float | None = None,
        began: float | None = None,
    ) -> None:
        """Set the study's totals of trials and of trainings, never below what has begun, and its
        end, so many seconds after `began`; None keeps.

        `began` is by this process' monotonic clock, now where it is None. A finished study is open
        again; a deadline that has passed goes when trials are given.
        """
        end = study_moves.end_of(timeout_seconds, began)
        self._change(
            study_id,
            lambda move: study_moves.set_budget(move, total=trials, end=end, trainings=trainings),
        )

    def extend(
        self,
        study_id: int,
        *,
        trials: int | None = None,
        trainings: int | None = None,
        timeout_seconds: float | None = None,
    ) -> StudyRecord:
        """Raise the total by `trials`, or by `trainings` of search and retests, or end the study so
        many seconds from now.
        """
        end = study_moves.end_of(timeout_seconds, None)
        self._change(
            study_id,
            lambda move: study_moves.extend(move, more=trials, end=end, trainings=trainings),
        )
        return self._reread(study_id)

    def _reread(self, study_id: int) -> StudyRecord:
        query = select(studies).where(studies.c.id == study_id)
        return records.study_from(
            self.database.read(lambda connection: connection.execute(query).one())
        )

    def set_state(self, study_id: int, state: StudyState, reason: str = "") -> StudyState:
        """Say what the study's workers may do; returns its state then, another one where `state`
        may not follow (`states`).
        """
        return StudyState(
            self._change(study_id, lambda move: states.change_state(move, state, reason).value)
        )

    def record_changes(self, study_id: int, changes: Sequence[Change]) -> StudyRecord:
        """Keep with the study what changed of its definition; its waiting trials begin anew where
        that touches their training.
        """
        self._change(study_id, lambda move: study_moves.record_changes(move, changes))
        return self._reread(study_id)

    def keep_threads(self, study_id: int, threads: int | None) -> None:
        """Note how many threads each of the study's CPU workers has."""
        self._change(study_id, lambda move: move.change_study(threads=threads))

    def retry_failed(self, study_id: int) -> list[int]:
        """Queue each failed trial's setting once more as a new trial, and raise the budget by as
        many; returns their numbers.

        A failed trial is retried once; its retry, should it fail, may be retried in turn. A broken
        study is open again.
        """
        return self._change(study_id, study_moves.retry_failed)

    def delete_study(self, study_id: int) -> None:
        """Delete the study here and at Optuna. Raises Refused while a worker holds a trial."""
        from lrsearch.storage._optuna import drop_study
        from lrsearch.storage.database import PATIENCE_SECONDS, patiently

        name = self._change(study_id, study_moves.part_from_optuna)
        engine = self.optuna_storage().engine
        try:  # by name: a deletion that was cut short has lost the number
            patiently(
                engine,
                lambda connection: drop_study(connection, name),
                patience_seconds=PATIENCE_SECONDS,
            )
        except StorageProblem as error:
            if name.isascii() or isinstance(error, StorageUnavailable):
                raise  # else Optuna's tables, in MySQL's default alphabet, cannot hold the name
        # gone: by our own commit, whose answer was lost
        self._moved(study_id, study_moves.delete_rows, gone=None, seam="")

    # -- workers -----------------------------------------------------------------------------------------------------------------

    def add_worker(
        self, study_id: int, *, host: str, pid: int, slot: str, versions: Mapping[str, str]
    ) -> int:
        """Enter a worker; returns its id.

        Raises StorageProblem for a second host's on SQLite, whose locks hold on one alone.
        """
        host, slot = host[:255], slot[:64]

        def added(move: Move) -> int:
            if is_sqlite(self.database.url):
                self._refuse_second_host(move, host)
            row = {
                "study_id": study_id,
                "host": host,
                "pid": pid,
                "slot": slot,
                "versions": records.dump(dict(versions)),
            }
            begun = {"state": "starting", "started_at": move.now, "last_seen": move.now}
            return new_id(move.connection.execute(insert(workers).values(**row, **begun)))

        return self._change(study_id, added)

    def _refuse_second_host(self, move: Move, host: str) -> None:
        seen = and_(workers.c.state != "gone", workers.c.last_seen > move.now - WORKER_GONE_SECONDS)
        others = (
            select(workers.c.host)
            .where(workers.c.study_id == move.study_id, seen, workers.c.host != host)
            .limit(1)
        )
        other = move.connection.execute(others).scalar_one_or_none()
        if other is not None:
            fix = "Use PostgreSQL: lrsearch database start --dir DIR."
            raise StorageProblem(
                f"{where(self.database.url)} has workers on host {other}; SQLite serves one host, not {host} too.",
                fix=fix,
            )

    def worker_seen(self, worker_id: int, state: str) -> None:
        """Note a worker's state: starting, training, idle, gone."""
        seen = (
            update(workers)
            .where(workers.c.id == worker_id)
            .values(state=state, last_seen=self._clock)
        )
        self.database.write(lambda connection: connection.execute(seen) and None)

    def workers(self, study_id: int) -> list[WorkerRecord]:
        """The study's workers, gone ones too, the oldest first."""
        return self.database.read(lambda connection: glances.read_workers(connection, study_id))

    # -- engines -----------------------------------------------------------------------------------------------------------------

    def calibration(self, study_id: int, machine: str) -> Json | None:
        """What the engines' figures on such a machine are, where somebody measured them."""
        query = select(calibrations.c.figures).where(
            calibrations.c.study_id == study_id, calibrations.c.machine == machine[:255]
        )
        found = self.database.read(
            lambda connection: connection.execute(query).scalar_one_or_none()
        )
        return None if found is None else json.loads(found)

    def calibrations(self, study_id: int) -> dict[str, Json]:
        """All of them, by machine."""
        query = select(calibrations.c.machine, calibrations.c.figures).where(
            calibrations.c.study_id == study_id
        )
        rows = self.database.read(
            lambda connection: connection.execute(query.order_by(calibrations.c.machine)).all()
        )
        return {row.machine: json.loads(row.figures) for row in rows}

    def note_calibration(self, study_id: int, machine: str, figures: Json) -> bool:
        """Keep a machine's figures; False where another worker has done so: the first has the word."""
        row = {"study_id": study_id, "machine": machine[:255], "figures": records.dump(figures)}
        try:
            self.database.write(
                lambda connection: connection.execute(insert(calibrations).values(**row)) and None
            )
        except IntegrityError:
            # by our own commit, whose answer was lost
            return bool(self.calibration(study_id, machine) == figures)
        return True

    # -- a trial's way -----------------------------------------------------------------------------------------------------------

    def claim(
        self, study_id: int, worker_id: int, *, lease_seconds: float, sampled: int = 0
    ) -> Answer:
        """The next trial for this worker, or why there is none; lapsed leases are reaped on the
        way.

        `sampled` is how many sampled trials the worker has in training: where they are its share,
        no new one is handed out.

        A worker may hold several. A claim whose commit arrived and whose answer was lost is
        answered again by the next try.
        """
        token = secrets.token_hex(16)
        gone: Answer = Done("the study was deleted")

        def claimed(move: Move) -> Answer:
            # After an outage every lease may have lapsed, of workers that live: they get a lease's
            # time to renew them.
            reaps = not self.database.cut_off_within(lease_seconds)
            return claims.claim(
                move,
                worker_id,
                lease_seconds=lease_seconds,
                token=token,
                reaps=reaps,
                sampled=sampled,
            )

        return self._moved(study_id, claimed, gone, "claim")

    def bind(
        self,
        trial_id: int,
        attempt: int,
        *,
        setting: Setting,
        params: Mapping[str, Json],
        seed: int,
    ) -> bool:
        """Give a claimed trial its setting; `params` are for Optuna's row.

        False where it was fenced off.
        """

        def bound(move: Move) -> bool:
            return ends.bind(move, trial_id, attempt, setting=setting, params=params, seed=seed)

        return self._moved(study_of(trial_id), bound, gone=False, seam="bind")

    def beat(
        self, holds: Sequence[tuple[int, int]], *, worker_id: int, lease_seconds: float
    ) -> Beat:
        """Renew the leases of (trial id, attempt) pairs; learn which are lost, and what the study
        wants.
        """

        def beaten(connection: Connection) -> Beat:
            return ends.beat(
                connection, self._clock, holds, worker_id=worker_id, lease_seconds=lease_seconds
            )

        return self.database.write(beaten)

    def finish(self, outcome: Outcome, points: Sequence[CurvePoint]) -> bool:
        """Record an attempt's end and its last epochs in one transaction, once; False where it was
        fenced off.

        INTERRUPTED puts the trial back without counting it as lost. An outcome that stands already
        is True again.
        """
        if outcome.status is Status.LOST:
            return False

        def finished(move: Move) -> bool:
            recorded = ends.finish(move, outcome, points)
            if recorded and outcome.status.terminal:
                states.close_if_over(move)
            return recorded

        return self._moved(study_of(outcome.trial_id), finished, gone=False, seam="finish")

    def lose(self, trial_id: int, attempt: int, *, reason: str) -> bool:
        """Close an attempt whose worker is known to be dead; the trial goes back, or fails after
        too many losses.
        """
        return self._moved(
            study_of(trial_id),
            lambda move: ends.lose(move, trial_id, attempt, reason),
            gone=False,
            seam="lose",
        )

    def reap(self, *, lease_seconds: float = 60.0) -> int:
        """Put back every trial whose lease has lapsed, in every study; returns how many.

        None within `lease_seconds` of an outage that this very ledger saw: living workers may just
        be coming back.
        """
        if self.database.cut_off_within(lease_seconds):
            return 0
        lapsed = select(trials.c.study_id).where(
            trials.c.state == TrialState.RUNNING.value, trials.c.lease_until < self._clock
        )
        found = self.database.read(
            lambda connection: connection.execute(lapsed.distinct()).scalars().all()
        )
        return sum(self._moved(study_id, ends.reap, gone=0, seam="reap") for study_id in found)

    def plan_retests(
        self, study_id: int, retests: Sequence[Retest], *, rule: tuple[int, int] | None = None
    ) -> bool:
        """Queue retests; those that exist already, from an earlier plan, stay as they are.

        Whether there were new ones.

        None where the seeds and settings of the study's plan are not the `rule` any more that they
        were chosen by.
        """
        token = secrets.token_hex(16)

        def planned(move: Move) -> bool:
            return move.once(token, lambda move: study_moves.plan_retests(move, retests, rule))

        return self._moved(study_id, planned, gone=False, seam="plan")

    def ask_retests(self, study_id: int, asked: RetestsAsked) -> RetestsTaken | None:
        """Queue retests that somebody asks for, or keep the wish for the search's end; see
        `lrsearch.storage.retests`.

        None where search trials have ended since the settings were chosen: choose again.
        """
        taken = self._change(study_id, lambda move: retest_moves.ask(move, asked))
        return None if taken is None else RetestsTaken(**taken)

    # -- reading -----------------------------------------------------------------------------------------------------------------

    def trials(
        self, study_id: int, *, kind: Kind | None = None, changed_since: int | None = None
    ) -> Records:
        """The study's trials, search before retests, by number; with `changed_since`, those that
        changed after that revision.

        The answer's `revision` is what to ask with next time.
        """
        return self.database.read(
            lambda connection: glances.read_trials(
                connection, study_id, kind=kind, changed_since=changed_since
            )
        )

    def counts(self, study_id: int) -> Counts:
        """How many search trials stand where, and how many retests there are."""
        return self.database.read(lambda connection: glances.read_counts(connection, study_id))

    def glance(self, study_id: int, *, changed_since: int | None) -> Glance | None:
        """How a study stands, for views; None where it was deleted.

        One try, as for curves: whoever shows a study must hear signals meanwhile. Raises
        StorageUnavailable.
        """
        clock = self._clock
        return self.database.hurriedly(
            lambda connection: glances.glance(connection, clock, study_id, changed_since),
            reads=True,
        )

    def attempts(self, trial_id: int) -> list[AttemptRecord]:
        """A trial's attempts, the first one first."""
        query = select(attempts).where(attempts.c.trial_id == trial_id).order_by(attempts.c.attempt)
        return [
            records.attempt_from(row)
            for row in self.database.read(lambda connection: connection.execute(query).all())
        ]

    def all_attempts(self, study_id: int) -> list[AttemptRecord]:
        """The attempts at all of the study's trials, in no order."""
        query = (
            select(attempts)
            .join(trials, trials.c.id == attempts.c.trial_id)
            .where(trials.c.study_id == study_id)
        )
        return [
            records.attempt_from(row)
            for row in self.database.read(lambda connection: connection.execute(query).all())
        ]

    # -- curves ------------------------------------------------------------------------------------------------------------------

    def add_curves(
        self, points: Mapping[tuple[int, int], Sequence[CurvePoint]]
    ) -> frozenset[tuple[int, int]]:
        """Add epochs of running attempts, by (trial id, attempt), in one transaction; returns those
        that were fenced off.

        One try: training goes on through an outage, and the caller keeps what was not written.
        Raises StorageUnavailable.
        """

        def added(connection: Connection) -> frozenset[tuple[int, int]]:
            # By trial, as a reaper goes: two that lock the same rows never wait for each other.
            return frozenset(
                pair
                for pair in sorted(points)
                if not ends.add_points(connection, *pair, points[pair])
            )

        return self.database.hurriedly(added)

    def curve(self, trial_id: int) -> list[CurvePoint]:
        """A trial's epochs, in order."""
        query = select(curves).where(curves.c.trial_id == trial_id).order_by(curves.c.epoch)
        return [
            records.point_from(row)
            for row in self.database.read(lambda connection: connection.execute(query).all())
        ]

    def curves(self, study_id: int) -> dict[int, list[CurvePoint]]:
        """Every trial's epochs, by trial id."""
        query = (
            select(curves)
            .where(curves.c.study_id == study_id)
            .order_by(curves.c.trial_id, curves.c.epoch)
        )
        return records.by_trial(
            self.database.read(lambda connection: connection.execute(query).all())
        )

    def rung_values(self, study_id: int, epoch: int) -> list[RungValue]:
        """The objective of every search trial at the end of `epoch`, where it is finite; the asking
        trial's own included.

        One try, as for curves. Raises StorageUnavailable.
        """
        here = and_(
            curves.c.study_id == study_id,
            curves.c.kind == Kind.SEARCH.value,
            curves.c.epoch == epoch,
        )
        known = and_(here, curves.c.value.is_not(None), trials.c.setting.is_not(None))
        query = (
            select(curves.c.value, trials.c.origin, trials.c.setting)
            .join(trials, trials.c.id == curves.c.trial_id)
            .where(known)
        )
        rows = self.database.hurriedly(lambda connection: connection.execute(query).all())
        return [records.rung_value_from(row) for row in rows]

    # -- checkpoints -------------------------------------------------------------------------------------------------------------

    def checkpoint_written(
        self,
        trial_id: int,
        attempt: int,
        *,
        epoch: int,
        batch: int = 0,
        path: str,
        sha256: str,
        size: int,
    ) -> bool:
        """Enter a checkpoint in the trial's manifest; False where the attempt was fenced off.

        One try, as for curves: training goes on through an outage. Raises StorageUnavailable.
        """
        line = {"epoch": epoch, "batch": batch, "path": path, "sha256": sha256, "size": size}
        return self.database.hurriedly(
            lambda connection: ends.add_checkpoint(connection, self._clock, trial_id, attempt, line)
        )

    def checkpoints(self, trial_id: int) -> list[CheckpointRecord]:
        """A trial's manifest, the newest first."""
        newest = (
            checkpoints.c.epoch.desc(),
            checkpoints.c.batch.desc(),
            checkpoints.c.attempt.desc(),
        )
        query = select(checkpoints).where(checkpoints.c.trial_id == trial_id).order_by(*newest)
        return [
            records.checkpoint_from(row)
            for row in self.database.read(lambda connection: connection.execute(query).all())
        ]

    def forget_checkpoints(self, trial_id: int) -> None:
        """Empty a trial's manifest; its files are the caller's."""
        mine = delete(checkpoints).where(checkpoints.c.trial_id == trial_id)
        self.database.write(lambda connection: connection.execute(mine) and None)
