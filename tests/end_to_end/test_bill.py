"""The bill before a study, a limit of trainings under kills, and what was spent: real
processes, a cheap stand-in trains.
"""

import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner
from driven import driven, ledger_of, records
from driven import study as study  # noqa: PLC0414 - a fixture
from launching import attach, plan_study, run_study

from lrsearch.answer import summarise
from lrsearch.cli.main import cli
from lrsearch.errors import FingerprintMismatch, InvalidValue
from lrsearch.values import Kind, StudyState, TrialState


def trainings(arguments):
    return [*records(arguments), *records(arguments, Kind.RETEST)]


def test_twelve_trainings_are_twelve_with_three_workers_two_of_them_killed(
    study, tmp_path
):
    # the worker that the test hears of still trains when it is killed
    gate = tmp_path / "gate"
    says = {"epochs": 3, "epoch_seconds": 0.1, "gate": str(gate)}
    arguments = study(workers=3, trials=None, retest=None, **says) | {"trainings": 12}
    with driven(arguments) as driver:
        killed = {_kill(driver, arguments) for _ in range(2)}
        gate.touch()
        assert driver.end(timeout=120) == 0
    assert len(killed) == 2
    found = trainings(arguments)
    assert len(found) == 12
    assert all(each.state is TrialState.COMPLETE for each in found)
    assert [
        sum(each.kind is kind for each in found) for kind in (Kind.SEARCH, Kind.RETEST)
    ] == [
        10,
        2,
    ]
    assert sum(each.lost for each in found) >= 2
    with ledger_of(arguments) as ledger:
        made = ledger.study("toy")
        spent = summarise(
            made, ledger.trials(made.id), ledger.all_attempts(made.id)
        ).spent
    assert made.state is StudyState.FINISHED
    assert (spent.trainings, spent.epochs) == (12, 36)
    assert spent.device_seconds > spent.repeated_seconds > 0.0


def _kill(driver, arguments):
    """Kill the worker that has just begun a trial; returns its process."""
    begun = driver.until("trial.started")["trial_id"]
    with ledger_of(arguments) as ledger:
        made = ledger.study("toy")
        worker = next(
            each.worker for each in ledger.trials(made.id) if each.id == begun
        )
        pid = next(each.pid for each in ledger.workers(made.id) if each.id == worker)
    os.kill(pid, signal.SIGKILL)
    return pid


def test_the_same_total_again_adds_nothing_and_a_larger_one_goes_on_here_or_attached(
    study,
):
    arguments = study(workers=1, trials=None, retest=None) | {"trainings": 8}
    assert run_study(**arguments).trials == 8, "of so few trainings none is a retest"
    assert run_study(**arguments).trainings == 8
    assert len(trainings(arguments)) == 8
    run_study(**(arguments | {"trainings": 12}))
    assert len(trainings(arguments)) == 12
    with ledger_of(arguments) as ledger:
        ledger.extend(ledger.study("toy").id, trainings=5)
    kept = {
        name: arguments[name]
        for name in ("study_file", "storage", "engine_factory", "devices", "workers")
    }
    assert attach("toy", **kept).state is StudyState.FINISHED
    assert len(trainings(arguments)) == 17
    with pytest.raises(
        InvalidValue, match="--trials must be at most the 12 of --trainings; got 13"
    ):
        run_study(**(arguments | {"trainings": 12, "trials": 13}))


def test_before_the_first_training_and_after_it_the_bill_is_told(study):
    events = []
    arguments = study(workers=1, trials=None, retest=None) | {"trainings": 5}
    run_study(**arguments, listen=events.append)
    names = [event.message.event for event in events]
    assert names.index("study") < names.index("bill") < names.index("trial.started")
    begun = events[names.index("study")].message
    assert (begun.trials, begun.trainings, begun.retest) == (5, 5, 3)


@pytest.fixture
def planned(study):
    """Plans the toy study; asks for what is given."""
    arguments = study(epochs=50, epoch_seconds=0.3, trials=None, retest=None)

    def plan(**asked):
        places = {name: arguments[name] for name in ("storage", "engine_factory")}
        machine = {"devices": "cpu", "workers": 2, **places}
        return plan_study(arguments["study_file"], **(machine | asked))

    plan.arguments = arguments
    return plan


def test_a_plan_times_a_few_steps_and_stores_nothing(planned):
    found = planned(trainings=12).to_json()
    assert [
        found[name]
        for name in ("trials", "retests", "trainings", "left", "stored", "workers")
    ] == [10, 2, 12, 12, False, 2]
    assert (found["epochs"], found["updates"]) == (600, 6000)
    assert found["seconds_a_training"] == pytest.approx(50 * 0.3, rel=0.3)
    assert found["seconds"] > 6 * 50 * 0.3 * 0.7
    assert not Path("toy.db").exists()


def test_a_plan_says_what_fits_into_a_time(planned):
    plan = planned(timeout=300.0)
    found = plan.to_json()
    assert found["limited_by_time"]
    assert found["done_at"] == pytest.approx(plan.at + 300.0, abs=1.0)
    assert found["retests"] == 12
    assert 12 < found["trainings"] <= 2 * 300 / 15 + 2


def test_a_plan_of_a_stored_study_says_what_is_left_and_changes_nothing(planned):
    quick = planned.arguments | {"trials": 3, "retest": 1, "workers": 1}
    Path("toy.json").write_text(json.dumps({"epochs": 50}))
    run_study(**quick)
    with ledger_of(quick) as ledger:
        before = (ledger.study("toy"), ledger.trials(ledger.study("toy").id))
        assert planned(workers=1).left == 0
        told = planned(workers=1, trials=9).to_json()
        assert told["left"] == 6 + 4, "and the new leaders' retests"
        with pytest.raises(FingerprintMismatch):
            planned(workers=1, seed=99)
        assert (ledger.study("toy"), ledger.trials(before[0].id)) == before


def test_status_and_the_answer_say_what_was_spent(study, tmp_path):
    arguments = study(workers=1, trials=2, retest=1) | {"trainings": 4}
    run_study(**arguments)
    storage = ("--storage", arguments["storage"])

    def said(*command):
        done = CliRunner().invoke(cli, [*command, *storage])
        assert done.exit_code == 0, done.output
        return done.output

    assert "spent: 4 trainings, 12 epochs, " in said("best", "toy")
    assert json.loads(said("best", "toy", "--json"))["spent"]["trainings"] == 4
    assert "spent    4 trainings, 12 epochs, " in said("status", "toy")
    assert "limit    4 trainings, retests included" in said("status", "toy")
    assert json.loads(said("status", "toy", "--json"))["spent"]["repeated_epochs"] == 0
    extended = json.loads(said("extend", "toy", "--trainings", "4", "--json"))
    assert (extended["budget"], extended["trainings"]) == (6, 8)
