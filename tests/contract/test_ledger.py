"""One contract for the ledger on SQLite, PostgreSQL and MariaDB: budget, leases,
fencing, curves, retests, Optuna's rows.
"""

import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from importlib import import_module

import optuna
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from ledger_tools import (
    OPTIMUM,
    add_worker,
    checkpoint,
    claim,
    finish,
    outcome,
    plan,
    setting,
    train,
)
from sqlalchemy import event, make_url, text

from lrsearch.errors import (
    FingerprintMismatch,
    InvalidValue,
    Refused,
    SchemaMismatch,
    StorageProblem,
    UnknownName,
)
from lrsearch.jsonable import to_json
from lrsearch.storage import (
    Claim,
    Done,
    Mirror,
    PlanRetests,
    Retest,
    RetestsAsked,
    Wait,
    open_ledger,
    resolve_url,
    schema,
)
from lrsearch.values import CurvePoint, Kind, Origin, Status, StudyState, TrialState

pytestmark = pytest.mark.slow


# -- what is in flight -----------------------------------------------------------------


def test_a_worker_with_its_share_in_training_gets_what_waits_and_nothing_new(ledger):
    # a fifth of 10 for the only worker
    study = ledger.create_study(plan(trials=10, first=()))
    worker = add_worker(ledger, study)
    mine = [claim(ledger, study, worker) for _ in range(2)]
    assert isinstance(
        ledger.claim(study.id, worker, lease_seconds=60.0, sampled=2), Wait
    )
    assert finish(ledger, mine[0], status=Status.INTERRUPTED)
    again = ledger.claim(study.id, worker, lease_seconds=60.0, sampled=2)
    assert isinstance(again, Claim)
    assert again.trial.id == mine[0].trial.id
    assert isinstance(
        ledger.claim(study.id, worker, lease_seconds=60.0, sampled=1), Claim
    ), "one below its share"


# -- engines' figures ------------------------------------------------------------------


def test_the_first_to_calibrate_a_machine_has_the_word_and_a_deleted_study_keeps_nothing(
    ledger,
):
    study = ledger.create_study(plan())
    assert ledger.calibration(study.id, "here/cpu/1") is None
    assert ledger.note_calibration(
        study.id, "here/cpu/1", {"engine": "graph", "reason": "first"}
    )
    assert not ledger.note_calibration(
        study.id, "here/cpu/1", {"engine": "vectorized", "reason": "second"}
    )
    assert ledger.note_calibration(
        study.id, "there/gpu/4", {"engine": "vectorized", "reason": "other"}
    )
    assert ledger.calibration(study.id, "here/cpu/1")["reason"] == "first"
    assert {machine: each["reason"] for machine, each in ledger.calibrations(study.id).items()} == {
        "here/cpu/1": "first", "there/gpu/4": "other"
    }  # fmt: skip
    ledger.delete_study(study.id)
    assert ledger.calibrations(study.id) == {}


# -- budget ----------------------------------------------------------------------------


def test_the_budget_is_exact_with_many_claimers_at_once(ledger):
    study = ledger.create_study(plan(trials=13, retest_seeds=0))
    workers = [add_worker(ledger, study, slot=f"cpu:{n}") for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        done = [
            number
            for numbers in pool.map(
                lambda worker: train(ledger, study, worker), workers
            )
            for number in numbers
        ]
    assert sorted(done) == list(range(13)), "each number once, none beyond the budget"
    assert ledger.counts(study.id).complete == 13
    assert ledger.study(study.name).state is StudyState.FINISHED


def test_the_first_trials_are_yours_and_the_references_and_take_slots_of_the_budget(
    ledger,
):
    study = ledger.create_study(plan(trials=2))
    kinds = [(each.number, each.origin) for each in ledger.trials(study.id)]
    assert kinds == [(0, Origin.YOURS), (1, Origin.REFERENCE)]
    assert ledger.counts(study.id).total == 2


def test_a_trial_that_is_put_back_keeps_its_number_and_setting_and_does_not_count(
    ledger,
):
    study = ledger.create_study(plan(trials=1, retest_seeds=0))
    worker = add_worker(ledger, study)
    first = claim(ledger, study, worker)
    assert finish(ledger, first, status=Status.INTERRUPTED)
    again = claim(ledger, study, worker)
    assert (again.trial.number, again.attempt, again.trial.lost) == (0, 2, 0)
    assert finish(ledger, again)
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=60), Done)


