"""A worker's time, divided among the trials that it trains at once.

A second that four trials share is a quarter second of each. The sum of all shares is
the time that the worker trained. Knows no clock: `now` returns the time.
"""

from __future__ import annotations

from collections.abc import Callable


class TimeShares:
    """How much of the worker's time each of its trials has taken."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._last = now, now()
        self._each = 0.0  # seconds of a trial that had trained since the beginning
        self._began: dict[int, float] = {}  # by trial id: `_each` then

    def begin(self, trial_id: int) -> None:
        """Give the trial its share from now on."""
        self._advance()
        self._began[trial_id] = self._each

    def end(self, trial_id: int) -> float:
        """End the trial's share; returns its seconds."""
        self._advance()
        return self._each - self._began.pop(trial_id)

    def _advance(self) -> None:
        now = self._now()
        if self._began:
            self._each += (now - self._last) / len(self._began)
        self._last = now
