"""The messages about one trial."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from lrsearch.messages import Attempt, TrialEnded, TrialProgress, TrialStarted
from lrsearch.report.words import setting_text
from lrsearch.values import Outcome, Progress, Snapshot, TrialRecord, TrialSpec

M = TypeVar("M", bound=Attempt)


def trial_started(trial: TrialRecord, spec: TrialSpec) -> TrialStarted:
    """Say that an attempt begins."""
    resume = spec.resume
    return _message(
        TrialStarted,
        spec,
        **_name(trial, spec),
        resumed_from=resume.epoch if resume else 0,
        resumed_update=resume.step if resume else 0,
    )


def trial_progress(progress: Progress) -> TrialProgress:
    """Say how far an attempt is."""
    return _message(TrialProgress, progress)


def trial_ended(trial: TrialRecord, spec: TrialSpec, outcome: Outcome) -> TrialEnded:
    """Say how an attempt ended."""
    return _message(TrialEnded, outcome, **_name(trial, spec))


def _name(trial: TrialRecord, spec: TrialSpec) -> dict[str, Any]:
    names = {"number": trial.number, "kind": trial.kind, "origin": trial.origin}
    return {**names, "label": spec.label, "short": setting_text(spec.setting)}


def _message(kind: type[M], source: Any, /, **others: Any) -> M:
    """The message with the source's fields of the same names, and the `others`."""
    names = [each.name for each in fields(kind) if each.name not in others]
    return kind(**{name: getattr(source, name) for name in names}, **others)


def place_text(snapshot: Snapshot) -> str:
    """The place of a checkpoint: `epoch 3`, or `epoch 3, update 1200` within the next epoch."""
    return f"epoch {snapshot.epoch}" + (
        f", update {snapshot.step}" if snapshot.batch else ""
    )
