"""A buffer of curve points, written to the ledger in bulk about once a second.

Points stay in the buffer until a write has succeeded, so an outage of the database
delays them and loses none. Knows no SQL and no clock: `write` stores points, `now`
returns the time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from lrsearch.errors import StorageUnavailable
from lrsearch.values import CurvePoint, Progress

EVERY_SECONDS = 1.0

# the points of each trial and attempt
Write = Callable[[Mapping[tuple[int, int], Sequence[CurvePoint]]], object]


class CurveBuffer:
    """The points of a worker's attempts, by (trial, attempt)."""

    def __init__(self, write: Write, now: Callable[[], float]) -> None:
        self._write, self._now = write, now
        self._points: dict[tuple[int, int], list[CurvePoint]] = defaultdict(list)
        self._last = now()

    def add(self, progress: Progress) -> None:
        """Add the point of an epoch's end; one without a rate has no place in the ledger."""
        if not math.isfinite(progress.rate):
            return
        self._points[progress.trial_id, progress.attempt].append(point_of(progress))

    def flush_if_due(self) -> None:
        """Write all points when the last write is long enough ago."""
        if self._points and self._now() - self._last >= EVERY_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write all points now; an outage leaves them for the next call.

        `write` gets a copy: a call that goes on by itself during an outage may read the
        points long after, while others are added here. A point that is written twice is
        the same both times.
        """
        self._last = self._now()
        if not self._points:
            return
        try:
            self._write({pair: tuple(points) for pair, points in self._points.items()})
        except StorageUnavailable:
            return
        self._points.clear()

    def take(self, trial_id: int, attempt: int) -> tuple[CurvePoint, ...]:
        """Remove and return the points that are not written yet, for the attempt's end."""
        return tuple(self._points.pop((trial_id, attempt), ()))


def point_of(progress: Progress) -> CurvePoint:
    """The curve point of an epoch's end."""
    names = (each.name for each in fields(CurvePoint))
    return CurvePoint(**{name: getattr(progress, name) for name in names})
