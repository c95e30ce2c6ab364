"""Row scores of several settings, paired: the same rows in the same order for all.

Pure functions of records and their row scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from lrsearch.answer.leaderboard import Contender
from lrsearch.values import Direction, RowScores, TrialRecord, Trials

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

Scores: TypeAlias = Mapping[int, Mapping[str, RowScores]]
"""Row scores by trial id and split, as `LedgerReader.row_scores` gives them."""

LEAST_ROWS = 8  # fewer say nothing of a variance


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairedRows:
    """Costs by setting: (trainings, n) each, of the same n rows; `rows` is the whole split."""

    scores: Mapping[int, Floats]
    rows: int


def trainings_of(records: Trials) -> dict[int, list[TrialRecord]]:
    """The trainings with a value of each setting, by its search trial's number; retests last."""
    found: dict[int, list[TrialRecord]] = {}
    for each in sorted(
        records, key=lambda record: (record.is_retest, record.repeat or 0)
    ):
        number = each.parent if each.is_retest else each.number
        if each.has_value and number is not None:
            found.setdefault(number, []).append(each)
    return found


def pair_rows(
    trainings: Mapping[int, Sequence[TrialRecord]],
    numbers: Sequence[int],
    direction: Direction,
    scores: Scores,
    *,
    needed: Sequence[Contender],
    split: str = "validation",
) -> PairedRows | None:
    """The rows that all retests of the `needed` settings share; None where they share none.

    Only equal digests are paired: those of yours, the last of the needed.
    """
    import numpy as np

    found = {
        number: [
            scores[each.id][split]
            for each in trainings.get(number, ())
            if _has(scores, each, split)
        ]
        for number in numbers
    }
    mine = found.get(needed[-1].trial)
    if not mine or len(mine[-1].values) < LEAST_ROWS:
        return None
    key = mine[-1].digest, len(mine[-1].values)
    sign = direction.cost(1.0)
    by_number = {
        number: np.array([sign * each.values.astype(np.float64) for each in group])
        for number, whole in found.items()
        if (group := [each for each in whole if (each.digest, len(each.values)) == key])
    }
    by_number = {
        number: group for number, group in by_number.items() if np.isfinite(group).all()
    }
    if any(len(by_number.get(each.trial, ())) < each.seeds for each in needed):
        return None
    return PairedRows(scores=by_number, rows=mine[-1].rows)


def _has(scores: Scores, record: TrialRecord, split: str) -> bool:
    return split in scores.get(record.id, {})
