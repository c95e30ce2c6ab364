"""The noise of seeds: how far the trainings of one setting lie apart.

Few seeds say little of a setting's variance, so each variance is drawn towards the mean
of all retested settings: the moderated t of Smyth (2004). Knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PRIOR_DF = 4  # degrees of freedom that the pool counts for, at most


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedNoise:
    """Variances between the trainings of m settings, drawn towards their pool.

    own: (m,) sample variances, 0 where a setting has one training. df: (m,) their
    degrees of freedom. pooled: the mean of the variances, weighted with these, each by
    its scale. scales: (m,) how noisy the settings are beside each other, as far as that
    is known from elsewhere; all 1 where nothing is.
    """

    own: tuple[float, ...]
    df: tuple[float, ...]
    pooled: float
    scales: tuple[float, ...]

    @property
    def prior_df(self) -> float:
        return min(PRIOR_DF, sum(self.df))

    def variance(self, place: int) -> float:
        """The moderated variance of one training of the setting at `place`.

        (d0 s0^2 + d s^2) / (d0 + d), where s0^2 is the pooled variance, times the
        setting's scale, and d0 is `prior_df`.
        """
        prior, df = self.prior_df, self.df[place]
        pooled = self.pooled * self.scales[place]
        return (prior * pooled + df * self.own[place]) / (prior + df)

    def freedom(self, shares: Sequence[float]) -> float:
        """Degrees of freedom of sum(shares * variances), by Satterthwaite (1946).

        shares: (m,). The pool has every setting's variance in it, so that each
        variance's own weight is counted over all the moderated ones.
        """
        prior, total = self.prior_df, sum(self.df)
        pool = math.fsum(
            share * scale * prior / (prior + df)
            for share, scale, df in zip(shares, self.scales, self.df, strict=True)
        )
        weights = [
            df * (pool / total + share * scale / (prior + df))
            for share, scale, df in zip(shares, self.scales, self.df, strict=True)
        ]
        squares = [w * w / df for w, df in zip(weights, self.df, strict=True) if df]
        return math.fsum(weights) ** 2 / math.fsum(squares)


def seed_noise(
    groups: Sequence[Sequence[float]], scales: Sequence[float] = ()
) -> SeedNoise | None:
    """The noise of groups of trainings, a group for each setting, in their order.

    None where no group has two trainings: nothing is known of the noise then. scales:
    variances that the groups' own should be proportional to; those of a group whose
    scale is 0 count as they are.
    """
    own = tuple(map(variance_of, groups))
    df = tuple(max(0, len(each) - 1) for each in groups)
    if not sum(df):
        return None
    sizes = _relative(scales) or (1.0,) * len(own)
    pooled = math.fsum(v / s * d for v, s, d in zip(own, sizes, df, strict=True)) / sum(
        df
    )
    return SeedNoise(own=own, df=df, pooled=pooled, scales=sizes)


def _relative(scales: Sequence[float]) -> tuple[float, ...]:
    """Scales whose mean is 1; none where one of them is 0."""
    if not scales or min(scales) <= 0.0:
        return ()
    mean = math.fsum(scales) / len(scales)
    return tuple(each / mean for each in scales)


def variance_of(values: Sequence[float]) -> float:
    """The sample variance; 0 of a single value."""
    if len(values) < 2:  # noqa: PLR2004 - a variance takes two
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.fsum((each - mean) ** 2 for each in values) / (len(values) - 1)
