"""A Gaussian process over settings: what rates, optimizers and shapes do, learned from few trials.

The covariance is fixed, not fitted: a study has too few trials to fit one. Knows points
as rows of numbers and outcomes as scores; nothing of records, Optuna or Keras.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lrsearch.space import RATE
from lrsearch.values import Json

if TYPE_CHECKING:
    from lrsearch.space import Dimension

Floats: TypeAlias = NDArray[np.float64]

SCALE_DECADES: Final = 1.0  # of the rate's effect
_SCALE: Final = 0.5  # of every other number's effect, as a share of its range
NOISE: Final = 0.05  # variance of one training's score; that of all scores is about 1
# what two trials that differ in a hyperparameter surely have in common
_SHARED: Final = 0.5

# Parts of the covariance: of the rate alone, of the optimizer, of the rate with that
# optimizer, and so on; `shape` is warm-up, final fraction and the shape's own numbers.
_WEIGHTS: Final = {
    "rate": 0.45,
    "optimizer": 0.2,
    "optimizer, rate": 0.45,
    "schedule": 0.08,
    "schedule, rate": 0.08,
    "shape, rate": 0.08,
}
# of hyperparameters, batch sizes and the model's own values, alone
_OTHERS: Final = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """Turns points of a space into rows of numbers, a column a dimension.

    The rate becomes decades, other numbers the share of their range, and choices their
    place.
    """

    dimensions: tuple[Dimension, ...]
    shape: frozenset[str]  # names of the numbers that the schedule uses

    def encode(self, points: Sequence[Mapping[str, Json]]) -> Floats:
        """(points, dimensions) float64."""
        rows = [
            [_encoded(each, point[each.name]) for each in self.dimensions]
            for point in points
        ]
        return np.array(rows, dtype=np.float64).reshape(
            len(points), len(self.dimensions)
        )

    @property
    def rate_column(self) -> int:
        return next(
            place for place, each in enumerate(self.dimensions) if each.name == RATE
        )


def _encoded(dimension: Dimension, value: Json) -> float:
    if dimension.kind == "categorical":
        return float(dimension.choices.index(value))
    if dimension.name == RATE:
        return math.log10(value)
    low, high = dimension.low, dimension.high
    if dimension.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low) if high > low else 0.0


def covariance(encoder: Encoder, one: Floats, other: Floats) -> Floats:
    """(n, m) float64 covariances of the rows of `one`, (n, d), and `other`, (m, d)."""
    parts = dict.fromkeys(
        ("optimizer", "schedule", "shape"), np.ones((len(one), len(other)))
    )
    others: list[Floats] = []
    for column, dimension in enumerate(encoder.dimensions):
        if dimension.name == RATE:
            continue
        same = _alike(dimension, one[:, column, None], other[None, :, column])
        if dimension.name in parts:
            parts[dimension.name] = same
        elif dimension.name in encoder.shape:
            parts["shape"] = parts["shape"] * same
        else:
            others.append(same)
    column = encoder.rate_column
    rate = _matern(
        np.abs(one[:, column, None] - other[None, :, column]) / SCALE_DECADES
    )
    total = (
        rate
        * (
            _WEIGHTS["rate"]
            + _WEIGHTS["optimizer, rate"] * parts["optimizer"]
            + _WEIGHTS["schedule, rate"] * parts["schedule"]
            + _WEIGHTS["shape, rate"] * parts["shape"]
        )
        + _WEIGHTS["optimizer"] * parts["optimizer"]
        + _WEIGHTS["schedule"] * parts["schedule"]
    )
    for same in others:
        total = total * (_SHARED + (1 - _SHARED) * same)
    for same in others:
        total = total + _OTHERS / len(others) * same
    return np.asarray(total)


def _alike(dimension: Dimension, one: Floats, other: Floats) -> Floats:
    """1 for equal values; for choices 0 else, for numbers less with their distance."""
    if dimension.kind == "categorical":
        return np.asarray(one == other, dtype=np.float64)
    return np.asarray(np.exp(-0.5 * ((one - other) / _SCALE) ** 2))


def _matern(distance: Floats) -> Floats:
    """Matern covariance with smoothness 5/2 (Rasmussen and Williams 2006, eq. 4.17)."""
    scaled = math.sqrt(5) * distance
    return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))


class Process:
    """The process after what was seen: `points` (n, d), their `scores` (n,), `noise` (n,).

    Scores are lower for better outcomes; where nothing was seen the mean is 0, the
    middle.
    """

    def __init__(
        self, encoder: Encoder, points: Floats, scores: Floats, noise: Floats
    ) -> None:
        from scipy.linalg import cho_factor, cho_solve  # late: 0.1 s

        self._encoder, self._points = encoder, points
        seen = covariance(encoder, points, points) + np.diag(noise)
        self._factor, _ = cho_factor(seen, lower=True)
        # the same everywhere
        self._variance = covariance(encoder, points[:1], points[:1])[0, 0]
        self._weights = cho_solve((self._factor, True), scores)
        self._scores = scores

    @property
    def log_likelihood(self) -> float:
        """Of the scores, less a constant (Rasmussen and Williams 2006, eq. 5.8)."""
        fit = 0.5 * float(self._scores @ self._weights)
        return -fit - float(np.log(np.diag(self._factor)).sum())

    def predict(self, points: Floats) -> tuple[Floats, Floats]:
        """The mean score and its standard deviation at `points`, (m, d): two arrays (m,)."""
        from scipy.linalg import solve_triangular

        across = covariance(self._encoder, self._points, points)
        explained = solve_triangular(
            self._factor, across, lower=True, overwrite_b=False, check_finite=False
        )
        variance = self._variance - np.einsum("ij,ij->j", explained, explained)
        return self._weights @ across, np.sqrt(np.maximum(variance, 1e-9))


def expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """How far below `best` a score is expected to come, (m,), less where one more adds little.

    Augmented expected improvement (Huang et al. 2006, Global optimization of stochastic
    black-box systems): the improvement is discounted by what a training's noise leaves
    to be learned.
    """
    from scipy.special import ndtr

    ahead = (best - mean) / deviation
    density = np.exp(-0.5 * ahead**2) / math.sqrt(2 * math.pi)
    gain = deviation * (ahead * ndtr(ahead) + density)
    return np.asarray(gain * (1 - np.sqrt(NOISE / (NOISE + deviation**2))))
