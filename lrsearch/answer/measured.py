"""The records of a study as the arrays that the verdict is reckoned from.

Rows are used where the challenger and yours have scores of the same rows; whoever lacks
them leaves the race, or, where a retested setting lacks them, only seeds are counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from lrsearch.answer.final_look import TestLook, look_at_test
from lrsearch.answer.leaderboard import Contender, Leaderboard
from lrsearch.answer.paired_rows import Scores, pair_rows, trainings_of
from lrsearch.answer.repeats import Repeats, repeats_of
from lrsearch.answer.row_noise import RowNoise, carrying_rows, row_noise, rows_freedom
from lrsearch.answer.seed_noise import SeedNoise, seed_noise
from lrsearch.answer.selection import Race
from lrsearch.values import Direction, TrialRecord, Trials

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

MOST_CANDIDATES = 100  # settings that may be chosen anew: the best ones of the search


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measured:
    """A study's race as arrays; `trials` are the numbers of its m settings, in their order."""

    challenger: Contender
    yours: Contender
    trials: tuple[int, ...]
    race: Race
    rows: RowNoise | None
    repeats: Repeats  # of the finalists, best first, and of yours
    test: TestLook | None
    finalists: tuple[int, ...]  # places in the race of the settings that `repeats` has
    carrying: float | None = None  # rows of the split that carry the gain's noise

    @property
    def place(self) -> int:
        """The challenger's place in the race."""
        return self.trials.index(self.challenger.trial)

    @property
    def order(self) -> tuple[int, ...]:
        """The trials that `rows` knows, in its order."""
        return (*self.trials, self.yours.trial)

    def number(self, place: int) -> int:
        """The place among the repeats of a setting that was retested; the race's last is yours."""
        return (
            self.finalists.index(place)
            if place in self.finalists
            else len(self.finalists)
        )


def find_challenger(leaderboard: Leaderboard) -> Contender | None:
    """The best retested setting other than yours; None where there is none with a value."""
    found = (each for each in leaderboard.retested if not each.is_yours and each.seeds)
    return next(found, None)


def measure(
    leaderboard: Leaderboard, records: Trials, direction: Direction, scores: Scores
) -> Measured | None:
    """The race of this study; None where yours or a challenger was not retested.

    None too where no setting has two different trainings: nothing is known of seeds
    then.
    """
    challenger, yours = find_challenger(leaderboard), leaderboard.yours
    if challenger is None or yours is None or not yours.seeds:
        return None
    finalists = [
        each
        for each in leaderboard.retested
        if not each.is_yours and each.seeds and (not _lossy(each) or each is challenger)
    ]
    repeats = repeats_of((*finalists, yours), leaderboard, direction)
    if repeats is None or repeats.noise is None:
        return None
    return _measured(leaderboard, records, direction, scores, finalists, repeats)


def _lossy(each: Contender) -> bool:
    return each.retest is not None and each.retest.lost > 0


def _measured(
    leaderboard: Leaderboard,
    records: Trials,
    direction: Direction,
    scores: Scores,
    finalists: Sequence[Contender],
    repeats: Repeats,
) -> Measured:
    challenger, yours = finalists[0], leaderboard.yours
    assert yours is not None
    candidates = _candidates(leaderboard, finalists)
    trainings = trainings_of(records)
    numbers = (*(each.number for each in candidates), yours.trial)
    needed = (*finalists, yours)
    # folds are other rows each time, so that their noise is in the repeats'
    by_row = (
        None
        if repeats.folds
        else pair_rows(trainings, numbers, direction, scores, needed=needed)
    )
    if by_row is not None:
        candidates = [each for each in candidates if each.number in by_row.scores]
    numbers = tuple(each.number for each in candidates)
    rows, carrying, rows_df = None, None, math.inf
    if by_row is not None:
        order = (*numbers, yours.trial)
        costs = [by_row.scores[each] for each in order]
        rows = row_noise(costs, rows=by_row.rows)
        carrying = carrying_rows(costs, order.index(challenger.trial), -1)
        rows_df = rows_freedom(carrying, costs[-1].shape[1])
        repeats = scale_by_row(
            repeats, rows, [order.index(each.trial) for each in needed]
        )
    return Measured(
        challenger=challenger,
        yours=yours,
        trials=numbers,
        race=_race(candidates, finalists, direction, repeats, rows, rows_df),
        rows=rows,
        repeats=repeats,
        finalists=tuple(numbers.index(each.trial) for each in finalists),
        test=look_at_test(leaderboard, finalists, direction, trainings, scores),
        carrying=carrying,
    )


