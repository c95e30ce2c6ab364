"""Proposals: functions of seed, number and history, that learn from divergence and leave no trace."""

import importlib.util
import math
import random
from dataclasses import replace

import pytest

from lrsearch.errors import EnvironmentProblem, UnknownName
from lrsearch.sampling import SAMPLERS, Proposer
from lrsearch.values import Direction, Kind, TrialState

HERE = [name for name in SAMPLERS if name != "gp" or importlib.util.find_spec("torch")]
DOWN, UP = Direction.MINIMIZE, Direction.MAXIMIZE


@pytest.fixture
def history(record):
    """Thirty trials: best near twice the reference, diverged above ten times it, one pruned, failed
    and running each.
    """
    chance = random.Random(0)
    records = []
    for number in range(30):
        over = 10 ** chance.uniform(-3, 2)
        if over > 10:
            records.append(record(number, TrialState.DIVERGED, over))
        else:
            records.append(
                record(number, TrialState.COMPLETE, over, 0.1 + math.log10(over / 2) ** 2)
            )
    ended = [
        record(30, TrialState.PRUNED, 0.01, last_value=0.9, epochs=3),
        record(31, TrialState.FAILED, 1.0),
        record(32, TrialState.RUNNING, 1.0),
        record(33, TrialState.RUNNING, setting=None),
    ]
    return records + ended


def proposer(space, sampler="tpe", seed=7, direction=DOWN):
    return Proposer(space, direction=direction, sampler=sampler, seed=seed)


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
def test_proposals_lie_inside_the_space_with_and_without_history(space, history, sampler):
    made = proposer(space, sampler)
    found = [made.propose(number) for number in range(5)]
    made.observe(history)
    found += [made.propose(number) for number in range(40, 45)]
    for axis in space.dimensions():
        for value in (space.params_of(each)[axis.name] for each in found):
            inside = (
                value in axis.choices
                if axis.kind == "categorical"
                else axis.low * 0.999 <= value <= axis.high * 1.001
            )
            assert inside


def test_tpe_leaves_the_diverged_region_alone(space, history):
    made = proposer(space)
    made.observe(history)
    high = [made.propose(number).learning_rate > 1e-2 for number in range(100, 130)]
    blind = proposer(space)
    blind.observe([each for each in history if each.state is not TrialState.DIVERGED])
    high_when_blind = [blind.propose(number).learning_rate > 1e-2 for number in range(100, 130)]
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


def test_failed_trials_retests_and_settings_outside_the_space_are_left_out(space, history, record):
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
        [*history, *(record(number, TrialState.RUNNING, 2.0) for number in range(50, 70))]
    )
    assert made.propose(80) != crowded.propose(80)


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


def test_quasi_random_points_cover_each_stretch_of_the_axis(space):
    made = proposer(space, "qmc")
    over = [
        math.log10(space.params_of(made.propose(number))["lr_over_reference"])
        for number in range(64)
    ]
    assert len({math.floor((each + 3) / 5 * 64) for each in over}) == 64


@pytest.mark.parametrize("sampler", HERE)
def test_an_axis_of_one_value_is_left_alone_without_a_word(
    space, history, sampler, caplog, monkeypatch
):
    only = replace(space.dimensions()[0], choices=("adam",))
    axes = (only, *space.dimensions()[1:])
    monkeypatch.setattr(space, "dimensions", lambda: axes, raising=False)
    made = proposer(space, sampler)
    made.observe(history)
    assert made.propose(40).optimizer == "adam"
    assert not caplog.records


def test_unknown_samplers_are_refused_and_cmaes_says_why(space):
    with pytest.raises(UnknownName, match="unpickles"):
        proposer(space, "cmaes")
    with pytest.raises(UnknownName, match="tpe"):
        proposer(space, "tpee")


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is not None, reason="PyTorch is here: nothing is missing"
)
def test_gp_without_pytorch_says_what_to_install(space):
    with pytest.raises(EnvironmentProblem, match=r"pip install 'lrsearch\[gp\]'"):
        proposer(space, "gp")


def test_a_complete_trial_without_a_value_is_learned_from_as_a_bad_one(space, record, history):
    undefined = [record(34 + place, TrialState.COMPLETE, 20.0 + place) for place in range(6)]
    diverged = [replace(each, state=TrialState.DIVERGED) for each in undefined]

    def proposed(more):
        chosen = proposer(space)
        chosen.observe([*history, *more])
        return chosen.propose(50)

    assert proposed(undefined) == proposed(diverged)
