"""Closes the attempts of workers that are gone, instead of waiting for their leases to lapse."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from lrsearch.errors import LrSearchError
from lrsearch.values import Kind, Outcome, Status, StudyState, TrialRecord, TrialState
from lrsearch.worker.faults import breaking_failure

if TYPE_CHECKING:
    from lrsearch.storage import Ledger


class AttemptCloser:
    """Closes what a worker held that is gone; does not raise.

    Where the database does not answer, the leases of these attempts lapse instead.
    """

    def __init__(self, ledger: Ledger, study_id: int) -> None:
        self._ledger, self._study_id = ledger, study_id

    def lose(self, worker_id: int, reason: str) -> None:
        """The worker crashed or was killed: its attempts count as lost."""
        with suppress(LrSearchError):
            for trial in self._held(worker_id):
                self._ledger.lose(trial.id, trial.attempt, reason=reason)
            self._ledger.worker_seen(worker_id, "gone")
            cause = breaking_failure(self._ledger.trials(self._study_id, kind=Kind.SEARCH))
            if cause is not None:
                self._ledger.set_state(self._study_id, StudyState.BROKEN, reason=cause.reason)

    def put_back(self, worker_id: int, reason: str) -> None:
        """The worker was ended by an interruption: its attempts do not count."""
        with suppress(LrSearchError):
            for trial in self._held(worker_id):
                back = Outcome(
                    trial_id=trial.id,
                    attempt=trial.attempt,
                    status=Status.INTERRUPTED,
                    engine="",
                    reason=reason,
                )
                self._ledger.finish(back, ())
            self._ledger.worker_seen(worker_id, "gone")

    def state(self) -> StudyState | None:
        """How the study stands; None where it was deleted. Raises what the ledger raises."""
        return next(
            (each.state for each in self._ledger.studies() if each.id == self._study_id), None
        )

    def _held(self, worker_id: int) -> list[TrialRecord]:
        running = (
            each for each in self._ledger.trials(self._study_id) if each.state is TrialState.RUNNING
        )
        return [each for each in running if each.worker == worker_id]
