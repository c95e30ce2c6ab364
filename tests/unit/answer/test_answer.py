"""The answer: ranking, retests, table by optimizer, cautions."""

import json
import re
from dataclasses import replace

import pytest

from lrsearch.answer import (
    NOTEBOOK,
    SHELL,
    Decision,
    best_settings,
    build_leaderboard,
    could_win,
    few_retests,
    fitting_retests,
    retest_candidates,
    retests_within,
    summarise,
    trainings_left,
)
from lrsearch.answer.verdict_words import verdict_text
from lrsearch.report.answer_page import answer_text
from lrsearch.values import Direction, Kind, Origin, StudyState, TrialState

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE


@pytest.fixture
def some(trial):
    """Yours, five complete trials of three optimizers, and two that diverged."""
    return [
        trial(0, value=0.95),
        trial(1, "adam", 1e-3, 0.96),
        trial(2, "sgd", 1e-1, 0.97),
        trial(3, "sgd", 3e-1, 0.98),
        trial(4, "lion", 2e-4, 0.985),
        trial(5, "lion", 1e-4, 0.975),
        trial(6, "lion", 1e-2),
        trial(7, "lion", 3e-3),
    ]


def test_candidates_are_the_best_three_and_yours(some):
    assert retest_candidates(some, UP) == (4, 3, 5, 0)
    assert retest_candidates(some, DOWN) == (1, 2, 5, 0)
    assert retest_candidates(some, UP, top=1) == (4, 0)


def test_values_and_what_is_expected_to_be_best_take_turns(some, trial):
    assert retest_candidates(some, UP, expected=(2, 0, 1, 4, 3, 5)) == (4, 3, 2, 0)
    assert retest_candidates(some, UP, expected=(3, 4, 1, 2)) == (4, 3, 1, 0)
    assert retest_candidates(some, UP, top=5, expected=(1, 2)) == (4, 3, 1, 5, 2, 0)
    assert retest_candidates(some, UP, top=4, expected=(2,)) == (4, 3, 2, 5, 0)
    assert retest_candidates(some, UP, top=1, expected=(5, 1)) == (4, 0)
    twin = trial(8, "lion", 2e-4, 0.984, origin=Origin.RETRY)
    assert retest_candidates([*some, twin], UP, expected=(8, 1)) == (4, 3, 1, 0)


def test_equal_settings_are_retested_once_and_only_complete_trials_are(some, trial):
    twin = trial(8, "lion", 2e-4, 0.984, origin=Origin.RETRY)
    pruned = trial(9, "sgd", 2e-1, 0.999, state=TrialState.PRUNED)
    assert retest_candidates([*some, twin, pruned], UP) == (4, 3, 5, 0)


def test_yours_is_not_retested_where_it_diverged(trial):
    assert retest_candidates([trial(0), trial(1, value=0.9)], UP) == (1,)
    assert retest_candidates([], UP) == ()


@pytest.mark.parametrize(
    ("room", "planned"),
    [
        (None, ((7, 0, 5, 3), 3)),
        (12, ((7, 0, 5, 3), 3)),
        (11, ((7, 0, 5), 3)),
        (6, ((7, 0), 3)),
        (5, ((7, 0), 2)),
        (2, ((7, 0), 1)),
        (1, ((7, 0), 0)),
    ],
)
def test_where_not_all_retests_fit_the_leader_and_yours_come_first_on_every_seed(
    trial, room, planned
):
    assert fitting_retests((7, 5, 3, 0), trial(0), seeds=3, room=room) == planned


def test_where_yours_leads_or_ran_to_no_end_the_best_few_are_retested_as_they_come(
    trial,
):
    assert fitting_retests((0, 5, 3), trial(0), seeds=3, room=6) == ((0, 5), 3)
    assert fitting_retests((5, 3), trial(0, value=None), seeds=3, room=4) == ((5, 3), 2)
    assert fitting_retests((), None, seeds=3, room=4) == ((), 3)


