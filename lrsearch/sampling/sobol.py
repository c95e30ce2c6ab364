"""Quasi-random points: a trial's number is its place in one scrambled Sobol sequence.

Optuna's QMCSampler counts its points in the study's row. Here the number is the count,
so that workers need not agree on one. Knows nothing of Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lrsearch.values import Direction, Setting, TrialRecord

if TYPE_CHECKING:
    from lrsearch.space import Dimension, SearchSpace


class QuasiRandomSampler:
    """Proposes the points of one sequence, whatever was observed."""

    note = ""

    def __init__(self, space: SearchSpace, *, direction: Direction, seed: int) -> None:
        del direction
        self._space, self._seed = space, seed

    def observe(self, records: Iterable[TrialRecord]) -> None:
        """Ignore the records."""

    def propose(self, number: int) -> Setting:
        """The setting at place `number` of the sequence."""
        point = sobol_point(self._space.dimensions(), number, seed=self._seed)
        return self._space.setting_from(point)


class BalancedSampler:
    """Proposes the points of one sequence to every choice of a dimension, in turn.

    Trial number n has the choice n modulo the choices, and point n divided by them:
    after any whole round all choices have had equally many trials, at the same places
    of all other dimensions.
    """

    note = ""

    def __init__(
        self, space: SearchSpace, *, direction: Direction, seed: int, balanced: str
    ) -> None:
        del direction
        self._space, self._seed, self._balanced = space, seed, balanced
        dimensions = {each.name: each for each in space.dimensions()}
        self._choices = dimensions.pop(balanced).choices
        self._others = tuple(dimensions.values())

    def observe(self, records: Iterable[TrialRecord]) -> None:
        """Ignore the records."""

    def propose(self, number: int) -> Setting:
        """The setting of the trial `number`."""
        index, choice = divmod(number, len(self._choices))
        point = sobol_point(self._others, index, seed=self._seed)
        return self._space.setting_from(
            {**point, self._balanced: self._choices[choice]}
        )


def sobol_point(
    dimensions: Sequence[Dimension], index: int, *, seed: int
) -> dict[str, Any]:
    """Point `index` (from 0) of the sequence scrambled by `seed`, on the dimensions' own axes.

    Source: Owen (1998), Scrambling Sobol' and Niederreiter-Xing points, as
    scipy.stats.qmc has it.
    """
    from scipy.stats import qmc  # late: 0.4 s

    engine = qmc.Sobol(len(dimensions), scramble=True, rng=seed)
    if index:  # scipy refuses to go forward by 0
        engine.fast_forward(index)
    [unit] = engine.random(1)
    return {
        each.name: place_on(each, float(at))
        for each, at in zip(dimensions, unit, strict=True)
    }


def place_on(dimension: Dimension, at: float) -> Any:
    """The value at `at`, 0 to 1, of the dimension's axis."""
    if dimension.kind == "categorical":
        choices = dimension.choices
        return choices[min(len(choices) - 1, math.floor(at * len(choices)))]
    low, high = dimension.low, dimension.high
    if dimension.kind == "int":
        low, high = int(low), int(high)
        if dimension.log:
            return min(high, max(low, round(_log_between(low - 0.5, high + 0.5, at))))
        return min(high, low + math.floor(at * (high - low + 1)))
    if dimension.log:
        return min(high, max(low, _log_between(low, high, at)))
    return low + at * (high - low)


def _log_between(low: float, high: float, at: float) -> float:
    return math.exp(math.log(low) + at * (math.log(high) - math.log(low)))
