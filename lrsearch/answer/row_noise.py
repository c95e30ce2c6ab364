"""The noise of rows: how far a value depends on which examples a split happens to hold.

A training's score at a row is the setting's own there, and what this training did by
its seed. The two are told apart by settings that were trained more than once. Knows
arrays only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


PRIOR_DF = 4.0  # degrees of freedom that the other settings count for
LEAST_LEFT = 1e-6  # of the noisiest setting, so that no unit is 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RowNoise:
    """What the rows of one split do to the values of m settings.

    contrasts: (m, m) covariance between the settings' own scores at a row, less what
    all settings share there; of a mean over the split it is this by `rows`. common: the
    variance of what they share. own: (m,) the variance over rows of a setting's own
    scores. residuals: (m,) the variance, at a row, of what one training of a setting
    does there by its seed. carrying: (m,) how many rows carry the spread of a setting's
    own scores. rows: of the whole split. kept: the n that are known of them.
    """

    contrasts: Floats
    common: float
    own: Floats
    residuals: Floats
    carrying: Floats
    rows: int
    kept: int

    def difference(self, one: int, other: int) -> float:
        """The variance of the difference of two settings' values, over splits of this size."""
        cov = self.contrasts
        return max(
            0.0,
            float(cov[one, one] + cov[other, other] - 2 * cov[one, other]) / self.rows,
        )

    @property
    def per_training(self) -> Floats:
        """(m,) the variance of a training's value that its seed makes row by row."""
        return self.residuals / self.rows


def row_noise(scores: Sequence[Floats], *, rows: int) -> RowNoise:
    """The noise of m settings' scores; each is (trainings, n), of the same n rows in this order.

    `rows` is the size of the whole split, of which the n may be a sample.
    """
    import numpy as np

    means = np.array([each.mean(axis=0) for each in scores], dtype=np.float64)
    shared = means.mean(axis=0)
    residuals = _residuals(scores, shared)
    # a mean of k trainings still has 1/k of what the seeds did at each row
    left = residuals / np.array([len(each) for each in scores])
    return RowNoise(
        contrasts=_contrasts(np.cov(means - shared), left),
        common=float(shared.var(ddof=1)),
        own=np.maximum(means.var(axis=1, ddof=1) - left, 0.0),
        residuals=residuals,
        carrying=np.array([_carrying((each - each.mean()) ** 2) for each in means]),
        rows=rows,
        kept=means.shape[1],
    )


def _contrasts(spread: Floats, left: Floats) -> Floats:
    """The covariance of settings' own scores: that of their means, without what seeds `left`.

    (m, m) and (m,). In units of what is left there, so that little is taken from
    settings of which much is known.
    """
    import numpy as np

    if left.max() == 0.0:
        return spread
    units = np.sqrt(np.maximum(left, LEAST_LEFT * left.max()))
    whole = spread - _centred(np.diag(left))
    found: Floats = _positive_part(whole / np.outer(units, units)) * np.outer(
        units, units
    )
    return found


def _centred(matrix: Floats) -> Floats:
    import numpy as np

    centre = np.eye(len(matrix)) - 1 / len(matrix)
    return centre @ matrix @ centre


def _positive_part(matrix: Floats) -> Floats:
    """A covariance near `matrix`, with its trace where that is positive.

    What is estimated from few rows has negative eigenvalues, and positive ones that are
    as much too large. All are lowered alike, those below 0 become 0, so that the sum
    stays: noise goes, and large differences between settings stay.
    """
    import numpy as np

    values, vectors = np.linalg.eigh(matrix)
    total, falling = max(0.0, float(values.sum())), values[::-1]
    kept = np.arange(1, len(values) + 1)
    cuts = np.maximum((np.cumsum(falling) - total) / kept, 0.0)
    count = int(np.flatnonzero(falling > cuts)[-1]) if (falling > cuts).any() else -1
    lowered = (
        np.maximum(values - cuts[count], 0.0) if count >= 0 else np.zeros_like(values)
    )
    found: Floats = (vectors * lowered) @ vectors.T
    return found


def _residuals(scores: Sequence[Floats], shared: Floats) -> Floats:
    """(m,) what one training does at a row by its seed; zeros where each was trained once.

    The mean square of rows by trainings of each setting, drawn to the mean of all by
    `PRIOR_DF`, since few rows may carry most of it. A setting that was trained once has
    the part of its spread about `shared` that it is of the others'.
    """
    import numpy as np

    spreads = np.array(
        [((each - shared).var(axis=1, ddof=1)).mean() for each in scores]
    )
    again = [place for place, each in enumerate(scores) if len(each) > 1]
    if not again:
        return np.zeros(len(scores))
    own, freedom = np.array([_within(scores[place]) for place in again]).T
    pool = float(own.mean())
    drawn = (PRIOR_DF * pool + freedom * own) / (PRIOR_DF + freedom)
    whole = float(spreads[again].sum())
    part = min(1.0, float(own.sum()) / whole) if whole else 0.0
    found: Floats = part * spreads
    found[again] = drawn
    return found


def _within(scores: Floats) -> tuple[float, float]:
    """The mean square of rows by trainings of one setting, and its degrees of freedom.

    As many rows count as carry it.
    """
    rest = (
        scores
        - scores.mean(axis=0)
        - scores.mean(axis=1, keepdims=True)
        + scores.mean()
    )
    trainings, rows = scores.shape
    squares = (rest**2).sum(axis=0)
    mean_square = float(squares.sum()) / ((trainings - 1) * (rows - 1))
    return mean_square, (trainings - 1) * _carrying(squares)


def _carrying(squares: Floats) -> float:
    """How many rows would carry the sum of squares evenly: (sum)^2 / sum of (squares^2).

    n / kurtosis of n rows: a third of them where they are normal, 1 where one row is
    all.
    """
    total = float(squares.sum())
    return total**2 / float((squares**2).sum()) if total else float(len(squares))


def rows_freedom(carrying: float, rows: int) -> float:
    """The degrees of freedom of a variance over rows of which so many carry it.

    2 n / (kurtosis - 1), where the kurtosis is n / carrying: n - 1 where the rows are
    normal.
    """
    return 2 * rows * carrying / (rows - carrying) if carrying < rows else math.inf


def carrying_rows(scores: Sequence[Floats], one: int, other: int) -> float:
    """How many rows carry the noise of the difference between two settings.

    The geometric mean of two numbers: the rows that carry the spread of the difference,
    and those that carry the spread of the setting at `one`, the challenger. Where its
    loss is that of one or two rows, how often it meets such rows is known from one or
    two events: a split that happens to hold few of them makes it look better on every
    row.
    """
    import numpy as np

    first, second = (
        scores[each].mean(axis=0, dtype=np.float64) for each in (one, other)
    )
    carrying = (
        _carrying((each - each.mean()) ** 2) for each in (first - second, first)
    )
    return math.sqrt(math.prod(carrying))
