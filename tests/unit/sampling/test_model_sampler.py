"""The sampler `auto`: it learns, keeps picks apart, and moves its range of rates."""

import itertools
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import rankdata

from lrsearch.sampling import make_sampler
from lrsearch.sampling.history import History
from lrsearch.sampling.outcomes import FLAT, Outcome, SeenTrial, scores_of
from lrsearch.sampling.space_view import SpaceView
from lrsearch.space import SearchSpace
from lrsearch.values import Direction, Kind, Origin, TrialRecord, TrialState

SPACE = SearchSpace(batch_size=32)
DOWN = Direction.MINIMIZE


def trial(number, setting, state=TrialState.COMPLETE, value=None, **more):
    fields = {
        "kind": Kind.SEARCH,
        "origin": Origin.SAMPLED,
        "seed": 0,
        "id": number + 1000,
    }
    return TrialRecord(
        **{
            **fields,
            "number": number,
            "setting": setting,
            "state": state,
            "value": value,
            **more,
        }
    )


def decades(setting, space=SPACE):
    return math.log10(setting.learning_rate / space.unit_rate(setting))


def references(cost, space=SPACE):
    settings = space.references()
    return [
        trial(place, each, value=cost(each), origin=Origin.REFERENCE)
        for place, each in enumerate(settings)
    ]


def search(cost, trials, space=SPACE, seed=0):
    """A whole search of stand-in trainings; the records."""
    records = references(cost, space)
    sampler = make_sampler("auto", space, direction=DOWN, seed=seed)
    for number in range(len(records), trials):
        sampler.observe(records)
        setting = sampler.propose(number)
        value = cost(setting)
        state = TrialState.DIVERGED if value is None else TrialState.COMPLETE
        records.append(trial(number, setting, state, value))
    return records


def bowl(best, edge=math.inf):
    """A cost that is least at `best` decades and at none beyond `edge`, where trainings diverge."""

    def cost(setting):
        place = decades(setting)
        return (
            None
            if place > edge
            else (place - best) ** 2 + 0.1 * (setting.optimizer != "adam")
        )

    return cost


def best_of(records):
    return min(
        (each for each in records if each.has_value), key=lambda each: each.value
    )


def test_the_best_rate_and_optimizer_are_found_in_thirty_trials():
    best = best_of(search(bowl(0.8), 30)).setting
    assert abs(decades(best) - 0.8) < 0.15
    assert best.optimizer == "adam"


@pytest.mark.parametrize("place", [2.0, -2.6])
def test_a_best_rate_beyond_the_table_is_reached(place):
    best = best_of(search(bowl(place), 40)).setting
    assert abs(decades(best) - place) < 0.3


def test_every_third_trial_goes_to_another_optimizer_than_the_leaders():
    records = search(bowl(0.8), 30)
    leader = best_of(records).setting.optimizer
    later = [each for each in records if each.number >= 12 and each.number % 3 == 0]
    assert all(each.setting.optimizer != leader for each in later)


def test_with_one_optimizer_no_trial_is_given_away():
    space = SearchSpace(batch_size=32, optimizers=["adam"])
    records = search(bowl(0.8), 30, space)
    later = [
        decades(each.setting)
        for each in records
        if each.number >= 12 and each.number % 3 == 0
    ]
    # the first of the candidates has the lowest rate
    assert all(place > -1.5 for place in later)


def test_rates_that_were_asked_for_are_never_left():
    space = SearchSpace(batch_size=32, optimizers=["adam"], learning_rate=(1e-4, 1e-3))
    found = search(lambda each: (decades(each, space) - 2) ** 2, 25, space)
    assert all(1e-4 <= each.setting.learning_rate <= 1e-3 for each in found)


def test_rates_that_diverge_are_left_alone():
    records = search(bowl(0.8, edge=1.0), 40)
    late = [each for each in records[20:] if each.state is TrialState.DIVERGED]
    assert len(late) <= 5


def test_a_setting_in_training_keeps_others_away():
    # forty workers ask, one after another, while none has ended
    known = references(bowl(0.5))
    sampler = make_sampler("auto", SPACE, direction=DOWN, seed=1)
    sampler.observe(known)
    other = make_sampler("random", SPACE, direction=DOWN, seed=1)
    picks, random = [], []
    for number in range(len(known), len(known) + 40):
        picks.append(sampler.propose(number))
        random.append(other.propose(number))
        sampler.observe([trial(number, picks[-1], TrialState.RUNNING)])
    assert median_distance(picks) >= median_distance(random) / 2


def median_distance(settings):
    """Of each setting to the nearest other; another optimizer or schedule is one decade away."""

    def distance(one, other):
        apart = abs(decades(one) - decades(other))
        for name, span in (("warmup", 0.2), ("final", 0.1)):
            apart += abs(one.shape.get(name, 0) - other.shape.get(name, 0)) / span
        return (
            apart
            + (one.optimizer != other.optimizer)
            + (one.schedule != other.schedule)
        )

    return np.median(
        [
            min(distance(one, other) for other in settings if other is not one)
            for one in settings
        ]
    )


def test_a_trial_that_is_claimed_takes_its_own_pick_whoever_asks_first():
    known = references(bowl(0.5))
    start = len(known)
    bound = make_sampler("auto", SPACE, direction=DOWN, seed=1)
    bound.observe(known)
    for number in range(start, start + 3):
        setting = bound.propose(number)
        bound.observe([trial(number, setting, TrialState.RUNNING)])
    unbound = make_sampler("auto", SPACE, direction=DOWN, seed=1)
    claimed = [
        trial(each, None, TrialState.RUNNING) for each in range(start, start + 3)
    ]
    unbound.observe([*known, *claimed])
    assert unbound.propose(start + 2) == setting


