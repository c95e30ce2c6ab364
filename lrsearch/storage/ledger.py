"""The ledger: a study's budget, trials, attempts, curves and workers in a SQL database; the one truth.

Every method is one short transaction, repeated with backoff while the database is away, and safe to repeat. Raises StorageUnavailable
when an outage outlasts the ledger's patience. Safe to use from several threads; a connection is each thread's own.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from lrsearch.errors import FingerprintMismatch, Refused, UnknownName
from lrsearch.storage import claims, records
from lrsearch.storage.claims import Answer, Beat, Move, Retest
from lrsearch.storage.database import now_expression, patiently
from lrsearch.storage.records import AttemptRecord, CheckpointRecord, Counts, Records
from lrsearch.storage.tables import attempts, checkpoints, curves, studies, trials, workers
from lrsearch.values import (
    CurvePoint,
    Json,
    Kind,
    Origin,
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
    from optuna.storages import BaseStorage

T = TypeVar("T")


class Ledger:
    """See the module. Made by `open_ledger`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._clock = now_expression(engine.dialect.name)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def now(self) -> float:
        """The database's clock, seconds since 1970."""
        return float(self._run(lambda connection: connection.execute(select(self._clock)).scalar_one()))

    def _run(self, work: Callable[[Connection], T]) -> T:
        return patiently(self.engine, work)

    def _move(self, study_id: int, work: Callable[[Move], T]) -> T:
        return self._run(lambda connection: work(Move(connection, study_id)))

    def _trial_move(self, trial_id: int, work: Callable[[Move], T], otherwise: T) -> T:
        """`work` on the study that owns the trial; `otherwise` where there is no such trial any more."""

        def moved(connection: Connection) -> T:
            study_id = connection.execute(select(trials.c.study_id).where(trials.c.id == trial_id)).scalar_one_or_none()
            return otherwise if study_id is None else work(Move(connection, study_id))

        return self._run(moved)

    # -- studies ---------------------------------------------------------------------------------------------------------

    def create_study(self, plan: StudyPlan) -> StudyRecord:
        """Make the study, or find it: any number of processes may try at once.

        Raises FingerprintMismatch where the stored one was made from another definition.
        """
        from lrsearch.storage.mirror import ensure_optuna_study

        stored = self._find(plan.name) or self._insert_study(plan)
        ours, theirs = plan.facts.fingerprint, stored.plan.facts.fingerprint
        differing = {
            name: (theirs.get(name), ours.get(name)) for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)
        }
        if differing:
            raise FingerprintMismatch(plan.name, differences=differing)
        ensure_optuna_study(self, stored)
        return self.study(plan.name)

    def _insert_study(self, plan: StudyPlan) -> StudyRecord:
        def inserted(connection: Connection) -> None:
            now = connection.execute(select(self._clock)).scalar_one()
            deadline = None if plan.timeout_seconds is None else float(now) + plan.timeout_seconds
            row = {
                "name": plan.name,
                "plan": records.plan_text(plan),
                "state": StudyState.OPEN.value,
                "reason": "",
                "trials": plan.trials,
            }
            zero = {"revision": 0, "searched": 0, "retests_for": 0}
            connection.execute(insert(studies).values(**row, **zero, deadline=deadline, created_at=now))

        try:
            self._run(inserted)
        except IntegrityError:  # another process was quicker, or our own commit's answer was lost
            pass
        return self.study(plan.name)

    def study(self, name: str) -> StudyRecord:
        """The study of that name. Raises UnknownName, suggesting the nearest."""
        found = self._find(name)
        if found is None:
            fix = "Start it with lrsearch start-study, or say where it is with --storage."
            raise UnknownName("study", got=name, known=[each.name for each in self.studies()], fix=fix)
        return found

    def _find(self, name: str) -> StudyRecord | None:
        row = self._run(lambda connection: connection.execute(select(studies).where(studies.c.name == name)).one_or_none())
        return None if row is None else records.study_from(row)

    def studies(self) -> list[StudyRecord]:
        """Every study, the oldest first."""
        rows = self._run(lambda connection: connection.execute(select(studies).order_by(studies.c.id)).all())
        return [records.study_from(row) for row in rows]

    def set_budget(self, study_id: int, *, trials: int | None = None, timeout_seconds: float | None = None) -> None:
        """Set the study's total of trials, never below what has begun, and its end, so many seconds from now; None keeps."""

        def changed(move: Move) -> None:
            columns: dict[str, Any] = {}
            if trials is not None:
                columns["trials"] = max(trials, move.study.searched)
            if timeout_seconds is not None:
                columns["deadline"] = move.now + timeout_seconds
            elif trials is not None:
                columns["deadline"] = None  # an old deadline must not end the new budget
            if move.study.state == StudyState.FINISHED:
                columns["state"] = StudyState.OPEN.value
            move.change_study(**columns)

        self._move(study_id, changed)

    def extend(self, study_id: int, *, trials: int | None = None, timeout_seconds: float | None = None) -> StudyRecord:
        """Raise the total by `trials`, or end the study so many seconds from now."""
        record = self._by_id(study_id)
        total = None if trials is None else (record.trials if record.trials is not None else self.counts(study_id).total) + trials
        self.set_budget(study_id, trials=total, timeout_seconds=timeout_seconds)
        return self._by_id(study_id)

    def _by_id(self, study_id: int) -> StudyRecord:
        row = self._run(lambda connection: connection.execute(select(studies).where(studies.c.id == study_id)).one())
        return records.study_from(row)

    def set_state(self, study_id: int, state: StudyState, reason: str = "") -> None:
        """Say what the study's workers may do."""
        self._move(study_id, lambda move: move.change_study(state=state.value, reason=reason))

    def retry_failed(self, study_id: int) -> list[int]:
        """Queue each failed trial's setting once more as a new trial, and raise the budget by as many; returns their numbers."""

        def queued(move: Move) -> list[int]:
            again = select(trials.c.parent).where(trials.c.study_id == study_id, trials.c.origin == Origin.RETRY.value)
            failed = select(trials).where(
                trials.c.study_id == study_id,
                trials.c.kind == Kind.SEARCH.value,
                trials.c.state == TrialState.FAILED.value,
                trials.c.setting.is_not(None),
                trials.c.number.not_in(again),
            )
            rows = move.connection.execute(failed.order_by(trials.c.number)).all()
            numbers = [move.study.searched + place for place in range(len(rows))]
            for number, row in zip(numbers, rows, strict=True):
                new = claims.new_trial(move, number=number, kind=Kind.SEARCH, origin=Origin.RETRY, setting=None)
                move.connection.execute(insert(trials).values(**{**new, "setting": row.setting, "parent": row.number}))
            budget = None if move.study.trials is None else move.study.trials + len(rows)
            state = StudyState.OPEN.value if rows and move.study.state == StudyState.FINISHED else move.study.state
            move.change_study(searched=move.study.searched + len(rows), trials=budget, state=state)
            return numbers

        return self._move(study_id, queued)

    def delete_study(self, study_id: int) -> None:
        """Delete the study here and at Optuna. Raises Refused while a worker holds a trial."""
        from lrsearch.storage.mirror import delete_optuna_study

        def deleted(move: Move) -> None:
            claims.reap(move)
            running = move.connection.execute(
                select(func.count()).select_from(trials).where(claims._running(study_id))
            ).scalar_one()  # noqa: SLF001
            if running:
                raise Refused(
                    f"study {move.plan.name!r} has {running} trials in training. Stop it first: lrsearch stop --now {move.plan.name}"
                )
            mine = select(trials.c.id).where(trials.c.study_id == study_id)
            for table in (attempts, curves, checkpoints):
                move.connection.execute(delete(table).where(table.c.trial_id.in_(mine)))
            for table in (trials, workers):
                move.connection.execute(delete(table).where(table.c.study_id == study_id))
            move.connection.execute(delete(studies).where(studies.c.id == study_id))

        record = self._by_id(study_id)
        self._move(study_id, deleted)
        delete_optuna_study(self, record)

    # -- workers ---------------------------------------------------------------------------------------------------------

    def add_worker(self, study_id: int, *, host: str, pid: int, slot: str, versions: Json) -> int:
        """Enter a worker; returns its id."""

        def added(connection: Connection) -> int:
            now = connection.execute(select(self._clock)).scalar_one()
            row = {"study_id": study_id, "host": host[:255], "pid": pid, "slot": slot, "versions": records.dump(dict(versions))}
            begun = {"state": "starting", "started_at": now, "last_seen": now}
            return int(connection.execute(insert(workers).values(**row, **begun)).inserted_primary_key[0])

        return self._run(added)

    def worker_seen(self, worker_id: int, state: str) -> None:
        """Note a worker's state: starting, training, idle, gone."""
        seen = update(workers).where(workers.c.id == worker_id).values(state=state, last_seen=self._clock)
        self._run(lambda connection: connection.execute(seen) and None)

    def workers(self, study_id: int) -> list[WorkerRecord]:
        """The study's workers, gone ones too, the oldest first."""
        query = select(workers).where(workers.c.study_id == study_id).order_by(workers.c.id)
        return [records.worker_from(row) for row in self._run(lambda connection: connection.execute(query).all())]

    # -- a trial's way ---------------------------------------------------------------------------------------------------

    def claim(self, study_id: int, worker_id: int, *, lease_seconds: float) -> Answer:
        """The next trial for this worker, or why there is none; lapsed leases are reaped on the way."""
        token = secrets.token_hex(16)
        return self._run(
            lambda connection: claims.claim(connection, study_id, worker_id, lease_seconds=lease_seconds, token=token)
        )

    def bind(self, trial_id: int, attempt: int, *, setting: Setting, params: Json, seed: int) -> bool:
        """Give a claimed trial its setting; False where the attempt is not the holder's any more."""
        bound = lambda move: claims.bind(move, trial_id, attempt, setting=setting, params=params, seed=seed)  # noqa: E731
        return self._trial_move(trial_id, bound, otherwise=False)

    def beat(self, holds: Sequence[tuple[int, int]], *, worker_id: int, lease_seconds: float) -> Beat:
        """Renew the leases of (trial id, attempt) pairs; learn which are lost."""
        return self._run(lambda connection: claims.beat(connection, holds, worker_id=worker_id, lease_seconds=lease_seconds))

    def finish(self, outcome: Outcome, points: Sequence[CurvePoint]) -> bool:
        """Record an attempt's end and its last epochs in one transaction, once; False where it was fenced off.

        INTERRUPTED puts the trial back without counting it as lost. An outcome that stands already is True again.
        """
        if outcome.status is Status.LOST:
            return False
        return self._trial_move(outcome.trial_id, lambda move: claims.finish(move, outcome, points), otherwise=False)

    def lose(self, trial_id: int, attempt: int, *, reason: str) -> bool:
        """Close an attempt whose worker is known to be dead; the trial goes back, or fails after too many losses."""
        return self._trial_move(trial_id, lambda move: claims.lose(move, trial_id, attempt, reason), otherwise=False)

    def reap(self) -> int:
        """Put back every trial whose lease has lapsed, in every study; returns how many."""

        def reaped(move: Move) -> int:
            count = claims.reap(move)
            if count:
                move.change_study()
            return count

        lapsed = select(trials.c.study_id).where(trials.c.state == "running", trials.c.lease_until < self._clock).distinct()
        found = self._run(lambda connection: connection.execute(lapsed).scalars().all())
        return sum(self._move(study_id, reaped) for study_id in found)

    def plan_retests(self, study_id: int, retests: Sequence[Retest]) -> None:
        """Queue retests; those that exist already, from an earlier plan, stay as they are."""

        def planned(move: Move) -> None:
            mine = and_(trials.c.study_id == study_id, trials.c.kind == Kind.RETEST.value)
            there = {
                (row.parent, row.repeat_no)
                for row in move.connection.execute(select(trials.c.parent, trials.c.repeat_no).where(mine))
            }
            new = [each for each in retests if (each.parent, each.repeat) not in there]
            for place, each in enumerate(new):
                self._insert_retest(move, each, number=len(there) + place)
            done = claims._states(move)[Kind.SEARCH, "done"]  # noqa: SLF001
            move.change_study(retests_for=done)

        self._move(study_id, planned)

    def _insert_retest(self, move: Move, retest: Retest, *, number: int) -> None:
        of_parent = and_(trials.c.study_id == move.study_id, trials.c.kind == Kind.SEARCH.value, trials.c.number == retest.parent)
        parent = move.connection.execute(select(trials.c.setting, trials.c.origin).where(of_parent)).one()
        row = claims.new_trial(move, number=number, kind=Kind.RETEST, origin=Origin(parent.origin), setting=None)
        more = {"setting": parent.setting, "parent": retest.parent, "repeat_no": retest.repeat, "seed": retest.seed}
        move.connection.execute(insert(trials).values(**{**row, **more}))

    # -- reading ---------------------------------------------------------------------------------------------------------

    def trials(self, study_id: int, *, kind: Kind | None = None, changed_since: int | None = None) -> Records:
        """The study's trials by kind and number; with `changed_since`, those that changed after that revision."""
        query = select(trials).where(trials.c.study_id == study_id)
        if kind is not None:
            query = query.where(trials.c.kind == kind.value)
        if changed_since is not None:
            query = query.where(trials.c.revision > changed_since)

        def read(connection: Connection) -> Records:
            # The revision first: what changes in between is then read again next time, never missed.
            revision = connection.execute(select(studies.c.revision).where(studies.c.id == study_id)).scalar_one_or_none()
            rows = connection.execute(query.order_by(trials.c.kind.desc(), trials.c.number))
            found = Records(records.trial_from(row) for row in rows)
            found.revision = revision or 0
            return found

        return self._run(read)

    def counts(self, study_id: int) -> Counts:
        """How many search trials stand where, and how many retests there are."""
        query = select(trials.c.kind, trials.c.state, func.count().label("number")).where(trials.c.study_id == study_id)
        rows = self._run(lambda connection: connection.execute(query.group_by(trials.c.kind, trials.c.state)).all())
        search = {row.state: row.number for row in rows if row.kind == Kind.SEARCH.value}
        retests = {row.state: row.number for row in rows if row.kind == Kind.RETEST.value}
        done = sum(number for state, number in retests.items() if TrialState(state).terminal)
        return Counts(**search, retests=sum(retests.values()), retests_done=done)

    def attempts(self, trial_id: int) -> list[AttemptRecord]:
        """A trial's attempts, the first one first."""
        query = select(attempts).where(attempts.c.trial_id == trial_id).order_by(attempts.c.attempt)
        return [records.attempt_from(row) for row in self._run(lambda connection: connection.execute(query).all())]

    # -- curves ----------------------------------------------------------------------------------------------------------

    def add_curve(self, trial_id: int, attempt: int, points: Sequence[CurvePoint]) -> bool:
        """Add epochs of a running attempt; False where it was fenced off."""

        def added(connection: Connection) -> bool:
            held = and_(trials.c.id == trial_id, trials.c.attempt == attempt, trials.c.state == "running")
            row = connection.execute(select(trials.c.id, trials.c.study_id, trials.c.kind).where(held)).one_or_none()
            if row is not None:
                claims.write_points(connection, row, attempt, points)
            return row is not None

        return self._run(added)

    def curve(self, trial_id: int) -> list[CurvePoint]:
        """A trial's epochs in order."""
        query = select(curves).where(curves.c.trial_id == trial_id).order_by(curves.c.epoch)
        return [records.point_from(row) for row in self._run(lambda connection: connection.execute(query).all())]

    def curves(self, study_id: int) -> dict[int, list[CurvePoint]]:
        """Every trial's epochs, by trial id."""
        query = select(curves).where(curves.c.study_id == study_id).order_by(curves.c.trial_id, curves.c.epoch)
        return records.by_trial(self._run(lambda connection: connection.execute(query).all()))

    def rung_values(self, study_id: int, epoch: int) -> list[float]:
        """The objective of every search trial at the end of `epoch`, where it is finite."""
        at = and_(
            curves.c.study_id == study_id,
            curves.c.kind == Kind.SEARCH.value,
            curves.c.epoch == epoch,
            curves.c.value.is_not(None),
        )
        return list(self._run(lambda connection: connection.execute(select(curves.c.value).where(at)).scalars().all()))

    # -- checkpoints -----------------------------------------------------------------------------------------------------

    def checkpoint_written(self, trial_id: int, attempt: int, *, epoch: int, path: str, sha256: str, size: int) -> bool:
        """Enter a checkpoint in the trial's manifest; False where the attempt was fenced off."""

        def entered(connection: Connection) -> bool:
            held = and_(trials.c.id == trial_id, trials.c.attempt == attempt, trials.c.state == "running")
            if connection.execute(select(trials.c.id).where(held)).one_or_none() is None:
                return False
            key = {"trial_id": trial_id, "attempt": attempt, "epoch": epoch}
            connection.execute(delete(checkpoints).filter_by(**key))
            now = connection.execute(select(self._clock)).scalar_one()
            connection.execute(insert(checkpoints).values(**key, path=path, sha256=sha256, size=size, written_at=now))
            return True

        return self._run(entered)

    def checkpoints(self, trial_id: int) -> list[CheckpointRecord]:
        """A trial's manifest, the newest first."""
        newest = (checkpoints.c.epoch.desc(), checkpoints.c.attempt.desc())
        query = select(checkpoints).where(checkpoints.c.trial_id == trial_id).order_by(*newest)
        return [records.checkpoint_from(row) for row in self._run(lambda connection: connection.execute(query).all())]

    def forget_checkpoints(self, trial_id: int) -> None:
        """Empty a trial's manifest; its files are the caller's."""
        self._run(lambda connection: connection.execute(delete(checkpoints).where(checkpoints.c.trial_id == trial_id)) and None)

    # -- Optuna ----------------------------------------------------------------------------------------------------------

    def optuna_storage(self) -> BaseStorage:
        """Optuna's own storage in the same database."""
        from lrsearch.storage._optuna import open_optuna

        return open_optuna(self.engine.url)
