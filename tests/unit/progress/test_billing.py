"""When the bill is told, and by what."""

import pytest
from ledger_tools import plan

from lrsearch.events import Event
from lrsearch.messages import EngineReady, TrialEnded, TrialProgress, TrialStarted
from lrsearch.progress.billing import BillEstimator
from lrsearch.values import Kind, Origin, Setting, Status, StudyRecord, StudyState

STUDY = StudyRecord(
    id=1, plan=plan(), state=StudyState.OPEN, reason="", trials=10, deadline=None, created_at=0.0, optuna_study_id=0,
)  # fmt: skip
SETTING = Setting(
    optimizer="adam", learning_rate=1e-3, schedule="constant", batch_size=None
)
FIGURES = {
    "engine": "graph",
    "width": 1,
    "means": {"graph": 1.0},
    "tracing_seconds": 2.0,
}


def told(*events):
    """The forecasts of the bills that these events lead to."""
    bills = []
    biller = BillEstimator(STUDY, bills.append, workers=2)
    for event in events:
        biller.handle(event, [])
    return [each.message.forecast for each in bills]


NAMES = {
    "number": 0,
    "kind": Kind.SEARCH,
    "origin": Origin.YOURS,
    "label": "",
    "short": "",
}
OVER = TrialEnded(
    **NAMES,
    trial_id=1,
    attempt=1,
    status=Status.FAILED,
    value=None,
    epochs=0,
    seconds=1.0,
)


def ready(**figures):
    return Event(message=EngineReady(figures=figures), at=10.0)


def started(trial_id=1, *, resumed_update=0):
    message = TrialStarted(
        **NAMES,
        trial_id=trial_id,
        attempt=1,
        setting=SETTING,
        resumed_update=resumed_update,
    )
    return Event(message=message, at=10.0)


def progress(step, at, *, trial_id=1, epoch=0):
    message = TrialProgress(
        trial_id=trial_id,
        attempt=1,
        epoch=epoch,
        epochs=9,
        step=step,
        total_steps=900,
        rate=0.1,
        seconds=1.0,
        value=None,
    )
    return Event(message=message, at=at)


def test_the_first_worker_that_timed_steps_has_the_word():
    [forecast] = told(
        ready(**FIGURES), ready(), started(), progress(10, 20.0), progress(20, 30.0)
    )
    assert forecast.timed.tracing == 2.0


def test_where_no_step_was_timed_the_first_trainings_epochs_tell():
    first, second = told(
        ready(),
        started(),
        started(2),
        progress(100, 13.0),
        progress(5, 13.2, trial_id=2),
        progress(140, 13.5),  # too soon
        progress(200, 14.0, epoch=1),
        progress(300, 15.0),  # said already
    )
    assert first is None
    # 10 ms an update, of which there are 30, and 2 s before the first one
    assert second.timed.seconds == pytest.approx(2.0 + 30 * 0.01, abs=0.1)


@pytest.mark.parametrize(
    "events",
    [
        [started(resumed_update=50), progress(100, 13.0), progress(200, 15.0)],
        [started(), progress(100, 13.0), progress(100, 15.0)],
        [started(), progress(100, 13.0), Event(message=OVER), progress(200, 15.0)],
    ],
)
def test_what_tells_no_pace_is_left_to_the_first_trainings_end(events):
    assert told(ready(), *events) == [None]
