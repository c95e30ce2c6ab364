"""Makes the answer of a study from its records: how it stands, what is not separable from the best,
and what to beware of.

Knows nothing of how an answer is shown.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrsearch.answer.cautions import Seen, cautions
from lrsearch.answer.optimizers import OptimizerRow, by_optimizer
from lrsearch.answer.spending import Spent, spent_on
from lrsearch.answer.spread import separable
from lrsearch.answer.standing import Contender, contender, standing
from lrsearch.answer.ways import SHELL, Ways
from lrsearch.values import (
    Change,
    Direction,
    Json,
    StudyRecord,
    TrialRecord,
    TrialState,
)

if TYPE_CHECKING:
    from lrsearch.storage import AttemptRecord

AS_GOOD = 0.01  # within 1 % of the best value, or within the noise, counts as equally good


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a study has found so far.

    `best` is None until a trial ended well, `yours` until trial 0 ended.
    """

    study: str
    objective: str
    direction: Direction
    best: Contender | None
    yours: Contender | None
    retested: tuple[Contender, ...]  # best first, yours among them; those that lost a seed last
    not_separable: tuple[int, ...]  # retested trials that chance may part from the best
    # the search trials that ran to their end, best single value first
    ranked: tuple[TrialRecord, ...]
    by_optimizer: tuple[OptimizerRow, ...]
    counts: Mapping[str, int]  # search trials by state
    tolerance: float  # values this close count as equally good
    warnings: tuple[str, ...]
    changes: tuple[Change, ...] = ()  # of the definition, since the study began
    spent: Spent | None = None  # None where the attempts are not known

    @property
    def runners_up(self) -> tuple[Contender, ...]:
        """The other retested settings; where nothing was retested, the next three of the search."""
        mine = self.best.trial if self.best else -1
        others = self.retested or tuple(contender(each, None) for each in self.ranked[:4])
        return tuple(each for each in others if each.trial != mine and not each.is_yours)

    def to_json(self) -> dict[str, Json]:
        """The best at the top level, as `lrsearch best --json` gives it; every key is there, None
        where unknown.
        """
        best = self.best.to_json() if self.best else dict.fromkeys(_BEST_KEYS)
        return {
            "study": self.study,
            "objective": self.objective,
            "direction": self.direction.value,
            **best,
            "not_separable": list(self.not_separable),
            "yours": self.yours.to_json() if self.yours else None,
            "runners_up": [each.to_json() for each in self.runners_up],
            "by_optimizer": [row.to_json() for row in self.by_optimizer],
            "counts": dict(self.counts),
            "spent": self.spent.to_json() if self.spent else None,
            "changes": [each.to_json() for each in self.changes],
            "warnings": list(self.warnings),
        }


_BEST_KEYS = (
    "trial", "origin", "state", "value", "search_value", "optimizer", "learning_rate", "schedule", "params", "retest",
)  # fmt: skip


def summarise(
    study: StudyRecord,
    records: Sequence[TrialRecord],
    attempts: Sequence[AttemptRecord] | None = None,
    *,
    ways: Ways = SHELL,
) -> Answer:
    """The answer, from all the study's records, search trials and retests; what was spent, from the
    attempts at them.

    Its warnings name `ways` on.
    """
    direction = study.direction
    now = standing(study.facts, records)
    best, retested = now.best, now.retested
    not_separable = _not_separable(best, retested)
    tolerance = _tolerance(best, retested)
    rows = by_optimizer(records, direction, tolerance=tolerance)
    seen = Seen(
        plan=study.plan,
        records=records,
        rows=rows,
        standing=now,
        not_separable=frozenset(not_separable),
        tolerance=tolerance,
        changes=study.changes,
        ways=ways,
    )
    return Answer(
        study=study.name,
        objective=study.facts.objective,
        direction=direction,
        best=best,
        yours=now.yours,
        retested=retested,
        not_separable=not_separable,
        ranked=now.ranked,
        by_optimizer=rows,
        counts=_counts(records),
        tolerance=tolerance,
        changes=study.changes,
        warnings=cautions(seen),
        spent=None if attempts is None else spent_on(records, attempts),
    )


def _not_separable(best: Contender | None, retested: Sequence[Contender]) -> tuple[int, ...]:
    if best is None or best.retest is None or not best.seeds:
        return ()
    others = [each for each in retested if each.trial != best.trial and each.seeds]
    return tuple(
        each.trial
        for each in others
        if each.retest and not separable(best.retest.independent, each.retest.independent)
    )


def _tolerance(best: Contender | None, retested: Sequence[Contender]) -> float:
    """1 % of the best value, or twice the retests' pooled spread where that is more."""
    if best is None or best.value is None:
        return 0.0
    spreads = [
        each.retest.spread for each in retested if each.retest and each.retest.spread is not None
    ]
    noise = math.sqrt(statistics.fmean(spread**2 for spread in spreads)) if spreads else 0.0
    return max(AS_GOOD * abs(best.value), 2 * noise)


def _counts(records: Sequence[TrialRecord]) -> dict[str, int]:
    states = [each.state for each in records if each.is_search]
    return {state.value: states.count(state) for state in TrialState}
