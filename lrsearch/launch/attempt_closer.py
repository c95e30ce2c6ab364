"""Closes the attempts of workers that are gone, instead of waiting for their leases to lapse."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from lrsearch.errors import LrSearchError
from lrsearch.values import Kind, Outcome, StudyState, TrialRecord, TrialState
from lrsearch.worker.poisoned_study import breaking_failure

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


class AttemptCloser:
    """Closes the running attempts of a worker that is gone.

    `lose` and `put_back` do not raise: while the database is away, the attempts' leases
    lapse.
    """

    def __init__(self, ledger: Ledger, study_id: int) -> None:
        self._ledger, self._study_id = ledger, study_id

    def lose(self, worker_id: int, reason: str) -> None:
        """Count the attempts of a worker that crashed or was killed as lost."""
        with suppress(LrSearchError):
            for trial in self._running(worker_id):
                self._ledger.lose(trial.id, trial.attempt, reason=reason)
            self._ledger.worker_seen(worker_id, "gone")
            cause = breaking_failure(
                self._ledger.trials(self._study_id, kind=Kind.SEARCH)
            )
            if cause is not None:
                self._ledger.set_state(
                    self._study_id, StudyState.BROKEN, reason=cause.reason
                )

    def put_back(self, worker_id: int, reason: str) -> None:
        """Put back the attempts of an interrupted worker; they do not count as lost."""
        with suppress(LrSearchError):
            for trial in self._running(worker_id):
                self._ledger.finish(
                    Outcome.put_back(trial.id, trial.attempt, reason), ()
                )
            self._ledger.worker_seen(worker_id, "gone")

    def state(self) -> StudyState | None:
        """The study's state; None where it was deleted. Raises what the ledger raises."""
        states = {study.id: study.state for study in self._ledger.studies()}
        return states.get(self._study_id)

    def _running(self, worker_id: int) -> list[TrialRecord]:
        trials = self._ledger.trials(self._study_id)
        running = (trial for trial in trials if trial.state is TrialState.RUNNING)
        return [trial for trial in running if trial.worker == worker_id]
