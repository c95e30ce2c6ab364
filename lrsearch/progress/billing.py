"""Sends the bill of a study as soon as the time of its trainings can be estimated.

An engine that times steps gives the bill before the first training. `fit` times none:
it traces every training anew, so that a timed step would cost as much as a short
training. There the first epochs of the first training give the bill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lrsearch.answer import figures_by_looks, forecast
from lrsearch.events import Event, Listener
from lrsearch.messages import (
    EngineReady,
    StudyBill,
    TrialEnded,
    TrialProgress,
    TrialStarted,
)
from lrsearch.values import Json, StudyRecord, TrialRecord

LOOK_SECONDS = 1.0  # of a training give its pace


class BillEstimator:
    """Estimates the bill of one study from its workers' messages."""

    def __init__(self, study: StudyRecord, listen: Listener, *, workers: int) -> None:
        self._study, self._listen, self._workers = study, listen, workers
        # for the first worker's figures, or the first training's epochs
        self._waits = True
        self._timed = False  # whether an engine has reported its figures
        self._begun: TrialStarted | None = None  # the first training
        self._began_at = 0.0
        # its first progress, and when
        self._first: tuple[float, TrialProgress] | None = None

    def handle(self, event: Event, records: Sequence[TrialRecord]) -> None:
        """Send the bill where this message completes the estimate; `records` are all trials now."""
        if not self._waits:
            return
        match event.message:
            case EngineReady(figures=figures) if not self._timed:
                self._timed = True
                self._send(figures, records)
            case TrialStarted() as started if self._begun is None:
                self._begun, self._began_at = started, event.at
            case TrialProgress() as progress if self._begun is not None:
                if (
                    progress.trial_id == self._begun.trial_id
                    and not self._begun.resumed_update
                ):
                    self._look(event.at, progress, records)
            case TrialEnded():
                self._waits = False

    def _look(
        self, at: float, progress: TrialProgress, records: Sequence[TrialRecord]
    ) -> None:
        self._first = self._first or (at, progress)
        since, first = self._first
        if at - since >= LOOK_SECONDS:
            looks = (since, first.step), (at, progress.step)
            whole = progress.epoch > first.epoch
            self._send(
                figures_by_looks("fit", self._began_at, looks, whole=whole), records
            )

    def _send(
        self, figures: Mapping[str, Json], records: Sequence[TrialRecord]
    ) -> None:
        expected = forecast(self._study, records, figures, workers=self._workers)
        self._waits = expected is None
        if expected is not None or self._first is None:
            some = expected if expected is not None and expected.trainings else None
            self._listen(Event(message=StudyBill(forecast=some)))