@pytest.mark.parametrize(
    ("number", "planned"),
    [
        (6, "7/0 0/0 7/1 0/1 7/2 0/2"),
        (12, "7/0 0/0 7/1 0/1 7/2 0/2 5/0 5/1 5/2 3/0 3/1 3/2"),
        (9, "7/0 0/0 7/1 0/1 7/2 0/2 5/0 5/1 5/2"),
        # no setting on fewer seeds than others: more of the first two
        (8, "7/0 0/0 7/1 0/1 7/2 0/2 7/3 0/3"),
        (3, "7/0 0/0 7/1"),
        (0, ""),
    ],
)
def test_exactly_so_many_retests_are_chosen_as_a_limit_of_trainings_leaves(
    trial, number, planned
):
    pairs = retests_within(number, (7, 5, 3, 0), trial(0), seeds=3, done=())
    assert " ".join(f"{each}/{repeat}" for each, repeat in pairs) == planned


def test_what_is_retested_already_is_not_chosen_again_and_few_settings_get_more_seeds(
    trial,
):
    done = {(7, 0), (0, 0), (0, 1), (0, 2)}
    assert retests_within(5, (7, 5, 0), trial(0), seeds=3, done=done) == [
        (7, 1),
        (7, 2),
        (5, 0),
        (5, 1),
        (5, 2),
    ]
    assert retests_within(4, (7,), None, seeds=3, done=()) == [
        (7, 0),
        (7, 1),
        (7, 2),
        (7, 3),
    ]
    assert retests_within(4, (), None, seeds=3, done=()) == []


def test_a_setting_could_win_up_to_half_way_from_the_leader_to_the_median(some, trial):
    # 0.985 leads, the median of six is 0.9725: 0.97875 is half way
    assert could_win(some, UP) == {4, 3}
    assert could_win(some, DOWN) == {0, 1}
    assert could_win([trial(0, value=0.9)], UP) == {0}
    assert could_win([trial(0)], UP) == could_win([], UP) == frozenset()


@pytest.mark.parametrize(
    ("number", "able", "planned"),
    [
        (2, {7, 5, 3, 0}, "7/0 0/0"),  # the leader and yours
        (2, {7, 5}, "7/0 5/0"),  # yours could not win: its retest would change nothing
        (3, {7, 5}, "7/0 5/0 0/0"),
        (2, {7}, "7/0 0/0"),  # nobody could: yours says how much better the leader is
        (5, {7, 5}, "7/0 5/0 0/0 3/0 7/1"),
        (0, {7}, ""),
    ],
)
def test_few_retests_go_to_those_that_could_win_the_leader_and_yours_first(
    trial, number, able, planned
):
    pairs = few_retests(number, (7, 5, 3, 0), trial(0), able=able)
    assert " ".join(f"{each}/{repeat}" for each, repeat in pairs) == planned
    assert few_retests(number, (), None, able=()) == []


OPTIMIZERS_SEARCHED = (
    {"name": "optimizer", "choices": ["sgd", "adam", "lion", "rmsprop"]},
)


def dropped(study, some, **more):
    made = replace(
        study(dimensions=OPTIMIZERS_SEARCHED), **({"trials": len(some)} | more)
    )
    return [each for each in summarise(made, some).warnings if "look" in each]


def test_optimizers_that_were_dropped_after_one_look_or_never_tried_are_named(
    study, some
):
    [text] = dropped(study, some)
    assert text.startswith("Dropped after one look: adam; never tried: rmsprop. ")
    some = [each for each in some if each.number != 1]
    [text] = dropped(study, some)
    assert text.startswith("Dropped after one look: adam; never tried: rmsprop. "), (
        "yours was it"
    )
    assert dropped(study, some, trials=40) == [], "the search goes on"
    assert dropped(study, some, trials=None) == []


def test_without_retests_the_best_trial_is_the_answer(study, some):
    answer = summarise(study(), some)
    assert (answer.best.trial, answer.best.value, answer.best.retest) == (
        4,
        0.985,
        None,
    )
    assert (answer.yours.trial, answer.yours.value) == (0, 0.95)
    assert [each.trial for each in answer.runners_up] == [3, 5, 2]
    assert any("single trainings" in each for each in answer.warnings)


