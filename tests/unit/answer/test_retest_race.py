"""Which retests come next where a study has so many of them, and when they end."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from lrsearch.answer import build_leaderboard, next_retests
from lrsearch.values import Direction, TrialState

UP = Direction.MAXIMIZE


@pytest.fixture
def searched(trial):
    """Yours at 0.95, and nine settings at 0.96 to 0.968, the last one best."""
    rates = [1e-3 * (number + 1) for number in range(9)]
    others = [
        trial(n + 1, "adam", rate, 0.96 + n / 1000) for n, rate in enumerate(rates)
    ]
    return [trial(0, value=0.95), *others]


@pytest.fixture
def upcoming(study):
    def find(records, left=99):
        leaderboard = build_leaderboard(study().facts, records)
        return next_retests(leaderboard, records, UP, left=left)

    return find


def of(pairs):
    return " ".join(f"{trial}/{repeat}" for trial, repeat in pairs)


def test_the_best_five_and_yours_are_retested_once(searched, upcoming):
    assert of(upcoming(searched)) == "9/0 8/0 7/0 6/0 5/0 0/0"
    assert of(upcoming(searched, left=2)) == "9/0 8/0"


def test_then_the_leader_the_nearest_and_yours_go_on_on_the_same_seeds(
    searched, upcoming, retests
):
    values = {9: [0.960], 8: [0.966], 7: [0.965], 6: [0.95], 5: [0.94], 0: [0.93]}
    records = [*searched, *(r for n, v in values.items() for r in retests(n, v))]
    assert of(upcoming(records)) == "8/1 7/1 0/1"
    assert of(upcoming(records, left=1)) == "8/1"
    # 9 has had three seeds, the new leader one: it catches up first
    more = [each for each in records if each.parent != 9]
    assert (
        of(upcoming([*more, *retests(9, [0.9655, 0.94, 0.992])])) == "8/1 0/1 8/2 0/2"
    )


def test_it_ends_where_the_best_is_told_apart_from_every_other(
    searched, upcoming, retests
):
    good = [0.9, 0.9001, 0.8999, 0.9]
    records = [*searched, *retests(9, good)]
    for number in (8, 7, 6, 5, 0):
        records += retests(number, [each - 0.05 for each in good])
    assert upcoming(records) == ()


def test_it_does_not_end_before_the_leader_has_three_seeds(searched, upcoming, retests):
    records = [*searched, *retests(9, [0.9, 0.9001])]
    for number in (8, 7, 6, 5, 0):
        records += retests(number, [0.5, 0.5001])
    assert of(upcoming(records)) == "9/2 0/2"


def test_a_lead_that_a_single_look_would_call_goes_on(searched, upcoming, retests):
    """At 2.6 standard errors one look says apart; of many looks some are as lucky as that."""
    good = [0.5, 0.51, 0.49, 0.5, 0.505, 0.495]
    records = [*searched]
    for number, behind in {9: 0.0, 8: 0.011, 7: 0.2, 6: 0.2, 5: 0.2, 0: 0.2}.items():
        records += retests(number, [each - behind for each in good])
    assert of(upcoming(records)) == "9/6 8/6 0/6"


def test_it_ends_where_all_are_equal_within_the_margin(searched, upcoming, retests):
    good = [0.9, 0.9001, 0.8999, 0.9]
    records = [*searched]
    for place, number in enumerate((9, 8, 7, 6, 5, 0)):
        records += retests(number, [each - place * 1e-6 for each in good])
    assert upcoming(records) == (), "1 % of 0.9 is more than these differ by"


def test_copies_of_one_training_and_settings_that_lost_a_seed_do_not_race(
    searched, upcoming, retests
):
    logs = {"loss": 0.1, "val_accuracy": 0.9}
    records = [*searched]
    for number in (9, 8, 7, 6, 5, 0):
        records += [replace(each, logs=logs) for each in retests(number, [0.9, 0.9])]
    assert upcoming(records) == ()
    lossy = [*searched, *retests(9, [0.9, 0.91, 0.9]), *retests(8, [0.99, None, 0.99])]
    for number in (7, 6, 5, 0):
        lossy += retests(number, [0.8, 0.82, 0.81])
    assert of(upcoming(lossy)) == "4/0", (
        "the next best takes the place of the one that diverged"
    )
    assert upcoming([*lossy, *retests(4, [0.8, 0.82, 0.81])]) == ()
    failed = [
        replace(each, state=TrialState.FAILED, value=None)
        for number in (9, 8, 7, 6, 5, 0)
        for each in retests(number, [None])
    ]
    assert upcoming([*searched, *failed]) == ()


def test_a_race_spends_its_retests_on_those_that_are_near_each_other(
    searched, upcoming, retests
):
    """Two settings differ by half a deviation, the others by three: the two get most retests."""
    truth = {9: 0.500, 8: 0.495, 7: 0.47, 6: 0.47, 5: 0.47, 0: 0.47}
    drawn = random.Random(1)
    seen = {number: [] for number in truth}
    records = searched
    while sum(map(len, seen.values())) < 40:
        pairs = upcoming(records, left=40 - sum(map(len, seen.values())))
        if not pairs:
            break
        for number, repeat in pairs:
            assert repeat == len(seen[number]), "no repeat is left out or made twice"
            seen[number].append(drawn.gauss(truth[number], 0.01))
        records = [*searched, *(r for n, v in seen.items() for r in retests(n, v))]
    spent = Counter({number: len(values) for number, values in seen.items()})
    assert spent.total() <= 40
    assert spent[9] + spent[8] >= 0.6 * spent.total()
    assert min(spent.values()) >= 1
