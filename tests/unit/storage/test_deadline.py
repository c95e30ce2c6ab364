"""What fits before a deadline: nothing begins that would end after it if it were as
slow as the slowest so far.
"""

from dataclasses import replace

import pytest

from lrsearch.storage.deadline import TimeLeft

# One worker, trials of 10 s, three complete of them, one of which took 12 s; two seeds
# of retests.
LEFT = TimeLeft(
    seconds=100.0, slowest=12.0, typical=10.0, complete=3, seeds=2, workers=1, running=0
)


@pytest.mark.parametrize(("seconds", "begins"), [(72.0, True), (71.9, False)])
def test_a_search_trial_leaves_room_for_the_retests_and_the_slowest(seconds, begins):
    # six retests of 10 s, and 12 s
    assert replace(LEFT, seconds=seconds).for_search() is begins


def test_more_workers_need_fewer_rounds_of_retests():
    assert replace(LEFT, seconds=32.0, workers=3).for_search()


@pytest.mark.parametrize(
    ("seconds", "begins"), [(12.0, True), (11.9, False), (-1.0, False)]
)
def test_a_retest_begins_while_the_slowest_would_still_end_in_time(seconds, begins):
    assert replace(LEFT, seconds=seconds).for_retest() is begins


def test_rows_beside_each_other_take_as_many_times_as_long():
    assert replace(LEFT, seconds=48.0, running=3).for_retest()
    assert not replace(LEFT, seconds=47.0, running=3).for_retest()


def test_before_a_trial_is_complete_each_worker_has_one():
    unknown = replace(LEFT, complete=0, slowest=0.0, typical=0.0)
    assert unknown.for_search()
    assert not replace(unknown, running=1).for_search()
    assert not replace(unknown, seconds=0.0).for_search()
    assert not replace(unknown, slowest=101.0).for_search(), (
        "one that diverged took longer than what is left"
    )


@pytest.mark.parametrize(
    ("seconds", "workers", "room"),
    [(11.9, 1, 0), (12.0, 1, 1), (32.0, 1, 3), (32.0, 2, 6)],
)
def test_so_many_retests_fit(seconds, workers, room):
    assert replace(LEFT, seconds=seconds, workers=workers).retests == room
