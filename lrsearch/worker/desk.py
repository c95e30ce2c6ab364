"""What an engine sees of the world: a desk that hands out attempts, answers progress, keeps
snapshots, takes outcomes.

The engine knows `source`, `watch` and `save`; behind them are the ledger, the sampler, the pruning
rule, the heartbeat and the checkpoints. Nothing here is about one trial only, so an engine may hold
several attempts at once.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lrsearch.answer import fitting_retests, retest_candidates, retests_within, yours_of
from lrsearch.errors import StorageUnavailable, UnknownName
from lrsearch.messages import (
    Broken,
    Note,
    RetestsPlanned,
    Say,
    TrialEnded,
    TrialProgress,
    TrialStarted,
)
from lrsearch.report.words import setting_in_short
from lrsearch.space import rise_of
from lrsearch.storage import Claim, Done, PlanRetests, Retest, Wait
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
)
from lrsearch.worker.checkpoints import CheckpointStore, NoRoom, Written
from lrsearch.worker.curves import CurveBuffer
from lrsearch.worker.faults import breaking_failure
from lrsearch.worker.heart import Heart
from lrsearch.worker.shares import Shares

if TYPE_CHECKING:
    from lrsearch.sampling import Proposer, PruneRule
    from lrsearch.space import SearchSpace
    from lrsearch.storage import Ledger, Mirror, RungValue

SAY_EVERY_SECONDS = 0.5  # progress within an epoch, for people
# Optuna's rows follow in bulk: two looks a trial would cost short trials a tenth of their time
MIRROR_EVERY_SECONDS = 1.0
NEVER_PRUNED = frozenset({Origin.YOURS, Origin.REFERENCE})
HEARING_SECONDS = 0.2  # a signal that ended the training may not have been heard yet


@dataclass(slots=True)
class _Held:
    """An attempt in hand."""

    trial: TrialRecord
    spec: TrialSpec
    saved: tuple[int, int]  # the place of the newest checkpoint: epochs, and batches of the next
    saved_at: float  # monotonic
    said_at: float = 0.0


class Desk:
    """One worker's work on one study."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        mirror: Mirror,
        study: StudyRecord,
        worker_id: int,
        space: SearchSpace,
        proposer: Proposer,
        rule: PruneRule,
        heart: Heart,
        store: CheckpointStore,
        say: Say,
        lease_seconds: float,
    ) -> None:
        self.ledger, self.mirror, self.study, self.worker_id = ledger, mirror, study, worker_id
        self.space, self.proposer, self.rule = space, proposer, rule
        self.heart, self.store, self.say, self.lease_seconds = heart, store, say, lease_seconds
        self.curves = CurveBuffer(ledger.add_curves, time.monotonic)
        self.shares = Shares(time.monotonic)
        # why there was nothing to train, last time
        self.answer: Wait | PlanRetests | Done = Wait(0.0)
        self._held: dict[int, _Held] = {}
        self._revision: int | None = None
        self._warned: set[str] = set()
        self._mirrored_at = -MIRROR_EVERY_SECONDS

    # -- source ----------------------------------------------------------------------------------------------------

    def source(self) -> TrialSpec | None:
        """Claim the next trial, sample it where it has no setting yet, and bind both; None when
        there is none now.
        """
        while not self.heart.stopping:
            claimed = self.ledger.claim(
                self.study.id,
                self.worker_id,
                lease_seconds=self.lease_seconds,
                sampled=self._sampled,
            )
            if not isinstance(claimed, Claim):
                self.answer = claimed
                self._mirror(now=not self._held)
                return None
            spec = self._begin(claimed.trial, claimed.attempt)
            if spec is not None:
                return spec
        self.answer = Done(self.heart.stopping)
        return None

    def _begin(self, trial: TrialRecord, attempt: int) -> TrialSpec | None:
        self.heart.hold(trial.id, attempt)
        self.shares.begin(trial.id)
        setting = trial.setting or self._propose(trial.number)
        seed = (
            trial.seed
            if trial.seed is not None
            else seed_of(self.study.plan.seed, trial.kind, trial.number)
        )
        params = self.space.public_params(setting)
        if not self.ledger.bind(trial.id, attempt, setting=setting, params=params, seed=seed):
            self.heart.release(trial.id, attempt)
            self.shares.end(trial.id)
            return None
        self._mirror()
        resume = self._resume(trial)
        label, retest = trial.label, trial.kind is Kind.RETEST
        spec = TrialSpec(
            trial_id=trial.id,
            attempt=attempt,
            label=label,
            setting=setting,
            seed=seed,
            number=trial.parent if retest else trial.number,
            retest=(trial.repeat or 0) + 1 if retest else None,
            yours=trial.origin is Origin.YOURS,
            alone=trial.lost > 0,
            test_split=retest,
            resume=resume,
            folder=str(self.store.files_folder(label, attempt)),
        )
        begun = resume.place if resume else (0, 0)
        self._held[trial.id] = _Held(trial=trial, spec=spec, saved=begun, saved_at=time.monotonic())
        self._say_begun(trial, spec)
        return spec

    @property
    def _sampled(self) -> int:
        """How many sampled trials this worker has in training."""
        return sum(
            held.trial.origin is Origin.SAMPLED and held.trial.kind is Kind.SEARCH
            for held in self._held.values()
        )

    def _mirror(self, *, now: bool = False) -> None:
        """Let Optuna's rows follow, about once a second, and always when there is nothing to train."""
        if now or time.monotonic() - self._mirrored_at >= MIRROR_EVERY_SECONDS:
            self.mirror.sync(self.study.id)
            self._mirrored_at = time.monotonic()

    def _propose(self, number: int) -> Setting:
        records = self.ledger.trials(self.study.id, kind=Kind.SEARCH, changed_since=self._revision)
        self._revision = records.revision
        self.proposer.observe(records)
        return self.proposer.propose(number)

    def _resume(self, trial: TrialRecord) -> Snapshot | None:
        """The newest readable checkpoint of earlier attempts; says aloud what could not be read."""
        if not trial.attempt:
            return None
        snapshot, troubles = self.store.newest(self.ledger.checkpoints(trial.id))
        for trouble in troubles:
            then = f"going on from {place_text(snapshot)}" if snapshot else "beginning anew"
            text = f"{trial.label}: checkpoint not usable, {then}: {trouble}"
            self.say(Note(text=text))
        return snapshot

    # -- watch and save --------------------------------------------------------------------------------------------

    def watch(self, progress: Progress) -> Verdict:
        """Pass progress on, and answer what the attempt must do now."""
        held = self._held[progress.trial_id]
        self._say_progress(held, progress)
        verdict = self.heart.verdict(progress.trial_id, progress.attempt)
        if progress.epoch_end:
            self.curves.add(progress)
            if verdict is Verdict.KEEP:
                verdict = self._judge(held, progress)
        self.curves.flush_if_due()
        return verdict

    def save(self, progress: Progress, take: Callable[[], Snapshot]) -> None:
        """Write a checkpoint where one is due, or where the attempt is about to be interrupted."""
        held = self._held[progress.trial_id]
        now = time.monotonic()
        due = self.store.policy.due(
            epochs=progress.epoch - held.saved[0], seconds=now - held.saved_at
        )
        if (
            progress.place <= held.saved
            or progress.epoch >= progress.epochs
            or not (due or self.heart.stopping)
        ):
            return
        # also when it fails: a full disk is not asked every time
        held.saved, held.saved_at = progress.place, now
        try:
            written = self.store.write(progress.trial_id, progress.attempt, take())
        except NoRoom as error:
            self._warn_once("checkpoint", str(error))
            return
        try:
            accepted = self._enter(progress, written)
        except StorageUnavailable:  # the one before stays the newest that anybody knows of
            self.store.discard(written)
            return
        if accepted:
            self.store.trim(progress.trial_id, progress.attempt)
        else:
            self.store.discard(written)
            self.heart.lose(progress.trial_id, progress.attempt)

    def _enter(self, progress: Progress, written: Written) -> bool:
        return self.ledger.checkpoint_written(
            progress.trial_id,
            progress.attempt,
            epoch=written.epoch,
            batch=written.batch,
            path=written.path,
            sha256=written.sha256,
            size=written.size,
        )

    def _judge(self, held: _Held, progress: Progress) -> Verdict:
        """What the pruning rule says at its rungs; only what was sampled is ever pruned: answers
        are held against the rest.
        """
        trial = held.trial
        if trial.kind is Kind.RETEST or trial.origin in NEVER_PRUNED or progress.value is None:
            return Verdict.KEEP
        if progress.epoch not in self.rule.rungs(trial.number, rise_of(held.spec.setting)):
            return Verdict.KEEP
        self.curves.flush()
        try:
            rung = self.ledger.rung_values(self.study.id, progress.epoch)
        except StorageUnavailable:  # nobody to compare with: training goes on
            return Verdict.KEEP
        others = [each.value for each in rung if _comparable(each, progress)]
        return self.rule.verdict(progress.epoch, progress.value, others)

    # -- tell ------------------------------------------------------------------------------------------------------

    def tell(self, outcome: Outcome) -> None:
        """Record how an attempt ended, exactly once; what was fenced off is dropped."""
        outcome = self._excused(outcome)
        held = self._held.pop(outcome.trial_id)
        outcome = replace(outcome, worker_seconds=self.shares.end(outcome.trial_id))
        if held.spec.resume is not None:
            outcome = replace(
                outcome, notes=(f"went on from {place_text(held.spec.resume)}", *outcome.notes)
            )
        points = self.curves.take(outcome.trial_id, outcome.attempt)
        recorded = False
        if outcome.status is not Status.LOST:
            recorded = self.ledger.finish(outcome, points)
        self.heart.release(outcome.trial_id, outcome.attempt)
        if recorded and outcome.status.terminal:
            self.ledger.forget_checkpoints(outcome.trial_id)
            self.store.forget(outcome.trial_id)
            self._mirror()
        self._say_ended(held, outcome if recorded else replace(outcome, status=Status.LOST))
        for note in outcome.notes:
            if note.startswith(BY_FIT):
                self._warn_once(note, note)
        if recorded and outcome.status is Status.FAILED:
            self._break_if_poisoned()

    def _excused(self, outcome: Outcome) -> Outcome:
        """What an exit of the study's own code ended goes back to the queue where this worker was
        told to stop, and failed where nobody asked for it: it would be trained for ever.
        """
        if not outcome.left or not self.told_to_stop():
            return outcome
        return replace(
            outcome,
            status=Status.INTERRUPTED,
            value=None,
            reason=self.heart.stopping,
            traceback_text="",
        )

    def told_to_stop(self) -> bool:
        """Whether this worker was told to stop, or is within a moment."""
        self.heart.rest(HEARING_SECONDS)
        return bool(self.heart.stopping)

    def abandon(self, reason: str) -> None:
        """Put back whatever is still held, its engine having been left by an exception."""
        for trial_id, held in list(self._held.items()):
            attempt = held.spec.attempt
            self.tell(
                Outcome(
                    trial_id=trial_id,
                    attempt=attempt,
                    status=Status.INTERRUPTED,
                    engine="",
                    reason=reason,
                )
            )
        self._mirror(now=True)

    def plan_retests(self, room: int | None = None, exactly: int | None = None) -> None:
        """Plan the retests of the best few and yours, on seeds that all of them share, so that
        their spread can be compared.

        `room` is how many fit into the time that is left, and `exactly` how many the limit of
        trainings asks for, where either is limited.
        """
        try:
            # now: seeds and settings may have been raised meanwhile
            plan = self.ledger.study(self.study.name).plan
        except UnknownName:  # deleted: the next claim says so
            return
        records = self.ledger.trials(self.study.id)
        wanted = retest_candidates(records, plan.facts.direction, top=plan.retest_top)
        chosen, seeds = fitting_retests(
            wanted, yours_of(records), seeds=plan.retest_seeds, room=room
        )
        pairs = [(number, repeat) for repeat in range(seeds) for number in chosen]
        if exactly is not None and (room is None or exactly <= room):
            done = {(each.parent, each.repeat) for each in records if each.kind is Kind.RETEST}
            pairs = retests_within(
                exactly, wanted, yours_of(records), seeds=plan.retest_seeds, done=done
            )
        retests = [
            Retest(parent=number, repeat=repeat, seed=seed_of(plan.seed, Kind.RETEST, repeat))
            for number, repeat in pairs
        ]
        rule = (plan.retest_seeds, plan.retest_top)
        # two workers may ask at once; one of them tells
        if self.ledger.plan_retests(self.study.id, retests, rule=rule):
            self._say_planned(
                pairs, len(wanted) * plan.retest_seeds if exactly is None else exactly
            )

    def _say_planned(self, pairs: Sequence[tuple[int, int]], wanted: int) -> None:
        """Tell of retests by (trial, repeat), of which so many were `wanted`."""
        by_trial = Counter(number for number, _ in pairs)
        seeds = min(by_trial.values(), default=0)
        left_out = max(0, wanted - len(pairs))
        self.say(
            RetestsPlanned(
                trials=tuple(by_trial), seeds=seeds, retests=len(pairs), left_out=left_out
            )
        )

    def _break_if_poisoned(self) -> None:
        """Stop the study for everybody when it fails alike from the start."""
        cause = breaking_failure(self.ledger.trials(self.study.id, kind=Kind.SEARCH))
        if cause is None:
            return
        self.ledger.set_state(
            self.study.id, StudyState.BROKEN, reason=cause.traceback_text or cause.reason
        )
        self.heart.interrupt("the study is broken")
        self.say(Broken(reason=cause.reason, traceback=cause.traceback_text))

    # -- saying ----------------------------------------------------------------------------------------------------

    def _say_begun(self, trial: TrialRecord, spec: TrialSpec) -> None:
        self.say(
            TrialStarted(
                trial_id=trial.id,
                attempt=spec.attempt,
                number=trial.number,
                kind=trial.kind,
                origin=trial.origin,
                label=spec.label,
                setting=spec.setting,
                short=setting_in_short(spec.setting),
                resumed_from=spec.resume.epoch if spec.resume else 0,
                resumed_update=spec.resume.step if spec.resume else 0,
            )
        )

    def _say_progress(self, held: _Held, progress: Progress) -> None:
        now = time.monotonic()
        if now - held.said_at < SAY_EVERY_SECONDS:
            return
        held.said_at = now
        self.say(
            TrialProgress(
                trial_id=progress.trial_id,
                attempt=progress.attempt,
                epoch=progress.epoch,
                epochs=progress.epochs,
                step=progress.step,
                total_steps=progress.total_steps,
                rate=progress.rate,
                seconds=progress.seconds,
                value=progress.value,
            )
        )

    def _say_ended(self, held: _Held, outcome: Outcome) -> None:
        trial = held.trial
        self.say(
            TrialEnded(
                trial_id=trial.id,
                attempt=outcome.attempt,
                number=trial.number,
                kind=trial.kind,
                origin=trial.origin,
                label=trial.label,
                short=setting_in_short(held.spec.setting),
                status=outcome.status,
                value=outcome.value,
                epochs=outcome.epochs,
                seconds=outcome.seconds,
                reason=outcome.reason,
                notes=outcome.notes,
            )
        )

    def _warn_once(self, about: str, text: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            self.say(Note(text=text))


def _comparable(there: RungValue, progress: Progress) -> bool:
    """Whether a trial's rate is past its last rise at this epoch; what schedule yours follows is
    known of a constant alone.
    """
    if there.origin is Origin.YOURS and there.setting.schedule != "constant":
        return False
    return rise_of(there.setting) * progress.epochs < progress.epoch


def seed_of(study_seed: int, kind: Kind, number: int) -> int:
    """The seed of a trial (or of a retest's repeat): a hash, so that neighbours share nothing;
    below 2**31.
    """
    digest = hashlib.sha256(f"{study_seed}/{kind.value}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def place_text(snapshot: Snapshot) -> str:
    """Where a checkpoint stands, for people: `epoch 3`, or `epoch 3, update 1200` for a place after
    it.
    """
    return f"epoch {snapshot.epoch}" + (f", update {snapshot.step}" if snapshot.batch else "")
