"""Gains and new trainings where a fold costs settings in proportion to their level.

New folds then move the costs of all settings by one factor, which takes no setting's
cost below 0 and turns no gain around. Knows arrays only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from lrsearch.answer.repeats import Repeats
from lrsearch.answer.selection import Misses, spread_by

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


def gains_in_proportion(
    repeats: Repeats, yours: float, best: float, misses: Misses
) -> Floats:
    """(draws,) gains that the best of these two mean costs may truly have over yours."""
    import numpy as np

    random, count = np.random.default_rng(1), len(set(repeats.folds))
    draws = len(misses.yours)
    moved = (
        repeats.swing(1 / count + repeats.ratio)
        * random.standard_normal(draws)
        * spread_by(count - 1, draws, random)
    )
    mine, other = (
        mean * factor(-missed / mean)
        for mean, missed in ((yours, misses.yours), (best, misses.finalists[:, 0]))
    )
    found: Floats = factor(moved) * (mine - other)
    return found


def costs_in_proportion(
    repeats: Repeats, cost: float, training: Floats, missed: Floats, *, seed: int
) -> Floats:
    """(draws,) costs of one more training on a new fold, of a setting whose mean is `cost`.

    training: (draws,) the variance of a training, over the square of the cost. missed:
    (draws,) by how much the mean missed the true one.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    draws = len(missed)
    count = len(set(repeats.folds))
    swing = repeats.swing(1 + 1 / count + repeats.ratio)
    moved = swing * random.standard_normal(draws) * spread_by(count - 1, draws, random)
    moved += np.sqrt(training) * random.standard_normal(draws)
    # A cost whose logarithm is normal has its mean above its median, and `cost` is a
    # mean.
    found: Floats = cost * factor(moved - missed / cost - repeats.swing(1.0) ** 2 / 4)
    return found


def factor(moved: Floats) -> Floats:
    """The factors of costs whose logarithms moved by `moved`: above 0, and near 1 + moved if small.

    A cost that falls has the exponential, one that rises (1 + moved / 2)^2: with the
    few degrees of freedom of four folds, the exponential would make costs a hundred
    times as high.
    """
    import numpy as np

    found: Floats = np.where(
        moved < 0, np.exp(np.minimum(moved, 0.0)), (1 + np.maximum(moved, 0.0) / 2) ** 2
    )
    return found
