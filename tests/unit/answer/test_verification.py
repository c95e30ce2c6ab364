"""Which trainings are made again, and when a second result is the first one's."""

import pytest

from lrsearch.answer.verification import choose_repetitions, compare_repetitions
from lrsearch.values import Outcome, Status


def numbers(study, records, number):
    return [each.number for each in choose_repetitions(study(), records, number)]


def test_the_best_and_yours_come_first_then_others_over_the_whole_ranking(
    study, records
):
    assert numbers(study, records, 1) == [3]
    assert numbers(study, records, 2) == [3, 0]
    # of 4, 6, 2, 1, best first
    assert numbers(study, records, 4) == [3, 0, 4, 1]
    assert numbers(study, records, 3) == [3, 0, 4]


def test_diverged_trials_come_last_and_those_without_a_seed_never(
    study, records, trial
):
    assert numbers(study, records, 99) == [3, 0, 4, 6, 2, 1, 5]
    assert numbers(study, [trial(1, value=0.5, seed=None)], 3) == []


def verdict(record, *, tolerance=0.01, **again):
    outcome = Outcome(
        trial_id=record.id,
        attempt=1,
        engine="graph",
        **({"status": Status.COMPLETE} | again),
    )
    [found] = compare_repetitions([(record, outcome)], tolerance=tolerance)
    return found.verdict


@pytest.mark.parametrize(
    ("again", "said"),
    [
        ({"value": 0.95}, "same"),
        ({"value": 0.95 * (1 + 5e-7)}, "same"),  # another order of summation
        ({"value": 0.955}, "close"),
        ({"value": 0.965}, "differs"),
        ({"status": Status.DIVERGED}, "differs"),
        ({"value": float("nan")}, "differs"),
    ],
)
def test_a_second_result_is_the_same_close_or_different(trial, again, said):
    assert verdict(trial(1, value=0.95), **again) == said


def test_a_trial_that_diverges_again_is_the_same(trial):
    assert verdict(trial(1), status=Status.DIVERGED) == "same"
