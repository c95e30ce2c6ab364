"""When training has diverged: the loss is not a number any more, or far above where it began.

A pure rule over batch losses; knows nothing of Keras.
"""

from __future__ import annotations

import math

FACTOR = 1000.0  # ordinary training, warm-up overshoot included, stayed below 30 times its start (docs/decisions.md)
PATIENCE = 5  # batches in a row: one bad batch is no divergence
FLOOR = 1e-3  # a start this low says nothing about scale


class DivergenceRule:
    """Watches one attempt's running means of the loss, as `fit` logs them, and says when to stop."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._high = 0
        self._mean, self._count = 0.0, 0

    def new_epoch(self) -> None:
        """The running mean begins anew."""
        self._mean, self._count = 0.0, 0

    def check(self, mean: float, batches: int) -> str:
        """Why training has diverged, or empty; `mean` is the running mean over the epoch's first `batches` batches."""
        if not math.isfinite(mean):
            return f"the loss became {'NaN' if math.isnan(mean) else 'infinite'}"
        step = batches - self._count
        own = (mean * batches - self._mean * self._count) / max(step, 1)
        self._mean, self._count = mean, batches
        if self._start is None:
            self._start = own
            return ""
        limit = FACTOR * max(abs(self._start), FLOOR)
        self._high = self._high + 1 if own > limit else 0
        return f"the loss rose to {own:.3g}, from {self._start:.3g} at the start" if self._high >= PATIENCE else ""
