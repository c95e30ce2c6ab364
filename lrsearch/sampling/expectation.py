"""Which trained settings a model of the whole search expects to be best.

The best value of many single trainings is partly luck. The process' mean at a setting
takes the luck out, as far as the trainings near it tell. How much luck there is differs
from study to study: the noise is the one under which the study's scores are likeliest.
On the tables of docs/benchmarks.md it is 0.025 to 0.4, where proposals take 0.05.

Trials that a pruner stopped are left out: their scores are guesses, and a good setting
beside a stopped one would lose by them.

Knows records; nothing of SQL and Keras.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from lrsearch.budget import MODEL_RUNS
from lrsearch.sampling.history import History
from lrsearch.sampling.outcomes import SeenTrial
from lrsearch.sampling.space_view import SpaceView
from lrsearch.values import (
    Direction,
    TrialRecord,
    TrialState,
    count_whole_settings,
)

if TYPE_CHECKING:
    from lrsearch.space import SearchSpace

# Variances of one training's score that are compared.
NOISES: Final = (0.025, 0.05, 0.1, 0.2, 0.4)


def rank_by_expectation(
    space: SearchSpace, records: Sequence[TrialRecord], direction: Direction
) -> tuple[int, ...]:
    """Numbers of the search trials that ended well, the best expected first.

    A setting that was trained several times has its best trial alone. Empty where fewer
    than MODEL_RUNS settings ran to their end or diverged, or all ended alike.
    """
    if count_whole_settings(records) < MODEL_RUNS:
        return ()
    whole = (each for each in records if each.state is not TrialState.PRUNED)
    view, seen = SpaceView(space), [SeenTrial.of(each) for each in whole]
    histories = [History(view, seen, direction, noise=each) for each in NOISES]
    if not histories[0].informs:
        return ()
    likeliest = max(histories, key=lambda each: each.log_likelihood)
    means = likeliest.means.tolist()
    expected = {
        each.key: mean for each, mean in zip(likeliest.outcomes, means, strict=True)
    }
    good = [
        each
        for each in seen
        if each.record.is_search and each.record.has_value and each.key in expected
    ]

    def rank(each: SeenTrial) -> tuple[float, float, int]:
        cost = direction.cost(each.record.final_value)
        return expected[each.key], cost, each.record.number

    chosen: dict[str, int] = {}
    for each in sorted(good, key=rank):
        chosen.setdefault(each.key, each.record.number)
    return tuple(chosen.values())
