"""`lrsearch retest` and a raised --retest: a toy's real workers on SQLite, and the
command on studies in every state.
"""

from dataclasses import replace

import pytest
from driven import ledger_of, records
from driven import study as study  # noqa: PLC0414 - a fixture
from launching import retest, run_study
from ledger_tools import add_worker, claim, finish, plan, train, trial_session
from shell import ledger as ledger  # noqa: PLC0414 - a fixture
from shell import run as run  # noqa: PLC0414 - a fixture

from lrsearch.launch.racing import race
from lrsearch.messages import Note
from lrsearch.options import RetestOptions, split_options
from lrsearch.space import SearchSpace
from lrsearch.storage import Done, PlanRetests, Retest
from lrsearch.values import Kind, Status, StudyState
from lrsearch.worker import retest_planning
from lrsearch.worker.retest_planning import plan_retests
from lrsearch.worker.seeds import seed_of

KEPT = ("storage", "engine_factory", "devices", "workers")


@pytest.fixture
def ended(ledger):
    """A study of six trials with two retests each of the best three and yours; trials
    4, 3 and 5 are best, in this order.
    """
    made = ledger.create_study(plan(trials=6, retest_seeds=2))
    worker = add_worker(ledger, made)
    train(ledger, made, worker)
    assert isinstance(ledger.claim(made.id, worker, lease_seconds=60), PlanRetests)
    seeds = [seed_of(0, Kind.RETEST, repeat) for repeat in range(2)]
    ledger.plan_retests(
        made.id,
        [
            Retest(parent=p, repeat=r, seed=s)
            for r, s in enumerate(seeds)
            for p in (4, 5, 3, 0)
        ],
    )
    train(ledger, made, worker)
    assert ledger.study("toy").state is StudyState.FINISHED
    return made


def repeats(ledger, study):
    """Seeds by trial."""
    found = {}
    for each in ledger.trials(study.id, kind=Kind.RETEST):
        found.setdefault(each.parent, []).append(each.seed)
    return found


# -- training --------------------------------------------------------------------------


def test_a_finished_study_is_retested_on_more_seeds_by_the_workers_of_this_machine(
    study,
):
    arguments = study(trials=5, retest=1)
    run_study(**arguments)
    notes = []
    kept = {name: arguments[name] for name in KEPT}
    added = retest(
        "toy",
        RetestOptions(seeds=3, top=2),
        **kept,
        listen=lambda event: (
            notes.append(event.message.text)
            if isinstance(event.message, Note)
            else None
        ),
    )
    assert (added.taken.added, added.taken.waiting, added.study.state) == (
        6,
        0,
        StudyState.FINISHED,
    )
    found = [
        each
        for each in records(arguments, Kind.RETEST)
        if each.parent in added.choice.trials
    ]
    assert {
        each.parent: sum(one.parent == each.parent for one in found) for each in found
    } == dict.fromkeys(added.choice.trials, 3)
    assert {each.seed for each in found} == {
        seed_of(0, Kind.RETEST, repeat) for repeat in range(3)
    }
    assert all(each.value is not None for each in found)
    assert notes[0].startswith("6 more retests: trials ")
    again = retest("toy", RetestOptions(seeds=3, top=2), **kept)
    assert (again.taken.added, again.study.state) == (0, StudyState.FINISHED)


def test_a_race_is_trained_by_the_workers_of_this_machine(study):
    arguments = study(trials=6, retest=1)
    run_study(**arguments)
    before = len(records(arguments, Kind.RETEST))
    kept = {name: arguments[name] for name in KEPT}
    raced = race("toy", 12, *split_options(kept))
    found = records(arguments, Kind.RETEST)
    assert raced.trained == len(found) - before > 0
    assert len(found) <= 12
    assert raced.study.state is StudyState.FINISHED
    by_trial = {
        each.parent: {one.repeat for one in found if one.parent == each.parent}
        for each in found
    }
    assert all(repeats == set(range(len(repeats))) for repeats in by_trial.values())
    assert race("toy", 3, *split_options(kept)).trained == 0


