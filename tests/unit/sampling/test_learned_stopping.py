"""The learned stopping rule, held against hand-made full runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.budget import FULL_RUNS
from lrsearch.sampling import RunAtRung, pruning_rule
from lrsearch.sampling.learned_stopping import (
    ONE_CONTROL_IN,
    is_control,
    is_too_far_behind,
    learned_rungs,
)
from lrsearch.values import Direction

UP, DOWN = Direction.MAXIMIZE, Direction.MINIMIZE


def ran(value, final):
    """A full run; `final` is None where it diverged or has no value."""
    return RunAtRung(value=value, ended=True, final=final)


def going(value):
    """A trial that still runs, was stopped or failed."""
    return RunAtRung(value=value)


def stopped(value, others, direction=DOWN):
    return is_too_far_behind(value, [*others, going(value)], direction)


# Early values tell the end exactly, and not at all: eighteen full runs.
FAITHFUL = [ran(float(place), float(place)) for place in range(18)]
MISLEADING = [ran(float(place), float(-place)) for place in range(18)]


def test_where_nobody_gains_a_place_all_but_the_first_few_are_stopped():
    # The third of 18 is at 2/17; six good runs gained nothing; the margin is 0.6/7.
    kept = [place for place in range(19) if not stopped(place - 0.5, FAITHFUL)]
    assert kept == [0, 1, 2, 3]


def test_a_trial_may_stand_as_much_lower_as_a_good_run_gained():
    """The second best of 18 stood at place 7: six places are 6/17 more."""
    late = [ran(7.2, 0.5), *(each for each in FAITHFUL if each.value != 7.0)]
    kept = [place for place in range(19) if not stopped(place - 0.5, late)]
    assert kept == [*range(11)]


def test_what_a_run_gained_that_ended_badly_is_no_hope():
    """The last but one at the rung ended in the middle, which is not among the best third."""
    late = [ran(16.2, 8.5), *(each for each in FAITHFUL if each.value != 16.0)]
    assert stopped(15.5, late)


def test_where_early_values_mislead_nobody_is_stopped():
    assert not stopped(99.0, MISLEADING)


def test_where_all_end_alike_nobody_is_stopped():
    assert not stopped(99.0, [ran(float(place), 1.0) for place in range(18)])


@pytest.mark.parametrize("full", range(FULL_RUNS))
def test_nobody_is_stopped_before_there_are_eight_full_runs(full):
    others = [ran(float(place), float(place)) for place in range(full)]
    assert not stopped(99.0, [*others, *map(going, range(20))])


def test_with_as_many_full_runs_as_are_enough_a_trial_is_stopped():
    enough = FAITHFUL[:FULL_RUNS]
    assert not stopped(99.0, enough[:-1])
    assert stopped(99.0, enough)


def test_a_run_that_diverged_later_ended_badly_and_counts_as_full():
    last = FULL_RUNS - 1
    diverged = [ran(float(place), None) for place in range(1, last + 1)]
    assert stopped(99.0, [*diverged, ran(0.0, 0.1)])
    # The only one that ended well stood last of them: nothing is hopeless.
    assert not stopped(99.0, [*diverged, ran(last + 1.0, 0.1)])


def test_where_every_full_run_diverged_nobody_is_stopped():
    assert not stopped(99.0, [ran(float(place), None) for place in range(18)])


def test_more_that_diverged_do_not_make_bad_ends_good():
    # One run ended; the third of eighteen would be six.
    others = [*(ran(float(place), None) for place in range(1, 18)), ran(0.0, 5.0)]
    assert stopped(17.5, others)


def test_full_runs_alone_are_asked():
    """A rung full of stopped trials must not move what is known of full runs."""
    crowd = [going(50.0 + place) for place in range(100)]
    assert not stopped(2.5, [*FAITHFUL, *crowd])
    assert stopped(3.5, [*FAITHFUL, *crowd])


def test_ties_count_for_the_trial():
    """At the level of chance most are equal, good ones too."""
    level = [ran(2.3, float(place)) for place in range(18)]
    assert not stopped(2.3, level)


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.none() | st.floats(-9, 9)), max_size=30),
    st.floats(-9, 9),
)
def test_maximise_is_minimise_with_the_sign_turned(ends, value):
    others = [ran(*each) for each in ends]
    turned = [ran(-early, None if final is None else -final) for early, final in ends]
    assert stopped(value, others, DOWN) == stopped(-value, turned, UP)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=30),
    st.integers(0, 9),
    st.randoms(),
)
def test_the_verdict_depends_on_order_and_scale_of_nothing(ends, value, random):
    others = [ran(*each) for each in ends]
    mixed = [ran(early * 3.0 - 7, final) for early, final in ends]
    random.shuffle(mixed)
    assert stopped(value, others) == stopped(value * 3.0 - 7, mixed)


@given(
    st.lists(
        st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=FULL_RUNS, max_size=40
    )
)
def test_no_run_that_ended_well_would_have_been_stopped(ends):
    others = [ran(*each) for each in ends]
    best = min(others, key=lambda each: each.final)
    assert not is_too_far_behind(best.value, others, DOWN)


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [
        (1, ()),
        (2, (1,)),
        (3, (1, 2)),
        (4, (1, 2, 3)),
        (6, (1, 2, 3, 4)),
        (20, (1, 2, 5, 10)),
        (160, (10, 20, 40, 80)),
    ],
)
def test_rungs_are_distinct_epochs_before_the_last(epochs, rungs):
    assert learned_rungs(epochs) == rungs


def test_about_one_trial_in_twenty_is_a_control_and_the_same_ones_each_time():
    rule = pruning_rule("auto", epochs=20, direction=DOWN, seed=3)
    drawn = [number for number in range(2_000) if rule.is_control(number)]
    assert drawn == [number for number in range(2_000) if is_control(3, number)]
    assert 0.7 < len(drawn) / (2_000 / ONE_CONTROL_IN) < 1.3
    assert drawn != [number for number in range(2_000) if is_control(4, number)]


def test_only_the_learned_rule_has_controls():
    fixed = pruning_rule("asha", epochs=20, direction=DOWN, seed=3)
    assert not any(map(fixed.is_control, range(200)))
