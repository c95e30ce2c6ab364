"""Makes the answer of a study from its records.

Knows nothing of how an answer is shown.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrsearch.answer.band import Band, find_band
from lrsearch.answer.cautions import find_cautions
from lrsearch.answer.early_stops import EarlyStops, early_stops
from lrsearch.answer.evidence import Evidence
from lrsearch.answer.leaderboard import (
    Contender,
    Leaderboard,
    build_leaderboard,
    make_contender,
)
from lrsearch.answer.margin import ONE_PERCENT, Margin
from lrsearch.answer.next_steps import SHELL, Ways
from lrsearch.answer.optimizers import OptimizerRow, by_optimizer
from lrsearch.answer.paired_rows import Scores
from lrsearch.answer.repeats import repeats_of
from lrsearch.answer.settling import NextStep, next_step
from lrsearch.answer.spending import Spent, spent_on
from lrsearch.answer.verdict import StudyVerdict, give_verdict
from lrsearch.answer.verdict_words import verdict_text
from lrsearch.values import (
    Change,
    Direction,
    Json,
    StudyRecord,
    StudyState,
    TrialRecord,
    Trials,
    TrialState,
)

if TYPE_CHECKING:
    from lrsearch.storage import AttemptRecord


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
    # best first, yours among them; those that lost a seed last
    retested: tuple[Contender, ...]
    # retested trials that differ from the best by chance, perhaps
    not_separable: tuple[int, ...]
    # search trials that ran to their end, best value first
    ranked: tuple[TrialRecord, ...]
    by_optimizer: tuple[OptimizerRow, ...]
    counts: Mapping[str, int]  # search trials by state
    tolerance: float  # values this close count as equally good
    warnings: tuple[str, ...]
    changes: tuple[Change, ...] = ()  # of the definition, since the study began
    spent: Spent | None = None  # None where the attempts are not known
    verdict: StudyVerdict
    next: NextStep
    band: Band | None = None  # None where yours is the best, or nothing is
    stops: EarlyStops | None = None  # None where the study has no stopping rule

    @property
    def runners_up(self) -> tuple[Contender, ...]:
        """The other retested settings; where nothing was retested, the next three of the search."""
        mine = self.best.trial if self.best else -1
        others = self.retested or tuple(
            make_contender(each, None) for each in self.ranked[:4]
        )
        return tuple(
            each for each in others if each.trial != mine and not each.is_yours
        )

    def to_json(self) -> dict[str, Json]:
        """The answer as `lrsearch best --json` gives it, with the best at the top level.

        Every key is there; what is not known is None.
        """
        best = self._contender(self.best) or dict.fromkeys(_BEST_KEYS)
        return {
            "verdict": {**self.verdict.to_json(), "text": verdict_text(self.verdict)},
            "next": self.next.to_json(),
            "study": self.study,
            "objective": self.objective,
            "direction": self.direction.value,
            **best,
            "not_separable": list(self.not_separable),
            "yours": self._contender(self.yours),
            "runners_up": [self._contender(each) for each in self.runners_up],
            "band": self.band.to_json() if self.band else None,
            "by_optimizer": [row.to_json() for row in self.by_optimizer],
            "counts": dict(self.counts),
            "spent": self.spent.to_json() if self.spent else None,
            "early_stops": self.stops.to_json() if self.stops else None,
            "changes": [each.to_json() for each in self.changes],
            "warnings": list(self.warnings),
        }

    def _contender(self, each: Contender | None) -> dict[str, Json] | None:
        if each is None:
            return None
        expected = self.verdict.expected.get(each.trial)
        return {**each.to_json(), "expected": expected.to_json() if expected else None}


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
    "expected",
)


def summarise(
    study: StudyRecord,
    records: Trials,
    attempts: Sequence[AttemptRecord] | None = None,
    *,
    scores: Scores | None = None,
    margin: Margin = ONE_PERCENT,
    ways: Ways = SHELL,
) -> Answer:
    """Make the answer from all records, search trials and retests, and the attempts at them.

    `scores` are the study's row scores; without them the verdict counts seeds alone.
    Its warnings name what a reader of `ways` can do.
    """
    leaderboard = build_leaderboard(study.facts, records)
    verdict = give_verdict(leaderboard, records, study.direction, scores, margin=margin)
    tolerance = max(verdict.margin, 2 * _noise(leaderboard, study.direction))
    evidence = Evidence(
        study=study,
        records=records,
        leaderboard=leaderboard,
        not_separable=verdict.not_separable,
        tolerance=tolerance,
        ways=ways,
    )
    states = [each.state for each in records if each.is_search]
    return Answer(
        study=study.name,
        objective=study.facts.objective,
        direction=study.direction,
        best=leaderboard.best,
        yours=leaderboard.yours,
        retested=leaderboard.retested,
        not_separable=verdict.not_separable,
        ranked=leaderboard.ranked,
        by_optimizer=by_optimizer(
            records, study.direction, tolerance=tolerance, expected=verdict.singles
        ),
        counts={state.value: states.count(state) for state in TrialState},
        tolerance=tolerance,
        changes=study.changes,
        warnings=find_cautions(evidence),
        spent=None if attempts is None else spent_on(records, attempts),
        stops=early_stops(study, records),
        verdict=verdict,
        next=next_step(
            verdict,
            study=study.name,
            open_retests=leaderboard.open_retests,
            over=_search_is_over(study, records),
            ways=ways,
        ),
        band=find_band(records, leaderboard.best, study.direction, tolerance=tolerance),
    )


def _search_is_over(study: StudyRecord, records: Trials) -> bool:
    """Whether no search trial is to come, so that retests are what is missing."""
    if study.state in {StudyState.FINISHED, StudyState.STOPPED, StudyState.BROKEN}:
        return True
    ended = sum(each.ended for each in records if each.is_search)
    return not study.plan.retest_seeds or (
        study.trials is not None and ended >= study.trials
    )


def _noise(leaderboard: Leaderboard, direction: Direction) -> float:
    """The retests' pooled spread; of folds, that which differs from setting to setting."""
    if leaderboard.folds:
        group = [each for each in leaderboard.retested if each.seeds]
        repeats = repeats_of(group, leaderboard, direction) if group else None
        return math.sqrt(repeats.noise.pooled) if repeats and repeats.noise else 0.0
    spreads = [each.retest.spread for each in leaderboard.retested if each.retest]
    squares = [spread**2 for spread in spreads if spread is not None]
    return math.sqrt(statistics.fmean(squares)) if squares else 0.0
