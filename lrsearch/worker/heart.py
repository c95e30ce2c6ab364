"""The heartbeat: a thread that renews the leases of what a worker holds, and learns what it must
stop.

It beats every third of a lease, through outages with backoff, on a connection of its own (the
ledger hands each thread one). Training never waits for it. Knows nothing of engines: a watcher asks
`verdict`, the loop asks `stopping`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from lrsearch.errors import StorageGone
from lrsearch.values import StudyState, Verdict

BEATS_A_LEASE = 3  # two may fail before the lease lapses
_FIRST_RETRY_SECONDS = 0.5

_STOPS = {
    StudyState.STOPPED: "the study was stopped",
    StudyState.BROKEN: "the study is broken",
}


class Beaten(Protocol):
    """The answer to a beat."""

    @property
    def lost(self) -> frozenset[int]: ...
    @property
    def study_state(self) -> StudyState: ...


Beat = Callable[[Sequence[tuple[int, int]]], Beaten]


class Heart:
    """Holds (trial, attempt) pairs, keeps their leases alive, and knows which are lost or to be
    interrupted.
    """

    def __init__(
        self,
        beat: Beat,
        *,
        lease_seconds: float,
        trouble: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._beat, self._trouble = beat, trouble
        self._interval = lease_seconds / BEATS_A_LEASE
        self._holds: set[tuple[int, int]] = set()
        self._lost: set[tuple[int, int]] = set()
        self._lock = threading.Lock()
        self._stopping = ""
        # set when there is reason not to wait: stopping, closing, or work to look for
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lrsearch-heart", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def close(self) -> None:
        """Beat no more. A beat that hangs in the database is left behind: the thread is a daemon."""
        self._closed.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def hold(self, trial_id: int, attempt: int) -> None:
        """Renew this attempt's lease from now on."""
        with self._lock:
            self._holds.add((trial_id, attempt))

    def release(self, trial_id: int, attempt: int) -> None:
        """Renew it no more."""
        with self._lock:
            self._holds.discard((trial_id, attempt))
            self._lost.discard((trial_id, attempt))

    @property
    def holds(self) -> tuple[tuple[int, int], ...]:
        """What is held now."""
        with self._lock:
            return tuple(sorted(self._holds))

    @property
    def stopping(self) -> str:
        """Why nothing more may be trained; empty while all is well."""
        return self._stopping

    def interrupt(self, reason: str) -> None:
        """Let every attempt be interrupted, and none begin."""
        self._stopping = self._stopping or reason
        self._wake.set()

    def verdict(self, trial_id: int, attempt: int) -> Verdict:
        """What an attempt must do now: KEEP, LOST or INTERRUPT."""
        if (trial_id, attempt) in self._lost:
            return Verdict.LOST
        return Verdict.INTERRUPT if self._stopping else Verdict.KEEP

    def lose(self, trial_id: int, attempt: int) -> None:
        """Note that a write was fenced off: the next verdict is LOST."""
        with self._lock:
            self._lost.add((trial_id, attempt))

    def rest(self, seconds: float) -> None:
        """Sleep, but no longer than until an interruption or `wake`."""
        if not self._stopping:
            self._wake.wait(seconds)
            self._wake.clear()

    def wake(self) -> None:
        """End a `rest`, or the next one: another worker ended something."""
        self._wake.set()

    def _run(self) -> None:
        delay, fails = self._interval, 0
        while not self._closed.wait(delay):
            try:
                self._once()
            except StorageGone as error:
                self.interrupt(str(error))
                return
            except Exception as error:  # noqa: BLE001 - whatever the driver raises, the next beat must come
                fails += 1
                self._trouble(f"no heartbeat: {error}")
                delay = min(
                    self._interval, _FIRST_RETRY_SECONDS * 2 ** min(fails, 10)
                ) * random.uniform(0.5, 1.0)  # noqa: S311
            else:
                delay, fails = self._interval, 0

    def _once(self) -> None:
        sent = self.holds
        answer = self._beat(sent)
        with self._lock:
            # Only what was sent with that very attempt: the trial may be held anew by now.
            self._lost |= {pair for pair in sent if pair[0] in answer.lost and pair in self._holds}
        if answer.study_state in _STOPS:
            self.interrupt(_STOPS[answer.study_state])
