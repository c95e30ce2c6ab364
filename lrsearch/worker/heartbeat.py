"""The heartbeat: a thread that renews the leases of a worker's attempts.

The heartbeat learns which attempts are lost and whether the study was stopped. It
renews every third of a lease, through outages with backoff, on a connection of its own
(the ledger gives each thread one). Training never waits for it. Knows nothing of
engines: a trial session asks for its `verdict`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from lrsearch.errors import StorageGone
from lrsearch.values import StudyState, Verdict
from lrsearch.worker.stopping import StopRequest

if TYPE_CHECKING:
    from lrsearch.storage import Renewal

RENEWALS_PER_LEASE = 3  # two may fail before the lease lapses
_FIRST_RETRY_SECONDS = 0.5

_STOPS = {
    StudyState.STOPPED: "the study was stopped",
    StudyState.BROKEN: "the study is broken",
}


class Heartbeat:
    """Renews the leases of (trial, attempt) pairs, and knows which are lost.

    A context manager: the thread runs inside. Where the study or its database ends, the
    heartbeat asks `stop`.
    """

    def __init__(
        self,
        renew: Callable[[Sequence[tuple[int, int]]], Renewal],
        stop: StopRequest,
        *,
        lease_seconds: float,
        report: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._renew, self._stop, self._report = renew, stop, report
        self._interval = lease_seconds / RENEWALS_PER_LEASE
        self._holds: set[tuple[int, int]] = set()
        self._lost: set[tuple[int, int]] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="lrsearch-heartbeat", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop; a renewal that hangs in the database is left behind on its daemon thread."""
        self._closed.set()
        self._thread.join(timeout=1.0)

    def hold(self, trial_id: int, attempt: int) -> None:
        """Renew this attempt's lease from now on."""
        with self._lock:
            self._holds.add((trial_id, attempt))

    def release(self, trial_id: int, attempt: int) -> None:
        """Stop renewing this attempt's lease."""
        with self._lock:
            self._holds.discard((trial_id, attempt))
            self._lost.discard((trial_id, attempt))

    def lose(self, trial_id: int, attempt: int) -> None:
        """Note that a write was fenced off: the next verdict is LOST."""
        with self._lock:
            self._lost.add((trial_id, attempt))

    def verdict(self, trial_id: int, attempt: int) -> Verdict:
        """What an attempt must do now: KEEP, LOST or INTERRUPT."""
        if (trial_id, attempt) in self._lost:
            return Verdict.LOST
        return Verdict.INTERRUPT if self._stop.reason else Verdict.KEEP

    def _run(self) -> None:
        delay, fails = self._interval, 0
        while not self._closed.wait(delay):
            try:
                self._renew_leases()
            except StorageGone as error:
                self._stop.stop(str(error))
                return
            except Exception as error:  # noqa: BLE001 - the thread must survive every error
                fails += 1
                self._report(f"no heartbeat: {error}")
                pause = min(self._interval, _FIRST_RETRY_SECONDS * 2 ** min(fails, 10))
                delay = pause * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets
            else:
                delay, fails = self._interval, 0

    def _renew_leases(self) -> None:
        with self._lock:
            sent = sorted(self._holds)
        answer = self._renew(sent)
        with self._lock:
            # Only attempts that were sent: this worker may have claimed a lost trial
            # again by now.
            self._lost |= {
                pair for pair in sent if pair[0] in answer.lost and pair in self._holds
            }
        if answer.study_state in _STOPS:
            self._stop.stop(_STOPS[answer.study_state])
