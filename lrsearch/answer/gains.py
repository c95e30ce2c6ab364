"""The gain over yours, and what one more training gives, from a race and its misses.

A gain is positive where the challenger, the best setting other than yours, is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from lrsearch.answer.final_look import TestLook
from lrsearch.answer.fold_swing import costs_in_proportion, gains_in_proportion
from lrsearch.answer.leaderboard import Leaderboard
from lrsearch.answer.measured import Measured
from lrsearch.answer.selection import Misses, spread_by
from lrsearch.answer.spread import Bounds, clip
from lrsearch.values import Direction, Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

LEVEL = 0.95
LEAST_CARRYING = 3.0  # rows; below, a split does not show how large their noise is
WIDER = 4.0  # by so much the interval is wider then, and nothing is called better


class Decision(StrEnum):
    """What the evidence says of the best setting against yours."""

    BETTER = "better"
    AS_GOOD = "as good"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """How much better the challenger is than yours on one split, in the objective's unit.

    measured: the difference of the means. value: what is expected on new data, the luck
    of the choice taken out. interval: where the true gain lies in 95 of 100 cases.
    seeds_variance and rows_variance: the parts of its variance, of which more seeds
    make only the first smaller; `rows` and `folds` are None where they are not counted.
    kept: of the rows, those whose scores are known.
    """

    measured: float
    value: float
    interval: tuple[float, float]
    rows: int | None
    seeds_variance: float  # of one training of each of the two
    rows_variance: float
    folds: int | None = None
    kept: int | None = None
    carrying: float | None = None  # rows that carry this noise, where rows are counted

    @property
    def heavy_tailed(self) -> bool:
        """Whether so few rows carry the noise that the split does not show how large it is."""
        return self.carrying is not None and self.carrying < LEAST_CARRYING

    def decide(self, margin: float) -> Decision:
        low, high = self.interval
        if high <= margin:
            return Decision.AS_GOOD
        return (
            Decision.BETTER if low > 0 and not self.heavy_tailed else Decision.UNDECIDED
        )

    def to_json(self) -> dict[str, Json]:
        return {
            "measured": self.measured,
            "gain": self.value,
            "interval": list(self.interval),
            "rows": self.rows,
            "rows_kept": self.kept,
            "folds": self.folds,
            "heavy_tailed": self.heavy_tailed,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What one more training of a setting gives: on a fresh seed and, with rows, a fresh split.

    `interval` holds 95 of 100 such trainings. heavy_tailed: so few rows carry the
    setting's own loss that the interval is `WIDER` times as wide as they say.
    """

    value: float
    interval: tuple[float, float]
    heavy_tailed: bool = False

    def within(self, bounds: Bounds) -> Expected:
        """The same, where the objective cannot leave these bounds."""
        low, high = self.interval
        ends = clip(low, bounds), clip(high, bounds)
        return replace(self, value=clip(self.value, bounds), interval=ends)

    def to_json(self) -> dict[str, Json]:
        return {
            "value": self.value,
            "interval": list(self.interval),
            "heavy_tailed": self.heavy_tailed,
        }


def gain_on_validation(measured: Measured, misses: Misses) -> Gain:
    race, rows, place = measured.race, measured.rows, measured.place
    m = len(race.searched)
    raw = race.yours_mean - float(race.retested[place])
    repeats, variances = measured.repeats, float(race.variances[[place, m]].sum())
    spread = None
    if repeats.factors:
        best = float(race.retested[place])
        spread = raw - gains_in_proportion(repeats, race.yours_mean, best, misses)
    return _gain(
        misses,
        raw,
        misses.yours - misses.finalists[:, 0],
        spread=spread,
        rows=None if rows is None else rows.rows,
        kept=None if rows is None else rows.kept,
        folds=len(set(repeats.folds)) or None,
        seeds_variance=max(
            repeats.seeds_part * variances, float(race.per_training[[place, m]].sum())
        ),
        rows_variance=(
            (repeats.fold_share + repeats.overlap) * variances
            if rows is None
            else rows.difference(place, m)
        ),
        carrying=measured.carrying,
    )


def gain_on_test(measured: Measured, test: TestLook, misses: Misses) -> Gain:
    """The gain on the test split, whose rows are fresh and whose seeds are those of the choice."""
    import numpy as np

    race = measured.race
    draws, random = len(misses.yours), np.random.default_rng(1)
    seeds = float(race.seeds[measured.place]), race.yours_seeds
    own = [
        random.standard_normal(draws) * math.sqrt(race.variance(each)) for each in seeds
    ]
    shared, rest = test.correlation, math.sqrt(1 - test.correlation**2)
    deviations = [
        np.sqrt(np.maximum(misses.scales[:, place] ** 2 * each, least))
        for place, each, least in zip(
            (measured.place, -1), test.variances, test.per_training, strict=True
        )
    ]
    lucks = [misses.first_seeds, misses.yours_seeds]
    mine, other = (
        deviation * (shared * luck + rest * fresh)
        for deviation, luck, fresh in zip(deviations, lucks, own, strict=True)
    )
    rows = math.sqrt(test.rows_variance) * random.standard_normal(draws)
    rows *= spread_by(test.rows_df, draws, random)
    return _gain(
        misses,
        test.gain,
        other - mine + rows,
        rows=test.rows,
        kept=test.kept,
        folds=len(set(measured.repeats.folds)) or None,
        seeds_variance=max(sum(test.variances), sum(test.per_training)),
        rows_variance=test.rows_variance,
        carrying=test.carrying,
    )


