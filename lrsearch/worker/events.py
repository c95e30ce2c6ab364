"""What a worker says while it works: an event's name, then facts as plain JSON.

The names, and who listens, are the whole interface between a worker and whoever started it:

ready            the process is up: pid
facts            an inspection's answer: facts
engine.ready     figures: of a few timed steps, empty where the engine times none; the first trial may begin
working          the study is open and data is loaded: worker
trial.started    trial_id, attempt, number, kind, origin, label, setting, short, resumed_from (epochs), resumed_update
trial.progress   trial_id, attempt, epoch, epochs, step, total_steps, rate, seconds, value
trial.ended      trial_id, attempt, number, kind, origin, label, short, status, value, epochs, seconds, reason, notes
retests.planned  trials, seeds (of each, at least), retests (in all), left_out: retests that do not fit into the time
note             text: one line for a person
broken           reason, traceback: the study's own code fails on every trial
signalled        signal: a signal told this worker to stop; it puts back what it holds
interrupted      reason: it was told to stop, by a signal or its parent, and holds nothing any more
done             reason: the ledger has nothing left for this worker
error            kind, text, traceback, exit_code: the process cannot go on
"""

from __future__ import annotations

from typing import Protocol

from lrsearch.report.words import further_text, rate_text, schedule_text
from lrsearch.values import Json, Setting


class Say(Protocol):
    """Passes an event on; never raises and never waits for a reader."""

    def __call__(self, event: str, /, **facts: Json) -> None: ...


def setting_in_short(setting: Setting) -> str:
    """A setting in one short line, in the words of every table."""
    words = f"{setting.optimizer} {rate_text(setting.learning_rate)} {schedule_text(setting)}"
    return f"{words}; {further_text(setting)}" if setting.extra else words
