"""Which rates a search has tried, and where it went beyond the usual range.

The sampler `auto` moves the range of rates. What it did follows from the trials alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lrsearch.space import OPTIMIZERS, SHAPES, rate_range, table_range, unit_rate
from lrsearch.values import Origin, Setting, StudyRecord, TrialRecord, Trials

_ROUNDING = 1.001


@dataclass(frozen=True, kw_only=True, slots=True)
class RangeMove:
    """The first trial beyond an end of the usual range.

    farthest: of all trials, the farthest rate from the usual range, as a multiple of
    the optimizer's reference rate on a constant schedule.
    """

    upward: bool
    trial: int
    farthest: float


def range_moves(study: StudyRecord, records: Trials) -> tuple[RangeMove, ...]:
    """Where the search went beyond the table's range: at most one move up and one down."""
    moves = []
    for upward in (True, False):
        beyond = [
            (each.number, place)
            for each, setting, place in _places(study, records)
            if _is_beyond(setting, place, upward=upward)
        ]
        if beyond:
            places = [place for _, place in beyond]
            farthest = max(places) if upward else min(places)
            moves.append(
                RangeMove(upward=upward, trial=min(beyond)[0], farthest=farthest)
            )
    return tuple(moves)


def searched_range(
    study: StudyRecord, records: Trials, setting: Setting
) -> tuple[float, float]:
    """The lowest and highest peak rate that were searched with the setting's optimizer and shape.

    These are the asked ones, else the usual ones, widened to what the trials tried.
    """
    facts, name = study.facts, setting.optimizer
    base = facts.yours.batch_size
    low, high = rate_range(setting, asked=facts.asked_rates, base=base)
    unit = unit_rate(setting, base)
    mine = [
        each
        for each in records
        if each.setting is not None and each.setting.optimizer == name
    ]
    tried = [place * unit for _, _, place in _places(study, mine)]
    return min([low, *tried]), min(max([high, *tried]), OPTIMIZERS[name].clamp)


def _places(
    study: StudyRecord, records: Trials
) -> Iterator[tuple[TrialRecord, Setting, float]]:
    """The sampled trials whose rates were not asked for, with setting and place on the axis."""
    facts = study.facts
    for each in records:
        setting = each.setting
        if not each.is_search or each.origin is not Origin.SAMPLED or setting is None:
            continue
        known = setting.optimizer in OPTIMIZERS and setting.schedule in SHAPES
        if known and setting.optimizer not in facts.asked_rates:
            yield (
                each,
                setting,
                setting.learning_rate / unit_rate(setting, facts.yours.batch_size),
            )


def _is_beyond(setting: Setting, place: float, *, upward: bool) -> bool:
    low, high = table_range(setting.optimizer)
    return place > high * _ROUNDING if upward else place < low / _ROUNDING
