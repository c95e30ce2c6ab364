"""The choice drawn anew: how flattered a best is, when many might have been the best."""

from dataclasses import replace

import numpy as np
import pytest

from lrsearch.answer.selection import Race, choose_anew, true_costs


def race(searched, *, finalists=3, seeds=3, rows=0.0, variance=1.0):
    """A race whose retests found the costs that the search had found."""
    m = len(searched)
    costs, chosen = np.array(searched, dtype=float), np.argsort(searched)[:finalists]
    retested, counts = np.full(m, np.nan), np.zeros(m, dtype=int)
    retested[chosen], counts[chosen] = costs[chosen], seeds
    return Race(
        searched=costs,
        retested=retested,
        seeds=counts,
        yours_mean=0.0,
        yours_seeds=seeds,
        variances=np.full(m + 1, variance),
        df=np.full(m + 1, 1e6),
        rows=rows * np.eye(m + 1),
        per_training=np.zeros(m + 1),
    )


def flattery(one):
    misses = choose_anew(one)
    return -misses.mean(misses.finalists[:, 0])


def test_a_setting_that_stands_out_is_hardly_flattered():
    assert flattery(race([0.0, *[20.0] * 39])) == pytest.approx(0.0, abs=0.02)


def test_the_best_of_three_equals_is_flattered_by_the_best_of_three_means():
    # the expectation of the smallest of three is -0.846 standard deviations
    assert flattery(race([0.0] * 3)) == pytest.approx(0.846 / 3**0.5, abs=0.03)


def test_rows_stay_when_seeds_change_so_that_forty_equals_are_flattered_more():
    seeds_alone = flattery(race([0.0] * 40))
    with_rows = flattery(race([0.0] * 40, rows=1.0))
    assert seeds_alone < 0.55
    assert with_rows > 1.5


def test_a_leader_that_was_raced_is_hardly_flattered_by_the_luck_of_the_others_one_seed():
    raced = race([0.0] * 5, finalists=5)
    once = replace(raced, seeds=np.ones(5, dtype=int))
    first = np.where(np.arange(5) == 0, 25, 1)
    assert flattery(once) == pytest.approx(1.163, abs=0.05), (
        "the best of five single trainings"
    )
    assert flattery(replace(raced, seeds=first)) < 0.5


def test_yours_is_not_flattered_and_the_runner_up_less_than_the_best():
    misses = choose_anew(race([0.0] * 40, rows=1.0))
    assert misses.yours.mean() == pytest.approx(0.0, abs=0.06)
    assert misses.finalists[:, 0].mean() < misses.finalists[:, 1].mean()


def test_the_best_single_training_of_forty_is_flattered_by_the_best_of_forty():
    misses = choose_anew(race([0.0] * 40))
    assert misses.flattery(np.arange(40)) == pytest.approx(2.16, abs=0.08)
    assert misses.flattery(np.array([5])) == pytest.approx(0.0, abs=0.05)


def test_costs_whose_spread_is_noise_are_drawn_together_and_an_outlier_keeps_its_lead():
    noisy = np.random.default_rng(1).normal(size=40)
    centres = true_costs(race(noisy)).round(9)
    assert np.unique(centres).size < 30, (
        "whoever lies within the noise of the mean is there"
    )
    assert centres.min() > noisy.min() + 0.4
    lone = true_costs(race([-6.0, *noisy], finalists=1))
    assert lone[0] < -5.4


def test_settings_that_cannot_win_keep_their_costs():
    far = true_costs(race([0.0, 0.1, 0.2, 50.0, 80.0]))
    assert far[3:].tolist() == [50.0, 80.0]


def test_the_same_race_gives_the_same_misses():
    one, other = (choose_anew(race([0.0, 1.0, 2.0])) for _ in range(2))
    assert (one.finalists == other.finalists).all()


def test_what_seeds_do_row_by_row_is_the_least_that_a_training_varies():
    still = replace(race([0.0] * 3, variance=0.0), per_training=np.ones(4))
    assert flattery(still) == pytest.approx(0.846 / 3**0.5, abs=0.03)


def test_a_variance_that_is_badly_known_widens_its_own_settings_misses_alone():
    one, df = race(np.linspace(0, 1, 4), finalists=1), np.full(5, 1e6)
    sure, unsure = (
        choose_anew(one),
        choose_anew(replace(one, df=np.append(df[:4], 2.0))),
    )
    width = [
        np.ptp(each.interval(each.finalists[:, 0], 0.95)) for each in (sure, unsure)
    ]
    assert width[0] == pytest.approx(width[1], rel=0.1)
    width = [np.ptp(each.interval(each.yours, 0.95)) for each in (sure, unsure)]
    assert width[1] > 1.7 * width[0], "4.30 to 1.96 by the t of two degrees of freedom"


def test_draws_that_chose_another_kind_of_setting_count_little():
    lone = choose_anew(race([-3.0, *[0.0] * 39], finalists=3))
    assert -lone.mean(lone.finalists[:, 0]) < 0.1, (
        "hardly flattered, and often not chosen anew"
    )
    assert lone.weights.sum() == pytest.approx(1.0)


def test_a_covariance_of_rows_that_few_rows_tell_of_widens_the_misses():
    one = race([0.0] * 3, rows=4.0, variance=0.01)
    sure, unsure = choose_anew(one), choose_anew(replace(one, rows_df=4.0))
    assert unsure.yours.std() == pytest.approx(2.0 * 2**0.5, rel=0.1), (
        "t with 4 df: sd of sqrt(2)"
    )
    assert sure.yours.std() == pytest.approx(2.0, rel=0.05)


def test_where_every_draw_chose_a_setting_far_off_the_nearest_count():
    near = race([0.0, 500.0, 600.0], finalists=1, variance=1e-2)
    # the search promised 0
    far = replace(near, retested=np.array([800.0, np.nan, np.nan]))
    assert choose_anew(far).weights.sum() == pytest.approx(1.0)