def _gain(
    misses: Misses,
    raw: float,
    missed: Floats,
    *,
    spread: Floats | None = None,
    rows: int | None,
    kept: int | None,
    folds: int | None,
    seeds_variance: float,
    rows_variance: float,
    carrying: float | None,
) -> Gain:
    """A gain of `raw` that was missed by `missed`, (draws,).

    spread: (draws,) what the interval is made from in place of `missed`.
    """
    low, high = misses.interval(missed if spread is None else spread, LEVEL)
    gain = Gain(
        measured=raw,
        value=raw - misses.mean(missed),
        interval=(raw - high, raw - low),
        rows=rows,
        kept=kept,
        folds=folds,
        seeds_variance=seeds_variance,
        rows_variance=rows_variance,
        carrying=carrying,
    )
    if not gain.heavy_tailed:
        return gain
    return replace(gain, interval=_widen(gain.value, gain.interval))


def _widen(value: float, interval: tuple[float, float]) -> tuple[float, float]:
    low, high = (value + WIDER * (end - value) for end in interval)
    return low, high


def expect_trainings(
    measured: Measured, leaderboard: Leaderboard, direction: Direction, misses: Misses
) -> dict[int, Expected]:
    """By trial: what one more training gives, of each finalist and of yours.

    A finalist is expected to do no better than those before it: where the measured
    values lie closer than noise alone would put them, all are expected to do the same.
    """
    race, m = measured.race, len(measured.trials)
    places = {number: place for place, number in enumerate(measured.trials)}
    order = [
        places[each.trial] for each in leaderboard.retested if each.trial in places
    ]
    found, least = {}, -math.inf
    for rank, place in enumerate(place for place in order if race.seeds[place]):
        cost, missed = float(race.retested[place]), misses.finalists[:, rank]
        missed = missed - max(0.0, least - (cost - misses.mean(missed)))
        least = cost - misses.mean(missed)
        found[measured.trials[place]] = _one_more(
            measured, direction, cost, place, misses, missed
        )
    # yours was not chosen: its mean is not flattered, but for the draws' own chance
    missed = misses.yours - misses.mean(misses.yours)
    yours = _one_more(measured, direction, race.yours_mean, m, misses, missed)
    found[measured.yours.trial] = yours
    return {trial: each.within(leaderboard.bounds) for trial, each in found.items()}


def _one_more(
    measured: Measured,
    direction: Direction,
    cost: float,
    place: int,
    misses: Misses,
    missed: Floats,
) -> Expected:
    draw = _draw_in_proportion if measured.repeats.factors else _draw_trainings
    new, rows = draw(measured, cost, place, misses, missed), measured.rows
    value, interval = cost - misses.mean(missed), misses.interval(new, LEVEL)
    heavy = rows is not None and float(rows.carrying[place]) < LEAST_CARRYING
    if heavy:
        interval = _widen(value, interval)
    ends = [direction.cost(each) for each in interval]
    return Expected(
        value=direction.cost(value),
        interval=(min(ends), max(ends)),
        heavy_tailed=heavy,
    )


def _draw_trainings(
    measured: Measured, cost: float, place: int, misses: Misses, missed: Floats
) -> Floats:
    """(draws,) costs of one more training of the setting at `place`, whose mean is `cost`."""
    import numpy as np

    race, rows = measured.race, measured.rows
    random = np.random.default_rng(2 + place)
    repeats, number = measured.repeats, measured.number(place)
    # what all settings share moves both the split that was and the one to come
    splits = np.zeros(len(missed))
    if rows is not None:
        splits += float(rows.own[place] + rows.common) / rows.rows
    if spread := repeats.fold_variance(number) * (1 + repeats.share(number)):
        df = len(set(repeats.folds)) - 1  # few folds tell their own variance badly
        splits += spread * df / random.chisquare(df, len(missed))
    training = np.maximum(
        misses.scales[:, place] ** 2 * race.variances[place], race.per_training[place]
    )
    new: Floats = np.sqrt(splits + training) * random.standard_normal(len(missed))
    return cost + new - missed


def _draw_in_proportion(
    measured: Measured, cost: float, place: int, misses: Misses, missed: Floats
) -> Floats:
    """(draws,) the same costs where a fold costs settings in proportion to their level."""
    scales = misses.scales[:, place]
    training = scales**2 * measured.race.variances[place] / cost**2
    return costs_in_proportion(measured.repeats, cost, training, missed, seed=2 + place)


def expect_singles(
    measured: Measured,
    direction: Direction,
    misses: Misses,
    groups: Mapping[str, Sequence[int]],
    *,
    bounds: Bounds,
) -> dict[str, float]:
    """By group of trials: what its best single training is worth without the luck of the search."""
    import numpy as np

    found = {}
    for name, trials in groups.items():
        known = [
            place for place, trial in enumerate(measured.trials) if trial in trials
        ]
        if known:
            places = np.array(known)
            best = float(measured.race.searched[places].min())
            found[name] = clip(direction.cost(best + misses.flattery(places)), bounds)
    return found