def test_the_budget_can_be_raised_and_a_finished_study_opens_again(ledger):
    study = ledger.create_study(plan(trials=2, retest_seeds=0))
    worker = add_worker(ledger, study)
    train(ledger, study, worker)
    assert ledger.extend(study.id, trials=3).trials == 5
    assert train(ledger, study, worker) == [2, 3, 4]


def test_failed_trials_are_retried_once_as_new_trials(ledger):
    study = ledger.create_study(plan(trials=2, retest_seeds=0))
    worker = add_worker(ledger, study)
    for _ in range(2):
        finish(ledger, claim(ledger, study, worker), status=Status.FAILED)
    assert ledger.retry_failed(study.id) == [2, 3]
    assert ledger.retry_failed(study.id) == []
    assert ledger.study(study.name).trials == 4
    assert train(ledger, study, worker) == [2, 3]
    origins = [each.origin for each in ledger.trials(study.id)]
    assert origins == [Origin.YOURS, Origin.REFERENCE, Origin.YOURS, Origin.RETRY], (
        "yours is compiled by its user, also again"
    )


# -- leases and fencing ----------------------------------------------------------------


def test_a_lapsed_lease_is_reaped_by_the_next_claim_and_its_holder_is_fenced_off(clock):
    ledger = clock.ledger
    study = ledger.create_study(plan(trials=1, retest_seeds=0))
    one, two = add_worker(ledger, study), add_worker(ledger, study)
    lapsed = claim(ledger, study, one, lease_seconds=60)
    clock.set(61)
    taken = claim(ledger, study, two, lease_seconds=60)
    assert (taken.trial.id, taken.attempt, taken.trial.lost) == (lapsed.trial.id, 2, 1)
    renewal = ledger.renew_leases(
        [(lapsed.trial.id, lapsed.attempt)], worker_id=one, lease_seconds=60
    )
    assert renewal.lost == {lapsed.trial.id}
    assert not finish(ledger, lapsed)
    pair = (lapsed.trial.id, lapsed.attempt)
    assert ledger.add_curves({pair: [point(1)]}) == {pair}
    assert not ledger.add_checkpoint(
        lapsed.trial.id, checkpoint(attempt=lapsed.attempt)
    )
    assert finish(ledger, taken, value=0.5)
    assert ledger.trials(study.id)[0].value == 0.5


def test_a_beat_keeps_a_lease_alive(clock):
    ledger = clock.ledger
    study = ledger.create_study(plan(trials=1))
    worker = add_worker(ledger, study)
    held = claim(ledger, study, worker, lease_seconds=60)
    for _ in range(5):
        clock.set(50)
        assert not ledger.renew_leases(
            [(held.trial.id, held.attempt)], worker_id=worker, lease_seconds=60
        ).lost
    assert ledger.reap() == 0


def test_a_trial_fails_when_its_workers_were_lost_more_often_than_it_may(clock):
    ledger = clock.ledger
    study = ledger.create_study(plan(trials=1, retries=2, retest_seeds=0))
    worker = add_worker(ledger, study)
    for _ in range(3):
        claim(ledger, study, worker, lease_seconds=10)
        clock.set(11)
        assert ledger.reap() == 1
    trial = ledger.trials(study.id)[0]
    assert (trial.state, trial.lost, trial.attempt) == (TrialState.FAILED, 3, 3)
    assert [each.status for each in ledger.attempts(trial.id)] == ["lost"] * 3


def test_whoever_was_cut_off_itself_takes_nobody_for_dead_until_a_lease_has_passed(
    tables,
):
    one, two = open_ledger(tables, create=True), open_ledger(tables, create=True)
    study = one.create_study(plan(trials=2, retest_seeds=0, first=()))
    worker = add_worker(one, study)
    held = claim(one, study, worker, lease_seconds=0.0)
    one.database._note_trouble()
    assert claim(one, study, worker).trial.number == 1, "it works on"
    assert one.reap() == 0
    assert isinstance(one.claim(study.id, worker, lease_seconds=60.0), Wait), (
        "the lapsed trial is not given to another"
    )
    assert finish(one, held), "its holder came back and ended it"
    one.set_budget(study.id, trials=3)
    claim(one, study, worker, lease_seconds=0.0)
    assert one.reap(lease_seconds=0.0) == 1, "once the time has passed"
    claim(one, study, worker, lease_seconds=0.0)
    assert two.reap() == 1, "others are not concerned"
    one.close()
    two.close()


