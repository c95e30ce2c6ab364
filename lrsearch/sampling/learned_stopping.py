"""When to stop a trial early, learned from this study's own full runs.

One fixed rule is free on one problem and ruinous on the next: what looks best early may end well or
badly. So the rule takes the trials that ran to their end and ended well. It asks which rank the
worst of them had at this rung. A trial that ranks clearly lower is stopped. Where early values say
nothing, some good run was last at the rung, and no trial is stopped. Some trials run on as
controls, whatever the rule says, so that the rule is checked all the time.

Pure functions of numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from lrsearch.budget import FULL_RUNS
from lrsearch.values import Direction

SHARES: Final = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of a run's updates: where its rungs lie
GOOD: Final = 1 / 3  # of the full runs: those that ended well
ONE_CONTROL_IN: Final = 20


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A trial that reached a rung, at the time of the question."""

    value: float  # at the rung
    ended: bool = False  # ran to its end or diverged; not: was stopped, failed, still runs
    final: float | None = None  # its value at the end; None where it has none or diverged


def learned_rungs(epochs: int) -> tuple[int, ...]:
    """The finished epochs at which trials are judged, ascending: 1, 2, 5, 10 of 20.

    A short run's rungs are distinct epochs, too: 1, 2, 3 of 4.
    """
    rungs: list[int] = []
    for share in SHARES:
        after = rungs[-1] if rungs else 0
        rungs.append(max(round(share * epochs), after + 1))
    return tuple(epoch for epoch in rungs if epoch < epochs)


def is_control(seed: int, number: int) -> bool:
    """Whether trial `number` of a study of that seed runs to its end whatever the rule says."""
    digest = hashlib.sha256(f"{seed}/control/{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % ONE_CONTROL_IN == 0


def ranks_too_low(value: float, others: Sequence[Seen], direction: Direction) -> bool:
    """Whether no full run that ended well ranked as low as `value` at this rung.

    `others` are all who reached the rung, the trial itself among them. A rank is the share of the
    others with a better value; ties count for the trial. The margin is 1 / (q + 1) for q good runs:
    so far beyond the worst of q lies, on average, the next one's rank.
    """
    good = _ended_well(others, direction)
    if not good:
        return False
    costs = sorted(direction.cost(each.value) for each in others)
    lowest = direction.worst(each.value for each in good)
    limit = _rank(direction.cost(lowest), costs) + 1 / (len(good) + 1)
    return _rank(direction.cost(value), costs) > limit


def _ended_well(others: Sequence[Seen], direction: Direction) -> list[Seen]:
    """The best third of the full runs, ties included; none where nothing can be learned.

    A run that diverged, or has no value at its end, ended badly. Nothing can be learned of too few
    full runs, and of those that all ended alike.
    """
    ended = [each for each in others if each.ended]
    count = round(GOOD * len(ended))
    finals = sorted(direction.cost(each.final) for each in ended if each.final is not None)
    if len(ended) < FULL_RUNS or not finals:
        return []
    limit = finals[min(count, len(finals)) - 1]
    good = [
        each for each in ended if each.final is not None and direction.cost(each.final) <= limit
    ]
    return good if len(good) < len(ended) else []


def _rank(cost: float, costs: Sequence[float]) -> float:
    """The share of the others that cost less; `costs` are everybody's, its own among them."""
    return sum(other < cost for other in costs) / max(1, len(costs) - 1)
