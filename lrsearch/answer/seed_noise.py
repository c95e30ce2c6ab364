"""The noise of seeds: how far the trainings of one setting lie apart.

Few seeds say little of a setting's variance, so each variance is drawn towards the mean
of all retested settings: the moderated t of Smyth (2004). A setting that is far behind
and much noisier, as a compile that trains poorly is, keeps its own variance and has no
part in that mean. In the mean its variance would make the good settings look noisier
than they are, and its own would look better known. Knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

PRIOR_DF = 4  # degrees of freedom that the pool counts for, at most
OUTLIER = 0.2  # level of the F test by which a setting that is left out is noisier
FAR = 4.0  # standard errors behind the best beyond which a setting may be left out


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedNoise:
    """Variances between the trainings of m settings, drawn towards their pool.

    own: (m,) sample variances, 0 where a setting has one training. df: (m,) their
    degrees of freedom. pooled: the mean of the variances, weighted with these, each by
    its scale. scales: (m,) how noisy the settings are beside each other, as far as that
    is known from elsewhere; all 1 where nothing is. alone: the places of the settings
    that are left out of the pool.
    """

    own: tuple[float, ...]
    df: tuple[float, ...]
    pooled: float
    scales: tuple[float, ...]
    alone: frozenset[int] = frozenset()

    @property
    def pool_df(self) -> float:
        """The degrees of freedom of the pool."""
        return sum(df for place, df in enumerate(self.df) if place not in self.alone)

    @property
    def prior_df(self) -> float:
        return min(PRIOR_DF, self.pool_df)

    def variance(self, place: int) -> float:
        """The moderated variance of one training of the setting at `place`.

        (d0 s0^2 + d s^2) / (d0 + d), where s0^2 is the pooled variance, times the
        setting's scale, and d0 is `prior_df`. A setting that is left out of the pool
        has its own, at least the pool's.
        """
        prior, df = self.prior_df, self.df[place]
        pooled = self.pooled * self.scales[place]
        if place in self.alone:
            return max(self.own[place], pooled)
        return (prior * pooled + df * self.own[place]) / (prior + df)

    def freedom(self, shares: Sequence[float]) -> float:
        """Degrees of freedom of sum(shares * variances), by Satterthwaite (1946).

        shares: (m,). The pool has every setting's variance in it, so that each
        variance's own weight is counted over all the moderated ones.
        """
        weights = self._weights(shares)
        squares = [w * w / df for w, df in zip(weights, self.df, strict=True) if df]
        return math.fsum(weights) ** 2 / math.fsum(squares)

    def _weights(self, shares: Sequence[float]) -> list[float]:
        """(m,) what each own variance is expected to add to the sum, over the pooled one."""
        prior, total = self.prior_df, self.pool_df
        parts = [
            share * scale / (prior + df)
            for share, scale, df in zip(shares, self.scales, self.df, strict=True)
        ]
        pool = prior * math.fsum(
            part for place, part in enumerate(parts) if place not in self.alone
        )
        return [
            shares[place] * self.variance(place) / self.pooled
            if place in self.alone
            else df * (pool / total + parts[place])
            for place, df in enumerate(self.df)
        ]


def seed_noise(
    groups: Sequence[Sequence[float]], scales: Sequence[float] = ()
) -> SeedNoise | None:
    """The noise of groups of costs of trainings, a group for each setting, in their order.

    None where no group has two trainings: nothing is known of the noise then. scales:
    variances that the groups' own should be proportional to; those of a group whose
    scale is 0 count as they are.
    """
    own = tuple(map(variance_of, groups))
    df = tuple(max(0, len(each) - 1) for each in groups)
    if not sum(df):
        return None
    sizes = _relative(scales) or (1.0,) * len(own)
    kept = _pool(groups, own, df, sizes)
    alone = frozenset(each for each in range(len(own)) if df[each]) - set(kept)
    pooled = _pooled(own, df, sizes, kept)
    return SeedNoise(own=own, df=df, pooled=pooled, scales=sizes, alone=alone)


def _pooled(
    own: Sequence[float],
    df: Sequence[int],
    sizes: Sequence[float],
    places: Sequence[int],
) -> float:
    """The mean of these settings' variances by their scale, weighted with their freedom."""
    total = math.fsum(own[each] / sizes[each] * df[each] for each in places)
    return total / sum(df[each] for each in places)


def _pool(
    groups: Sequence[Sequence[float]],
    own: Sequence[float],
    df: Sequence[int],
    sizes: Sequence[float],
) -> list[int]:
    """The places of the settings whose variances are pooled; at least two of several.

    A setting leaves that is both far behind the best and noisier than the others, as an
    F test tells. Noise alone is no reason: among equals the noisiest is the likeliest
    to lead. Nor is distance, since a poor setting may tell the noise of the good ones.
    """
    kept = [place for place, each in enumerate(df) if each]
    while len(kept) > 2:  # noqa: PLR2004
        chances = {
            each: _p_of_equal_noise(groups, own, df, sizes, kept, each) for each in kept
        }
        worst = min(kept, key=lambda place: chances[place])
        if chances[worst] >= OUTLIER / len(kept):
            break
        kept.remove(worst)
    return kept


def _p_of_equal_noise(
    groups: Sequence[Sequence[float]],
    own: Sequence[float],
    df: Sequence[int],
    sizes: Sequence[float],
    kept: Sequence[int],
    place: int,
) -> float:
    """The p of an F test that `place` is as noisy as the others; 1 unless it is far behind."""
    from scipy.special import fdtrc

    others = [each for each in kept if each != place]
    usual = _pooled(own, df, sizes, others) * sizes[place]
    best = min(math.fsum(groups[each]) / len(groups[each]) for each in kept)
    behind = math.fsum(groups[place]) / len(groups[place]) - best
    error = math.sqrt(2 * max(own[place], usual) / len(groups[place]))
    # where the others never vary, nothing is known of a usual noise
    if not usual or behind <= FAR * error:
        return 1.0
    freedom = df[place], sum(df[each] for each in others)
    return float(fdtrc(*freedom, own[place] / usual))


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