def test_another_retest_when_starting_again_raises_the_seeds_and_never_lowers_them(
    study,
):
    arguments = study(workers=1, trials=4, retest=1)
    run_study(**arguments)
    notes = []

    def listen(event):
        if isinstance(event.message, Note):
            notes.append(event.message.text)

    raised = run_study(**arguments | {"retest": 2}, listen=listen)
    assert raised.plan.retest_seeds == 2
    assert {each.repeat for each in records(arguments, Kind.RETEST)} == {0, 1}
    assert len(records(arguments, Kind.RETEST)) == 8
    assert any(each.startswith("4 more retests") for each in notes)
    kept = run_study(**arguments | {"retest": 0}, listen=listen)
    assert kept.plan.retest_seeds == 2
    assert "toy keeps its 2 seeds for retests: --retest 0 takes none back" in notes
    assert len(records(arguments, Kind.RETEST)) == 8


def test_a_study_that_a_deadline_ended_is_retested_and_not_searched_further(study):
    arguments = study(workers=1, trials=3, retest=0)
    run_study(**arguments)
    with ledger_of(arguments) as ledger:
        ledger.set_budget(ledger.study("toy").id, trials=10, timeout_seconds=0.001)
    begun = len(records(arguments))
    done = retest(
        "toy", RetestOptions(seeds=2, top=1), **{name: arguments[name] for name in KEPT}
    ).study
    assert done.state is StudyState.FINISHED
    assert len(records(arguments)) == begun
    assert all(each.value is not None for each in records(arguments, Kind.RETEST))
    assert len(records(arguments, Kind.RETEST)) == 4
    with ledger_of(arguments) as ledger:
        ledger.extend(done.id, timeout_seconds=60)
        assert ledger.study("toy").deadline is not None
        assert ledger.study("toy").state is StudyState.OPEN, "the search goes on"


# -- the command -----------------------------------------------------------------------


def test_more_seeds_go_to_the_best_of_the_answer_and_yours(run, ledger, ended):
    told = run("retest", "toy", "--seeds", 5, "--top", 1, "--plan-only", "--json")
    assert told == {
        "study": "toy", "state": "open", "search_over": True, "seeds": 5, "top": 1, "trials": [4, 0], "added": 6, "waiting": 6,
        "answer": None,
    }  # fmt: skip
    assert ledger.study("toy").state is StudyState.OPEN
    shared = [seed_of(0, Kind.RETEST, repeat) for repeat in range(5)]
    assert repeats(ledger, ended) == {
        4: shared,
        0: shared,
        5: shared[:2],
        3: shared[:2],
    }
    assert len(train(ledger, ended, add_worker(ledger, ended))) == 6
    assert ledger.study("toy").state is StudyState.FINISHED


def test_more_settings_and_a_single_trial_have_as_many_seeds_as_the_others(
    run, ledger, ended
):
    said = run("retest", "toy", "--top", 4, "--plan-only")
    assert (
        said
        == "2 more retests: trials 4, 3, 5, 2 and yours on 2 seeds in all. Workers train them by: lrsearch attach toy\n"
    )
    run("retest", "toy", "--trial", 1, "--plan-only")
    assert {
        parent: len(seeds) for parent, seeds in repeats(ledger, ended).items()
    } == dict.fromkeys((4, 5, 3, 2, 1, 0), 2)
    assert "no retest is missing" in run("retest", "toy", "--seeds", 2, "--plan-only")


def test_a_study_in_progress_keeps_the_wish_for_its_end_and_trains_what_was_named_after_it(
    run, ledger
):
    made = ledger.create_study(plan(trials=6, retest_seeds=2))
    worker = add_worker(ledger, made)
    finish(ledger, claim(ledger, made, worker), value=0.5)
    said = run("retest", "toy", "--seeds", 3, "--top", 4, "--trial", 0)
    assert (
        "the search of toy is not over: at its end 4 settings and yours are retested on 3 seeds in all"
        in said
    )
    assert "lrsearch attach toy" in said
    rule = ledger.study("toy").plan
    assert (rule.retest_seeds, rule.retest_top) == (3, 4)
    assert {parent: len(seeds) for parent, seeds in repeats(ledger, made).items()} == {
        0: 3
    }
    assert train(ledger, made, worker) == [1, 2, 3, 4, 5]
    assert isinstance(ledger.claim(made.id, worker, lease_seconds=60), PlanRetests), (
        "before retests that wait"
    )
    stale = [Retest(parent=4, repeat=0, seed=1)]
    assert not ledger.plan_retests(made.id, stale, rule=(2, 3)), (
        "another number of seeds is asked for by now"
    )
    assert ledger.plan_retests(made.id, stale, rule=(3, 4))


