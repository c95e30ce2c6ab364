"""Proposals: functions of seed, number and history, that learn from divergence and leave no trace."""

import importlib.util
import itertools
import math
import random
from dataclasses import replace

import pytest

from lrsearch.errors import EnvironmentProblem, UnknownName
from lrsearch.sampling import SAMPLERS, make_sampler
from lrsearch.values import Direction, Kind, TrialState

HERE = [name for name in SAMPLERS if name != "gp" or importlib.util.find_spec("torch")]
DOWN, UP = Direction.MINIMIZE, Direction.MAXIMIZE


@pytest.fixture
def history(record):
    """Thirty trials: best near twice the reference, diverged above ten times it, one
    pruned, failed and running each.
    """
    chance = random.Random(0)
    records = []
    for number in range(30):
        over = 10 ** chance.uniform(-3, 2)
        if over > 10:
            records.append(record(number, TrialState.DIVERGED, over))
        else:
            records.append(
                record(
                    number, TrialState.COMPLETE, over, 0.1 + math.log10(over / 2) ** 2
                )
            )
    ended = [
        record(30, TrialState.PRUNED, 0.01, last_value=0.9, epochs=3),
        record(31, TrialState.FAILED, 1.0),
        record(32, TrialState.RUNNING, 1.0),
        record(33, TrialState.RUNNING, setting=None),
    ]
    return records + ended


def proposer(space, sampler="tpe", seed=7, direction=DOWN):
    return make_sampler(sampler, space, direction=direction, seed=seed)


@pytest.mark.parametrize("sampler", HERE)
def test_a_restart_and_another_order_of_arrival_change_nothing(space, history, sampler):
    one, other = proposer(space, sampler), proposer(space, sampler)
    one.observe(history[:10])
    one.propose(10)  # proposals in between leave no trace
    one.observe(history[10:])
    other.observe(reversed(history))
    assert one.propose(40) == other.propose(40) == one.propose(40)


@pytest.mark.parametrize("sampler", HERE)
def test_number_and_seed_matter(space, history, sampler):
    one, other = proposer(space, sampler), proposer(space, sampler, seed=8)
    for each in (one, other):
        each.observe(history)
    assert (
        len(
            {
                one.propose(40).learning_rate,
                one.propose(41).learning_rate,
                other.propose(40).learning_rate,
            }
        )
        == 3
    )


@pytest.mark.parametrize("sampler", HERE)
def test_proposals_lie_inside_the_space_with_and_without_history(
    space, history, sampler
):
    made = proposer(space, sampler)
    found = [made.propose(number) for number in range(5)]
    made.observe(history)
    found += [made.propose(number) for number in range(40, 45)]
    for each in found:
        low, high = space.rates_for(each)
        assert low <= each.learning_rate <= high
        assert 0 <= each.shape["warmup"] <= 0.2
        assert each.extra["units"] in range(1, 9)


def test_tpe_leaves_the_diverged_region_alone(space, history):
    made = proposer(space)
    made.observe(history)
    high = [made.propose(number).learning_rate > 1e-2 for number in range(100, 130)]
    blind = proposer(space)
    blind.observe([each for each in history if each.state is not TrialState.DIVERGED])
    high_when_blind = [
        blind.propose(number).learning_rate > 1e-2 for number in range(100, 130)
    ]
    assert sum(high) <= 3
    assert sum(high) <= sum(high_when_blind)


def test_direction_turns_the_search(space, record):
    down, up = proposer(space), proposer(space, direction=UP)
    for made in (down, up):
        made.observe(
            record(number, over=10 ** (number / 10 - 3), value=float(number))
            for number in range(50)
        )
    mean = [
        sum(math.log10(made.propose(n).learning_rate) for n in range(60, 80)) / 20
        for made in (down, up)
    ]
    assert mean[0] < mean[1] - 0.5


def test_failed_trials_retests_and_settings_outside_the_space_are_left_out(
    space, history, record
):
    made, same = proposer(space), proposer(space)
    made.observe(history)
    outside = record(50, over=1e6, value=0.0)  # the user's own compile may lie anywhere
    retest = record(51, over=2.0, value=0.0, kind=Kind.RETEST)
    same.observe([*history, record(52, TrialState.FAILED, 2.0), outside, retest])
    assert made.propose(60) == same.propose(60)


def test_running_trials_keep_others_away(space, history, record):
    made, crowded = proposer(space), proposer(space)
    made.observe(history)
    crowded.observe(
        [
            *history,
            *(record(number, TrialState.RUNNING, 2.0) for number in range(50, 70)),
        ]
    )
    numbers = range(80, 90)
    assert [made.propose(each) for each in numbers] != [
        crowded.propose(each) for each in numbers
    ]


def test_a_record_that_changes_replaces_the_older_one(space, history, record):
    made, late = proposer(space), proposer(space)
    made.observe([*history, record(50, TrialState.RUNNING, 2.0)])
    made.observe([record(50, TrialState.COMPLETE, 2.0, 0.1)])
    late.observe([*history, record(50, TrialState.COMPLETE, 2.0, 0.1)])
    assert made.propose(60) == late.propose(60)


def test_an_infinite_value_is_never_the_best(space, history, record):
    made, told = proposer(space), proposer(space)
    made.observe([*history, record(50, TrialState.COMPLETE, 50.0, -math.inf)])
    told.observe([*history, record(50, TrialState.DIVERGED, 50.0)])
    assert made.propose(60) == told.propose(60)


def test_quasi_random_points_cover_each_stretch_of_the_range(space):
    made = proposer(space, "qmc")
    places = sorted(
        math.log10(each.learning_rate / space.unit_rate(each))
        for each in map(made.propose, range(64))
    )
    assert max(later - one for one, later in itertools.pairwise(places)) < 0.3
    assert places[0] < -1.8
    assert places[-1] > 1.3


@pytest.mark.parametrize("sampler", HERE)
def test_an_axis_of_one_value_is_left_alone_without_a_word(
    space, history, sampler, caplog
):
    made = proposer(replace(space, optimizers=["adam"]), sampler)
    made.observe(history)
    assert made.propose(40).optimizer == "adam"
    assert not caplog.records


def test_unknown_samplers_are_refused_and_cmaes_says_why(space):
    with pytest.raises(UnknownName, match="unpickles"):
        proposer(space, "cmaes")
    with pytest.raises(UnknownName, match="tpe"):
        proposer(space, "tpee")


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is not None,
    reason="PyTorch is here: nothing is missing",
)
def test_gp_without_pytorch_says_what_to_install(space):
    with pytest.raises(EnvironmentProblem, match=r"pip install 'lrsearch\[gp\]'"):
        proposer(space, "gp")


def test_a_complete_trial_without_a_value_is_learned_from_as_a_bad_one(
    space, record, history
):
    undefined = [
        record(34 + place, TrialState.COMPLETE, 20.0 + place) for place in range(6)
    ]
    diverged = [replace(each, state=TrialState.DIVERGED) for each in undefined]

    def proposed(more):
        chosen = proposer(space)
        chosen.observe([*history, *more])
        return chosen.propose(50)

    assert proposed(undefined) == proposed(diverged)
