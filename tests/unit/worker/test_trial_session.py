"""Claims as a worker's session sees them, and what it makes of how attempts end: a real
ledger, and the test in the engine's place.
"""

from dataclasses import replace

import pytest
from ledger_tools import (
    add_worker,
    claim,
    finish,
    outcome,
    plan,
    setting,
    trial_session,
)

from lrsearch.messages import TrialEnded, TrialStarted
from lrsearch.storage import Done, PlanRetests, Wait, open_ledger
from lrsearch.values import Kind, Origin, Status, TrialState, Verdict
from lrsearch.worker.seeds import seed_of
from lrsearch.worker.stopping import StopRequest


class World:
    """A study of its own in a ledger, and a session of one worker on it."""

    def __init__(self, ledger, folder, **changes):
        self.ledger = ledger
        self.study = ledger.create_study(plan(name=folder.name, **changes))
        self.stop, self.said = StopRequest(), []
        self.worker = add_worker(self.ledger, self.study)
        self.trials, self.heartbeat = trial_session(
            self.ledger,
            self.study,
            folder,
            worker=self.worker,
            stop=self.stop,
            send=self.said.append,
        )

    def records(self, kind=Kind.SEARCH):
        return list(self.ledger.trials(self.study.id, kind=kind))

    def tell(self, spec, **changes):
        ended = {"status": Status.COMPLETE, "value": 0.5, "epochs": 3}
        made = outcome(_Claimed(spec), epochs=3)
        self.trials.tell(replace(made, **(ended | changes)))


class _Claimed:
    """What `outcome` reads of a claim."""

    def __init__(self, spec):
        self.trial, self.attempt = self, spec.attempt
        self.id = spec.trial_id


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    opened = open_ledger(
        f"sqlite:///{tmp_path_factory.mktemp('trials')}/toy.db", create=True
    )
    yield opened
    opened.close()


@pytest.fixture
def world(ledger, tmp_path):
    return lambda **changes: World(ledger, tmp_path, **changes)


def test_what_waits_is_claimed_with_its_setting_and_what_is_new_is_sampled_and_bound(
    world,
):
    here = world(trials=3)
    yours, reference, sampled = (here.trials.claim() for _ in range(3))
    assert (yours.yours, reference.yours, sampled.yours) == (True, False, False)
    assert (yours.setting, reference.setting) == (setting(0.001), setting(0.1, "sgd"))
    stored = here.records()
    assert [each.setting for each in stored] == [
        each.setting for each in (yours, reference, sampled)
    ]
    assert [each.seed for each in stored] == [
        seed_of(0, Kind.SEARCH, each) for each in range(3)
    ]
    assert [type(each) for each in here.said] == [TrialStarted] * 3
    assert here.said[-1].origin is Origin.SAMPLED


def test_a_worker_waits_while_another_trains_what_is_left(world):
    here = world(trials=2)
    others = add_worker(here.ledger, here.study)
    theirs = [claim(here.ledger, here.study, others) for _ in range(2)]
    assert here.trials.claim() is None
    assert isinstance(here.trials.answer, Wait)
    for each in theirs:
        assert finish(here.ledger, each)
    assert here.trials.claim() is None
    assert isinstance(here.trials.answer, PlanRetests)


def test_a_worker_holds_no_more_sampled_trials_than_its_share(world):
    here = world(trials=10, first=())  # a fifth of ten may be in training
    held = [here.trials.claim(), here.trials.claim()]
    assert None not in held
    assert here.trials.claim() is None
    assert isinstance(here.trials.answer, Wait)
    here.tell(held[0])
    assert here.trials.claim() is not None


def test_a_trial_that_was_lost_before_it_was_bound_is_left_for_the_next(
    world, monkeypatch
):
    here = world(trials=3)
    binds = iter([False])
    bind = here.ledger.bind
    monkeypatch.setattr(
        here.ledger,
        "bind",
        lambda *args, **says: next(binds, None) is None and bind(*args, **says),
    )
    spec = here.trials.claim()
    assert (spec.yours, spec.setting) == (False, setting(0.1, "sgd"))
    assert [each.label for each in here.said] == [spec.label]


def test_who_is_told_to_stop_claims_nothing_more_and_interrupts_what_is_held(world):
    here = world()
    spec = here.trials.claim()
    here.stop.stop("SIGTERM")
    assert here.trials.claim() is None
    assert here.trials.answer == Done("SIGTERM")
    assert here.heartbeat.verdict(spec.trial_id, spec.attempt) is Verdict.INTERRUPT
    assert sum(each.state is TrialState.RUNNING for each in here.records()) == 1


def test_an_outcome_of_a_lost_attempt_is_dropped_and_told_as_lost(world):
    here = world()
    spec = here.trials.claim()
    here.ledger.lose(spec.trial_id, spec.attempt, reason="its lease lapsed")
    here.tell(spec)
    assert here.records()[0].state is TrialState.WAITING
    assert isinstance(here.said[-1], TrialEnded)
    assert here.said[-1].status is Status.LOST


@pytest.mark.parametrize(
    ("reason", "state"), [("SIGTERM", TrialState.WAITING), ("", TrialState.FAILED)]
)
def test_an_exit_of_the_studys_code_fails_the_trial_unless_the_worker_was_told_to_stop(
    world, reason, state
):
    here = world()
    spec = here.trials.claim()
    if reason:
        here.stop.stop(reason)
    here.tell(spec, status=Status.FAILED, value=None, reason="SystemExit", left=True)
    assert here.records()[0].state is state


def test_what_is_held_is_put_back_when_an_exception_leaves_the_engine(world):
    here = world()
    held = [here.trials.claim(), here.trials.claim()]
    here.trials.abandon("interrupted")
    records = {each.id: each for each in here.records()}
    assert all(records[each.trial_id].state is TrialState.WAITING for each in held)
    assert all(records[each.trial_id].lost == 0 for each in held)


def test_trials_that_fail_alike_from_the_start_break_the_study_for_everybody(world):
    here = world()
    for _ in range(3):
        spec = here.trials.claim()
        here.tell(spec, status=Status.FAILED, value=None, reason="ValueError: no")
    assert here.stop.reason == "the study is broken"
    assert here.ledger.study(here.study.name).state.value == "broken"


def test_the_first_worker_to_ask_plans_the_retests_and_tells_of_them(world):
    here = world(trials=2, retest_seeds=2)
    for _ in range(2):
        here.tell(here.trials.claim())
    assert here.trials.claim() is None
    here.trials.plan_retests(here.trials.answer)
    told = here.said[-1]
    assert (told.event, told.retests, told.left_out) == ("retests.planned", 4, 0)
    here.trials.plan_retests(PlanRetests())
    assert here.said[-1] is told
    spec = here.trials.claim()
    assert (spec.retest, spec.test_split, spec.seed) == (
        1,
        True,
        seed_of(0, Kind.RETEST, 0),
    )
