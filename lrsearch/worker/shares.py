"""A worker's time, divided among the trials that it trains beside each other: a second that four
share is a quarter of each.

The sum of all shares is the time that the worker trained. Knows no clock: `now` says the time.
"""

from __future__ import annotations

from collections.abc import Callable


class TimeShares:
    """What each trial in hand has taken of the worker's time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._last = now, now()
        self._each = 0.0  # seconds that a trial in hand since the beginning would have taken
        self._began: dict[int, float] = {}  # by trial id: `_each` then

    def begin(self, trial_id: int) -> None:
        """From now on the trial takes its share."""
        self._advance()
        self._began[trial_id] = self._each

    def end(self, trial_id: int) -> float:
        """The seconds that the trial took."""
        self._advance()
        return self._each - self._began.pop(trial_id)

    def _advance(self) -> None:
        now = self._now()
        if self._began:
            self._each += (now - self._last) / len(self._began)
        self._last = now
