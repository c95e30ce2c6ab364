"""Whether a trial is pruned at an epoch's end: the pruning rule, and whom it may compare."""

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
    """Asks the study's rule at its rungs, with the values of the study's other trials."""

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
        """KEEP or PRUNE. `write_curves` is called before the rung is read, which has this trial too."""
        if not _may_be_pruned(trial) or progress.value is None:
            return Verdict.KEEP
        if progress.epoch not in self._rule.rungs(trial.number, rise_of(setting)):
            return Verdict.KEEP
        write_curves()
        try:
            rung = self._ledger.rung_values(self._study_id, progress.epoch)
        except StorageUnavailable:  # nobody to compare with: training goes on
            return Verdict.KEEP
        others = [each.value for each in rung if _comparable(each, progress)]
        return self._rule.verdict(progress.value, others)


def _may_be_pruned(trial: TrialRecord) -> bool:
    """Never prune yours, references or retests: answers are compared with them."""
    compared = {Origin.YOURS, Origin.REFERENCE}
    return trial.kind is Kind.SEARCH and trial.origin not in compared


def _comparable(there: RungValue, progress: Progress) -> bool:
    """Whether a trial's rate is past its last rise at this epoch.

    Of yours it is known only where its schedule is a constant: any other may rise at any time.
    """
    if there.origin is Origin.YOURS and there.setting.schedule != "constant":
        return False
    return rise_of(there.setting) * progress.epochs < progress.epoch