def scale_by_row(repeats: Repeats, rows: RowNoise, places: Sequence[int]) -> Repeats:
    """The same repeats, with variances in proportion to what seeds do row by row.

    places: of the repeats' settings in `rows`, which tell a setting's noise from
    hundreds of numbers where its retests are three.
    """
    scales = [float(each) for each in rows.residuals[list(places)]]
    return replace(repeats, noise=seed_noise(repeats.costs, scales))


def _candidates(
    leaderboard: Leaderboard, finalists: Iterable[Contender]
) -> list[TrialRecord]:
    """The best settings of the search, and every finalist."""
    known = {each.trial for each in finalists}
    searched = [each for each in leaderboard.ranked if not each.is_yours]
    return [
        each
        for place, each in enumerate(searched)
        if place < MOST_CANDIDATES or each.number in known
    ]


def _race(
    candidates: Sequence[TrialRecord],
    finalists: Sequence[Contender],
    direction: Direction,
    repeats: Repeats,
    rows: RowNoise | None,
    rows_df: float,
) -> Race:
    import numpy as np

    m, yours, noise = len(candidates), len(finalists), repeats.noise
    assert noise is not None
    places = {each.number: place for place, each in enumerate(candidates)}
    retested, seeds = np.full(m, np.nan), np.zeros(m)
    variances = np.full(m + 1, noise.pooled)
    if rows is not None and rows.residuals.min() > 0.0:
        known = [*(places[each.trial] for each in finalists), m]
        variances *= rows.residuals / rows.residuals[known].mean()
    costs = [
        repeats.on_all_folds(direction.cost(each.final_value), 0) for each in candidates
    ]
    variances[:m] *= [repeats.unit(cost) ** 2 for cost in costs]
    for number, each in enumerate(finalists):
        place = places[each.trial]
        retested[place] = repeats.mean(number)
        seeds[place] = 1 / repeats.independent_share(number)
        variances[place] = noise.variance(number)
    variances[m] = noise.variance(yours)
    return Race(
        # the search's fold as hard as all of them are: the settings compare across
        # folds then
        searched=np.array(costs),
        retested=retested,
        seeds=seeds,
        yours_mean=repeats.mean(yours),
        yours_seeds=1 / repeats.independent_share(yours),
        variances=variances,
        df=_freedoms(repeats, [*(places[each.trial] for each in finalists), m]),
        carried=repeats.fold_share if 0 in repeats.folds else 0.0,
        overlap=repeats.overlap,
        rows=np.zeros((m + 1, m + 1)) if rows is None else rows.contrasts / rows.rows,
        per_training=np.zeros(m + 1) if rows is None else rows.per_training,
        rows_df=rows_df,
    )


def _freedoms(repeats: Repeats, places: Sequence[int]) -> Floats:
    """(m + 1,) degrees of freedom of each variance in the race, where yours is the last.

    places: in the race, of the repeats' settings. The draws move all variances at once,
    so that a sum of two has fewer degrees of freedom than it should; all are raised by
    what brings that of the challenger and yours to Satterthwaite's. With folds this one
    serves for all.
    """
    import numpy as np

    noise, yours = repeats.noise, len(places) - 1
    assert noise is not None
    both = repeats.freedom(0, yours)
    if not isinstance(noise, SeedNoise):
        return np.full(places[-1] + 1, both)
    found = np.full(places[-1] + 1, float(noise.pool_df))
    for number, place in enumerate(places):
        found[place] = noise.freedom(
            [float(each == number) for each in range(yours + 1)]
        )
    parts = np.array(
        [repeats.share(each) * noise.variance(each) for each in (0, yours)]
    )
    spread = parts / np.sqrt(found[[places[0], places[-1]]])
    if not spread.any():
        return found
    return found * max(1.0, both * float(spread.sum() / parts.sum()) ** 2)
