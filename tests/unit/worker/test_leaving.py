"""A worker that must be gone by a set time leaves at the last place where a checkpoint is in time."""

import pytest

from lrsearch.values import Progress
from lrsearch.worker.leaving import RESERVE_SECONDS, LeavingRule


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def rule(seconds):
    clock = Clock()
    leave_by = None if seconds is None else clock.now + seconds + RESERVE_SECONDS
    return clock, LeavingRule(leave_by, clock)


def at(epoch, batch=0, trial=7, epochs=10):
    return Progress(
        trial_id=trial, attempt=1, epoch=epoch, batch=batch, epochs=epochs, step=0, total_steps=1,
        rate=None, seconds=0.0, logs={}, value=None,
    )  # fmt: skip


def train(clock, leaving, seconds, *places):
    """Whether to leave, at each place, `seconds` apart."""
    answers = []
    for each in places:
        clock.now += seconds
        answers.append(leaving.must_leave(each))
    return answers


def test_rows_leave_at_the_end_of_the_last_epoch_that_fits():
    clock, leaving = rule(35.0)
    leaving.begin(7)
    assert train(clock, leaving, 10.0, at(1), at(2), at(3)) == [False, False, True]
    assert clock.now == 1030.0, (
        "the fourth epoch would end at 1040, and 1035 is the time"
    )


def test_a_place_that_stays_the_same_is_none_where_anything_can_be_saved():
    clock, leaving = rule(35.0)
    leaving.begin(7)
    train(clock, leaving, 10.0, at(1))
    assert train(clock, leaving, 8.0, at(1), at(1), at(1)) == [False, False, False]
    assert train(clock, leaving, 0.0, at(2)) == [True]


def test_batches_lie_close_together_so_that_the_whole_time_is_used():
    clock, leaving = rule(35.0)
    leaving.begin(7)
    train(clock, leaving, 20.0, at(0, 1))
    answers = train(clock, leaving, 1.0, *(at(0, batch) for batch in range(2, 20)))
    assert answers.index(True) == 14, (
        "at 1035; the first place took long, and that does not count"
    )


def test_a_training_that_has_come_to_its_end_needs_no_checkpoint():
    clock, leaving = rule(35.0)
    leaving.begin(7)
    assert train(clock, leaving, 34.0, at(9), at(10)) == [False, False]


def test_nothing_begins_that_would_come_to_no_checkpoint():
    clock, leaving = rule(35.0)
    leaving.begin(7)
    train(clock, leaving, 12.0, at(1))
    leaving.end(7)
    assert not leaving.is_too_late()
    clock.now = 1023.5
    assert leaving.is_too_late()


def test_without_a_time_nobody_leaves():
    clock, leaving = rule(None)
    leaving.begin(7)
    assert train(clock, leaving, 1e9, at(1), at(2)) == [False, False]
    assert not leaving.is_too_late()


def test_without_time_nothing_begins():
    _, leaving = rule(-1.0)
    assert leaving.is_too_late()


@pytest.mark.parametrize("seconds", [35.0, None])
def test_rows_side_by_side_each_have_places_of_their_own(seconds):
    clock, leaving = rule(seconds)
    leaving.begin(7)
    leaving.begin(8)
    for epoch in (1, 2):
        clock.now += 10.0
        assert not leaving.must_leave(at(epoch))
        assert not leaving.must_leave(at(epoch, trial=8))
    clock.now += 10.0
    assert leaving.must_leave(at(3, trial=8)) is (seconds is not None)
