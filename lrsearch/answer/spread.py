"""Retests in numbers: mean, spread, interval, and whether two settings can be told apart.

Knows numbers only. Student's distribution comes from scipy.special: scipy.stats takes most of a
second to import.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.values import Json

LEVEL = 0.95


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
    copies: bool = False  # all that these trainings logged is the same: their seeds change nothing

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

        mean +- t(0.975, n - 1) * spread * sqrt(1 + 1/n): wide for few seeds, as it must be. None of
        fewer than two different trainings.
        """
        if self.spread is None or self.mean is None:
            return None
        from scipy.special import stdtrit

        half = float(stdtrit(self.n - 1, (1 + LEVEL) / 2)) * self.spread * math.sqrt(1 + 1 / self.n)
        return self.mean - half, self.mean + half

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
        }


def prepare_answer() -> None:
    """Load ahead what the first interval or comparison would wait for: a third of a second."""
    import scipy.special

    del scipy


def p_value(one: Sequence[float], other: Sequence[float]) -> float:
    """How often chance alone would part two means as far, by Welch's t (1947); two-sided.

    1.0 where either side has fewer than two values: nothing is known of its spread. Where neither
    side varies, 1.0 if they are equal, else 0.0.
    """
    if min(len(one), len(other)) < 2:  # noqa: PLR2004 - a spread takes two
        return 1.0
    apart = statistics.fmean(one) - statistics.fmean(other)
    shares = [statistics.variance(each) / len(each) for each in (one, other)]
    total = math.fsum(shares)
    if total == 0.0:
        return 1.0 if apart == 0.0 else 0.0
    from scipy.special import stdtr

    freedom = total**2 / math.fsum(
        share**2 / (len(each) - 1) for share, each in zip(shares, (one, other), strict=True)
    )
    return float(2 * stdtr(freedom, -abs(apart) / math.sqrt(total)))


def separable(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two settings' retests differ beyond chance at the 95 % level."""
    return p_value(one, other) < 1 - LEVEL
