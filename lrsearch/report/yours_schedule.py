"""The rate of the user's own compile over the run, as far as it is known.

Two sources: what the inspector saw of the schedule (`StudyFacts.yours_rates`), and the
rate at each epoch's end that yours' training recorded. Where they differ, a callback
set the rate, and the recorded one is what trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lrsearch.values import CurvePoint, StudyFacts

_SAME = 0.02  # of the peak: a recorded rate this near to the schedule's follows it
# places of the sampled schedule around an epoch's end that may hold its rate: it may
# jump there
_NEAR = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class YoursSchedule:
    """Parts of the run, 0 to 1, and the rate there."""

    parts: tuple[float, ...]
    rates: tuple[float, ...]
    by_epoch: bool  # known at epochs' ends alone

    @property
    def peak(self) -> float:
        return max(self.rates)


def yours_schedule(
    facts: StudyFacts, curve: Sequence[CurvePoint]
) -> YoursSchedule | None:
    """None where neither source tells, or where the rate is zero throughout."""
    found = _from_samples(facts)
    if found is None or not _follows(found, facts, curve):
        found = _from_curve(facts, curve) or found
    return found if found is not None and found.peak > 0 else None


def _from_samples(facts: StudyFacts) -> YoursSchedule | None:
    rates = facts.yours_rates
    if rates is None and facts.yours.schedule == "constant":
        rates = (facts.yours.learning_rate,)
    if not rates:
        return None
    rates = rates if len(rates) > 1 else rates * 2
    return YoursSchedule(
        parts=tuple(np.linspace(0, 1, len(rates))), rates=rates, by_epoch=False
    )


def _from_curve(facts: StudyFacts, curve: Sequence[CurvePoint]) -> YoursSchedule | None:
    if not curve:
        return None
    parts, rates = zip(
        *((each.epoch / facts.epochs, each.rate) for each in curve), strict=True
    )
    return YoursSchedule(parts=parts, rates=rates, by_epoch=True)


def _follows(
    schedule: YoursSchedule, facts: StudyFacts, curve: Sequence[CurvePoint]
) -> bool:
    """Whether every recorded rate is the schedule's.

    The rate at the run's end does not count: it may belong to an update after the run.
    """
    parts, rates = np.asarray(schedule.parts), np.asarray(schedule.rates)
    reach = _NEAR / (len(parts) - 1)
    for point in curve:
        at = point.epoch / facts.epochs
        near = rates[np.abs(parts - at) <= reach]
        slack = _SAME * schedule.peak
        if (
            at < 1
            and len(near)
            and not near.min() - slack <= point.rate <= near.max() + slack
        ):
            return False
    return True
