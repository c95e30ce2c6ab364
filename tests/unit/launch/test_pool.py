"""A pool of workers that follow scripts: what is raised, what is closed, and who is replaced."""

import os
import signal
from dataclasses import dataclass, field

import pytest
from scripted import scripted as scripted  # noqa: PLC0414 - a fixture
from scripted import slots

from lrsearch.errors import (
    EnvironmentProblem,
    Interrupted,
    InvalidValue,
    StudyBroken,
)
from lrsearch.launch import slot_state
from lrsearch.launch.pool import Pool
from lrsearch.launch.slot_state import STARTS
from lrsearch.messages import (
    Broken,
    Note,
    PoolEnded,
    PoolStarted,
    Stopping,
    TrialEnded,
    TrialStarted,
    WorkerDied,
    WorkerDone,
    WorkerInterrupted,
    WorkerSignalled,
    Working,
)
from lrsearch.values import Kind, Origin, Setting, Status, StudyState
from lrsearch.worker.wire import error_to_message

NAMES = {
    "trial_id": 5, "attempt": 1, "number": 0, "kind": Kind.SEARCH, "origin": Origin.SAMPLED,
    "label": "trial 0", "short": "adam",
}  # fmt: skip
SETTING = Setting(
    optimizer="adam", learning_rate=0.1, schedule="constant", batch_size=None
)


def say(message):
    return "say", message.to_json()


WORK = [("hear", "work"), say(Working(worker=7))]
STARTED = say(TrialStarted(**NAMES, setting=SETTING))
ENDED = say(
    TrialEnded(**NAMES, status=Status.COMPLETE, value=1.0, epochs=1, seconds=0.1)
)
DONE = say(WorkerDone(reason="finished"))
CRASH = ("exit", 3)


