"""A study whose own code fails is told from one with bad trials."""

from lrsearch.values import Kind, Origin, TrialRecord, TrialState
from lrsearch.worker.poisoned_study import breaking_failure


def record(number, state=TrialState.FAILED, reason="ValueError: shapes", traceback=""):
    about = {
        "kind": Kind.SEARCH,
        "origin": Origin.SAMPLED,
        "state": state,
        "setting": None,
        "seed": None,
    }
    return TrialRecord(
        id=number, number=number, **about, reason=reason, traceback_text=traceback
    )


def traceback(line):
    return f'Traceback (most recent call last):\n  File "study.py", line {line}, in build_model\n    raise\nValueError: it\n'


def test_three_alike_at_the_start_break_the_study():
    found = breaking_failure(
        [record(2), record(0), record(1), record(3, TrialState.RUNNING)]
    )
    assert found is not None
    assert found.number == 0


def test_addresses_in_the_text_do_not_make_a_difference():
    assert breaking_failure(
        [record(n, reason=f"TypeError: <Layer at 0x7f{n}>") for n in range(3)]
    )


def test_a_text_that_changes_from_trial_to_trial_does_not_make_a_difference_where_class_and_place_are_the_same():
    varying = [
        record(n, reason=f"ValueError: no {n / 7} here", traceback=traceback(12))
        for n in range(3)
    ]
    assert breaking_failure(varying)
    elsewhere = record(2, reason="ValueError: no 0.3 here", traceback=traceback(40))
    assert breaking_failure([*varying[:2], elsewhere]) is None
    other_class = record(2, reason="KeyError: 'x'", traceback=traceback(12))
    assert breaking_failure([*varying[:2], other_class]) is None


def test_two_do_not():
    assert breaking_failure([record(0), record(1)]) is None


def test_different_ones_do_not():
    assert (
        breaking_failure([record(0), record(1), record(2, reason="KeyError: 'x'")])
        is None
    )


def test_one_trial_that_ended_otherwise_proves_the_study():
    assert (
        breaking_failure(
            [record(0, TrialState.DIVERGED), record(1), record(2), record(3)]
        )
        is None
    )
