"""Pruning rules, held against hand-made numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.errors import InvalidValue, UnknownName
from lrsearch.sampling import PRUNERS, RunAtRung, pruning_rule
from lrsearch.values import Direction, Verdict

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE


def seen(values):
    """Trials that reached the rung and still run, the asked one among them."""
    return [RunAtRung(value=each) for each in values]


def rule(name, epochs=27, direction=DOWN):
    return pruning_rule(name, epochs=epochs, direction=direction)


def test_none_never_looks_and_never_stops():
    assert rule("none").rungs(3, 0.0) == frozenset()
    assert rule("none").verdict(9.0, seen([1.0] * 19 + [9.0])) is Verdict.KEEP


def test_asha_looks_at_thirds_of_the_run():
    assert rule("asha").rungs(3, 0.0) == {1, 3, 9}
    assert rule("asha", epochs=20).rungs(3, 0.0) == {2, 7}
    assert rule("asha", epochs=2).rungs(3, 0.0) == frozenset()


def test_rungs_inside_the_warm_up_are_not_looked_at():
    assert rule("asha").rungs(3, 0.2) == {9}
    # warm-up ends with epoch 9 itself
    assert rule("asha").rungs(3, 1 / 3) == frozenset()
    assert min(rule("median").rungs(0, 0.1)) == 3


def test_hyperband_gives_each_bracket_its_own_rungs_and_spares_one():
    assert [rule("hyperband").rungs(number, 0.0) for number in range(5)] == [
        {1, 3, 9},
        {3, 9},
        {9},
        set(),
        {1, 3, 9},
    ]


def test_median_stops_the_worse_half_once_there_are_five():
    five = seen([0.1, 0.2, 0.3, 0.4, 0.5])
    assert rule("median").verdict(0.31, five) is Verdict.PRUNE
    assert rule("median").verdict(0.3, five) is Verdict.KEEP
    assert rule("median", direction=UP).verdict(0.29, five) is Verdict.PRUNE
    assert rule("median").verdict(9.0, five[:4]) is Verdict.KEEP


def test_asha_keeps_the_best_third_and_those_who_come_before_there_are_three():
    nine = [float(each) for each in range(9)]
    kept = [
        value
        for value in nine
        if rule("asha").verdict(value, seen(nine)) is Verdict.KEEP
    ]
    assert kept == [0.0, 1.0, 2.0]
    assert rule("asha").verdict(9.0, seen([1.0, 9.0])) is Verdict.KEEP


@given(
    st.lists(st.sampled_from([0.5, 0.9, 0.95]), min_size=1, max_size=30),
    st.sampled_from(sorted(PRUNERS)),
)
def test_the_best_value_of_a_rung_is_never_stopped(values, name):
    for direction, best in ((UP, max(values)), (DOWN, min(values))):
        asked = pruning_rule(name, epochs=27, direction=direction)
        assert asked.verdict(best, seen(values)) is Verdict.KEEP


@given(
    st.integers(1, 300),
    st.integers(0, 1000),
    st.floats(0, 1),
    st.sampled_from(sorted(PRUNERS)),
)
def test_rungs_lie_after_warm_up_and_before_the_end(epochs, number, warmup, name):
    assert all(
        warmup * epochs < epoch < epochs
        for epoch in rule(name, epochs=epochs).rungs(number, warmup)
    )


def test_unknown_rules_and_impossible_lengths_are_refused():
    with pytest.raises(UnknownName, match="median"):
        rule("medain")
    with pytest.raises(InvalidValue, match="epochs"):
        rule("asha", epochs=0)
