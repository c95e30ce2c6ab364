"""What is asked of a study: which state may follow which, and that a request whose
answer was lost is served once.
"""

from contextlib import closing, contextmanager

import optuna
import pytest
from ledger_tools import add_worker, checkpoint, claim, finish, plan, train
from sqlalchemy import exc, text

from lrsearch.errors import InvalidValue
from lrsearch.storage import Mirror, Retest, RetestsAsked, open_ledger
from lrsearch.values import Change, Status, StudyState

pytestmark = pytest.mark.slow


# -- states ----------------------------------------------------------------------------

REQUESTS = (StudyState.OPEN, StudyState.DRAINING, StudyState.STOPPED, StudyState.BROKEN)
FOLLOWING = {  # with something left to train: what each request makes of each state
    StudyState.OPEN: REQUESTS,
    StudyState.DRAINING: REQUESTS,
    StudyState.STOPPED: (
        StudyState.OPEN,
        StudyState.STOPPED,
        StudyState.STOPPED,
        StudyState.BROKEN,
    ),
    StudyState.BROKEN: (
        StudyState.OPEN,
        StudyState.BROKEN,
        StudyState.BROKEN,
        StudyState.BROKEN,
    ),
    StudyState.FINISHED: (
        StudyState.OPEN,
        StudyState.FINISHED,
        StudyState.FINISHED,
        StudyState.BROKEN,
    ),
}


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize("state", list(StudyState))
def test_one_table_says_which_state_may_follow(ledger, kind, state):
    study = ledger.create_study(plan(trials=5))
    for request, expected in zip(REQUESTS, FOLLOWING[state], strict=True):
        force = text(f"update lrsearch_studies set state = '{state.value}'")
        ledger.database.transact(lambda tx, force=force: tx.execute(force))
        assert ledger.set_state(study.id, request) is expected
        assert ledger.study("toy").state is expected


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_study_with_nothing_left_is_finished_whatever_was_asked_of_it(ledger, kind):
    study = ledger.create_study(plan(trials=3, retest_seeds=0))
    worker = add_worker(ledger, study)
    train(ledger, study, worker)
    for request in (StudyState.DRAINING, StudyState.STOPPED, StudyState.OPEN):
        assert ledger.set_state(study.id, request) is StudyState.FINISHED
    ledger.set_budget(study.id, trials=3, timeout_seconds=60.0)
    assert ledger.study("toy").state is StudyState.FINISHED, (
        "the same total leaves nothing to train"
    )


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_draining_study_is_finished_by_its_last_trial(ledger, kind):
    study = ledger.create_study(plan(trials=2, retest_seeds=0))
    worker = add_worker(ledger, study)
    held = [claim(ledger, study, worker) for _ in range(2)]
    ledger.set_state(study.id, StudyState.DRAINING)
    finish(ledger, held[0])
    assert ledger.study("toy").state is StudyState.DRAINING
    finish(ledger, held[1])
    assert ledger.study("toy").state is StudyState.FINISHED


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_retry_opens_a_broken_study_and_changes_nothing_where_nothing_failed(
    ledger, kind
):
    study = ledger.create_study(plan(trials=3, retest_seeds=0))
    worker = add_worker(ledger, study)
    finish(ledger, claim(ledger, study, worker))
    before = ledger.trials(study.id).revision
    assert ledger.retry_failed(study.id) == []
    assert ledger.trials(study.id).revision == before
    finish(ledger, claim(ledger, study, worker), status=Status.FAILED)
    ledger.set_state(study.id, StudyState.BROKEN, reason="Traceback")
    assert ledger.retry_failed(study.id) == [2]
    assert (ledger.study("toy").state, ledger.study("toy").reason) == (
        StudyState.OPEN,
        "",
    )
    assert train(ledger, study, worker) == [2, 3]


# -- answers that are lost -------------------------------------------------------------


@pytest.fixture
def lose_answer(ledger, monkeypatch):
    """Makes the next commit arrive and its answer be lost, after which `meanwhile`
    happens before the call is tried again.
    """

    def lose(meanwhile=lambda: None):
        engine, left = ledger.database.engine, [1]
        begin = type(engine).begin

        @contextmanager
        def losing(self):
            with begin(self) as connection:
                yield connection
            if self is engine and left and left.pop():
                meanwhile()
                raise exc.OperationalError(
                    "commit",
                    {},
                    Exception("the answer was lost"),
                    connection_invalidated=True,
                )

        monkeypatch.setattr(type(engine), "begin", losing)

    return lose


def test_a_worker_whose_entry_was_not_answered_is_entered_once(ledger, lose_answer):
    study = ledger.create_study(plan())
    lose_answer()
    made = add_worker(ledger, study)
    assert [each.id for each in ledger.workers(study.id)] == [made]


def test_an_extension_whose_answer_was_lost_adds_once_and_takes_nothing_back(
    ledger, lose_answer
):
    study = ledger.create_study(plan(trials=10))
    lose_answer(lambda: ledger.extend(study.id, trials=5))
    assert ledger.extend(study.id, trials=3).trials == 18


@pytest.mark.parametrize("kind", ["sqlite"])
def test_a_deadline_whose_answer_was_lost_counts_from_the_first_try(
    clock, kind, monkeypatch
):
    ledger = clock.ledger
    study = ledger.create_study(plan(trials=None, timeout_seconds=1.0))
    began, transact = clock.at, ledger.database.transact

    def twice(work, **options):
        if not options.get("reads"):
            transact(work, **options)
            clock.set(40)  # the outage
        return transact(work, **options)

    monkeypatch.setattr(ledger.database, "transact", twice)
    assert ledger.extend(study.id, timeout_seconds=100.0).deadline == pytest.approx(
        began + 100
    )


