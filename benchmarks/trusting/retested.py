"""What a simulated study retests, chosen by the product's own rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lrsearch import SearchSpace
from lrsearch.answer import find_yours, retest_candidates
from lrsearch.sampling import rank_by_expectation
from lrsearch.values import Direction, Setting, TrialRecord

# of the small networks: they differ in their rate alone
RATES_SPACE = SearchSpace(
    optimizers=("momentum",), schedules=("linear",), warmup=0.0, final=0.0
)


def settings_of(rates: Iterable[float]) -> tuple[Setting, ...]:
    """Settings of RATES_SPACE at these peak rates."""
    return tuple(
        Setting(
            optimizer="momentum",
            learning_rate=float(each),
            schedule="linear",
            batch_size=None,
            shape={"warmup": 0.0, "final": 0.0},
            hyper={"momentum": 0.9},
        )
        for each in rates
    )


def choose_retested(
    records: Sequence[TrialRecord], space: SearchSpace, top: int
) -> list[int]:
    """Numbers of the settings to retest, without yours."""
    down, yours = Direction.MINIMIZE, find_yours(records)
    found = retest_candidates(
        records, down, top=top, expected=rank_by_expectation(space, records, down)
    )
    return [each for each in found if yours is None or each != yours.number]
