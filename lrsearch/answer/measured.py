"""The records of a study as the arrays that the verdict is reckoned from.

Rows are used where the challenger and yours have scores of the same rows; whoever lacks them leaves
the race, or, where a retested setting lacks them, only seeds are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lrsearch.answer.final_look import TestLook, costs_of, look_at_test
from lrsearch.answer.leaderboard import Contender, Leaderboard
from lrsearch.answer.paired_rows import Scores, pair_rows, trainings_of
from lrsearch.answer.row_noise import RowNoise, row_noise
from lrsearch.answer.seed_noise import SeedNoise, seed_noise
from lrsearch.answer.selection import Race
from lrsearch.values import Direction, TrialRecord, Trials

MOST_CANDIDATES = 100  # settings that may be chosen anew: the best ones of the search


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measured:
    """A study's race as arrays; `trials` are the numbers of its m settings, in their order."""

    challenger: Contender
    yours: Contender
    trials: tuple[int, ...]
    race: Race
    rows: RowNoise | None
    test: TestLook | None

    @property
    def place(self) -> int:
        """The challenger's place in the race."""
        return self.trials.index(self.challenger.trial)


def find_challenger(leaderboard: Leaderboard) -> Contender | None:
    """The best retested setting other than yours; None where there is none with a value."""
    found = (each for each in leaderboard.retested if not each.is_yours and each.seeds)
    return next(found, None)


def measure(
    leaderboard: Leaderboard, records: Trials, direction: Direction, scores: Scores
) -> Measured | None:
    """The race of this study; None where yours or a challenger was not retested.

    None too where no setting has two different trainings: nothing is known of seeds then.
    """
    challenger, yours = find_challenger(leaderboard), leaderboard.yours
    if challenger is None or yours is None or not yours.seeds:
        return None
    finalists = [
        each
        for each in leaderboard.retested
        if not each.is_yours and each.seeds and (not _lossy(each) or each is challenger)
    ]
    noise = seed_noise([costs_of(each, direction) for each in (*finalists, yours)])
    if noise is None:
        return None
    return _measured(leaderboard, records, direction, scores, finalists, noise)


def _lossy(each: Contender) -> bool:
    return each.retest is not None and each.retest.lost > 0


def _measured(
    leaderboard: Leaderboard,
    records: Trials,
    direction: Direction,
    scores: Scores,
    finalists: Sequence[Contender],
    noise: SeedNoise,
) -> Measured:
    challenger, yours = finalists[0], leaderboard.yours
    assert yours is not None
    candidates = _candidates(leaderboard, finalists)
    trainings = trainings_of(records)
    numbers = (*(each.number for each in candidates), yours.trial)
    by_row = pair_rows(trainings, numbers, direction, scores, needed=(*finalists, yours))
    if by_row is not None:
        candidates = [each for each in candidates if each.number in by_row.scores]
    numbers = tuple(each.number for each in candidates)
    rows = None
    if by_row is not None:
        order = (*numbers, yours.trial)
        rows = row_noise([by_row.scores[each] for each in order], rows=by_row.rows)
    return Measured(
        challenger=challenger,
        yours=yours,
        trials=numbers,
        race=_race(candidates, finalists, yours, direction, noise, rows),
        rows=rows,
        test=look_at_test(leaderboard, finalists, direction, trainings, scores),
    )


def _candidates(leaderboard: Leaderboard, finalists: Iterable[Contender]) -> list[TrialRecord]:
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
    yours: Contender,
    direction: Direction,
    noise: SeedNoise,
    rows: RowNoise | None,
) -> Race:
    import numpy as np

    m = len(candidates)
    places = {each.number: place for place, each in enumerate(candidates)}
    retested, seeds = np.full(m, np.nan), np.zeros(m, dtype=np.int64)
    variances = np.full(m + 1, noise.pooled)
    for number, each in enumerate(finalists):
        costs, place = costs_of(each, direction), places[each.trial]
        retested[place], seeds[place] = np.mean(costs), len(costs)
        variances[place] = noise.variance(number)
    variances[m] = noise.variance(len(finalists))
    yours_seeds = len(costs_of(yours, direction))
    shares = [0.0] * (len(finalists) + 1)
    shares[0], shares[-1] = 1 / len(costs_of(finalists[0], direction)), 1 / yours_seeds
    return Race(
        searched=np.array([direction.cost(each.final_value) for each in candidates]),
        retested=retested,
        seeds=seeds,
        yours_mean=float(np.mean(costs_of(yours, direction))),
        yours_seeds=yours_seeds,
        variances=variances,
        df=noise.freedom(shares),
        rows=np.zeros((m + 1, m + 1)) if rows is None else rows.contrasts / rows.rows,
        per_training=0.0 if rows is None else rows.per_training,
    )
