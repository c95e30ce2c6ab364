"""Which retested settings the best one cannot be told apart from, by all noise that is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lrsearch.answer.final_look import costs_of
from lrsearch.answer.leaderboard import Contender, Leaderboard
from lrsearch.answer.measured import Measured
from lrsearch.answer.seed_noise import SeedNoise, seed_noise
from lrsearch.values import Direction

LEVEL = 0.95


def not_separable(
    leaderboard: Leaderboard, direction: Direction, measured: Measured | None
) -> tuple[int, ...]:
    """Numbers of the retested trials whose difference from the best may be chance, at 95 %.

    The moderated t over seeds, with the noise of rows where `measured` has it.
    """
    best = leaderboard.best
    if best is None or best.retest is None or not best.seeds:
        return ()
    group = [
        best,
        *(each for each in leaderboard.retested if each.seeds and each.trial != best.trial),
    ]
    noise = seed_noise([costs_of(each, direction) for each in group])
    return tuple(
        each.trial
        for place, each in enumerate(group)
        if place and not _apart(group, place, noise, direction, measured)
    )


def _apart(
    group: Sequence[Contender],
    place: int,
    noise: SeedNoise | None,
    direction: Direction,
    measured: Measured | None,
) -> bool:
    """Whether the setting at `place` and the first differ beyond chance."""
    if noise is None:
        return False
    costs = [costs_of(group[each], direction) for each in (0, place)]
    shares = [0.0] * len(group)
    shares[0], shares[place] = (1 / len(each) for each in costs)
    seeds = math.fsum(share * noise.variance(each) for each, share in enumerate(shares) if share)
    rows, count = _rows(measured, group[0].trial, group[place].trial)
    apart = abs(math.fsum(costs[0]) / len(costs[0]) - math.fsum(costs[1]) / len(costs[1]))
    if seeds + rows == 0.0:
        return apart > 0.0
    parts = [seeds**2 / noise.freedom(shares), rows**2 / max(1, count - 1)]
    from scipy.special import stdtrit

    freedom = (seeds + rows) ** 2 / math.fsum(parts)
    return apart > float(stdtrit(freedom, (1 + LEVEL) / 2)) * math.sqrt(seeds + rows)


def _rows(measured: Measured | None, one: int, other: int) -> tuple[float, int]:
    """The variance of two trials' difference that rows make, and the rows; none where unknown."""
    if measured is None or measured.rows is None:
        return 0.0, 0
    order = (*measured.trials, measured.yours.trial)
    if one not in order or other not in order:
        return 0.0, 0
    return measured.rows.difference(order.index(one), order.index(other)), measured.rows.rows
