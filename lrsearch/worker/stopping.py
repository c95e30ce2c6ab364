"""The request that a worker stop. Knows nothing of studies, signals or databases."""

from __future__ import annotations

import threading

TIME_IS_UP = "its time is up"  # the reason of a worker that must be gone by a set time
MOMENT_SECONDS = 0.2  # a signal that ended the training may not have been read yet


class StopRequest:
    """Set by any thread, obeyed by the thread that trains; the first reason stays."""

    def __init__(self) -> None:
        self.reason = ""  # why nothing more may be trained; empty without a request
        self._wake = threading.Event()

    def stop(self, reason: str) -> None:
        """Interrupt every attempt, and begin none."""
        self.reason = self.reason or reason
        self._wake.set()

    def rest(self, seconds: float) -> None:
        """Sleep, but no longer than until `stop` or `wake`."""
        if not self.reason:
            self._wake.wait(seconds)
            self._wake.clear()

    def wake(self) -> None:
        """End a `rest`, or the next one: there may be work."""
        self._wake.set()

    def comes_within_a_moment(self) -> bool:
        """Whether this worker must stop, or must within a moment."""
        self.rest(MOMENT_SECONDS)
        return bool(self.reason)
