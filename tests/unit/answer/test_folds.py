"""Retests on folds: paired by fold, and worth less than as many trainings on fresh data."""

from dataclasses import replace

import numpy as np
import pytest

from lrsearch.answer import (
    Decision,
    build_leaderboard,
    give_verdict,
    summarise,
    verdict_text,
)
from lrsearch.answer.fold_noise import fold_noise
from lrsearch.answer.fold_order import level_costs
from lrsearch.answer.fold_share import rows_part
from lrsearch.answer.fold_swing import factor
from lrsearch.answer.fold_units import in_proportion, near_best
from lrsearch.answer.next_steps import SHELL
from lrsearch.answer.repeats import Repeats, repeats_of
from lrsearch.answer.seed_noise import seed_noise
from lrsearch.answer.settling import next_step
from lrsearch.values import Direction

HARD = (0.0, 3.0, -1.0, 5.0, 1.5)  # what a fold adds to every setting's cost
LUCK = (
    (0.1, -0.1, 0.0, 0.1, -0.1),
    (-0.1, 0.1, 0.1, 0.0, -0.1),
    (0.0, 0.0, -0.1, -0.1, 0.2),
)


@pytest.fixture
def folded(study):
    """A study of five folds of equal size."""
    made = study(Direction.MINIMIZE)
    facts = replace(made.facts, folds=5, fold_ratio=0.25)
    return replace(made, plan=replace(made.plan, facts=facts, retest_seeds=5))


@pytest.fixture
def found(trial, retests):
    """Yours costs 20, trials 1 and 2 `gain` and half as much less on every fold; luck `times` LUCK."""

    def make(gain, times=1.0):
        search = [
            trial(0, value=20.0),
            trial(1, value=20.0 - gain),
            trial(2, value=20.0 - gain / 2),
        ]
        for number, (less, luck) in enumerate(
            zip((0.0, gain, gain / 2), LUCK, strict=True)
        ):
            pairs = zip(HARD, luck, strict=True)
            search += retests(
                number, [20.0 - less + hard + times * own for hard, own in pairs]
            )
        return search

    return make


# four settings of a classifier after two epochs on four grouped folds; the first three
# are alike
FACTORS = (
    (0.0495, 0.1370, 0.0507, 0.1062),
    (0.0522, 0.1347, 0.0571, 0.1150),
    (0.0508, 0.1412, 0.0569, 0.1240),
    (0.6332, 1.1530, 0.4460, 0.7829),
)


# the same of made groups, of which one is much harder
HARD_GROUP = (
    (0.008, 0.081, 0.011, 0.011),
    (0.009, 0.090, 0.010, 0.013),
    (0.013, 0.181, 0.026, 0.047),
    (0.120, 2.165, 0.768, 0.782),
)


@pytest.fixture
def far_apart(folded, trial, retests):
    """The answer of four folds whose costs differ by factors; the last of the four is yours."""

    def make(costs):
        search = [
            trial(0, value=costs[3][0]),
            *(trial(n + 1, value=costs[n][0]) for n in range(3)),
        ]
        for number, own in zip((1, 2, 3, 0), costs, strict=True):
            search += retests(number, list(own))
        facts = replace(folded.facts, folds=4, fold_ratio=1 / 3)
        plan = replace(folded.plan, facts=facts, retest_seeds=4)
        return summarise(replace(folded, plan=plan), search)

    return make


def test_a_poor_setting_says_nothing_of_the_folds_and_the_noise_of_good_ones(far_apart):
    answer = far_apart(FACTORS)
    expected = answer.verdict.expected[1]
    assert expected.interval[0] > 0
    assert expected.interval[1] < 0.5, "four folds cost it 0.05 to 0.14"
    assert all(each > 0 for each in answer.verdict.singles.values())
    assert answer.tolerance < 0.02


def test_a_gain_of_a_factor_on_every_fold_is_better_however_far_the_folds_lie_apart(
    far_apart,
):
    verdict = far_apart(HARD_GROUP).verdict
    assert verdict.decision is Decision.BETTER
    assert 0 < verdict.gain.interval[0] < 0.3 * verdict.gain.measured
    assert verdict.gain.value == pytest.approx(verdict.gain.measured, rel=0.1)


def test_costs_are_in_proportion_where_factors_fit_better_than_sums():
    assert in_proportion(FACTORS)
    assert not in_proportion(FACTORS[:3]), "one level"
    added = [[cost + each for cost in FACTORS[0]] for each in (0.0, 0.2, 0.6)]
    assert not in_proportion(added)
    assert not in_proportion([*FACTORS, (-1.0, 2.0, 3.0, 4.0)]), "no logarithm"


