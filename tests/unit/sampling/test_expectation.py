"""Which trained settings a model of the whole search expects to be best."""

import math

import numpy as np
import pytest

from lrsearch.budget import MODEL_RUNS
from lrsearch.sampling import rank_by_expectation
from lrsearch.space import SearchSpace
from lrsearch.values import Direction, Kind, Origin, TrialRecord, TrialState

SPACE = SearchSpace(batch_size=32, optimizers=["adam", "sgd"])
DOWN, UP = Direction.MINIMIZE, Direction.MAXIMIZE
LUCKY = 7  # the trial whose value is better than it deserves


def trial(number, setting, value, **more):
    return TrialRecord(
        **{
            "id": number,
            "number": number,
            "kind": Kind.SEARCH,
            "origin": Origin.SAMPLED,
            "state": TrialState.COMPLETE,
            "setting": setting,
            "seed": 0,
            "value": value,
        }
        | more
    )


def decades(setting):
    return math.log10(setting.learning_rate / SPACE.unit_rate(setting))


def searched(count=36, noise=0.0, lucky=None):
    """Rates over three decades; the cost is least at half a decade, and noisy."""
    chance = np.random.default_rng(0)
    records = []
    for number, place in enumerate(chance.permutation(np.linspace(-1.5, 1.5, count))):
        kind = {"optimizer": SPACE.optimizers[number % 2], "schedule": "constant"}
        point = {**kind, "warmup": 0.1, "final": 0.0}
        setting = SPACE.setting_from({**point, "lr_over_reference": 10**place})
        cost = (place - 0.5) ** 2 + noise * chance.standard_normal()
        records.append(trial(number, setting, float(cost)))
    if lucky is not None:
        far = max(records, key=lambda each: each.value).setting
        records[LUCKY] = trial(LUCKY, far, lucky)
    return records


def test_without_luck_the_best_expected_is_near_the_best_value():
    records = searched()
    best = min(records, key=lambda each: each.value)
    first = records[rank_by_expectation(SPACE, records, DOWN)[0]]
    assert abs(decades(first.setting) - decades(best.setting)) < 0.2


def test_a_lucky_value_among_bad_ones_is_not_the_best_expected():
    records = searched(noise=0.1, lucky=-1.0)
    assert min(records, key=lambda each: each.value).number == LUCKY
    order = rank_by_expectation(SPACE, records, DOWN)
    assert LUCKY not in order[:3]
    assert abs(decades(records[order[0]].setting) - 0.5) < 0.4


def test_neither_the_order_of_records_nor_the_direction_matters():
    records = searched(noise=0.2)
    order = rank_by_expectation(SPACE, records, DOWN)
    assert rank_by_expectation(SPACE, records[::-1], DOWN) == order
    higher = [trial(each.number, each.setting, -each.value) for each in records]
    assert rank_by_expectation(SPACE, higher, UP) == order


def test_what_diverged_was_stopped_or_failed_is_never_expected_to_win():
    records = searched()
    worse = (TrialState.DIVERGED, TrialState.PRUNED, TrialState.FAILED)
    for number, state in enumerate(worse):
        setting = records[number].setting
        last = records[number].value
        records[number] = trial(
            number, setting, None, state=state, last_value=last, epochs=2
        )
    order = rank_by_expectation(SPACE, records, DOWN)
    assert sorted(order) == list(range(3, len(records)))


def test_trials_that_were_stopped_say_nothing_here():
    records, stopped = searched(), searched(9)
    order = rank_by_expectation(SPACE, records, DOWN)
    more = [
        trial(
            100 + place,
            each.setting,
            None,
            state=TrialState.PRUNED,
            last_value=9.0,
            epochs=1,
        )
        for place, each in enumerate(stopped)
    ]
    assert rank_by_expectation(SPACE, [*records, *more], DOWN) == order
    assert rank_by_expectation(SPACE, [*records[: MODEL_RUNS - 1], *more], DOWN) == ()


def test_a_setting_that_was_trained_twice_is_its_better_trial_and_retests_count():
    records = searched(noise=0.05)
    first = rank_by_expectation(SPACE, records, DOWN)[0]
    twin = trial(90, records[first].setting, records[first].value - 0.01)
    order = rank_by_expectation(SPACE, [*records, twin], DOWN)
    assert 90 in order
    assert first not in order
    bad = [
        trial(
            100 + repeat, records[first].setting, 9.0, kind=Kind.RETEST, repeat=repeat
        )
        for repeat in range(3)
    ]
    order = rank_by_expectation(SPACE, [*records, *bad], DOWN)
    assert order.index(first) > len(order) // 3


@pytest.mark.parametrize("count", [0, 1, MODEL_RUNS - 1])
def test_of_a_few_settings_nothing_is_expected(count):
    assert rank_by_expectation(SPACE, searched(MODEL_RUNS)[:count], DOWN) == ()


def test_where_all_ended_alike_nothing_is_expected():
    alike = [trial(each.number, each.setting, 1.0) for each in searched()]
    assert rank_by_expectation(SPACE, alike, DOWN) == ()
