"""Workers as real processes on a real SQLite file: killed, interrupted, orphaned, poisoned.

Training is a cheap stand-in.
"""

import os
import signal
import time

import pytest
from driven import driven, gone_within, journal, ledger_of, records, states
from driven import study as study  # noqa: PLC0414 - a fixture
from launching import attach, run_study
from other_system import pretend

from lrsearch.answer import summarise
from lrsearch.errors import (
    DeviceProblem,
    FingerprintMismatch,
    Interrupted,
    InvalidValue,
    StudyBroken,
    StudyFileError,
)
from lrsearch.launch import signals
from lrsearch.launch.pool import STOP_SECONDS
from lrsearch.messages import (
    Note,
    Output,
    StudyAnswer,
    StudyBegun,
    TrialEnded,
    WorkerDied,
)
from lrsearch.values import Kind, StudyState, TrialState
from lrsearch.worker import process

# -- a study's way ---------------------------------------------------------------------


def messages(events, kind):
    return [event.message for event in events if isinstance(event.message, kind)]


def test_a_study_is_searched_to_its_budget_exactly_and_retested(study):
    arguments = study(trials=5, retest=2)
    events = []
    done = run_study(**arguments, listen=events.append)
    assert done.state is StudyState.FINISHED
    assert states(arguments) == {TrialState.COMPLETE: 5}
    assert [
        each.number for each in sorted(records(arguments), key=lambda each: each.number)
    ] == list(range(5))
    retests = records(arguments, Kind.RETEST)
    assert all(each.state is TrialState.COMPLETE for each in retests)
    assert {each.parent for each in retests} >= {0}
    assert len({each.seed for each in retests}) == 2, (
        "all are retested on the same fresh seeds"
    )
    ended = messages(events, TrialEnded)
    assert len(ended) == 5 + len(retests)
    with ledger_of(arguments) as ledger:
        best = summarise(done, ledger.trials(done.id)).best
        ledger.extend(done.id, trials=1)
    told = messages(events, StudyAnswer)[-1].best
    assert (told.number, told.value, told.evidence) == (
        best.trial,
        best.value,
        "2 seeds",
    )
    heard = []
    kept = {
        name: arguments[name]
        for name in ("study_file", "storage", "engine_factory", "devices")
    }
    attach("toy", **kept, workers=1, listen=heard.append)
    first = messages(heard, StudyBegun)[0].best
    assert first == told, (
        "who attaches names the study's best before it has trained anything"
    )


def test_only_creating_a_study_that_is_there_changes_nothing(study):
    arguments = study(workers=1, trials=3) | {"create_only": True}
    assert run_study(**arguments).state is StudyState.OPEN
    with ledger_of(arguments) as ledger:
        before = ledger.extend(ledger.study("toy").id, trials=2)
        ledger.set_state(before.id, StudyState.STOPPED, reason="stopped by hand")
        before, events = ledger.study("toy"), []
        run_study(**arguments, listen=events.append)
        assert ledger.study("toy") == before
    note = Note(
        text="toy is there already and stays as it is: stopped, with a budget of 5 trials"
    )
    assert note in messages(events, Note)
    with pytest.raises(FingerprintMismatch):
        run_study(**study(workers=1, trials=3, fingerprint=2), create_only=True)


def test_the_same_command_adds_nothing_goes_on_to_a_larger_budget_and_refuses_another_definition(
    study,
):
    run_study(**study(workers=1, trials=3))
    assert run_study(**study(workers=1, trials=3)).trials == 3
    arguments = study(workers=1, trials=5)
    assert states(arguments) == {TrialState.COMPLETE: 3}
    assert run_study(**arguments).trials == 5
    assert states(arguments) == {TrialState.COMPLETE: 5}
    with pytest.raises(
        FingerprintMismatch, match="sampler: random in the study, tpe here"
    ):
        run_study(**(arguments | {"sampler": "tpe"}))
    with pytest.raises(FingerprintMismatch, match="toy: 1 in the study, 2 here"):
        run_study(**study(workers=1, trials=5, fingerprint=2))
    with ledger_of(arguments) as ledger:
        ledger.extend(ledger.study("toy").id, trials=1)
    kept = {
        name: arguments[name] for name in ("study_file", "storage", "engine_factory")
    }
    with pytest.raises(FingerprintMismatch, match="toy: 1 in the study, 2 here"):
        attach("toy", **kept, devices="cpu", workers=1)
    assert states(arguments)[TrialState.COMPLETE] == 5


def test_one_worker_and_one_seed_give_one_study(study, tmp_path):
    first = study(workers=1, trials=6)
    run_study(**first, seed=3)
    settings = [each.setting for each in records(first)]
    second = first | {"storage": f"sqlite:///{tmp_path}/again.db"}
    run_study(**second, seed=3)
    assert [each.setting for each in records(second)] == settings