def test_the_best_mean_of_the_retested_is_the_answer(study, some, retests):
    records = [
        *some,
        *retests(4, [0.97, 0.96, 0.965]),
        *retests(3, [0.98, 0.979, 0.981]),
        *retests(0, [0.95, 0.951, 0.949]),
    ]
    answer = summarise(study(), records)
    assert answer.best.trial == 3
    assert answer.best.value == pytest.approx(0.98)
    assert answer.not_separable == ()
    assert [each.trial for each in answer.retested] == [3, 4, 0]


def test_overlapping_retests_are_not_separable(study, some, retests):
    records = [
        *some,
        *retests(4, [0.98, 0.985, 0.99]),
        *retests(3, [0.98, 0.975, 0.985]),
        *retests(0, [0.95, 0.951, 0.949]),
    ]
    assert summarise(study(), records).not_separable == (3,)


def test_a_setting_that_lost_a_seed_ranks_after_those_that_did_not(
    study, some, retests
):
    records = [
        *some,
        *retests(4, [0.99, 0.99, None]),
        *retests(3, [0.98, 0.979, 0.981]),
    ]
    answer = summarise(study(), records)
    assert answer.best.trial == 3
    assert any("1 of 3 fresh seeds" in each for each in answer.warnings)


def failing(retests):

    return [
        replace(each, state=TrialState.FAILED, reason="OSError: no test split")
        for each in retests
    ]


def test_a_setting_that_diverged_in_every_retest_is_said_to_and_ranks_after_all_others(
    study, some, retests
):
    lost = retests(4, [None, None, None])
    answer = summarise(
        study(),
        [
            *some,
            *lost,
            *retests(3, [0.97, 0.969, 0.971]),
            *retests(5, [0.96, 0.961, 0.962]),
            *retests(0, [0.9]),
        ],
    )
    assert [each.trial for each in answer.retested] == [3, 5, 0, 4]
    assert (answer.best.trial, answer.best.seeds) == (3, 3)
    assert [each for each in answer.warnings if "not retested" in each] == []
    assert (
        "Trial 4 went wrong on 3 of 3 fresh seeds (3 diverged): it ranks after the others. See lrsearch show digits 4/1."
        in (answer.warnings)
    )
    assert "(1 training; retests: 3 diverged)" in answer_text(answer)


def test_where_every_retest_diverged_the_best_that_did_not_is_of_a_single_training_and_that_is_said(
    study, some, retests
):
    lost = [
        each for trial in (4, 3, 5, 0) for each in retests(trial, [None, None, None])
    ]
    answer = summarise(study(), [*some, *lost])
    assert (answer.best.trial, answer.best.value, answer.best.seeds) == (2, 0.97, 0)
    assert any("No retest gave a value" in each for each in answer.warnings)
    assert not any("retests tell how much" in each for each in answer.warnings), (
        "the words of a study never retested"
    )
    only = summarise(study(), [some[4], *retests(4, [None, None])])
    assert only.best.trial == 4
    assert any(
        "(2 diverged): no other setting did better" in each for each in only.warnings
    )


def test_retests_that_all_failed_leave_the_order_of_the_search_and_are_named(
    study, some, retests
):
    records = [
        *some,
        *failing(
            [each for trial in (4, 3, 5, 0) for each in retests(trial, [None, None])]
        ),
    ]
    answer = summarise(study(), records)
    assert (answer.best.trial, answer.best.value) == (4, 0.985), (
        "a failure that meets all says nothing of one"
    )
    assert any(
        "Trial 4 went wrong on 2 of 2 fresh seeds (2 failed)" in each
        for each in answer.warnings
    )
    assert not any(
        "not retested yet" in each or "tell how much" in each
        for each in answer.warnings
    )
    full = answer.to_json()["retest"]
    assert (full["mean"], full["n"], full["lost"], full["diverged"]) == (None, 0, 2, 0)
    json.loads(json.dumps(answer.to_json(), allow_nan=False))


def test_yours_is_no_winner_where_the_others_retests_gave_no_value(
    study, some, retests
):
    answer = summarise(
        study(state=StudyState.FINISHED),
        [*some, *failing(retests(4, [None])), *retests(0, [0.95])],
    )
    assert answer.best.trial == 0
    assert any("Yours is the best of what ran well" in each for each in answer.warnings)
    assert not any("Nothing beat yours" in each for each in answer.warnings)