def test_finishing_and_reaping_at_once_leave_one_result(tables):
    one, two = open_ledger(tables, create=True), open_ledger(tables, create=True)
    study = one.create_study(plan(trials=40, retest_seeds=0))
    worker = add_worker(one, study)
    for _ in range(20):
        # lapsed at once: the reaper may take it
        held = claim(one, study, worker, lease_seconds=0.0)
        go = threading.Barrier(2)

        def ending(held=held, go=go):
            go.wait()
            return finish(one, held, value=0.25)

        def reaping(go=go):
            go.wait()
            return two.reap()

        with ThreadPoolExecutor(2) as pool:
            kept, reaped = pool.submit(ending), pool.submit(reaping)
        trial = next(each for each in one.trials(study.id) if each.id == held.trial.id)
        assert kept.result() != bool(reaped.result())
        assert (trial.value == 0.25) == kept.result()
        if not kept.result():
            finish(one, claim(one, study, worker))
    one.close()
    two.close()


def test_an_acknowledged_result_is_acknowledged_again_and_never_changed(ledger):
    study = ledger.create_study(plan(trials=1, retest_seeds=0))
    held = claim(ledger, study, add_worker(ledger, study))
    assert finish(ledger, held, value=0.75)
    assert finish(ledger, held, value=0.75)
    assert not finish(ledger, held, value=0.1)
    assert not finish(ledger, held, status=Status.FAILED)
    assert ledger.trials(study.id)[0].value == 0.75


def test_workers_that_wait_are_told_so_until_the_last_trial_ends(ledger):
    study = ledger.create_study(plan(trials=1, retest_seeds=0))
    one, two = add_worker(ledger, study), add_worker(ledger, study)
    held = claim(ledger, study, one)
    assert isinstance(ledger.claim(study.id, two, lease_seconds=60), Wait)
    finish(ledger, held)
    assert isinstance(ledger.claim(study.id, two, lease_seconds=60), Done)


# -- deadline, retests, states ---------------------------------------------------------


def test_no_search_trial_begins_when_it_and_the_retests_would_pass_the_deadline(clock):
    ledger = clock.ledger
    study = ledger.create_study(plan(trials=None, timeout_seconds=100, retest_seeds=1))
    worker = add_worker(ledger, study)
    begun = 0
    while isinstance(answer := ledger.claim(study.id, worker, lease_seconds=60), Claim):
        begun += 1
        bind_and_finish(ledger, answer, seconds=10)
        clock.set(10)
    # One more trial and up to four retests of 10 s each have to fit: the last one
    # begins at second 40.
    assert begun == 5
    assert isinstance(answer, PlanRetests)


def test_rows_that_train_beside_each_other_are_counted_by_their_share_of_the_time(
    clock,
):
    """Each of eight rows takes 16 s, of which 2 s are its own: retests of 2 s each are
    reckoned with, as many as rows held.
    """
    ledger = clock.ledger
    study = ledger.create_study(plan(trials=None, timeout_seconds=100, retest_seeds=3))
    worker = add_worker(ledger, study)
    bind_and_finish(ledger, ledger.claim(study.id, worker, lease_seconds=60), seconds=2)
    # 30.5 s are left: three retests of 2 s for the one complete trial, and rows of 2 s
    # each
    clock.set(69.5)
    held = []
    while isinstance(answer := ledger.claim(study.id, worker, lease_seconds=60), Claim):
        held.append(answer)
    assert isinstance(answer, Wait)
    assert len(held) == 12
    for each in held:
        bind_and_finish(ledger, each, seconds=16, worker_seconds=2)
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=60), Claim), (
        "its own 2 s and twelve retests fit"
    )


def test_each_worker_has_one_trial_before_the_first_duration_is_known(clock):
    ledger = clock.ledger
    study = ledger.create_study(plan(trials=None, timeout_seconds=100, retest_seeds=0))
    one, two = add_worker(ledger, study), add_worker(ledger, study)
    first = ledger.claim(study.id, one, lease_seconds=60)
    assert isinstance(first, Claim)
    assert isinstance(ledger.claim(study.id, one, lease_seconds=60), Wait)
    assert isinstance(ledger.claim(study.id, two, lease_seconds=60), Claim)
    bind_and_finish(ledger, first, seconds=10)
    assert isinstance(ledger.claim(study.id, one, lease_seconds=60), Claim)


