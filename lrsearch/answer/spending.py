"""What a study has spent: trainings, epochs, device hours, and what interruptions repeated.

Pure functions of records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from lrsearch.values import Json, Trials

if TYPE_CHECKING:
    from lrsearch.storage import AttemptRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What was spent so far. A worker that trains several trials at once takes its device once."""

    # begun, search trials and retests; however often one was interrupted
    trainings: int
    epochs: int  # of the trainings that ended
    device_seconds: float
    # trained by an attempt that was interrupted or lost, and once more
    repeated_epochs: int
    # of the device seconds, those in which nothing was trained that counts
    repeated_seconds: float

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


def spent_on(records: Trials, attempts: Sequence[AttemptRecord]) -> Spent:
    """What these attempts at the study's trials and retests took.

    One that still runs counts up to the latest end.
    """
    latest = max((each.ended_at or each.started_at for each in attempts), default=0.0)
    spans = [
        (each.worker or 0, each.started_at, each.ended_at or latest)
        for each in attempts
    ]
    useful = [
        (worker, start, end if each.kept_until is None else min(end, each.kept_until))
        for each, (worker, start, end) in zip(attempts, spans, strict=True)
    ]
    seconds = _covered(spans)
    return Spent(
        trainings=sum(each.attempt > 0 for each in records),
        epochs=sum(each.epochs for each in records),
        device_seconds=seconds,
        repeated_epochs=sum(each.repeated_epochs for each in records),
        repeated_seconds=max(0.0, seconds - _covered(useful)),
    )


def _covered(spans: Iterable[tuple[int, float, float]]) -> float:
    """Seconds within these spans of (worker, start, end).

    Where spans of a worker overlap, the time counts once.
    """
    total = 0.0
    for _, mine in groupby(sorted(spans), key=lambda span: span[0]):
        reached = float("-inf")
        for _, start, end in mine:
            total += max(0.0, end - max(start, reached))
            reached = max(reached, end)
    return total
