"""Is one arm better than another: optimizers, or schedule shapes, at equal numbers of trials.

What counts is the expected best value after k trials (Dodge et al. 2019): it says what
a budget buys, where the best of all trials only says who was luckiest. Knows numbers
only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from lrsearch.values import Json

DRAWS = 2000  # of the bootstrap
LEVEL = 0.95
# trials of each arm before a verdict: below, the bootstrap knows too few values
LEAST = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedBest:
    """The expected best value after k trials, with its 95 % interval."""

    k: int
    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, Json]:
        return {"k": self.k, "value": self.value, "interval": [self.low, self.high]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """Two arms at k trials. `difference` is in the objective's unit, the first less the second.

    interval: of the difference, at 95 % for all pairs of the comparison together. p:
    how often swapped labels give so large a difference, times the number of pairs.
    better: the better arm, None where p is above 5 % or an arm can have no verdict.
    """

    first: str
    second: str
    k: int
    difference: float
    interval: tuple[float, float]
    p: float
    better: str | None

    def to_json(self) -> dict[str, Json]:
        return {
            "first": self.first,
            "second": self.second,
            "k": self.k,
            "difference": self.difference,
            "interval": list(self.interval),
            "p": self.p,
            "better": self.better,
        }


def expected_best(costs: np.ndarray, k: int) -> float:
    """The mean of the least of k of these costs, over all ways to take k without replacement.

    costs: (n,) float64, k at most n. The unbiased estimate (Tang et al. 2020): the i-th
    least is the least of C(n - i, k - 1) of the C(n, k) subsets.
    """
    return float(np.sort(costs) @ _weights(len(costs), k))


def _weights(n: int, k: int) -> np.ndarray:
    """(n,) float64: the share of the k-subsets whose least is the i-th."""
    return np.array([comb(n - place, k - 1) / comb(n, k) for place in range(1, n + 1)])


def budgets_of(trials: int) -> tuple[int, ...]:
    """The numbers of trials k that are shown: powers of two, up to half of the trials.

    Beyond a half the subsets overlap so much that a bootstrap's interval is too narrow.
    """
    most = max(1, trials // 2)
    powers = [2**power for power in range(most.bit_length()) if 2**power < most]
    return (*powers, most)


def resample(trials: int, *, seed: int = 0) -> np.ndarray:
    """(DRAWS, trials) int64: the places of a bootstrap's trials."""
    return np.random.default_rng(seed).integers(trials, size=(DRAWS, trials))


def draws_of(costs: np.ndarray, k: int, places: np.ndarray) -> np.ndarray:
    """(DRAWS,) float64: the expected best in each draw of the bootstrap."""
    found: np.ndarray = np.sort(costs[places], axis=1) @ _weights(len(costs), k)
    return found


def expect(costs: np.ndarray, k: int, places: np.ndarray) -> ExpectedBest:
    """The expected best with its percentile interval, as a cost."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(draws_of(costs, k, places), [tail, 100 - tail])
    return ExpectedBest(
        k=k, value=expected_best(costs, k), low=float(low), high=float(high)
    )


def contrast_all(
    costs: Mapping[str, np.ndarray],
    k: int,
    *,
    barred: Sequence[str] = (),
    paired: bool = True,
) -> tuple[Contrast, ...]:
    """Every pair of arms at k trials, as costs: of the first less of the second.

    costs: by arm, (n,) float64 each. `paired`: the i-th trials of all arms have the
    same rate relative to the reference and the same knobs, so that they are drawn
    together. The level is shared by all pairs (Bonferroni). `barred` arms get no
    verdict.

    A permutation test decides, and not the interval: of two arms that are the same,
    with 16 trials and k = 8, the bootstrap's interval left out 0 in 13 of 100 cases,
    the test called 5.
    """
    pairs = list(combinations(costs, 2))
    tail = 100 * (1 - LEVEL) / 2 / max(1, len(pairs))
    draws = {
        name: draws_of(each, k, resample(len(each), seed=0 if paired else place))
        for place, (name, each) in enumerate(costs.items())
    }
    found = []
    for first, second in pairs:
        low, high = np.percentile(draws[first] - draws[second], [tail, 100 - tail])
        difference = expected_best(costs[first], k) - expected_best(costs[second], k)
        p = min(
            1.0,
            len(pairs) * permutation_p(costs[first], costs[second], k, paired=paired),
        )
        few = min(len(costs[first]), len(costs[second])) < LEAST
        open_ = p > 1 - LEVEL or few or first in barred or second in barred
        found.append(
            Contrast(
                first=first,
                second=second,
                k=k,
                difference=difference,
                interval=(float(low), float(high)),
                p=p,
                better=None if open_ else first if difference < 0 else second,
            )
        )
    return tuple(found)


def permutation_p(one: np.ndarray, other: np.ndarray, k: int, *, paired: bool) -> float:
    """How often arms that are the same differ as much in their expected best at k trials.

    one, other: (n,) costs each. `paired` swaps the two costs of a point, else all are
    shuffled.
    """
    random, n = np.random.default_rng(0), len(one)
    if paired:
        swap = random.random((DRAWS, n)) < 0.5  # noqa: PLR2004 - a coin
        first, second = np.where(swap, other, one), np.where(swap, one, other)
    else:
        both = random.permuted(
            np.tile(np.concatenate([one, other]), (DRAWS, 1)), axis=1
        )
        first, second = both[:, :n], both[:, n:]
    weights, others = _weights(n, k), _weights(len(other), k)
    apart = np.abs(np.sort(first, axis=1) @ weights - np.sort(second, axis=1) @ others)
    observed = abs(expected_best(one, k) - expected_best(other, k))
    return float((1 + np.sum(apart >= observed * (1 - 1e-12))) / (1 + DRAWS))


def performance_profile(
    gaps: Mapping[str, Sequence[float]], taus: Sequence[float]
) -> dict[str, tuple[float, ...]]:
    """By arm, the share of studies in which its gap is at most each tau (Dolan and Moré 2002).

    gaps: by arm, one for each study: (expected best - best arm's) / (median trial -
    best arm's).
    """
    return {
        name: tuple(float(np.mean([gap <= tau for gap in each])) for tau in taus)
        for name, each in gaps.items()
    }