def test_fewer_retests_are_planned_where_time_is_short_and_the_rest_once_there_is_more(
    clock,
):
    ledger = clock.ledger
    study = ledger.create_study(plan(trials=2, timeout_seconds=100, retest_seeds=2))
    worker = add_worker(ledger, study)
    for seconds in (10, 20):
        bind_and_finish(
            ledger, ledger.claim(study.id, worker, lease_seconds=60), seconds=seconds
        )
    # the last one must begin 20 s before the end, each of the others takes 15 s
    clock.set(49)
    assert ledger.claim(study.id, worker, lease_seconds=60) == PlanRetests(room=3)
    ledger.plan_retests(study.id, [Retest(parent=0, repeat=0, seed=1)])
    assert not ledger.plan_retests(study.id, [Retest(parent=1, repeat=0, seed=1)]), (
        "another worker has planned already"
    )
    bind_and_finish(
        ledger, ledger.claim(study.id, worker, lease_seconds=60), seconds=10
    )
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=60), Done)
    ledger.extend(study.id, timeout_seconds=100)
    assert ledger.claim(study.id, worker, lease_seconds=60) == PlanRetests(room=6)


def test_retests_asked_for_after_the_deadline_train_alone_until_there_is_more_time(
    clock,
):
    ledger = clock.ledger
    study = ledger.create_study(plan(trials=5, timeout_seconds=100, retest_seeds=0))
    worker = add_worker(ledger, study)
    bind_and_finish(
        ledger, ledger.claim(study.id, worker, lease_seconds=60), seconds=10
    )
    clock.set(101)
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=60), Done)
    chosen = (Retest(parent=0, repeat=0, seed=1),)
    assert (
        ledger.ask_retests(study.id, RetestsAsked(seeds=1, top=1, best=chosen, ended=0))
        is None
    ), "chosen before the trial ended"
    assert (
        ledger.ask_retests(
            study.id, RetestsAsked(seeds=1, top=1, best=chosen, ended=1)
        ).state
        == "open"
    )
    stands = ledger.study("toy")
    assert (stands.deadline, stands.trials) == (None, 2), (
        "yours, and the reference that waits"
    )
    claimed = ledger.claim(study.id, worker, lease_seconds=60)
    assert (claimed.trial.kind, claimed.trial.seed) == (Kind.RETEST, 1)
    bind_and_finish(ledger, claimed, seconds=10)
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=60), Done)
    assert ledger.study("toy").state is StudyState.FINISHED
    ledger.extend(study.id, timeout_seconds=100)
    assert ledger.study("toy").trials == 5
    assert ledger.claim(study.id, worker, lease_seconds=60).trial.kind is Kind.SEARCH


def test_the_time_counts_from_the_commands_start(clock):
    study = clock.ledger.create_study(
        plan(trials=None, timeout_seconds=100), began=time.monotonic() - 30
    )
    assert 60 < study.deadline - study.created_at <= 70, (
        "what the making takes counts too"
    )
    clock.ledger.set_budget(study.id, timeout_seconds=50, began=time.monotonic() - 10)
    assert 30 < clock.ledger.study("toy").deadline - study.created_at <= 40


def bind_and_finish(ledger, claimed, seconds, worker_seconds=None):
    ledger.bind(
        claimed.trial.id,
        claimed.attempt,
        setting=setting(0.01),
        params={"learning_rate": 0.01},
        seed=1,
    )
    ledger.finish(
        replace(
            outcome(claimed, value=0.5), seconds=seconds, worker_seconds=worker_seconds
        ),
        [],
    )


def test_retests_are_planned_once_and_run_after_the_search(ledger):
    study = ledger.create_study(plan(trials=2, retest_seeds=2))
    worker = add_worker(ledger, study)
    train(ledger, study, worker)
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=60), PlanRetests)
    wanted = [
        Retest(parent=parent, repeat=repeat, seed=100 + repeat)
        for repeat in range(2)
        for parent in (0, 1)
    ]
    with ThreadPoolExecutor(3) as pool:
        planned = list(
            pool.map(lambda _: ledger.plan_retests(study.id, wanted), range(3))
        )
    assert sorted(planned) == [False, False, True], "one of them tells"
    assert ledger.counts(study.id).retests == 4
    assert len(train(ledger, study, worker)) == 4
    assert {each.seed for each in ledger.trials(study.id, kind=Kind.RETEST)} == {
        100,
        101,
    }
    assert ledger.counts(study.id).retests_done == 4


@pytest.mark.parametrize(
    "state", [StudyState.DRAINING, StudyState.STOPPED, StudyState.BROKEN]
)
def test_nothing_begins_in_a_study_that_was_stopped(ledger, state):
    study = ledger.create_study(plan(trials=5))
    worker = add_worker(ledger, study)
    held = claim(ledger, study, worker)
    ledger.set_state(study.id, state, reason="why\0not \ud800")
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=60), Done)
    assert (
        ledger.renew_leases(
            [(held.trial.id, held.attempt)], worker_id=worker, lease_seconds=60
        ).study_state
        is state
    )
    ledger.set_state(study.id, StudyState.OPEN)
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=60), Claim)


