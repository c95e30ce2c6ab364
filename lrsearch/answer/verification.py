"""Whether trainings that were made again gave what they gave before.

Pure functions of trial records and outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lrsearch.answer.leaderboard import build_leaderboard
from lrsearch.answer.ranking import find_yours, rank_trials
from lrsearch.values import Json, Outcome, StudyRecord, TrialRecord, Trials, TrialState

# Of the value: orders of summation differ between engines and machines, by up to 3e-4
# after 50 updates of Adam at 1e-2 (docs/decisions.md).
SAME = 1e-6
_REPEATABLE = frozenset({TrialState.COMPLETE, TrialState.DIVERGED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Repetition:
    """One training beside its second run."""

    label: str
    state: str
    value: float | None
    state_again: str
    value_again: float | None
    tolerance: float  # a difference up to here is float noise or less than seeds make

    @property
    def difference(self) -> float | None:
        """The new value less the old one; None unless both have one."""
        if self.value is None or self.value_again is None:
            return None
        return self.value_again - self.value

    @property
    def verdict(self) -> str:
        """`same` up to float noise, `close` within the tolerance, else `differs`."""
        if self.state != self.state_again or (self.value is None) != (
            self.value_again is None
        ):
            return "differs"
        if self.value is None or self.difference is None:
            return "same"
        apart = abs(self.difference)
        if apart <= SAME * max(abs(self.value), 1e-12):
            return "same"
        return "close" if apart <= self.tolerance else "differs"

    def to_json(self) -> dict[str, Json]:
        return {
            "trial": self.label,
            "state": self.state,
            "value": self.value,
            "state_again": self.state_again,
            "value_again": self.value_again,
            "difference": self.difference,
            "tolerance": self.tolerance,
            "verdict": self.verdict,
        }


def choose_repetitions(
    study: StudyRecord, records: Trials, number: int
) -> tuple[TrialRecord, ...]:
    """Choose trainings to make again: the answer's best, yours, others evenly over the ranking.

    A diverged trial comes after these. Only trainings that ended by themselves, with
    their seed.
    """
    able = [
        each
        for each in records
        if each.is_search
        and each.state in _REPEATABLE
        and each.setting
        and each.seed is not None
    ]
    ranked = rank_trials(able, study.direction)
    best, mine = build_leaderboard(study.facts, records).best, find_yours(able)
    first = [
        *(each for each in ranked if best is not None and each.number == best.trial),
        *([mine] if mine is not None else []),
    ]
    chosen = list({each.number: each for each in first}.values())[:number]
    others = [each for each in ranked if each not in chosen]
    chosen += _spread(others, number - len(chosen))
    diverged = [each for each in able if each.diverged]
    return tuple([*chosen, *diverged][:number])


def _spread(records: Sequence[TrialRecord], number: int) -> list[TrialRecord]:
    """So many of them, evenly from the first to the last."""
    if number <= 0 or not records:
        return []
    if number >= len(records):
        return list(records)
    step = (len(records) - 1) / max(1, number - 1) if number > 1 else 0.0
    return [records[round(place * step)] for place in range(number)]


def compare_repetitions(
    pairs: Iterable[tuple[TrialRecord, Outcome]], *, tolerance: float
) -> tuple[Repetition, ...]:
    """Compare each training with its second run; `tolerance` as in the study's answer."""
    return tuple(
        Repetition(
            label=record.short_label,
            state=record.state.value,
            value=record.value,
            state_again=outcome.status.value,
            value_again=_finite(outcome.value),
            tolerance=tolerance,
        )
        for record, outcome in pairs
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
