"""Retests in numbers: mean, spread, interval.

Knows numbers only. Student's distribution comes from scipy.special: scipy.stats takes
most of a second to import.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TypeAlias

from lrsearch.values import Json

LEVEL = 0.95

Bounds: TypeAlias = tuple[float | None, float | None]
"""What an objective lies between; None where an end is not known."""


def clip(value: float, bounds: Bounds) -> float:
    """The value that is nearest within the bounds."""
    low, high = bounds
    value = value if low is None else max(value, low)
    return value if high is None else min(value, high)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retested:
    """One setting's retests.

    `lost` of its seeds have no value: `diverged` of them diverged, the others failed.
    """

    values: tuple[float, ...]  # in the order of `seeds`; none where every seed was lost
    seeds: tuple[int, ...]
    lost: int = 0
    diverged: int = 0
    test: tuple[float, ...] = ()  # the objective on the test split, where there is one
    # of each value, in the order of `seeds`; none without folds
    folds: tuple[int, ...] = ()
    # all that these trainings logged is the same: their seeds change nothing
    copies: bool = False
    bounds: Bounds = (None, None)

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """None where every seed was lost."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """The sample standard deviation; None of fewer than two different trainings."""
        return statistics.stdev(self.independent) if len(self.independent) > 1 else None

    @property
    def independent(self) -> tuple[float, ...]:
        """The values of different trainings: of copies, one."""
        return self.values[:1] if self.copies else self.values

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where one more training on a fresh seed falls in 95 of 100 cases, if values are normal.

        mean +- t(0.975, n - 1) * spread * sqrt(1 + 1/n): wide for few seeds, as it must
        be. None of fewer than two different trainings.
        """
        if self.spread is None or self.mean is None:
            return None
        from scipy.special import stdtrit

        half = (
            float(stdtrit(self.n - 1, (1 + LEVEL) / 2))
            * self.spread
            * math.sqrt(1 + 1 / self.n)
        )
        return clip(self.mean - half, self.bounds), clip(self.mean + half, self.bounds)

    def to_json(self) -> dict[str, Json]:
        return {
            "mean": self.mean,
            "spread": self.spread,
            "n": self.n,
            "values": list(self.values),
            "seeds": list(self.seeds),
            "interval": list(self.interval) if self.interval else None,
            "lost": self.lost,
            "diverged": self.diverged,
            "test": list(self.test),
            "copies": self.copies,
            "folds": list(self.folds),
        }


def prepare_answer() -> None:
    """Load ahead what the first interval or comparison would wait for: a third of a second."""
    import scipy.special

    del scipy
