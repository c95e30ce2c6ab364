"""The field of a race: how many settings have one retest, two, three before two of them are left.

The search's single trainings leave a setting that is truly better by two standard deviations out of
the best five in a sixth of all studies. So more settings begin where there are more retests, and
the field is halved each time (successive halving: Karnin et al. 2013). Pure functions of the
leaderboard.
"""

from __future__ import annotations

import math

from lrsearch.answer.leaderboard import Contender, Leaderboard
from lrsearch.values import Direction

LEAST = 5  # settings that begin
MORE = 12  # retests for each further one
PAIR = 2  # the leader and its challenger: who is left at last


def field_sizes(total: int) -> tuple[int, ...]:
    """How many settings beside yours have one retest, two and so on, of a race of `total`.

    5 and 2 with 12 retests; 6, 3 and 2 with 24; 8, 4 and 2 with 48.
    """
    sizes = [max(LEAST, LEAST - 1 + total // MORE)]
    while sizes[-1] > PAIR:
        sizes.append(max(PAIR, sizes[-1] // 2))
    return tuple(sizes)


def field_of(leaderboard: Leaderboard, direction: Direction, *, size: int) -> tuple[int, ...]:
    """Numbers of the best `size` retested settings other than yours, by all their trainings.

    The search's training counts as one more: all were chosen by it, so that it flatters them alike,
    and of few trainings it tells much. With folds it is on another fold than some retests, and the
    leaderboard's order counts. A setting that lost a seed comes last.
    """
    group = [each for each in leaderboard.retested if not each.is_yours and each.seeds]
    if leaderboard.folds is None:
        group.sort(key=lambda each: (_lost(each), _mean_of_all(each, direction), each.trial))
    return tuple(each.trial for each in group[:size])


def _lost(each: Contender) -> bool:
    return each.retest is not None and each.retest.lost > 0


def _mean_of_all(each: Contender, direction: Direction) -> float:
    retests = each.retest.values if each.retest else ()
    values = (*retests, each.searched) if each.searched is not None else retests
    return direction.cost(math.fsum(values) / len(values))
