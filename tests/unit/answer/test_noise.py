"""The noise of seeds and of rows, held against formulas and arrays whose parts are known."""

import numpy as np
import pytest
from scipy import stats

from lrsearch.answer.row_noise import carrying_rows, row_noise, rows_freedom
from lrsearch.answer.seed_noise import seed_noise

RANDOM = np.random.default_rng(3)


def test_a_variance_is_drawn_to_the_pool_by_four_degrees_of_freedom():
    noise = seed_noise([[1.0, 3.0, 5.0], [2.0, 2.0, 2.0], [7.0]])
    # of 4 and 0, each with two degrees of freedom
    assert noise.pooled == pytest.approx(2.0)
    assert noise.variance(0) == pytest.approx((4 * 2.0 + 2 * 4.0) / 6)
    assert noise.variance(1) == pytest.approx((4 * 2.0 + 2 * 0.0) / 6)
    assert noise.variance(2) == pytest.approx(2.0), "one training: the pool's"


def test_the_pool_counts_no_more_than_it_has():
    noise = seed_noise([[1.0, 3.0], [2.0]])
    assert noise.prior_df == 1
    assert noise.variance(0) == pytest.approx(2.0)


def test_where_each_setting_was_trained_once_nothing_is_known_of_seeds():
    assert seed_noise([[1.0], [2.0], []]) is None


def test_freedom_is_the_pools_where_settings_share_everything_and_less_for_one_alone():
    noise = seed_noise([[1.0, 2.0, 4.0]] * 4)
    assert noise.freedom([1 / 3] * 4) == pytest.approx(8.0)
    assert 4.0 < noise.freedom([1 / 3, 0, 0, 1 / 3]) < 8.0


def test_a_pool_draws_each_variance_to_its_own_scale():
    noise = seed_noise([[1.0, 3.0, 5.0], [2.0, 2.1, 2.2]], scales=[300.0, 1.0])
    sizes = [300 / 150.5, 1 / 150.5]
    assert noise.scales == pytest.approx(sizes)
    assert noise.pooled == pytest.approx((4.0 / sizes[0] + 0.01 / sizes[1]) / 2)
    assert noise.variance(1) == pytest.approx(
        (4 * noise.pooled * sizes[1] + 2 * 0.01) / 6
    )
    assert (
        noise.variance(1)
        < 0.02
        < seed_noise([[1.0, 3.0, 5.0], [2.0, 2.1, 2.2]]).variance(1)
    )


def test_scales_of_which_one_is_nothing_say_nothing():
    groups = [[1.0, 3.0, 5.0], [2.0, 2.1, 2.2]]
    assert seed_noise(groups, scales=[1.0, 0.0]) == seed_noise(groups)


def test_freedom_is_that_of_equal_variances_where_scales_say_what_differs():
    quiet, loud = [1.0, 2.0, 4.0], [10.0, 20.0, 40.0]
    noise = seed_noise([quiet, loud], scales=[1.0, 100.0])
    assert noise.freedom([1.0, 0.01]) == pytest.approx(4.0)


GOOD = [[1.0, 1.1, 1.2], [1.05, 1.15, 1.25], [1.1, 1.2, 1.3]]


def test_a_setting_that_is_far_behind_and_noisier_keeps_its_variance_to_itself():
    noise, without = seed_noise([*GOOD, [20.0, 22.0, 24.0]]), seed_noise(GOOD)
    assert noise.alone == {3}
    assert noise.pooled == pytest.approx(without.pooled)
    assert noise.variance(0) == pytest.approx(without.variance(0))
    assert noise.variance(3) == pytest.approx(4.0)
    assert noise.freedom([1, 0, 0, 0]) == pytest.approx(without.freedom([1, 0, 0]))
    assert noise.freedom([0, 0, 0, 1]) == pytest.approx(2)
    assert noise.freedom([1, 0, 0, 1]) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("last", "why"),
    [
        ([0.0, 2.0, 1.3], "a noisy setting may lead"),
        ([5.0, 5.1, 5.2], "a poor one may be as noisy as the others"),
    ],
)
def test_noise_alone_and_distance_alone_leave_a_setting_in_the_pool(last, why):
    assert not seed_noise([*GOOD, last]).alone, why


def test_where_the_others_never_vary_the_one_that_does_stays_in_the_pool():
    noise = seed_noise([[1.0] * 3, [1.1] * 3, [1.2] * 3, [5.0, 7.0, 9.0]])
    assert not noise.alone
    assert noise.pooled == pytest.approx(1.0)