def test_commands_quote_a_study_with_a_space(study, some, trial):
    spaced = study(state=StudyState.FINISHED)
    spaced = replace(spaced, plan=replace(spaced.plan, name="my digits $x"))
    said = summarise(spaced, [*some, trial(8, state=TrialState.FAILED)]).warnings
    assert any("lrsearch show 'my digits $x' 8" in each for each in said)
    assert any(
        "lrsearch extend 'my digits $x' --trials 20, then lrsearch attach 'my digits $x'"
        in each
        for each in said
    )


def test_the_smallest_mean_wins_where_less_is_better(study, some, retests):
    records = [*some, *retests(1, [0.4, 0.41, 0.42]), *retests(0, [0.3, 0.31, 0.32])]
    answer = summarise(study(DOWN, state=StudyState.FINISHED), records)
    assert answer.best.trial == 0
    assert any("Nothing beat yours" in each for each in answer.warnings)


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.DIVERGED])
def test_where_no_searched_trial_ran_well_nothing_is_compared(study, trial, state):
    records = [
        trial(0, value=0.9),
        *(trial(n, "sgd", 0.1, state=state) for n in (1, 2)),
    ]
    answer = summarise(study(), records)
    assert not any("beat" in each for each in answer.warnings)
    assert any("No searched trial ran well" in each for each in answer.warnings)
    page = answer_text(answer)
    assert "  yours" in page
    assert "  best" not in page.partition("optimizer")[0]
    alone = summarise(study(), records[:1])
    assert not any("beat" in each for each in alone.warnings)


def test_by_optimizer_tells_from_which_rate_on_it_diverges(study, some, trial):
    rows = {row.optimizer: row for row in summarise(study(), some).by_optimizer}
    assert list(rows) == ["lion", "sgd", "adam"]
    lion = rows["lion"]
    assert (lion.best, lion.best_trial, lion.best_rate, lion.median) == (
        0.985,
        4,
        2e-4,
        pytest.approx(0.98),
    )
    assert (lion.trials, lion.complete, lion.diverged, lion.diverges_from) == (
        4,
        2,
        2,
        3e-3,
    )
    assert rows["adam"].trials == 1  # yours is not counted
    assert rows["sgd"].diverges_from is None
    unlucky = summarise(study(), [*some, trial(8, "lion", 5e-3, 0.5)]).by_optimizer
    # 3e-3 alone is below a rate that held
    assert next(row for row in unlucky if row.optimizer == "lion").diverges_from == 1e-2


def test_by_optimizer_tells_up_to_which_rate_it_crawls(study, trial):
    def row(*more):
        [found] = summarise(
            study(), [trial(1, "adam", 1e-3, 0.97, logs={"loss": 0.1}), *more]
        ).by_optimizer
        return found.crawls_to

    slow = [
        trial(2, "adam", 1e-6, 0.1, logs={"loss": 2.3}),
        trial(3, "adam", 1e-5, 0.5, logs={"loss": 1.5}),
    ]
    assert row(*slow) == 1e-5
    # within 1 % of the best value
    assert row(*slow, trial(4, "adam", 1e-4, 0.965, logs={"loss": 0.12})) == 1e-5
    # 1e-5 alone is above a rate that did well
    assert row(*slow, trial(4, "adam", 5e-6, 0.97, logs={"loss": 0.1})) == 1e-6
    # a tenth of the way back: another cause
    assert row(*slow, trial(4, "adam", 1e-4, 0.9, logs={"loss": 0.3})) == 1e-5
    assert row(*slow, trial(4, "adam", 1e-4, 0.9, logs={"loss": 0.4})) == 1e-4
    # too high is not too low
    assert row(trial(2, "adam", 1e-2, 0.5, logs={"loss": 1.5})) is None
    assert row(trial(2, "adam", 1e-5, 0.5)) is None  # a train_step that logs no loss
    assert row(trial(2, "adam", 1e-5)) is None  # diverged


def test_good_rates_are_those_within_one_percent_or_the_noise(
    study, some, trial, retests
):
    more = [*some, trial(8, "lion", 5e-5, 0.9)]
    rows = {row.optimizer: row for row in summarise(study(), more).by_optimizer}
    # 0.975 is 0.010 below, a little more than 1 %
    assert rows["lion"].good_rates == (2e-4, 2e-4)
    noisy = [*more, *retests(4, [0.93, 0.98, 1.0])]
    rows = {row.optimizer: row for row in summarise(study(), noisy).by_optimizer}
    assert rows["lion"].good_rates == (1e-4, 2e-4)


