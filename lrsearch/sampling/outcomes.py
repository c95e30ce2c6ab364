"""Outcomes of trials as scores: ranks, so that one value far off cannot distort all others.

The better half keeps its differences. The worse half is flattened: how bad a bad trial
was says little about where the best one is. Knows records; nothing of covariances.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from lrsearch.sampling.gaussian import Floats
from lrsearch.values import Direction, Setting, TrialRecord, TrialState

BADLY: Final = 1 / 3  # what was stopped counts among the ended after this share of them
# the worse half's scores count so much (Golovin et al. 2017 flatten alike)
FLAT: Final = 0.4


@dataclass(kw_only=True, slots=True)
class Outcome:
    """All that is known of one setting.

    costs: lower is better, one of each training that ended well. stopped: epochs and
    last cost of a trial that a pruner stopped, where no training ended well.
    """

    setting: Setting
    key: str
    costs: list[float] = field(default_factory=list)
    stopped: tuple[int, float] | None = None

    @property
    def trainings(self) -> int:
        return max(1, len(self.costs))

    @property
    def cost(self) -> float:
        """The mean cost of a setting of which a training ended well."""
        return math.fsum(self.costs) / len(self.costs)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenTrial:
    """A trial's record, and a key that is equal for equal settings; "" where there is none yet."""

    record: TrialRecord
    key: str

    @classmethod
    def of(cls, record: TrialRecord) -> SeenTrial:
        return cls(record=record, key=record.setting_key)


def outcomes_of(trials: Iterable[SeenTrial], direction: Direction) -> list[Outcome]:
    """The outcomes of the settings that were trained, in the order of their first trials.

    Equal settings and retests count together. A failed trial says nothing of its
    setting.
    """
    found: dict[str, Outcome] = {}
    for seen in sorted(trials, key=_order):
        each = seen.record
        if each.setting is None or not each.ended or each.state is TrialState.FAILED:
            continue
        outcome = found.setdefault(
            seen.key, Outcome(setting=each.setting, key=seen.key)
        )
        if each.has_value and math.isfinite(each.final_value):
            outcome.costs.append(direction.cost(each.final_value))
        elif each.state is TrialState.PRUNED and each.last_value is not None:
            outcome.stopped = (each.epochs, direction.cost(each.last_value))
    return list(found.values())


def _order(seen: SeenTrial) -> tuple[bool, int, int]:
    each = seen.record
    return each.is_retest, each.number, each.repeat or 0


def scores_of(outcomes: Sequence[Outcome]) -> Floats:
    """(n,) float64 normal scores of the ranks, lower for better; equals have the same."""
    from scipy.special import ndtri

    scores = ndtri((_mean_ranks(_orders(outcomes)) - 0.5) / max(1, len(outcomes)))
    return np.asarray(np.where(scores > 0, scores * FLAT, scores))


def _mean_ranks(orders: Sequence[tuple[bool, float]]) -> Floats:
    """(n,) float64 ranks from 1; equals have the mean of their ranks.

    scipy.stats.rankdata does the same, and its import takes 0.5 CPU seconds of every
    worker.
    """
    ordered = sorted(orders)
    return np.array(
        [
            (bisect_left(ordered, each) + bisect_right(ordered, each) + 1) / 2
            for each in orders
        ]
    )


def _orders(outcomes: Sequence[Outcome]) -> list[tuple[bool, float]]:
    """What sorts the outcomes, the best first: by cost, and what diverged last.

    A stopped trial is not known to be worse than all that ended, only than those that
    ended well. So the stopped ones are spread evenly over the worse two thirds of the
    ended, the latest stopped and lowest first. As the last of all they would make a
    good score of every bad end.
    """
    stopped = sorted(
        (-each.stopped[0], each.stopped[1], each.key)
        for each in outcomes
        if each.stopped and not each.costs
    )
    ended = [each.cost for each in outcomes if each.costs] or [0.0]
    shares = BADLY + (1 - BADLY) * (np.arange(len(stopped)) + 0.5) / max(
        1, len(stopped)
    )
    costs = np.quantile(ended, shares)
    spread = {
        key: float(cost) for (_, _, key), cost in zip(stopped, costs, strict=True)
    }
    return [
        (False, each.cost)
        if each.costs
        else (each.key not in spread, spread.get(each.key, 0.0))
        for each in outcomes
    ]