def test_deleting_is_refused_while_a_trial_runs_and_leaves_no_row_behind(ledger):
    study = ledger.create_study(plan(trials=2, retest_seeds=0))
    kept = ledger.create_study(plan(name="kept", trials=1))
    worker = add_worker(ledger, study)
    held = claim(ledger, study, worker)
    with pytest.raises(Refused, match="stop"):
        ledger.delete_study(study.id)
    finish(ledger, held, points=[point(1)])
    Mirror(ledger).sync(study.id)
    ledger.delete_study(study.id)
    assert [each.name for each in ledger.studies()] == ["kept"]
    assert optuna.get_all_study_names(ledger.optuna_storage()) == ["kept"]
    assert ledger.trials(kept.id)
    assert (
        ledger.renew_leases([], worker_id=worker, lease_seconds=60).study_state
        is StudyState.STOPPED
    )


# -- creation --------------------------------------------------------------------------


def test_a_study_is_made_once_by_any_number_of_creators(ledger):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: ledger.create_study(plan(trials=3)), range(4)))
    assert {each.id for each in made} == {made[0].id}
    assert len(ledger.trials(made[0].id)) == 2


@pytest.mark.parametrize(
    "name",
    [
        "日本語 ☃",
        "a" * 255,
        "Digits",
        "digits "[:-1] + "_",
        "x'; drop table lrsearch_studies; --",
    ],
)
def test_names_come_back_as_they_were_given(ledger, name):
    assert ledger.create_study(plan(name=name)).name == name
    assert ledger.study(name).name == name


def test_names_differ_by_case(ledger):
    assert (
        ledger.create_study(plan(name="digits")).id
        != ledger.create_study(plan(name="DIGITS")).id
    )


def test_another_definition_under_the_same_name_is_refused_naming_the_field(ledger):
    ledger.create_study(plan(fingerprint={"epochs": 3, "code": "a"}))
    with pytest.raises(
        FingerprintMismatch, match="epochs: 3 in the study, 4 here"
    ) as caught:
        ledger.create_study(plan(fingerprint={"epochs": 4, "code": "a"}))
    assert set(caught.value.differences) == {"epochs"}


def test_a_study_that_optuna_alone_made_is_not_taken_over(ledger):
    theirs = optuna.create_study(study_name="theirs", storage=ledger.optuna_storage())
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(InvalidValue, match="--name"):
        ledger.create_study(plan(name="theirs"))
    assert ledger.studies() == []


def test_an_unknown_study_is_named_with_the_nearest(ledger):
    ledger.create_study(plan(name="digits"))
    with pytest.raises(UnknownName, match="Did you mean 'digits'"):
        ledger.study("digitz")


OPENERS = """
from lrsearch.storage import open_ledger
from ledger_tools import plan
ledger = open_ledger({url!r}, create=True)
print(ledger.create_study(plan(trials=3)).id)
"""


def test_schema_and_study_can_be_made_by_many_processes_at_once(url, fork_server):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [fork_server.popen(OPENERS.format(url=url), **streams) for _ in range(4)]
    ended = [each.communicate(timeout=120) for each in started]
    assert [each.returncode for each in started] == [0] * 4, ended
    assert len({out for out, _ in ended}) == 1


def test_mariadbs_tables_are_not_judged_between_two_migrations_of_another_process(
    new_database,
):
    url = new_database("mariadb")
    made = open_ledger(url, create=True)
    note = "update lrsearch_alembic_version set version_num = '{}'"
    with (
        closing(made),
        made.database.engine.connect() as other,
        ThreadPoolExecutor() as threads,
    ):
        other.execute(text(f"select get_lock('{schema._LOCK_NAME}', 60)"))
        other.execute(text(note.format("0001")))
        other.commit()  # as MariaDB does by itself
        opening = threads.submit(lambda: open_ledger(url, create=True).close())
        with pytest.raises(TimeoutError):
            opening.result(timeout=1)
        other.execute(text(note.format(schema.newest_version())))
        other.commit()
        other.execute(text(f"select release_lock('{schema._LOCK_NAME}')"))
        opening.result(timeout=30)


def test_a_database_without_our_tables_is_not_opened_and_not_touched(url, tmp_path):
    with pytest.raises(StorageProblem, match=r"start-study|Start"):
        open_ledger(url)


