"""What the pictures share: which trials they show, their legends, the range of values they draw."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import TypeAlias

from lrsearch.answer import Answer, Contender
from lrsearch.answer.words import rate_text
from lrsearch.report.canvas import LINES
from lrsearch.report.words import schedule_text, shape_text
from lrsearch.values import Direction, StudyRecord, TrialRecord, Trials

HEIGHT = 4.4  # inches, of a picture of one panel
# of the complete values; the worst are drawn at the frame's edge, or they would flatten
# the rest
_SHOWN_SHARE = 0.8
# a rates picture ends where a value lies this many times as far from the best as the
# median does: a few trials that hardly trained would press all that are good into one
# line
_TIMES_MEDIAN = 3.0

Frame: TypeAlias = tuple[float, float]
"""The lowest and the highest value that are shown."""


def best_trials(answer: Answer) -> list[TrialRecord]:
    """The best, as the answer has it, then the best single trainings; without yours."""
    best = answer.best.trial if answer.best else None
    searched = [
        each for each in answer.ranked if each.setting is not None and not each.is_yours
    ]
    return sorted(searched, key=lambda each: each.number != best)[: len(LINES)]


def rated_trials(records: Trials) -> list[TrialRecord]:
    """The search trials that have ended and have a place on an axis of rates."""
    ended = (each for each in records if each.is_search and each.ended)
    return [each for each in ended if each.setting is not None and each.peak_rate > 0]


def best_and_newest(trials: Trials, answer: Answer, most: int) -> Trials:
    """All of these trials, the oldest first; of more than `most`, the best and the newest."""
    if len(trials) <= most:
        return trials
    kept = {each.id for each in [*answer.ranked[: most // 2], *trials[-most // 2 :]]}
    return [each for each in trials if each.id in kept]


def legend_text(record: TrialRecord, answer: Answer) -> str:
    """`best, trial 12: adam 2.1e-4, linear`."""
    assert record.setting is not None  # a trial that is drawn has one
    name = "yours" if record.is_yours else record.label
    best = (
        "best, "
        if answer.best is not None and answer.best.trial == record.number
        else ""
    )
    rate, schedule = rate_text(record.peak_rate), schedule_text(record.setting)
    return f"{best}{name}: {record.setting.optimizer} {rate}, {schedule}"


def search_values(records: Trials) -> list[float]:
    """The values of the search trials that ran to their end; a pruned one's is no result."""
    return [each.final_value for each in records if each.is_search and each.has_value]


def frame_of(values: Sequence[float], direction: Direction) -> Frame | None:
    """The range of the better values; None where there is none."""
    finite = sorted(
        (each for each in values if math.isfinite(each)), key=direction.cost
    )
    if not finite:
        return None
    shown = finite[: len(finite) - round(len(finite) * (1 - _SHOWN_SHARE))]
    return min(shown), max(shown)


def frame_of_rates(study: StudyRecord, records: Trials, answer: Answer) -> Frame | None:
    """The better values, and those of yours and of the retests that lie near them."""
    values = search_values(records)
    found = frame_of(values, study.direction)
    if found is None:
        return None
    found = _near_the_best(found, values, study.direction)
    near = [each for contender in answer.retested for each in retest_values(contender)]
    if answer.yours is not None and answer.yours.value is not None:
        near.append(answer.yours.value)
    span = (found[1] - found[0]) or abs(found[1]) or 1.0
    kept = [each for each in near if found[0] - span <= each <= found[1] + span]
    return min(found[0], *kept, found[1]), max(found[1], *kept, found[0])


def _near_the_best(
    frame: Frame, values: Sequence[float], direction: Direction
) -> Frame:
    """The frame without what is much farther from the best than the median is."""
    finite = [each for each in values if math.isfinite(each)]
    best = direction.best(finite)
    reach = _TIMES_MEDIAN * abs(median(finite) - best)
    return (
        (max(frame[0], best - reach), min(frame[1], best + reach)) if reach else frame
    )


def retest_values(contender: Contender) -> tuple[float, ...]:
    """The values on fresh seeds."""
    return contender.retest.values if contender.retest else ()


def pad_frame(frame: Frame | None) -> Frame:
    """The ends of an axis that shows `frame`."""
    low, high = frame or (0.0, 1.0)
    pad = 0.05 * (high - low) or 0.05 * (abs(high) or 1.0)
    return low - pad, high + pad


def in_order_of_end(records: Trials) -> list[TrialRecord]:
    """The search trials that ended, the first to end first."""
    ended = (each for each in records if each.is_search and each.ended)
    return sorted(ended, key=lambda each: (each.finished_at or 0.0, each.number))


def best_after(
    study: StudyRecord, ended: Trials
) -> list[tuple[int, float, TrialRecord]]:
    """(trials ended, value, trial) wherever the best of one training improved."""
    found: list[tuple[int, float, TrialRecord]] = []
    for place, each in enumerate(ended, start=1):
        if each.has_value and (
            not found or study.direction.better(each.final_value, found[-1][1])
        ):
            found.append((place, each.final_value, each))
    return found


def best_by_shape(
    study: StudyRecord, answer: Answer
) -> dict[tuple[str, str], tuple[float, int]]:
    """By optimizer and shape: the best single value, and of how many; yours does not count."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for each in answer.ranked:
        if each.setting is not None and not each.is_yours and each.value is not None:
            cells[each.setting.optimizer, shape_text(each.setting)].append(each.value)
    return {
        key: (study.direction.best(values), len(values))
        for key, values in cells.items()
    }
