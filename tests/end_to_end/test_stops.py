"""What the study's own code, an administrator and the disk do to workers: the budget is
met, or the exit code says that it is not.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from driven import driven, gone_within, ledger_of, records, states
from driven import study as study  # noqa: PLC0414 - a fixture
from launching import run_study
from worker_toy import ToyLoader

from lrsearch.errors import EnvironmentProblem, StudyBroken
from lrsearch.launch.inline import run_inline
from lrsearch.messages import TrialStarted
from lrsearch.options import MachineOptions, SearchOptions
from lrsearch.values import StudyState, TrialState


def trial(arguments, number):
    return next(each for each in records(arguments) if each.number == number)


def attempts(arguments, number):
    with ledger_of(arguments) as ledger:
        return [
            (each.status, each.reason)
            for each in ledger.attempts(trial(arguments, number).id)
        ]


# -- the study's own code --------------------------------------------------------------


def test_signals_and_children_of_the_studys_own_stop_nothing(study):
    arguments = study(workers=1, trials=3, all="signals")
    run_study(**arguments)
    assert states(arguments) == {TrialState.COMPLETE: 3}, [
        each.reason for each in records(arguments)
    ]


def test_an_exit_that_nobody_asked_for_fails_its_trial_once(study):
    arguments = study(
        workers=1, trials=5, behave={"trial 1": "exit", "trial 2": "keyboard"}
    )
    run_study(**arguments)
    found = [
        (each.state, each.attempt, each.reason.split(":")[0])
        for each in records(arguments)[1:3]
    ]
    assert found == [
        (TrialState.FAILED, 1, "SystemExit"),
        (TrialState.FAILED, 1, "KeyboardInterrupt"),
    ]
    assert "worker_toy.py" in trial(arguments, 1).traceback_text
    assert states(arguments) == {TrialState.COMPLETE: 3, TrialState.FAILED: 2}


def test_an_exit_that_answers_a_signal_to_the_worker_puts_its_trial_back(study):
    arguments = study(workers=1, trials=2, behave={"trial 0": "exit-at-signal-once"})
    run_study(**arguments)
    assert [(each.state, each.attempt, each.lost) for each in records(arguments)] == [
        (TrialState.COMPLETE, 2, 0),
        (TrialState.COMPLETE, 1, 0),
    ]


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [("close-once", "signal SIGKILL"), ("garble-once", "lrsearch's own pipe")],
)
def test_a_worker_that_cannot_be_spoken_to_is_ended_and_its_trial_is_trained_by_another(
    study, behaviour, why
):
    arguments = study(workers=1, trials=2, behave={"trial 1": behaviour})
    run_study(**arguments)
    found = trial(arguments, 1)
    assert (found.state, found.attempt, found.lost) == (TrialState.COMPLETE, 2, 1)
    assert why in attempts(arguments, 1)[0][1]


def test_a_worker_that_closes_every_descriptor_does_not_outlive_its_parent(study):
    arguments = study(workers=1, trials=2, all="close")
    with driven(arguments) as driver:
        driver.until("trial.started")
        driver.process.kill()
        driver.process.wait()
        assert gone_within(driver.pids, 30)


def test_a_process_that_outlives_its_worker_holds_up_nobody(study, tmp_path):
    run_study(**study(workers=1, trials=1, all="daemon"))
    left = int((tmp_path / "daemon").read_text())
    os.kill(left, signal.SIGKILL)  # it is there still: nobody waited for it


def test_a_study_that_kills_every_worker_alike_ends_as_broken_and_not_with_an_answer(
    study,
):
    arguments = study(workers=2, trials=6, all="kill") | {"retries": 0}
    with pytest.raises(StudyBroken, match="broken"):
        run_study(**arguments)
    with ledger_of(arguments) as ledger:
        assert ledger.study("toy").state is StudyState.BROKEN


# -- signals to single workers ---------------------------------------------------------


@pytest.mark.long  # a part of what the next test holds, said on its own
def test_a_worker_that_is_told_to_stop_is_replaced_and_the_budget_is_met(
    study, tmp_path
):
    gate = tmp_path / "gate"
    arguments = study(workers=1, trials=2, epochs=2, epoch_seconds=0.2, gate=str(gate))
    with driven(arguments) as driver:
        driver.until("trial.progress")
        [only] = driver.pids
        os.kill(only, signal.SIGTERM)
        assert driver.until("worker.died")["ending"] == "told to stop by SIGTERM"
        gate.touch()
        assert driver.end(timeout=120) == 0
    assert states(arguments) == {TrialState.COMPLETE: 2}
    assert sum(each.lost for each in records(arguments)) == 0


def test_one_worker_told_to_stop_and_one_killed_are_both_replaced(study, tmp_path):
    gate = tmp_path / "gate"
    arguments = study(workers=2, trials=3, epochs=2, epoch_seconds=0.2, gate=str(gate))
    with driven(arguments) as driver:
        for _ in range(2):
            driver.until("trial.started")
        first, second = sorted(driver.pids)
        os.kill(first, signal.SIGTERM)
        driver.until("interrupted")
        os.kill(second, signal.SIGKILL)
        gate.touch()
        assert driver.end(timeout=120) == 0
    assert states(arguments) == {TrialState.COMPLETE: 3}


def test_a_worker_in_a_long_call_that_is_told_to_stop_goes_and_its_trial_is_not_counted_as_lost(
    study,
):
    arguments = study(workers=1, trials=1, behave={"trial 0": "stuck-once"})
    with driven(arguments) as driver:
        driver.until("trial.started")
        [only] = driver.pids
        os.kill(only, signal.SIGTERM)
        assert driver.end(timeout=120) == 0
    assert [(each.state, each.attempt, each.lost) for each in records(arguments)] == [
        (TrialState.COMPLETE, 2, 0)
    ]


# -- the ledger has the word -----------------------------------------------------------


def test_a_study_that_was_stopped_by_hand_is_a_good_end(study):
    arguments = study(workers=1, trials=30, epochs=2, epoch_seconds=0.1)
    with driven(arguments) as driver:
        driver.until("trial.started")
        with ledger_of(arguments) as ledger:
            ledger.set_state(ledger.study("toy").id, StudyState.DRAINING)
        assert driver.end(timeout=120) == 0


def test_a_study_that_is_opened_again_as_its_workers_leave_is_no_good_end(
    study, monkeypatch
):
    from lrsearch.launch.attempt_closer import AttemptCloser

    right = AttemptCloser.state

    def extended_before(self):
        self._ledger.extend(self._study_id, trials=2)
        return right(self)

    monkeypatch.setattr(AttemptCloser, "state", extended_before)
    with pytest.raises(EnvironmentProblem, match=r"not done.*lrsearch attach toy"):
        run_study(**study(workers=1, trials=1))


def test_a_database_file_that_is_deleted_ends_the_run_in_one_line(study, tmp_path):
    arguments = study(workers=2, trials=200, epochs=2, epoch_seconds=0.2)
    with driven(arguments) as driver:
        for _ in range(2):  # one that still opens it would say that there is none
            driver.until("working")
        (tmp_path / "toy.db").unlink()
        assert driver.end(timeout=120) == 3
    told = driver.seen[-1]
    assert (told["kind"], "\n" in told["text"]) == ("StorageGone", False)
    assert "toy.db was deleted" in told["text"]
    assert gone_within(driver.pids, 30)


def test_one_that_is_replaced_too(study, tmp_path):
    arguments = study(workers=1, trials=200, epochs=2, epoch_seconds=0.2)
    with driven(arguments) as driver:
        driver.until("trial.started")
        sqlite3.connect(tmp_path / "other.db").execute(
            "create table t (x)"
        ).connection.close()
        (tmp_path / "other.db").replace(tmp_path / "toy.db")
        assert driver.end(timeout=120) == 3
    assert "replaced" in driver.seen[-1]["text"]


def test_a_worker_that_fails_before_it_trains_says_why_first_and_is_entered_as_gone(
    study,
):
    arguments = study(workers=1, trials=2, print="chatter", open="lose")
    made = run_study(**arguments, create_only=True)
    with pytest.raises(EnvironmentProblem, match="no worker stays alive") as raised:
        run_study(**arguments)
    assert "AttributeError: 'NoneType' object" in str(raised.value).splitlines()[0]
    with ledger_of(arguments) as ledger:
        assert {each.state for each in ledger.workers(made.id)} == {"gone"}


# -- in a notebook's own process -------------------------------------------------------


def search_here(arguments, tmp_path, *, listen=lambda _event: None):
    search = SearchOptions(
        name="toy", trials=arguments["trials"], retest=0, sampler="random"
    )
    machine = MachineOptions(storage=arguments["storage"])
    toy = ToyLoader(tmp_path / "toy.json")
    return run_inline(toy, search, machine, listen=listen)


def test_an_exit_in_a_notebook_fails_its_trial(study, tmp_path):
    arguments = study(trials=3, behave={"trial 1": "exit", "trial 2": "keyboard"})
    search_here(arguments, tmp_path)
    assert states(arguments) == {TrialState.COMPLETE: 1, TrialState.FAILED: 2}


@pytest.mark.parametrize(
    "behaviour", [{"epochs": 1000, "epoch_seconds": 0.1}, {"all": "stuck"}]
)
def test_a_ctrl_c_in_a_notebook_puts_the_trial_back_and_a_second_one_does_not_wait(
    study, tmp_path, behaviour
):
    def press(event):
        if isinstance(event.message, TrialStarted):
            for seconds in (0.2, 0.4) if "all" in behaviour else (0.2,):
                threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()

    arguments = study(trials=3, **behaviour)
    with pytest.raises(KeyboardInterrupt):
        search_here(arguments, tmp_path, listen=press)
    assert [(each.state, each.lost) for each in records(arguments)] == [
        (TrialState.WAITING, 0)
    ] * 2


# -- Keras -----------------------------------------------------------------------------

FORKS = """
import keras, numpy as np
from lrsearch import SearchSpace, StudyDefinition
class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        x = np.random.default_rng(index).normal(size=(8, 3)).astype("float32")
        return x, x[:, :1]
def load_data():
    # two forked processes, which Keras terminates at every epoch's end
    return Batches(workers=2, use_multiprocessing=True, max_queue_size=2), Batches()
def build_model():
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model
space = SearchSpace(optimizers=["sgd"], schedules=["constant"])
definition = StudyDefinition(objective="val_loss", epochs=2, batch_size=None, space=space)
"""


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_dataset_whose_processes_keras_terminates_trains_the_whole_budget(tmp_path):
    (tmp_path / "forks.py").write_text(FORKS)
    command = [
        sys.executable,
        "-m",
        "lrsearch",
        "start-study",
        "forks.py",
        "--workers",
        "1",
        "--trials",
        "2",
        "--retest",
        "0",
        "--engine",
        "fit",
    ]
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LRSEARCH")
    } | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 complete" in done.stdout
    assert "died" not in done.stderr
    assert not [
        each
        for each in Path("/proc").glob("[0-9]*/cmdline")
        if str(tmp_path) in _read(each)
    ]


def _read(path):
    try:
        return path.read_text()
    except OSError:
        return ""