def test_json_has_every_key_with_and_without_an_answer(study, some, trial):
    full = summarise(study(), some).to_json()
    bare = summarise(study(), [trial(0), trial(1)]).to_json()
    assert full.keys() == bare.keys()
    assert {
        "trial",
        "value",
        "optimizer",
        "learning_rate",
        "schedule",
        "params",
        "retest",
        "yours",
    } <= full.keys()
    assert (full["trial"], full["optimizer"], full["learning_rate"]) == (
        4,
        "lion",
        2e-4,
    )
    assert full["params"] == {"batch_size": 32, "warmup": 0.05}
    assert bare["trial"] is None
    json.loads(json.dumps(full, allow_nan=False))


def test_every_trial_diverged_is_said(study, trial):
    warnings = summarise(study(), [trial(0), trial(1)]).warnings
    assert any("Every trial diverged (2)" in each for each in warnings)
    assert any("Yours diverged" in each for each in warnings)


def test_nothing_is_said_of_a_study_that_has_just_begun(study, trial):
    assert (
        summarise(
            study(),
            [
                trial(0, state=TrialState.RUNNING),
                trial(1, state=TrialState.WAITING, setting=None),
            ],
        ).warnings
        == ()
    )


def test_too_few_trials_and_failures_are_said(study, some, trial):
    warnings = summarise(study(), [*some, trial(8, state=TrialState.FAILED)]).warnings
    assert any("Only 6 trials ran to the end" in each for each in warnings)
    assert any("1 trial failed: lrsearch show digits 8" in each for each in warnings)


def test_while_a_search_goes_on_nobody_is_told_to_extend_it(study, trial):
    records = [trial(0, value=0.9), trial(1, "adam", 1e-3, 0.8)]
    going, ended = (
        " ".join(summarise(study(state=state), records).warnings)
        for state in (StudyState.OPEN, StudyState.FINISHED)
    )
    assert "Nothing has beaten yours yet." in going
    assert "retests tell how much when the search has ended." in going
    assert "extend" not in going
    assert "Nothing beat yours" in ended
    assert "lrsearch extend digits --trials 20" in ended


def test_a_best_rate_at_the_edge_of_the_range_is_said(study, some):
    narrow = study(asked_rates={"lion": (1e-5, 2.2e-4)})
    assert any(
        "higher rates than 2.2e-4" in each for each in summarise(narrow, some).warnings
    )
    wide = study(asked_rates={"lion": (1e-5, 1e-3)})
    assert not any("edge" in each for each in summarise(wide, some).warnings)


def test_a_range_that_moved_is_said_once_and_the_edge_is_where_it_moved_to(
    study, trial
):
    auto = study(state=StudyState.FINISHED)
    auto = replace(auto, plan=replace(auto.plan, sampler="auto"))
    inside, beyond = trial(1, "adam", 1e-3, 0.8), trial(2, "adam", 0.5, 0.9)
    [moved] = [
        each for each in summarise(auto, [inside, beyond]).warnings if "beyond" in each
    ]
    assert "from trial 2 on: up to 185 times" in moved
    [edge] = [
        each for each in summarise(auto, [inside, beyond]).warnings if "edge" in each
    ]
    assert "to 5.0e-1)" in edge
    assert "extend" in edge
    assert not any("beyond" in each for each in summarise(auto, [inside]).warnings)
    assert not any(
        "beyond" in each for each in summarise(study(), [inside, beyond]).warnings
    )


def test_the_edge_of_a_larger_batch_is_further_out(study, trial):

    best = trial(1, "sgd", 8.0, 0.9)
    # 16 times the base: sgd is searched up to 130
    wide = replace(best, setting=replace(best.setting, batch_size=512))
    assert any("edge" in each for each in summarise(study(), [best]).warnings)
    assert not any("edge" in each for each in summarise(study(), [wide]).warnings)


