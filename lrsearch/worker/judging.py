"""Whether a trial is pruned at an epoch's end: the rule, and the trials that it may compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lrsearch.errors import StorageUnavailable
from lrsearch.sampling import pruning_rule
from lrsearch.space import rise_of
from lrsearch.values import Kind, Origin, Progress, Setting, StudyRecord, TrialRecord, Verdict

if TYPE_CHECKING:
    from lrsearch.storage import Ledger, RungValue


class PruningJudge:
    """Applies the study's pruning rule at its rungs, with the values of the other trials."""

    def __init__(self, ledger: Ledger, study: StudyRecord) -> None:
        facts = study.facts
        self._ledger, self._study_id = ledger, study.id
        self._rule = pruning_rule(study.plan.pruner, epochs=facts.epochs, direction=facts.direction)

    def judge(
        self,
        trial: TrialRecord,
        setting: Setting,
        progress: Progress,
        *,
        write_curves: Callable[[], None],
    ) -> Verdict:
        """KEEP or PRUNE. `write_curves` is called first, so that the rung includes this trial."""
        # Never prune yours, references or retests: answers are compared with them.
        compared = trial.origin in {Origin.YOURS, Origin.REFERENCE} or trial.kind is Kind.RETEST
        if compared or progress.value is None:
            return Verdict.KEEP
        if progress.epoch not in self._rule.rungs(trial.number, rise_of(setting)):
            return Verdict.KEEP
        write_curves()
        try:
            rung = self._ledger.rung_values(self._study_id, progress.epoch)
        except StorageUnavailable:  # no values to compare with: training goes on
            return Verdict.KEEP
        others = [each.value for each in rung if _comparable(each, progress)]
        return self._rule.verdict(progress.value, others)


def _comparable(there: RungValue, progress: Progress) -> bool:
    """Whether a trial's rate is past its last rise at this epoch.

    The last rise of yours is known only for a constant schedule: any other may rise at any time.
    """
    if there.origin is Origin.YOURS and there.setting.schedule != "constant":
        return False
    return rise_of(there.setting) * progress.epochs < progress.epoch
