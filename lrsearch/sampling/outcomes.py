"""Outcomes of trials as scores: ranks, so that one value far off cannot rule all others.

The best outcomes are told apart in full. The worse half is flattened: how bad a bad trial was says
little about where the best one is. Knows records; nothing of covariances.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lrsearch.values import Direction, Setting, TrialRecord, TrialState

Floats: TypeAlias = NDArray[np.float64]

FLAT: Final = 0.4  # the worse half's scores count so much (Golovin et al. 2017 flatten alike)


@dataclass(kw_only=True, slots=True)
class Outcome:
    """All that is known of one setting.

    costs: lower is better, one of each training that ended well.
    stopped: epochs and last cost of a trial that a pruner stopped, where no training ended well.
    """

    setting: Setting
    key: str
    costs: list[float] = field(default_factory=list)
    stopped: tuple[int, float] | None = None

    @property
    def trainings(self) -> int:
        return max(1, len(self.costs))

    @property
    def order(self) -> tuple[float, ...]:
        """Sorts the best first: those that ended, those stopped late, stopped early, diverged."""
        if self.costs:
            return (0.0, math.fsum(self.costs) / len(self.costs), 0.0)
        if self.stopped:
            return (1.0, -self.stopped[0], self.stopped[1])
        return (2.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A trial's record, and a key that is equal for equal settings; "" where there is none yet."""

    record: TrialRecord
    key: str

    @classmethod
    def of(cls, record: TrialRecord) -> Seen:
        key = "" if record.setting is None else setting_key(record.setting)
        return cls(record=record, key=key)


def setting_key(setting: Setting) -> str:
    """Equal for equal settings."""
    return json.dumps(setting.to_json(), sort_keys=True)


def outcomes_of(trials: Iterable[Seen], direction: Direction) -> list[Outcome]:
    """The outcomes of the settings that were trained, in the order of their first trials.

    Equal settings and retests count together. A failed trial says nothing of its setting.
    """
    found: dict[str, Outcome] = {}
    for seen in sorted(trials, key=_order):
        each = seen.record
        if each.setting is None or not each.ended or each.state is TrialState.FAILED:
            continue
        outcome = found.setdefault(seen.key, Outcome(setting=each.setting, key=seen.key))
        if each.has_value and math.isfinite(each.final_value):
            outcome.costs.append(direction.cost(each.final_value))
        elif each.state is TrialState.PRUNED and each.last_value is not None:
            outcome.stopped = (each.epochs, direction.cost(each.last_value))
    return list(found.values())


def _order(seen: Seen) -> tuple[bool, int, int]:
    each = seen.record
    return each.is_retest, each.number, each.repeat or 0


def scores_of(outcomes: Sequence[Outcome]) -> Floats:
    """(n,) float64 normal scores of the ranks, lower for better; equals have the same."""
    from scipy.special import ndtri
    from scipy.stats import rankdata  # late: 0.4 s

    orders = sorted({each.order for each in outcomes})
    place = {order: rank for rank, order in enumerate(orders)}
    ranks = rankdata([place[each.order] for each in outcomes])
    scores = ndtri((ranks - 0.5) / max(1, len(outcomes)))
    return np.asarray(np.where(scores > 0, scores * FLAT, scores))