def test_a_rate_that_keras_did_not_follow_is_said_and_no_edge(study, trial):
    asked = study(asked_rates={"adafactor": (1e-3, 1.0)})
    said = summarise(asked, [trial(1, "adafactor", 0.9, 0.9)]).warnings
    assert any("1/sqrt(update)" in each for each in said)
    assert not any("edge" in each for each in said)
    assert not any(
        "1/sqrt" in each
        for each in summarise(asked, [trial(1, "adafactor", 1e-3, 0.9)]).warnings
    )


def test_yours_that_was_retried_is_its_retry(study, some, trial):
    failed = trial(0, state=TrialState.FAILED)
    again = trial(9, value=0.95, origin=Origin.YOURS)
    answer = summarise(study(), [failed, *some[1:], again])
    assert (answer.yours.trial, answer.yours.searched) == (9, 0.95)
    assert not any("Yours failed" in each for each in answer.warnings)


def test_better_trials_since_the_retests_are_named(study, some, retests, trial):
    done = [
        *retests(4, [0.98, 0.97]),
        *retests(3, [0.97, 0.97]),
        *retests(5, [0.97, 0.96]),
        *retests(0, [0.95, 0.94]),
    ]
    assert not any(
        "Since the retests" in each
        for each in summarise(study(), [*some, *done]).warnings
    )
    later = summarise(study(), [*some, *done, trial(200, "adam", 2e-3, 0.99)])
    assert any(
        "Since the retests trial 200 is among the best" in each
        for each in later.warnings
    )


def test_good_settings_for_which_the_budget_had_no_retest_are_named_and_yours_by_the_verdict(
    study, some, retests
):
    few = [*retests(4, [0.98]), *retests(3, [0.97])]
    answer = summarise(study(), [*some, *few])
    (caution,) = (each for each in answer.warnings if "retest" in each)
    assert caution == (
        "No retest was left for trial 5, among the best of the search: "
        "lrsearch retest digits --seeds 3 trains more."
    )
    assert verdict_text(answer.verdict) == (
        "Undecided: no fresh seeds compare the best with yours. One training of yours gave 0.95, "
        "and trial 4 gave 0.98 on 1 fresh seed."
    )


@pytest.fixture
def many(trial):
    """Yours and 35 settings; the higher a trial's number, the better its value."""
    return [trial(0, value=0.5)] + [
        trial(each, "adam", each / 1000, 0.5 + each / 100) for each in range(1, 36)
    ]


def about_retests(study, records):
    said = summarise(study(), records).warnings
    return [each for each in said if "retest" in each]


def test_a_third_value_gives_its_place_to_what_the_model_expects_and_no_better_one_does(
    study, many, retests
):
    def done(*numbers):
        return [each for number in numbers for each in retests(number, [0.9, 0.8])]

    assert not about_retests(study, [*many, *done(35, 34, 7, 0)])
    (said,) = about_retests(study, [*many, *done(35, 7, 6, 0)])
    assert said.startswith("No retest was left for trial 34, among the best")
    (said,) = about_retests(study, [*many[:20], *done(19, 18, 7, 0)])
    assert said.startswith("No retest was left for trial 17, among the best")


def test_what_was_retested_before_an_extension_is_no_reason_to_call_others_newer(
    study, many, retests
):
    first = [each for number in (20, 19, 0) for each in retests(number, [0.9, 0.8])]
    later = [replace(each, id=each.id + 900) for each in many[21:]]
    second = [
        replace(each, id=each.id + 1900)
        for number in (35, 34, 7)
        for each in retests(number, [0.9, 0.8])
    ]
    assert not about_retests(study, [*many[:21], *first, *later, *second])
    (said,) = about_retests(study, [*many[:21], *first, *later])
    assert said.startswith("Since the retests trials 35, 34, 33 are among the best")


def test_what_is_planned_already_is_not_counted_as_to_come_again(study, many, retests):
    done = [each for number in (35, 34, 7, 0) for each in retests(number, [0.9] * 3)]
    ended = replace(study(), trials=len(many))
    assert trainings_left(replace(ended, retests_for=36), [*many, *done]) == 0
    assert trainings_left(ended, many) == 12
    assert trainings_left(ended, [*many, *retests(5, [0.9])]) == 12


