"""What the stopping rule did: whom it stopped, what that saved, and what its controls say.

Pure functions of records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from lrsearch.values import SPARED, Json, StudyRecord, TrialRecord, Trials, TrialState

# of the trials that ran to their end: a control among them was a mistake
BEST_SHARE = 1 / 5


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlyStops:
    """What the study's stopping rule did to its search trials so far."""

    pruner: str
    trials: int  # that ended without a failure
    stopped: int
    trained_epochs: int
    saved_epochs: int  # that the stopped trials would have trained on
    controls: int  # ran on though the rule would have stopped them, and ended
    # of these, among the best fifth of all that ran to their end
    controls_among_best: int

    @property
    def saved_share(self) -> float:
        """The saved part of the epochs that the search would have trained without the rule."""
        whole = self.trained_epochs + self.saved_epochs
        return self.saved_epochs / whole if whole else 0.0

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "saved_share": self.saved_share}


def early_stops(study: StudyRecord, records: Trials) -> EarlyStops | None:
    """What the rule did; None where the study has no stopping rule."""
    if study.plan.pruner == "none":
        return None
    counted = {TrialState.COMPLETE, TrialState.DIVERGED, TrialState.PRUNED}
    search = [each for each in records if each.is_search and each.state in counted]
    stopped = [each for each in search if each.state is TrialState.PRUNED]
    controls = [each for each in search if was_spared(each)]
    best = _best_fifth(study, search)
    return EarlyStops(
        pruner=study.plan.pruner,
        trials=len(search),
        stopped=len(stopped),
        trained_epochs=sum(each.epochs for each in search),
        saved_epochs=sum(max(0, study.facts.epochs - each.epochs) for each in stopped),
        controls=len(controls),
        controls_among_best=sum(each.number in best for each in controls),
    )


def was_spared(trial: TrialRecord) -> bool:
    """Whether the rule would have stopped the trial, which ran on as a control."""
    return any(note.startswith(SPARED) for note in trial.notes)


def _best_fifth(study: StudyRecord, search: Sequence[TrialRecord]) -> set[int]:
    """The numbers of the best fifth of the trials that ran to their end, ties included."""
    valued = [each for each in search if each.has_value]
    if not valued:
        return set()
    costs = sorted(study.direction.cost(each.final_value) for each in valued)
    limit = costs[max(1, round(BEST_SHARE * len(costs))) - 1]
    return {
        each.number
        for each in valued
        if study.direction.cost(each.final_value) <= limit
    }
