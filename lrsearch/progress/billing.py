"""Tells the bill: before the first training, by the steps that an engine timed, or by the first
training's own epochs where none were timed ahead.

`fit` times none: it traces every training anew, so a step ahead would cost a short training's time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lrsearch.answer import figures_by_looks, forecast
from lrsearch.messages import (
    EngineReady,
    Event,
    Listener,
    StudyBill,
    TrialEnded,
    TrialProgress,
    TrialStarted,
)
from lrsearch.values import Json, StudyRecord, TrialRecord

LOOK_SECONDS = 1.0  # of a training, to tell a pace by


class Biller:
    """Hears the workers of one study."""

    def __init__(self, study: StudyRecord, listen: Listener, *, workers: int) -> None:
        self._study, self._listen, self._workers = study, listen, workers
        self._waits = True  # for the first worker's figures, or the first training's epochs
        self._timed = False  # whether an engine said that it is ready
        self._begun: TrialStarted | None = None  # the training that is watched
        self._began_at = 0.0
        self._first: tuple[float, TrialProgress] | None = None  # the first look at it

    def hear(self, event: Event, records: Sequence[TrialRecord]) -> None:
        """Tell the bill where this message lets it be known; `records` are all trials' now."""
        if not self._waits:
            return
        match event.message:
            case EngineReady(figures=figures) if not self._timed:
                self._timed = True
                self._tell(figures, records)
            case TrialStarted() as started if self._begun is None:
                self._begun, self._began_at = started, event.at
            case TrialProgress() as progress if self._begun is not None:
                if progress.trial_id == self._begun.trial_id and not self._begun.resumed_update:
                    self._look(event.at, progress, records)
            case TrialEnded():
                self._waits = False

    def _look(self, at: float, progress: TrialProgress, records: Sequence[TrialRecord]) -> None:
        self._first = self._first or (at, progress)
        since, first = self._first
        if at - since >= LOOK_SECONDS:
            looks = (since, first.step), (at, progress.step)
            whole = progress.epoch > first.epoch
            self._tell(figures_by_looks("fit", self._began_at, looks, whole=whole), records)

    def _tell(self, figures: Mapping[str, Json], records: Sequence[TrialRecord]) -> None:
        made = forecast(self._study, records, figures, workers=self._workers)
        self._waits = made is None
        said = made if made is not None and made.trainings else None
        if made is not None or self._first is None:
            self._listen(Event(message=StudyBill(forecast=said)))
