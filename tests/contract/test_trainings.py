"""A limit of trainings is met exactly, and what interruptions repeated is kept: on
SQLite, PostgreSQL and MariaDB.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib import import_module

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from ledger_tools import add_worker, checkpoint, claim, finish, plan, train

from lrsearch.answer import spent_on
from lrsearch.storage import Claim, Done, PlanRetests, Retest, open_ledger
from lrsearch.values import CurvePoint, Kind, Status, StudyState

pytestmark = pytest.mark.slow


def limited(**changes):
    return plan(**({"trials": 6, "trainings": 12} | changes))


def wanted(*parents, seeds=3):
    return [
        Retest(parent=parent, repeat=repeat, seed=100 + repeat)
        for repeat in range(seeds)
        for parent in parents
    ]


def searched(ledger, study, worker):
    """Train the search, and see what is asked for then."""
    train(ledger, study, worker)
    return ledger.claim(study.id, worker, lease_seconds=60)


def test_a_plan_of_too_many_retests_is_cut_to_the_limit_whoever_plans(ledger):
    study = ledger.create_study(limited())
    workers = [add_worker(ledger, study, slot=f"cpu:{n}") for n in range(3)]
    assert searched(ledger, study, workers[0]) == PlanRetests(room=None, exactly=6)
    with ThreadPoolExecutor(3) as pool:
        list(
            pool.map(
                lambda _: ledger.plan_retests(study.id, wanted(0, 1, 2, 3)), range(3)
            )
        )
        list(pool.map(lambda worker: train(ledger, study, worker), workers))
    counts = ledger.counts(study.id)
    assert (counts.done, counts.retests, counts.retests_done) == (6, 6, 6)
    assert ledger.study("toy").state is StudyState.FINISHED


def test_a_training_that_is_interrupted_or_lost_counts_once(clock):
    ledger = clock.ledger
    study = ledger.create_study(limited(trials=2, trainings=2, retest_seeds=0))
    one, two = add_worker(ledger, study), add_worker(ledger, study)
    assert finish(ledger, claim(ledger, study, one), status=Status.INTERRUPTED)
    lost = claim(ledger, study, one)
    clock.set(61.0)
    again = claim(ledger, study, two)
    assert (again.trial.id, again.attempt) == (lost.trial.id, 3)
    assert finish(ledger, again)
    assert finish(ledger, claim(ledger, study, two))
    assert isinstance(ledger.claim(study.id, two, lease_seconds=60), Done)
    assert len(ledger.trials(study.id)) == 2


def test_what_is_extended_or_given_anew_is_divided_and_retried_trials_raise_the_limit(
    ledger,
):
    study = ledger.create_study(limited())
    worker = add_worker(ledger, study)
    searched(ledger, study, worker)
    ledger.plan_retests(study.id, wanted(0, 1))
    train(ledger, study, worker)
    totals = [
        (each.trials, each.trainings)
        for each in (
            ledger.extend(study.id, trainings=12),
            ledger.extend(study.id, trials=1),
        )
    ]
    assert totals == [(16, 24), (17, 25)]
    ledger.set_budget(study.id, trainings=25)
    assert ledger.study("toy").trials == 17, "the same total again changes nothing"
    finish(ledger, claim(ledger, study, worker), status=Status.FAILED, value=None)
    assert ledger.retry_failed(study.id)
    assert (ledger.study("toy").trials, ledger.study("toy").trainings) == (18, 26)
    assert searched(ledger, study, worker) == PlanRetests(room=None, exactly=2)
    ledger.plan_retests(study.id, wanted(*range(18)))
    train(ledger, study, worker)
    assert len(ledger.trials(study.id)) == 26
    assert len(ledger.trials(study.id, kind=Kind.RETEST)) == 8


def test_retests_leave_no_room_for_trials_that_a_lower_limit_does_not_have(ledger):
    study = ledger.create_study(limited())
    worker = add_worker(ledger, study)
    searched(ledger, study, worker)
    ledger.plan_retests(study.id, wanted(0, 1))
    ledger.set_budget(study.id, trials=10, trainings=12)
    assert searched(ledger, study, worker) == PlanRetests(room=None, exactly=0)
    ledger.plan_retests(study.id, wanted(0, 1, 2))
    assert len(train(ledger, study, worker)) == 6
    assert len(ledger.trials(study.id)) == 12


def test_the_time_for_retests_is_reckoned_with_as_many_as_the_limit_leaves(clock):
    """With all twelve retests of 10 s none of the trials after the first would fit into 100 s."""
    ledger = clock.ledger
    study = ledger.create_study(limited(trials=3, trainings=5, timeout_seconds=100.0))
    worker = add_worker(ledger, study)
    first = claim(ledger, study, worker)
    clock.set(65.0)
    finish(ledger, first)  # 0.1 s, by its own account
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=60), Claim)


def point(epoch):
    return CurvePoint(
        epoch=epoch, step=epoch * 10, rate=0.1, seconds=float(epoch), value=0.5, logs={}
    )


def test_epochs_that_are_trained_once_more_are_counted_and_so_is_the_time_after_the_last_checkpoint(
    clock,
):
    ledger = clock.ledger
    study = ledger.create_study(limited(trials=1, trainings=1, retest_seeds=0))
    worker = add_worker(ledger, study)
    first = claim(ledger, study, worker)
    pair = (first.trial.id, first.attempt)
    ledger.add_curves({pair: [point(1), point(2)]})
    # the same once more, its answer having been lost
    ledger.add_curves({pair: [point(2)]})
    clock.set(20)
    ledger.add_checkpoint(first.trial.id, checkpoint())
    clock.set(10)
    ledger.lose(*pair, reason="killed")
    clock.set(20)
    again = claim(ledger, study, worker)
    clock.set(10)
    finish(ledger, again, points=[point(2), point(3)])
    records, attempts = ledger.trials(study.id), ledger.all_attempts(study.id)
    spent = spent_on(records, attempts)
    assert (spent.trainings, spent.epochs, spent.repeated_epochs) == (1, 3, 1)
    assert (spent.device_seconds, spent.repeated_seconds) == (40.0, 10.0)


def test_the_migration_can_be_run_again_where_it_was_cut_short(url):
    migration = import_module(
        "lrsearch.storage.migrations.versions.0006_trainings_and_what_was_repeated"
    )
    with closing(open_ledger(url, create=True)) as ledger:
        with ledger.database.engine.begin() as connection:
            connection.exec_driver_sql(
                "alter table lrsearch_trials drop column repeated_epochs"
            )
        with (
            ledger.database.engine.begin() as connection,
            Operations.context(MigrationContext.configure(connection)),
        ):
            migration.upgrade()
        assert ledger.studies() == []