def test_tables_of_another_version_are_refused_and_never_migrated_unasked(url):
    open_ledger(url, create=True).close()
    ledger = open_ledger(url)
    newer = text("update lrsearch_alembic_version set version_num = '9999'")
    ledger.database.transact(lambda tx: tx.execute(newer))
    ledger.close()
    with pytest.raises(SchemaMismatch, match="9999"):
        open_ledger(url)


def test_optunas_tables_of_another_version_are_refused_and_left_as_they_are(url):
    opened = open_ledger(url, create=True)
    opened.create_study(plan())
    newer = text("update alembic_version set version_num = 'v9.9.9.a'")
    opened.database.transact(lambda tx: tx.execute(newer))
    opened.close()
    with pytest.raises(
        SchemaMismatch, match=r"Optuna.*v9\.9\.9\.a.*Install the newer Optuna"
    ):
        open_ledger(url)


def test_a_database_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    url = f"sqlite:///{tmp_path}/lrsearch.db"
    opened = open_ledger(url, create=True)
    opened.database.transact(lambda tx: tx.execute(text("pragma user_version = 1")))
    # As root writes what it may not, SQLite itself is told.
    opened.database.engine.dispose()
    event.listen(
        opened.database.engine,
        "connect",
        lambda connection, _: connection.execute("pragma query_only = on"),
    )
    with pytest.raises(StorageProblem, match="readonly") as raised:
        opened.create_study(plan())
    assert "\n" not in str(raised.value)
    opened.close()


# -- curves, checkpoints, records ------------------------------------------------------


def point(epoch, value=0.5):
    return CurvePoint(
        epoch=epoch,
        step=epoch * 10,
        rate=0.1,
        seconds=float(epoch),
        value=value,
        logs={"loss": 1.0 / epoch},
    )


def test_curves_of_a_later_attempt_replace_those_of_the_earlier(ledger):
    study = ledger.create_study(plan(trials=1, retest_seeds=0))
    worker = add_worker(ledger, study)
    first = claim(ledger, study, worker)
    assert not ledger.add_curves(
        {(first.trial.id, 1): [point(1), point(2, 0.1), point(3, 0.1)]}
    )
    finish(ledger, first, status=Status.INTERRUPTED)
    second = claim(ledger, study, worker)
    assert not ledger.add_curves({(second.trial.id, 2): [point(2, 0.6)]})
    assert finish(ledger, second, epochs=2)
    assert [(each.epoch, each.value) for each in ledger.curve(second.trial.id)] == [
        (1, 0.5),
        (2, 0.6),
    ]
    [there] = ledger.rung_values(study.id, 2)
    assert (there.value, there.origin, there.setting.optimizer) == (
        0.6,
        Origin.YOURS,
        "adam",
    )


def test_one_read_has_a_rungs_values_and_how_the_trials_ended(ledger):
    study = ledger.create_study(plan(trials=6, retest_seeds=0))
    worker, ends = add_worker(ledger, study), [*Status][:4]
    for status in ends:  # complete, diverged, pruned, failed
        held = claim(ledger, study, worker)
        assert finish(
            ledger, held, value=0.7, status=status, points=[point(1, 0.4), point(2)]
        )
    running = claim(ledger, study, worker)
    assert not ledger.add_curves({(running.trial.id, 1): [point(1, 0.3)]})
    there = ledger.rung_values(study.id, 1)
    assert {each.state: (each.value, each.final) for each in there} == {
        TrialState.COMPLETE: (0.4, 0.7),
        TrialState.DIVERGED: (0.4, None),
        TrialState.PRUNED: (0.4, None),
        TrialState.FAILED: (0.4, None),
        TrialState.RUNNING: (0.3, None),
    }
    assert {each.trial_id for each in there} == {
        each.id for each in ledger.trials(study.id)
    }


def test_numbers_that_json_and_sql_do_not_know_are_kept_as_unknown(ledger):
    study = ledger.create_study(plan(trials=1, retest_seeds=0))
    held = claim(ledger, study, add_worker(ledger, study))
    wild = replace(
        point(1), value=float("nan"), logs={"loss": float("inf"), "mae": 1.0}
    )
    assert finish(
        ledger, held, value=float("inf"), points=[wild], status=Status.DIVERGED
    )
    trial = ledger.trials(study.id)[0]
    assert trial.value is None
    assert ledger.curve(trial.id)[0].logs == {"mae": 1.0}


