"""The retests of several settings as costs that compare: by seed, or paired by fold.

Without folds every retest counts. With folds those count that every setting has, and a mean of
them is less sure than of as many trainings on fresh data, since the folds' training rows overlap.
That holds for the part of the noise that rows make; seeds are drawn anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.answer.fold_noise import FoldNoise, fold_noise
from lrsearch.answer.fold_share import rows_part
from lrsearch.answer.leaderboard import Contender, Leaderboard
from lrsearch.answer.seed_noise import SeedNoise, seed_noise
from lrsearch.values import Direction


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """Costs by setting, their noise, and what their means are worth.

    costs: (m,) lists, of equal folds in equal order where there are folds. noise: of one training;
    None where nothing is known of it. ratio: validation rows by training rows of a fold, 0 without
    folds. folds: of each cost, in their order; none without folds. rows_part: of a training's
    variance, the part that rows make; counted with folds alone.
    """

    costs: tuple[tuple[float, ...], ...]
    noise: SeedNoise | FoldNoise | None
    ratio: float = 0.0
    folds: tuple[int, ...] = ()
    rows_part: float = 1.0

    def mean(self, place: int) -> float:
        return math.fsum(self.costs[place]) / len(self.costs[place])

    def share(self, place: int) -> float:
        """The variance of a setting's mean, in that of one training.

        1/n by seeds, and 1/k + n2/n1 by the rows of k folds (Nadeau and Bengio 2003), where n2
        validation rows come to n1 training rows.
        """
        return self.independent_share(place) + self.overlap

    def independent_share(self, place: int) -> float:
        """The same as if the folds' training rows did not overlap."""
        return self.seeds_part / len(self.costs[place]) + self.fold_share

    @property
    def seeds_part(self) -> float:
        """Of a training's variance, the part that more seeds on the same folds make smaller."""
        return 1 - self.rows_part if self.folds else 1.0

    @property
    def fold_share(self) -> float:
        """What the rows of k folds make of a mean's variance, in that of one training.

        As much has a setting's mean in common with the luck of its training on one of the folds.
        """
        return self.rows_part / len(set(self.folds)) if self.folds else 0.0

    @property
    def overlap(self) -> float:
        """What the overlap of the folds' training rows adds to it."""
        return self.rows_part * self.ratio if self.folds else 0.0

    def error(self, one: int, other: int) -> float:
        """The variance of the difference of two settings' means."""
        assert self.noise is not None
        return math.fsum(self.share(each) * self.noise.variance(each) for each in (one, other))

    def freedom(self, one: int, other: int) -> float:
        """The degrees of freedom of `error`."""
        assert self.noise is not None
        shares = [0.0] * len(self.costs)
        for each in (one, other):
            shares[each] = self.share(each)
        return self.noise.freedom(shares)

    @property
    def fold_variance(self) -> float:
        """How far the folds lie apart for all settings alike: the variance of a fold's mean."""
        if not self.folds or self.noise is None:
            return 0.0
        means = self._fold_means
        centre = math.fsum(means) / len(means)
        spread = math.fsum((each - centre) ** 2 for each in means) / (len(means) - 1)
        return max(0.0, spread - self.noise.pooled / len(self.costs))

    def level(self, fold: int) -> float:
        """By how much this fold's costs lie above those of all folds, for all settings alike."""
        means = self._fold_means
        own = [each for each, number in zip(means, self.folds, strict=True) if number == fold]
        return math.fsum(own) / len(own) - math.fsum(means) / len(means) if own else 0.0

    @property
    def _fold_means(self) -> list[float]:
        return [math.fsum(each) / len(self.costs) for each in zip(*self.costs, strict=True)]


def repeats_of(
    group: Sequence[Contender],
    leaderboard: Leaderboard,
    direction: Direction,
    *,
    test: bool = False,
) -> Repeats | None:
    """The retests of these settings, or what the `test` split says of them.

    None where there are folds, and none that all of the settings have.
    """
    found = [_test_values(each) if test else _values(each) for each in group]
    if not leaderboard.folds:
        costs = [tuple(direction.cost(each) for each in own) for own in found]
        return Repeats(costs=tuple(costs), noise=seed_noise(costs))
    values = [_by_seed(each, own) for each, own in zip(group, found, strict=True)]
    common = [seed for seed in values[0] if all(seed in own for own in values)]
    if not common:
        return None
    costs = [tuple(direction.cost(own[seed]) for seed in common) for own in values]
    by_seed = _folds(group[0])
    folds = tuple(by_seed[seed] for seed in common)
    noise = fold_noise(costs)
    part = _rows_part(group, costs, folds, direction, noise) if noise else 1.0
    return Repeats(
        costs=tuple(costs),
        noise=noise,
        ratio=leaderboard.fold_ratio,
        folds=folds,
        rows_part=part,
    )


def _rows_part(
    group: Sequence[Contender],
    costs: Sequence[Sequence[float]],
    folds: Sequence[int],
    direction: Direction,
    noise: FoldNoise,
) -> float:
    alike = [place for place in range(len(group)) if place not in noise.alone]
    chosen = [
        direction.cost(value) - _on_fold(costs[place], folds, 0)
        for place in alike
        if not group[place].is_yours and (value := group[place].searched) is not None and 0 in folds
    ]
    return rows_part([costs[each] for each in alike], folds, chosen, variance=noise.pooled)


def _on_fold(costs: Sequence[float], folds: Sequence[int], fold: int) -> float:
    found = [cost for cost, number in zip(costs, folds, strict=True) if number == fold]
    return math.fsum(found) / len(found)


def _values(each: Contender) -> tuple[float, ...]:
    return each.retest.independent if each.retest else ()


def _test_values(each: Contender) -> tuple[float, ...]:
    if each.retest is None:
        return ()
    return each.retest.test[:1] if each.retest.copies else each.retest.test


def _by_seed(each: Contender, values: Sequence[float]) -> dict[int, float]:
    """Values by their seed: a repeat has the same for all settings. None where some are missing."""
    seeds = each.retest.seeds if each.retest else ()
    return dict(zip(seeds, values, strict=True)) if len(values) == len(seeds) else {}


def _folds(each: Contender) -> dict[int, int]:
    assert each.retest is not None
    return dict(zip(each.retest.seeds, each.retest.folds, strict=True))
