"""Which retested settings the best one cannot be told apart from, by all noise that is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lrsearch.answer.leaderboard import Contender, Leaderboard
from lrsearch.answer.measured import Measured, scale_by_row
from lrsearch.answer.repeats import Repeats, repeats_of
from lrsearch.values import Direction

LEVEL = 0.95


def not_separable(
    leaderboard: Leaderboard, direction: Direction, measured: Measured | None
) -> tuple[int, ...]:
    """Numbers of the retested trials whose difference from the best may be chance, at 95 %.

    The moderated t over seeds, paired by fold where there are folds, with the noise of
    rows where `measured` has it.
    """
    best = leaderboard.best
    if best is None or best.retest is None or not best.seeds:
        return ()
    group = [
        best,
        *(
            each
            for each in leaderboard.retested
            if each.seeds and each.trial != best.trial
        ),
    ]
    repeats = noise_of(group, leaderboard, direction, measured)
    return tuple(
        each.trial
        for place, each in enumerate(group)
        if place and not _apart(group, place, repeats, measured)
    )


def noise_of(
    group: Sequence[Contender],
    leaderboard: Leaderboard,
    direction: Direction,
    measured: Measured | None,
) -> Repeats | None:
    """The group's retests with the variances that the verdict has: by row where it knows rows."""
    repeats = repeats_of(group, leaderboard, direction)
    if repeats is None or measured is None or measured.rows is None:
        return repeats
    if any(each.trial not in measured.order for each in group):
        return repeats
    places = [measured.order.index(each.trial) for each in group]
    return scale_by_row(repeats, measured.rows, places)


def _apart(
    group: Sequence[Contender],
    place: int,
    repeats: Repeats | None,
    measured: Measured | None,
) -> bool:
    """Whether the setting at `place` and the first differ beyond chance."""
    if repeats is None or repeats.noise is None:
        return False
    seeds = repeats.error(0, place)
    rows, count = _rows(measured, group[0].trial, group[place].trial)
    apart = abs(repeats.mean(0) - repeats.mean(place))
    if seeds + rows == 0.0:
        return apart > 0.0
    parts = [seeds**2 / repeats.freedom(0, place), rows**2 / max(1, count - 1)]
    from scipy.special import stdtrit

    freedom = (seeds + rows) ** 2 / math.fsum(parts)
    return apart > float(stdtrit(freedom, (1 + LEVEL) / 2)) * math.sqrt(seeds + rows)


def _rows(measured: Measured | None, one: int, other: int) -> tuple[float, int]:
    """The variance of two trials' difference that rows make, and the rows; none where unknown."""
    if measured is None or measured.rows is None:
        return 0.0, 0
    order = measured.order
    if one not in order or other not in order:
        return 0.0, 0
    return measured.rows.difference(
        order.index(one), order.index(other)
    ), measured.rows.rows
