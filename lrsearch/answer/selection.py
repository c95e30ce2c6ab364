"""The luck of having been chosen: the search and its retests drawn anew, thousands of times.

Each draw takes settings whose true costs are known, gives them the noise of rows and of
seeds, chooses finalists and a best as the study did, and notes by how much the chosen
one's measured cost missed its true one. The misses say how far the study's own choice
is flattered and how far it may be off. This is the idea of BBC (Tsamardinos et al.
2018) with the rows' covariance in place of resampled rows: the noise of the rows stays
when a setting is trained again, the noise of its seed does not.

A cost is the objective where less is better, and its negative where more is. Knows
arrays only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

# a quantile in the tail is then off by a twentieth of a standard deviation
DRAWS = 2000
# standard deviations from the best within which a setting may be the true best
CAN_WIN = 4.0
MOST_MOVED = 1.0  # standard deviations by which a cost is drawn to the mean, at most


@dataclass(frozen=True, kw_only=True, slots=True)
class Race:
    """What was measured of m searched settings and of yours, and how noisy it is.

    searched: (m,) costs of the search's one training. retested: (m,) means of the
    retests, NaN where a setting has none. seeds: (m,) retests of each, 0 for none; of
    folds that were trained several times, as many as their mean is worth. yours_mean,
    yours_seeds: of yours. variances: (m + 1,) of one training, yours last, as seeds
    make it. df: (m + 1,) the degrees of freedom of these. rows: (m + 1, m + 1) covariance of
    what the rows of the split do to the costs. per_training: (m + 1,) the part of the
    variances that is made row by row. carried: the part of a search training's luck
    that the mean of its retests has, too: the search's fold is one of theirs. overlap:
    the variance that folds add to a mean since their training rows overlap, in that of
    one training. As a bound it widens the intervals, and flatters nobody. rows_df: the
    degrees of freedom of `rows`.
    """

    searched: Floats
    retested: Floats
    seeds: Floats
    yours_mean: float
    yours_seeds: float
    variances: Floats
    df: Floats
    rows: Floats
    per_training: Floats
    carried: float = 0.0
    overlap: float = 0.0
    rows_df: float = math.inf

    def variance(self, seeds: float) -> float:
        """Of a mean over so many, in that of one training, with the overlap."""
        return 1 / seeds + self.overlap

    @property
    def finalists(self) -> int:
        return int(self.seeds.astype(bool).sum())


@dataclass(frozen=True, kw_only=True, slots=True)
class Misses:
    """By how much measured costs missed the true ones, in each draw.

    weights: (draws,) how much a draw counts, 1 in sum: as much as its chosen one is, in
    truth, like the study's own. finalists: (draws, k) of the chosen, the best measured
    one first. yours: (draws,). scales: (draws, m + 1) of the standard deviations of a
    training, since the variances themselves are estimates; yours last. first_seeds,
    yours_seeds: (draws,) the part that seeds made, of the best and of yours, over a
    training's standard deviation. searched: (draws, m) costs of the search's single
    trainings, and search_misses: (draws, m) theirs.
    """

    weights: Floats
    finalists: Floats
    yours: Floats
    scales: Floats
    first_seeds: Floats
    yours_seeds: Floats
    searched: Floats
    search_misses: Floats

    def mean(self, misses: Floats) -> float:
        """The weighted mean of some (draws,)."""
        return float(self.weights @ misses)

    def interval(self, misses: Floats, level: float) -> tuple[float, float]:
        """What holds the middle `level` of some (draws,)."""
        import numpy as np

        order = np.argsort(misses)
        below = np.cumsum(self.weights[order])
        tail = (1 - level) / 2
        low, high = np.interp([tail, 1 - tail], below, misses[order])
        return float(low), float(high)

    def flattery(self, places: Integers) -> float:
        """By how much the best single training of the settings at `places` is flattered."""
        import numpy as np

        first = np.argmin(self.searched[:, places], axis=1)
        missed = np.take_along_axis(
            self.search_misses[:, places], first[:, None], axis=1
        )
        return -float(missed.mean())


def choose_anew(race: Race, *, draws: int = DRAWS, seed: int = 0) -> Misses:
    """Search, retest and choose anew in each draw, with the race's noise."""
    import numpy as np

    random, m, k = np.random.default_rng(seed), len(race.searched), race.finalists
    centres = true_costs(race)
    scales = _scales(race.df, draws, random)
    deviations = _deviations(race, scales)
    # float32: half the time of what takes most of it
    rows = random.standard_normal((draws, m + 1), dtype=np.float32) @ _root(race.rows).T
    rows = rows * spread_by(race.rows_df, draws, random)[:, None]
    search_luck = random.standard_normal((draws, m), dtype=np.float32)
    search_miss = rows[:, :m] + deviations[:, :m] * search_luck
    searched = centres + search_miss
    chosen = np.argpartition(searched, k - 1, axis=1)[:, :k]
    lot = np.arange(draws)[:, None]
    fixed, deviation = rows[lot, chosen], deviations[lot, chosen]
    luck = _retest_anew(race, centres[chosen] + fixed, deviation, random)
    luck = _carry(race, luck, search_luck[lot, chosen].astype(np.float64))
    misses = fixed + deviation * luck
    order = np.argsort(centres[chosen] + misses, axis=1)
    yours_luck = random.standard_normal(draws) / np.sqrt(race.yours_seeds)
    if race.overlap:
        wider = np.sqrt(race.overlap) * random.standard_normal((draws, k + 1))
        luck, yours_luck = luck + wider[:, :k], yours_luck + wider[:, k]
        misses = fixed + deviation * luck
    first = np.take_along_axis(chosen, order, axis=1)[:, 0]
    return Misses(
        weights=_likeness(race, centres, first),
        finalists=np.take_along_axis(misses, order, axis=1),
        yours=rows[:, m] + deviations[:, m] * yours_luck,
        scales=scales,
        first_seeds=np.take_along_axis(luck, order, axis=1)[:, 0],
        yours_seeds=yours_luck,
        searched=searched,
        search_misses=search_miss,
    )


