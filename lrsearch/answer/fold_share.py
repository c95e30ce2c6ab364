"""How much of the noise on folds the rows make, and how much the seeds.

A fold that is trained again on another seed keeps what its rows do, so that only the
seeds' part becomes less. And a setting that the search chose on one fold keeps there
what the rows did for it. Knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

USUAL = 0.5  # of the variance by rows, where nothing is known
USUAL_DF = 4  # degrees of freedom that this counts for
CHOSEN = 0.5  # of the seeds' variance that is left in what was chosen for a low cost


def rows_part(
    costs: Sequence[Sequence[float]],
    folds: Sequence[int],
    searched: Sequence[float],
    *,
    variance: float,
) -> float:
    """The part of a training's `variance` that its fold's rows make, 0 to 1.

    costs: (m, n) of equally noisy settings. folds: (n,). searched: (k,) how much more
    the search's training on fold 0 cost than the retests on it, of settings that it
    chose. Trainings of one setting on one fold differ by their seeds alone; the usual
    part is taken for so many more.
    """
    if variance <= 0.0:
        return USUAL
    found = [_within_cells(costs, folds), _against_search(searched, folds.count(0))]
    squares = math.fsum(each for each, _ in found) + USUAL_DF * (1 - USUAL) * variance
    seeds = squares / (math.fsum(df for _, df in found) + USUAL_DF)
    return min(1.0, max(0.0, 1 - seeds / variance))


def _within_cells(
    costs: Sequence[Sequence[float]], folds: Sequence[int]
) -> tuple[float, float]:
    """The squares of a setting's repeats about its mean on their fold, and how many are free.

    What a repeat does to all settings, its seed included, is taken out.
    """
    m = len(costs)
    effects = [math.fsum(column) / m for column in zip(*costs, strict=True)]
    squares = 0.0
    for row in costs:
        cells: dict[int, list[float]] = {}
        for fold, cost, effect in zip(folds, row, effects, strict=True):
            cells.setdefault(fold, []).append(cost - effect)
        squares += math.fsum(_about_mean(each) for each in cells.values())
    return squares, (m - 1) * (len(folds) - len(set(folds)))


def _against_search(searched: Sequence[float], repeats: int) -> tuple[float, float]:
    """The same of the search's trainings against `repeats` retests on their fold."""
    if len(searched) < 2 or not repeats:  # noqa: PLR2004
        return 0.0, 0
    return _about_mean(searched) / (CHOSEN + 1 / repeats), len(searched) - 1


def _about_mean(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((each - mean) ** 2 for each in values)
