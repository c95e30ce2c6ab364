"""When a slot gets its next worker, and when it is given up."""

from types import SimpleNamespace

import pytest

from lrsearch.launch.slot_state import STARTS, STOPS, SlotState


def child(*, attempts=(), signalled=""):
    return SimpleNamespace(attempts=attempts, signalled=signalled)


@pytest.fixture
def state():
    return SlotState(slot=None)


def test_it_waits_longer_after_each_death_and_anew_after_a_trials_end(state):
    assert [state.count_death(child(attempts=(1,))) for _ in range(8)] == [
        1,
        2,
        4,
        8,
        16,
        32,
        60,
        60,
    ]
    state.reset_deaths()
    assert state.count_death(child(attempts=(1,))) == 1


def test_workers_that_die_holding_nothing_are_given_up(state):
    assert [state.count_death(child()) for _ in range(STARTS)][-1] is None


def test_what_a_worker_dies_with_counts_against_its_trial_and_not_against_the_slot(
    state,
):
    delays = [
        state.count_death(child(attempts=(1,) if n % STARTS == STARTS - 1 else ()))
        for n in range(20)
    ]
    assert None not in delays


def test_signals_to_workers_are_not_taken_for_failed_starts_but_cannot_go_on_for_ever(
    state,
):
    delays = [state.count_death(child(signalled="SIGTERM")) for _ in range(STOPS)]
    assert None not in delays[:-1]
    assert delays[-1] is None


def test_the_error_comes_first_in_its_last_words(state):
    state.reason = "KeyError: 'x'"
    state.tail = "I0000 no GPU"
    state.ending = "exit code 1"
    assert state.last_words.splitlines() == [
        "failed: KeyError: 'x'",
        "The last that it printed:",
        "I0000 no GPU",
    ]
    state.reason = ""
    assert state.last_words.startswith("ended by exit code 1.")
