"""Whether a trial is pruned at an epoch's end: the rule, and the trials that it may compare."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from lrsearch.errors import StorageUnavailable
from lrsearch.sampling import RunAtRung, pruning_rule
from lrsearch.space import rise_of
from lrsearch.values import (
    SPARED,
    Kind,
    Origin,
    Progress,
    Setting,
    StudyRecord,
    TrialRecord,
    TrialState,
    Verdict,
)

if TYPE_CHECKING:
    from lrsearch.storage import Ledger, RungValue


class PruningJudge:
    """Applies the study's pruning rule at its rungs, with the values of the other trials."""

    def __init__(self, ledger: Ledger, study: StudyRecord) -> None:
        facts = study.facts
        self._ledger, self._study_id = ledger, study.id
        self._rule = pruning_rule(
            study.plan.pruner,
            epochs=facts.epochs,
            direction=facts.direction,
            seed=study.plan.seed,
        )
        # controls by id: the epoch that would have been the last
        self._spared: dict[int, int] = {}

    def judge(
        self,
        trial: TrialRecord,
        setting: Setting,
        progress: Progress,
        *,
        write_curves: Callable[[], None],
    ) -> Verdict:
        """KEEP or PRUNE. `write_curves` is called where others compare with this running trial."""
        # Never prune yours, references or retests: answers are compared with them.
        compared = (
            trial.origin in {Origin.YOURS, Origin.REFERENCE}
            or trial.kind is Kind.RETEST
        )
        if compared or progress.value is None or not math.isfinite(progress.value):
            return Verdict.KEEP
        if progress.epoch not in self._rule.rungs(trial.number, rise_of(setting)):
            return Verdict.KEEP
        if self._rule.compares_running:
            write_curves()
        try:
            rung = self._ledger.rung_values(self._study_id, progress.epoch)
        except StorageUnavailable:  # no values to compare with: training goes on
            return Verdict.KEEP
        others = [
            _seen(each)
            for each in rung
            if _comparable(each, trial, progress)
            and (self._rule.compares_running or each.state.terminal)
        ]
        verdict = self._rule.verdict(
            progress.value, [*others, RunAtRung(value=progress.value)]
        )
        if verdict is Verdict.PRUNE and self._rule.is_control(trial.number):
            self._spared.setdefault(trial.id, progress.epoch)
            return Verdict.KEEP
        return verdict

    def end(self, trial_id: int) -> tuple[str, ...]:
        """Forget a trial; returns what is to be noted of it."""
        epoch = self._spared.pop(trial_id, None)
        return () if epoch is None else (f"{SPARED}{epoch}",)


def _seen(there: RungValue) -> RunAtRung:
    ended = there.state in {TrialState.COMPLETE, TrialState.DIVERGED}
    return RunAtRung(value=there.value, ended=ended, final=there.final)


def _comparable(there: RungValue, trial: TrialRecord, progress: Progress) -> bool:
    """Whether another trial's rate is past its last rise at this epoch.

    The last rise of yours is known only for a constant schedule: any other may rise at
    any time.
    """
    if there.trial_id == trial.id:
        return False
    if there.origin is Origin.YOURS and there.setting.schedule != "constant":
        return False
    return rise_of(there.setting) * progress.epochs < progress.epoch