def test_a_general_method_that_loses_to_one_it_includes_is_said(study, trial):
    special = [trial(number, "sgd", 0.1 + number / 100, 0.95) for number in range(1, 4)]
    general = [
        trial(number, "momentum", 0.01 + number / 100, 0.90) for number in range(4, 7)
    ]
    late = trial(8, "momentum", 0.5, 0.96)  # beyond the budget that both had
    said = [
        each
        for each in summarise(study(), [*special, *general]).warnings
        if "momentum can do what sgd does" in each
    ]
    assert len(said) == 1
    assert said[0] in summarise(study(), [*special, *general, late]).warnings
    assert not any(
        "can do what" in each
        for each in summarise(study(), [*special, *general[:2]]).warnings
    )


def test_retests_to_come_are_counted(study, some, retests, trial):
    waiting = trial(200, kind=Kind.RETEST, parent=3, repeat=0, state=TrialState.WAITING)
    answer = summarise(study(), [*some, *retests(4, [0.98, 0.97, 0.985]), waiting])
    assert any("1 retest is still to be done" in each for each in answer.warnings)


def test_values_on_the_test_split_are_kept_beside(study, some, retests):

    tested = [
        replace(each, logs={"test_accuracy": 0.9})
        for each in retests(4, [0.98, 0.97, 0.985])
    ]
    assert summarise(study(), [*some, *tested]).best.retest.test == (0.9, 0.9, 0.9)


def test_an_undecided_verdict_names_what_would_settle_it(study, some, retests):
    records = [
        *some,
        *retests(4, [0.98, 0.985, 0.99]),
        *retests(0, [0.98, 0.975, 0.985]),
    ]
    for ways, way in (
        (SHELL, r"lrsearch retest digits --seeds (\d+)"),
        (NOTEBOOK, r"result.retest\(seeds=(\d+)\)"),
    ):
        step = summarise(study(), records, ways=ways).next
        assert (step.action, step.rows) == ("retest", None)
        assert int(re.search(way, step.text)[1]) == step.seeds > 3
    waiting = replace(records[-1], state=TrialState.WAITING, value=None)
    assert summarise(study(), [*records[:-1], waiting]).next.action == "wait"


def test_more_seeds_are_not_asked_for_where_every_seed_gives_the_same_training(
    study, some, retests
):
    records = [
        replace(each, logs={"val_accuracy": 0.98, "loss": 1.0}, value=0.98)
        for each in (
            *retests(4, [0.98, 0.985, 0.99]),
            *retests(0, [0.98, 0.975, 0.985]),
        )
    ]
    answer = summarise(study(), [*some, *records])
    assert answer.verdict.decision is Decision.UNDECIDED
    assert answer.next.action == "look"
    assert "More seeds show nothing" in answer.next.text
    assert "retest" not in answer.next.text


def test_a_notebooks_notes_name_no_command(study, some, retests, trial):
    failed = replace(trial(8), state=TrialState.FAILED)
    nan = replace(trial(7), state=TrialState.COMPLETE)
    for records in (
        [*some, failed, nan, *retests(4, [0.9, None])],
        [some[4], failed],
        [failed],
        [trial(1)],
    ):
        answer = summarise(study(), records, ways=NOTEBOOK)
        assert answer.warnings
        assert not [
            each for each in answer.warnings if re.search("lrsearch [a-z]", each)
        ]


def test_more_seeds_go_first_to_the_best_of_the_retested_and_last_to_what_diverged(
    study, some, retests, trial
):
    twin = replace(some[4], id=60, number=59)
    records = [
        *some,
        twin,
        *retests(4, [0.97, 0.96]),
        *retests(3, [0.98, 0.97]),
        *retests(5, [0.99, None]),
        *retests(0, [0.999]),
    ]

    def chosen(records):
        return best_settings(build_leaderboard(study().plan.facts, records), UP, top=9)

    others = tuple(
        each for each in retest_candidates(some, UP, top=9) if each not in {4, 3, 5, 0}
    )
    assert chosen(records) == (3, 4, *others, 5)
    failed = [
        replace(each, state=TrialState.FAILED, value=None)
        for each in retests(4, [None, None])
    ]
    assert chosen([*some, *failed]) == retest_candidates(some, UP, top=9)[:-1], (
        "a failure may be the file's fault"
    )
