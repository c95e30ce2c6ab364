"""The messages about one trial: made of what a trial session holds."""

from __future__ import annotations

from lrsearch.messages import TrialEnded, TrialProgress, TrialStarted
from lrsearch.report.words import setting_text
from lrsearch.values import Outcome, Progress, Snapshot, TrialRecord, TrialSpec


def trial_started(trial: TrialRecord, spec: TrialSpec) -> TrialStarted:
    """An attempt begins."""
    return TrialStarted(
        trial_id=trial.id,
        attempt=spec.attempt,
        number=trial.number,
        kind=trial.kind,
        origin=trial.origin,
        label=spec.label,
        setting=spec.setting,
        short=setting_text(spec.setting),
        resumed_from=spec.resume.epoch if spec.resume else 0,
        resumed_update=spec.resume.step if spec.resume else 0,
    )


def trial_progress(progress: Progress) -> TrialProgress:
    """How far an attempt is."""
    return TrialProgress(
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


def trial_ended(trial: TrialRecord, spec: TrialSpec, outcome: Outcome) -> TrialEnded:
    """An attempt ended."""
    return TrialEnded(
        trial_id=trial.id,
        attempt=outcome.attempt,
        number=trial.number,
        kind=trial.kind,
        origin=trial.origin,
        label=spec.label,
        short=setting_text(spec.setting),
        status=outcome.status,
        value=outcome.value,
        epochs=outcome.epochs,
        seconds=outcome.seconds,
        reason=outcome.reason,
        notes=outcome.notes,
    )


def place_text(snapshot: Snapshot) -> str:
    """Where a checkpoint stands: `epoch 3`, or `epoch 3, update 1200` for a place after it."""
    return f"epoch {snapshot.epoch}" + (f", update {snapshot.step}" if snapshot.batch else "")