def test_a_proposal_is_quasi_random_until_two_outcomes_differ_and_the_models_from_then_on():
    yours = trial(0, SPACE.references()[-1], value=1.0)
    better = trial(1, SPACE.references()[0], value=0.5)
    for known, chooses in (([], False), ([yours], False), ([yours, better], True)):
        sampler, random = (
            make_sampler(name, SPACE, direction=DOWN, seed=1)
            for name in ("auto", "qmc")
        )
        sampler.observe(known)
        assert (sampler.propose(2) != random.propose(2)) == chooses


def test_retests_and_repeated_settings_count_with_their_mean():
    known = references(bowl(0.5))
    leader = best_of(known)
    lucky = replace(leader, value=leader.value - 5)
    retests = [
        trial(
            each,
            leader.setting,
            value=8.0,
            kind=Kind.RETEST,
            id=50 + each,
            parent=leader.number,
        )
        for each in range(4)
    ]
    picks = []
    others = [each for each in known if each is not leader]
    for records in ([*others, lucky], [*others, lucky, *retests]):
        sampler = make_sampler("auto", SPACE, direction=DOWN, seed=1)
        sampler.observe(records)
        picks.append([sampler.propose(number).optimizer for number in range(20, 30)])
    name = leader.setting.optimizer
    assert picks[1].count(name) < picks[0].count(name)


def test_a_search_of_hyperparameters_batch_sizes_and_the_models_own_values_learns_them():
    space = SearchSpace(
        optimizers=["adamw", "momentum"],
        batch_size=[32, 128],
        hyper={
            "adamw": {"weight_decay": (1e-4, 1e-1)},
            "momentum": {"momentum": (0.5, 0.99)},
        },
        extra={"units": (8, 64), "activation": ["relu", "gelu"]},
    )

    def cost(setting):
        place = decades(setting, space)
        wrong = (setting.extra["activation"] == "relu") + abs(
            setting.extra["units"] - 50
        ) / 50
        return (place - 0.5) ** 2 + wrong

    sampler = make_sampler("auto", space, direction=DOWN, seed=0)
    records = []
    for number in range(35):
        sampler.observe(records[-1:])
        setting = sampler.propose(number)
        records.append(trial(number, setting, value=cost(setting)))
    late = [each.setting.extra["activation"] for each in records[20:]]
    assert late.count("gelu") > 10


def test_a_stopped_trial_counts_among_the_worse_two_thirds_of_those_that_ended():
    """As the last of all, it would make a good score of every bad end."""

    def outcome(number, **fields):
        return Outcome(setting=SPACE.references()[0], key=str(number), **fields)

    ended = [outcome(number, costs=[float(number)]) for number in range(9)]
    early, late = outcome(10, stopped=(1, 0.0)), outcome(11, stopped=(5, 9.0))
    diverged = outcome(12)
    scores = scores_of([*ended, early, late, diverged])
    assert scores[2] < scores[10] < scores[9] < scores[8] < scores[11]


def test_the_model_is_less_sure_of_a_stopped_trial_than_of_one_that_ended():
    """Else it keeps away from where a good trial was stopped by mistake."""
    view, others = SpaceView(SPACE), references(bowl(0.0))
    place = replace(
        SPACE.references()[0], learning_rate=SPACE.references()[0].learning_rate * 30
    )
    ended = trial(9, place, value=9.0)
    stopped = trial(9, place, TrialState.PRUNED, epochs=1, last_value=9.0)
    row = view.encoder.encode([SPACE.params_of(place)])
    deviations = []
    for last in (ended, stopped):
        history = History(view, [SeenTrial.of(each) for each in (*others, last)], DOWN)
        deviations.append(float(history.process.predict(row)[1][0]))
    assert deviations[0] * 1.3 < deviations[1]


def test_where_nothing_but_stopped_trials_is_known_they_are_before_the_diverged():
    setting = SPACE.references()[0]
    stopped = Outcome(setting=setting, key="1", stopped=(1, 0.5))
    assert np.diff(scores_of([stopped, Outcome(setting=setting, key="2")]))[0] > 0


def test_equals_share_the_mean_of_their_ranks_and_a_worker_is_spared_the_import_of_statistics(
    monkeypatch,
):
    costs = [0.5, 0.1, 0.5, 0.9, 0.5, 0.1]
    ranks = rankdata(costs)
    # its import takes 0.5 CPU seconds
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    setting = SPACE.references()[0]
    scores = scores_of(
        [Outcome(setting=setting, key=str(n), costs=[c]) for n, c in enumerate(costs)]
    )
    expected = ndtri((ranks - 0.5) / len(costs))
    assert scores.tolist() == np.where(expected > 0, expected * FLAT, expected).tolist()


def test_values_that_are_all_equal_teach_nothing_and_stop_nothing():
    sampler = make_sampler("auto", SPACE, direction=DOWN, seed=1)
    sampler.observe(references(lambda _setting: 1.0))
    picks = [sampler.propose(number) for number in range(10, 20)]
    assert len({each.optimizer for each in picks}) > 2
    assert all(one != other for one, other in itertools.pairwise(picks))
