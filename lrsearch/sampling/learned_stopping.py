"""When to stop a trial early, learned from this study's own full runs.

One fixed rule is free on one problem and ruinous on the next: what looks best early may
end well or badly. So the rule takes the trials that ran to their end and ended well. It
asks how many places they gained from this rung to their end, at most. A trial that
would have to gain clearly more, to be among the best three, is stopped. Where early
values say nothing, some good run was last at the rung, and no trial is stopped. Some
trials run on as controls, whatever the rule says, so that the rule is checked all the
time.

Pure functions of numbers.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from lrsearch.budget import FULL_RUNS
from lrsearch.values import Direction

SHARES: Final = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of a run's updates: where its rungs lie
GOOD: Final = 1 / 3  # of the full runs: those that ended well
# settings that a study compares by retests: what is behind them wins nothing
PICKED: Final = 3
MARGIN: Final = 0.6  # of the mean gap between good runs
ONE_CONTROL_IN: Final = 20


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RunAtRung:
    """A trial that reached a rung, at the time of the question."""

    value: float  # at the rung
    # ran to its end or diverged; not: was stopped, failed, still runs
    ended: bool = False
    # its value at the end; None where it has none or diverged
    final: float | None = None


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


def is_too_far_behind(
    value: float, others: Sequence[RunAtRung], direction: Direction
) -> bool:
    """Whether a trial with `value` at this rung would need more than any good run made up.

    `others` are all who reached the rung; the full runs among them alone are asked.
    Places are shares of the other full runs that were better, at the rung or at the
    end; ties count for the trial. The trial goes on while it is no further behind the
    last of the PICKED best than the good run that gained most places from the rung to
    its end, and a margin further: MARGIN of 1 / (q + 1) for q good runs, since so far
    beyond the best of q lies, on average, the next one.
    """
    full = [each for each in others if each.ended]
    if len(full) < FULL_RUNS:
        return False
    rung = sorted(direction.cost(each.value) for each in full)
    ends = sorted(_end(each, direction) for each in full)
    good = [each for each in full if _ended_well(each, ends, direction)]
    if not good:
        return False
    rivals = len(full) - 1
    gained = max(
        bisect_left(rung, direction.cost(each.value))
        - bisect_left(ends, _end(each, direction))
        for each in good
    )
    limit = (PICKED - 1 + gained) / rivals + MARGIN / (len(good) + 1)
    return bisect_left(rung, direction.cost(value)) / len(full) > limit


def _end(run: RunAtRung, direction: Direction) -> float:
    """The cost at the end; infinite for a run that diverged or has no value there."""
    return math.inf if run.final is None else direction.cost(run.final)


def _ended_well(run: RunAtRung, ends: Sequence[float], direction: Direction) -> bool:
    """Whether the run is among the best third by its end, ties included; `ends` ascend."""
    count = max(PICKED, round(GOOD * len(ends)))
    return run.final is not None and _end(run, direction) <= ends[count - 1]
