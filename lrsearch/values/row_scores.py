"""What each row of a split contributes to a training's objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MOST_ROWS = 4096  # of a split; of a longer one a fixed sample is kept
# Begins the note of a trial whose objective is no mean over rows; the reason follows.
NO_ROW_SCORES = "no row scores: "


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RowScores:
    """One training's row scores on one split, at the epoch that counts.

    A row with weight w and metric m contributes n w m / sum of w, so that the plain
    mean of all contributions is the objective.
    """

    split: str  # "validation" or "test"
    values: np.ndarray  # (n,), float32
    digest: str  # of the targets in order: only equal digests are paired
    rows: int  # of the whole split; more than n where a fixed sample was kept
