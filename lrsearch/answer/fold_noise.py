"""The noise of settings that were trained on the same folds. Knows numbers only.

What a fold does to all settings is taken out. A setting whose own noise stands out, as
that of a poorly trained one may, has no say in that and stays out of the pool: others
would look noisier than they are, and it more certain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.answer.fold_units import in_proportion, near_best
from lrsearch.answer.seed_noise import SeedNoise, variance_of

OUTLIER = 0.01  # how seldom one of equally noisy settings is left out of the pool


@dataclass(frozen=True, kw_only=True, slots=True)
class FoldNoise:
    """Variances of m settings' trainings on the same n folds.

    pool: the moderated variances of the settings that are alike. alone: by place, the
    variance of a setting that stands out, and its degrees of freedom. effects: (n,)
    what the first setting costs on each fold, without its own noise. spread: (m,) the
    variance between a setting's costs on the folds, without its own noise. factors:
    whether a fold multiplies the costs of all settings, in place of adding to them.
    scaled: (m, n) the logarithms of the costs where `factors`, else the costs. In the
    unit of `scaled`, residual is the variance of the noise of the settings that are
    alike, and swing the variance between folds.
    """

    pool: SeedNoise
    effects: tuple[float, ...]
    spread: tuple[float, ...]
    scaled: tuple[tuple[float, ...], ...]
    residual: float
    swing: float
    factors: bool
    alone: dict[int, tuple[float, float]]

    @property
    def pooled(self) -> float:
        return self.pool.pooled

    def variance(self, place: int) -> float:
        return (
            self.alone[place][0] if place in self.alone else self.pool.variance(place)
        )

    def freedom(self, shares: Sequence[float]) -> float:
        """Degrees of freedom of sum(shares * variances), by Satterthwaite (1946)."""
        within = [
            0.0 if place in self.alone else share for place, share in enumerate(shares)
        ]
        parts = [
            (shares[place] * variance, df)
            for place, (variance, df) in self.alone.items()
        ]
        if any(within):
            pooled = math.fsum(
                share * self.variance(each) for each, share in enumerate(within)
            )
            parts.append((pooled, self.pool.freedom(within)))
        squares = math.fsum(part**2 / df for part, df in parts)
        whole = math.fsum(part for part, _ in parts)
        return whole**2 / squares if squares else max(df for _, df in parts)


def fold_noise(
    costs: Sequence[Sequence[float]], *, columns: float | None = None
) -> FoldNoise | None:
    """The noise of settings that were trained on the same folds; costs: (m, n), a fold a column.

    `columns`: how many different ones the n are worth, n where it is left out. What is
    left of a cost has the training's seed in it, and the fold's own liking for a
    setting. None where there is one setting, or one fold.
    """
    m, n = len(costs), len(costs[0])
    if m < 2 or n < 2:  # noqa: PLR2004
        return None
    worth = (n if columns is None else columns) - 1
    factors = in_proportion(costs)
    scaled = [
        [math.log(cost) for cost in row] if factors else list(row) for row in costs
    ]
    alike = _alike(scaled, near_best(costs), worth)
    effects = _effects([scaled[each] for each in alike])
    # (m - 1)(n - 1) degrees of freedom of all the residuals; each setting has its share
    part = (len(alike) - 1) / len(alike)
    own = [_apart(row, effects) for row in scaled]
    residual = math.fsum(own[each] for each in alike) / part / len(alike)
    units = [_mean_square(row) if factors else 1.0 for row in costs]
    pool = SeedNoise(
        own=tuple(
            own[each] / part * units[each] if each in alike else 0.0
            for each in range(m)
        ),
        df=tuple(part * worth if each in alike else 0.0 for each in range(m)),
        pooled=residual * units[0],
        scales=tuple(unit / units[0] for unit in units),
    )
    alone = {
        each: (
            max((own[each] - residual / len(alike)) * units[each], pool.pooled),
            worth,
        )
        for each in range(m)
        if each not in alike
    }
    between = max(0.0, variance_of(effects) - residual / len(alike))
    return FoldNoise(
        pool=pool,
        effects=tuple(_as_first(scaled[0], effects, factors=factors)),
        spread=tuple(
            max(0.0, variance_of(row) - alone[each][0])
            if each in alone
            else between * units[each]
            for each, row in enumerate(costs)
        ),
        scaled=tuple(map(tuple, scaled)),
        residual=residual,
        swing=between,
        factors=factors,
        alone=alone,
    )


def _as_first(
    row: Sequence[float], effects: Sequence[float], *, factors: bool
) -> list[float]:
    """The effects as costs of the setting whose scaled costs are `row`."""
    level = (math.fsum(row) - math.fsum(effects)) / len(row)
    return [math.exp(level + each) if factors else level + each for each in effects]


def _mean_square(row: Sequence[float]) -> float:
    """The factor from a variance of logarithms to one of these costs, a mean over the folds.

    For a single cost the factor is its square (the delta method).
    """
    return math.fsum(cost**2 for cost in row) / len(row)


def _apart(row: Sequence[float], effects: Sequence[float]) -> float:
    """The variance of what a setting's costs have beyond the folds' effects."""
    return variance_of(
        [cost - effect for cost, effect in zip(row, effects, strict=True)]
    )


def _effects(rows: Sequence[Sequence[float]]) -> list[float]:
    """(n,) what each fold costs these settings on average."""
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


def _alike(
    costs: Sequence[Sequence[float]], near: Sequence[int], worth: float
) -> list[int]:
    """The places among `near` whose settings are equally noisy, as an F test of each tells.

    Against the fold means of the others a setting of equal noise has their variance
    times 1 + 1/(m - 1). At least two stay.
    """
    from scipy.special import fdtrc

    kept = list(near)
    while len(kept) > 2:  # noqa: PLR2004
        level = OUTLIER / len(kept)
        chances = {}
        for each in kept:
            others = [costs[place] for place in kept if place != each]
            ratio = _ratio(costs[each], others)
            df = worth * (len(others) - 1)
            chances[each] = (
                float(fdtrc(worth, df, ratio)) if math.isfinite(ratio) else 0.0
            )
        worst = min(kept, key=lambda each: chances[each])
        if chances[worst] >= level:
            break
        kept.remove(worst)
    return kept


def _ratio(row: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """F: the variance of a setting over that of the others, against the folds' means of these."""
    effects, count = _effects(others), len(others)
    own = _apart(row, effects)
    rest = math.fsum(_apart(each, effects) for each in others) / (count - 1)
    if own == 0.0:
        return 0.0
    return own / (1 + 1 / count) / rest if rest else math.inf