def test_what_the_users_code_prints_cannot_corrupt_the_pipe_and_can_be_shown(study):
    events = []
    run_study(
        **study(workers=1, trials=2, print='{"event": "done"}'), listen=events.append
    )
    assert Output(text='{"event": "done"}') in messages(events, Output)


def test_a_reader_of_the_progress_that_leaves_ends_nothing(study):
    arguments = study(workers=1, trials=3, epochs=3, epoch_seconds=0.1)
    with driven(arguments) as driver:
        driver.until("trial.started")
        driver.process.stdout.close()
        driver.process.stdout = None
        driver.process.wait(timeout=120)
    assert states(arguments) == {TrialState.COMPLETE: 3}
    with ledger_of(arguments) as ledger:
        assert ledger.study("toy").state is StudyState.FINISHED


# -- refused ---------------------------------------------------------------------------


def test_nothing_is_created_when_the_inspection_fails(study, tmp_path):
    with pytest.raises(StudyFileError, match="has no definition") as raised:
        run_study(**study(workers=1, inspect="refuse"))
    assert raised.value.traceback_text == "Traceback: line 1"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["toy.json"]


def test_a_study_file_that_kills_its_process_is_a_broken_study(study, tmp_path):
    with pytest.raises(StudyBroken, match="SIGKILL"):
        run_study(**study(workers=1, inspect="kill"))
    assert not (tmp_path / "toy.db").exists()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"study_file": "nowhere.py"}, StudyFileError),
        ({"trials": 0}, InvalidValue),
        ({"timeout": -1.0}, InvalidValue),
        ({"retest": -1}, InvalidValue),
        ({"devices": "gpu:99"}, DeviceProblem),
    ],
)
def test_bad_input_is_refused_before_any_process_starts(study, given, error):
    events = []
    with pytest.raises(error):
        run_study(**(study() | given), listen=events.append)
    assert events == []


# -- poison ----------------------------------------------------------------------------


def test_an_exception_fails_its_trial_and_the_worker_goes_on(study):
    arguments = study(workers=1, behave={"trial 2": "raise"})
    run_study(**arguments)
    assert states(arguments) == {TrialState.COMPLETE: 5, TrialState.FAILED: 1}
    failed = next(
        each for each in records(arguments) if each.state is TrialState.FAILED
    )
    assert (failed.number, failed.reason, failed.attempt) == (
        2,
        "ValueError: the toy raises",
        1,
    )
    assert "worker_toy.py" in failed.traceback_text


def test_three_alike_at_the_start_break_the_study_with_its_traceback(study):
    arguments = study(trials=40, all="raise")
    with pytest.raises(StudyBroken, match="the toy raises") as raised:
        run_study(**arguments)
    assert "worker_toy.py" in raised.value.traceback_text
    with ledger_of(arguments) as ledger:
        assert ledger.study("toy").state is StudyState.BROKEN
    assert states(arguments)[TrialState.FAILED] <= 4


def test_a_trial_that_kills_its_worker_is_retried_by_another_and_then_failed(study):
    arguments = study(workers=1, behave={"trial 1": "kill"}) | {"retries": 1}
    events = []
    run_study(**arguments, listen=events.append)
    poison = next(each for each in records(arguments) if each.number == 1)
    assert (poison.state, poison.lost) == (TrialState.FAILED, 2)
    assert "SIGKILL" in poison.reason
    assert states(arguments) == {TrialState.COMPLETE: 5, TrialState.FAILED: 1}
    assert [each.ending for each in messages(events, WorkerDied)] == [
        "signal SIGKILL"
    ] * 2


@pytest.mark.long  # the drills kill workers, too
def test_a_trial_that_kills_its_worker_once_is_trained_at_once_by_another(study):
    arguments = study(behave={"trial 1": "kill-once"}, trials=4)
    run_study(**arguments)
    retried = next(each for each in records(arguments) if each.number == 1)
    assert (retried.state, retried.attempt, retried.lost) == (TrialState.COMPLETE, 2, 1)


def test_a_trial_that_hangs_is_cut_off_at_the_trial_timeout(study):
    arguments = study(workers=1, behave={"trial 1": "hang-once"}, trials=2) | {
        "trial_timeout": 1.5
    }
    run_study(**arguments)
    hung = next(each for each in records(arguments) if each.number == 1)
    assert (hung.state, hung.attempt, hung.lost) == (TrialState.COMPLETE, 2, 1)


def test_a_data_set_that_kills_every_worker_ends_the_run(study):
    from lrsearch.errors import EnvironmentProblem

    with pytest.raises(EnvironmentProblem, match="no worker stays alive"):
        run_study(**study(open="kill", workers=1))


