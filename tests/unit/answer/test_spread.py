"""Spread and intervals of retests, held by simulation."""

import random
import statistics

import pytest

from lrsearch.answer.spread import Retested


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


def test_an_interval_stays_within_the_bounds_of_its_objective():
    apart = {"values": (0.9, 0.99, 0.98), "seeds": (1, 2, 3)}
    assert Retested(**apart).interval[1] > 1
    assert Retested(**apart, bounds=(0.0, 1.0)).interval[1] == 1.0
    assert (
        Retested(values=(0.01, 0.2), seeds=(1, 2), bounds=(0.0, None)).interval[0]
        == 0.0
    )
