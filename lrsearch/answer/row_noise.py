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

    contrasts: (m, m) covariance between the settings' own scores at a row, less what all settings
    share there; of a mean over the split it is this by `rows`. common: the variance of what they
    share. own: (m,) the variance over rows of a setting's own scores. residual: the variance, at a
    row, of what one training does there by its seed. rows: of the whole split.
    """

    contrasts: Floats
    common: float
    own: Floats
    residual: float
    rows: int

    def difference(self, one: int, other: int) -> float:
        """The variance of the difference of two settings' values, over splits of this size."""
        cov = self.contrasts
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
    residual = _residual(scores)
    # a mean of k trainings still has 1/k of what the seeds did at each row
    left = residual / np.array([len(each) for each in scores])
    shared = means.mean(axis=0)
    apart = np.cov(means - shared) - _centred(np.diag(left))
    return RowNoise(
        contrasts=_positive_part(apart),
        common=float(shared.var(ddof=1)),
        own=np.maximum(means.var(axis=1, ddof=1) - left, 0.0),
        residual=residual,
        rows=rows,
    )


def _centred(matrix: Floats) -> Floats:
    import numpy as np

    centre = np.eye(len(matrix)) - 1 / len(matrix)
    return centre @ matrix @ centre


def _positive_part(matrix: Floats) -> Floats:
    """A covariance near `matrix`, with its trace where that is positive.

    What is estimated from few rows has negative eigenvalues, and positive ones that are as much
    too large. All are lowered alike, those below 0 become 0, so that the sum stays: noise goes,
    and large differences between settings stay.
    """
    import numpy as np

    values, vectors = np.linalg.eigh(matrix)
    total, falling = max(0.0, float(values.sum())), values[::-1]
    kept = np.arange(1, len(values) + 1)
    cuts = np.maximum((np.cumsum(falling) - total) / kept, 0.0)
    count = int(np.flatnonzero(falling > cuts)[-1]) if (falling > cuts).any() else -1
    lowered = np.maximum(values - cuts[count], 0.0) if count >= 0 else np.zeros_like(values)
    found: Floats = (vectors * lowered) @ vectors.T
    return found


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
