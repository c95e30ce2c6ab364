"""Which settings more retests are worth, and on how many seeds: what `lrsearch retest` goes by.

Pure functions of the ledger's records.
"""

from __future__ import annotations

from collections.abc import Sequence

from lrsearch.answer.leaderboard import Leaderboard, make_contender
from lrsearch.answer.ranking import order_by_promise
from lrsearch.values import Direction, TrialRecord

_RETESTED, _SINGLE, _DIVERGED = range(3)  # in the order of their ranks


def best_settings(
    leaderboard: Leaderboard,
    direction: Direction,
    *,
    top: int,
    expected: Sequence[int] = (),
) -> tuple[int, ...]:
    """Numbers of the trials of the best `top` distinct settings, without yours, as known so far.

    Settings with retests come first, by their mean: luck flatters the single trainings
    of the others. The others follow in the order of `ranking.order_by_promise`. Those
    that diverged on a fresh seed come last. A setting whose retests all failed ranks by
    its single training.
    """
    retests = {each.trial: each.retest for each in leaderboard.retested}
    promise = {
        each.number: place
        for place, each in enumerate(order_by_promise(leaderboard.ranked, expected))
    }

    def key(record: TrialRecord) -> tuple[int, float, int]:
        each = make_contender(record, retests.get(record.number))
        cost = direction.cost(each.value or 0.0)
        if each.retest and each.retest.diverged:
            return _DIVERGED, cost, record.number
        if each.seeds:
            return _RETESTED, cost, record.number
        return _SINGLE, promise.get(record.number, len(promise)), record.number

    chosen: dict[str, int] = {}
    for record in sorted(
        (each for each in leaderboard.ranked if not each.is_yours), key=key
    ):
        chosen.setdefault(record.setting_key, record.number)
    return tuple(chosen.values())[:top]
