"""Claims where faults were found: an answer that was lost, an outage, a study's end, limits."""

import traceback
from contextlib import contextmanager

import pytest
from ledger_tools import add_worker, checkpoint, claim, finish, plan
from sqlalchemy import event, exc, literal

from lrsearch.storage import Claim, Done, Wait, open_ledger
from lrsearch.values import Status, StudyState

LEASE = 60.0


@pytest.fixture
def ledger(tmp_path):
    opened = open_ledger(
        f"sqlite:///{tmp_path}/l.db", create=True, clock=literal(1000.0)
    )
    yield opened
    opened.close()


@pytest.fixture
def study(ledger):
    return ledger.create_study(plan(trials=4, retest_seeds=0, first=()))


@pytest.fixture
def worker(ledger, study):
    return add_worker(ledger, study)


@pytest.fixture
def fail_next_commit(ledger, monkeypatch):
    """Makes the next transaction fail as by an outage: after its commit, or in place of it."""

    def fail(*, after_commit):
        begin, left = type(ledger.database.engine).begin, [1]

        @contextmanager
        def failing(self):
            with begin(self) as connection:
                yield connection
                if not after_commit and left and left.pop():
                    raise outage()
            if after_commit and left and left.pop():
                raise outage()

        monkeypatch.setattr(type(ledger.database.engine), "begin", failing)

    return fail


def outage():
    return exc.OperationalError(
        "commit", {}, Exception("gone"), connection_invalidated=True
    )


def test_a_claim_whose_answer_was_lost_is_given_the_same_trial_again(
    ledger, study, worker, fail_next_commit
):
    fail_next_commit(after_commit=True)
    held = claim(ledger, study, worker)
    assert (held.trial.number, held.attempt) == (0, 1)
    assert len(ledger.trials(study.id)) == 1


def test_a_claim_that_was_not_committed_is_tried_again_and_never_taken_for_done(
    ledger, study, worker, fail_next_commit
):
    fail_next_commit(after_commit=False)
    held = claim(ledger, study, worker)
    [stored] = ledger.trials(study.id)
    assert (stored.id, stored.attempt) == (held.trial.id, 1)


def test_a_claim_that_met_the_outage_itself_puts_back_nobodys_trial(
    ledger, study, worker, fail_next_commit
):
    lapsed = claim(ledger, study, worker, lease_seconds=-1.0)
    fail_next_commit(after_commit=False)
    assert claim(ledger, study, worker).trial.number == 1
    assert finish(ledger, lapsed), "its holder lives, and ends it"


def test_a_lapsed_trial_goes_to_the_next_claim_and_counts_as_lost(
    ledger, study, worker
):
    claim(ledger, study, worker, lease_seconds=-1.0)
    again = claim(ledger, study, worker)
    assert (again.trial.number, again.attempt, again.trial.lost) == (0, 2, 1)
    assert [each.status for each in ledger.attempts(again.trial.id)] == [
        "lost",
        "running",
    ]


def test_an_attempt_counts_until_its_newest_checkpoint_once_the_next_one_begins(
    ledger, study, worker
):
    first = claim(ledger, study, worker)
    ledger.add_checkpoint(first.trial.id, checkpoint())
    finish(ledger, first, status=Status.INTERRUPTED)
    assert [each.kept_until for each in ledger.attempts(first.trial.id)] == [None]
    claim(ledger, study, worker)
    assert [each.kept_until for each in ledger.attempts(first.trial.id)] == [
        1000.0,
        None,
    ]


def test_a_claim_at_a_deleted_study_is_told_so(ledger, study, worker):
    ledger.delete_study(study.id)
    answer = ledger.claim(study.id, worker, lease_seconds=LEASE)
    assert answer == Done("the study was deleted")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (StudyState.DRAINING, "the study is draining"),
        (StudyState.STOPPED, "the study was stopped"),
        (StudyState.BROKEN, "the study is broken"),
    ],
)
def test_a_closed_study_says_why_it_hands_out_nothing(
    ledger, study, worker, state, reason
):
    ledger.set_state(study.id, state)
    assert ledger.claim(study.id, worker, lease_seconds=LEASE) == Done(reason)
    assert ledger.study(study.name).state is state


def test_no_trial_is_made_beyond_a_limit_of_trainings(ledger):
    study = ledger.create_study(
        plan(trials=None, trainings=2, retest_seeds=0, first=())
    )
    worker = add_worker(ledger, study)
    held = [claim(ledger, study, worker) for _ in range(2)]
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=LEASE), Wait)
    finish(ledger, held[0], status=Status.INTERRUPTED)
    assert claim(ledger, study, worker).trial.number == 0, "its own row is the training"
    finish(ledger, held[1])
    assert len(ledger.trials(study.id)) == 2


def test_a_claim_takes_at_most_four_frames_of_ours_to_its_first_statement(
    ledger, study, worker
):
    """A stranger follows one call: the ledger, the transaction, the claim, a look."""
    depths = []

    def look(_connection, _cursor, statement, *_rest):
        if "FROM lrsearch_trials" in statement:
            names = [each.filename for each in traceback.extract_stack()]
            depths.append(sum("/lrsearch/storage/" in each for each in names))

    event.listen(ledger.database.engine, "before_cursor_execute", look)
    assert isinstance(ledger.claim(study.id, worker, lease_seconds=LEASE), Claim)
    assert depths[0] <= 4
