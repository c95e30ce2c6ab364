"""Spread, intervals and separability, held against scipy.stats and by simulation."""

import random
import statistics

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from lrsearch.answer.spread import Retested, p_value, separable

numbers = st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=2, max_size=6)


@given(numbers, numbers)
# SciPy's, where one side does not vary
@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
def test_p_agrees_with_scipys_welch(one, other):
    assume(len(set(one)) > 1 or len(set(other)) > 1)
    assert p_value(one, other) == pytest.approx(
        stats.ttest_ind(one, other, equal_var=False).pvalue, rel=1e-6, abs=1e-12
    )


def test_nothing_is_separable_from_a_single_value():
    assert not separable([0.9], [0.1, 0.1001, 0.1002])


def test_values_that_never_vary_are_separable_unless_equal():
    assert separable([0.9, 0.9, 0.9], [0.8, 0.8, 0.8])
    assert not separable([0.9, 0.9], [0.9, 0.9])


def test_a_retrain_falls_into_the_interval_in_95_of_100_cases():
    chance = random.Random(1)
    inside = 0
    for _ in range(4000):
        drawn = [chance.gauss(0.9, 0.01) for _ in range(4)]
        low, high = Retested(values=tuple(drawn[:3]), seeds=(1, 2, 3)).interval
        inside += low <= drawn[3] <= high
    assert inside / 4000 == pytest.approx(0.95, abs=0.012)


def test_mean_and_sample_deviation():
    three = Retested(values=(0.98, 0.985, 0.99), seeds=(1, 2, 3))
    assert (three.n, three.mean) == (3, pytest.approx(0.985))
    assert three.spread == pytest.approx(statistics.stdev([0.98, 0.985, 0.99]))


def test_one_value_has_no_spread_and_no_interval():
    one = Retested(values=(0.9,), seeds=(1,))
    assert one.spread is None
    assert one.interval is None
    assert one.to_json()["interval"] is None
