"""A worker's time is divided among the trials that it trains beside each other."""

from lrsearch.worker.shares import TimeShares


def test_a_trial_alone_takes_all_the_time_and_waiting_costs_nobody():
    clock = [0.0]
    shares = TimeShares(lambda: clock[0])
    clock[0] = 5.0
    shares.begin(1)
    clock[0] = 8.0
    assert shares.end(1) == 3.0
    clock[0] = 20.0
    shares.begin(2)
    clock[0] = 21.0
    assert shares.end(2) == 1.0


def test_trials_beside_each_other_share_and_the_shares_add_up():
    clock = [0.0]
    shares = TimeShares(lambda: clock[0])
    shares.begin(1)
    clock[0] = 2.0
    shares.begin(2)
    clock[0] = 6.0
    first = shares.end(1)
    clock[0] = 9.0
    second = shares.end(2)
    assert (first, second) == (2.0 + 2.0, 2.0 + 3.0)
    assert first + second == 9.0