def test_a_retry_whose_answer_was_lost_is_queued_once_and_told(ledger, lose_answer):
    study = ledger.create_study(plan(trials=2, retest_seeds=0))
    worker = add_worker(ledger, study)
    finish(ledger, claim(ledger, study, worker), status=Status.FAILED)
    lose_answer()
    assert ledger.retry_failed(study.id) == [2]
    assert ledger.study("toy").trials == 3


def test_retests_whose_plan_was_not_answered_are_told_as_new(ledger, lose_answer):
    study = ledger.create_study(plan(trials=2))
    train(ledger, study, add_worker(ledger, study))
    lose_answer()
    assert ledger.plan_retests(study.id, [Retest(parent=0, repeat=0, seed=1)])
    assert ledger.counts(study.id).retests == 1


def test_retests_that_were_asked_for_and_not_answered_are_told_as_new(
    ledger, lose_answer
):
    study = ledger.create_study(plan(trials=2, retest_seeds=0))
    worker = add_worker(ledger, study)
    train(ledger, study, worker)
    assert ledger.study("toy").state is StudyState.FINISHED
    asked = RetestsAsked(
        seeds=1, top=1, best=(Retest(parent=0, repeat=0, seed=1),), ended=2
    )
    lose_answer()
    taken = ledger.ask_retests(study.id, asked)
    assert (taken.over, taken.added, taken.waiting, taken.state) == (
        True,
        1,
        1,
        StudyState.OPEN,
    )
    assert ledger.counts(study.id).retests == 1
    assert train(ledger, study, worker) == [0]
    assert ledger.study("toy").state is StudyState.FINISHED


def test_a_study_whose_making_was_not_answered_is_there_once(ledger, lose_answer):
    lose_answer()
    made = ledger.create_study(plan(trials=3))
    assert [each.id for each in ledger.studies()] == [made.id]
    assert len(ledger.trials(made.id)) == 2


def test_a_stop_whose_answer_was_lost_does_not_undo_what_came_after(
    ledger, lose_answer
):
    study = ledger.create_study(plan())
    lose_answer(lambda: ledger.set_state(study.id, StudyState.OPEN))
    assert ledger.set_state(study.id, StudyState.STOPPED) is StudyState.STOPPED
    assert ledger.study("toy").state is StudyState.OPEN


def test_a_deletion_whose_answers_are_lost_leaves_nothing_at_optuna(
    ledger, lose_answer
):
    study = ledger.create_study(plan(trials=1, retest_seeds=0))
    train(ledger, study, add_worker(ledger, study))
    Mirror(ledger).sync(study.id)
    lose_answer()
    ledger.delete_study(study.id)
    assert optuna.get_all_study_names(ledger.optuna_storage()) == []
    again = ledger.create_study(plan(trials=1, retest_seeds=0))
    lost = text("update lrsearch_studies set optuna_study_id = null")
    ledger.database.transact(lambda tx: tx.execute(lost))
    ledger.delete_study(again.id)
    assert optuna.get_all_study_names(ledger.optuna_storage()) == [], (
        "a deletion that was cut short can be done again"
    )


def test_figures_whose_entry_was_not_answered_are_ones_own(ledger, lose_answer):
    study = ledger.create_study(plan())
    lose_answer()
    assert ledger.note_calibration(study.id, "here/cpu/1", {"engine": "graph"})


# -- changes of the definition ---------------------------------------------------------


def test_an_accepted_change_is_kept_and_trials_that_wait_begin_anew(ledger):
    study = ledger.create_study(
        plan(trials=3, fingerprint={"version": 2, "code.model": "a"})
    )
    worker = add_worker(ledger, study)
    held = claim(ledger, study, worker)
    ledger.add_checkpoint(held.trial.id, checkpoint())
    finish(ledger, held, status=Status.INTERRUPTED)
    for _ in range(2):
        kept = ledger.record_changes(
            study.id, [Change(field="code.model", old="a", new="b")]
        )
    assert [(each.field, each.new, each.trials) for each in kept.changes] == [
        ("code.model", "b", 2)
    ]
    assert kept.fingerprint == {"version": 2, "code.model": "b"}
    assert ledger.checkpoints(held.trial.id) == []
    assert (
        ledger.create_study(plan(fingerprint={"version": 2, "code.model": "b"})).id
        == study.id
    )


# -- names that Optuna's tables cannot tell apart --------------------------------------


@pytest.mark.parametrize("other", ["digits", "Dïgits"])
def test_names_that_optunas_tables_take_for_one_are_refused(new_database, other):
    url = new_database("mariadb")
    optuna.create_study(study_name="theirs", storage=url)  # in MariaDB's own alphabet
    with closing(open_ledger(url, create=True)) as ledger:
        first = ledger.create_study(plan(name="Digits", trials=1, retest_seeds=0))
        with pytest.raises(InvalidValue, match=r"'Digits'.*--name"):
            ledger.create_study(plan(name=other))
        assert [each.name for each in ledger.studies()] == ["Digits"]
        # A database of 0.1.0 may hold two that share Optuna's study: to delete one
        # leaves the other's rows.
        shared = f"update lrsearch_studies set optuna_study_id = {first.optuna_study_id}, name = 'digits' where id = {first.id}"
        ledger.database.transact(lambda tx: tx.execute(text(shared)))
        ledger.delete_study(first.id)
        assert "Digits" in optuna.get_all_study_names(ledger.optuna_storage())