def test_a_moderated_t_calls_few_differences_that_chance_made():
    called, runs = 0, 2000
    for _ in range(runs):
        groups = RANDOM.normal(size=(4, 3))
        noise = seed_noise(groups)
        error = ((noise.variance(0) + noise.variance(3)) / 3) ** 0.5
        far = stats.t.ppf(0.975, noise.freedom([1 / 3, 0, 0, 1 / 3])) * error
        called += abs(groups[0].mean() - groups[3].mean()) > far
    assert called / runs < 0.06


def parts(*, settings=4, trainings=3, rows=4000, own=1.0, seeds=2.0):
    """Scores: what rows share, each setting's own at a row, and what each training adds there."""
    random = np.random.default_rng(3)
    shared = 5 * random.normal(size=rows)
    mine = own * random.normal(size=(settings, 1, rows))
    return shared + mine + seeds * random.normal(size=(settings, trainings, rows))


def test_what_seeds_do_at_a_row_is_told_from_what_settings_do_there():
    noise = row_noise(list(parts()), rows=4000)
    assert noise.residuals == pytest.approx(4.0, rel=0.05)
    assert 4000 * noise.difference(0, 1) == pytest.approx(2.0, rel=0.2), (
        "the shared part cancels"
    )
    assert noise.own[0] == pytest.approx(25 + 1, rel=0.1)


def test_settings_that_do_the_same_at_every_row_differ_by_seeds_alone():
    noise = row_noise(list(parts(own=0.0)), rows=90)
    assert 90 * noise.difference(0, 1) < 0.2
    assert noise.per_training == pytest.approx(4.0 / 90, rel=0.05)


def test_settings_that_were_trained_once_give_all_of_it_to_the_rows():
    noise = row_noise(list(parts(trainings=1)), rows=4000)
    assert noise.residuals.tolist() == [0.0] * 4
    assert 4000 * noise.difference(0, 1) == pytest.approx(2 * (1 + 4), rel=0.1)


def test_what_seeds_do_at_a_row_is_each_settings_own():
    scores = parts(settings=6, own=0.0)
    scores[1] *= 3.0
    noise = row_noise([*scores[:4], scores[4][:1], scores[5][:1]], rows=4000)
    assert noise.residuals[0] == pytest.approx(4.0, rel=0.05)
    assert noise.residuals[1] == pytest.approx(36.0, rel=0.05)


def test_a_setting_that_was_trained_once_has_the_noise_that_its_spread_tells():
    rest = [2.0 * RANDOM.normal(size=(3, 4000)) for _ in range(4)]
    once = [2.0 * RANDOM.normal(size=(1, 4000)), 6.0 * RANDOM.normal(size=(1, 4000))]
    noise = row_noise([*rest, *once], rows=4000)
    assert noise.residuals[5] > 5 * noise.residuals[4]
    assert noise.residuals[4] == pytest.approx(4.0, rel=0.5)


def test_few_rows_make_no_differences_between_settings_that_have_none():
    noise = row_noise(list(parts(settings=40, trainings=2, rows=90, own=0.0)), rows=90)
    pairs = [90 * noise.difference(0, each) for each in range(1, 40)]
    assert np.mean(pairs) < 0.5, "what seeds do at a row is 4"


def test_the_spread_of_all_settings_is_kept_and_so_is_one_that_stands_out():
    scores = parts(settings=40, trainings=2, rows=90, own=0.0)
    scores[7] += 6 * RANDOM.normal(size=90)
    noise = row_noise(list(scores), rows=90)
    assert 90 * noise.difference(7, 0) == pytest.approx(36, rel=0.4)
    assert np.linalg.eigvalsh(noise.contrasts).min() > -1e-9


def test_a_third_of_normal_rows_carry_the_noise_and_one_where_one_is_all():
    assert carrying_rows(list(parts(rows=9000)), 0, 1) == pytest.approx(3000, rel=0.1)
    shared = 100.0 * (np.arange(90) == 3)
    alone = [np.array([shared]), np.array([2 * shared])]
    assert carrying_rows(alone, 0, 1) == pytest.approx(1.0, abs=0.05)
    drawn = np.random.default_rng(5).normal(size=90)
    yours = [np.array([drawn]), np.array([shared])]
    assert carrying_rows(yours, 0, 1) > 4, "the challenger's own loss is even"
    assert carrying_rows(yours[::-1], 0, 1) == pytest.approx(1.0, abs=0.2)
    even = [np.array([shared]), np.array([shared])]
    assert carrying_rows(even, 0, 1) == pytest.approx(90**0.5, rel=0.02), (
        "they do not differ"
    )


def test_a_variance_over_rows_is_as_sure_as_the_rows_kurtosis_lets_it_be():
    assert rows_freedom(30.0, 90) == pytest.approx(90), (
        "normal rows: a third of them carry it"
    )
    assert rows_freedom(1.0, 90) == pytest.approx(2.0, rel=0.02)
    assert rows_freedom(90.0, 90) == np.inf, "rows that all differ by as much"
