"""Whether a fold costs settings in proportion to their level, or all of them as much.

A hard fold may cost a poor setting ten times what it costs a good one. Such costs are
compared by their logarithms. Knows numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

FACTOR = 2.0  # between the levels of settings; below, both readings say the same


def in_proportion(costs: Sequence[Sequence[float]]) -> bool:
    """Whether setting times fold fits these costs better than setting plus fold does.

    costs: (m, n), a fold a column. The better fit leaves smaller squares, those of
    logarithms times the square of the costs' geometric mean (the likelihood by which
    Box and Cox 1964 choose). Never where a cost is not above 0, or where the levels
    differ by less than `FACTOR`.
    """
    if min(map(min, costs)) <= 0.0:
        return False
    levels = [math.fsum(row) for row in costs]
    if max(levels) < FACTOR * min(levels):
        return False
    logs = [[math.log(cost) for cost in row] for row in costs]
    mean = math.exp(math.fsum(map(math.fsum, logs)) / (len(costs) * len(costs[0])))
    return mean**2 * _squares(logs) < _squares(costs)


def near_best(costs: Sequence[Sequence[float]]) -> list[int]:
    """The places of the settings whose level is at most `FACTOR` times the lowest; at least two.

    Others neither say what a fold costs the best nor how noisy it is. All where a cost
    is not above 0, since levels have no factors then.
    """
    if min(map(min, costs)) <= 0.0:
        return list(range(len(costs)))
    levels = [math.fsum(row) for row in costs]
    most = max(FACTOR * min(levels), sorted(levels)[1])
    return [place for place, level in enumerate(levels) if level <= most]


def _squares(costs: Sequence[Sequence[float]]) -> float:
    """What setting plus fold leaves of these costs, squared and summed."""
    rows = [math.fsum(row) / len(row) for row in costs]
    columns = [math.fsum(column) / len(costs) for column in zip(*costs, strict=True)]
    centre = math.fsum(rows) / len(rows)
    return math.fsum(
        (cost - row - column + centre) ** 2
        for own, row in zip(costs, rows, strict=True)
        for cost, column in zip(own, columns, strict=True)
    )
