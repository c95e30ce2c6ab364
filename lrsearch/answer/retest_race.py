"""The next retests of a study that has so many of them: where they may still change the answer.

The five most promising settings and yours are retested once each. Then the leader, its
challenger and yours go on, on the same seeds, until the leader is told apart from every
other or all that is left is spent. Apart means at 99.7 %, and not at the verdict's 95 %: whoever
looks after each round and stops at the first 95 % is fooled in more than 5 of 100
studies. With so strict looks on the way, the last one keeps its level (Haybittle 1971,
Peto et al. 1976). No race ends before its leader has three seeds: with two, 16 of 2,000
races of equals ended so early and wrongly. Yours always goes along: were it trained
only where it is the challenger, it would keep the few seeds on which it was unlucky,
and 8 of 100 studies of equals would call another better. Replayed on HPOLib's studies,
a race wins from 15 retests on. Pure functions of the ledger's records.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from lrsearch.answer.final_look import costs_of
from lrsearch.answer.leaderboard import Leaderboard
from lrsearch.answer.margin import ONE_PERCENT
from lrsearch.answer.more_retests import best_settings
from lrsearch.answer.seed_noise import SeedNoise, seed_noise
from lrsearch.values import Direction, Trials

FIRST = 5  # settings beside yours that are retested once before the race
LEAST_SEEDS = 3  # of the leader, before a race may end
_LEVEL = 0.997


def next_retests(
    leaderboard: Leaderboard,
    records: Trials,
    direction: Direction,
    *,
    left: int,
    expected: Sequence[int] = (),
) -> tuple[tuple[int, int], ...]:
    """The next retests as (trial, repeat), at most `left`; none where the race is decided.

    To be asked for when no retest waits or trains. `expected`: trials that a model of the
    search expects to be best, best first.
    """
    done: dict[int, set[int]] = {}
    for each in records:
        if each.is_retest and each.parent is not None:
            done.setdefault(each.parent, set()).add(each.repeat or 0)
    best = best_settings(leaderboard, direction, top=FIRST, expected=expected)
    good = {each.number for each in leaderboard.ranked}
    mine = (
        [leaderboard.yours.trial]
        if leaderboard.yours and leaderboard.yours.trial in good
        else []
    )
    first = [(each, 0) for each in dict.fromkeys((*best, *mine)) if each not in done]
    if first:
        return tuple(first[:left])
    pair = find_pair(leaderboard, direction)
    return tuple(_further(dict.fromkeys((*pair, *mine)), done)[:left]) if pair else ()


def find_pair(leaderboard: Leaderboard, direction: Direction) -> tuple[int, int] | None:
    """The leader and its challenger: the setting that is told apart from it with least certainty.

    None where the leader is told apart from every other, or is as good as all that it
    is not told apart from. A setting that lost a seed is no challenger: it ranks after
    the others.
    """
    group = [
        each
        for each in leaderboard.retested
        if each.seeds and each.retest and not each.retest.lost
    ]
    if len(group) < 2 or any(each.retest and each.retest.copies for each in group):  # noqa: PLR2004
        return None
    costs = [costs_of(each, direction) for each in group]
    noise, margin = seed_noise(costs), ONE_PERCENT.of(_mean(costs[0]))
    open_places = [
        place
        for place in range(1, len(group))
        if not _decided(costs, place, noise, margin)
    ]
    if not open_places:
        return None
    challenger = min(open_places, key=lambda place: _gap(costs, place, noise))
    return group[0].trial, group[challenger].trial


def _further(group: Iterable[int], done: dict[int, set[int]]) -> list[tuple[int, int]]:
    """The repeats that bring all to the same seeds; a fresh seed for each where they are there."""
    either = set().union(*(done[each] for each in group))
    missing = [
        (each, repeat)
        for repeat in sorted(either)
        for each in group
        if repeat not in done[each]
    ]
    return missing or [(each, max(either) + 1) for each in group]


def _mean(costs: Sequence[float]) -> float:
    return math.fsum(costs) / len(costs)


def _error(costs: Sequence[Sequence[float]], place: int, noise: SeedNoise) -> float:
    """The standard error of the difference between the leader's mean and that at `place`."""
    shares = ((each, 1 / len(costs[each])) for each in (0, place))
    return math.sqrt(math.fsum(share * noise.variance(each) for each, share in shares))


def _gap(
    costs: Sequence[Sequence[float]], place: int, noise: SeedNoise | None
) -> float:
    """How far the setting is behind the leader, in standard errors; in costs without a noise.

    With equal errors this is the transportation cost of Russo's top-two rule (2020).
    """
    behind = _mean(costs[place]) - _mean(costs[0])
    error = 0.0 if noise is None else _error(costs, place, noise)
    return behind / error if error else behind


def _decided(
    costs: Sequence[Sequence[float]], place: int, noise: SeedNoise | None, margin: float
) -> bool:
    """Whether the leader and that setting are apart, or within the margin, beyond chance."""
    if noise is None or len(costs[0]) < LEAST_SEEDS:
        return False
    from scipy.special import stdtrit

    shares = [0.0] * len(costs)
    shares[0], shares[place] = 1 / len(costs[0]), 1 / len(costs[place])
    behind = _mean(costs[place]) - _mean(costs[0])
    error = _error(costs, place, noise)
    if error == 0.0:
        return True
    half = float(stdtrit(noise.freedom(shares), (1 + _LEVEL) / 2)) * error
    return behind > half or behind + half <= margin