def test_settings_near_the_best_are_within_twice_its_level_and_at_least_two():
    assert near_best(FACTORS) == [0, 1, 2]
    assert near_best([FACTORS[0], FACTORS[3]]) == [0, 1]
    below = [[cost - 1 for cost in row] for row in FACTORS]
    assert near_best(below) == [0, 1, 2, 3]


def test_the_unit_of_costs_in_proportion_changes_nothing():
    once = fold_noise(FACTORS)
    more = fold_noise([[1000 * each for each in row] for row in FACTORS])
    for place in range(4):
        assert more.variance(place) == pytest.approx(1e6 * once.variance(place))
        assert more.spread[place] == pytest.approx(1e6 * once.spread[place])
    assert more.swing == pytest.approx(once.swing)


def test_a_factor_is_above_zero_and_near_one_what_was_moved():
    assert factor(np.array([0.0, 1e-4, -1e-4])) == pytest.approx(
        [1, 1 + 1e-4, 1 - 1e-4]
    )
    assert (factor(np.array([-50.0, -1e3])) >= 0).all()
    assert (np.diff(factor(np.linspace(-5, 5, 100))) > 0).all()
    assert factor(np.array([8.0])) == [25.0]


def test_what_a_fold_does_to_all_settings_is_no_noise():
    quiet = [list(row) for row in LUCK]
    loud = [[own + hard for own, hard in zip(row, HARD, strict=True)] for row in LUCK]
    assert fold_noise(loud).pooled == pytest.approx(fold_noise(quiet).pooled)
    assert seed_noise(loud).pooled > 100 * fold_noise(loud).pooled


def test_two_settings_have_the_variance_of_their_differences():
    noise = fold_noise([[1.0, 2.0, 4.0], [0.0, 3.0, 2.0]])  # differences 1, -1, 2
    assert noise.variance(0) + noise.variance(1) == pytest.approx(7 / 3)
    assert noise.freedom([1 / 3, 1 / 3]) == pytest.approx(2)


def test_a_setting_whose_noise_stands_out_stays_out_of_the_pool_and_keeps_its_own():
    wild = tuple(30 * each for each in (-0.7, 1.1, 0.2, -1.3, 0.7))
    alone, together = fold_noise(LUCK), fold_noise([*LUCK, wild])
    assert together.pooled == pytest.approx(alone.pooled)
    assert together.variance(0) == pytest.approx(alone.variance(0))
    assert together.variance(3) > 500 * together.pooled
    assert together.freedom([0, 0, 0, 1]) == 4
    assert together.freedom([0.2, 0, 0, 0.2]) == pytest.approx(4, rel=0.02), (
        "it is all of the noise"
    )
    assert together.freedom([0.2, 0.2, 0, 0]) == pytest.approx(
        alone.freedom([0.2, 0.2, 0])
    )


def test_of_equally_noisy_settings_few_stay_out_of_the_pool():
    random = np.random.default_rng(0)
    found = [fold_noise(random.normal(size=(4, 5)).tolist()) for _ in range(2000)]
    assert 5 <= sum(bool(each.alone) for each in found) <= 35  # one in a hundred
    noisy = random.normal(size=(1000, 4, 5)) * np.array([[1.0], [1.0], [1.0], [6.0]])
    alone = [fold_noise(each.tolist()).alone for each in noisy]
    assert sum(each.keys() == {3} for each in alone) > 700
    assert sum(bool(each.keys() - {3}) for each in alone) < 20


@pytest.mark.parametrize(
    ("rows", "least", "most"), [(0.0, 0.0, 0.25), (1.0, 0.75, 1.0)]
)
def test_repeated_folds_tell_what_rows_do_from_what_seeds_do(rows, least, most):
    random = np.random.default_rng(1)
    liking = np.sqrt(rows) * np.tile(random.normal(size=(4, 20)), 4)
    costs = liking + np.sqrt(1 - rows) * random.normal(size=(4, 80))
    part = rows_part(costs.tolist(), [*range(20)] * 4, [], variance=1.0)
    assert least <= part <= most


def test_without_repeats_half_of_the_noise_is_the_rows():
    assert rows_part([[0.0, 1.0], [1.0, 0.0]], [0, 1], [], variance=1.0) == 0.5
    assert rows_part([[0.0, 1.0], [1.0, 0.0]], [0, 1], [], variance=0.0) == 0.5


def test_what_the_search_chose_tells_the_seeds_part_by_the_retests_on_its_fold():
    costs, folds = [[0.0] * 5] * 3, [*range(5)]
    assert rows_part(costs, folds, [-1.0, -1.0, -1.0], variance=1.0) > 0.6
    assert rows_part(costs, folds, [-2.0, 0.0, 2.0], variance=1.0) < 0.4


