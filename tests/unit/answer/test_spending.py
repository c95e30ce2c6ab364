"""What a study has spent, and what its interruptions repeated."""

from lrsearch.answer import spent_on
from lrsearch.report.bill import spent_text
from lrsearch.storage import AttemptRecord


def attempt(worker, started, ended, kept=None, number=1):
    return AttemptRecord(
        attempt=number,
        worker=worker,
        status="complete",
        reason="",
        started_at=started,
        ended_at=ended,
        kept_until=kept,
    )


def test_trainings_epochs_and_device_time_are_added_up(trial):
    records = [
        trial(0, epochs=20, attempt=1),
        trial(1, epochs=7, attempt=3, repeated_epochs=4),
        trial(2, attempt=0),
    ]
    spent = spent_on(records, [attempt(1, 0.0, 3600.0), attempt(2, 0.0, 1800.0)])
    assert (
        spent.trainings,
        spent.epochs,
        spent.device_seconds,
        spent.repeated_epochs,
    ) == (
        2,
        27,
        5400.0,
        4,
    )
    assert (
        spent_text(spent)
        == "2 trainings, 27 epochs, 1.5 device hours; interruptions repeated 4 epochs and 0.0 s"
    )


def test_trials_beside_each_other_take_their_device_once():
    rows = [
        attempt(1, 0.0, 10.0),
        attempt(1, 0.0, 12.0),
        attempt(1, 5.0, 20.0),
        attempt(1, 30.0, 40.0),
    ]
    assert spent_on([], rows).device_seconds == 30.0


def test_what_came_after_the_checkpoint_that_the_next_attempt_took_is_repeated():
    lost, again = attempt(1, 0.0, 100.0, kept=60.0), attempt(2, 100.0, 150.0, number=2)
    spent = spent_on([], [lost, again])
    assert (spent.device_seconds, spent.repeated_seconds) == (150.0, 40.0)
    beside = attempt(1, 0.0, 90.0)
    assert spent_on([], [lost, again, beside]).repeated_seconds == 10.0, (
        "another row counted until second 90"
    )


def test_an_attempt_that_runs_counts_up_to_the_latest_end():
    assert (
        spent_on([], [attempt(1, 0.0, None), attempt(2, 0.0, 10.0)]).device_seconds
        == 20.0
    )


def test_a_study_that_was_never_interrupted_repeated_nothing(trial):
    spent = spent_on([trial(0, epochs=1, attempt=1)], [attempt(1, 0.0, 36.0)])
    assert spent_text(spent) == "1 training, 1 epoch, 0.01 device hours"
    assert spent_on([], []).device_seconds == 0.0
