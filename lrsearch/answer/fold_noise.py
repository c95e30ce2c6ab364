"""The noise of settings that were trained on the same folds. Knows numbers only.

What a fold does to all settings is taken out. A setting whose own noise stands out, as that of a
poorly trained one may, has no say in that and stays out of the pool: others would look noisier than
they are, and it more certain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from lrsearch.answer.seed_noise import SeedNoise, variance_of

OUTLIER = 0.01  # how seldom one of equally noisy settings is left out of the pool


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldNoise:
    """Variances of m settings' trainings on the same folds.

    pool: the moderated variances of the settings that are alike. alone: by place, the variance of a
    setting that stands out, and its degrees of freedom.
    """

    pool: SeedNoise
    alone: dict[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def pooled(self) -> float:
        return self.pool.pooled

    def variance(self, place: int) -> float:
        return self.alone[place][0] if place in self.alone else self.pool.variance(place)

    def freedom(self, shares: Sequence[float]) -> float:
        """Degrees of freedom of sum(shares * variances), by Satterthwaite (1946)."""
        within = [0.0 if place in self.alone else share for place, share in enumerate(shares)]
        parts = [(shares[place] * variance, df) for place, (variance, df) in self.alone.items()]
        if any(within):
            pooled = math.fsum(share * self.variance(each) for each, share in enumerate(within))
            parts.append((pooled, self.pool.freedom(within)))
        squares = math.fsum(part**2 / df for part, df in parts)
        whole = math.fsum(part for part, _ in parts)
        return whole**2 / squares if squares else max(df for _, df in parts)


def fold_noise(
    costs: Sequence[Sequence[float]], *, columns: float | None = None
) -> FoldNoise | None:
    """The noise of settings that were trained on the same folds; costs: (m, n), a fold a column.

    `columns`: how many different ones the n are worth, n where it is left out. What is left of a
    cost has the training's seed in it, and the fold's own liking for a setting. None where there is
    one setting, or one fold.
    """
    m, n = len(costs), len(costs[0])
    if m < 2 or n < 2:  # noqa: PLR2004
        return None
    worth = (n if columns is None else columns) - 1
    alike = _alike(costs, worth)
    effects = _effects([costs[each] for each in alike])
    residuals = [
        [cost - effect for cost, effect in zip(row, effects, strict=True)] for row in costs
    ]
    # (m - 1)(n - 1) degrees of freedom of all the residuals; each setting has its share
    part = (len(alike) - 1) / len(alike)
    own = [variance_of(row) for row in residuals]
    pool = SeedNoise(
        own=tuple(own[each] / part if each in alike else 0.0 for each in range(m)),
        df=tuple(part * worth if each in alike else 0.0 for each in range(m)),
        pooled=math.fsum(own[each] for each in alike) / part / len(alike),
        scales=(1.0,) * m,
    )
    alone = {
        each: (max(own[each] - pool.pooled / len(alike), pool.pooled), worth)
        for each in range(m)
        if each not in alike
    }
    return FoldNoise(pool=pool, alone=alone)


def _effects(rows: Sequence[Sequence[float]]) -> list[float]:
    """(n,) what each fold costs these settings on average."""
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


def _alike(costs: Sequence[Sequence[float]], worth: float) -> list[int]:
    """The places of the settings that are equally noisy, as far as an F test of each can tell.

    Against the fold means of the others a setting of equal noise has their variance times
    1 + 1/(m - 1). At least two stay.
    """
    from scipy.special import fdtrc

    kept = list(range(len(costs)))
    while len(kept) > 2:  # noqa: PLR2004
        level = OUTLIER / len(kept)
        chances = {}
        for each in kept:
            others = [costs[place] for place in kept if place != each]
            ratio = _ratio(costs[each], others)
            df = worth * (len(others) - 1)
            chances[each] = float(fdtrc(worth, df, ratio)) if math.isfinite(ratio) else 0.0
        worst = min(kept, key=lambda each: chances[each])
        if chances[worst] >= level:
            break
        kept.remove(worst)
    return kept


def _ratio(row: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """F: the variance of a setting over that of the others, against the folds' means of these."""
    effects, count = _effects(others), len(others)
    own = variance_of([cost - effect for cost, effect in zip(row, effects, strict=True)])
    rest = math.fsum(
        variance_of([cost - effect for cost, effect in zip(each, effects, strict=True)])
        for each in others
    ) / (count - 1)
    if own == 0.0:
        return 0.0
    return own / (1 + 1 / count) / rest if rest else math.inf
