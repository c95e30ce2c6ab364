"""Arms at equal numbers of trials: the estimate, its intervals, and when there is a verdict."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest

from lrsearch.answer.arms import TAUS, compare_arms, profiles_of
from lrsearch.answer.comparison import (
    budgets_of,
    contrast_all,
    expect,
    expected_best,
    performance_profile,
    permutation_p,
    resample,
)
from lrsearch.report.comparison_page import comparison_text, methods_text, profiles_text
from lrsearch.values import Direction, Origin, TrialState

DIMENSIONS = (
    {"name": "optimizer", "kind": "categorical", "choices": ["sgd", "adam", "lion"]},
    {"name": "schedule", "kind": "categorical", "choices": ["linear"]},
    {"name": "learning_rate", "kind": "float", "low": 1e-9, "high": 1e4, "choices": []},
    {"name": "warmup", "kind": "float", "low": 0.0, "high": 0.2, "choices": []},
    {"name": "adam.beta_1", "kind": "float", "low": 0.8, "high": 0.95, "choices": []},
)


# -- the estimate ----------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_the_expected_best_is_the_mean_over_all_subsets(k):
    costs = np.array([3.0, -1.0, 4.0, 1.0, 5.0])
    every = [min(each) for each in combinations(costs, k)]
    assert expected_best(costs, k) == pytest.approx(np.mean(every))


@pytest.mark.parametrize(
    ("trials", "budgets"),
    [(0, (1,)), (1, (1,)), (3, (1,)), (8, (1, 2, 4)), (20, (1, 2, 4, 8, 10))],
)
def test_budgets_are_powers_of_two_up_to_half_of_the_trials(trials, budgets):
    assert budgets_of(trials) == budgets


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    drawn, k, held = np.random.default_rng(3), 4, 0
    truth = np.sort(drawn.normal(size=(200_000, k)), axis=1)[:, 0].mean()
    for seed in range(200):
        found = expect(drawn.normal(size=16), k, resample(16, seed=seed))
        held += found.low <= truth <= found.high
    assert 0.80 <= held / 200 <= 0.99, (
        "a percentile bootstrap of 16 values is a little narrow"
    )


@pytest.mark.parametrize("paired", [True, False])
def test_two_arms_that_are_the_same_are_called_different_in_at_most_five_in_a_hundred(
    paired,
):
    drawn, called = np.random.default_rng(5), 0
    for _ in range(300):
        same = {"a": drawn.normal(size=16), "b": drawn.normal(size=16)}
        called += permutation_p(same["a"], same["b"], 8, paired=paired) <= 0.05
    assert called / 300 <= 0.08


def test_a_large_difference_is_called_and_few_trials_or_a_barred_arm_prevent_it():
    drawn = np.random.default_rng(7)
    costs = {"a": drawn.normal(size=16), "b": drawn.normal(size=16) + 3.0}
    [found] = contrast_all(costs, 8)
    assert (found.better, found.difference < 0) == ("a", True)
    assert contrast_all(costs, 8, barred=["b"])[0].better is None
    few = {name: each[:5] for name, each in costs.items()}
    assert contrast_all(few, 2)[0].better is None


def test_pairing_narrows_the_interval_where_arms_share_their_points():
    drawn = np.random.default_rng(9)
    points = drawn.normal(size=16)
    costs = {"a": points, "b": points + 0.1 * drawn.normal(size=16)}
    widths = []
    for paired in (True, False):
        low, high = contrast_all(costs, 4, paired=paired)[0].interval
        widths.append(high - low)
    assert widths[0] < 0.5 * widths[1]


def test_a_profile_is_the_share_of_studies_within_each_gap():
    gaps = {"a": [0.0, 0.0, 0.3], "b": [0.05, 1.0, 0.0]}
    found = performance_profile(gaps, (0.01, 0.1, 1.0))
    assert found["a"] == pytest.approx((2 / 3, 2 / 3, 1.0))
    assert found["b"] == pytest.approx((1 / 3, 2 / 3, 1.0))


# -- the arms of a study ---------------------------------------------------------------


@pytest.fixture
def searched(trial):
    """Eight trials of sgd and ten of adam at the rates of one sequence; lion diverged always."""
    drawn = np.random.default_rng(1)
    records = [trial(0, "rmsprop", value=0.99)]
    for n in range(10):
        place = drawn.uniform(-1, 1)
        noise = drawn.normal(scale=0.001)
        hyper = {"beta_1": 0.85 + place / 20, "beta_2": 0.999}
        records += [
            trial(3 * n + 1, "sgd", 0.1 * 10**place, 0.80 - place**2 / 10 + noise),
            trial(3 * n + 2, "adam", 1e-3 * 10**place, 0.90 - place**2 / 10 + noise),
            trial(3 * n + 3, "lion", 1e-4 * 10**place),
        ]
        records[-2] = replace(
            records[-2], setting=replace(records[-2].setting, hyper=hyper)
        )
    cut = [
        each
        for each in records
        if not (each.setting.optimizer == "sgd" and each.number > 24)
    ]
    return [*cut, trial(90, "adam", 1e-3, 0.999, origin=Origin.REFERENCE)]


@pytest.fixture
def compared(study, searched):
    def compare(
        records=searched, *, equal=True, direction=Direction.MAXIMIZE, name="digits"
    ):
        made = study(direction, dimensions=DIMENSIONS)
        made = replace(made, plan=replace(made.plan, name=name))
        return compare_arms(made, made, records, by="optimizer", equal=equal)

    return compare


def test_equal_numbers_of_random_trials_count_and_nothing_else(compared):
    found = compared()
    assert [(arm.name, arm.trials) for arm in found.arms] == [("adam", 8), ("sgd", 8)]
    assert found.each == 8
    assert found.untried == ("lion",)
    assert found.arms[0].best < 0.95, "neither yours nor the reference"
    assert found.left_out == 30 - 2 - 16 + 1
    for arm in found.arms:
        values = [each.value for each in arm.expected]
        assert all(one <= other for one, other in pairwise(values)), (
            "more trials, better best"
        )
        assert all(each.low <= each.value <= each.high for each in arm.expected)


def test_a_verdict_takes_equal_quasi_random_trials(compared):
    [found] = compared().contrasts
    assert found.better == "adam"
    assert found.difference == pytest.approx(0.1, abs=0.03)
    assert found.interval[0] <= found.difference <= found.interval[1]
    descriptive = compared(equal=False)
    assert descriptive.contrasts[0].better is None
    assert "Descriptive" in comparison_text(descriptive)
    assert "adam is better than sgd after 4 trials" in comparison_text(compared())
    assert "A permutation test" not in comparison_text(descriptive)
    assert "its p is corrected for 1 pair." in comparison_text(compared())


def test_an_objective_that_falls_turns_everything_round(compared):
    down = compared(direction=Direction.MINIMIZE)
    assert [arm.name for arm in down.arms] == ["sgd", "adam"]
    assert down.contrasts[0].better == "sgd"
    values = [each.value for each in down.arms[0].expected]
    assert all(one >= other for one, other in pairwise(values))


def test_an_arm_whose_best_rate_lies_at_the_end_of_its_range_gets_no_verdict(
    compared, searched
):
    rising = [
        replace(each, value=0.9 + np.log10(each.peak_rate) / 100)
        if each.setting.optimizer == "adam" and each.state is TrialState.COMPLETE
        else each
        for each in searched
    ]
    top = max(each.peak_rate for each in rising if each.setting.optimizer == "adam")
    moved = [
        replace(each, setting=replace(each.setting, learning_rate=1e3 * top))
        if each.peak_rate == top and each.setting.optimizer == "adam"
        else each
        for each in rising
    ]
    best = [
        replace(each, value=0.97) if each.peak_rate == 1e3 * top else each
        for each in moved
    ]
    found = compared(best)
    assert "high end" in found.arms[0].at_edge
    assert found.contrasts[0].better is None
    assert "gets no verdict" in comparison_text(found)


def test_a_diverged_trial_counts_as_the_worst_that_ended(compared, searched):
    lost = [
        replace(each, state=TrialState.DIVERGED, value=None)
        if each.setting.optimizer == "sgd" and each.number < 13
        else each
        for each in searched
    ]
    arm = compared(lost).arms[1]
    worst = min(each.value for each in lost if each.has_value and not each.is_yours)
    assert arm.diverged == 4
    assert arm.expected[0].value == pytest.approx(
        (4 * worst + sum(each.value for each in lost if _kept(each))) / 8
    )


def _kept(each):
    return each.setting.optimizer == "sgd" and each.has_value


def test_what_was_tuned_and_what_was_kept_is_listed_for_each_arm(compared):
    adam, sgd = compared().arms
    assert any(each.startswith("learning_rate 0.000") for each in adam.tuned)
    assert "adam.beta_1 0.8 to 0.95" in adam.tuned
    assert "warmup 0 to 0.2" in adam.tuned
    assert set(adam.kept) == {"beta_2 0.999", "batch_size 32"}
    assert not any("beta" in each for each in sgd.tuned)


def test_without_trials_that_count_nothing_is_compared(compared, trial):
    found = compared([trial(0, value=0.5)])
    assert (found.arms, found.contrasts, found.each) == ((), (), 0)
    assert "no optimizer has a trial" in comparison_text(found)


def test_a_paper_gets_the_method_in_words_and_a_table(compared):
    text = methods_text([compared()])
    assert (
        "we trained 8 settings, at the same points of one scrambled Sobol sequence"
        in text
    )
    assert "| adam | " in text
    assert "expected highest val_accuracy" in text
    assert "no test is made" in methods_text([compared(equal=False)])


def test_profiles_are_over_the_arms_that_all_studies_have(compared, searched):
    found = profiles_of(
        [compared(name="a"), compared(name="b", direction=Direction.MINIMIZE)]
    )
    assert found.keys() == {"adam", "sgd"}
    assert found["adam"][0] == found["sgd"][0] == 0.5, "each is best in one"
    assert len(found["adam"]) == len(TAUS)
    assert "Over 2 studies" in profiles_text(found, 2)


def test_one_trial_of_each_has_no_interval(compared, searched):
    found = compared(searched[1:4], equal=False)
    text = comparison_text(found)
    assert "over the first trial of each" in text
    assert f"{found.arms[0].expected[0].value:.4f} (" not in text
    assert "we used the first setting that a search had chosen" in methods_text([found])
    assert "the first 8 settings" in methods_text([compared(equal=False)])
