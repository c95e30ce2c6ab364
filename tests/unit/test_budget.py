"""How trainings are divided into search trials and retests."""

import pytest

from lrsearch.budget import (
    Budget,
    count_references,
    divide_in_halves,
    divide_trainings,
    expected_retests,
    retests_in_all,
)


@pytest.mark.parametrize(
    ("trainings", "seeds", "divided"),
    [
        (52, 3, (40, 12)), (200, 3, (188, 12)), (36, 3, (24, 12)), (35, 3, (26, 9)), (27, 3, (18, 9)),
        (26, 3, (23, 3)), (20, 3, (17, 3)), (19, 3, (17, 2)), (12, 3, (10, 2)), (10, 3, (8, 2)),
        (9, 3, (9, 0)), (5, 3, (5, 0)), (1, 3, (1, 0)),
        (52, 1, (48, 4)), (12, 1, (10, 2)), (52, 5, (37, 15)), (40, 5, (37, 3)), (52, 0, (52, 0)),
    ],
)  # fmt: skip
def test_small_budgets_are_divided_as_replays_found_best(trainings, seeds, divided):
    assert divide_trainings(trainings, seeds) == divided


@pytest.mark.parametrize(
    ("trainings", "seeds", "divided"),
    [
        (52, 3, (40, 12)), (200, 3, (188, 12)), (24, 3, (12, 12)), (18, 3, (9, 9)), (12, 3, (6, 6)), (14, 3, (8, 6)),
        (11, 3, (7, 4)), (5, 3, (3, 2)), (4, 3, (2, 2)), (3, 3, (3, 0)), (2, 3, (2, 0)), (1, 3, (1, 0)),
        (12, 1, (8, 4)), (3, 1, (3, 0)), (12, 0, (12, 0)),
    ],
)  # fmt: skip
def test_half_are_retests_in_whole_settings_where_somebody_asks_for_seeds(
    trainings, seeds, divided
):
    assert divide_in_halves(trainings, seeds) == divided


@pytest.mark.parametrize(
    ("trials", "optimizers", "tried"),
    [(40, 6, 3), (5, 6, 3), (4, 6, 2), (2, 6, 0), (1, 6, 0), (10, 2, 2), (None, 9, 3), (None, 2, 2)],
)  # fmt: skip
def test_a_search_tries_three_references_at_most_and_leaves_two_trials_more(
    trials, optimizers, tried
):
    assert count_references(trials, optimizers) == tried


@pytest.mark.parametrize("divide", [divide_trainings, divide_in_halves])
@pytest.mark.parametrize("seeds", range(6))
def test_a_division_is_exact_and_its_retests_are_those_that_will_be_expected(
    divide, seeds
):
    for trainings in range(1, 80):
        trials, retests = divide(trainings, seeds)
        assert trials + retests == trainings
        assert trials >= retests
        assert retests == expected_retests(trials, seeds, trainings)


def test_a_total_that_is_given_again_changes_nothing():
    budget = Budget(trials=6, trainings=12, seeds=3, searched=6, existing=9)
    assert budget.set(trainings=12) == budget
    assert budget.set() == budget


@pytest.mark.parametrize(
    ("before", "asked", "after"),
    [
        # the twelve more are divided
        ({"trials": 6, "trainings": 12}, {"trainings": 24}, (16, 24)),
        # a limit rises with the trials
        ({"trials": 6, "trainings": 12}, {"trials": 10}, (10, 16)),
        # never below what there is
        ({"trials": 6, "trainings": 12}, {"trials": 4}, (6, 12)),
        # fewer are divided anew
        ({"trials": 40, "trainings": None}, {"trainings": 20}, (14, 20)),
        ({"trials": 40, "trainings": None}, {"trainings": 60}, (48, 60)),  # 52 before
        ({"trials": 40, "trainings": None}, {"trials": 50}, (50, None)),
        # time alone limited it: 12 there
        ({"trials": None, "trainings": None}, {"trainings": 24}, (16, 24)),
        # six retests keep their places
        ({"trials": 6, "trainings": 12}, {"trials": 10, "trainings": 12}, (6, 12)),
        ({"trials": 6, "trainings": 12}, {"trainings": 3}, (6, 12)),
    ],
)
def test_new_totals_of_a_study_that_has_trained_twelve(before, asked, after):
    budget = Budget(**before, seeds=3, searched=6, existing=12).set(**asked)
    assert (budget.trials, budget.trainings) == after


def test_more_of_either_is_added_to_what_the_study_comes_to():
    done = Budget(trials=6, trainings=12, seeds=3, searched=6, existing=12)
    assert [
        (each.trials, each.trainings)
        for each in (done.extend(trainings=12), done.extend(trials=2))
    ] == [
        (16, 24),
        (8, 14),
    ]
    unlimited = Budget(
        trials=10, trainings=None, seeds=3, searched=10, existing=22
    ).extend(trainings=6)
    assert (unlimited.trials, unlimited.trainings) == (16, 28)


@pytest.mark.parametrize(
    ("trials", "trainings", "there", "expected"),
    [
        (6, 12, 0, 6),
        (12, 24, 6, 12),
        (46, 64, 12, 18),
        (6, 100, 0, 12),
        (40, None, 0, 12),
        (2, None, 0, 6),
        (6, 9, 6, 6),
    ],
)
def test_retests_of_an_earlier_plan_are_part_of_those_that_a_longer_search_comes_to(
    trials, trainings, there, expected
):
    assert retests_in_all(trials, 3, trainings, there) == expected