def test_only_what_changed_is_read_again(ledger):
    study = ledger.create_study(plan(trials=5, retest_seeds=0))
    worker = add_worker(ledger, study)
    seen = ledger.trials(study.id)
    finish(ledger, claim(ledger, study, worker))
    changed = ledger.trials(study.id, changed_since=seen.revision)
    assert [each.number for each in changed] == [0]
    assert ledger.trials(study.id, changed_since=changed.revision) == []


def test_a_manifest_lists_the_newest_checkpoint_first(ledger):
    study = ledger.create_study(plan(trials=1))
    held = claim(ledger, study, add_worker(ledger, study))
    for epoch, batch in ((1, 0), (2, 0), (2, 90), (2, 100), (2, 100)):
        assert ledger.add_checkpoint(held.trial.id, checkpoint(epoch, batch))
    assert [(each.epoch, each.batch) for each in ledger.checkpoints(held.trial.id)] == [
        (2, 100),
        (2, 90),
        (2, 0),
        (1, 0),
    ]
    ledger.forget_checkpoints(held.trial.id)
    assert ledger.checkpoints(held.trial.id) == []


def test_a_manifest_of_0_1_0_keeps_its_lines_and_takes_places_within_epochs(ledger):
    study = ledger.create_study(plan(trials=1))
    trial = claim(ledger, study, add_worker(ledger, study)).trial.id
    number = "integer" if ledger.database.engine.dialect.name == "sqlite" else "bigint"
    columns = (
        f"trial_id {number} not null, attempt integer not null, epoch integer not null, path text not null,"
        " sha256 varchar(64) not null, size bigint not null, written_at double precision not null"
    )
    keys = "primary key (trial_id, attempt, epoch), foreign key (trial_id) references lrsearch_trials (id) on delete cascade"
    migration = import_module(
        "lrsearch.storage.migrations.versions.0004_checkpoints_within_epochs"
    )
    with ledger.database.engine.begin() as connection:
        connection.exec_driver_sql("drop table lrsearch_checkpoints")
        connection.exec_driver_sql(
            f"create table lrsearch_checkpoints ({columns}, {keys})"
        )
        connection.exec_driver_sql(
            f"insert into lrsearch_checkpoints values ({trial}, 1, 5, 'p5', '0', 10, 0.0)"
        )
    for _ in range(2):  # MariaDB may have been cut off before it noted the version
        with (
            ledger.database.engine.begin() as connection,
            Operations.context(MigrationContext.configure(connection)),
        ):
            migration.upgrade()
    assert ledger.add_checkpoint(trial, checkpoint(5, 30))
    assert [
        (each.epoch, each.batch, each.path) for each in ledger.checkpoints(trial)
    ] == [
        (5, 30, "p5-30"),
        (5, 0, "p5"),
    ]
    with ledger.database.engine.begin() as connection:
        connection.exec_driver_sql(f"delete from lrsearch_trials where id = {trial}")
    assert ledger.checkpoints(trial) == []


# -- Optuna's rows ---------------------------------------------------------------------


def test_optunas_rows_follow_the_ledger_number_by_number(ledger):
    study = ledger.create_study(plan(trials=6, retest_seeds=0))
    worker = add_worker(ledger, study)
    ends = [
        Status.COMPLETE,
        Status.DIVERGED,
        Status.PRUNED,
        Status.FAILED,
        Status.COMPLETE,
    ]
    for number, status in enumerate(ends):
        held = claim(ledger, study, worker)
        finish(
            ledger,
            held,
            value=None if status is Status.FAILED else number / 10,
            status=status,
            points=[point(1, number / 10)],
        )
    running = claim(ledger, study, worker)
    Mirror(ledger).sync(study.id)
    theirs = optuna.load_study(study_name=study.name, storage=ledger.optuna_storage())
    states = [each.state.name for each in theirs.trials]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED", "FAIL", "COMPLETE", "RUNNING"]
    assert theirs.best_trial.number == 4, "a diverged trial is never the best"
    assert theirs.trials[0].params["learning_rate"] == pytest.approx(
        ledger.trials(study.id)[0].setting.learning_rate
    )
    assert theirs.trials[4].intermediate_values == {1: 0.4}
    assert theirs.metric_names == ["val_accuracy"]
    assert finish(ledger, running, value=0.9)
    Mirror(ledger).sync(study.id)
    assert (
        optuna.load_study(
            study_name=study.name, storage=ledger.optuna_storage()
        ).best_value
        == 0.9
    )


