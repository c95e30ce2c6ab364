"""The retests of several settings as costs that compare: by seed, or paired by fold.

Without folds every retest counts. With folds those count that every setting has, and a
mean of them is less sure than of as many trainings on fresh data, since the folds'
training rows overlap. That holds for the part of the noise that rows make; seeds are
drawn anew.
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

    costs: (m,) lists, of equal folds in equal order where there are folds. noise: of
    one training; None where nothing is known of it. ratio: validation rows by training
    rows of a fold, 0 without folds. folds: of each cost, in their order; none without
    folds. rows_part: of a training's variance, the part that rows make; counted with
    folds alone.
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

        1/n by seeds, and 1/k + n2/n1 by the rows of k folds (Nadeau and Bengio 2003),
        where n2 validation rows come to n1 training rows.
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

        As much has a setting's mean in common with the luck of its training on one of
        the folds.
        """
        return self.rows_part / len(set(self.folds)) if self.folds else 0.0

    @property
    def overlap(self) -> float:
        """What the overlap of the folds' training rows adds to it."""
        return self.rows_part * self.ratio if self.folds else 0.0

    def error(self, one: int, other: int) -> float:
        """The variance of the difference of two settings' means."""
        assert self.noise is not None
        return math.fsum(
            self.share(each) * self.noise.variance(each) for each in (one, other)
        )

    def freedom(self, one: int, other: int) -> float:
        """The degrees of freedom of `error`."""
        assert self.noise is not None
        shares = [0.0] * len(self.costs)
        for each in (one, other):
            shares[each] = self.share(each)
        return self.noise.freedom(shares)

    def fold_variance(self, place: int) -> float:
        """How far the folds of a setting lie apart by what they cost all alike."""
        return self.noise.spread[place] if isinstance(self.noise, FoldNoise) else 0.0

    def unit(self, cost: float) -> float:
        """What a training of this cost on all folds counts in, beside the first setting's 1."""
        return max(cost, 0.0) / self.mean(0) if self.factors else 1.0

    def on_all_folds(self, cost: float, fold: int) -> float:
        """What a training that cost so much on this fold would cost on the folds' average."""
        if not isinstance(self.noise, FoldNoise):
            return cost
        pairs = zip(self.noise.effects, self.folds, strict=True)
        own = [effect for effect, number in pairs if number == fold]
        if not own:
            return cost
        level, usual = (
            math.fsum(each) / len(each) for each in (own, self.noise.effects)
        )
        return cost * usual / level if self.factors else cost - (level - usual)

    @property
    def factors(self) -> bool:
        """Whether a fold costs settings in proportion to their level."""
        return isinstance(self.noise, FoldNoise) and self.noise.factors

    def swing(self, share: float) -> float:
        """The deviation of a mean's logarithm by new folds, of which it has this share."""
        return (
            math.sqrt(self.noise.swing * share)
            if isinstance(self.noise, FoldNoise)
            else 0.0
        )


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
    scale = math.log if noise.factors else float
    searched = {
        each: _searched_cost(group[each], direction) for each in alike if 0 in folds
    }
    chosen = [
        scale(cost) - scale(_on_fold(costs[place], folds, 0))
        for place, cost in searched.items()
        if cost is not None and (cost > 0.0 or not noise.factors)
    ]
    rows = [noise.scaled[each] for each in alike]
    return rows_part(rows, folds, chosen, variance=noise.residual)


def _searched_cost(each: Contender, direction: Direction) -> float | None:
    """What the search's training of a setting that it chose cost; None of yours."""
    return (
        None
        if each.is_yours or each.searched is None
        else direction.cost(each.searched)
    )


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
