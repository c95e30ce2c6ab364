"""The noise of rows: how far a value depends on which examples a split happens to hold.

A training's score at a row is the setting's own there, and what this training did by its seed. The
two are told apart by settings that were trained more than once. Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowNoise:
    """What the rows of one split do to the values of m settings.

    covariance: (m, m) between the settings' own scores at a row; of a mean over the split it is
    this by `rows`. residual: the variance, at a row, of what one training does there by its seed.
    single: (m,) variance over rows of one training's scores. rows: of the whole split.
    """

    covariance: Floats
    residual: float
    single: Floats
    rows: int

    def difference(self, one: int, other: int) -> float:
        """The variance of the difference of two settings' values, over splits of this size."""
        cov = self.covariance
        return max(0.0, float(cov[one, one] + cov[other, other] - 2 * cov[one, other]) / self.rows)

    @property
    def per_training(self) -> float:
        """The variance of a training's value that its seed makes row by row."""
        return self.residual / self.rows


def row_noise(scores: Sequence[Floats], *, rows: int) -> RowNoise:
    """The noise of m settings' scores; each is (trainings, n), of the same n rows in this order.

    `rows` is the size of the whole split, of which the n may be a sample.
    """
    import numpy as np

    means = np.array([each.mean(axis=0) for each in scores], dtype=np.float64)
    trainings = np.array([len(each) for each in scores])
    residual = _residual(scores)
    covariance = np.atleast_2d(np.cov(means))
    diagonal = np.diag(covariance)
    # a mean of k trainings still has 1/k of what the seeds did at each row
    own = np.maximum(diagonal - residual / trainings, 0.0)
    np.fill_diagonal(covariance, own)
    return RowNoise(covariance=covariance, residual=residual, single=own + residual, rows=rows)


def _residual(scores: Sequence[Floats]) -> float:
    """The mean square of rows by trainings within settings; 0 where each was trained once."""
    import numpy as np

    squares, df = 0.0, 0
    for each in scores:
        if len(each) > 1:
            rest = each - each.mean(axis=0) - each.mean(axis=1, keepdims=True) + each.mean()
            squares += float(np.sum(rest**2))
            df += (each.shape[0] - 1) * (each.shape[1] - 1)
    return squares / df if df else 0.0
