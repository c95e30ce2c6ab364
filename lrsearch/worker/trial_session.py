"""One worker's trials of one study: claim them, answer their progress, record their ends.

An engine calls `claim`, `watch` and `save`. Behind them are the ledger, the sampler,
the pruning rule, the heartbeat and the checkpoints. Nothing here is about one trial
only, so an engine may train several attempts at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lrsearch.events import Send
from lrsearch.messages import Broken, Note
from lrsearch.sampling import make_sampler
from lrsearch.storage import Claim, Done, Mirror, PlanRetests, Wait
from lrsearch.values import (
    BY_FIT,
    Kind,
    Origin,
    Outcome,
    Progress,
    Setting,
    Snapshot,
    Status,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialSpec,
    Verdict,
    comparable_records,
)
from lrsearch.worker.checkpoints import CheckpointStore, folder_of
from lrsearch.worker.config import WorkerConfig
from lrsearch.worker.curves import CurveBuffer
from lrsearch.worker.heartbeat import Heartbeat
from lrsearch.worker.judging import PruningJudge
from lrsearch.worker.leaving import LeavingRule
from lrsearch.worker.poisoned_study import breaking_failure
from lrsearch.worker.retest_planning import plan_retests
from lrsearch.worker.saving import CheckpointSaver
from lrsearch.worker.seeds import seed_of
from lrsearch.worker.shares import TimeShares
from lrsearch.worker.stopping import TIME_IS_UP, StopRequest
from lrsearch.worker.trial_messages import (
    place_text,
    trial_ended,
    trial_progress,
    trial_started,
)

if TYPE_CHECKING:
    from lrsearch.space import SearchSpace
    from lrsearch.storage import Ledger

SAY_EVERY_SECONDS = 0.5  # progress within an epoch, for people
# Optuna's rows are written in bulk: two writes per trial would cost short trials a
# tenth of their time.
MIRROR_EVERY_SECONDS = 1.0


@dataclass(slots=True)
class _Running:
    """An attempt that this worker trains."""

    trial: TrialRecord
    spec: TrialSpec
    said_at: float = 0.0  # monotonic


class TrialSession:
    """See the module. The methods come in the order of a trial's life: claim, watch, save, tell."""

    def __init__(
        self,
        config: WorkerConfig,
        ledger: Ledger,
        study: StudyRecord,
        space: SearchSpace,
        *,
        worker_id: int,
        heartbeat: Heartbeat,
        stop: StopRequest,
        send: Send,
    ) -> None:
        plan = study.plan
        root, policy = Path(config.checkpoints), config.checkpoint_policy
        store = CheckpointStore(root, folder_of(study), policy)
        self._ledger = ledger
        self._study = study
        self._space = space
        self._worker_id = worker_id
        self._lease_seconds = config.lease_seconds
        self._heartbeat, self._stop, self._send = heartbeat, stop, send
        self._mirror = Mirror(ledger)
        self._sampler = make_sampler(
            plan.sampler,
            space,
            direction=plan.facts.direction,
            seed=plan.seed,
            balanced=plan.balanced,
        )
        self._judge = PruningJudge(ledger, study)
        self._saver = CheckpointSaver(
            ledger, store, heartbeat, stop, say_once=self._say_once
        )
        self._curves = CurveBuffer(ledger.add_curves, time.monotonic)
        self._shares = TimeShares(time.monotonic)
        self._leaving = LeavingRule(config.leave_by, time.time)
        self._running: dict[int, _Running] = {}  # by trial id
        # of the ledger's trials that the sampler has seen
        self._revision: int | None = None
        self._said: set[str] = set()
        self._mirrored_at = -MIRROR_EVERY_SECONDS
        # Why `claim` found nothing, the last time.
        self.answer: Wait | PlanRetests | Done = Wait(0.0)

    # -- claim -------------------------------------------------------------------------

    def claim(self) -> TrialSpec | None:
        """Claim the next trial and its setting; None where there is none now."""
        while not self._stop.reason:
            if self._leaving.is_too_late():
                self.answer = Done(TIME_IS_UP)
                return None
            claimed = self._ledger.claim(
                self._study.id,
                self._worker_id,
                lease_seconds=self._lease_seconds,
                sampled=self._count_sampled(),
            )
            if not isinstance(claimed, Claim):
                self.answer = claimed
                self._sync_mirror(now=not self._running)
                return None
            spec = self._begin(claimed.trial, claimed.attempt)
            if spec is not None:
                return spec
        self.answer = Done(self._stop.reason)
        return None

    def _begin(self, trial: TrialRecord, attempt: int) -> TrialSpec | None:
        """Bind the trial to its setting, or to a sampled one; None where the trial was lost."""
        self._heartbeat.hold(trial.id, attempt)
        self._shares.begin(trial.id)
        self._leaving.begin(trial.id)
        setting, seed = trial.setting or self._propose(trial.number), trial.seed
        if seed is None:
            seed = seed_of(self._study.plan.seed, trial.kind, trial.number)
        params = self._space.public_params(setting)
        if not self._ledger.bind(
            trial.id, attempt, setting=setting, params=params, seed=seed
        ):
            self._heartbeat.release(trial.id, attempt)
            self._shares.end(trial.id)
            self._leaving.end(trial.id)
            return None
        self._sync_mirror()
        spec = replace(
            trial.first_spec(setting, seed, self._study.facts.fold_of(trial.repeat)),
            attempt=attempt,
            alone=trial.lost > 0,
            test_split=trial.is_retest,
            resume=self._read_checkpoint(trial),
            folder=str(self._saver.store.files_folder(trial.label, attempt)),
        )
        self._running[trial.id] = _Running(trial, spec)
        self._send(trial_started(trial, spec))
        return spec

    def _count_sampled(self) -> int:
        trials = (each.trial for each in self._running.values())
        return sum(each.origin is Origin.SAMPLED and each.is_search for each in trials)

    def _propose(self, number: int) -> Setting:
        records = self._ledger.trials(self._study.id, changed_since=self._revision)
        self._revision = records.revision
        self._sampler.observe(comparable_records(records, self._study.facts.folds))
        setting = self._sampler.propose(number)
        if self._sampler.note:
            self._say_once(self._sampler.note, self._sampler.note)
        return setting

    def _read_checkpoint(self, trial: TrialRecord) -> Snapshot | None:
        """Read the checkpoint to go on from; a note names the newest unreadable one.

        A machine without the others' folder lacks all of them: a line each says no more.
        """
        snapshot, troubles = self._saver.begin(trial)
        if troubles:
            then = (
                f"going on from {place_text(snapshot)}"
                if snapshot
                else "beginning anew"
            )
            more = f" (and {len(troubles) - 1} older)" * (len(troubles) > 1)
            self._send(
                Note(
                    text=f"{trial.label}: checkpoint not usable, {then}: {troubles[0]}{more}"
                )
            )
        return snapshot

    def _sync_mirror(self, *, now: bool = False) -> None:
        """Update Optuna's rows about once a second, or `now`."""
        if now or time.monotonic() - self._mirrored_at >= MIRROR_EVERY_SECONDS:
            self._mirror.sync(self._study.id)
            self._mirrored_at = time.monotonic()

    # -- watch and save ----------------------------------------------------------------

    def watch(self, progress: Progress) -> Verdict:
        """Report progress, and answer what the attempt must do now."""
        running = self._running[progress.trial_id]
        if time.monotonic() - running.said_at >= SAY_EVERY_SECONDS:
            running.said_at = time.monotonic()
            self._send(trial_progress(progress))
        if self._leaving.must_leave(progress):
            self._stop.stop(TIME_IS_UP)
        verdict = self._heartbeat.verdict(progress.trial_id, progress.attempt)
        if progress.epoch_end:
            self._curves.add(progress)
            if verdict is Verdict.KEEP:
                trial = running.trial
                setting = running.spec.setting
                write = self._curves.flush
                verdict = self._judge.judge(
                    trial, setting, progress, write_curves=write
                )
        self._curves.flush_if_due()
        return verdict

    def save(self, progress: Progress, take: Callable[[], Snapshot]) -> None:
        """Write a checkpoint where one is due, or where the attempt is about to be interrupted."""
        self._saver.save(progress, take)

    # -- tell --------------------------------------------------------------------------

    def tell(self, outcome: Outcome) -> None:
        """Record how an attempt ended, exactly once; a fenced-off end is dropped."""
        running = self._running.pop(outcome.trial_id)
        outcome = self._complete(running.spec, self._put_back_if_stopping(outcome))
        points = self._curves.take(outcome.trial_id, outcome.attempt)
        recorded = outcome.status is not Status.LOST and self._ledger.finish(
            outcome, points
        )
        ended = recorded and outcome.status.terminal
        self._heartbeat.release(outcome.trial_id, outcome.attempt)
        self._saver.end(outcome.trial_id, ended=ended)
        self._leaving.end(outcome.trial_id)
        if ended:
            self._sync_mirror()
        end = outcome if recorded else replace(outcome, status=Status.LOST)
        self._send(trial_ended(running.trial, running.spec, end))
        for note in outcome.notes:
            if note.startswith(BY_FIT):
                self._say_once(note, note)
        if recorded and outcome.status is Status.FAILED:
            self._break_if_poisoned()

    def abandon(self, reason: str) -> None:
        """Put back all attempts, after an exception has left the engine."""
        for spec in [each.spec for each in self._running.values()]:
            self.tell(Outcome.put_back(spec.trial_id, spec.attempt, reason))
        self._sync_mirror(now=True)

    def plan_retests(self, asked: PlanRetests) -> None:
        """Plan the retests of a few settings and yours, and report the plan."""
        name = self._study.name
        if planned := plan_retests(self._ledger, name, asked, self._space):
            self._send(planned)

    def _put_back_if_stopping(self, outcome: Outcome) -> Outcome:
        """Put back a trial that an exit ended, where this worker was asked to stop.

        Any other exit is the study's own, and the trial failed: put back, it would be
        trained for ever.
        """
        if not outcome.left or not self._stop.comes_within_a_moment():
            return outcome
        status, reason = Status.INTERRUPTED, self._stop.reason
        return replace(
            outcome, status=status, reason=reason, value=None, traceback_text=""
        )

    def _complete(self, spec: TrialSpec, outcome: Outcome) -> Outcome:
        """Add what the engine does not know: the worker's time, and where the attempt began."""
        notes = (*outcome.notes, *self._judge.end(spec.trial_id))
        if spec.resume is not None:
            notes = (f"went on from {place_text(spec.resume)}", *notes)
        if self._study.facts.folds and spec.retest is not None:
            notes = (f"trained on fold {spec.fold}", *notes)
        return replace(
            outcome, worker_seconds=self._shares.end(spec.trial_id), notes=notes
        )

    def _break_if_poisoned(self) -> None:
        """Stop the study for all workers when its trials fail alike from the start."""
        cause = breaking_failure(self._ledger.trials(self._study.id, kind=Kind.SEARCH))
        if cause is None:
            return
        reason = cause.traceback_text or cause.reason
        self._ledger.set_state(self._study.id, StudyState.BROKEN, reason=reason)
        self._stop.stop("the study is broken")
        self._send(Broken(reason=cause.reason, traceback=cause.traceback_text))

    def _say_once(self, about: str, text: str) -> None:
        if about not in self._said:
            self._said.add(about)
            self._send(Note(text=text))
