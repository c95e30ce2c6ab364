"""A rate, a count and a value's evidence in words, the same in every sentence, table and plot."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrsearch.answer.spread import Retested


def rate_text(rate: float) -> str:
    """`2.1e-4`: two digits, as people write rates."""
    if not math.isfinite(rate) or rate <= 0:
        return f"{rate:g}"
    digits, power = f"{rate:.1e}".split("e")
    return f"{digits}e{int(power)}"


def count_text(number: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def lost_text(retest: Retested) -> str:
    """How the retests without a value ended: `2 diverged`, `1 failed`, `2 diverged, 1 failed`."""
    ends = {"diverged": retest.diverged, "failed": retest.lost - retest.diverged}
    return ", ".join(f"{number} {end}" for end, number in ends.items() if number)


def seeds_text(retest: Retested) -> str:
    """What the values are of: `3 seeds`, `5 folds`, or `10 seeds on 5 folds`."""
    seeds, folds = count_text(retest.n, "seed"), len(set(retest.folds))
    if not folds:
        return seeds
    one_each = count_text(folds, "fold")
    return one_each if folds == retest.n else f"{seeds} on {one_each}"


def evidence_text(retest: Retested | None) -> str:
    """What a value rests on: `1 training`, `3 seeds`, `2 seeds, 1 diverged`, ..."""
    if retest is None:
        return "1 training"
    if not retest.n:
        return f"1 training; retests: {lost_text(retest)}"
    return ", ".join(
        filter(
            None,
            [
                seeds_text(retest),
                "all the same training" if retest.copies else "",
                lost_text(retest),
            ],
        )
    )
