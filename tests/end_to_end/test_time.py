"""A time-out holds from the command's start, retests included: real processes, a cheap
stand-in trains.
"""

import json
import os
import time
from contextlib import closing
from pathlib import Path

import pytest
from launching import run_study
from sqlalchemy import text

from lrsearch.messages import Note
from lrsearch.storage import open_ledger
from lrsearch.values import Kind, StudyState, TrialState

SUPPORT = Path(__file__).parents[1] / "support"
TRIAL_SECONDS = 0.45


@pytest.fixture
def search(tmp_path, monkeypatch, fork_server):
    """Searches a toy study; returns the study, its trials by kind, and what was said."""
    monkeypatch.setattr("lrsearch.launch.child.subprocess", fork_server.fork_workers())
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    )
    monkeypatch.chdir(tmp_path)
    Path("toy.json").write_text(
        json.dumps({"epochs": 3, "epoch_seconds": TRIAL_SECONDS / 3})
    )
    url = f"sqlite:///{tmp_path}/toy.db"

    def run(**given):
        events = []
        run_study(
            "toy.json",
            storage=url,
            engine_factory="worker_toy:loader",
            devices="cpu",
            workers=2,
            pruner="none",
            listen=events.append,
            **given,
        )
        with closing(open_ledger(url)) as ledger:
            study = ledger.study("toy")
            found = {kind: ledger.trials(study.id, kind=kind) for kind in Kind}
        return (
            study,
            found,
            [event.message.text for event in events if isinstance(event.message, Note)],
        )

    return run


def test_nothing_ends_later_than_one_trial_after_the_limit_and_loading_counts(search):
    began = time.monotonic()
    # two seconds were spent before; ten leave room for more than two trials on a busy
    # machine
    study, found, notes = search(timeout=12.0, retest=2, began=began - 2.0)
    assert study.deadline - study.created_at < 10.0
    assert study.state is StudyState.FINISHED
    last = max(
        each.finished_at for kind in Kind for each in found[kind] if each.finished_at
    )
    # one trial and the ledger's last words; a busy machine takes seconds over them
    assert study.deadline - 3.0 < last < study.deadline + TRIAL_SECONDS + 5.0
    assert len([each for each in found[Kind.SEARCH] if each.attempt]) > 2
    retests = [each.state for each in found[Kind.RETEST]]
    # on a busy machine there may be no time
    undone = not retests or TrialState.WAITING in retests
    said = ("retests were not done", "there was no time for retests")
    assert any(words in note for note in notes for words in said) == undone


def test_what_a_trial_took_of_its_workers_time_is_kept(search, tmp_path):
    search(trials=3, retest=0)
    with closing(open_ledger(f"sqlite:///{tmp_path}/toy.db")) as ledger:
        query = "select worker_seconds, seconds from lrsearch_trials"
        rows = ledger.database.rows(text(query))
    assert len(rows) == 3
    assert all(
        each.seconds <= each.worker_seconds < each.seconds + 10.0 for each in rows
    ), "sampling included"


def test_a_time_that_has_no_room_for_retests_says_so(search):
    study, found, _ = search(timeout=4.0, retest=40)
    assert study.state is StudyState.FINISHED
    begun = [each for each in found[Kind.SEARCH] if each.attempt]
    assert len(begun) <= 2, (
        "the first of each worker: eighty and more retests are reckoned with"
    )
    planned = {(each.parent, each.repeat) for each in found[Kind.RETEST]}
    assert len({parent for parent, _ in planned}) <= 2
    assert len(planned) < 40
    again, found, _ = search(timeout=3.0)
    assert again.state is StudyState.FINISHED
    assert len({(each.parent, each.repeat) for each in found[Kind.RETEST]}) >= len(
        planned
    )


def test_a_time_that_is_over_before_the_first_trial_begins_trains_nothing_and_says_so(
    search,
):
    study, found, notes = search(timeout=5.0, began=time.monotonic() - 60.0)
    assert study.state is StudyState.FINISHED
    assert not any(each.attempt for each in found[Kind.SEARCH])
    assert (
        notes[-1]
        == "the time is over: no trial could begin; lrsearch extend toy --timeout TIME gives it more"
    )
