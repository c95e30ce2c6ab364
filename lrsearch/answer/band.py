"""The band: the rates that do as well as the best one, and how far that is from divergence.

A rate that is too high costs more than one that is too low: on our tables four times
too high 3.2 % of the value against 1.0 %, eight times 163 % against 1.7 %. So the
recommendation lies on the low side of the band. Knows records of the search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lrsearch.answer.leaderboard import Contender
from lrsearch.answer.optimizers import ended_by_optimizer
from lrsearch.values import Direction, Json, TrialRecord, Trials

FEW = 3  # trials of one schedule before they stand for its band alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """Peak rates of the recommended setting's optimizer that do as well as its own."""

    optimizer: str
    schedule: str | None  # None: over all schedules, since few trials had the best's
    low: float
    high: float
    recommended: float
    trials: int  # that lie in the band
    # the lowest rate above all that held; None: none diverged
    diverges_from: float | None

    @property
    def headroom(self) -> float | None:
        """By which factor the recommended rate may grow before training diverges."""
        return self.diverges_from / self.recommended if self.diverges_from else None

    def to_json(self) -> dict[str, Json]:
        return {
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "rates": [self.low, self.high],
            "recommended": self.recommended,
            "trials": self.trials,
            "diverges_from": self.diverges_from,
            "headroom": self.headroom,
        }


def find_band(
    records: Trials, best: Contender | None, direction: Direction, *, tolerance: float
) -> Band | None:
    """The band around the best setting's rate; None where yours is the best, or nothing is.

    The trials are those of its optimizer and schedule; with fewer than three of these,
    of its optimizer. The band reaches from the best's rate to either side until a rate
    does worse than the best single value of these trials by more than the tolerance.
    The recommendation is the best's rate, or the middle of the band (of logarithms)
    where that is lower.
    """
    if best is None or best.is_yours:
        return None
    ended = ended_by_optimizer(records).get(best.setting.optimizer, [])
    alike = [each for each in ended if _schedule(each) == best.setting.schedule]
    narrow = sum(each.has_value for each in alike) >= FEW
    group = alike if narrow else ended
    good = _around(group, best, direction, tolerance)
    rates = [best.setting.learning_rate, *(each.peak_rate for each in good)]
    low, high = min(rates), max(rates)
    return Band(
        optimizer=best.setting.optimizer,
        schedule=best.setting.schedule if narrow else None,
        low=low,
        high=high,
        recommended=min(best.setting.learning_rate, math.sqrt(low * high)),
        trials=len(good),
        diverges_from=_edge(group),
    )


def _schedule(record: TrialRecord) -> str:
    return record.setting.schedule if record.setting else ""


def _around(
    group: Trials, best: Contender, direction: Direction, tolerance: float
) -> list[TrialRecord]:
    """The trials without a worse one, and without divergence, between them and the best's rate."""
    values = [each.final_value for each in group if each.has_value]
    if not values:
        return []
    bar = direction.cost(direction.best(values)) + tolerance
    centre = best.setting.learning_rate

    def does_well(record: TrialRecord) -> bool:
        mine = record.number == best.trial
        return mine or (record.has_value and direction.cost(record.final_value) <= bar)

    judged = [each for each in group if each.has_value or each.diverged]
    below = sorted(
        (each for each in judged if each.peak_rate <= centre), key=_rate, reverse=True
    )
    above = sorted((each for each in judged if each.peak_rate > centre), key=_rate)
    found = []
    for side in (below, above):
        for each in side:
            if not does_well(each):
                break
            found.append(each)
    return found


def _rate(record: TrialRecord) -> float:
    return record.peak_rate


def _edge(group: Trials) -> float | None:
    """The lowest rate that diverged above every rate that held."""
    held = max((each.peak_rate for each in group if each.has_value), default=0.0)
    diverged = (
        each.peak_rate for each in group if each.diverged and each.peak_rate > held
    )
    return min(diverged, default=None)
