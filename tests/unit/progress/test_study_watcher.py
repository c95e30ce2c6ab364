"""How a study stands, told from its ledger: the same best, yours and time left to every
process that looks.
"""

import threading
import time
from dataclasses import replace

import pytest
from ledger_tools import add_worker, claim, finish, plan, train

from lrsearch.answer import summarise
from lrsearch.events import Event
from lrsearch.messages import Result, TrialEnded
from lrsearch.progress.study_watcher import StudyWatcher
from lrsearch.report.status_page import status_data, status_text
from lrsearch.storage import PlanRetests, Retest, database, open_ledger
from lrsearch.storage import glance as glances
from lrsearch.values import Kind, Origin, Status, StudyState


@pytest.fixture
def ledger(tmp_path):
    opened = open_ledger(f"sqlite:///{tmp_path}/p.db", create=True)
    yield opened
    opened.close()


def watched(ledger, study):
    """A watcher that has begun, and what it has told."""
    told = []
    watcher = StudyWatcher(ledger, study, lambda event: told.append(event.message))
    watcher.begin()
    return watcher, told


def ended(kind=Kind.SEARCH, value=None):
    return Event(
        message=TrialEnded(
            trial_id=1,
            attempt=1,
            number=0,
            kind=kind,
            origin=Origin.SAMPLED,
            label="",
            short="",
            status=Status.COMPLETE,
            value=value,
            epochs=1,
            seconds=0.1,
        )
    )


def status(ledger, study):
    found = ledger.trials(study.id), ledger.workers(study.id)
    return status_data(
        study, ledger.counts(study.id), *found, engines={}, now=ledger.now()
    )


def test_a_process_that_attached_is_told_the_best_that_others_trained_at_once(ledger):
    study = ledger.create_study(plan(trials=6, retest_seeds=0))
    watcher, told = watched(ledger, study)
    worker = add_worker(ledger, study, host="elsewhere")
    finish(ledger, claim(ledger, study, worker), value=0.7)
    finish(ledger, claim(ledger, study, worker), value=0.9)
    watcher.handle(ended(value=0.8))
    best = told[-1].best
    assert (best.number, best.value, best.evidence) == (1, 0.9, "1 training")
    assert told[-1].yours.number == 0
    heard = len(told)
    watcher.handle(ended(value=0.5))
    assert len(told) == heard, "a worse one changes nothing: the database is not asked"


def test_after_the_retests_events_status_and_best_name_the_same_setting(ledger):
    study = ledger.create_study(plan(trials=4, retest_seeds=1))
    worker = add_worker(ledger, study)
    for value in (0.7, 0.9, 0.8, 0.6):
        finish(ledger, claim(ledger, study, worker), value=value)
    watcher, told = watched(ledger, study)
    assert told[0].best.number == 1
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=60.0), PlanRetests)
    ledger.plan_retests(
        study.id, [Retest(parent=parent, repeat=0, seed=5) for parent in (1, 2, 0)]
    )
    for value, state in (
        (None, Status.DIVERGED),
        (0.75, Status.COMPLETE),
        (0.72, Status.COMPLETE),
    ):
        finish(ledger, claim(ledger, study, worker), value=value, status=state)
        watcher.handle(ended(Kind.RETEST, value))
    answer = summarise(study, ledger.trials(study.id))
    data = status(ledger, study)
    assert answer.best.trial == 2, "the best of the search diverged on a fresh seed"
    best = told[-1].best
    assert best == Result(
        number=2, value=0.75, short=best.short, seeds=1, evidence="1 seed"
    )
    assert (data["best"]["trial"], data["best"]["value"], data["best"]["evidence"]) == (
        2,
        0.75,
        "1 seed",
    )
    assert (data["yours"]["value"], told[-1].yours.value, answer.yours.value) == (
        0.72,
        0.72,
        0.72,
    )
    assert "best     0.7500  trial 2 (1 seed)" in status_text(data)


def test_the_time_left_counts_all_workers_and_retests_and_what_was_extended(ledger):
    study = ledger.create_study(plan(trials=4, retest_seeds=2))
    one, other = add_worker(ledger, study), add_worker(ledger, study, slot="cpu:1")
    finish(ledger, claim(ledger, study, one))  # each takes 0.1 s
    watcher, told = watched(ledger, study)
    assert told[-1].seconds_left == pytest.approx((3 + 4 * 2) * 0.1 / 2)
    ledger.extend(study.id, trials=2)
    ledger.worker_seen(other, "gone")
    watcher.handle(ended(value=2.0))
    assert told[-1].seconds_left == pytest.approx((5 + 4 * 2) * 0.1 / 1)
    assert status(ledger, ledger.study(study.name))[
        "estimated_seconds_left"
    ] == pytest.approx(1.3)


def test_a_database_that_is_away_keeps_nobody_waiting(ledger, monkeypatch):
    study = ledger.create_study(plan(trials=3, retest_seeds=0))
    watcher, told = watched(ledger, study)
    release = threading.Event()
    monkeypatch.setattr(database, "TRY_SECONDS", 0.1)
    monkeypatch.setattr(glances, "read_counts", lambda *_args: release.wait(20))
    heard, began = len(told), time.monotonic()
    for _ in range(3):
        watcher.handle(ended(value=0.9))
    release.set()
    assert time.monotonic() - began < 5.0, "a parent must hear signals meanwhile"
    assert len(told) == heard


def test_a_study_that_was_deleted_is_told_no_more(ledger):
    study = ledger.create_study(plan(trials=3, retest_seeds=0))
    watcher, told = watched(ledger, study)
    ledger.delete_study(study.id)
    heard = len(told)
    watcher.handle(ended(value=0.9))
    assert len(told) == heard


def test_nothing_is_left_of_a_finished_study_and_a_deadline_caps(ledger):
    study = ledger.create_study(plan(trials=3, retest_seeds=0))
    train(ledger, study, add_worker(ledger, study))
    over = ledger.study(study.name)
    assert over.state is StudyState.FINISHED
    assert watched(ledger, over)[1][-1].seconds_left == 0.0
    late = replace(over, trials=None, deadline=ledger.now() + 30.0)
    found = ledger.trials(study.id), ledger.workers(study.id)
    data = status_data(
        late, ledger.counts(study.id), *found, engines={}, now=ledger.now()
    )
    assert 29.0 < data["estimated_seconds_left"] <= 30.0