def test_folds_trained_twice_are_worth_more_only_by_their_seeds():
    once, twice = (
        Repeats(
            costs=(HARD * rounds,),
            noise=None,
            ratio=0.25,
            folds=(*range(5),) * rounds,
            rows_part=0.5,
        )
        for rounds in (1, 2)
    )
    assert once.share(0) == pytest.approx(0.5 / 5 + 0.5 * (1 / 5 + 0.25))
    assert twice.share(0) == pytest.approx(0.5 / 10 + 0.5 * (1 / 5 + 0.25))


def test_the_mean_of_five_folds_is_worth_the_trainings_that_nadeau_and_bengio_give():
    repeats = Repeats(costs=(HARD, HARD), noise=None, ratio=0.25, folds=(0, 1, 2, 3, 4))
    assert repeats.share(0) == pytest.approx(1 / 5 + 1 / 4)


def test_a_gain_on_every_fold_is_seen_through_folds_that_lie_far_apart(folded, found):
    records = found(gain=1.0)
    verdict = give_verdict(
        build_leaderboard(folded.facts, records), records, Direction.MINIMIZE
    )
    assert verdict.decision is Decision.BETTER
    assert verdict.to_json()["counted"] == ["seeds", "folds", "choice"]
    assert verdict.gain.folds == 5
    assert (
        "Counted: 5 folds with seeds of their own (5 and 5 trainings)"
        in verdict_text(verdict)
    )
    without = replace(folded.facts, folds=None, fold_ratio=None)
    unpaired = give_verdict(
        build_leaderboard(without, records), records, Direction.MINIMIZE
    )
    assert unpaired.decision is Decision.UNDECIDED


def test_only_folds_that_every_setting_has_are_compared(folded, found, trial):
    records = found(gain=1.0)
    cut = [each for each in records if (each.parent, each.repeat) != (2, 3)]
    board = build_leaderboard(folded.facts, cut)
    repeats = repeats_of(board.retested, board, Direction.MINIMIZE)
    assert repeats.folds == (0, 1, 2, 4)


def test_the_order_is_right_while_folds_are_missing(folded, found):
    records = found(gain=1.0)
    # trial 2 lacks the folds that are hard for all, and looks best by its plain mean
    early = [each for each in records if each.parent != 2 or each.repeat in {0, 2}]
    board = build_leaderboard(folded.facts, early)
    assert [each.trial for each in board.retested] == [1, 2, 0]
    assert min(board.retested, key=lambda each: each.value).trial == 2
    without = build_leaderboard(replace(folded.facts, folds=None), early)
    assert [each.trial for each in without.retested] == [2, 1, 0]


def test_missing_folds_are_filled_in_by_least_squares():
    costs = {0: {0: 1.0, 1: 5.0, 2: 3.0}, 1: {0: 2.0, 1: 6.0}, 2: {2: 1.0}}
    assert level_costs(costs) == pytest.approx({0: 3.0, 1: 4.0, 2: 1.0})
    assert level_costs({0: {0: 1.0}, 1: {1: 2.0}}) == {0: 1.0, 1: 2.0}, (
        "no fold is shared"
    )


def test_repeats_beyond_the_folds_go_round_them_again(folded):
    assert [folded.facts.fold_of(repeat) for repeat in range(7)] == [
        0,
        1,
        2,
        3,
        4,
        0,
        1,
    ]
    assert folded.facts.fold_of(None) == 0
    assert replace(folded.facts, folds=None).fold_of(3) is None


def test_values_count_as_equal_by_the_noise_that_settings_do_not_share(folded, found):
    answer = summarise(folded, found(gain=1.0))
    assert answer.tolerance < 1.0  # the folds themselves lie up to 6 apart
    assert answer.to_json()["retest"]["folds"] == [0, 1, 2, 3, 4]


def test_a_next_step_has_whole_rounds_of_the_folds(folded, found):
    answer = summarise(folded, found(gain=1.5, times=7.0))
    assert answer.verdict.decision is Decision.UNDECIDED
    gain = answer.verdict.gain
    seeds = replace(gain, value=1.0, seeds_variance=1.5, rows_variance=0.0)
    verdict = replace(answer.verdict, validation=seeds)
    step = next_step(verdict, study="toy", open_retests=0, over=True, ways=SHELL)
    assert (step.action, step.seeds) == ("retest", 15)


def test_a_next_step_says_that_only_more_rows_could_settle_it(folded, found):
    answer = summarise(folded, found(gain=1.5, times=7.0))
    assert answer.next.action == "rows"
    assert answer.next.text == (
        "No number of seeds on these folds would probably settle it: about 3 times the rows could."
    )