def test_a_stopped_study_takes_the_retests_and_a_broken_one_refuses_them(
    run, ledger, ended
):
    run("retest", "toy", "--seeds", 3, "--plan-only")
    run("stop", "toy", "--now")
    said = run("retest", "toy", "--seeds", 4)
    assert said.startswith("4 more retests")
    assert said.endswith(
        "It is stopped: lrsearch resume toy, then lrsearch attach toy.\n"
    )
    assert ledger.study("toy").state is StudyState.STOPPED
    run("resume", "toy")
    assert len(train(ledger, ended, add_worker(ledger, ended))) == 8
    ledger.set_state(ended.id, StudyState.BROKEN, reason="Traceback: line 7")
    assert "lrsearch retry toy --failed" in run("retest", "toy", "--seeds", 9, code=1)


def test_what_cannot_be_retested_is_refused_and_changes_nothing(run, ledger):
    made = ledger.create_study(plan(trials=2, retest_seeds=2))
    worker = add_worker(ledger, made)
    finish(ledger, claim(ledger, made, worker), status=Status.DIVERGED, value=None)
    finish(ledger, claim(ledger, made, worker), status=Status.FAILED, value=None)
    assert "no trial of study 'toy' ran to its end with a value" in run(
        "retest", "toy", "--seeds", 3, code=4
    )
    assert "It is diverged." in run("retest", "toy", "--trial", 0, code=2)
    assert "toy has 0 to 1" in run("retest", "toy", "--trial", 12, code=2)
    assert "--seeds N" in run("retest", "toy", code=2)
    assert ledger.study("toy").plan.retest_seeds == 2
    assert repeats(ledger, made) == {}


def test_without_yours_the_others_are_retested_and_that_is_said(run, ledger):
    made = ledger.create_study(plan(trials=3, retest_seeds=0))
    worker = add_worker(ledger, made)
    finish(ledger, claim(ledger, made, worker), status=Status.DIVERGED, value=None)
    train(ledger, made, worker)
    said = run("retest", "toy", "--top", 2, "--plan-only")
    assert said.startswith(
        "6 more retests: trials 2, 1 on 3 seeds in all; yours has no value and is not retested."
    )
    assert len(train(ledger, made, worker)) == 6, (
        "a study without retests of its own trains those that are asked for"
    )


def test_retests_that_failed_stay_and_are_named(run, ledger, ended):
    run("retest", "toy", "--seeds", 3, "--top", 1, "--plan-only")
    worker = add_worker(ledger, ended)
    finish(ledger, claim(ledger, ended, worker), status=Status.FAILED, value=None)
    train(ledger, ended, worker)
    said = run("retest", "toy", "--seeds", 4, "--trial", 4, "--plan-only")
    assert "2 more retests" in said
    assert "1 retest of them ended without a value before, and stays so" in said


def test_a_study_file_that_is_not_here_is_refused_before_anything_is_added(
    run, ledger, ended
):
    assert "is not here" in run("retest", "toy", "--seeds", 9, code=2)
    assert {len(seeds) for seeds in repeats(ledger, ended).values()} == {2}
    assert ledger.study("toy").state is StudyState.FINISHED


# -- a race ----------------------------------------------------------------------------


def raced(ledger, study, worker):
    """Train what a race plans; returns the repeats by trial."""
    while not isinstance(
        asked := ledger.claim(study.id, worker, lease_seconds=60), Done
    ):
        if isinstance(asked, PlanRetests):
            assert asked.race
            plan_retests(ledger, study.name, asked, SearchSpace())
        else:
            value = asked.trial.setting.learning_rate + (asked.trial.seed % 97) / 1000
            ledger.bind(
                asked.trial.id,
                asked.attempt,
                setting=asked.trial.setting,
                params={},
                seed=asked.trial.seed,
            )
            finish(ledger, asked, value=value)
    return {parent: len(seeds) for parent, seeds in repeats(ledger, study).items()}


