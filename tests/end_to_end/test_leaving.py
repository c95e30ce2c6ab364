"""Workers that must be gone by a set time, or that nobody needs: they save, leave, and lose nothing."""

import json
import time

import pytest
from driven import journal, ledger_of, records, states, study  # noqa: F401 - a fixture
from launching import attach, run_study

from lrsearch.errors import EnvironmentProblem
from lrsearch.launch import pool
from lrsearch.messages import WorkerDied
from lrsearch.values import StudyState, TrialState
from lrsearch.worker import leaving


@pytest.fixture
def stored(study):  # noqa: F811
    """A toy study that is made and not begun; returns what `attach` takes."""

    def make(**says):
        arguments = study(**says)
        run_study(**arguments, create_only=True)
        known = ("storage", "engine_factory", "devices", "workers")
        return arguments, {name: arguments[name] for name in known}

    return make


def test_workers_that_must_leave_save_what_they_train_and_others_go_on_from_there(
    stored, tmp_path, monkeypatch
):
    arguments, ours = stored(workers=2, trials=4, epochs=40, epoch_seconds=0.5)
    leave_by = time.time() + leaving.RESERVE_SECONDS + 8.0
    said = []
    # they leave by themselves: nobody tells them to
    monkeypatch.setattr(pool, "_LEAVING_SECONDS", -3600.0)
    record = attach("toy", **ours, leave_by=leave_by, listen=said.append)
    assert record.state is StudyState.OPEN
    assert not any(isinstance(each.message, WorkerDied) for each in said)
    begun = [each for each in records(arguments) if each.attempt]
    assert len(begun) == 2
    assert {(each.state, each.lost) for each in begun} == {(TrialState.WAITING, 0)}
    with ledger_of(arguments) as ledger:
        places = {each.id: ledger.checkpoints(each.id)[0] for each in begun}
    assert len(places) == 2, "each has a checkpoint"
    (tmp_path / "toy.json").write_text(
        json.dumps({"journal": str(tmp_path / "journal"), "epochs": 40})
    )
    attach("toy", **ours)
    assert states(arguments) == {TrialState.COMPLETE: 4}
    trained = [(each["trial"], each["epoch"]) for each in journal(tmp_path)]
    assert len(trained) == len(set(trained)) == 4 * 40, "no epoch is trained twice"


def test_nothing_begins_where_the_time_is_too_short(stored):
    arguments, ours = stored(workers=1, trials=2)
    attach("toy", **ours, leave_by=time.time() + leaving.RESERVE_SECONDS - 1)
    assert not any(each.attempt for each in records(arguments))


def test_a_time_that_has_passed_is_said_in_one_line(stored):
    _, ours = stored(workers=1, trials=2)
    with pytest.raises(
        EnvironmentProblem, match=r"--leave-by, or the time of the batch job"
    ):
        attach("toy", **ours, leave_by=time.time() - 1)
