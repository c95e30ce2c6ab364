"""A new study by what was asked, and a stored one opened again: on a real SQLite file."""

from dataclasses import replace

import pytest
from ledger_tools import add_worker, claim, facts, finish, setting, train

from lrsearch.errors import (
    FingerprintMismatch,
    StudyBroken,
    UnknownName,
    VersionMismatch,
)
from lrsearch.launch.creating import (
    choose_references,
    create_or_resume,
    find_study,
    make_plan,
)
from lrsearch.messages import Inspection
from lrsearch.options import SearchOptions
from lrsearch.storage import open_ledger
from lrsearch.values import Origin, StudyState

FOUND = Inspection(
    facts=facts(), dimensions=(), references=(setting(0.1, "sgd"),), seed=5
)


@pytest.fixture
def ledger(tmp_path):
    opened = open_ledger(f"sqlite:///{tmp_path}/toy.db", create=True)
    yield opened
    opened.close()


@pytest.fixture
def search(ledger):
    """Searches the toy with what is asked; returns the study and what was said."""

    def search(*, found=FOUND, resume=True, **asked):
        said = []
        options = SearchOptions(**{"retest": 0} | asked)
        plan = make_plan(options, "toy", "toy.py", found)
        hear = lambda event: said.append(event.message.text)  # noqa: E731
        return create_or_resume(ledger, options, plan, resume=resume, listen=hear), said

    return search


def versions(**changes):
    return replace(
        FOUND, facts=facts(versions={"lrsearch": "0", "keras": "3.15.1"} | changes)
    )


def test_what_was_not_asked_is_filled_in_once_for_a_new_study():
    plan = make_plan(SearchOptions(), "toy", None, FOUND)
    assert (plan.sampler, plan.pruner, plan.seed) == ("auto", "auto", 5)
    assert (plan.trials, plan.trainings, plan.timeout_seconds) == (40, None, None)
    assert (plan.retest_seeds, plan.retries) == (3, 2)
    assert [origin for origin, _ in plan.first] == [Origin.YOURS, Origin.REFERENCE]


def test_what_was_asked_is_taken_even_where_it_is_nothing():
    asked = SearchOptions(
        seed=0, retest=0, retries=0, timeout=9.0, overrides={"warmup": 0.1}
    )
    plan = make_plan(asked, "toy", None, FOUND)
    assert (plan.seed, plan.retest_seeds, plan.retries) == (0, 0, 0)
    assert (plan.trials, plan.timeout_seconds) == (None, 9.0)
    assert plan.overrides == {"warmup": 0.1}


def test_a_study_goes_on_with_its_budget_unless_another_is_asked_for(search):
    made, _ = search(trials=4)
    assert search()[0].trials == 4
    again, said = search(trials=6)
    assert (again.id, again.trials, said) == (made.id, 6, [])


def test_a_finished_study_stays_finished_until_it_has_more_to_train(ledger, search):
    made, _ = search(trials=2)
    train(ledger, made, add_worker(ledger, made))
    assert search()[0].state is StudyState.FINISHED
    assert search(trials=3)[0].state is StudyState.OPEN


def test_a_stopped_study_is_opened_by_starting_it_and_left_alone_by_creating_it(
    ledger, search
):
    made, _ = search(trials=2)
    ledger.set_state(made.id, StudyState.STOPPED)
    left, _ = search(trials=9, resume=False)
    assert (left.state, left.trials) == (StudyState.STOPPED, 2)
    assert search()[0].state is StudyState.OPEN


@pytest.mark.parametrize(
    "asked", [{"sampler": "qmc"}, {"pruner": "asha"}, {"seed": 6}, {"retries": 0}]
)
def test_other_rules_than_the_study_began_with_are_refused_also_for_creating_it(
    search, asked
):
    search(trials=2)
    for resume in (True, False):
        with pytest.raises(FingerprintMismatch) as raised:
            search(resume=resume, **asked)
        assert set(raised.value.differences) == set(asked)


def test_the_same_rules_said_again_are_no_difference(search):
    made, _ = search(trials=2, sampler="qmc", seed=0)
    assert search(sampler="qmc", seed=0)[0].id == made.id


def test_another_definition_is_refused_or_recorded_where_it_is_accepted(ledger, search):
    search(trials=2)
    other = replace(FOUND, facts=facts(fingerprint={"toy": 1, "code.model": "new"}))
    with pytest.raises(FingerprintMismatch, match=r"--accept-change code\.model"):
        search(found=other)
    _, said = search(found=other, accept_change=("code.model",))
    assert said == ["code.model changed since the study began, and is recorded"]
    assert search(found=other)[1] == [], "it is the study's own now"


def test_other_libraries_are_refused_or_said_where_they_are_allowed(search):
    search(trials=2, found=versions())
    assert search(found=versions(keras="3.15.9"))[1] == []
    with pytest.raises(
        VersionMismatch, match=r"keras 3\.15\.1 in the study, 3\.16\.0 here"
    ):
        search(found=versions(keras="3.16.0"))
    _, said = search(found=versions(keras="3.16.0"), allow_version_drift=True)
    assert said == [
        "other library versions, as allowed: keras 3.15.1 in the study, 3.16.0 here"
    ]


def test_a_broken_study_is_refused_with_its_traceback_until_it_has_more_to_train(
    ledger, search
):
    made, _ = search(trials=1)
    worker = add_worker(ledger, made)
    finish(ledger, claim(ledger, made, worker))
    ledger.set_state(made.id, StudyState.BROKEN, reason="Traceback: line 7")
    with pytest.raises(StudyBroken, match="lrsearch retry toy --failed") as raised:
        search()
    assert raised.value.traceback_text == "Traceback: line 7"
    assert search(trials=2)[0].state is StudyState.OPEN


def test_more_seeds_are_taken_and_fewer_are_said_to_take_none_back(search):
    search(trials=2, retest=2)
    raised, _ = search(retest=3)
    assert raised.plan.retest_seeds == 3
    kept, said = search(retest=1)
    assert kept.plan.retest_seeds == 3
    assert said == ["toy keeps its 3 seeds for retests: --retest 1 takes none back"]


def test_a_study_that_is_not_there_is_none(ledger):
    assert find_study(ledger, "toy") is None
    with pytest.raises(UnknownName):
        ledger.study("toy")


@pytest.mark.parametrize(
    ("trials", "yours", "tried"),
    [
        (12, "adam", ["adamw", "momentum", "rmsprop"]),
        (12, "adamw", ["momentum", "rmsprop", "adam"]),
        (None, "adam", ["adamw", "momentum", "rmsprop"]),
        (2, "lion", []),
    ],
)
def test_the_likeliest_optimizers_are_tried_first(trials, yours, tried):
    references = [
        setting(0.1, name)
        for name in ("sgd", "momentum", "lion", "rmsprop", "adam", "adamw")
    ]
    chosen = choose_references(references, trials, setting(0.1, yours))
    assert [each.optimizer for each in chosen] == tried


def test_the_reference_of_the_optimizer_of_yours_comes_last():
    references = [setting(0.1, name) for name in ("rmsprop", "lion", "sgd")]
    chosen = choose_references(references, 40, setting(0.1, "rmsprop"))
    assert [each.optimizer for each in chosen] == ["sgd", "lion", "rmsprop"]
