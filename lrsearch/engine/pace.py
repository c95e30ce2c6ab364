"""How many batches a call to a graph trains: as many as take about CALL_SECONDS."""

from __future__ import annotations

import time

CALL_SECONDS = 0.5  # how late a signal, a prune or a divergence may be noticed
_FIRST_CALL = 16  # batches, before the pace is known


class Stretch:
    """Learns the pace from the calls made under `timed`."""

    def __init__(self) -> None:
        self.batches = _FIRST_CALL
        self._began = self._calls = 0.0
        self._count = 0

    def timed(self, count: int) -> Stretch:
        """Time the call of `count` batches in a `with` statement."""
        self._count = count
        return self

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        seconds = time.monotonic() - self._began
        self._calls += 1
        if self._calls > 1:  # the first call may have traced
            wanted = CALL_SECONDS * self._count / max(seconds, 1e-6)
            self.batches = int(min(max(wanted, 1.0), 4.0 * self.batches))
