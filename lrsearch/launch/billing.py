"""Tells the bill: before the first training, by the steps that an engine timed, or by the first
training's own epochs where none were timed ahead.

`fit` times none: it traces every training anew, so a step ahead would cost a short training's time.
"""

from __future__ import annotations

from collections.abc import Sequence

from lrsearch.answer import figures_by_looks, forecast
from lrsearch.launch.events import Event, Listener
from lrsearch.values import Json, StudyRecord, TrialRecord

LOOK_SECONDS = 1.0  # of a training, to tell a pace by


class Biller:
    """Hears the workers of one study."""

    def __init__(self, study: StudyRecord, listen: Listener, *, workers: int) -> None:
        self._study, self._listen, self._workers = study, listen, workers
        self._waits = True  # for the first worker's figures, or the first training's epochs
        self._timed = False  # whether an engine said that it is ready
        self._begun: Event | None = None  # the training that is watched
        self._looks: list[Event] = []

    def hear(self, event: Event, records: Sequence[TrialRecord]) -> None:
        """Tell the `bill` event where this one lets it be known; `records` are all trials' now."""
        if not self._waits:
            return
        match event.name:
            case "engine.ready" if not self._timed:
                self._timed = True
                self._tell(event.facts["figures"], records)
            case "trial.started" if self._begun is None:
                self._begun = event
            case "trial.progress" if self._begun is not None:
                self._look(event, records)
            case "trial.ended":
                self._waits = False

    def _look(self, event: Event, records: Sequence[TrialRecord]) -> None:
        begun = self._begun
        assert begun is not None
        if event.facts["trial_id"] != begun.facts["trial_id"] or begun.facts["resumed_update"]:
            return
        self._looks.append(event)
        first = self._looks[0]
        if event.at - first.at >= LOOK_SECONDS:
            pairs = [(each.at, each.facts["step"]) for each in (first, event)]
            whole = event.facts["epoch"] > first.facts["epoch"]
            self._tell(figures_by_looks("fit", begun.at, pairs, whole=whole), records)

    def _tell(self, figures: dict[str, Json], records: Sequence[TrialRecord]) -> None:
        made = forecast(self._study, records, figures, workers=self._workers)
        self._waits = made is None
        said = made.to_json() if made is not None and made.trainings else None
        if made is not None or not self._looks:
            self._listen(Event(name="bill", facts={"forecast": said}))
