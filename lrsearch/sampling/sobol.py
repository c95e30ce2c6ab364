"""Quasi-random points: a trial's number is its place in one scrambled Sobol sequence.

Optuna's QMCSampler counts its points in the study's row; here the number is the count, so that
workers need not agree on one. Knows dimensions; nothing of trials or Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrsearch.space import Dimension


def sobol_point(dimensions: Sequence[Dimension], index: int, *, seed: int) -> dict[str, Any]:
    """Point `index` (from 0) of the sequence that `seed` scrambles, on the dimensions' own axes.

    Source: Owen (1998), Scrambling Sobol' and Niederreiter-Xing points, as scipy.stats.qmc has it.
    """
    from scipy.stats import qmc  # late: 0.4 s

    engine = qmc.Sobol(len(dimensions), scramble=True, rng=seed)
    if index:  # scipy refuses to go forward by 0
        engine.fast_forward(index)
    unit = engine.random(1)[0]
    return {
        each.name: _PLACED[each.kind](each, float(at))
        for each, at in zip(dimensions, unit, strict=True)
    }


def _place_float(dimension: Dimension, at: float) -> float:
    low, high = float(dimension.low), float(dimension.high)
    if dimension.log:
        return min(high, max(low, math.exp(math.log(low) + at * (math.log(high) - math.log(low)))))
    return low + at * (high - low)


def _place_int(dimension: Dimension, at: float) -> int:
    low, high = int(dimension.low), int(dimension.high)
    if dimension.log:
        placed = math.exp(math.log(low - 0.5) + at * (math.log(high + 0.5) - math.log(low - 0.5)))
        return min(high, max(low, round(placed)))
    return min(high, low + math.floor(at * (high - low + 1)))


def _place_choice(dimension: Dimension, at: float) -> Any:
    return dimension.choices[
        min(len(dimension.choices) - 1, math.floor(at * len(dimension.choices)))
    ]


_PLACED: dict[str, Callable[[Dimension, float], Any]] = {
    "float": _place_float,
    "int": _place_int,
    "categorical": _place_choice,
}