def _scales(df: Floats, draws: int, random: np.random.Generator) -> Floats:
    """(draws, m + 1) what each standard deviation may truly be, over its estimate.

    In a draw all variances are at the same quantile of what they may be, since the pool
    is a part of every one. Quantiles are interpolated between 129 exact ones, which
    takes a tenth of the time.
    """
    import numpy as np
    from scipy.special import chdtri, ndtr

    known, places = np.unique(df, return_inverse=True)
    chance, points = random.standard_normal(draws), np.linspace(-4.0, 4.0, 129)
    found = [
        np.interp(chance, points, np.sqrt(each / chdtri(each, ndtr(points))))
        for each in known
    ]
    return np.array(found).T[:, places]


def spread_by(df: float, draws: int, random: np.random.Generator) -> Floats:
    """(draws,) what a standard deviation that was estimated with `df` may truly be, over it."""
    import numpy as np

    if math.isinf(df):
        return np.ones(draws)
    found: Floats = np.sqrt(df / random.chisquare(df, draws))
    return found


def _retest_anew(
    race: Race, costs: Floats, deviations: Floats, random: np.random.Generator
) -> Floats:
    """(draws, k) what seeds do to the means of k finalists, over a training's deviation.

    costs: (draws, k) with the luck of rows alone. All have the fewest seeds of the
    study at first. Whichever leads gets as many as the study's best has, as in a race:
    a leader by the luck of few seeds is found out.
    """
    import numpy as np

    least = float(race.seeds[race.seeds > 0].min())
    more = float(race.seeds[np.nanargmin(race.retested)]) - least
    luck: Floats = random.standard_normal(costs.shape) / math.sqrt(least)
    few = np.ones(costs.shape, dtype=bool)
    for _ in range(costs.shape[1] if more else 0):
        first = np.argmin(costs + deviations * luck, axis=1)
        led = np.flatnonzero(few[np.arange(len(few)), first])
        place = led, first[led]
        fresh = random.standard_normal(len(led)) / math.sqrt(more)
        luck[place] = (least * luck[place] + more * fresh) / (least + more)
        few[place] = False
    return luck


def _carry(race: Race, luck: Floats, search_luck: Floats) -> Floats:
    """(draws, k) the luck of the retests' means, with the part of the search's luck in it."""
    import numpy as np

    if not race.carried:
        return luck
    variance = 1 / float(race.seeds[race.seeds > 0].min())
    shared = min(race.carried, float(np.sqrt(variance)))
    return luck * float(np.sqrt(1 - shared**2 / variance)) + shared * search_luck


def _likeness(race: Race, centres: Floats, chosen: Integers) -> Floats:
    """(draws,) weights: how near the chosen one's true cost is to that of the study's own best.

    A draw that chose a setting of another worth says little of the flattery of this
    one. Among equals all draws count. The scale is the noise of the best's measured
    cost.
    """
    import numpy as np

    best = int(np.nanargmin(race.retested))
    scale = max(float(np.sqrt(_noise(race)[best])), 1e-300)
    away = 0.5 * ((centres[chosen] - centres[best]) / scale) ** 2
    # of draws that are all far off, the nearest count
    weights = np.exp(away.min() - away)
    found: Floats = weights / weights.sum()
    return found


def true_costs(race: Race) -> Floats:
    """(m,) costs that the settings may truly have: measured ones without most of their luck.

    The costs of settings that can win are drawn towards their mean as far as noise
    explains their spread (James and Stein 1961), but by no more than `MOST_MOVED`
    standard deviations, so that one that stands out keeps most of its lead (limited
    translation, Efron and Morris 1972).
    """
    import numpy as np

    measured = np.where(race.seeds > 0, race.retested, race.searched)
    noise = _noise(race)
    best = int(np.argmin(measured))
    near = measured - measured[best] <= CAN_WIN * np.sqrt(noise + noise[best])
    # two say nothing of a spread, and without noise there is no luck to take out
    if near.sum() < 3 or noise.min() <= 0.0:  # noqa: PLR2004
        return measured
    mean = float(np.average(measured[near], weights=1 / noise[near]))
    spread = max(0.0, float(np.var(measured[near], ddof=1) - noise[near].mean()))
    kept = spread / (spread + noise)
    moved = (1 - kept) * (mean - measured)
    most = MOST_MOVED * np.sqrt(noise)
    return np.where(near, measured + np.clip(moved, -most, most), measured)


def _noise(race: Race) -> Floats:
    """(m,) the variance of each measured cost that the settings do not share."""
    import numpy as np

    m = len(race.searched)
    centred = np.eye(m) - 1 / m
    rows = np.maximum(np.diag(centred @ race.rows[:m, :m] @ centred), 0.0)
    training = np.maximum(race.variances[:m], race.per_training[:m])
    return rows + training / np.maximum(race.seeds, 1)


def _deviations(race: Race, scales: Floats) -> Floats:
    """(draws, m + 1) standard deviations of a training, at least what seeds do row by row."""
    import numpy as np

    return np.sqrt(np.maximum(scales**2 * race.variances, race.per_training))


def _root(covariance: Floats) -> Floats:
    """A matrix R with R R^T the covariance; its negative eigenvalues, rounding, count as 0."""
    import numpy as np

    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root