def test_a_race_has_at_most_so_many_retests_and_is_the_same_for_every_worker(
    ended, ledger, run
):
    worker = add_worker(ledger, ended)
    told = run("retest", "toy", "--total", "20", "--plan-only", "--json")
    assert (told["search_over"], told["added"], told["state"]) == (True, 12, "open")
    found = raced(ledger, ended, worker)
    assert sum(found.values()) <= 20
    assert set(found) == {4, 5, 3, 0, 2, 1}, "the best five and yours"
    assert ledger.study("toy").state is StudyState.FINISHED
    assert run("retest", "toy", "--total", "3", "--plan-only").startswith(
        "toy has 3 retests"
    )


def test_a_race_that_is_asked_for_during_the_search_takes_the_place_of_the_usual_retests(
    ledger, run
):
    made = ledger.create_study(plan(trials=4, retest_seeds=3))
    told = run("retest", "toy", "--total", "7")
    assert "up to 7 more retests of toy after its search" in told
    worker = add_worker(ledger, made)
    train(ledger, made, worker)
    assert ledger.claim(made.id, worker, lease_seconds=60) == PlanRetests(
        None, 7, race=True
    )
    assert sum(raced(ledger, made, worker).values()) <= 7
    assert ledger.study("toy").state is StudyState.FINISHED


def test_a_limit_of_trainings_rises_for_a_race_and_falls_by_what_it_did_not_need(
    ledger, run
):
    made = ledger.create_study(plan(trials=2, trainings=2, retest_seeds=0))
    worker = add_worker(ledger, made)
    train(ledger, made, worker)
    run("retest", "toy", "--total", "9", "--plan-only")
    assert ledger.study("toy").trainings == 11
    spent = raced(ledger, made, worker)
    assert ledger.study("toy").trainings == 2 + sum(spent.values())
    assert ledger.study("toy").plan.retest_total is None or sum(spent.values()) == 9


def test_total_is_given_alone(ended, run):
    run("retest", "toy", "--total", "20", "--seeds", "5", code=2)


# -- the model's choice ----------------------------------------------------------------


@pytest.fixture
def expecting(monkeypatch):
    """A model that expects trial 1 to be best, and notes which records it was shown."""
    shown = []

    def rank(space, records, direction):
        shown.append({each.kind for each in records})
        return (1, 2)

    monkeypatch.setattr(retest_planning, "rank_by_expectation", rank)
    return shown


def test_the_third_place_is_for_what_the_model_expects_to_be_best(ledger, expecting):
    made = ledger.create_study(plan(trials=6, retest_seeds=2))
    worker = add_worker(ledger, made)
    train(ledger, made, worker)
    asked = ledger.claim(made.id, worker, lease_seconds=60)
    assert isinstance(asked, PlanRetests)
    planned = plan_retests(ledger, "toy", asked, SearchSpace())
    assert set(planned.trials) == {4, 3, 1, 0}


@pytest.mark.parametrize(
    ("folds", "kinds"), [(None, {Kind.SEARCH, Kind.RETEST}), (5, {Kind.SEARCH})]
)
def test_with_folds_model_and_sampler_see_the_search_alone(
    ledger, ended, expecting, tmp_path, monkeypatch, folds, kinds
):
    facts = replace(ended.plan.facts, folds=folds)
    study = replace(ended, plan=replace(ended.plan, facts=facts))
    retest_planning._expected(study, ledger.trials(ended.id), SearchSpace())
    session, _ = trial_session(ledger, study, tmp_path, worker=1)
    observed = []
    monkeypatch.setattr(session._sampler, "observe", observed.extend)
    session._propose(9)
    assert [*expecting, {each.kind for each in observed}] == [kinds, kinds]


def test_a_race_begins_with_what_the_model_expects_to_be_best_too(
    ledger, run, expecting
):
    made = ledger.create_study(plan(trials=9, retest_seeds=0))
    worker = add_worker(ledger, made)
    train(ledger, made, worker)
    run("retest", "toy", "--total", "6", "--plan-only")
    assert {1, 2} < set(raced(ledger, made, worker))
    assert len(repeats(ledger, made)) == 6
