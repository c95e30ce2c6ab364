"""Which trials ended well, best first, and which of them deserve a retest."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import count, islice

from lrsearch.values import Direction, TrialRecord, Trials, TrialState

BY_VALUE = 2  # the best values come before any setting that a model expects to be best
REACH = 0.5  # of the way from the leader's value to the median of the search


def rank_trials(
    records: Iterable[TrialRecord], direction: Direction
) -> tuple[TrialRecord, ...]:
    """Rank the search trials that ran to their end: best first, of equals the lower number."""
    ended_well = (each for each in records if each.is_search and each.has_value)
    return tuple(
        sorted(
            ended_well, key=lambda each: (direction.cost(each.final_value), each.number)
        )
    )


def nothing_to_compare(records: Iterable[TrialRecord]) -> bool:
    """Whether no searched trial ran well: neither to its end, nor until a pruner stopped it."""
    return not any(
        each.state is TrialState.PRUNED or each.has_value for each in searched(records)
    )


def searched(records: Iterable[TrialRecord]) -> Iterator[TrialRecord]:
    """The search trials other than yours."""
    return (each for each in records if each.is_search and not each.is_yours)


def find_yours(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Find the trial of the user's own compile, however it ended: its last retry, if it had one."""
    found = (each for each in records if each.is_search and each.is_yours)
    return max(found, key=lambda each: each.number, default=None)


def retest_candidates(
    records: Trials,
    direction: Direction,
    *,
    top: int = 3,
    expected: Sequence[int] = (),
) -> tuple[int, ...]:
    """Numbers of the trials to train again on fresh seeds, best first.

    These are the first `top` of `order_by_promise`, and yours. Yours is retested only
    where it ran to its end; it takes none of the `top` places. A setting that was
    trained twice is retested once, as its better trial.
    """
    ranked = rank_trials(records, direction)
    others = order_by_promise(ranked, expected)
    yours = (each.number for each in ranked if each.is_yours)
    return (*(each.number for each in others[:top]), *yours)


def order_by_promise(
    ranked: Sequence[TrialRecord], expected: Sequence[int]
) -> list[TrialRecord]:
    """The distinct settings of `ranked` trials, without yours, the most promising first.

    Without `expected` they come in the order of their values. With trials that a model
    expects to be best, best first, the order is the best two values, the best expected,
    the next value, the next expected, and so on.
    """
    others = [each for each in ranked if not each.is_yours]
    best = {each.setting_key: each for each in reversed(others)}  # by setting
    keys = list(dict.fromkeys(each.setting_key for each in others))
    by_number = {each.number: each.setting_key for each in others}
    likely = [by_number[each] for each in expected if each in by_number]
    order = dict.fromkeys(keys[: BY_VALUE - 1])
    turns = iter(keys), iter(likely)
    while len(order) < len(keys):
        for some in turns:
            following = next((each for each in some if each not in order), None)
            if following is not None:
                order[following] = None
    return [best[each] for each in order]


def fitting_retests(
    wanted: Sequence[int], yours: TrialRecord | None, *, seeds: int, room: int | None
) -> tuple[tuple[int, ...], int]:
    """Which of the `wanted` trials, best first, to retest, and on how many seeds each.

    `room` is how many retests fit into the time; None is room for all. The leader and
    yours come first. A setting is retested on every seed or not at all, since means of
    fewer seeds do not compare. Where not even these two fit, both have the same smaller
    number of seeds.
    """
    order = _by_claim(wanted, yours)
    if room is None or room >= len(order) * seeds or not order:
        return order, seeds
    first = order[: min(2, len(order))]
    if room < len(first) * seeds:
        return first, room // len(first)
    return order[: room // seeds], seeds


def retests_within(
    number: int,
    wanted: Sequence[int],
    yours: TrialRecord | None,
    *,
    seeds: int,
    done: Collection[tuple[int | None, int | None]],
) -> list[tuple[int, int]]:
    """Exactly `number` further retests of the `wanted` trials, best first, as (trial, repeat).

    None of them is among `done`. The leader and yours come first, then each setting
    that fits on every seed. The rest goes to further seeds of the leader and yours.
    Empty where nothing ran to its end.
    """
    order = _by_claim(wanted, yours)
    new: list[tuple[int, int]] = []
    for block in (order[:2], *((each,) for each in order[2:])):
        missing = [
            (each, repeat)
            for repeat in range(seeds)
            for each in block
            if (each, repeat) not in done
        ]
        if block == order[:2] or len(new) + len(missing) <= number:
            new += missing
    further = (
        (each, repeat)
        for repeat in count(seeds)
        for each in order[:2]
        if (each, repeat) not in done
    )
    return [*new, *islice(further, max(0, number - len(new)) if order else 0)][:number]


def could_win(records: Iterable[TrialRecord], direction: Direction) -> frozenset[int]:
    """Numbers of the search trials that a retest might still show to be the best.

    They are no further behind the leader than half its distance to the median of those
    that ran to their end: of 0.25, 0.5 and 1 of it, a half picked best
    (docs/benchmarks.md).
    """
    ranked = rank_trials(records, direction)
    if not ranked:
        return frozenset()
    costs = [direction.cost(each.final_value) for each in ranked]
    limit = costs[0] + REACH * (statistics.median(costs) - costs[0])
    return frozenset(
        each.number for each, cost in zip(ranked, costs, strict=True) if cost <= limit
    )


def few_retests(
    number: int,
    wanted: Sequence[int],
    yours: TrialRecord | None,
    *,
    able: Collection[int],
) -> list[tuple[int, int]]:
    """Exactly `number` retests, too few for every seed of two settings, as (trial, repeat).

    Each setting has one before any has two. Those that are `able` to win come first,
    the leader and yours before the others; then those that are not.
    """
    order = _by_claim(wanted, yours)
    order = (
        *(each for each in order if each in able),
        *(each for each in order if each not in able),
    )
    rounds = ((each, repeat) for repeat in count() for each in order)
    return list(islice(rounds, number if order else 0))


def _by_claim(wanted: Sequence[int], yours: TrialRecord | None) -> tuple[int, ...]:
    """The leader, yours, the others."""
    mine = [number for number in wanted if yours is not None and number == yours.number]
    order = (*wanted[:1], *(each for each in mine if each not in wanted[:1]))
    return (*order, *(each for each in wanted if each not in order))
