"""The learning rates that updates were really made with, checked against the schedule.

Knows no Keras: an engine reads a rate where it is used, and enters it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np

from lrsearch.values import AppliedRates, Json

# of the peak: rates are cast to float32, and a schedule is rounded like that, too
ROUNDING = 1e-5


@final
class RateLog:
    """The first, the highest and the last rate of one attempt.

    planned: (updates,) float64, the schedule's rates; None where they are not known
    (yours).
    """

    def __init__(self, planned: np.ndarray | None, accumulation: int) -> None:
        self._planned, self._accumulation = planned, accumulation
        self._first: float | None = None
        self._peak: float | None = None
        self._last: float | None = None
        self.fault = ""  # where a rate was not the schedule's; the first such update

    def enter(self, batch: int, used: np.ndarray) -> None:
        """Enter the rates of batches from `batch` of the run on; used: (batches,) float."""
        known = np.isfinite(used)
        if not known.any():
            return
        numbers = used[known].astype(float)
        steps = (batch + np.flatnonzero(known)) // self._accumulation
        if steps[0] == 0 and self._first is None:
            self._first = float(numbers[0])
        highest = float(numbers.max())
        self._peak = highest if self._peak is None else max(self._peak, highest)
        self._last = float(numbers[-1])
        self._check(steps, numbers)

    def _check(self, steps: np.ndarray, numbers: np.ndarray) -> None:
        if self._planned is None or self.fault or not len(self._planned):
            return
        planned = self._planned[np.minimum(steps, len(self._planned) - 1)]
        off = np.abs(numbers - planned) > ROUNDING * float(np.max(self._planned))
        if off.any():
            place = int(off.argmax())
            self.fault = (
                f"the learning rate of update {steps[place] + 1} was {numbers[place]:.6g}, where "
                f"the schedule says {planned[place]:.6g}"
            )

    @property
    def applied(self) -> AppliedRates | None:
        """What was seen; None where no engine read a rate."""
        if self._last is None or self._peak is None:
            return None
        return AppliedRates(first=self._first, peak=self._peak, last=self._last)

    def state(self) -> Json:
        """What a checkpoint keeps."""
        return {
            "first": self._first,
            "peak": self._peak,
            "last": self._last,
            "fault": self.fault,
        }

    def resume(self, kept: Mapping[str, Json] | None) -> None:
        """Go on from what a checkpoint kept; None in checkpoints of old."""
        if kept:
            self._first, self._peak, self._last = (
                kept[name] for name in ("first", "peak", "last")
            )
            self.fault = kept["fault"]
