"""When a worker that must be gone by a set time leaves: so that nothing it trained is repeated.

**The rule.** A worker leaves at the last place where a checkpoint can be written in
time. The next such place is expected to be as far away as the farthest so far: some
batches under `graph` and `fit`, a whole epoch for rows under `vectorized`. Nothing
begins that would come to no such place. Knows no clock: `now` returns seconds since
1970.
"""

from __future__ import annotations

from collections.abc import Callable

from lrsearch.values import Progress

# Before the set time: to write a checkpoint, to tell the database, to end the process.
RESERVE_SECONDS = 15.0


class LeavingRule:
    """The rule for one worker; `leave_by` is None where it may stay."""

    def __init__(self, leave_by: float | None, now: Callable[[], float]) -> None:
        self._leave_by, self._now = leave_by, now
        # by trial id
        self._places: dict[int, tuple[tuple[int, int] | None, float]] = {}
        self._first = 0.0  # the longest way from a claim to the first place, in seconds
        self._next = 0.0  # the longest way from a place to the next

    def is_too_late(self) -> bool:
        """Whether a training that began now would come to no place in time."""
        return self._ends_before(self._first)

    def begin(self, trial_id: int) -> None:
        """Note that an attempt at the trial begins."""
        self._places[trial_id] = (None, self._now())

    def must_leave(self, progress: Progress) -> bool:
        """Whether this is the last place in time; also notes the place.

        A training that has come to its end needs no checkpoint.
        """
        before, at = self._places.get(progress.trial_id, (None, self._now()))
        if progress.place == before:
            return False
        now = self._now()
        self._places[progress.trial_id] = (progress.place, now)
        if before is None:
            self._first = max(self._first, now - at)
        else:
            self._next = max(self._next, now - at)
        return progress.epoch < progress.epochs and self._ends_before(self._next)

    def end(self, trial_id: int) -> None:
        """Forget an attempt that has ended."""
        self._places.pop(trial_id, None)

    def _ends_before(self, seconds: float) -> bool:
        if self._leave_by is None:
            return False
        return self._now() + seconds + RESERVE_SECONDS > self._leave_by