# -- signals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [
        (signal.SIGINT, 130, 2),
        # another number and exit code on the same way
        pytest.param(signal.SIGTERM, 143, 1, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, 129, 1, marks=pytest.mark.long),
    ],
)
def test_a_signal_puts_trials_back_which_go_on_from_their_checkpoints(
    study, tmp_path, number, code, workers
):
    # no trial ends before it was put back, however slow the signal is
    gate = tmp_path / "gate"
    arguments = study(
        workers=workers, trials=workers, epochs=12, epoch_seconds=0.1, gate=str(gate)
    )
    with driven(arguments) as driver:
        while driver.until("trial.progress")["epoch"] < 3:
            pass
        driver.process.send_signal(number)
        assert driver.end(timeout=120) == code
    assert gone_within(driver.pids, 10)
    gate.touch()
    assert states(arguments) == {TrialState.WAITING: workers}
    assert all(each.lost == 0 for each in records(arguments))
    run_study(**arguments)
    assert states(arguments) == {TrialState.COMPLETE: workers}
    lines = journal(tmp_path)
    for trial in {line["trial"] for line in lines}:
        epochs = [line["epoch"] for line in lines if line["trial"] == trial]
        assert epochs == list(range(1, 13)), "no epoch is trained twice, none left out"
    assert not list((tmp_path / "lrsearch-checkpoints").glob("*/*/*/*.npz")), (
        "checkpoints go when their trial ends"
    )


def test_a_worker_in_a_long_call_is_ended_and_its_trial_put_back(study):
    arguments = study(trials=1, workers=1, all="stuck")
    with driven(arguments) as driver:
        driver.until("trial.started")
        driver.process.send_signal(signal.SIGINT)
        assert driver.end(timeout=120) == 130
    assert states(arguments) == {TrialState.WAITING: 1}
    assert records(arguments)[0].lost == 0


def test_the_second_signal_ends_everything_at_once(study):
    arguments = study(trials=2, all="stuck")
    with driven(arguments) as driver:
        driver.until("trial.started")
        driver.process.send_signal(signal.SIGINT)
        driver.until("stopping")
        driver.process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert driver.end(timeout=120) == 130
        assert time.monotonic() - began < STOP_SECONDS / 2, (
            "it did not wait for the workers"
        )
    assert gone_within(driver.pids, 10)


@pytest.mark.parametrize(
    "behaviour",
    [
        {"workers": 2, "epochs": 1000, "epoch_seconds": 0.1},
        {"workers": 1, "all": "stuck"},
    ],
)
def test_workers_die_with_their_parent(study, behaviour):
    arguments = study(trials=2, **behaviour)
    with driven(arguments) as driver:
        driver.until("trial.started")
        driver.process.kill()
        driver.process.wait()
        assert gone_within(driver.pids, 30)
    assert driver.pids


def test_the_patience_of_each_process_is_below_what_is_promised():
    """A busy machine adds to these: the tests above wait longer than people have to."""
    assert process.ORPHAN_SECONDS < 5, "from the parent's death to a worker's"
    assert STOP_SECONDS < process.SIGNAL_SECONDS < 10, (
        "from a signal to the end of a long call"
    )
    assert signals._PATIENCE_SECONDS < 1, "from the second signal to the end"


@pytest.mark.long  # test_stops.py has one beside a worker that was told to stop
def test_a_killed_worker_is_replaced_and_its_trial_goes_on(study):
    arguments = study(trials=3, epochs=4, epoch_seconds=0.1)
    with driven(arguments) as driver:
        driver.until("trial.started")
        os.kill(min(driver.pids), signal.SIGKILL)
        driver.until("worker.died")
        assert driver.end(timeout=120) == 0
    assert states(arguments) == {TrialState.COMPLETE: 3}
    assert sum(each.lost for each in records(arguments)) <= 1


def test_an_interruption_before_the_study_begins_leaves_nothing(study, tmp_path):
    with driven(study(workers=1, inspect="hang")) as driver:
        driver.until("ready")
        driver.process.send_signal(signal.SIGINT)
        assert driver.end(timeout=120) == 130
    assert driver.seen[-1]["kind"] == Interrupted.__name__
    assert gone_within(driver.pids, 10)
    assert not (tmp_path / "toy.db").exists()


def test_a_study_runs_where_there_is_no_sighup_no_resource_no_affinity_and_no_proc(
    study, tmp_path, monkeypatch
):
    arguments = study(trials=4, retest=1)
    (tmp_path / "site").mkdir()
    monkeypatch.setenv(
        "PYTHONPATH", pretend(tmp_path / "site", "darwin", os.environ)["PYTHONPATH"]
    )
    arguments["workers"] = None
    with driven(arguments) as driver:
        assert driver.end(timeout=90) == 0, driver.seen[-3:]
    assert states(arguments) == {TrialState.COMPLETE: 4}
    assert {each.state for each in records(arguments, Kind.RETEST)} == {
        TrialState.COMPLETE
    }
