"""Makes the answer of a study from its records.

Knows nothing of how an answer is shown.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrsearch.answer.cautions import Evidence, find_cautions
from lrsearch.answer.early_stops import EarlyStops, early_stops
from lrsearch.answer.next_steps import SHELL, Ways
from lrsearch.answer.optimizers import OptimizerRow, by_optimizer
from lrsearch.answer.spending import Spent, spent_on
from lrsearch.answer.spread import separable
from lrsearch.answer.standing import Contender, Standing, contender, find_standing
from lrsearch.values import Change, Direction, Json, StudyRecord, TrialRecord, Trials, TrialState

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
    not_separable: tuple[int, ...]  # retested trials that differ from the best by chance, perhaps
    ranked: tuple[TrialRecord, ...]  # search trials that ran to their end, best value first
    by_optimizer: tuple[OptimizerRow, ...]
    counts: Mapping[str, int]  # search trials by state
    tolerance: float  # values this close count as equally good
    warnings: tuple[str, ...]
    changes: tuple[Change, ...] = ()  # of the definition, since the study began
    spent: Spent | None = None  # None where the attempts are not known
    stops: EarlyStops | None = None  # None where the study has no stopping rule

    @property
    def runners_up(self) -> tuple[Contender, ...]:
        """The other retested settings; where nothing was retested, the next three of the search."""
        mine = self.best.trial if self.best else -1
        others = self.retested or tuple(contender(each, None) for each in self.ranked[:4])
        return tuple(each for each in others if each.trial != mine and not each.is_yours)

    def to_json(self) -> dict[str, Json]:
        """The answer as `lrsearch best --json` gives it, with the best at the top level.

        Every key is there; what is not known is None.
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
            "early_stops": self.stops.to_json() if self.stops else None,
            "changes": [each.to_json() for each in self.changes],
            "warnings": list(self.warnings),
        }


_BEST_KEYS = (
    "trial",
    "origin",
    "state",
    "value",
    "search_value",
    "optimizer",
    "learning_rate",
    "schedule",
    "params",
    "retest",
)


def summarise(
    study: StudyRecord,
    records: Trials,
    attempts: Sequence[AttemptRecord] | None = None,
    *,
    ways: Ways = SHELL,
) -> Answer:
    """Make the answer from all records, search trials and retests, and the attempts at them.

    Its warnings name what a reader of `ways` can do.
    """
    stands = find_standing(study.facts, records)
    not_separable = _not_separable(stands)
    tolerance = _tolerance(stands)
    evidence = Evidence(
        study=study,
        records=records,
        standing=stands,
        not_separable=not_separable,
        tolerance=tolerance,
        ways=ways,
    )
    states = [each.state for each in records if each.is_search]
    return Answer(
        study=study.name,
        objective=study.facts.objective,
        direction=study.direction,
        best=stands.best,
        yours=stands.yours,
        retested=stands.retested,
        not_separable=not_separable,
        ranked=stands.ranked,
        by_optimizer=by_optimizer(records, study.direction, tolerance=tolerance),
        counts={state.value: states.count(state) for state in TrialState},
        tolerance=tolerance,
        changes=study.changes,
        warnings=find_cautions(evidence),
        spent=None if attempts is None else spent_on(records, attempts),
        stops=early_stops(study, records),
    )


def _not_separable(stands: Standing) -> tuple[int, ...]:
    best = stands.best
    if best is None or best.retest is None or not best.seeds:
        return ()
    return tuple(
        each.trial
        for each in stands.retested
        if each.trial != best.trial
        and each.seeds
        and each.retest
        and not separable(best.retest.independent, each.retest.independent)
    )


def _tolerance(stands: Standing) -> float:
    """1 % of the best value, or twice the retests' pooled spread where that is more."""
    if stands.best is None or stands.best.value is None:
        return 0.0
    spreads = [each.retest.spread for each in stands.retested if each.retest]
    squares = [spread**2 for spread in spreads if spread is not None]
    noise = math.sqrt(statistics.fmean(squares)) if squares else 0.0
    return max(AS_GOOD * abs(stands.best.value), 2 * noise)