@dataclass
class Closer:
    """Remembers what was closed; `states` are the ledger's answers, the last one for ever."""

    states: list = field(default_factory=lambda: [StudyState.FINISHED])
    closed: list = field(default_factory=list)

    def lose(self, worker_id, reason):
        self.closed.append(("lost", worker_id, reason))

    def put_back(self, worker_id, reason):
        self.closed.append(("put back", worker_id, reason))

    def state(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@pytest.fixture
def work(scripted, monkeypatch):
    """Lets workers of some slots follow scripts on one study; returns what was closed, and told."""
    monkeypatch.setattr(slot_state, "_FIRST_BACKOFF_SECONDS", 0.01)

    def work(
        *scripts,
        by_slot=None,
        closer=None,
        count=1,
        on=lambda _message: None,
        **options,
    ):
        closer, told = closer or Closer(), []

        def listen(event):
            told.append(event.message)
            on(event.message)

        config = scripted(*scripts, by_slot=by_slot)
        work.told, work.closer = told, closer
        with Pool(slots(count), config, listen, **options) as pool:
            pool.work("toy", closer)
        return closer.closed, told

    return work


def kinds(told, *wanted):
    return [each for each in told if isinstance(each, wanted)]


def test_workers_that_find_nothing_left_are_told_to_quit_and_nothing_is_closed(work):
    closed, told = work([*WORK, STARTED, ENDED, DONE], count=2)
    assert closed == []
    assert told[0] == PoolStarted(slots=("cpu:0", "cpu:1"))
    assert told[-1] == PoolEnded(reason="")
    assert len(kinds(told, WorkerDone)) == 2


def test_what_a_crashed_worker_held_is_lost_at_once_and_another_one_goes_on(work):
    closed, told = work([*WORK, STARTED, CRASH], [*WORK, DONE])
    assert closed == [("lost", 7, "its worker ended by exit code 3")]
    [died] = kinds(told, WorkerDied)
    assert (died.ending, died.retry_seconds) == ("exit code 3", 0.01)


def test_a_worker_that_said_of_an_error_is_closed_by_it(work):
    error = say(error_to_message(ValueError("no  such\nfile")))
    closed, told = work([*WORK, error, ("print", "chatter"), CRASH], [*WORK, DONE])
    assert closed == [("lost", 7, "ValueError: no such file")]
    [died] = kinds(told, WorkerDied)
    assert (died.reason, died.tail) == ("ValueError: no such file", "chatter")


def test_a_slot_whose_workers_die_holding_nothing_is_given_up(work):
    with pytest.raises(
        EnvironmentProblem, match=r"no worker stays alive\. The last one ended by"
    ):
        work([*WORK, CRASH], closer=Closer(states=[StudyState.OPEN]))
    died = kinds(work.told, WorkerDied)
    assert [each.retry_seconds is None for each in died] == [False] * (STARTS - 1) + [
        True
    ]


def test_an_error_that_every_worker_would_meet_ends_the_run_and_is_raised_as_itself(
    work,
):
    error = error_to_message(InvalidValue("sampler", got="x", allowed="tpe"))
    with pytest.raises(InvalidValue, match="sampler"):
        work([*WORK, say(error), CRASH])
    assert not kinds(work.told, WorkerDied)


def test_a_study_whose_first_trials_fail_alike_is_broken(work):
    with pytest.raises(
        StudyBroken, match="the first trials all failed alike: no"
    ) as raised:
        work([*WORK, say(Broken(reason="no", traceback="line 7"))])
    assert raised.value.traceback_text == "line 7"


def test_a_study_that_is_open_when_all_workers_have_left_is_not_done(work):
    with pytest.raises(
        EnvironmentProblem, match="is not done, but its workers have left"
    ):
        work([*WORK, DONE], closer=Closer(states=[StudyState.OPEN]))


def test_a_trial_that_runs_too_long_is_killed_and_lost(work):
    closed, _ = work([*WORK, STARTED, ("sleep", 60)], [*WORK, DONE], trial_timeout=0.3)
    assert closed == [("lost", 7, "it ran longer than the trial timeout of 0.3 s")]


def test_a_worker_that_a_signal_stopped_has_its_trials_put_back_and_is_replaced(work):
    stopped = [
        say(WorkerSignalled(signal="SIGTERM")),
        say(WorkerInterrupted(reason="SIGTERM")),
    ]
    closed, told = work([*WORK, STARTED, *stopped, CRASH], [*WORK, DONE])
    assert closed == [("put back", 7, "its worker ended by told to stop by SIGTERM")]
    assert kinds(told, WorkerDied)[0].ending == "told to stop by SIGTERM"


def test_a_signal_to_the_parent_stops_every_worker_and_is_raised(work):
    def press(message):
        if isinstance(message, TrialStarted):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(
        Interrupted, match="running trials are back in the queue of 'toy'"
    ):
        work([*WORK, STARTED], on=press)
    assert kinds(work.told, Stopping, PoolEnded) == [
        Stopping(signal=2, seconds=7.0),
        PoolEnded(reason="interrupted"),
    ]
    assert [how for how, *_ in work.closer.closed] == ["put back"]


def test_a_worker_that_waits_is_woken_when_another_one_ends_a_trial(work):
    waits = [*WORK, ("hear", "wake"), say(Note(text="woken")), DONE]
    trains = [*WORK, ("sleep", 0.5), STARTED, ENDED, DONE]
    _, told = work(by_slot={"cpu:0": [waits], "cpu:1": [trains]}, count=2)
    assert Note(text="woken") in told


def test_an_inspector_that_dies_leaves_a_broken_study(scripted):
    script = [("hear", "inspect"), ("print", "Fatal Python error"), CRASH]
    with (
        Pool(slots(), scripted(script), lambda _event: None) as pool,
        pytest.raises(StudyBroken, match=r"died \(exit code 3\)") as raised,
    ):
        pool.inspect()
    assert raised.value.traceback_text == "Fatal Python error"


def test_an_inspectors_own_error_is_raised_as_itself(scripted):
    error = error_to_message(InvalidValue("epochs", got=0, allowed="at least 1"))
    script = [("hear", "inspect"), say(error), CRASH]
    with (
        Pool(slots(), scripted(script), lambda _event: None) as pool,
        pytest.raises(InvalidValue, match="epochs"),
    ):
        pool.inspect()