def test_two_mirrors_at_once_write_each_row_once(tables):
    ledgers = [open_ledger(tables, create=True) for _ in range(2)]
    study = ledgers[0].create_study(plan(trials=12, retest_seeds=0))
    train(ledgers[0], study, add_worker(ledgers[0], study))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda each: Mirror(each).sync(study.id), ledgers))
    Mirror(ledgers[0]).sync(study.id)
    theirs = optuna.load_study(
        study_name=study.name, storage=ledgers[0].optuna_storage()
    )
    assert [each.number for each in theirs.trials] == list(range(12))
    assert all(each.state.name == "COMPLETE" for each in theirs.trials)
    for each in ledgers:
        each.close()


class Crash(BaseException):
    """A process that ends here."""


@pytest.mark.parametrize("failpoint", ["made", "concluded", "settled"])
def test_a_mirror_that_dies_between_two_writes_is_completed_by_the_next(
    clock, failpoint
):
    ledger = clock.ledger
    study = ledger.create_study(plan(trials=3, retest_seeds=0))
    train(ledger, study, add_worker(ledger, study))

    def crash(label):
        if label == failpoint:
            raise Crash

    with pytest.raises(Crash):
        Mirror(ledger, failpoint=crash).sync(study.id)
    clock.set(60)
    Mirror(ledger).sync(study.id)
    theirs = optuna.load_study(study_name=study.name, storage=ledger.optuna_storage())
    assert [each.number for each in theirs.trials] == [0, 1, 2]
    assert all(each.state.name == "COMPLETE" for each in theirs.trials)


RUNGS = 4  # of the learned stopping rule


def test_a_trial_takes_at_most_45_statements_with_its_rungs_however_many_epochs_it_has(
    ledger,
):
    study = ledger.create_study(plan(trials=40, retest_seeds=0))
    worker = add_worker(ledger, study)
    mirror = Mirror(ledger)
    counted = Counter()
    for name, engine in {
        "ours": ledger.database.engine,
        "optuna": ledger.optuna_storage().engine,
    }.items():
        # A transaction's BEGIN is no statement on servers; on SQLite we send it
        # ourselves.
        def count(_connection, _cursor, statement, *_rest, name=name):
            counted.update([] if statement.startswith("BEGIN") else [name])

        event.listen(engine, "before_cursor_execute", count)

    def one(epochs):
        before = counted.total()
        # what a worker reads before it samples
        ledger.trials(study.id, changed_since=10**9)
        held = claim(ledger, study, worker)
        mirror.sync(study.id)
        for epoch in range(1, RUNGS + 1):  # what a worker asks where a trial is judged
            ledger.rung_values(study.id, epoch)
        finish(ledger, held, points=[point(epoch) for epoch in range(1, epochs + 1)])
        ledger.forget_checkpoints(held.trial.id)
        mirror.sync(study.id)
        return counted.total() - before

    one(5)
    few, many = [one(5) for _ in range(3)], [one(200) for _ in range(3)]
    assert max(few) <= 45
    assert max(many) <= max(few)


def test_results_are_best_where_the_toy_has_its_optimum(ledger):
    study = ledger.create_study(plan(trials=8, retest_seeds=0))
    train(ledger, study, add_worker(ledger, study))
    best = max(ledger.trials(study.id), key=lambda each: each.value or 0)
    assert abs(best.setting.learning_rate - OPTIMUM) < 0.1


def test_a_second_host_is_refused_on_sqlite_and_welcome_elsewhere(ledger, tables):
    study = ledger.create_study(plan())
    add_worker(ledger, study, host="one")
    if tables.startswith("sqlite"):
        with pytest.raises(StorageProblem, match=r"one.*PostgreSQL"):
            add_worker(ledger, study, host="two")
    else:
        assert add_worker(ledger, study, host="two")


def test_the_plan_comes_back_as_it_was(ledger):
    given = plan(trials=7, timeout_seconds=60.0)
    assert to_json(ledger.create_study(given).plan.facts) == to_json(given.facts)
    assert ledger.now() == pytest.approx(time.time(), abs=30)


def test_libpqs_service_file_says_where_the_database_is(
    servers, new_database, tmp_path, monkeypatch
):
    new = make_url(new_database("postgresql"))
    lines = [
        "[flowers]",
        "host=127.0.0.1",
        f"port={new.port}",
        f"user={new.username}",
        f"dbname={new.database}",
    ]
    (tmp_path / "services").write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    opened = open_ledger(resolve_url("postgresql:///?service=flowers", {}), create=True)
    assert opened.studies() == []
    opened.close()
