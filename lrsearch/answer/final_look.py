"""What the test split says of the challenger and yours; it decides no choice.

Pure functions of records and their row scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrsearch.answer.leaderboard import Contender, Leaderboard
from lrsearch.answer.paired_rows import Scores, pair_rows
from lrsearch.answer.repeats import repeats_of
from lrsearch.answer.row_noise import carrying_rows, row_noise, rows_freedom
from lrsearch.values import Direction, TrialRecord


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TestLook:
    """What the test split says of the challenger and yours, as costs.

    gain: the mean of yours less the challenger's. variances: of one training of the
    two, and per_training: the part of these that is made row by row. rows_variance: of
    the gain, by the rows that the split happens to hold; 0 where `rows` is None.
    correlation: between a training's luck on the validation and on the test split.
    """

    __test__ = False  # not pytest's

    gain: float
    variances: tuple[float, float]
    rows_variance: float
    per_training: tuple[float, float]
    rows: int | None
    kept: int | None  # of these rows, the ones that are known
    carrying: float | None  # rows that carry the gain's noise
    rows_df: float  # degrees of freedom of `rows_variance`
    correlation: float
    looks: int  # trainings that the test split was looked at with


def look_at_test(
    leaderboard: Leaderboard,
    finalists: Sequence[Contender],
    direction: Direction,
    trainings: Mapping[int, Sequence[TrialRecord]],
    scores: Scores,
) -> TestLook | None:
    challenger, yours = finalists[0], leaderboard.yours
    assert yours is not None
    group = (*finalists, yours)
    repeats = repeats_of(group, leaderboard, direction, test=True)
    if repeats is None or repeats.noise is None:
        return None
    if not repeats.costs[0] or not repeats.costs[-1]:
        return None
    noise, last = repeats.noise, len(finalists)
    both = (challenger, yours)
    by_row = pair_rows(
        trainings,
        [each.trial for each in both],
        direction,
        scores,
        needed=both,
        split="test",
    )
    rows, carrying, rows_df, own = None, None, math.inf, [0.0, 0.0]
    if by_row is not None:
        costs = [by_row.scores[each.trial] for each in both]
        rows = row_noise(costs, rows=by_row.rows)
        own = [float(each) for each in rows.per_training]
        carrying = carrying_rows(costs, 0, 1)
        rows_df = rows_freedom(carrying, costs[1].shape[1])
    looks = sum(len(each.retest.test) for each in leaderboard.retested if each.retest)
    return TestLook(
        gain=repeats.mean(last) - repeats.mean(0),
        variances=(noise.variance(0), noise.variance(last)),
        rows_variance=0.0 if rows is None else rows.difference(0, 1),
        per_training=(own[0], own[1]),
        rows=None if rows is None else rows.rows,
        kept=None if rows is None else rows.kept,
        carrying=carrying,
        rows_df=rows_df,
        correlation=_correlation(finalists, yours, direction),
        looks=looks,
    )


def costs_of(each: Contender, direction: Direction) -> list[float]:
    """The costs of a setting's different retests."""
    return (
        [direction.cost(value) for value in each.retest.independent]
        if each.retest
        else []
    )


def _test_costs(each: Contender, direction: Direction) -> list[float]:
    if each.retest is None:
        return []
    known = each.retest.test[:1] if each.retest.copies else each.retest.test
    return [direction.cost(value) for value in known]


def _correlation(
    finalists: Sequence[Contender], yours: Contender, direction: Direction
) -> float:
    """How far the luck of a seed on the validation is its luck on the test split, 0 to 1.

    Pooled within the settings. 1, the careful answer, where a setting has not both of
    every seed, or nothing varies.
    """
    import numpy as np

    pairs = []
    for each in (*finalists, yours):
        one, other = costs_of(each, direction), _test_costs(each, direction)
        if len(one) != len(other):
            return 1.0
        both = np.array([one, other])
        pairs.append(both - both.mean(axis=1, keepdims=True))
    validation, test = np.concatenate(pairs, axis=1)
    size = float(np.sqrt(np.sum(validation**2) * np.sum(test**2)))
    return (
        float(np.clip(np.sum(validation * test) / size, 0.0, 1.0)) if size > 0 else 1.0
    )
